"""What the commands of `slipway` do, one function for each; `cli.py` has their options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from slipway import applying
from slipway.answers import parse_data
from slipway.drift import find_drift
from slipway.reports import (
    drift_as_json,
    line,
    next_steps,
    progress,
    show_drift,
    show_patch,
    show_update,
    update_as_json,
)
from slipway.service import open_service
from slipway.updating import Request, plan_update


def update(
    folder: Path,
    *,
    to: str | None,
    data: list[str],
    template: str | None,
    defaults: bool,
    json: bool,
) -> bool:
    """Update a service; whether files are in conflict."""
    service = open_service(folder)
    applying.refuse_interrupted(service)
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not defaults and not json
    request = Request(to, parse_data(data), template, interactive)
    with scratch() as work, progress(quiet=json or interactive) as tell:
        done, _ = plan_update(service, request, work, keep=True, tell=tell)
        if done.changed_paths:
            tell("Writing")
            applying.apply(service, done)
    if json:
        print(update_as_json(done))
    else:
        console = Console()
        show_update(console, done)
        for step in next_steps(done):
            line(console, step)
    return bool(done.merge.conflicts)


def preview(
    folder: Path,
    *,
    to: str | None,
    data: list[str],
    template: str | None,
    diff: bool,
    json: bool,
) -> bool:
    """Show what an update would do; whether files would be in conflict."""
    service = open_service(folder)
    applying.refuse_interrupted(service)
    request = Request(to, parse_data(data), template)
    with scratch() as work:
        with progress(quiet=json) as tell:
            planned, store = plan_update(service, request, work, keep=False, tell=tell)
        patch = store.patch(planned.ours, planned.merge.result) if diff else None
    if json:
        print(update_as_json(planned, patch))
    else:
        console = Console()
        show_update(console, planned)
        if patch:
            show_patch(console, patch)
    return bool(planned.merge.conflicts)


def drift(folder: Path, *, template: str | None, heal: list[str], json: bool) -> bool:
    """Show how a service differs from its recorded version; whether any of it counts."""
    service = open_service(folder)
    applying.refuse_interrupted(service)
    with scratch() as work, progress(quiet=json) as tell:
        found = find_drift(service, work, template=template, heal=heal, tell=tell)
    if json:
        print(drift_as_json(found))
    else:
        console = Console()
        for path in heal:
            line(console, f"healed {path}: read it with git diff, and commit")
        show_drift(console, found)
    return bool(found.found)


def resume(folder: Path) -> bool:
    """Finish an interrupted update; whether files are in conflict."""
    journal = applying.resume(open_service(folder))
    print("taken back" if journal.undo else f"updated to {journal.version}; read it, then commit")
    if journal.conflicts:
        print(f"in conflict: {', '.join(journal.conflicts)}")
    return bool(journal.conflicts)


def abort(folder: Path) -> None:
    """Take an update back."""
    journal = applying.abort(open_service(folder))
    print(f"the update to {journal.version} is taken back")


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder for the time of one command."""
    with TemporaryDirectory(prefix="slipway-") as folder:
        yield Path(folder)
