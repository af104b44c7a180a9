"""Takes programs from PyPI with uv."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.engines import cache, commands
from tests.engines.versions import version

HINT = "check that this machine reaches PyPI (or its mirror), then run make engines again"


def uv(engine: str) -> Path:
    """Return uv: the one that runs us, the one on PATH, else one of our own."""
    for candidate in (os.environ.get("UV"), shutil.which("uv")):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    folder = cache.root() / "uv" / version("uv")
    if not (folder / "bin" / "uv").exists():
        # In place, because a virtual environment cannot be moved; pip writes bin/uv last.
        commands.run([sys.executable, "-m", "venv", folder], engine=engine, hint=HINT)
        commands.run(
            [folder / "bin" / "pip", "install", "--quiet", f"uv=={version('uv')}"],
            engine=engine,
            hint=HINT,
        )
    return folder / "bin" / "uv"


def unpack(
    package: str, release: str, target: Path, *, engine: str, options: Sequence[str] = ()
) -> None:
    """Unpack one wheel, without its dependencies, into a new folder."""
    with cache.scratch() as folder:
        commands.run(
            [
                uv(engine),
                *("pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"),
                f"--python={sys.executable}",
                f"--target={folder / 'wheel'}",
                *options,
                f"{package}=={release}",
            ],
            engine=engine,
            hint=HINT,
        )
        cache.put(folder / "wheel", target)


def environment(requirements: Path, target: Path, *, engine: str) -> None:
    """Make a virtual environment from a file of pinned requirements."""
    program = uv(engine)
    done = target / ".complete"
    if done.exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    commands.run(
        [program, "venv", "--quiet", "--python", sys.executable, target], engine=engine, hint=HINT
    )
    commands.run(
        [
            program,
            *("pip", "install", "--quiet", "--require-hashes"),
            f"--python={target / 'bin' / 'python'}",
            f"--requirements={requirements}",
        ],
        engine=engine,
        hint=HINT,
    )
    done.touch()


def runs(command: Sequence[str | Path]) -> bool:
    """Say whether a program starts and ends well."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
