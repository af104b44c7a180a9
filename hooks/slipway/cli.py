"""The command `slipway`: what developers and platform engineers run on services.

Each command imports what it needs when it runs, so that `slipway --help` stays quick.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from slipway.errors import SlipwayError

FINE, FOUND_SOMETHING, COULD_NOT_RUN = 0, 1, 2

# What git sets for its hooks; it would lead every command to the repository of the hook.
ANOTHER_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep services on the template. Exit codes: 0 fine, 1 found something, 2 could not run.",
)

Service = Annotated[
    Path, typer.Argument(metavar="PATH", help="The service's folder; default: this one")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines")]

To = Annotated[
    str | None,
    typer.Option("--to", metavar="VERSION", help="A tag, branch or commit; default: the newest"),
]
Data = Annotated[
    list[str], typer.Option("--data", "-d", metavar="NAME=VALUE", help="Answer a question anew")
]
Template = Annotated[
    str | None, typer.Option(metavar="URL", help="The template's address, if it has moved")
]


@app.command()
def preview(
    service: Service = Path(),
    *,
    to: To = None,
    data: Data = [],  # noqa: B006 - typer reads it, nobody writes it
    template: Template = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print the patch, too")] = False,
    json: Json = False,
) -> None:
    """Show what an update would do; write nothing."""
    from slipway import commands

    found = commands.preview(service, to=to, data=data, template=template, diff=diff, json=json)
    raise typer.Exit(FOUND_SOMETHING if found else FINE)


@app.command()
def update(
    service: Service = Path(),
    *,
    to: To = None,
    data: Data = [],  # noqa: B006 - typer reads it, nobody writes it
    template: Template = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing; list new questions instead")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--continue", help="Finish an update that was interrupted")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Take back an update that is not committed")
    ] = False,
    json: Json = False,
) -> None:
    """Bring a service to a version of the template, by a three-way merge."""
    from slipway import commands

    if resume and abort:
        raise SlipwayError("--continue and --abort: choose one")
    if abort:
        commands.abort(service)
        raise typer.Exit(FINE)
    found = (
        commands.resume(service)
        if resume
        else commands.update(
            service, to=to, data=data, template=template, defaults=defaults, json=json
        )
    )
    raise typer.Exit(FOUND_SOMETHING if found else FINE)


@app.command()
def drift(
    service: Service = Path(),
    *,
    heal: Annotated[
        list[str],
        typer.Option("--heal", metavar="PATH", help="Take the template's side for a file"),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    template: Template = None,
    json: Json = False,
) -> None:
    """Show how a service differs from a fresh render of its recorded version."""
    from slipway import commands

    found = commands.drift(service, template=template, heal=heal, json=json)
    raise typer.Exit(FOUND_SOMETHING if found else FINE)


@app.command()
def gates(service: Service = Path(), *, json: Json = False) -> None:
    """Check a service's files against the quality gates: images, health, limits, secrets, logs."""
    from slipway.gates import report

    raise typer.Exit(FOUND_SOMETHING if report.run(service, json=json) else FINE)


def main() -> None:
    """Run one command; an error is one line, and the exit code is 2."""
    for name in ANOTHER_REPOSITORY:
        os.environ.pop(name, None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a report is no reason to fail
    try:
        app(prog_name="slipway")
    except (SlipwayError, OSError) as error:
        typer.echo(f"slipway: {error}", err=True)
        sys.exit(COULD_NOT_RUN)
