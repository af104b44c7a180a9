"""`.slipway.yaml`: where a service differs from the template on purpose."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pathspec import GitIgnoreSpec

from slipway.errors import SlipwayError

FILE = ".slipway.yaml"
FIELDS = {"path", "reason", "until"}


@dataclass(frozen=True)
class Accepted:
    """One accepted difference.

    Attributes:
        path: a file, or a pattern as in .gitignore.
        reason: why the service differs.
        until: the last day on which that is accepted.

    """

    path: str
    reason: str
    until: datetime.date

    def covers(self, path: str) -> bool:
        """Return whether it is about this file."""
        return GitIgnoreSpec.from_lines([self.path]).match_file(path)

    def expired(self, today: datetime.date) -> bool:
        """Return whether its last day is over."""
        return today > self.until


def read_accepted(folder: Path) -> list[Accepted]:
    """Read a service's accepted differences; none, where there is no such file.

    Raises:
        SlipwayError: the file does not have the form that the documentation shows.

    """
    file = folder / FILE
    if not file.exists():
        return []
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day such as 2026-02-30
        mark = getattr(error, "problem_mark", None)
        raise SlipwayError(
            f"{FILE}{f', line {mark.line + 1}' if mark else ''}: no YAML: patterns stand in quotes"
        ) from error
    if content is None:
        return []
    entries = content.get("accepted") if isinstance(content, dict) else None
    if not isinstance(entries, list) or content.keys() != {"accepted"}:
        raise SlipwayError(f"{FILE}: write one list named accepted, of path, reason and until")
    return [parse(number, entry) for number, entry in enumerate(entries, 1)]


def parse(number: int, entry: object) -> Accepted:
    """Return one entry.

    Raises:
        SlipwayError: a field is missing, unknown or of another kind.

    """
    if not isinstance(entry, dict) or entry.keys() != FIELDS:
        raise SlipwayError(f"{FILE}: entry {number} needs path, reason and until, nothing else")
    for name in ("path", "reason"):
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise SlipwayError(f"{FILE}: entry {number}: {name} is {entry[name]!r}: write a text")
    try:
        GitIgnoreSpec.from_lines([entry["path"]])
    except (ValueError, re.error) as error:
        raise SlipwayError(
            f"{FILE}: entry {number}: path is {entry['path']!r}: write a pattern as in .gitignore"
        ) from error
    until = entry["until"]
    if not isinstance(until, datetime.date) or isinstance(until, datetime.datetime):
        raise SlipwayError(f"{FILE}: entry {number}: until is {until!r}: write a day as 2027-03-31")
    return Accepted(entry["path"], entry["reason"].strip(), until)


def acceptance(
    entries: Sequence[Accepted], path: str, today: datetime.date
) -> tuple[Accepted, bool] | None:
    """Return the entry that covers a file, and whether it still counts; the longest one wins."""
    covering = [entry for entry in entries if entry.covers(path)]
    if not covering:
        return None
    longest = max(covering, key=lambda entry: entry.until)
    return longest, not longest.expired(today)
