"""Rollback: how to go back is written down before anybody needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service

PAGES = ("runbooks/rollback.md", "README.md")
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


GATES = (
    Gate(
        "rollback-documented",
        "How to roll back is written down",
        "the headings of `README.md` and of a runbook on rolling back, rollback.md",
        "Write a section 'Roll back' that says what to run",
        undocumented,
    ),
)
