"""`make dashboards`: the dashboards of a rendered service, as files of the template.

One module a dashboard; `panels` is the vocabulary they are written in, `board` what they have in
common, `emitting` how they become a template. Needs Grafana's SDK, which only this repository has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.maintainers.dashboards import business, red, slo, use

FOLDER = "observability/dashboards"
# Without business metrics there is nothing to show.
BUSINESS = "[% if business_metrics %]business.json[% endif %].jinja"


def files() -> Mapping[str, str]:
    """Return the text of every file, by its path in `template/`."""
    shared = {
        f"{FOLDER}/red.json.jinja": red.BOARD.text(),
        f"{FOLDER}/slo.json.jinja": slo.BOARD.text(),
        f"{FOLDER}/{BUSINESS}": business.BOARD.text(),
    }
    of_stacks = {
        f"[[{stack}]]/{FOLDER}/use.json.jinja": use.board(stack).text() for stack in use.RUNTIMES
    }
    return {**shared, **of_stacks}


def write(template: Path) -> list[Path]:
    """Write every file below a template's folder; return those that were not current."""
    changed = stale(template)
    for path, text in files().items():
        file = template / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return changed


def stale(template: Path) -> list[Path]:
    """Return the files below a template's folder that are missing or not current."""
    return [
        template / path
        for path, text in files().items()
        if not (template / path).is_file() or (template / path).read_text(encoding="utf-8") != text
    ]


def refuse_stale(template: Path) -> None:
    """Raise a SlipwayError that names the dashboards which are not current."""
    if found := stale(template):
        names = ", ".join(str(file.relative_to(template)) for file in found)
        raise SlipwayError(f"{names}: not current, run make dashboards")
