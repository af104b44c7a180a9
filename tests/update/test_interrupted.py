"""An update that is killed ends in one of its two states, and nothing of the user's is lost."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from slipway import applying
from slipway.cli import main

from tests.services import once
from tests.update import tiny
from tests.update.project import IDENTITY, Project, Template, git
from tests.update.tiny import Ran, differences, refused, slipway, state

SEED = 5
POINTS = 50
# So many that the applying phase can be hit.
MANY = 60
PATIENCE = 60.0

# Importing Copier takes longer than the update; the server does it once, and forks.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["copier", "slipway.commands"])


@dataclass(frozen=True)
class Prepared:
    """A service before its update, and both states in which it may end."""

    folder: Path
    before: dict[str, Any]
    after: dict[str, Any]

    def clone(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder, symlinks=True)
        return folder

    def check(self, folder: Path, expected: dict[str, Any]) -> None:
        """Compare a repository with one of the two states, whatever the user has in it included."""
        assert differences(state(folder), expected) == []


def many_files(template: Path, text: str) -> None:
    folder = template / "template/many"
    folder.mkdir(exist_ok=True)
    for number in range(MANY):
        (folder / f"{number:03}.txt").write_text(f"{number}\n{text}\n")


def two_releases(folder: Path) -> None:
    tiny.make_template(folder, lambda template: many_files(template, "old"))

    def change(template: Path) -> None:
        tiny.next_release(template)
        many_files(template, "new")

    Template(folder).release(change)


def work(project: Project) -> None:
    """Let the user work: edits that merge, one in conflict, and much that is in no commit."""
    folder = project.folder
    tiny.replace(folder / "Makefile", "line 10\n", "line 10 of the service\n")
    with (folder / "settings/plain.txt").open("a") as file:
        file.write("the service's own line\n")
    project.commit()
    (folder / ".env").write_text("SECRET=1\n")
    (folder / "node_modules/package").mkdir(parents=True)
    (folder / "node_modules/package/index.js").write_text("1\n")
    (folder / "notes.txt").write_text("in no commit\n")
    (folder / "empty").mkdir()
    for edited in ("settings/quiet.txt", "src/app.txt"):
        (folder / edited).write_text("not committed\n")
    (folder / "staged.txt").write_text("staged\n")
    git(folder, "add", "staged.txt")


@pytest.fixture(scope="module")
def prepared(shared: Path) -> Prepared:
    template = Template(once(shared / "many-template", two_releases))

    def start(folder: Path) -> None:
        project = Project(folder).copy(template, {}).commit("Start")
        work(project)

    folder = once(shared / "many-service", start)

    def update(folder_after: Path) -> None:
        shutil.copytree(folder, folder_after, symlinks=True)
        slipway("update", folder_after, fine=(1,))

    updated = once(shared / "many-updated", update)
    found = Prepared(folder, state(folder), state(updated))
    assert found.before["head"] == found.after["head"]
    assert len(differences(found.before, found.after)) > MANY
    return found


@pytest.fixture(scope="module")
def duration(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long the command runs when nobody kills it."""
    folder = prepared.clone(tmp_path_factory.mktemp("whole") / "service")
    begin = time.monotonic()
    command("update", folder).wait(PATIENCE)
    prepared.check(folder, prepared.after)
    return time.monotonic() - begin


@dataclass(frozen=True)
class Running:
    """A command in a session of its own."""

    pid: int
    ended: Callable[[], bool]
    wait: Callable[[float], object]

    def kill(self, when: Callable[[], bool], *, alone: bool = False) -> None:
        """Kill it at a moment: with all that it started, as when power fails, or alone."""
        end = time.monotonic() + PATIENCE
        while not self.ended() and not when():
            assert time.monotonic() < end
            time.sleep(0.0002)
        if not self.ended():
            (os.kill if alone else os.killpg)(self.pid, signal.SIGKILL)
        self.wait(PATIENCE)


def command(*arguments: str | Path) -> Running:
    """Start the command as people do."""
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway", *map(str, arguments)],
        env={**os.environ, **IDENTITY},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Running(process.pid, lambda: process.poll() is not None, process.wait)


