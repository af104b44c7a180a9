"""Random folders, what a template and a service make of them, and what a merge must hold.

Many cases are merged at once, each in a folder of its own: every line names its case and its file,
so that no rename is found across them.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from slipway.merging import Merge, Sides, merge
from slipway.ownership import Owner
from slipway.trees import Entry, Store

from tests.update.conflicts import hunks

Merger = Callable[[Store, Sides], Merge]
OWNERS = {"own": Owner.SEEDED_AT_COPY, "seed": Owner.SEEDED_WHEN_MISSING}


@dataclass(frozen=True)
class Edit:
    """What one side does to a file.

    Attributes:
        fate: edit, delete or rename; a renamed file is edited as well.
        inserts: before which lines of the base it puts one of its own.
        deletes: which lines of the base it takes out.
        windows: whether it ends lines as Windows does.
        executable: whether it makes the file executable.

    """

    fate: str = "edit"
    inserts: frozenset[int] = frozenset()
    deletes: frozenset[int] = frozenset()
    windows: bool = False
    executable: bool = False


@dataclass(frozen=True)
class File:
    """One file and both sides' edits of it.

    Attributes:
        size: lines of the base; 0 where it is no file of the base.
        blocks: how often the same lines come again; 0 where every line is unique.
        kind: who owns it, by the first part of its name.
        template: what the template does.
        service: what the service does.

    """

    size: int
    blocks: int
    kind: str
    template: Edit
    service: Edit


@dataclass(frozen=True)
class Case:
    """A folder; `moved` when an answer gives it another name."""

    files: tuple[File, ...]
    moved: bool = False


def edits(*, of_the_service: bool) -> st.SearchStrategy[Edit]:
    places = st.just(frozenset[int]()) | st.frozensets(st.integers(0, 9), max_size=3)
    mine = st.booleans() if of_the_service else st.just(False)
    return st.builds(
        Edit,
        fate=st.sampled_from(["edit", "edit", "edit", "edit", "delete", "rename"]),
        inserts=places,
        deletes=places,
        windows=st.sampled_from([False, False, of_the_service]),
        executable=mine,
    )


FILES = st.builds(
    File,
    size=st.sampled_from([0, 1, 3, 6, 9, 9, 9]),
    blocks=st.sampled_from([0, 0, 0, 3]),
    kind=st.sampled_from(["file", "file", "file", "file", "own", "seed"]),
    template=edits(of_the_service=False),
    service=edits(of_the_service=True),
)
CASES = st.builds(
    Case, files=st.lists(FILES, min_size=1, max_size=3).map(tuple), moved=st.booleans()
)


def batches(size: int) -> st.SearchStrategy[list[Case]]:
    """Return lists of so many cases."""
    return st.lists(CASES, min_size=size, max_size=size)


# -- from a case to trees --------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A file of a case, with its name and its lines."""

    file: File
    case: int
    number: int
    moved: bool

    @property
    def name(self) -> str:
        return f"{self.file.kind}{self.number}.txt"

    def path(self, side: str) -> str:
        """Return where a side has the file; the render of new answers has another folder."""
        folder = f"case{self.case}{'-moved' if self.moved and side == 'template' else ''}"
        renamed = side != "base" and getattr(self.file, side).fate == "rename"
        return f"{folder}/{f'{side}-' if renamed else ''}{self.name}"

    def after(self, path: str) -> str:
        """Return where a path is once its folder has its new name."""
        old = f"case{self.case}/"
        return path.replace(old, f"case{self.case}-moved/", 1) if self.moved else path

    @property
    def base(self) -> list[str]:
        every = self.file.blocks or self.file.size or 1
        return [f"case {self.case} file {self.number} line {n % every}" for n in range(self.size)]

    @property
    def size(self) -> int:
        return self.file.size

    def own(self, side: str) -> list[str]:
        """Return the lines that a side adds."""
        inserts = sorted(at for at in getattr(self.file, side).inserts if at <= self.size)
        return [f"case {self.case} file {self.number} of the {side} {at}" for at in inserts]

    def merged(self, *sides: str) -> list[str]:
        """Return the lines with the edits of some sides."""
        edits = [(side, getattr(self.file, side)) for side in sides]
        lines = []
        for at in range(self.size + 1):
            lines += [
                f"case {self.case} file {self.number} of the {side} {at}"
                for side, edit in edits
                if at in edit.inserts
            ]
            if at < self.size and not any(at in edit.deletes for _, edit in edits):
                lines.append(self.base[at])
        return lines

    def content(self, side: str) -> bytes | None:
        """Return what a side has in the file; None where it has none."""
        if side == "base":
            return text(self.base) if self.size else None
        edit: Edit = getattr(self.file, side)
        lines = self.merged(side)
        if edit.fate == "delete" or not lines:
            return None
        return text(lines, windows=edit.windows)


def text(lines: Sequence[str], *, windows: bool = False) -> bytes:
    end = "\r\n" if windows else "\n"
    return "".join(f"{line}{end}" for line in lines).encode()


def placed(cases: Sequence[Case]) -> Iterator[Placed]:
    for number, case in enumerate(cases):
        for index, file in enumerate(case.files):
            yield Placed(file, number, index, case.moved)


