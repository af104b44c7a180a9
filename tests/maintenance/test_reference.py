"""The generated pages are current, and the template cannot change without them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.errors import SlipwayError
from slipway.maintainers import reference
from slipway.maintainers.answer_sets import ANSWER_SETS, EVERYTHING
from slipway.maintainers.purposes import PURPOSES
from slipway.ownership import Owner, owners
from slipway.rendering import render, repository_root, snapshot
from slipway.source import questions

from tests.maintenance.conftest import Repository


def settings(folder: Path) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load((folder / "copier.yml").read_text(encoding="utf-8"))
    return loaded


def test_the_pages_are_current() -> None:
    reference.refuse_stale(repository_root())


def test_an_edited_help_makes_the_page_stale(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "files_page", lambda *_: "")
    reference.write(repository.folder)
    reference.refuse_stale(repository.folder)
    repository.replace("copier.yml", "help: Its language", "help: Its tongue")
    with pytest.raises(SlipwayError, match=r"^docs/reference/questions.md: .* run make docs$"):
        reference.refuse_stale(repository.folder)
    assert [page.name for page in reference.write(repository.folder)] == ["questions.md"]
    reference.refuse_stale(repository.folder)


def test_every_question_says_its_type_its_default_and_what_it_accepts(
    repository: Repository, tmp_path: Path
) -> None:
    page = reference.questions_page(repository.folder, settings(repository.folder), tmp_path / "x")
    service, platform = page.split("## The platform's settings\n")
    assert (
        "### `service_name`\n\nName of the service, as in app.\\<name>.\n\n- Type: text\n"
        "- Default: none, an answer is required\n- Accepted: a name: lower-case letters\n"
    ) in service
    assert "- Choices:\n  - `none`: None\n  - `postgres`: PostgreSQL\n" in service
    assert "- Default: `The signups`, from earlier answers" in service
    assert "- Type: yes or no\n- Default: `yes`\n" in platform
    assert (
        "- Type: whole number\n- Default: `8080`\n- Accepted: a port from 1024 to 65535\n"
    ) in platform


def test_a_question_that_accepts_anything_is_an_error(
    repository: Repository, tmp_path: Path
) -> None:
    repository.replace("copier.yml", "[% if port is not integer %]", "[% if false %]")
    with pytest.raises(SlipwayError, match=r'^copier.yml: port accepts "x"$'):
        reference.questions_page(repository.folder, settings(repository.folder), tmp_path / "x")


def test_a_file_is_listed_with_the_answers_it_takes(repository: Repository, tmp_path: Path) -> None:
    found = reference.files(repository.folder, settings(repository.folder), tmp_path / "services")
    assert found == {
        ".copier-answers.yml": "",
        "Makefile": "",
        "README.md": "",
        "compose.yaml": "",
        "deploy/environments/ENVIRONMENT/space.yaml": "",
        "notes.md": "",
        "src/store.py": "`datastore: postgres`, `starter: yes`",
    }


def test_a_file_without_a_purpose_and_a_purpose_without_a_file_are_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = repository_root()
    there = dict.fromkeys(["Makefile", "README.md"], "")
    monkeypatch.setattr(reference, "files", lambda *_: there)
    monkeypatch.setattr(reference, "PURPOSES", {"Makefile": "Commands", "*.md": "Text"})
    page = reference.files_page(folder, settings(folder), tmp_path)
    assert "| `Makefile` | template |  | Commands |\n" in page
    assert "| `README.md` | service, seeded at copy |  | Text |\n" in page
    there["new.txt"] = ""
    with pytest.raises(SlipwayError, match=r"^new.txt: say what it is for in hooks/slipway"):
        reference.files_page(folder, settings(folder), tmp_path)
    del there["new.txt"], there["Makefile"]
    with pytest.raises(SlipwayError, match=r"no file matches Makefile$"):
        reference.files_page(folder, settings(folder), tmp_path)


def test_a_purpose_is_one_short_line() -> None:
    for text in PURPOSES.values():
        assert len(text) <= 80
        assert "\n" not in text
        assert "|" not in text
        assert not text.endswith(".")


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("Makefile", Owner.TEMPLATE),
        ("src/app/telemetry.py", Owner.TEMPLATE),
        ("src/app/api.py", Owner.SEEDED_AT_COPY),
        ("src/app/telemetry.pyi", Owner.SEEDED_AT_COPY),
        ("tests/deep/down/test_it.py", Owner.SEEDED_AT_COPY),
        ("uv.lock", Owner.SEEDED_AT_COPY),
        ("deploy/environments/dev/namespace.yaml", Owner.TEMPLATE),
        ("deploy/environments/dev/changes/patch.yaml", Owner.SEEDED_WHEN_MISSING),
        ("deploy/flags/flags.json", Owner.SEEDED_WHEN_MISSING),
        ("runbooks/ServiceDown.md", Owner.TEMPLATE),
        ("runbooks/notes.md", Owner.SEEDED_WHEN_MISSING),
    ],
)
def test_a_file_has_one_owner(path: str, owner: Owner) -> None:
    assert owners(settings(repository_root()))(path) is owner


def test_every_answer_set_renders(tmp_path: Path) -> None:
    template = snapshot(repository_root(), tmp_path / "template")
    for name, answers in ANSWER_SETS.items():
        service = render(template, tmp_path / name, answers)
        assert reference.recorded(service).items() >= answers.items()


def test_the_answer_sets_have_every_choice() -> None:
    """A reader of render-diff sees a change behind any choice."""
    asked = questions(settings(repository_root()))
    defaults = {
        name: question["default"] for name, question in asked.items() if "default" in question
    }
    answered = [{**defaults, **answers} for answers in ANSWER_SETS.values()]
    for name, question in asked.items():
        if name == "platform_settings":
            continue
        for value in reference.options(question):
            assert value in [answers[name] for answers in answered], f"{name}: {value}"
    assert EVERYTHING in ANSWER_SETS.values()
