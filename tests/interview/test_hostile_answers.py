"""No hostile text passes a validator that would have to be quoted afterwards.

What is accepted here is rendered by tests/render/test_hostile_answers.py.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.errors import SlipwayError
from slipway.rendering import render

from tests import hostile
from tests.interview.validators import Validators
from tests.product import interview
from tests.services import SMALLEST, mutated, without_rooms

AT_LEAST = 200

# An answer that each question takes, and the characters of all that it may take. Only the
# description may hold any printable character: every file quotes it.
SAFE: dict[str, tuple[str, str]] = {
    "service_name": ("sign-ups", r"[a-z0-9-]{1,30}"),
    "repository_url": ("https://github.com/example/signups", r"https://[A-Za-z0-9._~:/-]{1,192}"),
    "team": ("data-team", r"[a-z0-9-]{1,63}"),
    "description": (
        "The signups service",
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}",
    ),
    "image": ("ghcr.io/example/sign-ups", r"[a-z0-9._:/-]{1,200}"),
    "domain": ("signups.example.com", r"[a-z0-9.-]{0,200}"),
    "gateway": ("gateway-system/public", r"[a-z0-9-]{1,63}/[a-z0-9-]{1,63}"),
    "secret_store": ("platform", r"[a-z0-9-]{1,63}"),
    "grafana_url": ("https://grafana.example.com/a", r"https://[A-Za-z0-9._~:/-]{1,192}"),
}

FREE_TEXT = [question.name for question in interview().questions if question.is_free_text]


def unsafe(copier_yml: Path, folder: Path, name: str) -> list[str]:
    """Return the hostile texts that a question takes although its files do not quote them."""
    likely, safe = SAFE[name]
    given = hostile.strings(likely)
    assert len(given) >= AT_LEAST
    accepted = Validators(copier_yml, folder).accepted(name, given)
    assert accepted, f"{name} takes nothing at all"
    return [text for text in accepted if not re.fullmatch(safe, text)]


def test_every_question_of_free_text_is_attacked() -> None:
    assert list(SAFE) == FREE_TEXT


@pytest.mark.parametrize("name", FREE_TEXT)
def test_no_hostile_text_passes(template: Path, tmp_path: Path, name: str) -> None:
    assert unsafe(template / "copier.yml", tmp_path, name) == []


# Texts inside of lists and mappings: how an answer holds one, a likely one, and what is safe.
INSIDE: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "environments": (lambda text: [text], "production", r"[a-z0-9-]{1,30}"),
    "business_metrics": (lambda text: {text: "gauge"}, "active_users", r"[a-z0-9_]{1,40}"),
}


def unsafe_inside(copier_yml: Path, folder: Path, name: str) -> list[str]:
    """Return the hostile texts that a list or mapping takes."""
    hold, likely, safe = INSIDE[name]
    given = hostile.strings(likely)
    assert len(given) >= AT_LEAST
    messages = Validators(copier_yml, folder).messages(name, [hold(text) for text in given])
    accepted = [text for text, message in zip(given, messages, strict=True) if not message]
    assert accepted, f"{name} takes nothing at all"
    return [text for text in accepted if not re.fullmatch(safe, text)]


@pytest.mark.parametrize("name", INSIDE)
def test_no_hostile_text_passes_inside_of_a_list(template: Path, tmp_path: Path, name: str) -> None:
    assert unsafe_inside(template / "copier.yml", tmp_path, name) == []


@pytest.mark.parametrize("name", INSIDE)
def test_hostile_text_passes_inside_of_a_list_whose_end_is_not_looked_at(
    template: Path, tmp_path: Path, name: str
) -> None:
    loose = mutated(template, tmp_path / "template", {"copier.yml": {"\\\\Z": ""}})

    assert unsafe_inside(loose / "copier.yml", tmp_path / "validators", name)


def test_every_address_of_a_repository_gives_a_team_and_an_image_or_a_clear_refusal(
    template: Path, tmp_path: Path
) -> None:
    """The defaults that are made of another answer hold for what that answer may be."""
    small = without_rooms(template, tmp_path / "template")
    validators = Validators(template / "copier.yml", tmp_path / "validators")
    addresses = validators.accepted("repository_url", hostile.strings(SAFE["repository_url"][0]))
    refused = {}
    chosen = [*hostile.worst(addresses, 20), "https://git.example.com/~a/-b-/c..d"]
    for number, address in enumerate(chosen):
        try:
            render(small, tmp_path / f"{number}", {**SMALLEST, "repository_url": address})
        except SlipwayError as refusal:
            refused[address] = str(refusal)

    assert refused == {}
    with pytest.raises(SlipwayError, match=r"question 'team': \"\" is not a team"):
        render(small, tmp_path / "service", {**SMALLEST, "repository_url": "https://a.b/_/c"})


@pytest.mark.parametrize("name", [name for name in FREE_TEXT if name != "description"])
def test_hostile_text_passes_a_validator_that_looks_at_the_start_only(
    template: Path, tmp_path: Path, name: str
) -> None:
    """The negative control: without its end, the same expression takes more."""
    loose = mutated(template, tmp_path / "template", {"copier.yml": {"\\\\Z": ""}})

    assert unsafe(loose / "copier.yml", tmp_path / "validators", name)


def test_hostile_text_passes_a_description_of_any_characters(
    template: Path, tmp_path: Path
) -> None:
    loose = mutated(
        template,
        tmp_path / "template",
        {"copier.yml": {"not description.isprintable() or ": ""}},
    )

    assert unsafe(loose / "copier.yml", tmp_path / "validators", "description")


@pytest.mark.parametrize("name", FREE_TEXT)
def test_the_strings_hold_what_was_promised(name: str) -> None:
    given = hostile.strings(SAFE[name][0])
    everything = "".join(given)

    for fragment in ["'", '"', ":", "{{", "[[", "[%", "${}", "$(", "`", "\n", "\t", "\r", "\0"]:
        assert fragment in everything
    assert {"yes", "no", "null", "1e3", "0x1", "-rf", "# x", ">", "👨‍👩‍👧", "עברית"} <= set(given)
    assert max(map(len, given)) >= hostile.LONGEST
