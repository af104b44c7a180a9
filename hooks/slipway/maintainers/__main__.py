"""The maintainers' commands; the Makefile has a target for each."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from slipway.errors import SlipwayError
from slipway.maintainers.demo import demo as render_demo
from slipway.maintainers.locks import stale_locks, update_locks
from slipway.maintainers.reference import refuse_stale, write
from slipway.maintainers.release import release as make_release
from slipway.maintainers.render_diff import compare
from slipway.rendering import repository_root

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="What maintainers of the template run.",
)
COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}


@app.command()
def demo(
    destination: Annotated[Path | None, typer.Argument(help="Its folder (build/demo)")] = None,
) -> None:
    """Render a Python service from the working tree."""
    root = repository_root()
    folder = root / "build" / "demo" if destination is None else destination.absolute()
    typer.echo(render_demo(root, folder), nl=False)


@app.command()
def render_diff(
    base: Annotated[str, typer.Argument(help="A tag, branch or commit")] = "HEAD",
) -> None:
    """Show what changed in rendered services since BASE."""
    for line in str(compare(repository_root(), base)).splitlines():
        typer.secho(line, fg=COLOURS.get(line[:1]), bold=line.startswith("#"))


@app.command()
def reference(
    check: Annotated[bool, typer.Option(help="Write nothing; fail on a stale page")] = False,
) -> None:
    """Write the generated pages of docs/reference anew."""
    root = repository_root()
    if check:
        refuse_stale(root)
    else:
        for page in write(root):
            typer.echo(f"{page.relative_to(root)} written")


@app.command()
def dashboards(
    check: Annotated[bool, typer.Option(help="Write nothing; fail on a stale dashboard")] = False,
) -> None:
    """Write the dashboards of the rendered services anew."""
    # Only this command needs Grafana's SDK.
    from slipway.maintainers.dashboards import refuse_stale as refuse_stale_dashboards
    from slipway.maintainers.dashboards import write as write_dashboards

    root = repository_root()
    if check:
        refuse_stale_dashboards(root / "template")
    else:
        for file in write_dashboards(root / "template"):
            typer.echo(f"{file.relative_to(root)} written")


@app.command()
def locks(
    check: Annotated[bool, typer.Option(help="Write nothing; fail on a stale lock file")] = False,
    upgrade: Annotated[bool, typer.Option(help="Take the newest versions allowed")] = False,
) -> None:
    """Write the lock files of the rendered services anew."""
    root = repository_root()
    if check:
        if stale := stale_locks(root):
            names = ", ".join(str(lock.relative_to(root)) for lock in stale)
            raise SlipwayError(f"{names}: not current, run make locks")
    else:
        for lock in update_locks(root, upgrade=upgrade):
            typer.echo(f"{lock.relative_to(root)} written")


@app.command()
def release(
    version: Annotated[str, typer.Argument(help="The version to make, as X.Y.Z")],
) -> None:
    """Check, then commit and tag a version; push nothing."""
    typer.echo(make_release(repository_root(), version, on=date.today()), nl=False)


def main() -> int:
    """Run one command; an error is one line, and the exit code is 2."""
    try:
        app(prog_name="python -m slipway.maintainers")
    except SlipwayError as error:
        typer.echo(str(error), err=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
