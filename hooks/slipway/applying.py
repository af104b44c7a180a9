"""Bringing an update into a worktree, so that a kill at any moment loses nothing.

The result is in git's objects first. A journal beside the index then says, for every file, what
it was and what it becomes; each file is replaced in one step, the index last. Whoever comes after
a kill finds every file in one of its two states and can go either way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError
from slipway.git import git
from slipway.journal import (
    JOURNAL,
    FileChange,
    Journal,
    journal_folder,
    read_journal,
    reverse,
    write_journal,
)
from slipway.service import Service, changed_files
from slipway.trees import Entry, git_path, index_info, split
from slipway.worktree import is_file, put, remove, same

if TYPE_CHECKING:
    from slipway.updating import Update


def apply(service: Service, update: Update) -> None:
    """Bring an update into the worktree and the index.

    Raises:
        SlipwayError: something that is not committed is in the way; then nothing is touched.

    """
    journal = journal_of(service, update)
    refuse_lock(service)
    refuse_what_is_in_the_way(service, journal.files)
    folder = journal_folder(service)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stage(service, folder / "after", {file.path: file.after for file in journal.files})
    write_journal(folder, journal)
    finish(service, journal)


def resume(service: Service) -> Journal:
    """Finish an update that was interrupted.

    Returns:
        Its journal.

    Raises:
        SlipwayError: none is under way, or a file was edited since.

    """
    journal = read_journal(service)
    if journal.applied:
        raise SlipwayError("the update is complete: resolve what is in conflict, and commit")
    folder = journal_folder(service)
    refuse_lock(service)
    refuse_what_was_edited(service, journal)
    stage(service, folder / "after", {file.path: file.after for file in journal.files})
    finish(service, journal)
    return journal


def abort(service: Service) -> Journal:
    """Take an update back that was interrupted or is not committed yet.

    Returns:
        Its journal.

    Raises:
        SlipwayError: there is none, it is committed, or a file was edited since. Only what was
            written into a file in conflict goes, as in `git merge --abort`.

    """
    journal = read_journal(service)
    folder = journal_folder(service)
    if journal.applied and service.head != journal.head:
        raise SlipwayError("the update is committed: git revert takes it back")
    if journal.applied and not staged(service, journal):
        raise SlipwayError("no update is under way here: git has taken the last one back")
    refuse_lock(service)
    refuse_what_was_edited(service, journal)
    back = journal if journal.undo else reverse(journal)
    stage(service, folder / "after", {file.path: file.after for file in back.files})
    # From here on only the way back is open; a second kill must not mix the two.
    write_journal(folder, back)
    finish(service, back)
    return journal


def refuse_interrupted(service: Service) -> None:
    """Raise a SlipwayError while an update waits for its end, or for its commit."""
    if not (journal_folder(service) / JOURNAL).exists():
        return
    journal = read_journal(service)
    if not journal.applied:
        raise SlipwayError("an update was interrupted: slipway update --continue, or --abort")
    if journal.head == service.head and staged(service, journal):
        raise SlipwayError(
            f"the update to {journal.version} is not committed: commit it, "
            "or slipway update --abort"
        )


def staged(service: Service, journal: Journal) -> bool:
    """Return whether the index still has something of an update that was applied."""
    listed = split(git(service.top, "diff-index", "--cached", "--name-only", "-z", service.head))
    return not {file.path for file in journal.files}.isdisjoint(listed)


def refuse_lock(service: Service) -> None:
    """Raise a SlipwayError while another program changes the index."""
    lock = git_path(service.top, "index.lock")
    if lock.exists() and not is_own(lock, journal_folder(service)):
        raise SlipwayError(
            f"git is at work here: when it has ended, run this again; if it was killed, rm {lock}"
        )


def is_own(lock: Path, folder: Path) -> bool:
    """Return whether the index is locked by an update that was killed."""
    new = folder / "index"
    return new.exists() and lock.samefile(new)


def finish(service: Service, journal: Journal) -> None:
    """Put every file in its new state, then the index, then close the journal."""
    folder = journal_folder(service)
    for file in journal.files:
        if file.after is None:
            remove(service.top, file.path)
    for file in journal.files:
        if file.after is not None:
            target = service.top / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            put(folder / "after" / file.path, target)
    write_index(service, folder, journal)
    if journal.undo:
        (folder / JOURNAL).unlink()
        shutil.rmtree(folder)
        return
    write_journal(folder, replace(journal, applied=True))
    for left in folder.iterdir():
        if left.name != JOURNAL:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def journal_of(service: Service, update: Update) -> Journal:
    """Return what an update changes, by paths from the top of the worktree."""
    result = update.merge.result
    return Journal(
        head=service.head,
        version=update.after.name,
        files=[
            FileChange(
                f"{service.prefix}{path}",
                update.ours.get(path),
                result.get(path),
                update.merge.conflicts.get(path, {}),
            )
            for path in sorted(update.changed_paths)
        ],
    )


def refuse_what_is_in_the_way(service: Service, files: Iterable[FileChange]) -> None:
    """Raise a SlipwayError that names what an update would overwrite and git could not restore."""
    by_path = {file.path: file for file in files}
    hidden = sorted(marked_unchanged(service) & by_path.keys())
    if hidden:
        raise SlipwayError(
            f"git is told to overlook edits, and the update changes it: {', '.join(hidden)}: "
            f"git update-index --no-assume-unchanged --no-skip-worktree -- {hidden[0]}"
        )
    blocked = sorted(changed_files(service) & by_path.keys())
    if blocked:
        raise SlipwayError(
            f"not committed, and the update changes it: {', '.join(blocked)}: commit or stash"
        )
    going = {path for path, file in by_path.items() if file.after is None}
    for path, file in by_path.items():
        if file.after is not None and file.before is None:
            blocked += obstacles(service.top, path, going)
    if blocked:
        raise SlipwayError(
            f"not in git, and the update writes there: {', '.join(sorted(set(blocked)))}: "
            "move it away, or add and commit it"
        )


def marked_unchanged(service: Service) -> set[str]:
    """Return the files of the worktree whose edits `git status` does not show."""
    listed = split(git(service.top, "ls-files", "-v", "-z"))
    return {
        path
        for tag, path in (line.split(" ", 1) for line in listed)
        if (tag.islower() or tag == "S") and is_file(service.top / path)
    }


def obstacles(top: Path, path: str, going: set[str]) -> list[str]:
    """Return what stands where a new file goes: itself, a file for a folder, or the reverse."""
    for parent in reversed(Path(path).parents[:-1]):
        place = top / parent
        if (place.is_symlink() or place.is_file()) and parent.as_posix() not in going:
            return [parent.as_posix()]
    place = top / path
    if place.is_dir() and not place.is_symlink():
        inside = (p.relative_to(top).as_posix() for p in place.rglob("*") if not p.is_dir())
        return [name for name in inside if name not in going]
    return [path] if os.path.lexists(place) and path not in going else []


def refuse_what_was_edited(service: Service, journal: Journal) -> None:
    """Raise a SlipwayError that names files in neither of their two states.

    Once an update is complete, its conflicts are there to be edited.
    """
    folder = journal_folder(service)
    before = stage(service, folder / "before", {file.path: file.before for file in journal.files})
    after = stage(service, folder / "compare", {file.path: file.after for file in journal.files})
    known = {file.path for file in journal.files}
    edited = set()
    for file in journal.files:
        edited.update(obstacles(service.top, file.path, known))
        if journal.applied and file.stages:
            continue
        place = service.top / file.path
        states = [
            side / file.path
            for side, entry in ((before, file.before), (after, file.after))
            if entry is not None
        ]
        if is_file(place) and not any(same(place, state) for state in states):
            edited.add(file.path)
    if edited:
        raise SlipwayError(
            f"edited since the update: {', '.join(sorted(edited))}: "
            "move it away, and run this again"
        )


def stage(service: Service, folder: Path, files: Mapping[str, Entry | None]) -> Path:
    """Write files as git would check them out, into a folder of the journal."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    index = forgotten(folder.with_suffix(".index"))
    tree = {path: entry for path, entry in files.items() if entry}
    if tree:
        with_index(service, index, "update-index", "-z", "--index-info", stdin=index_info(tree))
        with_index(service, index, "checkout-index", "--all", "--force", f"--prefix={folder}/")
    return folder


