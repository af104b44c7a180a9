"""A test that measures time runs alone, and the others beside each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.product import ROOT

# Each writes when it began and ended.
FILE = """
import contextlib, time, pathlib, pytest
{mark}
@pytest.mark.parametrize("number", range(3))
def test_it(number, quiet):
    with {block}():
        begun = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    with pathlib.Path({times!r}).open("a") as times:
        times.write(f"{name} {{begun}} {{ended}}\\n")
"""
BESIDE = "contextlib.nullcontext"
# Of each test: when it began and when it ended.
Times = list[tuple[float, float]]


def run(folder: Path, mark: str, block: str, others: str = BESIDE) -> dict[str, Times]:
    """Run one file with a mark or a block beside two others; return when each test ran."""
    times = folder / "times"
    for name in ("first", "second", "third"):
        chosen = (mark, block) if name == "first" else ("", others)
        text = FILE.format(mark=chosen[0], block=chosen[1], times=str(times), name=name)
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = (sys.executable, "-m", "pytest", "-p", "tests.quiet", "-n", "3", "--dist", "loadfile")
    done = subprocess.run(
        # Without a folder of its own it would first clear away those of earlier runs: gigabytes.
        [*command, f"--basetemp={folder / 'work'}"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found: dict[str, Times] = {}
    for line in times.read_text().splitlines():
        name, begun, ended = line.split()
        found.setdefault(name, []).append((float(begun), float(ended)))
    assert {name: len(ran) for name, ran in found.items()} == dict.fromkeys(found, 3)
    return found


def overlap(some: Times, others: Times) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)


@pytest.mark.parametrize(
    ("mark", "block", "alone"),
    [
        ("@pytest.mark.quiet", BESIDE, True),
        ("", "quiet", True),
        ("@pytest.mark.quiet", "quiet", True),
        ("", BESIDE, False),
    ],
    ids=["marked", "a part", "a part of a marked one", "neither"],
)
def test_a_quiet_test_runs_alone(tmp_path: Path, mark: str, block: str, alone: bool) -> None:
    ran = run(tmp_path, mark, block)
    assert overlap(ran["first"], ran["second"] + ran["third"]) is not alone
    assert overlap(ran["second"], ran["third"])


def test_two_that_want_to_be_alone_take_turns(tmp_path: Path) -> None:
    several = run(tmp_path, "", "quiet", "quiet")
    assert not overlap(several["first"], several["second"] + several["third"])
    assert not overlap(several["second"], several["third"])
