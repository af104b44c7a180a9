"""What services and scripts rely on, and how large a version a change to it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from packaging.version import Version

from slipway.source import questions


class Level(IntEnum):
    """The parts of a version, from small to large."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True)
class Demand:
    """A change to the interface."""

    level: Level
    reason: str


def choices(question: Mapping[str, Any]) -> list[Any]:
    """Return the values that can be chosen; none where they depend on other answers."""
    listed = question.get("choices", [])
    if isinstance(listed, str):
        return []
    values = listed.values() if isinstance(listed, Mapping) else listed
    return [value["value"] if isinstance(value, Mapping) else value for value in values]


def kind(question: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what makes an answer of one version an answer of another."""
    return question.get("type", "yaml"), question.get("multiselect", False)


def demands_of_questions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Demand]:
    """Compare the interviews of two copier.yml."""
    before, after = questions(old), questions(new)
    for name in sorted(before.keys() - after.keys()):
        yield Demand(Level.MAJOR, f"the question {name} is gone")
    for name, question in after.items():
        known = before.get(name)
        if known is None:
            yield Demand(Level.MINOR, f"the question {name} is new")
        else:
            yield from demands_of_question(name, known, question)
        if "default" not in question and (known is None or "default" in known):
            yield Demand(Level.MAJOR, f"the question {name} has no default")


def demands_of_question(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Demand]:
    """Compare one question of two versions."""
    if kind(old) != kind(new):
        yield Demand(Level.MAJOR, f"the question {name} has another type")
    for choice in choices(old):
        if choices(new) and choice not in choices(new):
            yield Demand(Level.MAJOR, f"the question {name} has lost the choice {choice}")
    for choice in choices(new):
        if choice not in choices(old):
            yield Demand(Level.MINOR, f"the question {name} has the new choice {choice}")


def demands_of_paths(old: Iterable[str], new: Iterable[str]) -> Iterator[Demand]:
    """Compare the files that two versions render from the same answers."""
    before, after = set(old), set(new)
    for path in sorted(after - before):
        yield Demand(Level.MINOR, f"{path} is new")
    for path in sorted(before - after):
        yield Demand(Level.MINOR, f"{path} is gone")


def smallest_version(current: Version, demands: Iterable[Demand]) -> tuple[Version, str]:
    """Return the smallest version that may follow, and the change that makes it so large."""
    largest = max(demands, key=lambda demand: demand.level, default=Demand(Level.PATCH, ""))
    level = largest.level
    if current.major == 0:  # anything may change before 1.0.0, but never in a patch
        level = min(level, Level.MINOR)
    major, minor, patch = current.release
    following = {
        Level.MAJOR: f"{major + 1}.0.0",
        Level.MINOR: f"{major}.{minor + 1}.0",
        Level.PATCH: f"{major}.{minor}.{patch + 1}",
    }[level]
    return Version(following), largest.reason
