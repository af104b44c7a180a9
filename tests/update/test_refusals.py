"""What an update refuses: in one line that says what to do, and before anything is touched."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from tests.update.project import NEW, OLD, UNSIGNED, Project, commit, git
from tests.update.tiny import Tiny, differences, refused, replace, slipway, state

ANSWERS = ".copier-answers.yml"
Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Refusal:
    """One way in which a service is not fit to be updated.

    Attributes:
        spoil: is given the service's folder.
        reason: what the one line holds.
        options: what stands on the command line besides the folder.

    """

    spoil: Spoil
    reason: str
    options: tuple[str, ...] = ()


def as_it_is(folder: Path) -> None:
    pass


def all_of(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil


def write(path: str, text: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    return spoil


def answer(old: str, new: str) -> Spoil:
    return lambda folder: replace(folder / ANSWERS, old, new)


def committed(spoil: Spoil) -> Spoil:
    def both(folder: Path) -> None:
        spoil(folder)
        commit(folder, "Edit")

    return both


def without(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        lines = (folder / ANSWERS).read_text().splitlines(keepends=True)
        (folder / ANSWERS).write_text("".join(x for x in lines if not x.startswith(name)))

    return committed(spoil)


def source(address: str) -> Spoil:
    def spoil(folder: Path) -> None:
        recorded = yaml.safe_load((folder / ANSWERS).read_text())["_src_path"]
        replace(folder / ANSWERS, recorded, address)

    return committed(spoil)


def git_stops(*command: str) -> Spoil:
    """Return what lets a command of git stop at a conflict."""

    def spoil(folder: Path) -> None:
        git(folder, "checkout", "--quiet", "-b", "other")
        committed(write("src/app.txt", "one\n"))(folder)
        git(folder, "checkout", "--quiet", "main")
        committed(write("src/app.txt", "two\n"))(folder)
        done = subprocess.run(
            ["git", "-C", folder, *UNSIGNED, *command], capture_output=True, check=False
        )
        assert done.returncode != 0

    return spoil


def stash_pop(folder: Path) -> None:
    write("src/app.txt", "one\n")(folder)
    git(folder, "stash")
    committed(write("src/app.txt", "two\n"))(folder)
    subprocess.run(["git", "-C", folder, "stash", "pop"], capture_output=True, check=False)


def ignored(path: str, text: str) -> Spoil:
    return all_of(write(".git/info/exclude", f"/{path}\n"), write(path, text))


def overlooked(option: str) -> Spoil:
    def spoil(folder: Path) -> None:
        git(folder, "update-index", option, "Makefile")
        write("Makefile", "local settings\n")(folder)

    return spoil


def no_commit(folder: Path) -> None:
    shutil.rmtree(folder / ".git")
    git(folder, "init", "--quiet")


REFUSALS = {
    "answers that are no YAML": Refusal(
        committed(answer("colour: red", "colour: [red")), f"{ANSWERS}, line "
    ),
    "answers with an impossible date": Refusal(
        committed(answer("colour: red", "colour: 2026-13-45")), f"{ANSWERS} is no YAML"
    ),
    "answers that are no text": Refusal(
        committed(lambda folder: (folder / ANSWERS).write_bytes(b"\xff\xfe\x00")), "is no YAML"
    ),
    "answers that are a list": Refusal(
        committed(write(ANSWERS, "- red\n")), "holds no answers: take it from an earlier commit"
    ),
    "answers that are empty": Refusal(committed(write(ANSWERS, "")), "holds no answers"),
    "no version": Refusal(without("_commit"), "has no _commit"),
    "no template": Refusal(without("_src_path"), "has no _src_path"),
    "no answers file": Refusal(
        committed(lambda folder: (folder / ANSWERS).unlink()), f"no {ANSWERS} is committed"
    ),
    "a recorded version that is unknown": Refusal(
        committed(answer(OLD, "v9.9.9")), f"has no version v9.9.9: it has {OLD}, {NEW}"
    ),
    "a wanted version that is unknown": Refusal(as_it_is, "no version v7", ("--to=v7",)),
    "an option as a version": Refusal(as_it_is, "no version --all", ("--to=--all",)),
    "an older version": Refusal(
        committed(answer(OLD, NEW)), f"{OLD} is older than the service's {NEW}", (f"--to={OLD}",)
    ),
    "a template that has moved": Refusal(source("/nowhere/template"), "with --template"),
    "a template that is no template": Refusal(as_it_is, "cannot be read", ("--template=/",)),
    "no network": Refusal(source("https://127.0.0.1:1/template.git"), "check the network"),
    "a relative address": Refusal(source("../template"), "is relative: give its URL"),
    "answers edited and not committed": Refusal(
        answer("colour: red", "colour: green"), "--data name=value"
    ),
    "answers edited and staged": Refusal(
        all_of(answer("colour: red", "colour: green"), lambda folder: git(folder, "add", ANSWERS)),
        "not committed",
    ),
    "answers edited and committed": Refusal(
        committed(answer("colour: red", "colour: green")), "edited by hand in "
    ),
    "answers edited to a value that is refused": Refusal(
        committed(answer("colour: red", "colour: purple")),
        f"{OLD} does not accept colour: 'purple'",
    ),
    "an unknown question": Refusal(
        as_it_is, "no such question: did you mean colour?", ("--data=color=green",)
    ),
    "an unknown question like none": Refusal(
        as_it_is, "it asks service_name, colour, size, secret", ("--data=qqqqq=1",)
    ),
    "a value that is refused": Refusal(as_it_is, "purple", ("--data=colour=purple",)),
    "a value that the validator refuses": Refusal(
        as_it_is, "x-1 is not a name", ("--data=service_name=x-1",)
    ),
    "data without a value": Refusal(as_it_is, "write it as name=value", ("--data=colour",)),
    "data without a name": Refusal(as_it_is, "write it as name=value", ("--data==red",)),
    "both ways": Refusal(as_it_is, "choose one", ("--abort", "--continue")),
    "nothing to finish": Refusal(as_it_is, "no update is under way", ("--continue",)),
    "nothing to take back": Refusal(as_it_is, "no update is under way", ("--abort",)),
    "no repository": Refusal(
        lambda folder: shutil.rmtree(folder / ".git"), "is not in a git repository: git init"
    ),
    "no commit yet": Refusal(no_commit, "has no commit yet: commit everything"),
    "a merge": Refusal(git_stops("merge", "other"), "a merge is under way"),
    "a cherry-pick": Refusal(git_stops("cherry-pick", "other"), "a cherry-pick is under way"),
    "a rebase": Refusal(git_stops("rebase", "other"), "a rebase is under way"),
    "an apply": Refusal(git_stops("rebase", "--apply", "other"), "a rebase is under way"),
    "a revert": Refusal(git_stops("revert", "--no-edit", "HEAD~"), "a revert is under way"),
    "files in conflict": Refusal(stash_pop, "files are in conflict"),
    "an edit that is not committed": Refusal(
        write("Makefile", "mine\n"), "not committed, and the update changes it: Makefile:"
    ),
    "an edit that is staged": Refusal(
        all_of(write("Makefile", "mine\n"), lambda folder: git(folder, "add", "Makefile")),
        "the update changes it: Makefile:",
    ),
    "a deletion that is not committed": Refusal(
        lambda folder: (folder / "dropped.txt").unlink(), "changes it: dropped.txt:"
    ),
    "a mode that is not committed": Refusal(
        lambda folder: (folder / "later.sh").chmod(0o755), "changes it: later.sh:"
    ),
    "an edit that git overlooks": Refusal(overlooked("--assume-unchanged"), "Makefile"),
    "an edit of a file that is left out": Refusal(overlooked("--skip-worktree"), "Makefile"),
    "an untracked file in the way": Refusal(
        write("added/new.txt", "mine\n"), "not in git, and the update writes there: added/new.txt:"
    ),
    "an ignored file in the way": Refusal(
        ignored("added/new.txt", "mine\n"), "the update writes there: added/new.txt:"
    ),
    "the same content in the way": Refusal(
        write("added/new.txt", "new\n"), "the update writes there: added/new.txt:"
    ),
    "a folder where a file goes": Refusal(
        write("folder/mine.txt", "mine\n"), "the update writes there: folder/mine.txt:"
    ),
    "a file where a folder goes": Refusal(
        write("added", "mine\n"), "the update writes there: added:"
    ),
    "a link where a folder goes": Refusal(
        lambda folder: (folder / "added").symlink_to("src"), "the update writes there: added:"
    ),
    "a dangling link in the way": Refusal(
        all_of(
            lambda folder: (folder / "added").mkdir(),
            lambda folder: (folder / "added/new.txt").symlink_to("nowhere"),
        ),
        "the update writes there: added/new.txt:",
    ),
    "a failure of the system": Refusal(write(".git/slipway", ""), "File exists"),
    "another process at work": Refusal(write(".git/index.lock", ""), "index.lock"),
}


def all_that_is_there(folder: Path) -> dict[str, Any]:
    """Return everything that a refusal must leave alone."""
    there = (folder / ".git/HEAD").exists()
    has_commit = there and any((folder / ".git/refs/heads").iterdir())
    found = state(folder) if has_commit else {"worktree": {}}
    kept = [path for path in sorted(folder.rglob("*")) if "objects" not in path.parts]
    return {
        **found,
        "everything": {
            path: path.read_bytes() for path in kept if path.is_file() and path.name != "index"
        },
    }


def refuse(
    folder: Path,
    *arguments: str | Path,
    reason: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run a command that must refuse, and compare all that is there before and afterwards."""
    before = all_that_is_there(folder)
    ran = slipway(*arguments, fine=(0, 1, 2), environment=environment)
    refused(ran, reason)
    assert differences(before, all_that_is_there(folder)) == []


