"""The recorded answers of a service, and what is given anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from slipway.errors import SlipwayError

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True)
class Recorded:
    """What a service's answers file says.

    Attributes:
        source: the template's address, as Copier takes it.
        version: the template's version, as `git describe` names it.
        values: the answers by the questions' names.
        text: the file itself.

    """

    source: str
    version: str
    values: Mapping[str, Any]
    text: bytes


def read_answers(text: bytes) -> Recorded:
    """Read an answers file.

    Raises:
        SlipwayError: it is damaged, or names no template or no version.

    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day such as 2026-02-30
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SlipwayError(
            f"{ANSWERS_FILE}{line} is no YAML: take it from an earlier commit, and commit it"
        ) from error
    if not isinstance(content, dict):
        raise SlipwayError(
            f"{ANSWERS_FILE} holds no answers: take it from an earlier commit, and commit it"
        )
    for name in ("_src_path", "_commit"):
        if not isinstance(content.get(name), str) or not content[name]:
            raise SlipwayError(
                f"{ANSWERS_FILE} has no {name}: take it from an earlier commit, and commit it"
            )
    values = {name: value for name, value in content.items() if not str(name).startswith("_")}
    return Recorded(content["_src_path"], content["_commit"], values, text)


def sign(text: str, source: str, version: str) -> str:
    """Say in a rendered answers file which template and version it is from.

    The render came from a plain folder, which has no version and another path.
    """
    signature = yaml.safe_dump(
        {"_commit": version, "_src_path": source}, allow_unicode=True, width=10_000
    )
    return re.sub(r"(?m)^_src_path:.*\n", lambda _: signature, text, count=1)


def parse_data(pairs: Iterable[str]) -> dict[str, str]:
    """Return the answers that were given as `name=value`.

    Raises:
        SlipwayError: one is not of this form.

    """
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise SlipwayError(f"--data {pair}: write it as name=value")
        given[name] = value
    return given


def with_renames(recorded: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, str]:
    """Return the given answers, and the lists that name a value which they rename.

    Whoever renames an environment means it wherever the environment is listed.
    """
    given = {}
    for name, text in data.items():
        try:
            given[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            continue  # Copier says what is wrong with it
    new_names = dict(renamed_values(recorded, {**recorded, **given}))
    followed = {
        name: json.dumps([new_names.get(each, each) for each in value])
        for name, value in recorded.items()
        if name not in data
        and isinstance(value, list)
        and any(isinstance(each, str) and each in new_names for each in value)
    }
    return {**data, **followed}


def renamed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values that a list answer has under another name, old and new.

    A value counts as renamed when the list keeps its length and the new name stands in the old
    one's place.
    """
    pairs: list[tuple[str, str]] = []
    for name, old in before.items():
        new = after.get(name)
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            pairs += [
                (a, b)
                for a, b in zip(old, new, strict=True)
                if isinstance(a, str) and isinstance(b, str) and a not in new and b not in old
            ]
    return list(dict.fromkeys(pairs))


def moves(
    pairs: Sequence[tuple[str, str]],
    *,
    before: Iterable[str],
    after: Iterable[str],
    service: Iterable[str],
) -> dict[str, str]:
    """Return where a service's files go when folders carry a renamed value.

    Args:
        pairs: the values' old and new names.
        before: the files of the recorded version's render.
        after: the files of the new render.
        service: the files of the service.

    Returns:
        New paths by old ones, for everything in such a folder, whoever wrote it. A folder that
        the service has under the new name already is left alone.

    """
    old_folders, new_folders = folders(before), folders(after)
    taken = folders(service)
    moved: dict[str, str] = {}
    for old, new in pairs:
        for folder in sorted(old_folders - new_folders):
            parent, _, name = folder.rpartition("/")
            target = f"{parent}/{new}" if parent else new
            if name != old or target not in new_folders or target in taken:
                continue
            inside = f"{folder}/"
            moved |= {
                path: f"{target}/{path.removeprefix(inside)}"
                for path in {*service, *before}
                if path.startswith(inside)
            }
    return moved


def folders(paths: Iterable[str]) -> set[str]:
    """Return every folder on the way to some files."""
    found = set()
    for path in paths:
        while "/" in path:
            path = path.rpartition("/")[0]
            found.add(path)
    return found
