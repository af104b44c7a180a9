"""The command `slipway`: what developers and platform engineers run on services.

Each command imports what it needs when it runs, so that `slipway --help` stays quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from slipway.errors import SlipwayError

FINE, FOUND_SOMETHING, COULD_NOT_RUN = 0, 1, 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep services on the template. Exit codes: 0 fine, 1 found something, 2 could not run.",
)

Service = Annotated[Path, typer.Argument(help="The service's folder", show_default="this one")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines")]


def main() -> None:
    """Run one command; an error is one line, and the exit code is 2."""
    try:
        app(prog_name="slipway")
    except SlipwayError as error:
        typer.echo(f"slipway: {error}", err=True)
        sys.exit(COULD_NOT_RUN)
