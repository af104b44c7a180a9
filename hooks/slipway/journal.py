"""The journal of an update: what each file was and what it becomes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.service import Service
from slipway.trees import Entry, git_path

JOURNAL = "update.json"


@dataclass(frozen=True)
class FileChange:
    """One file of the journal.

    Attributes:
        path: the file, from the top of the worktree.
        before: what it was; None when there was none.
        after: what it becomes; None when it goes.
        stages: what the index holds of a file in conflict: 1 base, 2 service, 3 template.

    """

    path: str
    before: Entry | None
    after: Entry | None
    stages: Mapping[int, Entry]


@dataclass(frozen=True)
class Journal:
    """An update that is being applied, or was.

    Attributes:
        head: the commit on which it was computed.
        version: the version it leads to.
        files: what changes.
        applied: whether all of it is done.
        undo: whether it takes an update back; then it leaves no journal.

    """

    head: str
    version: str
    files: list[FileChange]
    applied: bool = False
    undo: bool = False

    @property
    def conflicts(self) -> list[str]:
        """The files in conflict."""
        return [file.path for file in self.files if file.stages]


def reverse(journal: Journal) -> Journal:
    """Return the way back."""
    files = [
        FileChange(file.path, before=file.after, after=file.before, stages={})
        for file in journal.files
    ]
    return replace(journal, files=files, applied=False, undo=True)


def journal_folder(service: Service) -> Path:
    """Return where the journal of a worktree is."""
    return git_path(service.top, "slipway")


def read_journal(service: Service) -> Journal:
    """Return the journal.

    Raises:
        SlipwayError: there is none.

    """
    file = journal_folder(service) / JOURNAL
    if not file.exists():
        raise SlipwayError("no update is under way here")
    content = json.loads(file.read_text())

    def entry(value: dict[str, str] | None) -> Entry | None:
        return Entry(**value) if value else None

    return Journal(
        head=content["head"],
        version=content["version"],
        applied=content["applied"],
        undo=content["undo"],
        files=[
            FileChange(
                each["path"],
                entry(each["before"]),
                entry(each["after"]),
                {int(number): Entry(**value) for number, value in each["stages"].items()},
            )
            for each in content["files"]
        ],
    )


def write_journal(folder: Path, journal: Journal) -> None:
    """Write the journal; it is whole or not there."""
    new = folder / f"{JOURNAL}.new"
    with new.open("w") as file:
        json.dump(asdict(journal), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / JOURNAL)