def write_index(service: Service, folder: Path, journal: Journal) -> None:
    """Put the changed files into the index, as git itself replaces it."""
    index = git_path(service.top, "index")
    lock = index.with_name("index.lock")
    if lock.exists() and is_own(lock, folder):
        lock.unlink()
    new = forgotten(folder / "index")
    shutil.copyfile(index, new)
    removed = "".join(f"{file.path}\0" for file in journal.files)
    with_index(
        service, new, "update-index", "-z", "--force-remove", "--stdin",
        stdin=removed.encode(errors="surrogateescape"),
    )  # fmt: skip
    lines = index_info({f.path: f.after for f in journal.files if f.after and not f.stages})
    lines += b"".join(
        f"{entry.mode} {entry.content} {number}\t{file.path}\0".encode(errors="surrogateescape")
        for file in journal.files
        for number, entry in sorted(file.stages.items())
    )
    with_index(service, new, "update-index", "-z", "--index-info", stdin=lines)
    with_index(service, new, "update-index", "-q", "--refresh", fine=(0, 1))
    try:
        lock.hardlink_to(new)
    except FileExistsError as error:
        raise SlipwayError(
            f"git is at work here ({lock} exists): when it has ended, slipway update --continue"
        ) from error
    lock.replace(index)


def forgotten(index: Path) -> Path:
    """Delete an index of our own, and the lock that a killed git leaves there; its path."""
    for left in (index, index.with_name(f"{index.name}.lock")):
        left.unlink(missing_ok=True)
    return index


def with_index(
    service: Service, index: Path, *arguments: str, stdin: bytes = b"", fine: tuple[int, ...] = (0,)
) -> None:
    """Run git in the service's worktree on an index of our own."""
    environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
    git(service.top, *arguments, fine=fine, stdin=stdin, environment=environment)