def tree(store: Store, files: Sequence[Placed], side: str, scratch: Path) -> dict[str, Entry]:
    """Store a side of all files."""
    folder = scratch / side
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in files:
        if (content := file.content(side)) is not None:
            path = folder / file.path(side)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            if side != "base" and getattr(file.file, side).executable:
                path.chmod(0o755)
    return store.add_folder(folder)


def owner(path: str) -> Owner:
    name = path.rpartition("/")[2].removeprefix("service-").removeprefix("template-")
    return next((o for kind, o in OWNERS.items() if name.startswith(kind)), Owner.TEMPLATE)


# -- what must hold --------------------------------------------------------------------------------


def problems(merger: Merger, cases: Sequence[Case], store: Store, scratch: Path) -> list[str]:
    """Merge cases and return what is wrong with the result."""
    files = list(placed(cases))
    base, ours, theirs = (tree(store, files, s, scratch) for s in ("base", "service", "template"))
    moves = {
        path: file.after(path)
        for file in files
        for path in (file.path("base"), file.path("service"))
        if file.moved and (path in base or path in ours)
    }
    sides = Sides(base, ours, theirs, owner, "template-v2", "template-v1", moves)
    done = merger(store, sides)
    content = store.contents(entry.content for entry in done.result.values())
    found = {path: content[entry.content] for path, entry in done.result.items()}
    return [
        f"{file.path('service')}: {problem}"
        for file in files
        for problem in wrong(file, found, done)
    ]


def wrong(file: Placed, found: dict[str, bytes], done: Merge) -> Iterator[str]:
    """Yield what is wrong about one file."""
    service, template = file.file.service, file.file.template
    here, there = file.after(file.path("service")), file.path("template")
    written = file.content("service")
    if owner(file.name) is not Owner.TEMPLATE:
        if written is not None and found.get(here) != written:
            yield "is the service's own, and was touched"
        return
    if written is None:
        if file.size and here in found and template.fate != "rename":
            yield "was deleted here, and is back"
        return
    folder = here.rpartition("/")[0]
    anywhere = {
        line for path in found if path.startswith(f"{folder}/") for line in lines(found[path])
    }
    for line in file.own("service"):
        if line not in anywhere:
            yield f"lost {line!r}"
    if service.fate == template.fate == "edit" and file.size:
        yield from wrong_in_place(file, here, found, done)
    if {here, there} & done.conflicts.keys():
        for hunk in hunks(found.get(here, found.get(there, b"")).decode().splitlines()):
            if not hunk.complete or (file.size and not file.file.blocks and not hunk.needed):
                yield f"a needless conflict: {hunk}"


def wrong_in_place(file: Placed, path: str, found: dict[str, bytes], done: Merge) -> Iterator[str]:
    """Yield what is wrong about a file that both sides may have edited and neither moved."""
    if path not in found:
        if file.content("template") is not None or file.content("service") != text(file.base):
            yield "is gone"
        return
    if file.file.service.executable and done.result[path].mode != "100755":
        yield "is no longer executable"
    if path in done.conflicts or file.content("template") is None:
        return
    now = lines(found[path])
    own = [line for line in now if " of the service " in line]
    if own != file.own("service"):
        yield f"has the service's lines in another order: {own}"
    if not file.file.blocks and now != file.merged("service", "template"):
        yield f"is merged as {now}"
    if file.file.service.windows and found[path].count(b"\n") != found[path].count(b"\r\n"):
        yield "has two kinds of line ends"


def lines(content: bytes) -> list[str]:
    return content.decode().replace("\r\n", "\n").splitlines()


# -- merges that are wrong -------------------------------------------------------------------------


def takes_the_templates_side(store: Store, sides: Sides) -> Merge:  # noqa: ARG001 - as merge
    """Leave the service's files alone but for those that the template has, too."""
    moved = {sides.moves.get(path, path): entry for path, entry in sides.ours.items()}
    return Merge({**moved, **sides.theirs}, [], {})


def keeps_the_services_side(store: Store, sides: Sides) -> Merge:  # noqa: ARG001 - as merge
    """Add what is new, and leave every file of the service alone."""
    moved = {sides.moves.get(path, path): entry for path, entry in sides.ours.items()}
    return Merge({**sides.theirs, **moved}, [], {})


def puts_lines_elsewhere(store: Store, sides: Sides) -> Merge:
    """Merge, and turn every file around."""
    return rewritten(store, merge(store, sides), lambda found: found[::-1])


def leaves_markers(store: Store, sides: Sides) -> Merge:
    """Merge, and call every file one conflict in which nobody changed anything."""

    def marked(found: list[str]) -> list[str]:
        return ["<<<<<<< service", *found, "||||||| v1", *found, "=======", *found, ">>>>>>> v2"]

    done = rewritten(store, merge(store, sides), marked)
    return Merge(done.result, [], {path: {1: entry} for path, entry in done.result.items()})


def rewritten(store: Store, done: Merge, change: Callable[[list[str]], list[str]]) -> Merge:
    """Return a merge with every file changed."""
    contents = store.contents(entry.content for entry in done.result.values())
    result = {
        path: Entry(entry.mode, store.add(text(change(lines(contents[entry.content])))))
        for path, entry in done.result.items()
    }
    return Merge(result, done.changes, done.conflicts)
