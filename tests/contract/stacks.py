"""The table of stacks: everything that the tests know about a language stands in its row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A fault put into a starter on purpose, for the suite to notice."""

    file: str
    old: str
    new: str
    noticed_by: str = ""

    def apply(self, service: Path) -> None:
        """Change the file of a rendered service."""
        path = service / self.file
        source = path.read_text()
        assert source.count(self.old) == 1, f"{self.file} holds {self.old!r} not exactly once"
        path.write_text(source.replace(self.old, self.new))


@dataclass(frozen=True)
class Stack:
    """One language.

    Attributes:
        name: the answer to the question `stack`.
        lock: the lock file, from the service's root.
        context: what the build may see, by the first part of its path.
        not_shipped: names of files and folders that a production image must not hold.
        runtime_metrics: metrics that only this runtime emits.
        edit: a harmless change to a source, seen from outside in the answer of `/livez`.
        broken_test: a change that makes a unit test fail.
        mutations: faults in the signals, by what is broken.
        shutdown_faults: faults in the end of the service, by what is broken.

    """

    name: str
    lock: str
    context: frozenset[str]
    not_shipped: frozenset[str]
    runtime_metrics: frozenset[str]
    edit: Mutation
    broken_test: Mutation
    mutations: Mapping[str, Mutation] = field(default_factory=dict)
    shutdown_faults: Mapping[str, Mutation] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


PYTHON = Stack(
    name="python",
    lock="uv.lock",
    context=frozenset({"pyproject.toml", "uv.lock", "src", "tests"}),
    not_shipped=frozenset({"pytest", "mypy", "ruff", "test_settings.py"}),
    runtime_metrics=frozenset(
        {"process.memory.usage", "process.cpu.time", "cpython.gc.collections"}
    ),
    edit=Mutation("src/app/api.py", '"status": "ok"', '"status": "edited"'),
    broken_test=Mutation("src/app/api.py", '"status": "ok"', '"status": "broken"'),
)

STACKS = (PYTHON,)
