"""Each validator refuses what breaks a file or a cluster, and says what it takes instead."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from slipway.errors import SlipwayError
from slipway.rendering import render

from tests import hostile
from tests.interview.test_questions import answers
from tests.interview.validators import Validators
from tests.product import interview
from tests.services import SMALLEST, mutated, without_rooms

TOO_LONG = "a" * hostile.LONGEST


@dataclass(frozen=True)
class Answers:
    """What one question takes and what it refuses."""

    accepts: list[Any]
    refuses: list[Any]
    context: Mapping[str, Any] = field(default_factory=dict)


LABELS_REFUSED = [
    *("", " ", "a b", " a", "a\n", "\na", "a\tb", "A", "aB", "-a", "a-", "a_b", "a.b", "a/b", "é"),
    *("../..", "$(id)", "[[ 1 ]]", "😀", TOO_LONG),
]
URLS_REFUSED = [
    *("", "example", "http://example.com/a/b", "ftp://a/b/c", "git@github.com:a/b.git", "https://"),
    *("https:///a/b", "https://user@example.com/a/b", "https://u:p@example.com/a/b"),
    *("https://example.com/a/b?x=1", "https://example.com/a/b#x", "https://example.com/a/b/"),
    *("https://example.com/a b/c", "https://example.com/a/b\n", " https://example.com/a/b"),
    *("https://example.com/a/../b", "https://Example.com/a/b", "https://example.com/a/$(id)"),
    *("https://example.com/a/[[ 1 ]]", "https://example.com/é/b"),
    f"https://example.com/a/{TOO_LONG}",
]  # fmt: skip
NO_LISTS = ["dev", "dev, production", "", [], {}, {"dev": "production"}, 3, True, None]
NO_ENVIRONMENTS = [
    *([False], ["dev", False], [None], [1], [1.5], [["dev"]], ["dev", ["production"]], [{"a": 1}]),
    *(["dev", "dev"], ["../.."], ["../../evil"], ["a/b"], ["."], [".."], [""], ["Dev"], ["a_b"]),
    *(["-a"], ["a-"], ["a.b"], ["a b"], ["a\n"], ["[[ 1 ]]"], ["a" * 31], [TOO_LONG]),
]
PERCENTAGES = Answers(
    accepts=[95, 95.0, 99, 99.9, 99.99, 99.999],
    refuses=[100, 100.0, 94.99, 0, -1, "99.9", "99.9%", "", True, None, [99], float("nan"), 1e9],
)

CASES: dict[str, Answers] = {
    "service_name": Answers(
        accepts=["a", "signups", "sign-ups", "a1", "no", "null", "a" * 30, "a--b"],
        refuses=[*LABELS_REFUSED, "1a", "a" * 31],
    ),
    "repository_url": Answers(
        accepts=[
            "https://github.com/example/signups",
            "https://gitlab.com/group/sub-group/sub.group/Name_1",
            "https://git.example.com:8443/~ada/signups",
        ],
        refuses=[*URLS_REFUSED, "https://github.com/a/b.git", "https://github.com/example"],
    ),
    "team": Answers(
        accepts=["a", "1", "no", "0x1", "payments", "data-platform", "a" * 63],
        refuses=[*LABELS_REFUSED, "a" * 64],
    ),
    "description": Answers(
        accepts=[
            *("a", "The signups service", 'It\'s "fine": 100 % of $HOME \\ `x` [[ y ]] #1'),
            "日本語",
            *("-", "# x", "{{ x }}", "😀", "no", "1e3", "a" * 200, "- a: b"),
        ],
        refuses=["", " ", " a", "a ", "a\nb", "a\n", "a\tb", "a\rb", "a\0b", "a" * 201, TOO_LONG,
                 "\u202eabc", "a\u2028b", "\ud800"],
    ),
    "environments": Answers(
        accepts=[["production"], ["dev", "staging", "production"], ["no", "1", "a-b"], ["a" * 30]],
        refuses=[*NO_LISTS, *NO_ENVIRONMENTS],
    ),
    "slo_availability": PERCENTAGES,
    "slo_latency": PERCENTAGES,
    "production_environments": Answers(
        context={"environments": ["dev", "staging", "live-eu", "live-us"]},
        accepts=[["live-us"], ["live-eu", "live-us"], ["dev", "staging", "live-eu", "live-us"]],
        refuses=[*NO_LISTS, ["live-eu"], ["dev"], ["live-us", "live-eu"], ["live-us", "live-us"],
                 ["production"], ["a", "dev", "staging", "live-eu", "live-us"], [["live-us"]],
                 [None]],
    ),
    "port": Answers(
        accepts=[1024, 8080, 65535],
        refuses=[0, 80, 1023, 65536, -8080, 8080.5, "8080x", "80 80", "", True, None, [8080], {}],
    ),
    "image": Answers(
        accepts=[
            *("ghcr.io/example/signups", "registry.example.com:5000/a", "localhost/a"),
            "a/b__c/d.e-f",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/signups",
        ],
        refuses=[
            *("", "signups", "ghcr.io/Example/signups", "ghcr.io/example/signups:latest"),
            *("ghcr.io/example/signups:1", f"ghcr.io/example/signups@sha256:{'0' * 64}"),
            *("https://ghcr.io/example/signups", "ghcr.io/example/", "ghcr.io//signups", "a/b c"),
            *("a/b\n", "a/-b", "a/b-", "a/[[ 1 ]]", "a/$(id)", f"a/{TOO_LONG}"),
        ],
    ),
    "domain": Answers(
        accepts=["", "example.com", "signups.example.com", "xn--bcher-kva.example",
                 "1.example.com"],
        refuses=[
            *("localhost", "example", "Example.com", "-a.com", "a-.com", "a..com", ".com"),
            "a.com.",
            *("a_b.com", "a b.com", "a.com\n", "https://a.com", "a.com/b", "a.com:80", "*.a.com"),
            *("10.0.0.1", "bücher.example", f"{'a' * 64}.com", f"{TOO_LONG}.com"),
            "a." * 200 + "com",
        ],
    ),
    # With a domain, each of them is taken: tests/render renders them.
    "edge": Answers(accepts=["none"], refuses=["gateway", "ingress"], context={"domain": ""}),
    "gateway": Answers(
        accepts=["gateway-system/public", "a/b", "1/2"],
        refuses=[
            *("", "public", "/public", "a/", "a/b/c", "A/b", "a/b\n", "a /b", "-a/b", "a/b-"),
            *("a/[[ 1 ]]", f"a/{TOO_LONG}"),
        ],
    ),
    "secret_store": Answers(
        accepts=["platform", "a", "no", "1", "a" * 63], refuses=[*LABELS_REFUSED, "a" * 64]
    ),
    "grafana_url": Answers(
        accepts=["https://grafana.example.com", "https://example.com:3000/grafana",
                 "https://a/b/c"],
        refuses=[*URLS_REFUSED, "https://grafana.example.com/"],
    ),
    "business_metrics": Answers(
        accepts=[{}, {"a": "gauge"}, {"a" * 40: "gauge"}, {"signups": "counter", "a_1": "gauge"}],
        refuses=[
            *([], ["signups"], "signups", "", 3, None, True, {"signups": "histogram"}),
            *({"signups": None}, {"signups": ["counter"]}, {"signups": {"type": "counter"}}),
            *({"Signups": "counter"}, {"sign-ups": "counter"}, {"sign.ups": "counter"}),
            *({"": "counter"}, {"_a": "counter"}, {"a_": "counter"}, {"a__b": "counter"}),
            *({1: "counter"}, {"1a": "counter"}, {"a" * 41: "counter"}, {"a b": "counter"}),
            *({"a\n": "counter"}, {"a,b=c": "gauge"}, {"a": "Counter"}, {TOO_LONG: "gauge"}),
        ],
    ),
}  # fmt: skip

VALIDATED = [question.name for question in interview().questions if question.validator]


@pytest.fixture
def validators(template: Path, tmp_path: Path) -> Validators:
    return Validators(template / "copier.yml", tmp_path / "validators")


def short(value: object) -> str:
    """Return how a value is named in a refusal, without what a long one is cut down by."""
    return json.dumps(value, ensure_ascii=True)[:40].rstrip('"')


def test_every_validator_has_its_table() -> None:
    assert list(CASES) == VALIDATED


def wrong_verdicts(validators: Validators, name: str) -> list[str]:
    """Return where a validator and its table differ."""
    case = CASES[name]
    given = [*case.accepts, *case.refuses]
    messages = validators.messages(name, given, case.context)
    wrong = [
        f"{name} takes {short(value)}, which its table refuses"
        for value in case.refuses
        if not messages[given.index(value)]
    ]
    return wrong + [
        f"{name} refuses {short(value)}, which its table accepts: {message}"
        for value, message in zip(case.accepts, messages, strict=False)
        if message
    ]


@pytest.mark.parametrize("name", VALIDATED)
def test_a_validator_takes_and_refuses_what_its_table_says(
    validators: Validators, name: str
) -> None:
    assert wrong_verdicts(validators, name) == []


def test_a_validator_that_ends_in_a_dollar_takes_a_newline_and_is_caught(
    template: Path, tmp_path: Path
) -> None:
    r"""The negative control: `$` in place of `\Z`."""
    loose = mutated(template, tmp_path / "template", {"copier.yml": {"\\\\Z')": "$')"}})

    wrong = wrong_verdicts(Validators(loose / "copier.yml", tmp_path / "validators"), "team")

    assert any("a\\n" in line for line in wrong)


@pytest.mark.parametrize("name", VALIDATED)
def test_a_refusal_names_the_value_and_what_is_accepted(validators: Validators, name: str) -> None:
    case = CASES[name]
    for value, message in zip(
        case.refuses, validators.messages(name, case.refuses, case.context), strict=True
    ):
        of_a_list = [*value] if isinstance(value, list | dict) else []
        named = [short(value), *map(short, of_a_list)]
        assert any(one.strip("[]{}") in message for one in named), (
            f"name the refused value in the message of {name}: {message[:200]}"
        )
        assert len(message) > len(" is not ") + 10, f"say what {name} accepts: {message}"


@pytest.mark.parametrize("name", [q.name for q in interview().questions if q.is_free_text])
def test_a_refusal_of_a_very_long_answer_stays_readable(validators: Validators, name: str) -> None:
    assert len(validators.messages(name, [TOO_LONG + " "])[0]) < 300


@pytest.mark.parametrize("name", VALIDATED)
def test_asking_many_at_once_agrees_with_answering_the_question(
    template: Path, tmp_path: Path, validators: Validators, name: str
) -> None:
    """The shortcut of these tests against a real copy, on a sample."""
    case = CASES[name]
    small = without_rooms(template, tmp_path / "template")
    # Copier turns null into a refusal of its own where a text is asked, before the validator.
    sample = [value for value in [*case.accepts[:1], *case.refuses[-2:]] if value is not None]
    for value, message in zip(sample, validators.messages(name, sample, case.context), strict=True):
        given = {**SMALLEST, **case.context, name: value}
        if message:
            with pytest.raises(SlipwayError) as refusal:
                render(small, tmp_path / "service", given)
            expected = f"Validation error for question '{name}': {message}"
            assert str(refusal.value) == " ".join(expected.split())
        else:
            assert answers(render(small, tmp_path / "service", given))[name] == value


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("datastore", "mysql", "choice for 'datastore': 'mysql' is not in ['none', 'postgres']"),
        ("slo_latency_seconds", "1", "Invalid choice for 'slo_latency_seconds': 1 is not in [0.1"),
        ("port", "80x", "question 'port': \"80x\" is not a port from 1024 to 65535"),
        ("slo_latency", "99%", "question 'slo_latency': \"99%\" is not an objective"),
        ("environments", "dev", "question 'environments': \"dev\" is not a list"),
        ("environments", "[dev, no]", "question 'environments': false is not an environment"),
        ("environments", "null", "question 'environments': null is not a list"),
    ],
)  # fmt: skip
def test_a_refusal_on_the_command_line_names_question_value_and_what_is_accepted(
    template: Path, tmp_path: Path, name: str, value: str, refusal: str
) -> None:
    small = without_rooms(template, tmp_path / "template")

    with pytest.raises(SlipwayError) as raised:
        render(small, tmp_path / "service", {**SMALLEST, name: value})

    assert refusal in str(raised.value)
    assert not (tmp_path / "service").exists(), "a refused answer leaves files behind"
