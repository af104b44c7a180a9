"""One lock file for each set of dependencies that a rendered service can have.

A manifest depends on two answers, the datastore and the cache, so each stack has a lock file for
each pair. It stands among the starter's files of its stack, under a name that renders to the lock
file's own name for that pair and to nothing for the others.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment

from slipway.errors import SlipwayError


@dataclass(frozen=True)
class Stack:
    """How the manifest of one stack is locked."""

    name: str
    manifest: str
    lock: str
    write: tuple[str, ...]
    check: tuple[str, ...]
    upgrade: tuple[str, ...]

    def room(self, repository: Path) -> Path:
        """The folder that renders to a service of this stack."""
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


STACKS = (
    Stack(
        name="python",
        manifest="pyproject.toml",
        lock="uv.lock",
        write=("uv", "lock"),
        check=("uv", "lock", "--check"),
        upgrade=("uv", "lock", "--upgrade"),
    ),
)
VARIANTS = tuple(
    itertools.starmap(Variant, itertools.product(("none", "postgres"), ("none", "redis")))
)


def update_locks(repository: Path, *, upgrade: bool = False) -> list[Path]:
    """Lock every manifest again; the lock files that have changed."""
    changed: list[Path] = []
    for stack, variant in itertools.product(STACKS, VARIANTS):
        lock = variant.lock(repository, stack)
        with project(repository, stack, variant) as folder:
            run(stack.upgrade if upgrade else stack.write, folder)
            new = (folder / stack.lock).read_bytes()
        if not lock.exists() or lock.read_bytes() != new:
            lock.write_bytes(new)
            changed.append(lock)
    return changed


def stale_locks(repository: Path) -> list[Path]:
    """Find the lock files that are missing or do not agree with their manifest."""
    stale: list[Path] = []
    for stack, variant in itertools.product(STACKS, VARIANTS):
        lock = variant.lock(repository, stack)
        with project(repository, stack, variant) as folder:
            try:
                if not lock.exists():
                    stale.append(lock)
                else:
                    run(stack.check, folder)
            except LockError:
                stale.append(lock)
    return stale


class LockError(SlipwayError):
    """The tool of a stack has refused a manifest or its lock file."""


@contextmanager
def project(repository: Path, stack: Stack, variant: Variant) -> Iterator[Path]:
    """A folder with what the stack's tool reads: the rendered manifest and the lock, if any."""
    with tempfile.TemporaryDirectory(prefix="slipway-locks-") as name:
        folder = Path(name)
        (folder / stack.manifest).write_text(render_manifest(repository, stack, variant))
        lock = variant.lock(repository, stack)
        if lock.exists():
            shutil.copyfile(lock, folder / stack.lock)
        yield folder


def render_manifest(repository: Path, stack: Stack, variant: Variant) -> str:
    """The manifest as Copier renders it, as far as its dependencies go."""
    settings = yaml.safe_load((repository / "copier.yml").read_text())["_envops"]
    settings.pop("undefined", None)
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(repository), autoescape=False, **settings
    )
    environment.filters["to_json"] = json.dumps
    template = (stack.room(repository) / f"{stack.manifest}.jinja").relative_to(repository)
    return environment.get_template(template.as_posix()).render(
        service_name="app",
        description="A service",
        stack=stack.name,
        starter=True,
        datastore=variant.datastore,
        cache=variant.cache,
    )


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
    """The newest Python of pyenv that is not selected: uv stumbles over its shims."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [
        (version, path / "bin" / "python3")
        for path in root.glob("versions/3.*")
        if (version := tuple(int(part) for part in path.name.split(".") if part.isdigit()))
        >= (3, 13)
    ]
    return max(found)[1] if found else None


def main() -> int:
    """Write the lock files, or with --check say which are stale."""
    parser = argparse.ArgumentParser(prog="python -m slipway.locks", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if one is stale"
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions allowed")
    options = parser.parse_args()
    repository = Path(__file__).resolve().parents[2]
    try:
        if options.check:
            stale = stale_locks(repository)
            for lock in stale:
                print(f"stale: {lock.relative_to(repository)}; run: make locks", file=sys.stderr)
            return 1 if stale else 0
        for lock in update_locks(repository, upgrade=options.upgrade):
            print(f"written: {lock.relative_to(repository)}")
    except SlipwayError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
