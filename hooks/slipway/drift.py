"""How a service differs from a fresh render of the version that it has recorded."""

from __future__ import annotations

import datetime
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from slipway.accepted import Accepted, acceptance, read_accepted
from slipway.answers import ANSWERS_FILE, read_answers
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.ownership import Owner, owners
from slipway.rendering import render_again
from slipway.service import Service, changed_files, committed_answers
from slipway.source import Source, newer
from slipway.trees import Entry, Store, Tree
from slipway.updating import empty
from slipway.worktree import is_file


class State(StrEnum):
    """How a file is, beside its fresh render."""

    SAME = "same"
    EDITED = "edited"
    MOVED = "moved"
    MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """A file of the template that is not as the template renders it.

    Attributes:
        path: the file, as the template names it.
        state: what is different.
        moved_to: where the service has it, when it is moved.
        accepted: the entry of `.slipway.yaml` that is about it.
        counts: whether it is drift: not accepted, or no longer.

    """

    path: str
    state: State
    moved_to: str = ""
    accepted: Accepted | None = None
    counts: bool = True


@dataclass(frozen=True)
class Drift:
    """What `slipway drift` found.

    Attributes:
        version: the recorded version.
        behind: the releases after it, oldest first.
        files: the differences, sorted by path.
        owners: how many rendered files are in which state, by owner.
        unused: accepted differences that do not exist.
        patch: the edits that count, as git prints them.

    """

    version: str
    behind: list[str]
    files: list[Difference]
    owners: Mapping[Owner, Mapping[State, int]]
    unused: list[Accepted]
    patch: str

    @property
    def found(self) -> list[Difference]:
        """The differences that count."""
        return [file for file in self.files if file.counts]


def find_drift(
    service: Service,
    scratch: Path,
    *,
    template: str | None = None,
    today: datetime.date | None = None,
    heal: Iterable[str] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> Drift:
    """Compare the worktree of a service with a fresh render of its recorded version.

    Args:
        service: the service.
        scratch: an empty folder for the render and the store.
        template: the template's address, if it has moved.
        today: the day on which accepted differences are judged.
        heal: files that take the template's side first.
        tell: is called with each step, for people who wait.

    Raises:
        SlipwayError: the service, its answers or the template are not fit for it, or a file to
            heal holds changes that git could not bring back.

    """
    recorded = read_answers(committed_answers(service))
    entries = read_accepted(service.folder)
    tell("Fetching the template")
    source = Source(template or recorded.source, scratch / "template.git")
    version = source.resolve(recorded.version)
    settings = source.settings(version)
    owner = owners(settings)
    tell(f"Rendering {version.name}")
    rendered = render_again(
        source.folder_of(version, scratch / "template"), scratch / "render", recorded.text
    )
    (rendered / ANSWERS_FILE).unlink()
    tell("Comparing")
    store = Store(empty(scratch / "store"), service.top, keep=False)
    base = store.add_folder(rendered)
    take_the_templates_side(service, heal, rendered, base, owner)
    here = worktree(store, service, base)
    moved = moved_files(store, service, base, here)
    today = today or datetime.datetime.now(tz=datetime.UTC).date()

    states = {path: state(path, entry, here, moved) for path, entry in base.items()}
    files = [
        judged(path, states[path], moved.get(path, ""), entries, today)
        for path in sorted(base)
        if owner(path) is Owner.TEMPLATE and states[path] is not State.SAME
    ]
    counting = {file.path for file in files if file.counts and file.state is State.EDITED}
    used = {file.accepted for file in files}
    return Drift(
        version=version.name,
        behind=newer(source.versions(), version.number),
        files=files,
        owners={
            one: Counter(states[path] for path in base if owner(path) is one)
            for one in Owner
            if any(owner(path) is one for path in base)
        },
        unused=[entry for entry in entries if entry not in used],
        patch=store.patch(pick(base, counting), pick(here, counting)) if counting else "",
    )


def state(path: str, entry: Entry, here: Tree, moved: Mapping[str, str]) -> State:
    """Return how a rendered file is in the worktree."""
    if path in moved:
        return State.MOVED
    if path not in here:
        return State.MISSING
    return State.SAME if here[path] == entry else State.EDITED


def judged(
    path: str, found: State, moved_to: str, entries: list[Accepted], today: datetime.date
) -> Difference:
    """Return a difference with what the service says about it."""
    accepted = acceptance(entries, path, today)
    if accepted is None:
        return Difference(path, found, moved_to)
    entry, counts = accepted
    return Difference(path, found, moved_to, entry, counts=not counts)


def worktree(store: Store, service: Service, base: Tree) -> dict[str, Entry]:
    """Return the files of a render as the worktree has them, as git would commit them."""
    present = [path for path in base if is_file(service.folder / path)]
    links = {path for path in present if (service.folder / path).is_symlink()}
    plain = [path for path in present if path not in links]
    names = store.hash_files(service.folder, plain)
    modes = git(service.top, "config", "--type=bool", "--default=true", "--get", "core.fileMode")

    def mode(path: str) -> str:
        if modes.strip() != b"true" and base[path].mode != "120000":
            return base[path].mode  # this file system has no executable bit
        return "100755" if (service.folder / path).stat().st_mode & 0o100 else "100644"

    found = {path: Entry(mode(path), name) for path, name in zip(plain, names, strict=True)}
    for path in links:
        target = (service.folder / path).readlink().as_posix().encode()
        found[path] = Entry("120000", store.add(target))
    return found


def moved_files(store: Store, service: Service, base: Tree, here: Tree) -> dict[str, str]:
    """Return where the service has files that are not where the template puts them."""
    if base.keys() <= here.keys():
        return {}
    ours = store.read(service.tree)
    renames = store.renames(store.write(base), store.write(ours))
    return {
        old: new
        for old, new in renames.items()
        if old not in here and new not in base and is_file(service.folder / new)
    }


def take_the_templates_side(
    service: Service,
    paths: Iterable[str],
    rendered: Path,
    base: Tree,
    owner: Callable[[str], Owner],
) -> None:
    """Write the template's version of files into the worktree.

    Raises:
        SlipwayError: one is not the template's, or holds changes that are not committed.

    """
    wanted = [PurePath(path).as_posix() for path in paths]
    for path in wanted:
        if path not in base or owner(path) is not Owner.TEMPLATE:
            raise SlipwayError(f"{path} is no file of the template: nothing to heal")
    named = [f"{service.prefix}{path}" for path in wanted]
    unsaved = changed_files(service, *named) if named else set()
    tracked = git(service.top, "ls-files", "-z", "--", *named).decode().split("\0")
    unsaved |= {
        name
        for name, path in zip(named, wanted, strict=True)
        if name not in tracked and is_file(service.folder / path)
    }
    if unsaved:
        raise SlipwayError(
            f"not committed, and healing overwrites it: {', '.join(sorted(unsaved))}: commit first"
        )
    for path in wanted:
        target = service.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(rendered / path, target, follow_symlinks=False)


def pick(tree: Tree, paths: set[str]) -> dict[str, Entry]:
    """Return a part of a tree."""
    return {path: entry for path, entry in tree.items() if path in paths}
