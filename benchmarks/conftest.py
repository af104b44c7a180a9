"""Benchmarks compare things in one run and report every figure."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from slipway.rendering import repository_root, snapshot

pytest_plugins = ["tests.engines.plugin"]

Report = Callable[[str, str, str], None]
_ROWS = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Adds a row to the table at the end: what, figure, bound."""

    def add(what: str, figure: str, bound: str) -> None:
        pytestconfig.stash[_ROWS].append((what, figure, bound))

    return add


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree's template, without a history."""
    return snapshot(repository_root(), tmp_path_factory.mktemp("template"))


def pytest_terminal_summary(config: pytest.Config) -> None:
    table = Table("what", "figure", "bound", title=f"{platform.machine()}, {os.cpu_count()} cores")
    for row in config.stash[_ROWS]:
        table.add_row(*row)
    if table.row_count:
        Console(width=110).print(table)
