"""The three-way merge of a template's change into a service, on trees alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from slipway.ownership import Owner
from slipway.trees import Entry, Store, Tree, split

OURS = "service"


class Status(StrEnum):
    """What an update does to a file."""

    CLEAN = "clean"
    MERGED = "merged"
    CONFLICT = "conflict"
    MOVED = "moved"
    KEPT = "kept"
    DROPPED = "dropped"
    NEW = "new"


@dataclass(frozen=True)
class Change:
    """One file in the report of an update.

    Attributes:
        status: what happens to it.
        path: where it is afterwards, or was, when it is dropped.
        detail: why, in a few words; may be empty.
        origin: where it was, when it is moved.

    """

    status: Status
    path: str
    detail: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Sides:
    """What is merged.

    Attributes:
        base: the render of the service's recorded version.
        ours: the service.
        theirs: the render of the new version.
        owner: who owns a path.
        moves: where files of the service go before anything else, old path to new.
        theirs_label: what conflict markers call the new version.
        base_label: what they call the recorded version.

    """

    base: Tree
    ours: Tree
    theirs: Tree
    owner: Callable[[str], Owner]
    theirs_label: str
    base_label: str
    moves: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Merge:
    """The outcome of a merge.

    Attributes:
        result: the service afterwards; files in conflict hold markers.
        changes: what happened to which file, sorted by path.
        conflicts: the stages (1 base, 2 service, 3 template) of files in conflict.

    """

    result: dict[str, Entry]
    changes: list[Change]
    conflicts: dict[str, dict[int, Entry]]


def merge(store: Store, sides: Sides) -> Merge:
    """Merge the template's change from `base` to `theirs` into `ours`.

    Args:
        store: holds the trees' objects, and gets those of the result.
        sides: the three trees and what is known about their files.

    Returns:
        The result. Nothing outside the store is touched.

    """
    planned = Plan(store, sides)
    planned.leave_the_service_its_own()
    planned.follow_renames()
    planned.settle_deletions()
    planned.follow_line_ends()
    result, conflicts = run(store, planned, sides)
    # A file that clashes with a folder is in conflict under another name.
    changes = [
        change
        for change in planned.report(conflicts)
        if change.path in result
        or change.status is Status.DROPPED
        or (change.status is Status.KEPT and change.path not in sides.ours)
    ]
    return Merge(result, changes, conflicts)


class Plan:
    """The three trees on their way to git, with what is settled before it sees them.

    Git knows no owners, calls an edited file that the other side deleted a conflict, and
    compares line ends byte by byte; what is decided here, it never has to ask about.
    """

    def __init__(self, store: Store, sides: Sides) -> None:
        def moved(tree: Tree) -> dict[str, Entry]:
            return {sides.moves.get(path, path): entry for path, entry in tree.items()}

        self.store = store
        self.owner = sides.owner
        self.origin = {
            new: old for old, new in sides.moves.items() if new != old and old in sides.ours
        }
        self.base, self.ours, self.theirs = moved(sides.base), moved(sides.ours), dict(sides.theirs)
        self.template_renames: dict[str, str] = {}
        self.service_renames: dict[str, str] = {}
        self.settled: list[Change] = []

    def leave_the_service_its_own(self) -> None:
        """Take what the service owns out of the template's change; new seeds alone stay in it."""
        for path in [path for path in {**self.base, **self.theirs} if self.owned(path)]:
            seed, before = self.theirs.pop(path, None), self.base.pop(path, None)
            if self.owner(path) is not Owner.SEEDED_WHEN_MISSING or path in self.ours:
                continue
            if seed and before:
                self.settle(Status.KEPT, path, "deleted here")
            elif seed:
                self.theirs[path] = seed

    def follow_renames(self) -> None:
        """Find which files have another name on either side; the service's name wins."""
        self.template_renames = self.renamed(self.theirs)
        self.service_renames = self.renamed(self.ours)
        for path in self.template_renames.keys() & self.service_renames.keys():
            self.theirs[path] = self.theirs.pop(self.template_renames.pop(path))

    def renamed(self, side: Tree) -> dict[str, str]:
        """Return the files of the base that one side has under another name."""
        if self.base.keys() <= side.keys():
            return {}
        return self.store.renames(self.store.write(self.base), self.store.write(side))

    def settle_deletions(self) -> None:
        """Decide about files that one side deleted and the other did not."""
        for path, before in list(self.base.items()):
            here = self.service_renames.get(path, path)
            there = self.template_renames.get(path, path)
            if here in self.ours and there not in self.theirs:
                if here == path and self.ours[path] == before:
                    self.settle(Status.DROPPED, path)
                else:
                    del self.base[path]
                    self.settle(Status.KEPT, here, "edited here, dropped by the template")
            elif here not in self.ours and there in self.theirs:
                changed = self.theirs.pop(there) != before or there != path
                del self.base[path]
                detail = "deleted here, changed by the template" if changed else "deleted here"
                self.settle(Status.KEPT, path, detail)
            elif here not in self.ours:
                del self.base[path]

    def follow_line_ends(self) -> None:
        """Give the template's sides of a file the line ends that the service gave it."""
        edited = {
            path: (self.here(path), self.there(path))
            for path, before in self.base.items()
            if self.ours.get(self.here(path), before) != before
            and self.theirs.get(self.there(path), before) != before
        }
        contents = self.store.contents(
            entry.content
            for path, (here, there) in edited.items()
            for entry in (self.base[path], self.ours[here], self.theirs[there])
        )
        for path, (here, there) in edited.items():
            if not has_windows_ends(contents[self.ours[here].content]):
                continue
            for tree, name in ((self.base, path), (self.theirs, there)):
                content = contents[tree[name].content]
                if b"\r\n" not in content:
                    converted = self.store.add(content.replace(b"\n", b"\r\n"))
                    tree[name] = replace(tree[name], content=converted)

    def report(self, conflicts: Mapping[str, object]) -> list[Change]:
        """Return what became of every file that the template changed or the service moved."""
        found = {change.path: change for change in self.settled}
        for path, before in self.base.items():
            here, there = self.here(path), self.there(path)
            if here not in self.ours or there not in self.theirs:
                continue
            edited = self.ours[here] != before
            after = there if there != path else here
            if there != path:
                found[after] = Change(
                    Status.MOVED, after, "with the edits made here" if edited else "", path
                )
            elif self.theirs[path] != before and self.ours[here] != self.theirs[path]:
                status = Status.MERGED if edited else Status.CLEAN
                found[after] = Change(status, after, f"{path} before" if here != path else "")
        for path in self.theirs.keys() - self.base.keys() - set(self.template_renames.values()):
            if path not in self.ours:
                found[path] = Change(Status.NEW, path)
        for path, origin in self.origin.items():
            found[path] = Change(Status.MOVED, path, "", origin)
        for path in conflicts:
            origin = found[path].origin if path in found else ""
            found[path] = Change(Status.CONFLICT, path, "", origin)
        return sorted(found.values(), key=lambda change: change.path)

    def owned(self, path: str) -> bool:
        """Return whether a path is the service's."""
        return self.owner(path) is not Owner.TEMPLATE

    def here(self, path: str) -> str:
        """Return the name that the service gave to a file of the base."""
        return self.service_renames.get(path, path)

    def there(self, path: str) -> str:
        """Return the name that the new version gives to a file of the base."""
        return self.template_renames.get(path, path)

    def settle(self, status: Status, path: str, detail: str = "") -> None:
        """Record what is decided."""
        self.settled.append(Change(status, path, detail))


