"""What an update would do to a service: renders, merges, and touches nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from slipway.answers import (
    ANSWERS_FILE,
    Recorded,
    moves,
    read_answers,
    renamed_values,
    sign,
    with_renames,
)
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.merging import Change, Merge, Sides, merge
from slipway.ownership import owners, seeded_at_copy
from slipway.rendering import render_again
from slipway.service import Service, committed_answers, refuse_unfinished
from slipway.source import Source, TemplateVersion, notes, questions
from slipway.trees import Entry, Store

CURRENT = ":current:"


@dataclass(frozen=True)
class Request:
    """What somebody asks of an update.

    Attributes:
        to: the version to go to; None is the newest release.
        data: answers that replace recorded ones, as they are typed.
        template: the template's address, if it has moved.
        interactive: whether new questions may be asked on the terminal.

    """

    to: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    interactive: bool = False


@dataclass(frozen=True)
class Update:
    """The outcome of an update that has not been applied.

    Attributes:
        before: the service's recorded version.
        after: the version it goes to.
        ours: the service's committed files.
        merge: the files afterwards, and what happened to each.
        new_answers: questions that the recorded version did not have, with their answers.
        changed_answers: recorded answers that changed, as pairs of old and new.
        notes: the upgrade notes between the two versions.

    """

    before: TemplateVersion
    after: TemplateVersion
    ours: Mapping[str, Entry]
    merge: Merge
    new_answers: Mapping[str, Any] = field(default_factory=dict)
    changed_answers: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def changes(self) -> list[Change]:
        """What happens to each file, the answers file aside."""
        return [change for change in self.merge.changes if change.path != ANSWERS_FILE]

    @property
    def changed_paths(self) -> set[str]:
        """The paths that differ from the service's commit afterwards."""
        result = self.merge.result
        return {
            path
            for path in {*self.ours, *result}
            if self.ours.get(path) != result.get(path) or path in self.merge.conflicts
        }


