"""Tests that measure time have the machine for themselves.

With several workers a test marked `quiet` waits until the others have finished theirs, and they
wait until the quiet tests of its file are over. The fixture `quiet` does so for a part of a test.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.engines.plugin import is_worker

MARK = "quiet"


class Machine:
    """A lock that many hold at once, or one alone; who waits to be alone comes before the many."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._door = (folder / "door").open("w")
        self._room = (folder / "room").open("w")
        self.alone = False

    def enter(self, *, alone: bool) -> None:
        """Take the lock; who is alone stays so until the end."""
        if self.alone:
            return
        # Who waits at the door lets others be alone.
        fcntl.flock(self._room, fcntl.LOCK_UN)
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        with _locked(self._door, kind):
            fcntl.flock(self._room, kind)
        self.alone = alone

    def leave(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self.alone = False


@contextlib.contextmanager
def _locked(file: IO[str], kind: int) -> Iterator[None]:
    fcntl.flock(file, kind)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


MACHINE = pytest.StashKey[Machine]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: measures time: nothing else runs beside it")

    if is_worker(config):
        # Each worker's own folder is in that of the run.
        config.stash[MACHINE] = Machine(Path(config.option.basetemp).parent / MARK)


Quiet = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture
def quiet(request: pytest.FixtureRequest) -> Quiet:
    """Give a block in which nothing else runs, for the part of a test that measures time."""

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        machine = request.config.stash.get(MACHINE, None)
        if machine is None or machine.alone:
            yield
            return
        machine.enter(alone=True)
        try:
            yield
        finally:
            machine.leave()
            machine.enter(alone=False)

    return block


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Run a test beside others or alone."""
    machine = item.config.stash.get(MACHINE, None)
    if machine is None:
        return (yield)
    machine.enter(alone=_quiet(item))
    try:
        return (yield)
    finally:
        if not (nextitem and _quiet(item) and _quiet(nextitem) and nextitem.path == item.path):
            machine.leave()


def _quiet(item: pytest.Item) -> bool:
    return item.get_closest_marker(MARK) is not None
