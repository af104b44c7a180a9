"""The versions that services are made from, from the repository's own history."""

import shutil
import tomllib
from pathlib import Path

from packaging.version import Version
from slipway.git import git
from slipway.maintainers.history import release_commit as find_commit
from slipway.maintainers.history import released_versions
from slipway.rendering import TEMPLATE_PARTS, snapshot

from tests.product import ROOT


def version() -> str:
    manifest = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(manifest["project"]["version"])


def released() -> list[str]:
    """Return the versions to update from, oldest first; the present one before its release."""
    found = released_versions((ROOT / "CHANGELOG.md").read_text())
    return list(reversed(found)) or [version()]


def release_commit(version: str) -> str:
    """Return the commit of a release; before it is made, the newest: what would be tagged."""
    return find_commit(ROOT, version) or git(ROOT, "rev-parse", "HEAD").decode().strip()


def last_of_each_minor(versions: list[str]) -> list[str]:
    """Return the oldest version and the last one of each minor, of versions oldest first."""
    last = {Version(number).release[:2]: number for number in versions}
    return list(dict.fromkeys([versions[0], *last.values()]))


def following(number: int = 1) -> str:
    """Return the version that is so many patches after the present one."""
    current = Version(version())
    return f"{current.major}.{current.minor}.{current.micro + number}"


def replace_template(folder: Path, ref: str | None) -> None:
    """Put the template of a commit, or of the working tree, in the place of what is there."""
    for part in TEMPLATE_PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).unlink(missing_ok=True)
    snapshot(ROOT, folder, ref)
