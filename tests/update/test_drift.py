"""Drift: what of the template's files a service has otherwise, by owner and by what it accepts."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.product import interview
from tests.update.project import NEW, OLD, Project, Template, git
from tests.update.tiny import fact, refused, replace, slipway, state, worktree

ACCEPTED = ".slipway.yaml"


def day(after: int = 0) -> date:
    """Return a day by its distance from the present one."""
    return datetime.now(tz=UTC).date() + timedelta(days=after)


def accept(service: Project, *entries: tuple[str, object]) -> None:
    """Write accepted differences: paths and last days."""
    (service.folder / ACCEPTED).write_text(
        "accepted:\n"
        + "".join(
            f"  - path: {path}\n    reason: for a reason\n    until: {until}\n"
            for path, until in entries
        )
    )


def drift(service: Project) -> dict[str, Any]:
    """Return the drift of a service; the exit code must agree."""
    ran = slipway("drift", service.folder, "--json", fine=(0, 1))
    found: dict[str, Any] = json.loads(ran.out)
    assert ran.code == (1 if found["drift"] else 0)
    assert found["drift"] == sum(file["counts"] for file in found["files"])
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["state"] for file in found["files"]}


def edit(service: Project) -> None:
    """Edit, delete and move files of the template, and all that the service owns."""
    folder = service.folder
    replace(folder / "Makefile", "line 5\n", "line 5 of the service\n")
    (folder / "dropped.txt").unlink()
    (folder / "settings/plain.txt").rename(folder / "settings/moved.txt")
    (folder / "run.sh").chmod(0o644)
    (folder / "link.txt").unlink()
    (folder / "link.txt").symlink_to("Makefile")
    for own in ("README.md", "src/app.txt", "seeds/first.txt", "own.txt"):
        (folder / own).write_text("own\n")
    (folder / "src/app.txt").unlink()
    service.commit()


EDITED = {
    "Makefile": "edited",
    "dropped.txt": "missing",
    "settings/plain.txt": "moved",
    "run.sh": "edited",
    "link.txt": "edited",
}


def test_a_fresh_service_has_no_drift(small_service: Project) -> None:
    found = drift(small_service)

    assert (found["version"], found["behind"]) == (OLD, [NEW])
    assert (found["files"], found["unused"], found["diff"]) == ([], [], "")
    assert found["owners"]["template"]["same"] > 10
    assert slipway("drift", small_service.folder).out.startswith(
        f"recorded {OLD}, 1 behind {NEW}\ntemplate: "
    )


@pytest.mark.parametrize("stack", sorted(map(str, interview().entries["stack"].choices)))
def test_a_fresh_service_of_each_stack_has_no_drift(
    released: Template, tmp_path: Path, stack: str
) -> None:
    service = Project(tmp_path / "service")
    service.copy(released, {"stack": stack, "datastore": "postgres", "cache": "redis"}).commit()

    found = drift(service)

    assert (found["drift"], found["files"], found["behind"]) == (0, [], [])
    assert {name: set(counted) for name, counted in found["owners"].items()} == {
        "template": {"same"},
        "service, seeded at copy": {"same"},
        "service, seeded when missing": {"same"},
    }


def test_what_is_edited_missing_and_moved_is_drift_and_own_files_never_are(
    small_service: Project,
) -> None:
    edit(small_service)

    found = drift(small_service)

    assert states(found) == EDITED
    assert found["drift"] == len(EDITED)
    moved = [file["moved_to"] for file in found["files"] if file["state"] == "moved"]
    assert moved == ["settings/moved.txt"]
    assert found["owners"]["service, seeded at copy"] == {"edited": 1, "missing": 1}
    assert found["owners"]["service, seeded when missing"] == {"edited": 1}


def test_what_is_not_committed_is_drift_too(small_service: Project) -> None:
    replace(small_service.folder / "Makefile", "line 5\n", "line 5 of the service\n")
    (small_service.folder / "dropped.txt").unlink()

    assert states(drift(small_service)) == {"Makefile": "edited", "dropped.txt": "missing"}


def test_the_plain_report_says_the_same(small_service: Project) -> None:
    edit(small_service)

    ran = slipway("drift", small_service.folder, fine=(1,))

    rows = [line.split()[:2] for line in ran.out.splitlines() if line.split()[:1] != []]
    for path, called in EDITED.items():
        assert [called, path] in rows
    assert "moved    settings/plain.txt  to settings/moved.txt\n" in ran.out
    assert "+line 5 of the service\n" in ran.out
    assert "--heal PATH" in ran.out


def test_the_patch_taken_back_leaves_the_template_s_files(small_service: Project) -> None:
    fresh = worktree(small_service.folder)
    edit(small_service)
    (small_service.folder / "drift.patch").write_text(drift(small_service)["diff"])

    git(small_service.folder, "apply", "-R", "drift.patch")

    found = worktree(small_service.folder)
    for path in ("Makefile", "run.sh", "link.txt"):
        assert found[path] == fresh[path]
    assert states(drift(small_service)) == {"dropped.txt": "missing", "settings/plain.txt": "moved"}


def test_line_ends_of_the_checkout_are_no_drift(small_service: Project, tmp_path: Path) -> None:
    windows = Project(tmp_path / "windows")
    git(
        tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true",
        str(small_service.folder), str(windows.folder),
    )  # fmt: skip
    assert b"\r\n" in (windows.folder / "Makefile").read_bytes()

    assert drift(windows)["files"] == []


def test_modes_that_git_does_not_trust_are_no_drift(small_service: Project) -> None:
    for path in ("Makefile", "run.sh"):
        (small_service.folder / path).chmod(0o755 if path == "Makefile" else 0o644)
    assert states(drift(small_service)) == {"Makefile": "edited", "run.sh": "edited"}

    git(small_service.folder, "config", "core.fileMode", "false")

    assert drift(small_service)["files"] == []


def test_the_newest_version_is_behind_nothing(small_service: Project) -> None:
    slipway("update", small_service.folder)
    small_service.commit()

    assert (drift(small_service)["behind"], drift(small_service)["drift"]) == ([], 0)
    assert f"recorded {NEW}, the newest\n" in slipway("drift", small_service.folder).out


def test_an_update_that_is_not_committed_comes_first(small_service: Project) -> None:
    slipway("update", small_service.folder)

    ran = slipway("drift", small_service.folder, fine=(0, 1, 2))

    refused(ran, f"the update to {NEW} is not committed: commit it, or slipway update --abort")


def test_what_is_accepted_does_not_count(small_service: Project) -> None:
    edit(small_service)
    accept(small_service, ("Makefile", day()), ("/settings/", day(1)), ("'*.sh'", day(1)))

    found = drift(small_service)

    counting = {file["path"] for file in found["files"] if file["counts"]}
    assert counting == {"dropped.txt", "link.txt"}
    assert states(found) == EDITED
    assert "line 5" not in found["diff"]
    shown = slipway("drift", small_service.folder, fine=(1,)).out
    assert f"edited   Makefile            accepted until {day()}: for a reason\n" in shown


def test_what_is_accepted_no_longer_counts_and_is_marked(small_service: Project) -> None:
    edit(small_service)
    accept(small_service, ("Makefile", day(-1)), *((path, day()) for path in EDITED))
    assert drift(small_service)["drift"] == 0, "the entry that lasts longer counts"

    accept(small_service, *((path, day()) for path in [*EDITED][1:]), ("Makefile", day(-1)))

    found = drift(small_service)
    assert [file["path"] for file in found["files"] if file["counts"]] == ["Makefile"]
    assert "line 5 of the service" in found["diff"]
    shown = slipway("drift", small_service.folder, fine=(1,)).out
    assert f"EXPIRED on {day(-1)}: for a reason\n" in shown


def test_an_entry_without_a_difference_is_named(small_service: Project) -> None:
    accept(small_service, ("Makefile", day(1)), ("README.md", day(1)))

    assert [entry["path"] for entry in drift(small_service)["unused"]] == ["Makefile", "README.md"]
    assert ".slipway.yaml: Makefile: there is no such difference" in (
        slipway("drift", small_service.folder).out
    )


def test_an_empty_list_accepts_nothing(small_service: Project) -> None:
    edit(small_service)
    for text in ("", "# nothing\n", "accepted: []\n"):
        (small_service.folder / ACCEPTED).write_text(text)
        assert drift(small_service)["drift"] == len(EDITED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("accepted: [\n", f"{ACCEPTED}, line 2: no YAML"),
        ("accepted:\n  - path: a\n    reason: b\n    until: 2027-02-30\n", f"{ACCEPTED}: no YAML"),
        ("- path: a\n", "write one list named accepted"),
        ("accepted: Makefile\n", "write one list named accepted"),
        ("accept: []\n", "write one list named accepted"),
        ("accepted: []\nmore: 1\n", "write one list named accepted"),
        ("text\n", "write one list named accepted"),
        ("accepted: [Makefile]\n", "entry 1 needs path, reason and until"),
        ("accepted:\n  - {path: a, reason: b}\n", "entry 1 needs path, reason and until"),
        (
            "accepted:\n  - {path: a, reason: b, until: 2027-01-01, who: c}\n",
            "entry 1 needs path, reason and until, nothing else",
        ),
        (
            "accepted:\n  - {path: a, reason: b, until: 2027-01-01}\n"
            "  - {path: a, reason: '', until: 2027-01-01}\n",
            "entry 2: reason is ''",
        ),
        ("accepted:\n  - {path: 1, reason: b, until: 2027-01-01}\n", "entry 1: path is 1"),
        ("accepted:\n  - {path: a, reason: b, until: soon}\n", "entry 1: until is 'soon'"),
        ("accepted:\n  - {path: a, reason: b, until: 2027}\n", "entry 1: until is 2027"),
        (
            "accepted:\n  - {path: a, reason: b, until: 2027-01-01 10:00:00}\n",
            "entry 1: until is datetime",
        ),
        ("accepted:\n  - {path: '!', reason: b, until: 2027-01-01}\n", "entry 1: path is '!'"),
        (
            "accepted:\n  - {path: '[z-a]', reason: b, until: 2027-01-01}\n",
            "entry 1: path is '[z-a]'",
        ),
        ("accepted:\n  - {path: *.sh, reason: b, until: 2027-01-01}\n", "patterns stand in quotes"),
    ],
)
def test_a_malformed_list_is_refused_in_one_line(
    small_service: Project, text: str, reason: str
) -> None:
    (small_service.folder / ACCEPTED).write_text(text)

    refused(slipway("drift", small_service.folder, fine=(0, 1, 2)), reason)


def test_healing_restores_content_kind_and_executable_bit(small_service: Project) -> None:
    fresh = worktree(small_service.folder)
    edit(small_service)
    before = state(small_service.folder)
    paths = ("Makefile", "run.sh", "link.txt", "dropped.txt")

    ran = slipway("drift", small_service.folder, *(f"--heal={path}" for path in paths), fine=(1,))

    found = worktree(small_service.folder)
    for path in paths:
        assert found[path] == fresh[path]
        assert f"healed {path}: " in ran.out
    assert states(drift(small_service)) == {"settings/plain.txt": "moved"}
    changed = {path for path in found if found[path] != before["worktree"].get(path)}
    assert changed == set(paths), "nothing else is written"
    assert state(small_service.folder)["index"] == before["index"]


def test_a_healed_service_is_fine(small_service: Project) -> None:
    replace(small_service.folder / "Makefile", "line 5\n", "line 5 of the service\n")
    small_service.commit()

    assert slipway("drift", small_service.folder, "--heal=Makefile", fine=(0,)).code == 0
    assert small_service.changed() == [" M Makefile"]


def unsaved(path: str) -> Callable[[Project], None]:
    def spoil(service: Project) -> None:
        (service.folder / path).write_text("mine\n")

    return spoil


def untracked(service: Project) -> None:
    git(service.folder, "rm", "--quiet", "Makefile")
    git(service.folder, "commit", "--quiet", "--message", "Remove")
    (service.folder / "Makefile").write_text("in no commit\n")


def a_folder(service: Project) -> None:
    git(service.folder, "rm", "--quiet", "Makefile")
    git(service.folder, "commit", "--quiet", "--message", "Remove")
    (service.folder / "Makefile").mkdir()
    (service.folder / "Makefile/mine.txt").write_text("in no commit\n")


@pytest.mark.parametrize(
    ("path", "spoil", "reason"),
    [
        ("Makefile", unsaved("Makefile"), "not committed, and healing overwrites it: Makefile:"),
        ("Makefile", untracked, "not committed, and healing overwrites it: Makefile:"),
        ("Makefile", a_folder, "Makefile"),
        ("README.md", unsaved("own.txt"), "README.md is no file of the template"),
        ("src/app.txt", unsaved("own.txt"), "src/app.txt is no file of the template"),
        ("own.txt", unsaved("own.txt"), "own.txt is no file of the template"),
        ("../outside.txt", unsaved("own.txt"), "is no file of the template"),
        (".copier-answers.yml", unsaved("own.txt"), "is no file of the template"),
    ],
)
def test_healing_is_refused_where_work_would_go(
    small_service: Project, path: str, spoil: Callable[[Project], None], reason: str
) -> None:
    spoil(small_service)
    before = worktree(small_service.folder)

    ran = slipway(
        "drift", small_service.folder, "--heal=dropped.txt", f"--heal={path}", fine=(0, 1, 2)
    )

    refused(ran, reason)
    assert worktree(small_service.folder) == before


def test_a_healed_file_replaces_a_link_and_follows_none(
    small_service: Project, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("not the service's\n")
    makefile = small_service.folder / "Makefile"
    makefile.unlink()
    makefile.symlink_to(outside)
    small_service.commit()

    slipway("drift", small_service.folder, "--heal=Makefile")

    assert fact(makefile)[0] == "file"
    assert outside.read_text() == "not the service's\n"


def test_healing_from_this_folder_takes_paths_of_the_service(
    small_service: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_service.folder / "settings/plain.txt").unlink()
    small_service.commit()
    monkeypatch.chdir(small_service.folder)

    slipway("drift", "--heal=./settings/plain.txt")

    assert (small_service.folder / "settings/plain.txt").exists()
