"""Writes a dashboard as the text of a template: JSON in which answers may stand.

An answer within a text is written as it is: `[[ service_name ]]`. Where JSON has a number, a whole
object or a list, one of the three classes here stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

# Encloses what is written without quotes; no text of ours holds it.
_NUMBER = "\0"


@dataclass(frozen=True)
class OneOf:
    """An item of a list that depends on an answer: one of several, by the answer's value."""

    answer: str
    items: Mapping[str, object]


@dataclass(frozen=True)
class Within:
    """Items of a list that stand in a statement, `for ...` or `if ...`; another item follows."""

    statement: str
    item: object


def number(expression: str) -> float:
    """Return what becomes a number made of answers, such as `slo_availability / 100`."""
    return cast("float", f"{_NUMBER}[[ {expression} ]]{_NUMBER}")


def text_of(value: object) -> str:
    """Return a template's text: keys sorted, two blanks a level, a newline at the end."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: object) -> list[str]:
    if isinstance(value, Mapping) and value:
        items = [_after(f"{json.dumps(key)}: ", _lines(value[key])) for key in sorted(value)]
        return ["{", *_indented(_joined(items)), "}"]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return ["[", *_indented(_joined([_item(one) for one in value])), "]"]
    if isinstance(value, str) and value.startswith(_NUMBER):
        return [value.strip(_NUMBER)]
    return [json.dumps(value, ensure_ascii=False)]


def _item(value: object) -> list[str] | OneOf | Within:
    return value if isinstance(value, OneOf | Within) else _lines(value)


def _joined(items: Sequence[list[str] | OneOf | Within]) -> Iterator[str]:
    """Put a comma after each item but the last; in a branch or a loop it stands inside."""
    for position, item in enumerate(items, start=1):
        comma = "," if position < len(items) else ""
        if isinstance(item, OneOf):
            for index, (value, option) in enumerate(item.items.items()):
                yield f"[% {'elif' if index else 'if'} {item.answer} == '{value}' %]"
                yield from _before(_lines(option), comma)
            yield "[% endif %]"
        elif isinstance(item, Within):
            if not comma:
                raise ValueError(
                    f"{item.statement}: nothing follows, so that a comma would be the last"
                )
            yield f"[% {item.statement} %]"
            yield from _before(_lines(item.item), comma)
            yield f"[% end{item.statement.partition(' ')[0]} %]"
        else:
            yield from _before(item, comma)


def _after(start: str, lines: list[str]) -> list[str]:
    return [start + lines[0], *lines[1:]]


def _before(lines: list[str], end: str) -> list[str]:
    return [*lines[:-1], lines[-1] + end]


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (line if line.startswith("[%") else f"  {line}" for line in lines)
