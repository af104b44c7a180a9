"""Tells a person what the installation is doing, and for how long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Progress:
    """One line for each step; on a terminal a spinner while the step runs."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.started = time.monotonic()

    def say(self, engine: str, text: str) -> None:
        """Print one line."""
        passed = time.monotonic() - self.started
        self.console.print(f"[{passed:6.1f} s] {engine}: {text}", markup=False)

    @contextmanager
    def step(self, engine: str, text: str) -> Iterator[None]:
        """Announce a step, and say how long it took."""
        self.say(engine, f"{text} ...")
        begun = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(f"{engine}: {text}"):
                yield
        else:
            yield
        self.say(engine, f"{text}: {time.monotonic() - begun:.1f} s")