def forked(*arguments: str | Path, spoil: Callable[[], None] | None = None) -> Running:
    """Start the same without the imports, ready to be killed."""
    there, here = SERVER.Pipe()
    process = SERVER.Process(target=in_a_session, args=(there, spoil, *map(str, arguments)))
    process.start()
    assert here.poll(PATIENCE)
    assert process.pid
    return Running(process.pid, lambda: not process.is_alive(), process.join)


def in_a_session(ready: Any, spoil: Callable[[], None] | None, *arguments: str) -> None:
    os.setsid()
    os.environ.update(IDENTITY)
    for stream in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    sys.argv = ["slipway", *arguments]
    if spoil:
        spoil()
    ready.send(True)
    main()


def journal(folder: Path) -> dict[str, Any] | None:
    file = folder / ".git/slipway/update.json"
    if not file.exists():
        return None
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def written(folder: Path, number: int) -> Callable[[], bool]:
    """Return a function that says whether one of the many files has been replaced."""
    file = folder / f"many/{number:03}.txt"
    inode = file.stat().st_ino
    return lambda: file.stat().st_ino != inode


def after(seconds: float, event: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """Return a function that says whether an event is so long ago."""
    times: list[float] = []

    def due() -> bool:
        if not times and event():
            times.append(time.monotonic())
        return bool(times) and time.monotonic() - times[0] >= seconds

    return due


def moment(chance: random.Random, folder: Path) -> Callable[[], bool]:
    """Choose when to kill while files are written."""
    place = folder / ".git/slipway"
    return chance.choice(
        [
            after(chance.uniform(0, 0.03), place.exists),
            after(chance.uniform(0, 0.06), (place / "update.json").exists),
            after(chance.uniform(0, 0.005), written(folder, chance.randrange(MANY))),
            after(chance.uniform(0, 0.06), written(folder, MANY - 1)),
        ]
    )


def finish(prepared: Prepared, folder: Path, way: str) -> None:
    """Go one way after a kill; the state is then the one that this way leads to."""
    left = journal(folder)
    ran = slipway("update", folder, way, fine=(0, 1, 2))
    prepared.check(folder, where(prepared, left, way, ran))


def where(prepared: Prepared, left: dict[str, Any] | None, way: str, ran: Ran) -> dict[str, Any]:
    """Return the state in which a command must end, by the journal that it found."""
    if left is None:
        refused(ran, "no update is under way")
        return prepared.before
    if left["applied"] and way == "--continue":
        refused(ran, "the update is complete")
        return prepared.after
    if left["undo"] or way == "--abort":
        assert (ran.code, ran.err) == (0, "")
        return prepared.before
    assert (ran.code, ran.err) == (1, "")
    assert "in conflict: Makefile" in ran.out
    return prepared.after


@pytest.fixture(scope="module")
def phases() -> list[str]:
    """Return where the kills of this run hit, as they are done."""
    return []


@pytest.mark.parametrize("number", range(POINTS))
def test_killed_anywhere_it_ends_in_one_of_two_states(
    prepared: Prepared, duration: float, phases: list[str], tmp_path: Path, number: int
) -> None:
    chance = random.Random(f"{SEED}-{number}")  # noqa: S311 - no secret
    folder = prepared.clone(tmp_path / "service")
    alone = chance.random() < 0.3

    if number % 3 == 0:
        command("update", folder).kill(after(chance.uniform(0, duration)), alone=alone)
    else:
        forked("update", folder).kill(moment(chance, folder), alone=alone)

    left = journal(folder)
    phases.append("planning" if left is None else "complete" if left["applied"] else "writing")
    finish(prepared, folder, chance.choice(["--continue", "--abort"]))


def test_the_kills_hit_every_phase(phases: list[str]) -> None:
    if len(phases) < POINTS:
        pytest.skip("not all of them were run")

    assert phases.count("writing") >= POINTS // 5, phases
    assert phases.count("planning") >= POINTS // 10, phases


def test_a_step_without_a_journal_is_noticed(prepared: Prepared, tmp_path: Path) -> None:
    """The negative control: the same kill, the same check."""
    folder = prepared.clone(tmp_path / "service")

    forked("update", folder, spoil=keep_no_journal).kill(written(folder, MANY // 2))

    with pytest.raises(AssertionError):
        finish(prepared, folder, "--abort")


def keep_no_journal() -> None:
    patch.object(applying, "write_journal", lambda *_: None).start()


def test_a_file_of_the_users_that_is_lost_is_noticed(prepared: Prepared, tmp_path: Path) -> None:
    for lost in (".env", "notes.txt", "node_modules/package/index.js", "src/app.txt"):
        folder = prepared.clone(tmp_path / lost.replace("/", "-"))
        (folder / lost).unlink()

        with pytest.raises(AssertionError, match=lost):
            prepared.check(folder, prepared.before)


@pytest.fixture(scope="module")
def half(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a service that was killed in the middle of its files. Tests clone it."""
    folder = prepared.clone(tmp_path_factory.mktemp("half") / "service")
    forked("update", folder).kill(written(folder, MANY // 2))
    left = journal(folder)
    assert left
    assert not left["applied"], "the kill came too late"
    return folder


@pytest.fixture
def killed(half: Path, tmp_path: Path) -> Path:
    shutil.copytree(half, tmp_path / "killed", symlinks=True)
    return tmp_path / "killed"


@pytest.mark.parametrize("number", range(12))
def test_killed_again_on_either_way_either_way_still_leads_to_its_state(
    prepared: Prepared, killed: Path, number: int
) -> None:
    chance = random.Random(f"{SEED}-again-{number}")  # noqa: S311 - no secret
    first = ("--abort", "--continue")[number % 2]
    index = killed / ".git/index"
    inode = index.stat().st_ino
    events = [
        written(killed, 0 if first == "--abort" else MANY - 1),
        lambda: index.stat().st_ino != inode,
        (killed / ".git/index.lock").exists,
        lambda: True,
    ]

    again = forked("update", killed, first)
    again.kill(after(chance.uniform(0, 0.03), events[number // 2 % 4]))

    finish(prepared, killed, chance.choice(["--continue", "--abort"]))


def test_after_either_way_the_next_update_runs(prepared: Prepared, killed: Path) -> None:
    refused(slipway("update", killed, fine=(2,)), "an update was interrupted")
    refused(slipway("preview", killed, fine=(2,)), "an update was interrupted")
    finish(prepared, killed, "--abort")

    slipway("update", killed, fine=(1,))

    prepared.check(killed, prepared.after)


def test_what_a_kill_before_the_journal_leaves_blocks_nothing(
    prepared: Prepared, tmp_path: Path
) -> None:
    folder = prepared.clone(tmp_path / "service")
    place = folder / ".git/slipway"
    (place / "after").mkdir(parents=True)
    for name in ("after/Makefile", "after.index", "after.index.lock", "index", "index.lock"):
        (place / name).write_text("left behind")

    slipway("update", folder, fine=(1,))

    prepared.check(folder, prepared.after)


@pytest.mark.parametrize("way", ["--continue", "--abort"])
def test_what_a_kill_of_git_leaves_blocks_nothing(
    prepared: Prepared, killed: Path, way: str
) -> None:
    for name in ("before.index", "after.index", "compare.index", "index"):
        (killed / f".git/slipway/{name}.lock").write_text("left behind")

    finish(prepared, killed, way)


@pytest.mark.parametrize("way", ["--continue", "--abort"])
@pytest.mark.parametrize("edited", [0, MANY - 1], ids=["written", "not yet written"])
def test_a_file_that_was_edited_since_is_refused_by_name(
    prepared: Prepared, killed: Path, way: str, edited: int
) -> None:
    file = killed / f"many/{edited:03}.txt"
    content = file.read_bytes()
    file.write_text("since the kill\n")
    before = state(killed)

    refused(slipway("update", killed, way, fine=(2,)), file.name)

    assert differences(before, state(killed)) == []
    file.write_bytes(content)
    finish(prepared, killed, way)


@pytest.mark.parametrize("way", ["--continue", "--abort"])
def test_a_folder_that_was_put_where_a_file_goes_is_refused_by_name(
    prepared: Prepared, killed: Path, way: str
) -> None:
    file = killed / f"many/{MANY - 1:03}.txt"
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    (file / "of-the-user.txt").write_text("since the kill\n")
    before = state(killed)

    refused(slipway("update", killed, way, fine=(2,)), file.name)

    assert differences(before, state(killed)) == []
    shutil.rmtree(file)
    file.write_bytes(content)
    finish(prepared, killed, way)


@pytest.mark.parametrize("way", ["--continue", "--abort"])
def test_the_updates_own_lock_is_taken_away(prepared: Prepared, killed: Path, way: str) -> None:
    own = killed / ".git/slipway/index"
    shutil.copyfile(killed / ".git/index", own)
    (killed / ".git/index.lock").hardlink_to(own)

    finish(prepared, killed, way)


@pytest.mark.parametrize("way", ["--continue", "--abort"])
def test_a_lock_of_somebody_else_is_refused(prepared: Prepared, killed: Path, way: str) -> None:
    lock = killed / ".git/index.lock"
    lock.write_text("")
    before = state(killed)

    refused(slipway("update", killed, way, fine=(2,)), "index.lock")

    assert differences(before, state(killed)) == []
    lock.unlink()
    finish(prepared, killed, way)


@pytest.fixture
def updated(prepared: Prepared, tmp_path: Path) -> Path:
    folder = prepared.clone(tmp_path / "updated")
    slipway("update", folder, fine=(1,))
    return folder


def test_a_complete_update_with_conflicts_is_taken_back(prepared: Prepared, updated: Path) -> None:
    refused(slipway("update", updated, fine=(2,)), "--abort")
    (updated / "Makefile").write_text("half resolved\n")

    assert "taken back" in slipway("update", updated, "--abort").out

    prepared.check(updated, prepared.before)
    refused(slipway("update", updated, "--abort", fine=(2,)), "no update is under way")


def test_an_update_that_is_committed_is_not_taken_back(updated: Path) -> None:
    (updated / "Makefile").write_text("resolved\n")
    git(updated, "add", "Makefile")
    git(updated, "commit", "--quiet", "--message", "Update")
    before = state(updated)

    refused(slipway("update", updated, "--abort", fine=(2,)), "git revert")

    assert differences(before, state(updated)) == []
    assert "nothing to do" in slipway("update", updated).out


def test_what_was_written_into_an_updated_file_is_not_taken_back(
    prepared: Prepared, updated: Path
) -> None:
    file = updated / "settings/plain.txt"
    merged = file.read_text()
    file.write_text(f"{merged}after the update\n")
    before = state(updated)

    refused(slipway("update", updated, "--abort", fine=(2,)), "settings/plain.txt")

    assert differences(before, state(updated)) == []
    file.write_text(merged)
    finish(prepared, updated, "--abort")


def test_an_update_that_git_took_back_is_not_taken_back_again(updated: Path) -> None:
    git(updated, "reset", "--quiet", "--hard")
    (updated / "Makefile").write_text("of the next day\n")
    before = state(updated)

    refused(slipway("update", updated, "--abort", fine=(2,)), "no update is under way")

    assert differences(before, state(updated)) == []


def test_a_worktree_on_another_file_system_is_updated_and_taken_back(
    prepared: Prepared, tmp_path: Path
) -> None:
    elsewhere = Path("/dev/shm")  # noqa: S108 - made below, with a name of its own
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    folder = prepared.clone(tmp_path / "service")
    with TemporaryDirectory(dir=elsewhere) as place:
        other = Path(place) / "worktree"
        git(folder, "worktree", "add", "--quiet", "-b", "other", str(other))
        before = state(other)

        slipway("update", other, fine=(1,))

        index = git(other, "ls-files", "--stage", "-z")
        expected = prepared.after["index"]
        assert index == "".join(
            part + "\0" for part in expected.split("\0") if part and "staged.txt" not in part
        )
        slipway("update", other, "--abort")
        assert differences(before, state(other)) == []
