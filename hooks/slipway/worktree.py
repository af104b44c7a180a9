"""Files of a worktree, put in their place and taken away in one step each."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path


def put(source: Path, target: Path) -> None:
    """Put a file in its place in one step; only empty folders may be there."""
    if target.is_dir() and not target.is_symlink():
        for folder in sorted(target.rglob("*"), reverse=True):
            folder.rmdir()
        target.rmdir()
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The worktree is on another file system than its repository.
        copy = beside(target)
        copy.unlink(missing_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)
        copy.replace(target)


def beside(target: Path) -> Path:
    """Return where a file stands, under its own file system, before it is put in its place."""
    return target.with_name(f".{target.name}.slipway")


def remove(top: Path, path: str) -> None:
    """Delete a file and the folders that it leaves empty."""
    place = top / path
    with suppress(NotADirectoryError):
        beside(place).unlink(missing_ok=True)
    if is_file(place):
        place.unlink()
    for parent in Path(path).parents[:-1]:
        try:
            (top / parent).rmdir()
        except OSError:
            return


def is_file(place: Path) -> bool:
    """Return whether a file or link is there."""
    return place.is_symlink() or place.is_file()


def same(one: Path, other: Path) -> bool:
    """Return whether two files have the same content, kind and executable bit."""
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    executable = [bool(path.stat().st_mode & 0o100) for path in (one, other)]
    return executable[0] == executable[1] and one.read_bytes() == other.read_bytes()
