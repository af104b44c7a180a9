"""Running git, with errors that fit on one line."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from slipway.errors import SlipwayError


def git(
    folder: Path,
    *arguments: str,
    fine: tuple[int, ...] = (0,),
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run git in a folder and return what it prints.

    Args:
        folder: where git runs.
        arguments: the command and its arguments.
        fine: exit codes that are no error.
        stdin: what git reads; without it, what this program reads.
        environment: git's whole environment; without it, this program's.

    Returns:
        The bytes of standard output.

    Raises:
        SlipwayError: git is not installed, or it failed; with the last line it wrote.

    """
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise SlipwayError("git is missing: install git") from error
    if done.returncode not in fine:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise SlipwayError(f"git {arguments[0]}: {said[-1]}")
    return done.stdout