@pytest.mark.parametrize("name", REFUSALS)
def test_an_update_is_refused_in_one_line_and_nothing_is_touched(
    small_service: Project, name: str
) -> None:
    refusal = REFUSALS[name]
    refusal.spoil(small_service.folder)

    refuse(
        small_service.folder,
        "update",
        small_service.folder,
        *refusal.options,
        reason=refusal.reason,
    )


def test_without_a_reason_the_same_service_is_updated(small_service: Project) -> None:
    """The negative control: it is what was spoilt that was refused."""
    before = all_that_is_there(small_service.folder)

    with pytest.raises(AssertionError):
        refused(slipway("update", small_service.folder), "")

    assert {"Makefile", "index", "everything"} <= {
        *differences(before, all_that_is_there(small_service.folder))
    }


@pytest.mark.parametrize("command", ["preview", "drift"])
@pytest.mark.parametrize(
    "name",
    [
        "answers that are no YAML",
        "no answers file",
        "a recorded version that is unknown",
        "a template that has moved",
        "answers edited and not committed",
        "no repository",
        "no commit yet",
    ],
)
def test_the_other_commands_refuse_what_they_cannot_read(
    small_service: Project, command: str, name: str
) -> None:
    refusal = REFUSALS[name]
    refusal.spoil(small_service.folder)

    refuse(small_service.folder, command, small_service.folder, reason=refusal.reason)


