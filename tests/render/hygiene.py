"""What a careful writer leaves in no file: each check returns the problems it sees."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.product import files, interview, static_sources
from tests.render import reading

MOST_ROOT_ENTRIES = 20
MOST_FILES = 120
# Beside those of the environments, of which a service has as many as it likes.
MOST_FILES_OF_AN_ENVIRONMENT = 8
ENVIRONMENTS = "deploy/environments/"

# Formatters of these demand two blank lines, or keep what stands in a block of code.
TWO_BLANK_LINES = (".py",)
# An empty file that says something by being there.
MAY_BE_EMPTY = ("py.typed", "__init__.py")

Files = Mapping[str, bytes]
Check = Callable[["Rendered"], list[str]]


class Rendered:
    """A service and the template it comes from."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.files: Files = files(folder)
        self.template = template

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield every line with its place."""
        for path, content in self.files.items():
            for number, line in enumerate(content.decode().split("\n"), start=1):
                yield f"{path}:{number}", line


def untidy(service: Rendered) -> list[str]:
    """Return blanks at ends of lines, other line ends, missing and doubled last lines."""
    problems = [
        f"{place}: blank at the end"
        for place, line in service.lines()
        if line.endswith((" ", "\t"))
    ]
    for path, content in service.files.items():
        text = content.decode()
        if not text:
            if Path(path).name not in MAY_BE_EMPTY:
                problems.append(f"{path}: empty file")
            continue
        if "\r" in text or "\ufeff" in text:
            problems.append(f"{path}: CR or byte order mark")
        if not text.endswith("\n"):
            problems.append(f"{path}: no newline at the end")
        if text.endswith("\n\n"):
            problems.append(f"{path}: blank line at the end")
        if text.startswith("\n"):
            problems.append(f"{path}: blank line at the start")
        if Path(path).suffix not in TWO_BLANK_LINES and "\n\n\n" in text:
            place = text[: text.index("\n\n\n")].count("\n") + 2
            problems.append(f"{path}:{place}: two blank lines")
    return problems


def residue(service: Rendered) -> list[str]:
    """Return delimiters of the template in files that it rendered.

    A file that the template holds without the suffix was copied, and its brackets are its own.
    """
    copied = {source.read_bytes() for source in static_sources(service.template / "template")}
    delimiters = re.compile("|".join(map(re.escape, interview().delimiters)))
    problems = [
        f"{place}: {found[0]} stayed: {line.strip()[:60]}"
        for place, line in service.lines()
        if service.files[place.rpartition(":")[0]] not in copied
        and (found := delimiters.search(line))
    ]
    return problems + [f"{path}: in the name" for path in service.files if delimiters.search(path)]


def too_many(service: Rendered) -> list[str]:
    """Return whether there are more files than a person takes in."""
    entries = {path.split("/")[0] for path in service.files}
    problems = []
    if len(entries) > MOST_ROOT_ENTRIES:
        problems.append(f"{len(entries)} entries at the root: {sorted(entries)}")
    shared = [path for path in service.files if not path.startswith(ENVIRONMENTS)]
    if len(shared) > MOST_FILES:
        problems.append(f"{len(shared)} files")
    counted = Counter(path.split("/")[2] for path in service.files if path not in shared)
    return problems + [
        f"{count} files of {environment}"
        for environment, count in counted.items()
        if count > MOST_FILES_OF_AN_ENVIRONMENT
    ]


def names_the_template(service: Rendered) -> list[str]:
    """Return where the template's version or place stands, but for the answers file.

    The Makefile may name the command, which it runs as the answers file says, and no version.
    """
    answers = interview().settings["_answers_file"]
    told = re.compile(r"\b_commit\b|\b_src_path\b|_copier|\bslipway\b", re.IGNORECASE)
    version = re.compile(r"\bslipway.*\d+\.\d+|\d+\.\d+.*slipway", re.IGNORECASE)
    return [
        f"{place}: {line.strip()[:60]}"
        for place, line in service.lines()
        if (version if place.startswith("Makefile:") else told).search(line)
        and not place.startswith(answers)
    ]


def unreadable(service: Rendered) -> list[str]:
    """Return the files that their own language cannot read."""
    return reading.unreadable(service.files)


CHECKS: list[Check] = [untidy, residue, unreadable, too_many, names_the_template]
