"""The interview asks what the design says, in its order, with its defaults."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.rendering import render

from tests.product import Question, interview
from tests.services import SMALLEST, mutated, without_rooms


class Promise(NamedTuple):
    """What services rely on, so that it never changes without a default that reads the old."""

    name: str
    type: str
    default: Any
    choices: list[Any] = []  # noqa: RUF012 - never changed


NO_DEFAULT = object()

# `starter` stands before `business_metrics`, whose default it decides.
PROMISED = [
    Promise("service_name", "str", NO_DEFAULT),
    Promise("repository_url", "str", "https://github.com/example/signups"),
    Promise("team", "str", "example"),
    Promise("description", "str", "The signups service"),
    Promise("stack", "str", "python", ["python", "node", "go"]),
    Promise("environments", "yaml", ["dev", "staging", "production"]),
    Promise("datastore", "str", "none", ["none", "postgres"]),
    Promise("cache", "str", "none", ["none", "redis"]),
    Promise("rollout", "str", "rolling", ["rolling", "canary", "blue-green"]),
    Promise("slo_availability", "yaml", 99.9),
    Promise("slo_latency_seconds", "yaml", 0.5, [0.1, 0.25, 0.5, 0.75, 2.5]),
    Promise("slo_latency", "yaml", 99.0),
    Promise("platform_settings", "bool", False),
    Promise("production_environments", "yaml", ["production"]),
    Promise("port", "yaml", 8080),
    Promise("image", "str", "ghcr.io/example/signups"),
    Promise("domain", "str", ""),
    Promise("edge", "str", "none", ["none", "gateway", "ingress"]),
    Promise("gateway", "str", "gateway-system/public"),
    Promise("secrets", "str", "kubernetes", ["kubernetes", "external-secrets"]),
    Promise("secret_store", "str", "platform"),
    Promise("logs", "str", "loki", ["loki", "elasticsearch", "cloudwatch"]),
    Promise("grafana_url", "str", "https://grafana.example.com"),
    Promise("feature_flags", "bool", True),
    Promise("ci", "str", "none", ["none"]),
    Promise("starter", "bool", True),
    Promise(
        "business_metrics",
        "yaml",
        {"signups": "counter", "conversions": "counter", "active_users": "gauge"},
    ),
]


def by_name(promise: Promise) -> str:
    return promise.name


def answers(service: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((service / ANSWERS_FILE).read_text())
    return read


def test_every_question_stands_in_the_promised_order() -> None:
    assert [question.name for question in interview().questions] == [
        promise.name for promise in PROMISED
    ]


@pytest.mark.parametrize("promise", PROMISED, ids=by_name)
def test_a_question_keeps_its_type_and_its_choices(promise: Promise) -> None:
    question = interview().entries[promise.name]

    assert (question.type, question.choices) == (promise.type, promise.choices)


def test_every_question_says_in_one_line_what_choosing_gives() -> None:
    for question in interview().questions:
        text = question.details["help"]
        assert "\n" not in text, f"the help of {question.name} is longer than a line"
        assert 10 <= len(text) <= 120, f"the help of {question.name} has {len(text)} characters"
        assert "[[" not in text, f"the help of {question.name} depends on answers"


def lacks_a_check(question: Question) -> bool:
    """Say whether a wrong answer to a question would go through."""
    return question.type != "bool" and not question.choices and not question.validator


def test_every_free_answer_is_validated() -> None:
    assert [question.name for question in interview().questions if lacks_a_check(question)] == []


def test_only_the_name_has_no_default() -> None:
    without = [q.name for q in interview().questions if "default" not in q.details]

    assert without == list(SMALLEST)


def test_the_name_alone_is_enough(service: Path) -> None:
    """The platform's defaults are each fork's own, as long as there are some."""
    of_the_platform = {q.name for q in interview().questions if q.of_the_platform}
    promised = {p.name: p.default for p in PROMISED if p.default is not NO_DEFAULT}
    recorded = {name: value for name, value in answers(service).items() if name[0] != "_"}

    assert recorded.keys() == promised.keys() | SMALLEST.keys()
    for name, value in {**SMALLEST, **promised}.items():
        assert name in of_the_platform or recorded[name] == value


def test_without_a_name_the_refusal_names_the_question(template: Path, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match='Question "service_name" is required'):
        render(template, tmp_path / "service", {})


def test_the_platform_settings_are_recorded_though_nobody_asked(service: Path) -> None:
    settings = [question.name for question in interview().questions if question.of_the_platform]

    assert settings, "no question has `ask`: the platform's settings are asked always"
    assert not answers(service)["platform_settings"]
    assert set(settings) <= set(answers(service))


def test_the_platform_settings_are_the_questions_after_their_opener() -> None:
    names = [question.name for question in interview().questions]
    asked_on_request = [q.name for q in interview().questions if q.of_the_platform]

    assert asked_on_request == names[names.index("platform_settings") + 1 :]


def test_one_platform_setting_can_be_given_alone(template: Path, tmp_path: Path) -> None:
    made = render(
        without_rooms(template, tmp_path / "template"),
        tmp_path / "service",
        {**SMALLEST, "port": 9000},
    )

    assert answers(made)["port"] == 9000


def test_derived_values_are_not_recorded(service: Path) -> None:
    derived = {entry.name for entry in interview().entries.values() if not entry.asked}

    assert derived
    assert not derived & set(answers(service))


@pytest.mark.parametrize(
    ("given", "question", "default"),
    [
        ({"repository_url": "https://gitlab.com/Data_Team/Sub/Some.Thing"}, "team", "data-team"),
        (
            {"repository_url": "https://gitlab.com/Data_Team/Sub/Some.Thing"},
            "image",
            "registry.gitlab.com/data-team/sub/some-thing",
        ),
        (
            {"repository_url": "https://git.example.com:8443/-a-/--b--"},
            "image",
            "git.example.com:8443/a/b",
        ),
        ({"environments": ["qa", "live"]}, "production_environments", ["live"]),
        ({"starter": False}, "business_metrics", {}),
        ({"domain": "signups.example.com"}, "edge", "gateway"),
    ],
)
def test_a_default_follows_the_answers_before_it(
    template: Path, tmp_path: Path, given: dict[str, Any], question: str, default: object
) -> None:
    made = render(
        without_rooms(template, tmp_path / "template"), tmp_path / "made", {**SMALLEST, **given}
    )

    assert answers(made)[question] == default


# -- no trust needed, and nothing undefined --------------------------------------------------------


def needs_trust(settings: dict[str, Any]) -> list[str]:
    """Return the settings for which Copier demands --trust."""
    return sorted({"_tasks", "_migrations", "_jinja_extensions"} & set(settings))


def test_the_template_needs_no_trust() -> None:
    assert needs_trust(dict(interview().settings)) == []
    assert needs_trust({**interview().settings, "_tasks": ["true"]}) == ["_tasks"]


def test_a_template_with_a_task_is_not_rendered(template: Path, tmp_path: Path) -> None:
    """The negative control: what renders here would not render if it needed trust."""
    small = without_rooms(template, tmp_path / "template")
    with (small / "copier.yml").open("a") as file:
        file.write('\n_tasks: ["true"]\n')

    with pytest.raises(SlipwayError, match="potentially unsafe"):
        render(small, tmp_path / "service", SMALLEST)


def test_an_undefined_variable_in_a_file_stops_the_render(template: Path, tmp_path: Path) -> None:
    spoilt = mutated(
        template,
        tmp_path / "template",
        {"template/catalog-info.yaml.jinja": {"[[ yaml(team) ]]": "[[ taem ]]"}},
    )

    with pytest.raises(SlipwayError, match="'taem' is undefined"):
        render(spoilt, tmp_path / "service", SMALLEST)


def test_without_strict_undefined_the_same_slip_goes_unseen(template: Path, tmp_path: Path) -> None:
    """The negative control: the setting is what stops it."""
    spoilt = mutated(
        template,
        tmp_path / "template",
        {
            "copier.yml": {"  undefined: jinja2.StrictUndefined\n": ""},
            "template/catalog-info.yaml.jinja": {"[[ yaml(team) ]]": "[[ taem ]]"},
        },
    )

    made = render(spoilt, tmp_path / "service", SMALLEST)

    assert re.search(r"owner: $", (made / "catalog-info.yaml").read_text(), re.MULTILINE)
