"""What an update says: a table for people, plain text where there is no terminal, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slipway.drift import Difference, Drift, State
from slipway.merging import Change, Status
from slipway.updating import Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

STYLES = {
    Status.CLEAN: "green",
    Status.MERGED: "green",
    Status.CONFLICT: "bold red",
    Status.MOVED: "cyan",
    Status.KEPT: "yellow",
    Status.DROPPED: "magenta",
    Status.NEW: "blue",
}
# Files whose change makes the lock file stale, which is the service's own.
MANIFESTS = ("pyproject.toml", "package.json", "go.mod")


def update_as_json(update: Update, patch: str | None = None) -> str:
    """Return an update for machines."""
    content: dict[str, Any] = {
        "from": update.before.name,
        "to": update.after.name,
        "conflicts": sorted(update.merge.conflicts),
        "files": [asdict(change) for change in update.changes],
        "new_answers": dict(update.new_answers),
        "changed_answers": {
            name: {"from": old, "to": new} for name, (old, new) in update.changed_answers.items()
        },
        "notes": list(update.notes),
    }
    if patch is not None:
        content["diff"] = patch
    return json.dumps(content, indent=2, default=str)


def show_update(console: Console, update: Update) -> None:
    """Show what an update does, then what it asks of people."""
    if not update.changed_paths:
        console.print(f"nothing to do: {update.before.name} is up to date", highlight=False)
        return
    same = update.before.name == update.after.name
    console.print(
        f"{update.before.name}, other answers" if same else
        f"{update.before.name} -> {update.after.name}",
        highlight=False,
    )  # fmt: skip
    show_rows(
        console,
        ("", "file", ""),
        [(change.status.value, change.path, remark(change)) for change in update.changes],
        [STYLES[change.status] for change in update.changes],
    )
    for name, value in update.new_answers.items():
        line(console, f"new question {name}: {value!r} (slipway update --data {name}=… changes it)")
    for name, (old, new) in update.changed_answers.items():
        line(console, f"answer {name}: {old!r} -> {new!r}")
    for note in update.notes:
        console.print()
        line(console, note)


def drift_as_json(drift: Drift) -> str:
    """Return a service's drift for machines."""
    content = {
        "version": drift.version,
        "behind": drift.behind,
        "drift": len(drift.found),
        "files": [asdict(file) for file in drift.files],
        "owners": {owner.value: dict(states) for owner, states in drift.owners.items()},
        "unused": [asdict(entry) for entry in drift.unused],
        "diff": drift.patch,
    }
    return json.dumps(content, indent=2, default=str)


def show_drift(console: Console, drift: Drift) -> None:
    """Show by owner how a service differs from its version, then the patch."""
    behind = f", {len(drift.behind)} behind {drift.behind[-1]}" if drift.behind else ", the newest"
    line(console, f"recorded {drift.version}{behind}")
    for owner, states in drift.owners.items():
        counted = ", ".join(f"{states[state]} {state}" for state in State if states[state])
        line(console, f"{owner.value}: {counted}")
    show_rows(
        console,
        ("", "file", ""),
        [(file.state.value, file.path, judgement(file)) for file in drift.files],
        ["red" if file.counts else "green" for file in drift.files],
    )
    for entry in drift.unused:
        line(console, f".slipway.yaml: {entry.path}: there is no such difference; take it out")
    if drift.patch:
        console.print()
        show_patch(console, drift.patch)
    if drift.found:
        line(
            console,
            "slipway drift --heal PATH takes the template's side; "
            ".slipway.yaml accepts a difference",
        )


def judgement(file: Difference) -> str:
    """Return the words beside a file that differs."""
    words = [f"to {file.moved_to}"] if file.moved_to else []
    if file.accepted:
        verb = "accepted until" if not file.counts else "EXPIRED on"
        words.append(f"{verb} {file.accepted.until}: {file.accepted.reason}")
    return ", ".join(words)


def next_steps(update: Update) -> Iterator[str]:
    """Yield what to do after an update."""
    if not update.changed_paths:
        return
    if update.merge.conflicts:
        yield f"in conflict: {', '.join(sorted(update.merge.conflicts))}"
        yield "resolve them, git add them, and commit; slipway update --abort takes it all back"
    else:
        yield "read it with git diff --cached, then commit; slipway update --abort takes it back"
    changed = {change.path for change in update.changes}
    for manifest in sorted(changed.intersection(MANIFESTS)):
        yield f"{manifest} changed: run make lock before you commit"


def remark(change: Change) -> str:
    """Return the words beside a file."""
    origin = f"from {change.origin}" if change.origin else ""
    return ", ".join(filter(None, [origin, change.detail]))


def show_rows(
    console: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str],
) -> None:
    """Show rows as a table on a terminal, else as aligned text that other programs can read."""
    if not rows:
        return
    if console.is_terminal:
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=None, pad_edge=False)
        for row, style in zip(rows, styles, strict=True):
            table.add_row(Text(row[0], style=style), *(Text(cell) for cell in row[1:]))
        console.print(table)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line(console, "  ".join(cells).rstrip())


def line(console: Console, text: str) -> None:
    """Show text as it is: not wrapped, and square brackets are no markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_patch(console: Console, patch: str) -> None:
    """Show a patch, coloured on a terminal."""
    if not console.is_terminal:
        console.file.write(patch)  # rich would expand its tabs
        return
    from rich.syntax import Syntax

    console.print(Syntax(patch, "diff", background_color="default"))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], object]]:
    """Show on a terminal's standard error what is going on; yield the function that is told."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(f"{text} …")
