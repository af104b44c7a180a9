"""Reads every kind of file that is rendered, as strictly as its own language would."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token


class Unreadable(ValueError):  # noqa: N818 - said of a file
    """A file is not what its name promises."""


# -- YAML, JSON, TOML ------------------------------------------------------------------------------


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win; every consumer of ours refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise Unreadable(f"line {node.start_mark.line + 1}: {twice} stand there twice")
        return super().construct_mapping(node, deep=deep)


def read_yaml(text: str) -> list[Any]:
    """Return the documents of a YAML file."""
    try:
        return list(yaml.load_all(text, Loader=_UniqueKeys))
    except yaml.YAMLError as error:
        raise Unreadable(str(error)) from error


def read_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise Unreadable(f"a key stands twice in {keys}")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def read_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(str(error)) from error


# -- Dockerfile ------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def read_dockerfile(text: str) -> list[tuple[str, Any]]:
    """Return the instructions: ENV, LABEL and ARG as mappings, the others as their text.

    Words follow BuildKit's rules, not a shell's: within double quotes a backslash escapes only a
    double quote, a dollar sign and itself. test_hostile_answers.py compares this with BuildKit.
    """
    known: dict[str, str] = {}
    instructions: list[tuple[str, Any]] = []
    for line in _logical_lines(text):
        keyword, _, rest = line.strip().partition(" ")
        if not re.fullmatch(r"[A-Z]+", keyword):
            raise Unreadable(f"not an instruction: {line[:60]}")
        if keyword in ("ENV", "LABEL", "ARG"):
            pairs = dict(_assignments(rest.strip(), known))
            if keyword != "LABEL":
                known |= pairs
            instructions.append((keyword, pairs))
        else:
            instructions.append((keyword, rest.strip()))
        if keyword == "FROM":
            known = {}
    return instructions


def _logical_lines(text: str) -> Iterator[str]:
    pending = ""
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or (not line.strip() and pending):
            continue
        if found := re.fullmatch(r"(.*?)\\[ \t]*", line):
            pending += found[1]
            continue
        if (pending + line).strip():
            yield pending + line
        pending = ""
    if pending.strip():
        raise Unreadable("the last instruction has no end")


def _assignments(rest: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(rest):
        if rest[place].isspace():
            place += 1
            continue
        found = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*").match(rest, place)
        if not found or rest[found.end() : found.end() + 1] != "=":
            raise Unreadable(f"not name=value: {rest[place : place + 60]}")
        value, place = _word(rest, found.end() + 1, known)
        yield found[0], value


def _word(text: str, place: int, known: Mapping[str, str]) -> tuple[str, int]:
    """Return the word that starts at a place, and where it ends."""
    result = ""
    quote = ""
    while place < len(text):
        character = text[place]
        if not quote and character.isspace():
            break
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif character == "\\" and quote != "'":
            place += 1
            if place == len(text):
                break
            escapable = quote == "" or text[place] in '"$\\'
            result += text[place] if escapable else "\\" + text[place]
        elif character == "$" and quote != "'" and (found := _VARIABLE.match(text, place)):
            result += known.get(found[1] or found[2], "")
            place = found.end() - 1
        else:
            result += character
        place += 1
    if quote:
        raise Unreadable(f"no end of {quote} in {text[:60]}")
    return result, place


# -- Markdown, environment files, and the rest -----------------------------------------------------


def read_markdown(text: str) -> list[tuple[str, str]]:
    """Return what a reader sees: the blocks and inlines of GitHub's Markdown, in order."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return list(_seen(parser.parse(text)))


def _seen(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    text = ""
    for token in tokens:
        if token.type in ("text", "text_special"):
            text += token.content
            continue
        if text:
            yield "text", text
            text = ""
        if token.children is not None:
            yield from _seen(token.children)
        else:
            yield token.type, str(token.attrs.get("href", "")) + token.content
    if text:
        yield "text", text


def read_env(text: str) -> dict[str, str]:
    """Return the variables of a file for Kustomize and Compose."""
    read: dict[str, str] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, is_pair, value = line.partition("=")
        if not is_pair or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name) or name in read:
            raise Unreadable(f"not a new NAME=value: {line[:60]}")
        if value != value.strip() or (value[:1] in "'\"" and value):
            raise Unreadable(f"readers differ on blanks and quotes: {line[:60]}")
        read[name] = value
    return read


def read_lines(text: str) -> list[str]:
    return text.split("\n")


def reader(path: str) -> Callable[[str], Any]:
    """Return the function that reads a file of this name."""
    name = PurePosixPath(path)
    by_name: dict[str, Callable[[str], Any]] = {"Dockerfile": read_dockerfile, "uv.lock": read_toml}
    by_suffix: dict[str, Callable[[str], Any]] = {
        ".yaml": read_yaml,
        ".yml": read_yaml,
        ".json": read_json,
        ".toml": read_toml,
        ".md": read_markdown,
        ".env": read_env,
    }
    return by_name.get(name.name) or by_suffix.get(name.suffix) or read_lines


def read(path: str, content: bytes) -> Any:
    """Read one rendered file; raise Unreadable, with the path, when it is broken."""
    try:
        return reader(path)(content.decode())
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from error


@cache
def problem(path: str, content: bytes) -> str:
    """Return why a file cannot be read, or nothing; the same file is looked at once."""
    try:
        read(path, content)
    except Unreadable as error:
        return str(error)
    return ""


def unreadable(files: Mapping[str, bytes]) -> list[str]:
    """Return what is wrong with the files that their own language cannot read."""
    return [said for path, content in files.items() if (said := problem(path, content))]


def documents(folder: Path, pattern: str = "**/*.yaml") -> Iterator[tuple[str, Any]]:
    """Yield every document of a folder's YAML files with the file's path."""
    for file in sorted(folder.glob(pattern)):
        for document in read_yaml(file.read_text()):
            yield file.relative_to(folder).as_posix(), document


def words(text: str) -> list[str]:
    """Return the words of an exec-form array or of a command line."""
    text = text.strip()
    found: list[str] = read_json(text) if text.startswith("[") else shlex.split(text)
    return found
