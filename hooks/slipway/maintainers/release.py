"""`make release`: checks, then one commit and one annotated tag; nothing is pushed."""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers.answer_sets import ANSWER_SETS, Answers
from slipway.maintainers.history import Release, releases
from slipway.maintainers.interface import (
    Demand,
    demands_of_paths,
    demands_of_questions,
    smallest_version,
)
from slipway.maintainers.locks import run
from slipway.maintainers.notes import NOTES, promoted, unreleased
from slipway.maintainers.rendered import Renders, gone, pairs, renders, unprotected

# Each makes every copy and update need --trust, for good.
FORBIDDEN = ("_tasks", "_migrations", "_jinja_extensions")
CHECK = ("make", "check")


def release(
    repository: Path,
    version: str,
    *,
    on: date,
    answer_sets: Mapping[str, Answers] = ANSWER_SETS,
    check: Sequence[str] = CHECK,
) -> str:
    """Release what is committed; all of it, or nothing.

    Args:
        repository: this repository.
        version: the version to make, as X.Y.Z.
        on: the day that the notes name.
        answer_sets: the services that are compared with those of earlier releases.
        check: the command that looks at the code first.

    Returns:
        What to do next, for a person to read.

    Raises:
        SlipwayError: something is in the way, in one line that says what to do.

    """
    examine(repository, version, answer_sets=answer_sets, check=check)
    record(repository, version, on)
    return f"""\
{version} is committed and tagged as v{version}, and not pushed. Next:

  git push --follow-tags
"""


def examine(
    repository: Path, version: str, *, answer_sets: Mapping[str, Answers], check: Sequence[str]
) -> None:
    """Raise a SlipwayError when something is in the way of a release; what is quick comes first."""
    refuse_version(repository, version)
    refuse_state(repository)
    refuse_notes(repository)
    settings = read_settings((repository / "copier.yml").read_bytes())
    refuse_trust(settings)
    with tempfile.TemporaryDirectory(prefix="slipway-release-") as scratch:
        rendered = renders(repository, Path(scratch))
        made, sets = releases(repository), list(answer_sets.values())
        refuse_unprotected(settings, rendered, made, sets)
        if made:
            demands = changes_since(repository, made[0], settings, rendered, sets)
            refuse_small_version(made[0], version, demands)
    refuse_code(repository, check)


def refuse_version(repository: Path, version: str) -> None:
    """Raise unless it is a version that may follow the present one."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise SlipwayError(f"{version!r} is not a version: make release VERSION=X.Y.Z, without v")
    manifest = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    current = manifest["project"]["version"]
    if Version(version) <= Version(current):
        raise SlipwayError(f"{version} does not follow {current}: name a greater version")
    if git(repository, "tag", "--list", f"v{version}").strip():
        raise SlipwayError(
            f"the tag v{version} is there: name another version, or delete a tag that was "
            f"never pushed (git tag --delete v{version})"
        )


def refuse_state(repository: Path) -> None:
    """Raise unless everything is committed, on a branch."""
    if not git(repository, "symbolic-ref", "--quiet", "HEAD", fine=(0, 1)):
        raise SlipwayError("HEAD is on no branch: git switch to the one that is released")
    if changed := git(repository, "status", "--porcelain").decode().splitlines():
        names = ", ".join(line[3:] for line in changed[:3]) + (", ..." if changed[3:] else "")
        raise SlipwayError(f"not committed: {names}; commit or remove them, then release")


def refuse_notes(repository: Path) -> None:
    """Raise unless both documents say what the version brings."""
    for name in NOTES:
        if not unreleased((repository / name).read_text(encoding="utf-8")):
            nothing = ' (at least "Nothing to do.")' if name == "UPGRADING.md" else ""
            raise SlipwayError(
                f"{name} says nothing under ## Unreleased: write what this version brings{nothing}"
            )


def read_settings(text: bytes) -> dict[str, Any]:
    """Return the content of a copier.yml."""
    settings: dict[str, Any] = yaml.safe_load(text)
    return settings


def refuse_trust(settings: Mapping[str, Any]) -> None:
    """Raise when services could be made and updated with --trust only."""
    if found := [name for name in FORBIDDEN if settings.get(name)]:
        raise SlipwayError(
            f"copier.yml has {', '.join(found)}: take it out, or every update of every service "
            "needs --trust (docs/decisions/0001-no-trust.md)"
        )


def refuse_unprotected(
    settings: Mapping[str, Any],
    rendered: Renders,
    made: Sequence[Release],
    answer_sets: Sequence[Answers],
) -> None:
    """Raise when `copier update` would delete what a service has edited."""
    lost = unprotected(settings, gone(rendered, made, answer_sets))
    if lost:
        names = ", ".join(f"/{one.path} (rendered by {one.release})" for one in lost)
        raise SlipwayError(
            f"add to _exclude in copier.yml, so that an update keeps a service's edits: {names}"
        )


def changes_since(
    repository: Path,
    last: Release,
    settings: Mapping[str, Any],
    rendered: Renders,
    answer_sets: Sequence[Answers],
) -> list[Demand]:
    """Return what has changed in the interface since a release."""
    before = read_settings(git(repository, "show", f"{last.commit}:copier.yml"))
    return [
        *demands_of_questions(before, settings),
        *(
            demand
            for old, new in pairs(rendered, last, answer_sets)
            for demand in demands_of_paths(old.paths, new.paths)
        ),
    ]


def refuse_small_version(last: Release, version: str, demands: Sequence[Demand]) -> None:
    """Raise when a version promises less change than there is."""
    smallest, reason = smallest_version(Version(last.version), demands)
    if Version(version) < smallest:
        raise SlipwayError(f"{version} is too small: {reason}; name {smallest} or greater")


def refuse_code(repository: Path, check: Sequence[str]) -> None:
    """Raise when the linters find something; it stands above the line that says so."""
    if subprocess.run(check, cwd=repository, check=False).returncode:
        raise SlipwayError(f"{' '.join(check)} found something, see above: put it right first")


def record(repository: Path, version: str, on: date) -> None:
    """Make the commit and the tag of a release beside the working tree, then move the branch."""
    tag = f"v{version}"
    with worktree(repository) as folder:
        for name in NOTES:
            file = folder / name
            file.write_text(
                promoted(file.read_text(encoding="utf-8"), version, on), encoding="utf-8"
            )
        run(("uv", "version", "--no-sync", version), folder)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"Release {version}")
        git(folder, "tag", "--annotate", "--message", f"Release {version}", tag)
        commit = git(folder, "rev-parse", "HEAD").decode().strip()
        try:
            git(repository, "merge", "--quiet", "--ff-only", commit)
        except BaseException:
            git(repository, "tag", "--delete", tag)
            raise


@contextmanager
def worktree(repository: Path) -> Iterator[Path]:
    """Check out HEAD in a folder of its own, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="slipway-release-") as scratch:
        folder = Path(scratch, "worktree")
        git(repository, "worktree", "add", "--quiet", "--detach", str(folder), "HEAD")
        try:
            yield folder
        finally:
            git(repository, "worktree", "remove", "--force", str(folder))
