"""Runs the programs that install and drive the engines."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.errors import SlipwayError

from tests.engines import cache

LAST_WORDS = 300


def run(
    command: Sequence[str | Path],
    *,
    engine: str,
    hint: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    standard_input: str = "",
    timeout: float = 3600,
) -> str:
    """Run one step of an installation and return what it printed on stdout.

    The whole output goes to the engine's log; a failure is one line with the last words of the
    program, the hint, and the name of the log.
    """
    arguments = [str(part) for part in command]
    log = cache.log(engine)
    try:
        done = subprocess.run(
            arguments,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            input=standard_input,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise SlipwayError(f"{engine}: {arguments[0]} is not on this machine; {hint}") from error
    except subprocess.TimeoutExpired as error:
        raise SlipwayError(
            f"{engine}: {Path(arguments[0]).name} did not end within {timeout:.0f} s; {hint}"
        ) from error
    with log.open("a") as file:
        file.write(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}[exit {done.returncode}]\n")
    if done.returncode != 0:
        raise SlipwayError(
            f"{engine}: {Path(arguments[0]).name} failed: {last_words(done.stderr or done.stdout)}"
            f"; {hint} (all of it: {log})"
        )
    return done.stdout


def last_words(output: str) -> str:
    """Return the last line of an output that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:LAST_WORDS] if lines else "it printed nothing"
