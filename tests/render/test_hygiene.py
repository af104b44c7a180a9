"""Every rendered file reads as if written by hand, whatever the answers."""

from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from slipway.rendering import render

from tests.product import files, interview
from tests.render import hygiene
from tests.render.combinations import PAIRWISE, VARIANTS, name, values
from tests.render.hygiene import Check, Rendered
from tests.services import SMALLEST, Services, mutated


def test_every_question_has_values_to_render() -> None:
    without_choice = {
        question.name
        for question in interview().questions
        if not question.choices and question.type != "bool"
    }

    assert set(VARIANTS) == without_choice, "give each question its line in VARIANTS, no other"


def test_every_two_choices_meet() -> None:
    """No trust in the library that chose the combinations."""
    choices = [
        question
        for question in interview().questions
        if len(values(question)) > 1 and question.name not in VARIANTS
    ]
    for one, other in combinations(choices, 2):
        met = {(answers[one.name], answers[other.name]) for answers in PAIRWISE}
        assert met == set(product(values(one), values(other))), f"{one.name} and {other.name}"


@pytest.mark.usefixtures("compiled_anew")
@pytest.mark.parametrize("answers", PAIRWISE, ids=name)
def test_the_same_answers_give_the_same_bytes(services: Services, answers: dict[str, Any]) -> None:
    assert files(services(answers)) == files(services(answers, again=1))


@pytest.mark.parametrize("check", hygiene.CHECKS, ids=lambda check: check.__name__)
def test_no_service_shows_a_slip_whatever_the_answers(services: Services, check: Check) -> None:
    problems = [
        f"{name(answers)}: {problem}"
        for answers in PAIRWISE
        for problem in check(Rendered(services(answers), services.template))
    ]

    assert problems == []


# -- negative controls -----------------------------------------------------------------------------


class Slip(NamedTuple):
    """A slip in the template, and what the check that must see it says."""

    says: str
    check: Check
    file: str
    old: str
    new: str


COMPOSE = "template/compose.yaml.jinja"
CATALOG = "template/catalog-info.yaml.jinja"
MAKEFILE = "template/Makefile.jinja"
RENOVATE = "template/renovate.json.jinja"
COLLECTOR = "template/observability/collector.yaml"
RAW = "# [% raw %][[ x ]][% endraw %]\n"

SLIPS = [
    Slip("blank at the end", hygiene.untidy, COMPOSE, "services:\n", "services: \n"),
    Slip("two blank lines", hygiene.untidy, COMPOSE, "services:\n", "\n\nservices:\n"),
    Slip("CR", hygiene.untidy, COLLECTOR, "receivers:\n", "receivers:\r\n"),
    Slip("no newline", hygiene.untidy, CATALOG, "[[ yaml(team) ]]\n", "[[ yaml(team) ]]"),
    Slip("line at the end", hygiene.untidy, CATALOG, "[[ yaml(team) ]]\n", "[[ yaml(team) ]]\n\n"),
    Slip("compose.yaml", hygiene.residue, COMPOSE, "services:\n", f"{RAW}services:\n"),
    Slip("twice", hygiene.unreadable, CATALOG, "kind: Component\n", "kind: A\nkind: B\n"),
    Slip("Expecting", hygiene.unreadable, RENOVATE, '"automerge": false', '"automerge": false,'),
    Slip("_commit", hygiene.names_the_template, RENOVATE, '"automerge"', '"_commit"'),
    Slip("@v1.2", hygiene.names_the_template, MAKEFILE, '$(version)" slipway', '@v1.2.3" slipway'),
]


@pytest.mark.parametrize(
    "slip", SLIPS, ids=[f"{slip.check.__name__}-{slip.says}" for slip in SLIPS]
)
def test_a_slip_in_the_template_is_noticed(template: Path, tmp_path: Path, slip: Slip) -> None:
    spoilt = mutated(template, tmp_path / "template", {slip.file: {slip.old: slip.new}})
    answers = {**SMALLEST, "starter": False, "environments": ["production"]}

    made = render(spoilt, tmp_path / "service", answers)

    assert any(slip.says in problem for problem in slip.check(Rendered(made, spoilt)))


def test_empty_files_and_crowds_are_noticed(template: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()

    assert hygiene.untidy(Rendered(tmp_path, template)) == ["a.yaml: empty file"]

    for number in range(max(hygiene.MOST_FILES, hygiene.MOST_ROOT_ENTRIES) + 1):
        (tmp_path / f"{number}").touch()
    environment = tmp_path / hygiene.ENVIRONMENTS / "dev"
    environment.mkdir(parents=True)
    for number in range(hygiene.MOST_FILES_OF_AN_ENVIRONMENT + 1):
        (environment / f"{number}").touch()

    found = hygiene.too_many(Rendered(tmp_path, template))
    assert len(found) == len(["at the root", "in all", "of an environment"])


@pytest.mark.usefixtures("compiled_anew")
def test_a_render_that_depends_on_chance_is_noticed(template: Path, tmp_path: Path) -> None:
    spoilt = mutated(
        template,
        tmp_path / "template",
        {CATALOG: {"type: service": "type: [[ (10**9) | ans_random ]]"}},
    )
    answers = {**SMALLEST, "starter": False}

    one, two = (files(render(spoilt, tmp_path / place, answers)) for place in ("one", "two"))

    assert one != two
