"""How long the commands on services take, beside Copier's own on the same service."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.conftest import Report
from tests.services import SMALLEST, snapshot_of_the_working_tree
from tests.update.project import NEW, OLD, Project, Template, commit

ROUNDS = 7
SLIPWAY = [sys.executable, "-m", "slipway"]
COPIER = [sys.executable, "-m", "copier"]

EMPTY_PROGRAM = """
import typer
app = typer.Typer(add_completion=False, rich_markup_mode=None)
@app.command()
def nothing() -> None: "Do nothing."
app()
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a service of the older of two releases, with work in it."""
    folder = tmp_path_factory.mktemp("speed")
    snapshot_of_the_working_tree(folder / "template")
    commit(folder / "template", f"Release {OLD}", tag=OLD)
    template = Template(folder / "template").release(next_release)
    project = Project(folder / "service").copy(template, {"datastore": "postgres"}).commit()
    return project.edit(["Makefile", "compose.yaml", "src/app/server.py"])


def next_release(template: Path) -> None:
    """Change what a release changes: some files of the template, and a default."""
    for name in ("Makefile.jinja", "compose.yaml.jinja", "deploy/base/deployment.yaml.jinja"):
        file = template / "template" / name
        file.write_text(f"# of the next release\n{file.read_text()}")


def seconds(command: list[str], folder: Path) -> float:
    """Return how long a command takes, from its start to its end."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    assert done.returncode in (0, 1), f"{' '.join(command)}: {done.stderr}"
    assert "conflict" not in done.stdout, done.stdout
    return taken


def test_updates_are_quicker_than_copiers_and_drift_costs_little_more_than_a_render(
    service: Project, tmp_path: Path, report: Report
) -> None:
    copy = [*COPIER, "copy", "--defaults", "--quiet", f"--vcs-ref={OLD}"]
    copy += [f"--data={name}={value}" for name, value in SMALLEST.items()]
    copy += ["--data=datastore=postgres", str(service.folder.parent / "template"), "fresh"]
    commands: dict[str, list[str]] = {
        "copier update": [*COPIER, "update", "--defaults", "--quiet", f"--vcs-ref={NEW}"],
        "slipway update": [*SLIPWAY, "update", "--defaults"],
        "slipway preview": [*SLIPWAY, "preview"],
        "copier copy, the recorded version": copy,
        "slipway drift": [*SLIPWAY, "drift"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS):
        for name, command in commands.items():
            folder = tmp_path / f"{number}-{name}"
            shutil.copytree(service.folder, folder)
            taken[name].append(seconds(command, folder))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        report(name, f"{median:.2f} s", "")

    bounds = {
        ("slipway update", "copier update"): 0.85,
        ("slipway preview", "slipway update"): 1.05,
        ("slipway drift", "copier copy, the recorded version"): 1.5,
    }
    for (ours, theirs), bound in bounds.items():
        ratio = medians[ours] / medians[theirs]
        report(f"{ours} / {theirs}", f"{ratio:.2f}", f"at most {bound}")
        assert ratio <= bound, f"{ours} became slow beside {theirs}"


def cpu_seconds(command: list[str]) -> float:
    """Return the processor time of a program and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_costs_at_most_twice_an_empty_program(report: Report) -> None:
    programs: dict[str, Callable[[], float]] = {
        "slipway --help": lambda: cpu_seconds([*SLIPWAY, "--help"]),
        "an empty typer program": lambda: cpu_seconds(
            [sys.executable, "-c", EMPTY_PROGRAM, "--help"]
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(3 * ROUNDS):
        for name, run in programs.items():
            taken[name].append(run())
    ours, least = (statistics.median(times) for times in taken.values())

    report("slipway --help, processor time", f"{ours * 1000:.0f} ms", "")
    report("slipway --help / an empty typer program", f"{ours / least:.2f}", "at most 2.0")
    assert ours / least <= 2.0, "import in the command what only the command needs"