def test_an_older_git_is_refused(small_service: Project, tmp_path: Path) -> None:
    real = shutil.which("git")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(
        "#!/bin/sh\n"
        'for each; do [ "$each" = version ] && { echo git version 2.37.7; exit; }; done\n'
        f'exec {real} "$@"\n'
    )
    (tools / "git").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    for command in ("update", "preview", "drift"):
        refuse(
            small_service.folder, command, small_service.folder,
            reason="git 2.37.7 is too old: install git 2.38 or newer", environment={"PATH": path},
        )  # fmt: skip


def test_without_git_it_says_so(small_service: Project, tmp_path: Path) -> None:
    refuse(
        small_service.folder,
        "update",
        small_service.folder,
        reason="install git",
        environment={"PATH": str(tmp_path)},
    )


def test_a_template_that_wants_trust_is_refused(small: Tiny, tmp_path: Path) -> None:
    template = small.template.clone(tmp_path / "template")

    def add_a_task(folder: Path) -> None:
        with (folder / "copier.yml").open("a") as file:
            file.write('\n_tasks: ["touch ran"]\n')

    template.release(add_a_task, tag="v1.2.0")
    service = Project(tmp_path / "service").copy(template, {}).commit()

    refuse(service.folder, "update", service.folder, reason="tasks")
    assert not (service.folder / "ran").exists()


