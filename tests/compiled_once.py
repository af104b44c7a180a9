"""Templates are compiled once in each process of the tests: two thirds of the time of a render.

What Jinja makes of a text depends on the text, its name, and the syntax and extensions of the
environment.
"""

from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest
from jinja2 import Environment

# Copier's loop over folders notes what it has read: such a text is read anew.
LOOP = "yield"
# As Jinja does it.
COMPILE = Environment.compile


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(Environment, "compile", once(COMPILE))
    config.add_cleanup(patch.undo)


@pytest.fixture
def compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile every text again: what a filter makes of a constant is part of what is compiled."""
    monkeypatch.setattr(Environment, "compile", COMPILE)


def once(compile_it: Callable[..., CodeType]) -> Callable[..., CodeType]:
    """Return a method of an environment that compiles the same text once."""
    compiled: dict[Any, CodeType] = {}

    def compile_once(
        self: Environment, source: Any, name: str | None = None, filename: str | None = None
    ) -> CodeType:
        if not isinstance(source, str) or LOOP in source:
            return compile_it(self, source, name, filename)
        key = (type(self), self.lexer, tuple(sorted(self.extensions)), name, source)
        if key in compiled:
            # Copier's extension forgets the loop before, as at the start of every text.
            self.preprocess(source, name, filename)
        else:
            compiled[key] = compile_it(self, source, name, filename)
        return compiled[key]

    return compile_once
