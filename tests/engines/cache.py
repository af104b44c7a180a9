"""Where the engines live: one folder for each user, outside the repository."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def root() -> Path:
    """Return the folder that holds everything `make engines` installs."""
    if chosen := os.environ.get("SLIPWAY_ENGINES_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "slipway-engines"


def binary(name: str, version: str) -> Path:
    """Return the path of a program: its version is part of the name."""
    return root() / "bin" / f"{name}-{version}"


def build_folder() -> Path:
    """Return the folder of what only the installation needs."""
    return root() / "build"


def log(name: str) -> Path:
    """Return the file that keeps the full output of the steps of one engine."""
    path = root() / "log" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder on the cache's own file system, so that a rename ends the work."""
    build_folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=build_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(name: str, wait: Callable[[], None]) -> Iterator[None]:
    """Let only one process install an engine at a time; `wait` is called when another one does."""
    folder = root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def building(done: Callable[[], bool]) -> Iterator[None]:
    """Keep the build folder for the block; the last process to leave removes it when all is done.

    Several processes may build at once: Go's caches allow that, their removal does not.
    """
    root().mkdir(parents=True, exist_ok=True)
    with (root() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
        if done():
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(build_folder(), ignore_errors=True)


def put(source: Path, target: Path) -> None:
    """Move a finished file or folder to its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    source.replace(target)
