"""The releases of this repository, also where its tags are missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.git import git

HEADING = re.compile(r"^## \[?v?(\d+\.\d+\.\d+)\]?.*$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """A version that services can have, and the commit it was made of."""

    version: str
    commit: str


def released_versions(changelog: str) -> list[str]:
    """Return the versions of a changelog, as they stand there."""
    return HEADING.findall(changelog)


def release_commit(repository: Path, version: str) -> str | None:
    """Return the commit of a release: of its tag, or by its subject; None when it is not made."""
    tag = f"refs/tags/v{version}^{{commit}}"
    found = git(repository, "rev-parse", "--quiet", "--verify", tag, fine=(0, 1, 128))
    if not found:
        subject = f"--grep=^Release {re.escape(version)}$"
        found = git(repository, "log", "--max-count=1", "--format=%H", subject, "HEAD")
    return found.decode().strip() or None


def releases(repository: Path) -> list[Release]:
    """Return the releases that the changelog names, newest first."""
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    found = [(one, release_commit(repository, one)) for one in released_versions(changelog)]
    if missing := [version for version, commit in found if commit is None]:
        raise SlipwayError(
            f"CHANGELOG.md names {', '.join(missing)}, and history has no such release: "
            "run git fetch --tags (--unshallow where the clone is shallow)"
        )
    return [Release(version, commit) for version, commit in found if commit]
