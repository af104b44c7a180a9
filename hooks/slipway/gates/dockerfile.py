"""Reads Dockerfiles: instructions with the line of each word, and stages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from slipway.gates.findings import Place

WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+|["']""", re.DOTALL)
QUOTES = re.compile(r"""\\(.)|["']""", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{(?P<name>\w+)(?:(?::?-)(?P<default>[^}]*))?\}|(?P<plain>\w+))")
HEREDOC = re.compile(r"\d*<<-?([A-Za-z_]\w*)")
DIRECTIVE = re.compile(r"\s*#\s*(\w+)\s*=\s*(\S+)\s*$")


@dataclass(frozen=True)
class Word:
    """One word of an instruction, without its quotes."""

    text: str
    place: Place


@dataclass(frozen=True)
class Instruction:
    """One instruction; its name is in capitals."""

    name: str
    place: Place
    words: tuple[Word, ...]

    @property
    def flags(self) -> Iterator[tuple[str, Word]]:
        """Yield the flags before the arguments: name and value."""
        for word in self.words:
            if not word.text.startswith("--"):
                return
            name, _, value = word.text[2:].partition("=")
            yield name, Word(value, word.place)

    @property
    def arguments(self) -> list[Word]:
        """Return the words after the flags."""
        flags = len(list(self.flags))
        return list(self.words[flags:])

    @property
    def variables(self) -> Iterator[tuple[str, Word]]:
        """Yield what an ENV or ARG sets: name and value, empty without one."""
        words = self.arguments
        if self.name == "ENV" and words and "=" not in words[0].text:
            value = " ".join(word.text for word in words[1:])
            yield words[0].text, Word(value, words[0].place)
            return
        for word in words:
            name, _, value = word.text.partition("=")
            yield name, Word(value, word.place)


@dataclass(frozen=True)
class Stage:
    """One stage: `FROM base AS name` and what follows."""

    name: str
    base: str
    place: Place
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile, read."""

    file: str
    instructions: list[Instruction]
    # What the `# syntax=` line names, if there is one.
    frontend: Word | None = None

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Return the values of the arguments before the first stage."""
        found: dict[str, str] = {}
        for instruction in self.instructions:
            if instruction.name == "FROM":
                break
            if instruction.name == "ARG":
                for name, value in instruction.variables:
                    found[name] = expand(value.text, found)
        return found

    @cached_property
    def stages(self) -> list[Stage]:
        """Return the stages in order."""
        found: list[Stage] = []
        for instruction in self.instructions:
            if instruction.name == "FROM":
                words = [word.text for word in instruction.arguments]
                named = len(words) > 2 and words[1].upper() == "AS"
                base = expand(words[0], self.arguments) if words else ""
                name = words[2].lower() if named else str(len(found))
                found.append(Stage(name, base, instruction.place))
            elif found:
                found[-1].instructions.append(instruction)
        return found

    @property
    def production(self) -> Stage | None:
        """Return the stage that ships: the one of that name, else the last."""
        named = [stage for stage in self.stages if stage.name == "production"]
        return next(reversed(named or self.stages), None)

    def lineage(self, stage: Stage) -> list[Stage]:
        """Return a stage and those of this file that it is made from, nearest first."""
        found = [stage]
        before = self.stages[: self.stages.index(stage)]
        while parents := [one for one in before if one.name == found[-1].base.lower()]:
            found.append(parents[-1])
            before = self.stages[: self.stages.index(parents[-1])]
        return found

    def last(self, stage: Stage, name: str) -> Instruction | None:
        """Return the instruction of that name that is in force at the end of a stage."""
        for one in self.lineage(stage):
            for instruction in reversed(one.instructions):
                if instruction.name == name:
                    return instruction
        return None

    def variables(self, stage: Stage) -> dict[str, str]:
        """Return the values of ENV and ARG at the end of a stage."""
        values: dict[str, str] = {}
        for one in reversed(self.lineage(stage)):
            for instruction in one.instructions:
                if instruction.name in ("ARG", "ENV"):
                    for name, value in instruction.variables:
                        default = value.text or self.arguments.get(name, "")
                        values[name] = expand(default, values)
        return values


def expand(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of variables; one without a value stays as it is written."""

    def value(match: re.Match[str]) -> str:
        name = match["name"] or match["plain"]
        return values.get(name) or match["default"] or match[0]

    return VARIABLE.sub(value, text)


def read_dockerfile(text: str, file: str) -> Dockerfile:
    """Read a Dockerfile; what cannot be understood is left out, as building it would fail."""
    lines = text.splitlines()
    directives: dict[str, Word] = {}
    for number, line in enumerate(lines, start=1):
        if not (match := DIRECTIVE.match(line)):
            break
        directives[match[1].lower()] = Word(match[2], Place(file, number))
    escape = directives["escape"].text if "escape" in directives else "\\"
    instructions: list[Instruction] = []
    rest = enumerate(lines, start=1)
    for number, line in rest:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pieces = [(number, line)]
        while pieces[-1][1].rstrip().endswith(escape):
            pieces[-1] = (pieces[-1][0], pieces[-1][1].rstrip().removesuffix(escape))
            following = next(
                (
                    (number, line)
                    for number, line in rest
                    if line.strip() and not line.lstrip().startswith("#")
                ),
                None,
            )
            if following is None:
                break
            pieces.append(following)
        instruction = _instruction(pieces, file)
        instructions.append(instruction)
        if instruction.name in ("RUN", "COPY", "ADD"):
            for word in instruction.words:
                if end := HEREDOC.fullmatch(word.text):
                    next((line for _, line in rest if line.strip() == end[1]), None)
    return Dockerfile(file, instructions, directives.get("syntax"))


def _instruction(pieces: list[tuple[int, str]], file: str) -> Instruction:
    words = []
    for number, piece in pieces:
        words += [
            Word(QUOTES.sub(lambda found: found[1] or "", match[0]), Place(file, number))
            for match in WORD.finditer(piece)
        ]
    name = words[0].text.upper() if words else ""
    return Instruction(name, Place(file, pieces[0][0]), tuple(words[1:]))
