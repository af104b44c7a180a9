"""What an update tells people: notes between the versions, new questions, changed answers."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from slipway.source import notes, version_number

from tests.interview.test_terminal import talk
from tests.services import once
from tests.update.project import NEW, OLD, Project, Template
from tests.update.tiny import make_template, next_release, refused, replace, slipway

ANSWERS = ".copier-answers.yml"
THIRD, TRIAL = "v2.0.0", "v2.1.0rc1"

UPGRADING = """\
# Upgrading

## How to update

Not a version.

## Unreleased

Not released.

## 2.1.0rc1

A trial.

## 2.0.0 - 2026-03-01

Move the database first.

### A part of it

With `[brackets]` and [links](somewhere).

## [1.1.0] - 2026-01-01

Restart the service.

## 1.0.0

The first version.
"""


def third_release(folder: Path) -> None:
    (folder / "UPGRADING.md").write_text(UPGRADING)
    replace(folder / "copier.yml", "choices: [red, green, blue]", "choices: [green, blue]")
    replace(folder / "copier.yml", "default: red", "default: green")


def a_trial(folder: Path) -> None:
    replace(folder / "template/settings/plain.txt", "line 1\n", "line 1 of a trial\n")


@pytest.fixture(scope="module")
def releases(shared: Path) -> Template:
    def make(folder: Path) -> None:
        make_template(folder)
        template = Template(folder).release(next_release)
        template.release(third_release, tag=THIRD).release(a_trial, tag=TRIAL)

    return Template(once(shared / "releases-with-notes", make))


@pytest.fixture
def service(releases: Template, tmp_path: Path) -> Project:
    return Project(tmp_path / "service").copy(releases, {}).commit("Start")


def titles(service: Project, *options: str) -> list[str]:
    ran = slipway("preview", service.folder, "--json", *options)
    return [note.splitlines()[0] for note in json.loads(ran.out)["notes"]]


def test_the_notes_between_two_versions_are_shown_oldest_first(service: Project) -> None:
    assert titles(service) == ["## [1.1.0] - 2026-01-01", "## 2.0.0 - 2026-03-01"]
    assert titles(service, f"--to={NEW}") == [f"## {NEW[1:]} - 2026-01-01"]
    assert titles(service, f"--to={TRIAL}")[-1] == "## 2.1.0rc1"
    assert titles(service, f"--to={OLD}", "--data=colour=blue") == []


def test_the_notes_are_shown_as_they_are_written(service: Project) -> None:
    for command in ("preview", "update"):
        shown = slipway(command, service.folder).out
        assert "Restart the service.\n" in shown
        assert "With `[brackets]` and [links](somewhere).\n" in shown
        assert shown.index("Restart") < shown.index("Move the database first.")
        for other in ("Not a version", "Not released", "A trial", "The first version"):
            assert other not in shown


@pytest.mark.parametrize(
    ("after", "until", "found"),
    [
        ("1.0.0", "2.0.0", ["1.1.0", "2.0.0"]),
        ("1.1.0", "2.0.0", ["2.0.0"]),
        ("1.0.0", "1.1.0", ["1.1.0"]),
        ("2.0.0", "2.0.0", []),
        ("2.0.0", "2.1.0rc1", ["2.1.0rc1"]),
        ("1.0.5", "1.9", ["1.1.0"]),
        (None, "1.1.0", ["1.0.0", "1.1.0"]),
        ("1.1.0", None, ["2.0.0", "2.1.0rc1"]),
    ],
)
def test_the_sections_between_two_versions(
    after: str | None, until: str | None, found: list[str]
) -> None:
    def number(name: str | None) -> object:
        return version_number(name) if name else None

    sections = notes(UPGRADING, number(after), number(until))  # type: ignore[arg-type]

    assert [section.split("\n")[0].split()[1].strip("[]") for section in sections] == found


def test_a_file_without_versions_has_no_notes() -> None:
    assert notes("", None, None) == []
    assert notes("# Upgrading\n\nSee below.\n", None, None) == []


def test_a_trial_is_not_the_newest_release(service: Project) -> None:
    assert json.loads(slipway("preview", service.folder, "--json").out)["to"] == THIRD


def test_new_questions_are_listed_with_the_value_that_they_get(service: Project) -> None:
    ran = slipway("update", service.folder, f"--to={NEW}", "--defaults")

    assert "new question size: 'small' (slipway update --data size=… changes it)\n" in ran.out
    assert "new question secret: 'none'" in ran.out
    assert "size: small\n" in service.read(ANSWERS)


def test_a_new_question_can_be_answered_on_the_command_line(service: Project) -> None:
    slipway("update", service.folder, f"--to={NEW}", "--data=size=large")

    assert "size: large\n" in service.read(ANSWERS)


def test_an_answer_that_is_accepted_no_longer_is_listed_with_its_new_value(
    service: Project,
) -> None:
    ran = slipway("update", service.folder)

    assert "answer colour: 'red' -> 'green'\n" in ran.out
    assert "colour: green\n" in service.read(ANSWERS)
    found = json.loads(slipway("preview", service.commit().folder, "--json").out)
    assert (found["changed_answers"], found["new_answers"], found["notes"]) == ({}, {}, [])


def test_an_answer_given_anew_is_listed(service: Project) -> None:
    ran = slipway("update", service.folder, f"--to={OLD}", "--data=colour=blue")

    assert ran.out.startswith(f"{OLD}, other answers\n")
    assert "answer colour: 'red' -> 'blue'\n" in ran.out


def test_answers_that_stay_are_not_listed(service: Project) -> None:
    """The negative control."""
    ran = slipway("update", service.folder, f"--to={NEW}")

    assert "answer " not in ran.out
    assert "service_name" not in ran.out


def test_on_a_terminal_a_new_question_is_asked_once_and_recorded(service: Project) -> None:
    shown = talk(
        [sys.executable, "-m", "slipway", "update", service.folder, f"--to={NEW}"],
        [("Size of the service", "er")],  # after its default, which stands there already
    )

    answers = yaml.safe_load(service.read(ANSWERS))
    assert answers["size"] == "smaller"
    assert answers["secret"] == "none"  # noqa: S105 - not one
    for not_asked in ("Name of the service", "Colour of the service", "For the platform"):
        assert not_asked not in shown
    assert "new question size: 'smaller'" in shown
    assert service.commit().changed() == []
    assert "nothing to do" in slipway("update", service.folder, f"--to={NEW}").out


def test_on_a_terminal_defaults_asks_nothing(service: Project) -> None:
    shown = talk(
        [sys.executable, "-m", "slipway", "update", service.folder, f"--to={NEW}", "--defaults"],
        [],
    )

    assert "Size of the service" not in shown
    assert yaml.safe_load(service.read(ANSWERS))["size"] == "small"


def test_who_breaks_off_a_question_changes_nothing(service: Project) -> None:
    shown = talk(
        [sys.executable, "-m", "slipway", "update", service.folder, f"--to={NEW}"],
        [("Size of the service", "\x03")],
    )

    assert shown.endswith("slipway: stopped at a question: nothing is changed\r\n")
    assert service.changed() == []
    assert f"_commit: {OLD}\n" in service.read(ANSWERS)
    refused(slipway("update", service.folder, "--continue", fine=(2,)), "no update is under way")
