"""Says what the gates found: a table for people, lines for pipes, JSON for machines."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slipway.gates import Report, inspect


def run(folder: Path, *, json: bool) -> bool:
    """Print what the gates say about a service; whether they found something."""
    report = inspect(folder)
    if json:
        print(as_json(report))
    else:
        show(report, Console())
    return bool(report.findings)


def as_json(report: Report) -> str:
    """Return a report for machines."""
    passed = report.passed
    return dumps(
        {
            "service": report.service,
            "gates": [
                {"id": gate.id, "title": gate.title, "passed": gate in passed}
                for gate in report.gates
            ],
            "findings": [asdict(finding) for finding in report.findings],
        },
        indent=2,
        ensure_ascii=False,
    )


def as_lines(report: Report) -> str:
    """Return a report in plain text: one line for each finding, one for what passed."""
    return "\n".join([*map(str, report.findings), *summary(report)])


def summary(report: Report) -> list[str]:
    """Return the closing lines: which gates passed, and how many."""
    passed = report.passed
    lines = [f"passed: {', '.join(gate.id for gate in passed)}"] if passed else []
    return [*lines, f"{report.service}: {len(passed)} of {len(report.gates)} gates passed"]


def show(report: Report, console: Console) -> None:
    """Print a report, as tables on a terminal."""
    if not console.is_terminal:
        console.out(as_lines(report), highlight=False)
        return
    if report.findings:
        table = Table(show_lines=True)
        for column in ("gate", "where", "what is wrong", "what to do"):
            table.add_column(column, overflow="fold")
        for finding in report.findings:
            cells = (
                finding.gate,
                f"{finding.file}:{finding.line}",
                finding.problem,
                finding.remedy,
            )
            table.add_row(*map(Text, cells))
        console.print(table)
    console.print("\n".join(summary(report)), highlight=False, markup=False)
