"""A test that measures time runs alone, and the others beside each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.product import ROOT

# Each writes when it began and ended.
FILE = """
import time, pathlib, pytest
{mark}
@pytest.mark.parametrize("number", range(3))
def test_it(number):
    begun = time.monotonic()
    time.sleep(0.2)
    with pathlib.Path({times!r}).open("a") as times:
        times.write(f"{name} {{begun}} {{time.monotonic()}}\\n")
"""


def run(folder: Path, mark: str) -> dict[str, list[tuple[float, float]]]:
    """Run one file with a mark and two without on three workers; return when each test ran."""
    times = folder / "times"
    for name in ("first", "second", "third"):
        marked = mark if name == "first" else ""
        text = FILE.format(mark=marked, times=str(times), name=name)
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, *("-m", "pytest", "-p", "tests.quiet", "-n", "3", "--dist", "loadfile")],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found: dict[str, list[tuple[float, float]]] = {}
    for line in times.read_text().splitlines():
        name, begun, ended = line.split()
        found.setdefault(name, []).append((float(begun), float(ended)))
    assert {name: len(ran) for name, ran in found.items()} == dict.fromkeys(found, 3)
    return found


def overlap(some: list[tuple[float, float]], others: list[tuple[float, float]]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)


@pytest.mark.parametrize(("mark", "alone"), [("@pytest.mark.quiet", True), ("", False)])
def test_a_quiet_test_runs_alone(tmp_path: Path, mark: str, alone: bool) -> None:
    ran = run(tmp_path, mark)
    assert overlap(ran["first"], ran["second"] + ran["third"]) is not alone
    assert overlap(ran["second"], ran["third"])
