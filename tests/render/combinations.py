"""Answers in which every two values of two questions meet at least once."""

from collections.abc import Iterator
from typing import Any

from allpairspy import AllPairs

from tests.product import Question, interview

# What stands for the questions whose values are not choices. `...` leaves the default.
VARIANTS: dict[str, list[Any]] = {
    "service_name": ["signups", "a", "billing-export-of-invoices-30x"],
    "repository_url": [..., "https://gitlab.com/Payments/sub.group/Some_Service"],
    "team": [..., "no"],
    "description": [..., 'It\'s "100 %" of $HOME: `x` \\ <b>é</b> #1 😀'],
    "environments": [..., ["production"], ["no", "1e3"], ["dev", "qa", "eu-live", "us-live"]],
    "slo_availability": [..., 95],
    "slo_latency": [..., 99.95],
    # How many of the last environments are production.
    "production_environments": [..., 2],
    "port": [..., 1024, 65535],
    "image": [..., "registry.example.com:5000/team/some_service"],
    "domain": [..., "signups.example.com"],
    "gateway": [..., "edge/internal"],
    "secret_store": [..., "no"],
    "grafana_url": [..., "https://example.com:3000/grafana"],
    "business_metrics": [..., {}, {"exports": "counter"}],
}


def values(question: Question) -> list[Any]:
    """Return the values of a question that are rendered."""
    if question.type == "bool":
        return [True, False]
    return question.choices or VARIANTS[question.name]


def pairwise() -> list[dict[str, Any]]:
    """Return the answers of every service to render."""
    varied = [question for question in interview().questions if len(values(question)) > 1]
    return [
        dict(_completed(zip([question.name for question in varied], row, strict=True)))
        for row in AllPairs([values(question) for question in varied])
    ]


def _completed(row: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    given = {name: value for name, value in row if value is not ...}
    if number := given.get("production_environments"):
        default = interview().entries["environments"].details["default"]
        given["production_environments"] = given.get("environments", default)[-number:]
    # An edge without a name to reach is refused.
    if given.get("edge", "none") != "none":
        given.setdefault("domain", "signups.example.com")
    yield from given.items()


PAIRWISE = pairwise()


def name(answers: dict[str, Any]) -> str:
    """Return a short name for a set of answers: the choices in it."""
    parts = [
        str(answers[question.name])
        for question in interview().questions
        if question.name in answers and (question.choices or question.type == "bool")
    ]
    return (
        f"{PAIRWISE.index(answers)}-{'-'.join(parts)}" if answers in PAIRWISE else "-".join(parts)
    )
