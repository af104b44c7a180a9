"""The command line of Copier, oldest and newest, copies and updates without --trust."""

import functools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from slipway.errors import SlipwayError

from tests.engines import wheels
from tests.engines.plugin import REQUIRE
from tests.product import ROOT, interview
from tests.services import SMALLEST
from tests.update.project import NEW, OLD, Project, Template, commit, git


def oldest() -> str:
    """Return the oldest Copier that this project promises to work with."""
    manifest = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [found] = [
        match[1]
        for dependency in manifest["project"]["dependencies"]
        if (match := re.fullmatch(r"copier>=([\d.]+)", dependency))
    ]
    return str(found)


@functools.cache
def copier(version: str) -> list[str]:
    """Return the command of one version; skip the test where it cannot be had."""
    if version == "newest":
        return [sys.executable, "-m", "copier"]
    try:
        uv = str(wheels.uv("copier"))
    except SlipwayError as error:
        reason = str(error)
    else:
        command = [uv, "tool", "run", "--from", f"copier=={version}", "copier"]
        tried = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            assert version in tried.stdout
            return command
        reason = tried.stderr.strip()
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"Copier {version} cannot be had: {reason}", pytrace=False)
    pytest.skip(f"Copier {version} cannot be had: {reason}")


def run(version: str, *arguments: str | Path) -> str:
    """Run Copier as people and Renovate do, without --trust; return what it said."""
    command: Sequence[str] = [*copier(version), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"copier {' '.join(map(str, arguments))}: {done.stderr}"
    return done.stderr + done.stdout


@pytest.fixture(scope="session")
def two_releases(released: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    def change(template: Path) -> None:
        makefile = template / "template/Makefile.jinja"
        makefile.write_text(f"{makefile.read_text()}\n# the next release\n")

    return released.clone(tmp_path_factory.mktemp("two") / "template").release(change)


versions = pytest.mark.parametrize("version", [oldest(), "newest"])


def test_the_oldest_copier_is_one_that_the_template_takes() -> None:
    floor = str(interview().settings["_min_copier_version"])

    assert tuple(map(int, floor.split("."))) <= tuple(map(int, oldest().split(".")))


@versions
def test_copy_again_and_update_without_trust(
    two_releases: Template, tmp_path: Path, version: str
) -> None:
    project = Project(tmp_path / "project")
    data = [f"--data={name}={value}" for name, value in SMALLEST.items()]
    copy = ("copy", "--defaults", *data, f"--vcs-ref={OLD}")

    said = run(version, *copy, two_releases.folder, project.folder)
    assert "make up" in said, "the message after a copy names the next commands"
    project.commit("Start")

    run(version, *copy, "--overwrite", two_releases.folder, project.folder)
    assert project.changed() == [], "a second copy over the result changes files"

    # As Renovate's copier manager runs it.
    said = run(
        version,
        *("update", "--skip-answered", "--defaults", "--answers-file", ".copier-answers.yml"),
        *("--vcs-ref", NEW, project.folder),
    )
    assert "make lock" in said, "the message after an update says when to run make lock"
    assert project.read("Makefile").endswith("# the next release\n")
    assert {line.split()[-1] for line in project.changed()} == {"Makefile", ".copier-answers.yml"}


def test_the_oldest_copier_renders_the_same_files_as_the_newest(
    two_releases: Template, worked_on: Project, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.yml"
    recorded = yaml.safe_load(worked_on.read(".copier-answers.yml"))
    given = {name: value for name, value in recorded.items() if not name.startswith("_")}
    answers.write_text(yaml.safe_dump(given))

    run(
        oldest(),
        *("copy", "--defaults", f"--data-file={answers}", f"--vcs-ref={OLD}", "--quiet"),
        *(two_releases.folder, tmp_path / "project"),
    )

    expected = Project(tmp_path / "expected").copy(two_releases, given)
    assert Project(tmp_path / "project").files() == expected.files()


def test_a_release_with_a_task_is_refused(own_template: Template, tmp_path: Path) -> None:
    """The negative control: these commands fail when a template needs trust."""

    def add_a_task(template: Path) -> None:
        with (template / "copier.yml").open("a") as file:
            file.write('\n_tasks: ["true"]\n')

    own_template.release(add_a_task)
    project = Project(tmp_path / "project").copy(own_template, {}).commit("Start")

    with pytest.raises(AssertionError, match="--trust"):
        run("newest", "update", "--defaults", "--vcs-ref", NEW, project.folder)

    assert project.changed() == []


def test_a_second_copy_puts_a_file_of_the_template_back(released: Template, tmp_path: Path) -> None:
    """The negative control of "changes nothing": a copy does write."""
    project = Project(tmp_path / "project").copy(released, {}).commit("Start")
    project.edit(["Makefile"])

    project.copy(released, {})

    assert project.changed() == [" M Makefile"]


def test_an_update_to_the_same_release_changes_nothing(project: Project) -> None:
    project.update()

    assert project.changed() == []


def test_an_update_keeps_edits_of_a_file_of_the_template(
    two_releases: Template, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").copy(two_releases, {}).commit("Start")
    makefile = project.folder / "Makefile"
    makefile.write_text(f"# the service's own line\n{makefile.read_text()}")
    commit(project.folder, "Edit")

    project.update(ref=NEW)

    assert project.read("Makefile").startswith("# the service's own line\n")
    assert project.read("Makefile").endswith("# the next release\n")
    assert git(project.folder, "diff", "--check") == ""
