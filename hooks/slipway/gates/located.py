"""YAML whose every value knows the line it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import yaml

from slipway.errors import SlipwayError
from slipway.gates.findings import Place

Content: TypeAlias = "str | dict[str, Value] | list[Value] | None"
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NULL = "tag:yaml.org,2002:null"
MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Value:
    """A value, with the place of its key.

    Attributes:
        at: where the value's key stands, or the value itself in a list.
        content: a scalar as it is written, nothing for a null, or what it holds.
        tag: the YAML tag, for `!reset` and its like.
        text_line: the first line of a text that stands in a block of its own (`|`).

    """

    at: Place
    content: Content
    tag: str = field(default="", compare=False)
    text_line: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """Return the scalar; empty for anything else."""
        return self.content if isinstance(self.content, str) else ""

    @property
    def items(self) -> list[Value]:
        """Return the values of a list; none for anything else."""
        return self.content if isinstance(self.content, list) else []

    @property
    def entries(self) -> dict[str, Value]:
        """Return the values of a mapping by their keys; none for anything else."""
        return self.content if isinstance(self.content, dict) else {}

    def mapping(self, *path: str) -> dict[str, Value]:
        """Return the entries of the mapping at a path of keys; none without one."""
        found = self.get(*path)
        return found.entries if found else {}

    def listed(self, key: str) -> list[Value]:
        """Return the values of the list below a key; none without one."""
        return self.entries[key].items if key in self.entries else []

    @property
    def is_true(self) -> bool:
        """Say whether it is a boolean that is true, as YAML 1.1 writes it."""
        return self.text.lower() in ("true", "yes", "on")

    def get(self, *path: str) -> Value | None:
        """Return the value at a path of keys; nothing where one is missing or null."""
        value, found = self.find(*path)
        return value if found and value.content is not None else None

    def find(self, *path: str) -> tuple[Value, bool]:
        """Return the value at a path of keys, or the last one before the path breaks off."""
        value = self
        for key in path:
            if key not in value.entries:
                return value, False
            value = value.entries[key]
        return value, True


def read_documents(text: str, file: str, *, first_line: int = 1) -> list[Value]:
    """Read a YAML file.

    Args:
        text: the file.
        file: its path relative to the service.
        first_line: the line in which the text starts, where it is part of a file.

    Returns:
        Its documents; empty ones are left out.

    Raises:
        SlipwayError: it is no YAML.

    """
    reader = _Reader(file, first_line)
    try:
        nodes = yaml.compose_all(text, Loader=Loader)
        return [reader.value(node, node.start_mark.line) for node in nodes if node is not None]
    except RecursionError as error:
        raise SlipwayError(f"{file}: this is no YAML: it is nested too deep") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = Place(file, first_line + (mark.line if mark else 0))
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise SlipwayError(f"{place}: this is no YAML: {reason}") from error


class _Reader:
    """Turns the nodes of one file into values; what an anchor holds is made once."""

    def __init__(self, file: str, first_line: int) -> None:
        self.file = file
        self.first_line = first_line
        self.made: dict[int, Content] = {}
        self.open: set[int] = set()

    def value(self, node: yaml.Node, line: int) -> Value:
        place = Place(self.file, self.first_line + line)
        text_line = 0
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            text_line = self.first_line + node.start_mark.line + 1
        return Value(place, self.content(node, place), node.tag, text_line)

    def content(self, node: yaml.Node, place: Place) -> Content:
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == NULL else str(node.value)
        key = id(node)
        if key in self.open:
            raise SlipwayError(f"{place}: this is no YAML: an anchor holds itself")
        if key not in self.made:
            self.open.add(key)
            if isinstance(node, yaml.SequenceNode):
                self.made[key] = [self.value(item, item.start_mark.line) for item in node.value]
            else:
                self.made[key] = dict(self.mapping(node))
            self.open.remove(key)
        return self.made[key]

    def mapping(self, node: yaml.Node) -> Iterator[tuple[str, Value]]:
        own: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in sources:
                    content = self.content(source, Place(self.file, key.start_mark.line + 1))
                    if isinstance(content, dict):
                        merged = {**content, **merged}
            elif isinstance(key, yaml.ScalarNode):
                own[str(key.value)] = self.value(value, key.start_mark.line)
        yield from {**merged, **own}.items()


def merge(below: Value, above: Value) -> Value:
    """Lay one value over another, as Kustomize's patches and Compose's overrides do.

    Mappings are merged, lists of named things by name; everything else is replaced. What is
    taken away stays as a null, which knows the place that took it away.
    """
    directive = above.entries["$patch"].text if "$patch" in above.entries else above.tag
    if directive in ("delete", "!reset"):
        return replace(above, content=None)
    if directive in ("replace", "!override"):
        kept = {key: value for key, value in above.entries.items() if key != "$patch"}
        return replace(above, content=kept or above.content)
    if isinstance(below.content, dict) and isinstance(above.content, dict):
        merged = dict(below.content)
        for key, value in above.content.items():
            merged[key] = merge(merged[key], value) if key in merged else value
        return replace(below, content=merged)
    names = [_name(item) for item in (*below.items, *above.items)]
    if above.items and below.items and all(names):
        by_name = {_name(item): item for item in below.items}
        for item in above.items:
            name = _name(item)
            by_name[name] = merge(by_name[name], item) if name in by_name else item
        return replace(below, content=[item for item in by_name.values() if item.content])
    return above


def _name(item: Value) -> str:
    return item.entries["name"].text if "name" in item.entries else ""
