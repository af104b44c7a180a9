"""Conflicts as git writes them, with a base section, and whether they are needed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

SECTIONS = {"<<<<<<< ": "ours", "||||||| ": "base", "=======": "theirs", ">>>>>>> ": ""}


@dataclass
class Hunk:
    """One conflict: the lines of the service, of the recorded version and of the new one."""

    ours: list[str] = field(default_factory=list)
    base: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all three sections are there, in order."""
        return self.sections == ["ours", "base", "theirs", ""]

    @property
    def needed(self) -> bool:
        """Whether both sides changed the same or adjacent lines, to different ends."""
        if self.ours == self.theirs:
            return False
        return any(
            first <= other_last and other_first <= last
            for first, last in changed(self.base, self.ours)
            for other_first, other_last in changed(self.base, self.theirs)
        )


def changed(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield which lines of a text are others afterwards: the first, and the one behind the last."""
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for kind, first, last, _, _ in matcher.get_opcodes():
        if kind != "equal":
            yield first, last


def hunks(lines: Iterable[str]) -> list[Hunk]:
    """Return the conflicts of a file."""
    found: list[Hunk] = []
    inside = ""
    for line in lines:
        marker = next((m for m in SECTIONS if line.rstrip("\r\n").startswith(m)), None)
        if marker == "<<<<<<< ":
            found.append(Hunk())
        if marker and found and (marker != "=======" or inside):
            inside = SECTIONS[marker]
            found[-1].sections.append(inside)
        elif inside:
            getattr(found[-1], inside).append(line)
    return found
