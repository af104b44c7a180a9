"""The template's own facts, read from the template, so that no test repeats them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from slipway.rendering import repository_root

ROOT = repository_root()
COPIER_YML = ROOT / "copier.yml"
TEMPLATE = ROOT / "template"
PINS = TEMPLATE / "_partials" / "pins.yaml"


@dataclass(frozen=True)
class Question:
    """One entry of copier.yml that is not a setting."""

    name: str
    details: Mapping[str, Any]

    @property
    def asked(self) -> bool:
        """Say whether it is a question, not a value that is derived from answers."""
        return self.details.get("when") is not False

    @property
    def of_the_platform(self) -> bool:
        """Say whether it is asked only on request."""
        return "ask" in self.details

    @property
    def type(self) -> str:
        return str(self.details["type"])

    @property
    def choices(self) -> list[Any]:
        """Return the values that can be chosen; none where the answer is free."""
        choices = self.details.get("choices", [])
        return list(choices.values() if isinstance(choices, Mapping) else choices)

    @property
    def validator(self) -> str:
        return str(self.details.get("validator", ""))

    @property
    def is_free_text(self) -> bool:
        return self.type == "str" and not self.choices


@dataclass(frozen=True)
class Interview:
    """A copier.yml."""

    settings: Mapping[str, Any]
    entries: Mapping[str, Question]

    @property
    def questions(self) -> list[Question]:
        """Return what is asked, in order."""
        return [entry for entry in self.entries.values() if entry.asked]

    def excluded(self, operation: str, *, answered: bool = True) -> list[str]:
        """Return the patterns of `_exclude` that hold during `operation`.

        Args:
            operation: copy or update.
            answered: whether the folder that is written holds answers already.

        """
        # What is given up for some answers is about them; without answers it holds for nobody.
        options = {**self.environment_options, "undefined": jinja2.Undefined}
        environment = jinja2.Environment(**options)  # noqa: S701 - no HTML
        known = {
            "_copier_operation": operation,
            "_external_data": {"previous": {"_commit": "v1"} if answered else {}},
        }
        rendered = (
            environment.from_string(entry).render(known) for entry in self.settings["_exclude"]
        )
        return [pattern for pattern in rendered if pattern]

    @property
    def environment_options(self) -> dict[str, Any]:
        """Return the delimiters and the rest of `_envops` as Jinja takes them."""
        return {**self.settings["_envops"], "undefined": jinja2.StrictUndefined}

    @property
    def delimiters(self) -> list[str]:
        return [
            str(value) for name, value in self.settings["_envops"].items() if name.endswith("g")
        ]


def read_interview(file: Path = COPIER_YML) -> Interview:
    """Read a copier.yml."""
    whole: dict[str, Any] = yaml.safe_load(file.read_text())
    return Interview(
        settings={name: value for name, value in whole.items() if name.startswith("_")},
        entries={
            name: Question(name, details)
            for name, details in whole.items()
            if not name.startswith("_")
        },
    )


@cache
def interview() -> Interview:
    return read_interview()


def derived(name: str) -> Any:
    """Return a derived value of copier.yml that holds no template."""
    return interview().entries[name].details["default"]


@cache
def pins() -> dict[str, str]:
    """Return every version that a rendered file names."""
    read: dict[str, str] = yaml.safe_load(PINS.read_text())
    return read


def static_sources(template: Path = TEMPLATE) -> Iterator[Path]:
    """Yield the files of the template that reach a service as they are."""
    for path in sorted(template.rglob("*")):
        if path.is_file() and path.suffix != ".jinja" and "_partials" not in path.parts:
            yield path


def files(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path, git's own left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
