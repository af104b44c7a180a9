"""One lock file for each set of dependencies that a rendered service can have.

A manifest depends on two answers, the datastore and the cache, so each stack has a lock file for
each pair. It stands among the starter's files of its stack, under a name that renders to the lock
file's own name for that pair and to nothing for the others.
"""

import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.rendering import render, snapshot


@dataclass(frozen=True)
class Stack:
    """How the manifest of one stack is locked."""

    name: str
    lock: str
    write: tuple[str, ...]

    def room(self, repository: Path) -> Path:
        """Return the folder that renders to a service of this stack."""
        return repository / "template" / f"[[{self.name}]]"


@dataclass(frozen=True)
class Variant:
    """One set of dependencies."""

    datastore: str
    cache: str

    def lock(self, repository: Path, stack: Stack) -> Path:
        """Where the lock file of this set stands in a stack's room."""
        condition = f"datastore == '{self.datastore}' and cache == '{self.cache}'"
        name = f"[% if {condition} %]{stack.lock}[% endif %]"
        return stack.room(repository) / "[% if starter %].[% endif %]" / name


# uv needs no image; the tools of the others run where the service runs them, in its `lock` stage.
STACKS = (
    Stack(name="python", lock="uv.lock", write=("uv", "lock")),
    Stack(name="node", lock="pnpm-lock.yaml", write=("make", "lock")),
    Stack(name="go", lock="go.sum", write=("make", "lock")),
)
VARIANTS = tuple(
    itertools.starmap(Variant, itertools.product(("none", "postgres"), ("none", "redis")))
)


def update_locks(repository: Path, *, upgrade: bool = False) -> list[Path]:
    """Lock every manifest again, with `upgrade` from nothing; the lock files that have changed."""
    changed: list[Path] = []
    for stack, variant in itertools.product(STACKS, VARIANTS):
        lock = variant.lock(repository, stack)
        new = locked(repository, stack, variant, upgrade=upgrade)
        if not lock.exists() or lock.read_bytes() != new:
            lock.write_bytes(new)
            changed.append(lock)
    return changed


def stale_locks(repository: Path, stacks: Sequence[Stack] = STACKS) -> list[Path]:
    """Find the lock files that are missing or do not agree with their manifest."""
    stale: list[Path] = []
    for stack, variant in itertools.product(stacks, VARIANTS):
        lock = variant.lock(repository, stack)
        try:
            agrees = lock.exists() and lock.read_bytes() == locked(repository, stack, variant)
        except LockError:
            agrees = False
        if not agrees:
            stale.append(lock)
    return stale


def locked(repository: Path, stack: Stack, variant: Variant, *, upgrade: bool = False) -> bytes:
    """Return the lock file that a stack's tool writes over the one that is there."""
    with project(repository, stack, variant) as folder:
        if upgrade:
            (folder / stack.lock).unlink(missing_ok=True)
        run(stack.write, folder)
        return (folder / stack.lock).read_bytes()


class LockError(SlipwayError):
    """The tool of a stack has refused a manifest or its lock file."""


@contextmanager
def project(repository: Path, stack: Stack, variant: Variant) -> Iterator[Path]:
    """Render a service with one set of dependencies, for as long as its tool reads it."""
    answers = {
        "service_name": "app",
        "stack": stack.name,
        "datastore": variant.datastore,
        "cache": variant.cache,
    }
    with tempfile.TemporaryDirectory(prefix="slipway-locks-") as scratch:
        template = snapshot(repository, Path(scratch, "template"))
        yield render(template, Path(scratch, "service"), answers)


def run(command: Sequence[str], folder: Path) -> None:
    """Run a stack's tool; raises `LockError` with its last line."""
    # What a person has set for their own projects (an index, a constraint) has no say here.
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("VIRTUAL_ENV", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL")
    }
    if command[0] == "uv":
        command = (os.environ.get("UV", "uv"), *command[1:])
        if "UV_PYTHON" not in environment and (python := pyenv_python()):
            environment["UV_PYTHON"] = str(python)
    try:
        subprocess.run(
            command, cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise SlipwayError(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in lines if line.startswith("error")), (lines or ["failed"])[-1]
        )
        if "interpreter" in reason or "inspect Python" in reason:
            raise SlipwayError(f"uv needs Python 3.13 or newer to lock: {reason}") from None
        raise LockError(reason) from None


def pyenv_python() -> Path | None:
    """Return the newest Python of pyenv that is not selected: uv stumbles over its shims."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [
        (version, path / "bin" / "python3")
        for path in root.glob("versions/3.*")
        if (version := tuple(int(part) for part in path.name.split(".") if part.isdigit()))
        >= (3, 13)
    ]
    return max(found)[1] if found else None
