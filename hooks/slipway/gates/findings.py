"""What a gate is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.gates.service import Service


@dataclass(frozen=True, order=True)
class Place:
    """A line of a file; the path is relative to the service."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return the form that editors and CI turn into a link."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, at one place."""

    place: Place
    problem: str


@dataclass(frozen=True)
class Gate:
    """One quality gate.

    Attributes:
        id: its name in reports.
        title: what holds when it passes.
        reads: the files it looks at, in words.
        remedy: what to do about a finding.
        check: finds what is wrong.

    """

    id: str
    title: str
    reads: str
    remedy: str
    check: Callable[[Service], Iterator[Fault]]


@dataclass(frozen=True)
class Finding:
    """What a gate found: where, what, and what to do."""

    gate: str
    file: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.file}:{self.line}: [{self.gate}] {self.problem}. {self.remedy}"
