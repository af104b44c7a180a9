"""The commands of a service's runbooks, as runbooks/README.md says that they are written.

A fence in a known language, then a paragraph that begins with "Prints:". What the paragraph has in
`code` is printed word for word; where it begins with "nothing", nothing is a good answer too.
"""

import re
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("promql", "logql", "traceql", "lucene", "cloudwatch", "console")
FENCE = re.compile(
    rf"(?m)^(?P<indent> *)```(?P<kind>{'|'.join(LANGUAGES)})\n(?P<text>(?:.*\n)*?)(?P=indent)```\n"
    r"(?:\n(?P<after>(?:(?P=indent)\S.*\n)+))?"
)
PRINTS = "Prints: "
SPAN = re.compile(r"`([^`]+)`")
# What the reader puts a name in for; not the name of a variable.
PLACEHOLDER = re.compile(r"(?<![\w.$])[A-Z]{3,}(?![\w.=])")


@dataclass(frozen=True)
class Command:
    """One command of a runbook.

    Attributes:
        runbook: the file's name.
        line: where its fence begins, from 1.
        kind: the fence's language: promql, logql, traceql, lucene, cloudwatch or console.
        text: what is pasted.
        prints: what the paragraph says that it prints, up to its first full stop or semicolon.

    """

    runbook: str
    line: int
    kind: str
    text: str
    prints: str

    def __str__(self) -> str:
        """Return its place, as tests list it."""
        return f"{self.runbook}:{self.line}"

    @property
    def promised(self) -> tuple[str, ...]:
        """Return the texts that its output holds, unless it may be empty and is."""
        return tuple(SPAN.findall(self.prints))

    @property
    def may_be_empty(self) -> bool:
        """Say whether no output is a good answer too."""
        return self.prints.startswith("nothing")

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return the words that the reader replaces before it can run."""
        return tuple(PLACEHOLDER.findall(self.text)) if self.kind == "console" else ()

    def holds(self, output: str) -> bool:
        """Say whether it printed what the runbook says."""
        if not output.strip():
            return self.may_be_empty
        return all(text in output for text in self.promised)


def runbooks(service: Path) -> list[Path]:
    """Return the runbooks of a service, the index and the notes included."""
    return sorted((service / "runbooks").glob("*.md"))


def commands(service: Path) -> list[Command]:
    """Return every command of every runbook of a service."""
    return [one for page in runbooks(service) for one in commands_of(page.name, page.read_text())]


def commands_of(runbook: str, text: str) -> list[Command]:
    """Return the commands of one runbook."""
    found = []
    for fence in FENCE.finditer(text):
        indent = len(fence["indent"])
        lines = [line[indent:] for line in fence["text"].splitlines()]
        after = " ".join((fence["after"] or "").split())
        prints = after.removeprefix(PRINTS) if after.startswith(PRINTS) else ""
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Command(runbook, line, fence["kind"], "\n".join(lines), first_part(prints)))
    return found


def first_part(prints: str) -> str:
    """Return a sentence up to its full stop or semicolon: what follows explains."""
    return re.split(r"[.;](?: |$)", prints, maxsplit=1)[0]
