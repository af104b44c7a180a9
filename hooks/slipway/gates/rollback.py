"""Rollback: how to go back is written down before anybody needs it, and practised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from markdown_it import MarkdownIt

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.images import DIGEST
from slipway.gates.service import Service

PAGES = ("runbooks/rollback.md", "README.md")
RELEASE = re.compile(r"deploy/environments/[^/]+/release/kustomization\.ya?ml")
DRILL = re.compile(r"runbooks/drills/(\d{4}-\d{2}-\d{2})-[^/]+\.md")
PASSED = re.compile(r"(?m)^\| result \| passed \|$")
DAYS = 90
ROLLBACK = re.compile(r"\broll(?:ing|s|ed)?[ -]?back", re.IGNORECASE)


def undocumented(service: Service) -> Iterator[Fault]:
    """Find a service that nowhere says how to roll back."""
    faults = []
    for page in PAGES:
        text = service.text(page)
        if text is None:
            continue
        line, written = rollback_section(text)
        if written:
            return
        problem = "the section on rolling back is empty" if line else "no heading on rolling back"
        faults.append(Fault(Place(page, line or 1), problem))
    yield from faults[:1] or [Fault(Place("README.md", 1), "there is no README.md")]


def rollback_section(text: str) -> tuple[int, bool]:
    """Return the line of the heading on rolling back, 0 without one, and whether text follows."""
    tokens = MarkdownIt().parse(text)
    line = 0
    for position, token in enumerate(tokens):
        if token.type != "heading_open" or not ROLLBACK.search(tokens[position + 1].content):
            continue
        line = (token.map or [0])[0] + 1
        following = tokens[position + 3 :]
        deeper = [one for one in following[:1] if one.type != "heading_open" or one.tag > token.tag]
        if deeper:
            return line, True
    return line, False


def undrilled(service: Service) -> Iterator[Fault]:
    """Find a service that is released, and where nobody has gone back in a drill for long.

    What was never released has nothing to go back to.
    """
    released = list(releases(service))
    if not released:
        return
    newest = max(drills(service), default=None)
    today = datetime.now(UTC).date()
    if newest is None:
        yield Fault(released[-1], "it is released, and no drill of a rollback has passed")
    elif (age := (today - newest).days) > DAYS:
        yield Fault(released[-1], f"the last drill of a rollback that passed is {age} days old")


def releases(service: Service) -> Iterator[Place]:
    """Yield where environments name the image that runs there, by its digest."""
    for file in filter(RELEASE.fullmatch, service.files):
        for number, line in enumerate((service.text(file) or "").splitlines(), start=1):
            if DIGEST.search(line):
                yield Place(file, number)


def drills(service: Service) -> Iterator[date]:
    """Yield the days on which a drill passed."""
    for file in service.files:
        found = DRILL.fullmatch(file)
        if found and PASSED.search(service.text(file) or ""):
            try:
                yield date.fromisoformat(found[1])
            except ValueError:  # no day of any year
                continue


GATES = (
    Gate(
        "rollback-documented",
        "How to roll back is written down",
        "the headings of `README.md` and of a runbook on rolling back, rollback.md",
        "Write a section 'Roll back' that says what to run",
        undocumented,
    ),
    Gate(
        "rollback-drilled",
        "A rollback was drilled within 90 days",
        "the reports in `runbooks/drills/`; until `release/` of an environment names a digest, none"
        " is needed",
        "Run `make rollback-drill ENV=...`, and commit its report",
        undrilled,
    ),
)
