"""Every rendered file reads as if written by hand, whatever the answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from slipway.rendering import render

from tests.product import files, interview
from tests.render.combinations import PAIRWISE, VARIANTS, name, values
from tests.render.hygiene import (
    MOST_FILES,
    MOST_ROOT_ENTRIES,
    names_the_template,
    residue,
    too_many,
    untidy,
)
from tests.render.reading import unreadable
from tests.services import SMALLEST, Services, mutated

combinations = pytest.mark.parametrize("answers", PAIRWISE, ids=name)


def test_every_question_has_values_to_render() -> None:
    without_choice = {
        question.name
        for question in interview().questions
        if not question.choices and question.type != "bool"
    }

    assert set(VARIANTS) == without_choice, "give each question its line in VARIANTS, no other"


def test_every_two_values_meet() -> None:
    """No trust in the library that chose the combinations: two questions, all their pairs."""
    met = {(answers["datastore"], answers["cache"], answers["starter"]) for answers in PAIRWISE}
    entries = interview().entries

    assert {(store, cache) for store, cache, _ in met} == {
        (store, cache)
        for store in values(entries["datastore"])
        for cache in values(entries["cache"])
    }
    assert {(store, starter) for store, _, starter in met} == {
        (store, starter) for store in values(entries["datastore"]) for starter in (True, False)
    }


@combinations
def test_the_same_answers_give_the_same_bytes(services: Services, answers: dict[str, Any]) -> None:
    assert files(services(answers)) == files(services(answers, again=1))


@combinations
def test_no_file_is_untidy(services: Services, answers: dict[str, Any]) -> None:
    assert untidy(files(services(answers))) == []


@combinations
def test_no_delimiter_of_the_template_stays(services: Services, answers: dict[str, Any]) -> None:
    assert residue(files(services(answers))) == []


@combinations
def test_every_file_can_be_read(services: Services, answers: dict[str, Any]) -> None:
    assert unreadable(files(services(answers))) == []


@combinations
def test_a_service_stays_small(services: Services, answers: dict[str, Any]) -> None:
    assert too_many(files(services(answers))) == []


@combinations
def test_only_the_answers_file_knows_the_template(
    services: Services, answers: dict[str, Any]
) -> None:
    assert names_the_template(files(services(answers))) == []


# -- negative controls -----------------------------------------------------------------------------


class Spoilt(NamedTuple):
    """A slip in the template, and what the check that must see it says."""

    says: str
    check: Callable[[dict[str, bytes]], list[str]]
    file: str
    old: str
    new: str


COMPOSE = "template/compose.yaml.jinja"
CATALOG = "template/catalog-info.yaml.jinja"
RENOVATE = "template/renovate.json.jinja"
COLLECTOR = "template/observability/collector.yaml"

SPOILT = [
    Spoilt("blank at the end", untidy, COMPOSE, "services:\n", "services: \n"),
    Spoilt("two blank lines", untidy, COMPOSE, "services:\n", "\n\nservices:\n"),
    Spoilt("CR", untidy, COLLECTOR, "receivers:\n", "receivers:\r\n"),
    Spoilt(
        "stayed", residue, COMPOSE, "services:\n", "# [% raw %][[ x ]][% endraw %]\nservices:\n"
    ),
    Spoilt("twice", unreadable, CATALOG, "kind: Component\n", "kind: A\nkind: B\n"),
    Spoilt("Expecting", unreadable, RENOVATE, '"automerge": false', '"automerge": false,'),
    Spoilt("_commit", names_the_template, RENOVATE, '"automerge"', '"_commit"'),
]


@pytest.mark.parametrize("slip", SPOILT, ids=[slip.says for slip in SPOILT])
def test_a_spoilt_template_is_noticed(template: Path, tmp_path: Path, slip: Spoilt) -> None:
    spoilt = mutated(template, tmp_path / "template", {slip.file: {slip.old: slip.new}})
    made = render(spoilt, tmp_path / "service", SMALLEST)

    assert any(slip.says in line for line in slip.check(files(made)))


def test_an_empty_or_unended_file_and_a_crowd_are_noticed() -> None:
    crowd = {f"{number}": b"x\n" for number in range(max(MOST_FILES, MOST_ROOT_ENTRIES) + 1)}

    assert untidy({"a.yaml": b""}) == ["a.yaml: empty file"]
    assert untidy({"a.yaml": b"a: b"}) == ["a.yaml: no newline at the end"]
    assert untidy({"a.yaml": b"a: b\n\n"}) == ["a.yaml: blank line at the end"]
    assert len(too_many(crowd)) == len(["at the root", "in all"])


def test_a_render_that_depends_on_chance_is_noticed(template: Path, tmp_path: Path) -> None:
    spoilt = mutated(
        template,
        tmp_path / "template",
        {"template/catalog-info.yaml.jinja": {"type: service": "type: [[ 10**9 | ans_random ]]"}},
    )
    twice = [files(render(spoilt, tmp_path / name, SMALLEST)) for name in ("one", "two")]

    assert twice[0] != twice[1]