def plan_update(
    service: Service,
    request: Request,
    scratch: Path,
    *,
    keep: bool,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[Update, Store]:
    """Compute an update.

    Args:
        service: the service.
        request: what is asked.
        scratch: an empty folder for renders and the store.
        keep: whether the result's objects go into the service's repository.
        tell: is called with each step, for people who wait.

    Returns:
        The update, and the store that has its objects.

    Raises:
        SlipwayError: the service, its answers or the template are not fit for it.

    """
    refuse_unfinished(service)
    recorded = read_answers(committed_answers(service))
    tell("Fetching the template")
    source = Source(request.template or recorded.source, scratch / "template.git")
    before = source.resolve(recorded.version)
    after = version_wanted(source, request.to, before)
    store = Store(empty(scratch / "store"), service.top, keep=keep)
    ours = store.read(service.tree)
    if after.commit == before.commit and not request.data and request.template is None:
        return Update(before, after, ours, Merge(dict(ours), [], {})), store
    settings = source.settings(after)
    asked = questions(settings)
    refuse_unknown(request.data, asked)

    tell(f"Rendering {before.name}")
    old_template = source.folder_of(before, scratch / "old-template")
    seeds = seeded_at_copy(settings)
    old = render_again(old_template, scratch / "old", recorded.text, leave_out=seeds)
    refuse_hand_edits(service, recorded, old, old_template, scratch / "earlier", seeds)
    tell(f"Rendering {after.name}")
    new = render_again(
        source.folder_of(after, scratch / "new-template"),
        scratch / "new",
        recorded.text,
        data=with_renames(recorded.values, request.data),
        ask=to_ask(asked, recorded) if request.interactive else (),
        leave_out=seeds,
    )
    file = new / ANSWERS_FILE
    file.write_text(sign(file.read_text(), source.address, after.name))

    tell("Merging")
    base, theirs = store.add_folder(old), store.add_folder(new)
    base[ANSWERS_FILE] = ours[ANSWERS_FILE]
    answers = read_answers(file.read_bytes()).values
    sides = Sides(
        base=base,
        ours=ours,
        theirs=theirs,
        owner=owners(settings),
        moves=moves(
            renamed_values(recorded.values, answers), before=base, after=theirs, service=ours
        ),
        base_label=label(before),
        theirs_label=label(after, unlike=before),
    )
    update = Update(
        before=before,
        after=after,
        ours=ours,
        merge=merge(store, sides),
        new_answers={n: v for n, v in answers.items() if n not in recorded.values},
        changed_answers={
            name: (value, answers.get(name))
            for name, value in recorded.values.items()
            if name in asked and answers.get(name) != value
        },
        notes=notes(source.text(after, "UPGRADING.md"), before.number, after.number),
    )
    return update, store


def version_wanted(source: Source, name: str | None, before: TemplateVersion) -> TemplateVersion:
    """Return the version to go to.

    Raises:
        SlipwayError: there is no such version, or it is older than the recorded one.

    """
    if name == CURRENT:
        return before
    after = source.resolve(name) if name else source.newest()
    if after.commit == before.commit:
        return after
    older = git(source.folder, "rev-list", "--count", f"{after.commit}..{before.commit}")
    newer = git(source.folder, "rev-list", "--count", f"{before.commit}..{after.commit}")
    if older.strip() != b"0" and newer.strip() == b"0":
        if name is None:
            return before
        raise SlipwayError(
            f"{after.name} is older than the service's {before.name}: "
            "git revert takes an update back"
        )
    return after


def refuse_unknown(data: Mapping[str, str], asked: Mapping[str, object]) -> None:
    """Raise a SlipwayError when an answer is given to a question that nobody asks."""
    for name in data:
        if name not in asked:
            near = difflib.get_close_matches(name, asked, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it asks {', '.join(asked)}"
            raise SlipwayError(f"--data {name}: the template has no such question: {hint}")


def to_ask(asked: Mapping[str, Mapping[str, Any]], recorded: Recorded) -> list[str]:
    """Return the questions that are new; what the platform decides is asked on request only."""
    return [
        name for name, facts in asked.items() if name not in recorded.values and "ask" not in facts
    ]


def refuse_hand_edits(
    service: Service,
    recorded: Recorded,
    old: Path,
    template: Path,
    scratch: Path,
    seeds: Sequence[str],
) -> None:
    """Raise a SlipwayError when somebody edited the answers file without an update.

    An answer that its own version refuses shows at once. One that it accepts shows in history:
    a commit of the answers file alone, though the new answer renders other files, and the service
    has none of them.
    """
    accepted = yaml.safe_load((old / ANSWERS_FILE).read_bytes())
    for name, value in recorded.values.items():
        if name in accepted and accepted[name] != value:
            raise SlipwayError(
                f"{ANSWERS_FILE}: {recorded.version} does not accept {name}: {value!r}: "
                "put the old answer back, and commit it"
            )
    earlier = before_lone_edit(service)
    if earlier is None:
        return
    commit, text = earlier
    try:
        was = read_answers(text)
    except SlipwayError:
        return  # it was damaged, and has been put right
    edited = sorted(
        name
        for name in {*was.values, *recorded.values}
        if was.values.get(name) != recorded.values.get(name)
    )
    if was.version != recorded.version or not edited:
        return
    then, now = files(render_again(template, scratch, text, leave_out=seeds)), files(old)
    differ = {path for path in {*then, *now} if then.get(path) != now.get(path)}
    if differ and not any(committed(service, path) == now[path] for path in differ & now.keys()):
        raise SlipwayError(
            f"{ANSWERS_FILE} was edited by hand in {commit[:7]} ({', '.join(edited)}): "
            f"git checkout {commit[:7]}~ -- {ANSWERS_FILE}, commit it, and run "
            f"slipway update --data {edited[0]}=…"
        )


def before_lone_edit(service: Service) -> tuple[str, bytes] | None:
    """Return the last commit of the answers file, if of that alone, and the file before it."""
    path = f"{service.prefix}{ANSWERS_FILE}"
    commit = git(service.top, "rev-list", "-1", service.head, "--", path).decode().strip()
    if not commit:
        return None
    touched = git(service.top, "diff-tree", "--no-commit-id", "--name-only", "-r", "-z", commit)
    if touched.decode(errors="replace").split("\0") != [path, ""]:
        return None
    text = git(service.top, "show", f"{commit}~:{path}", fine=(0, 128))
    return (commit, text) if text else None


def committed(service: Service, path: str) -> bytes:
    """Return a committed file of the service, empty where there is none."""
    return git(service.top, "show", f"{service.head}:{service.prefix}{path}", fine=(0, 128))


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of a render, the answers file aside."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ANSWERS_FILE
    }


def label(version: TemplateVersion, unlike: TemplateVersion | None = None) -> str:
    """Return what conflict markers call a version, fit for a branch's name."""
    name = "template-" + re.sub(r"[^\w.+-]+", "-", version.name)
    return f"{name}-new-answers" if unlike and unlike.name == version.name else name


def empty(folder: Path) -> Path:
    """Make a folder and return it."""
    folder.mkdir()
    return folder