def test_a_release_that_does_not_render_is_refused(small: Tiny, tmp_path: Path) -> None:
    template = small.template.clone(tmp_path / "template")

    def break_a_file(folder: Path) -> None:
        (folder / "template/broken.jinja").write_text("[[ nothing ]]")

    template.release(break_a_file, tag="v1.2.0")
    service = Project(tmp_path / "service").copy(template, {}).commit()

    refuse(service.folder, "update", service.folder, reason="'nothing' is undefined")


def test_the_new_address_of_a_template_puts_it_right(small: Tiny, small_service: Project) -> None:
    folder = small_service.folder
    source("/nowhere/template")(folder)

    slipway("update", folder, f"--template={small.template.folder}")

    assert f"_src_path: {small.template.folder}\n" in small_service.read(ANSWERS)
    assert f"_commit: {NEW}\n" in small_service.read(ANSWERS)


def test_an_answer_that_was_given_anew_is_no_edit_by_hand(small_service: Project) -> None:
    """Whether it changed other files or none."""
    for number, data in enumerate(("colour=green", "size=large", "colour=blue")):
        to = f"--to={OLD}" if number == 0 else f"--to={NEW}"
        slipway("update", small_service.folder, to, f"--data={data}")
        small_service.commit("Answer anew")

    assert "nothing to do" in slipway("update", small_service.folder).out
    assert (small_service.folder / "settings/blue.txt").exists()
    assert not (small_service.folder / "settings/red.txt").exists()


def test_answers_of_an_update_in_a_commit_of_their_own_are_no_edit_by_hand(
    small_service: Project,
) -> None:
    folder = small_service.folder
    slipway("update", folder, f"--to={OLD}", "--data=colour=green")
    git(folder, "reset", "--quiet")
    git(folder, "commit", "--quiet", "--message", "Answers", "--only", ANSWERS)
    small_service.commit("The rest")

    slipway("update", folder)

    assert (folder / "settings/green.txt").exists()


def test_what_the_update_does_not_touch_may_be_edited(small_service: Project) -> None:
    folder = small_service.folder
    for path in ("README.md", "src/app.txt", "settings/quiet.txt", "untracked.txt", ".env"):
        (folder / path).write_text("mine\n")
    (folder / "seeds/first.txt").unlink()
    git(folder, "add", "src/app.txt")

    slipway("update", folder)

    for path in ("README.md", "src/app.txt", "settings/quiet.txt", "untracked.txt", ".env"):
        assert small_service.read(path) == "mine\n"
    status = small_service.changed()
    assert {" M README.md", "M  src/app.txt", " M settings/quiet.txt", "?? untracked.txt"} <= {
        *status
    }
    assert " D seeds/first.txt" in status


@pytest.mark.parametrize(
    "name",
    [
        "answers that are no YAML",
        "answers edited and committed",
        "answers edited to a value that is refused",
    ],
)
def test_what_the_line_says_puts_it_right(small_service: Project, name: str) -> None:
    folder = small_service.folder
    REFUSALS[name].spoil(folder)
    refused(slipway("update", folder, fine=(2,)), REFUSALS[name].reason)

    git(folder, "checkout", "--quiet", "HEAD~", "--", ANSWERS)
    small_service.commit("Put it right")

    slipway("update", folder)
    assert f"_commit: {NEW}\n" in small_service.read(ANSWERS)
