"""The template's repository: its versions, and what a version says about itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from slipway.errors import SlipwayError
from slipway.git import git
from slipway.rendering import snapshot

# The short forms that Copier accepts.
SHORTCUTS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
HEADING = re.compile(r"(?m)^## ")


@dataclass(frozen=True)
class TemplateVersion:
    """A version of the template.

    Attributes:
        name: as `git describe` names it: a tag, or a tag and what came after it.
        commit: the full name of the commit.

    """

    name: str
    commit: str

    @property
    def number(self) -> Version | None:
        """Its version, or that of the tag before it; None when there is none."""
        return version_number(self.name) or version_number(
            re.sub(r"-\d+-g[0-9a-f]+$", "", self.name)
        )


class Source:
    """A template's repository, cloned once for all that one command wants of it."""

    def __init__(self, address: str, folder: Path) -> None:
        """Clone the repository.

        Args:
            address: a URL, a path, or a short form such as `gh:owner/name`.
            folder: the folder to clone into; made here.

        Raises:
            SlipwayError: it cannot be read.

        """
        self.address = address
        self.folder = folder
        try:
            git(
                folder.parent,
                *("clone", "--config=core.askPass=true", "--quiet", "--bare"),
                *("--", expand(address), str(folder)),
            )
        except SlipwayError as error:
            said = str(error).removeprefix("git clone: ").removeprefix("fatal: ")
            raise SlipwayError(
                f"the template {address} cannot be read ({said}): "
                "check the network, or give its new address with --template"
            ) from error

    def resolve(self, name: str) -> TemplateVersion:
        """Return the version that a tag, branch, commit or description stands for.

        Raises:
            SlipwayError: the repository has no such version.

        """
        found = git(
            self.folder,
            *("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"),
            fine=(0, 1, 128),
        )
        commit = found.decode().strip()
        if not commit:
            raise SlipwayError(
                f"the template {self.address} has no version {name}: "
                f"it has {', '.join(self.versions()[-3:]) or 'none'}"
            )
        described = git(self.folder, "describe", "--tags", "--always", commit)
        return TemplateVersion(described.decode().strip(), commit)

    def newest(self) -> TemplateVersion:
        """Return the newest release; without any, the newest commit."""
        released = self.versions()
        return self.resolve(released[-1] if released else "HEAD")

    def versions(self) -> list[str]:
        """Return the tags of releases, oldest first; those of trials are left out."""
        tags = git(self.folder, "tag", "--list").decode().split()
        numbers = {tag: number for tag in tags if (number := version_number(tag))}
        return sorted(
            (tag for tag, number in numbers.items() if not number.is_prerelease),
            key=lambda tag: numbers[tag],
        )

    def folder_of(self, version: TemplateVersion, destination: Path) -> Path:
        """Write the files of a version into a folder and return it."""
        return snapshot(self.folder, destination, version.commit, parts=())

    def text(self, version: TemplateVersion, path: str) -> str:
        """Return a text file of a version, empty where there is none."""
        found = git(self.folder, "show", f"{version.commit}:{path}", fine=(0, 128))
        return found.decode(errors="replace")

    def settings(self, version: TemplateVersion) -> Mapping[str, Any]:
        """Return the content of a version's `copier.yml`.

        Raises:
            SlipwayError: there is none, or it is no mapping.

        """
        try:
            content = yaml.safe_load(self.text(version, "copier.yml"))
        except yaml.YAMLError as error:
            raise SlipwayError(f"copier.yml of {version.name} is no plain YAML") from error
        if not isinstance(content, dict):
            raise SlipwayError(f"{self.address} holds no template at {version.name}")
        return content


def expand(address: str) -> str:
    """Return an address as git takes it.

    Raises:
        SlipwayError: it is a relative path, which means something else in every folder.

    """
    for short, url in SHORTCUTS.items():
        if address.startswith(short):
            return f"{url}{address.removeprefix(short)}.git"
    address = address.removeprefix("git+")
    if "://" in address or re.match(r"[^/]+@[^/]+:", address):
        return address
    path = Path(address).expanduser()
    if not path.is_absolute():
        raise SlipwayError(
            f"the template's address {address} is relative: give its URL with --template"
        )
    return str(path)


def version_number(name: str) -> Version | None:
    """Return the version that a tag names, if it names one."""
    try:
        return Version(name)
    except InvalidVersion:
        return None


def questions(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what a `copier.yml` asks: its questions by name, without derived answers."""
    return {
        name: question
        for name, question in settings.items()
        if not name.startswith("_")
        and isinstance(question, dict)
        and question.get("when") is not False
    }


def notes(upgrading: str, after: Version | None, until: Version | None) -> list[str]:
    """Return the sections of `UPGRADING.md` between two versions, oldest first.

    Args:
        upgrading: the file's text, with a section `## X.Y.Z` for each version.
        after: the version that the service has; None when it is not known.
        until: the version that it gets; None means all that follow.

    Returns:
        The sections with their headings.

    """
    found: list[tuple[Version, str]] = []
    for section in HEADING.split(upgrading)[1:]:
        title = section.split("\n", 1)[0]
        number = version_number(title.split(" ")[0].strip("[]"))
        if number and (after is None or number > after) and (until is None or number <= until):
            found.append((number, f"## {section.strip()}"))
    return [section for _, section in sorted(found, key=lambda pair: pair[0])]


def newer(versions: Iterable[str], than: Version | None) -> list[str]:
    """Return the versions after one."""
    return [name for name in versions if than and (n := version_number(name)) and n > than]
