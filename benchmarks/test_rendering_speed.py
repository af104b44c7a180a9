"""How long the full service takes to render, beside the least that Copier can do."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.conftest import Report

ROUNDS = 7
BOUND = 2.0


def test_full_service_renders_in_at_most_twice_the_time_of_one_file(
    template: Path, tmp_path: Path, report: Report
) -> None:
    one_file = tmp_path / "one-file"
    (one_file / "template").mkdir(parents=True)
    shutil.copy(template / "copier.yml", one_file)
    shutil.copytree(template / "template/_partials", one_file / "template/_partials")
    answers = next((template / "template").glob("*answers_file*"))
    shutil.copy(answers, one_file / "template")

    times: dict[Path, list[float]] = {template: [], one_file: []}
    for number in range(ROUNDS):
        for source, taken in times.items():
            started = time.perf_counter()
            copy(source, tmp_path / f"{source.name}-{number}")
            taken.append(time.perf_counter() - started)

    full, least = statistics.median(times[template]), statistics.median(times[one_file])
    report("copier copy, full service", f"{full:.2f} s", "")
    report("copier copy, one file, the same questions", f"{least:.2f} s", "")
    report("ratio", f"{full / least:.2f}", f"at most {BOUND}")
    assert full / least <= BOUND, "rendering became slow: look for new files, loops or conditions"


def copy(source: Path, destination: Path) -> None:
    """Run `copier copy` as a user does, in a process of its own."""
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet"]
    subprocess.run([*command, "-d", "service_name=signups", source, destination], check=True)
