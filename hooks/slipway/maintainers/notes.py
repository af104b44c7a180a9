"""What CHANGELOG.md and UPGRADING.md collect until the next release."""

from __future__ import annotations

import re
from datetime import date

# Both are read by people, and UPGRADING.md by `slipway update` too.
NOTES = ("CHANGELOG.md", "UPGRADING.md")
UNRELEASED = "## Unreleased"
SECTION = re.compile(rf"(?ms)^{UNRELEASED}[ \t]*\n(.*?)(?=^## |\Z)")


def unreleased(text: str) -> str:
    """Return what stands under `## Unreleased`; empty when that is headings alone, or nothing."""
    found = SECTION.search(text)
    body = found[1].strip() if found else ""
    said = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
    return body if said else ""


def promoted(text: str, version: str, on: date) -> str:
    """Return a document with its `## Unreleased` under the name of a version."""
    return re.sub(rf"(?m)^{UNRELEASED}[ \t]*$", f"## {version} - {on.isoformat()}", text, count=1)