def run(
    store: Store, planned: Plan, sides: Sides
) -> tuple[dict[str, Entry], dict[str, dict[int, Entry]]]:
    """Let git merge what is planned; the result and the stages of what is in conflict."""
    base = store.commit(planned.base, branch=sides.base_label)
    store.commit(planned.ours, base, branch=OURS)
    store.commit(planned.theirs, base, branch=sides.theirs_label)
    merged = store.git(
        "-c", "merge.conflictStyle=zdiff3", "-c", "merge.directoryRenames=false",
        "-c", "merge.renames=true", "-c", "merge.renameLimit=32767",
        "merge-tree", "--write-tree", "-z", "--no-messages", OURS, sides.theirs_label,
        fine=(0, 1),
    )  # fmt: skip
    tree, *stages = split(merged)
    result = store.read(tree)
    conflicts: dict[str, dict[int, Entry]] = {}
    for stage in stages:
        facts, path = stage.split("\t", 1)
        mode, content, number = facts.split(" ")
        conflicts.setdefault(path, {})[int(number)] = Entry(mode, content)
    for path in conflicts.keys() & result.keys():
        result[path] = named_base(store, result[path], base, sides.base_label)
    return result, conflicts


def named_base(store: Store, entry: Entry, base: str, label: str) -> Entry:
    """Return a file in conflict whose markers call the base by its version; git writes a hash."""
    content = store.contents([entry.content])[entry.content]
    lines = content.split(b"\n")
    for number, line in enumerate(lines):
        marker, _, rest = line.partition(b" ")
        name = rest.split(b":")[0].rstrip(b"\r")
        if marker == b"|||||||" and name and base.encode().startswith(name):
            lines[number] = line.replace(name, label.encode(), 1)
    return replace(entry, content=store.add(b"\n".join(lines)))


def has_windows_ends(content: bytes) -> bool:
    """Return whether every line of a file ends with carriage return and line feed."""
    ends = content.count(b"\n")
    return ends > 0 and content.count(b"\r\n") == ends
