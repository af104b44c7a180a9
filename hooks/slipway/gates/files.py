"""The files of a service that git knows or would know."""

from __future__ import annotations

import os
from pathlib import Path

from pathspec import GitIgnoreSpec

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git


def known_files(folder: Path) -> list[str]:
    """Return paths relative to a service: tracked or new, not ignored, no links.

    Without git, everything is read but what the service's own `.gitignore` names.
    """
    try:
        listed = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except SlipwayError:
        listed = b""
    names = set(os.fsdecode(listed).split("\0"))
    if ANSWERS_FILE not in names:  # no repository, or one that ignores this folder
        names = all_files(folder)
    return sorted(
        name
        for name in names
        if name and (folder / name).is_file() and not (folder / name).is_symlink()
    )


def all_files(folder: Path) -> set[str]:
    """Return every file of a folder that its own `.gitignore` does not name."""
    ignore = folder / ".gitignore"
    lines = ignore.read_text(errors="replace").splitlines() if ignore.is_file() else []
    ignored = GitIgnoreSpec.from_lines(lines)
    found: set[str] = set()
    for parent, folders, files in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if name != ".git" and not ignored.match_file(f"{(inside / name).as_posix()}/")
        ]
        found.update((inside / name).as_posix() for name in files)
    return {name for name in found if not ignored.match_file(name)}


def read_text(file: Path) -> str | None:
    """Return a file's text; nothing when it is binary."""
    content = file.read_bytes()
    if b"\0" in content:
        return None
    return content.decode("utf-8-sig", errors="replace")
