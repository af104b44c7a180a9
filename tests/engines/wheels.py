"""Takes programs from PyPI with uv."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines import cache, commands
from tests.engines.progress import Progress
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
    """Make a virtual environment from a file of locked requirements."""
    program = uv(engine)
    with cache.scratch() as folder:
        made = folder / "environment"
        commands.run(
            [program, "venv", "--quiet", "--relocatable", f"--python={sys.executable}", made],
            engine=engine,
            hint=HINT,
        )
        commands.run(
            [
                program,
                *("pip", "install", "--quiet", "--require-hashes"),
                f"--python={made / 'bin' / 'python'}",
                f"--requirements={requirements}",
            ],
            engine=engine,
            hint=HINT,
        )
        cache.put(made, target)


@dataclass(frozen=True)
class PythonProgram:
    """Recipe of a program from PyPI, in an environment of its own, from locked requirements."""

    name: str
    folder: Path

    @property
    def path(self) -> Path:
        """Where the program is, once it is installed."""
        return self._environment / "bin" / self.name

    @property
    def _environment(self) -> Path:
        return cache.root() / "python" / f"{self.name}-{version(self.name)}"

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.path.exists()

    def install(self, progress: Progress) -> None:
        """Make the environment."""
        with progress.step(self.name, f"install {version(self.name)} from PyPI"):
            environment(self.folder / "requirements.txt", self._environment, engine=self.name)

    def version(self) -> str:
        """Return the pinned version."""
        return version(self.name)

    def where(self) -> str:
        """Return the path for people."""
        return str(self.path)


def runs(command: Sequence[str | Path]) -> bool:
    """Say whether a program starts and ends well."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
