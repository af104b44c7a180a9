"""Asks Copier what a validator says, many answers at a time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from slipway.rendering import render

from tests.product import Interview, Question, read_interview


class Validators:
    """The validators of one copier.yml, run by Copier itself.

    One render for each question: a template of one file applies the validator to every answer.
    test_validators.py shows that this agrees with answering the question.
    """

    def __init__(self, copier_yml: Path, folder: Path) -> None:
        self.interview: Interview = read_interview(copier_yml)
        self.folder = folder

    def messages(
        self, name: str, candidates: Sequence[Any], context: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Return what the validator of a question says about each answer; nothing is consent."""
        question: Question = self.interview.entries[name]
        template = self.folder / name / "template"
        template.mkdir(parents=True, exist_ok=True)
        (template / "copier.yml").write_text(
            yaml.safe_dump(
                {
                    "_envops": self.interview.settings["_envops"],
                    "candidates": {"type": "yaml", "default": []},
                }
            )
        )
        (template / "messages.json.jinja").write_text(
            f"""\
[
[% for {name} in candidates %]
[% set message %]
{question.validator}
[% endset %]
[[ message | trim | to_json ]][[ "," if not loop.last ]]
[% endfor %]
]
"""
        )
        made = render(
            template,
            self.folder / name / "made",
            {**(context or {}), "candidates": list(candidates)},
        )
        messages: list[str] = json.loads((made / "messages.json").read_text())
        assert len(messages) == len(candidates)
        return messages

    def accepted(self, name: str, candidates: Sequence[Any]) -> list[Any]:
        """Return the answers that a question takes."""
        messages = self.messages(name, candidates)
        return [
            candidate
            for candidate, message in zip(candidates, messages, strict=True)
            if not message
        ]
