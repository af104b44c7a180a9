"""Where a service is and how git is set up there makes no difference to an update."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.services import once
from tests.update.project import NEW, OLD, Project, Template, commit, git
from tests.update.tiny import (
    Tiny,
    differences,
    fact,
    make_template,
    next_release_for_copier,
    replace,
    slipway,
    state,
    worktree,
)

ANSWERS = ".copier-answers.yml"
THIRD = "v1.2.0"
ODD_NAME = "Größe mit [Klammern] 'und' \"mehr\" $x"


def index(folder: Path) -> str:
    """Return what the index holds of a folder and the folders in it."""
    return git(folder, "ls-files", "--stage", "-z", ".")


def work(folder: Path) -> None:
    """Write and rename as a service does, in all that the release changes, and commit."""
    (folder / "Makefile").write_text(f"{(folder / 'Makefile').read_text()}own line\n")
    with (folder / "settings/before.txt").open("a") as file:
        file.write("the service's own line\n")
    (folder / "run.sh").rename(folder / "start.sh")
    (folder / "src" / f"{ODD_NAME}.txt").write_text("own\n")
    commit(folder, "Work")


@pytest.fixture(scope="module")
def worked(small: Tiny, shared: Path) -> Project:
    """Return a service with work in it. Tests clone it."""

    def make(folder: Path) -> None:
        small.clone(folder)
        work(folder)

    return Project(once(shared / "small-worked-on", make))


@pytest.fixture(scope="module")
def ordinary(worked: Project, shared: Path) -> Project:
    """Return the same after its update."""

    def make(folder: Path) -> None:
        worked.clone(folder)
        slipway("update", folder)

    return Project(once(shared / "small-ordinary", make))


@pytest.fixture
def service(worked: Project, tmp_path: Path) -> Project:
    return worked.clone(tmp_path / "service")


def same(folder: Path, ordinary: Project) -> None:
    """Compare an updated service with the ordinary one: the index and the files."""
    assert index(folder) == index(ordinary.folder)
    assert worktree(folder) == worktree(ordinary.folder)
    assert git(folder, "diff", "--name-only", ".") == ""


def test_an_ordinary_service_gets_what_the_release_brings(
    ordinary: Project, worked: Project
) -> None:
    """Symbolic links and executable files among it; the other tests compare with this."""
    folder = ordinary.folder
    assert fact(folder / "link.txt") == ("link", False, b"settings/plain.txt")
    assert fact(folder / "later.sh")[:2] == ("file", True)
    assert fact(folder / "start.sh")[:2] == ("file", True)
    assert not (folder / "run.sh").exists()
    assert (folder / "folder").read_text() == "was a folder\n"
    assert (folder / "thing/inside.txt").read_text() == "was a file\n"
    assert ordinary.read("settings/after.txt").endswith("the service's own line\n")
    assert "line 10 of the new release\n" in ordinary.read("Makefile")
    assert ordinary.read("Makefile").endswith("own line\n")
    assert ordinary.read("README.md") == worked.read("README.md")
    assert git(folder, "rev-parse", "HEAD") == git(worked.folder, "rev-parse", "HEAD")


def test_a_difference_to_the_ordinary_service_is_noticed(
    service: Project, ordinary: Project
) -> None:
    """The negative control."""
    slipway("update", service.folder)
    same(service.folder, ordinary)
    (service.folder / "later.sh").chmod(0o644)

    with pytest.raises(AssertionError):
        same(service.folder, ordinary)


def test_a_shallow_clone(service: Project, ordinary: Project, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", service.folder.as_uri(), str(shallow))
    assert git(shallow, "rev-list", "--count", "HEAD") == "1\n"

    slipway("update", shallow)

    same(shallow, ordinary)


def test_a_worktree(service: Project, ordinary: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(service.folder, "worktree", "add", "--quiet", "-b", "update", str(other))
    before = state(service.folder)

    slipway("update", other)

    same(other, ordinary)
    assert differences(before, state(service.folder)) == []
    slipway("update", other, "--abort")
    assert git(other, "status", "--porcelain") == ""


def test_a_submodule(service: Project, ordinary: Project, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    commit(whole, "Start")
    git(
        whole, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
        str(service.folder), "services/signups",
    )  # fmt: skip
    commit(whole, "Add the service")

    slipway("update", whole / "services/signups")

    same(whole / "services/signups", ordinary)
    assert git(whole, "status", "--porcelain") == " M services/signups\n"


def test_a_detached_head(service: Project, ordinary: Project) -> None:
    git(service.folder, "checkout", "--quiet", "--detach")

    slipway("update", service.folder)

    same(service.folder, ordinary)


def test_a_folder_of_a_larger_repository(
    service: Project, ordinary: Project, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    inside = whole / "services" / ODD_NAME
    shutil.copytree(service.folder, inside, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (whole / "Makefile").write_text("of all services\n")
    commit(whole, "Start")
    (whole / "Makefile").write_text("not committed\n")
    (whole / "added").write_text("in no commit\n")

    slipway("update", inside)

    same(inside, ordinary)
    status = git(whole, "status", "--porcelain", "-z", ".").split("\0")
    assert {" M Makefile", "?? added"} <= {*status}
    assert (whole / "Makefile").read_text() == "not committed\n"
    slipway("update", inside, "--abort")
    assert git(whole, "status", "--porcelain") == " M Makefile\n?? added\n"


def test_a_path_with_blanks_umlauts_and_quotes(
    worked: Project, ordinary: Project, tmp_path: Path
) -> None:
    service = worked.clone(tmp_path / ODD_NAME / "ein Dienst")
    (service.folder / f"{ODD_NAME} in no commit").write_text("mine\n")

    slipway("update", service.folder)

    assert index(service.folder) == index(ordinary.folder)
    assert (service.folder / f"{ODD_NAME} in no commit").read_text() == "mine\n"


def test_this_folder_is_the_default(
    service: Project, ordinary: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(service.folder)

    slipway("update")

    same(service.folder, ordinary)


def test_a_repository_that_names_objects_otherwise(service: Project, ordinary: Project) -> None:
    shutil.rmtree(service.folder / ".git")
    git(service.folder, "init", "--quiet", "--object-format=sha256")
    service.commit("Start")

    slipway("update", service.folder)

    assert worktree(service.folder) == worktree(ordinary.folder)
    assert git(service.folder, "diff", "--name-only") == ""


def test_a_checkout_with_the_line_ends_of_windows(
    service: Project, ordinary: Project, tmp_path: Path
) -> None:
    windows = tmp_path / "windows"
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(service.folder), str(windows))
    assert b"\r\n" in (windows / "Makefile").read_bytes()

    slipway("update", windows)

    assert index(windows) == index(ordinary.folder)
    for name in ("Makefile", "added/new.txt", ANSWERS, "settings/after.txt"):
        content = (windows / name).read_bytes()
        assert content.replace(b"\r\n", b"\n") == (ordinary.folder / name).read_bytes()
        assert content.count(b"\r\n") == content.count(b"\n") > 0
    assert git(windows, "diff", "--name-only") == ""
    slipway("update", windows, "--abort")
    assert git(windows, "status", "--porcelain") == ""


ODD_SETTINGS: Mapping[str, str] = {
    "merge.conflictStyle": "merge",
    "merge.renames": "false",
    "merge.directoryRenames": "true",
    "merge.ff": "only",
    "diff.renames": "false",
    "diff.noprefix": "true",
    "diff.external": "false",
    "diff.algorithm": "patience",
    "commit.gpgSign": "true",
    "tag.gpgSign": "true",
    "user.signingKey": "none",
    "gpg.program": "false",
    "log.showSignature": "true",
    "core.quotePath": "true",
    "core.abbrev": "12",
    "core.pager": "false",
    "core.editor": "false",
    "core.splitIndex": "true",
    "core.untrackedCache": "true",
    "core.safecrlf": "true",
    "core.excludesFile": "excluded",
    "index.version": "4",
    "color.ui": "always",
    "column.ui": "always",
    "status.short": "true",
    "status.branch": "true",
    "status.showUntrackedFiles": "all",
    "status.relativePaths": "false",
    "init.defaultBranch": "trunk",
    "fetch.prune": "true",
    "clone.defaultRemoteName": "upstream",
    "submodule.recurse": "true",
    "tag.sort": "-version:refname",
    "rerere.enabled": "true",
    "pull.rebase": "true",
    "help.autoCorrect": "immediate",
}
HOOKS = (
    "pre-commit",
    "commit-msg",
    "post-checkout",
    "post-merge",
    "pre-merge-commit",
    "post-index-change",
)


@pytest.fixture
def odd_git(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which git is set up as nobody expects."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in HOOKS:
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "excluded").write_text("added\nsettings\n*.txt\n")
    settings = {
        **ODD_SETTINGS,
        "core.excludesFile": str(tmp_path / "excluded"),
        "core.hooksPath": str(hooks),
    }
    file = tmp_path / "gitconfig"
    for name, value in settings.items():
        git(tmp_path, "config", "--file", str(file), name, value)
    return {"GIT_CONFIG_GLOBAL": str(file)}


def test_a_git_that_is_set_up_oddly(
    service: Project, ordinary: Project, odd_git: dict[str, str]
) -> None:
    before = state(service.folder)
    preview = json.loads(
        slipway("preview", service.folder, "--json", "--diff", environment=odd_git).out
    )
    assert preview == json.loads(slipway("preview", service.folder, "--json", "--diff").out)

    slipway("update", service.folder, environment=odd_git)

    same(service.folder, ordinary)
    slipway("update", service.folder, "--abort", environment=odd_git)
    assert differences(before, state(service.folder)) == []
    assert slipway("drift", service.folder, fine=(1,), environment=odd_git) == slipway(
        "drift", service.folder, fine=(1,)
    )


def test_conflicts_have_a_base_section_whatever_git_is_told(
    service: Project, odd_git: dict[str, str]
) -> None:
    replace(service.folder / "Makefile", "line 10\n", "line 10 of the service\n")
    service.commit()

    slipway("update", service.folder, fine=(1,), environment=odd_git)

    markers = [line for line in service.read("Makefile").splitlines() if line[:7] in MARKERS]
    assert markers == [
        "<<<<<<< service", f"||||||| template-{OLD}", "=======", f">>>>>>> template-{NEW}"
    ]  # fmt: skip
    stages = git(service.folder, "ls-files", "--unmerged", "--", "Makefile").splitlines()
    assert [line.split()[2] for line in stages] == ["1", "2", "3"]


MARKERS = ("<" * 7, "|" * 7, "=" * 7, ">" * 7)


def test_from_a_hook_of_another_repository(
    service: Project, ordinary: Project, tmp_path: Path
) -> None:
    """Git tells its hooks by the environment which repository they are for."""
    other = Project(tmp_path / "other")
    other.folder.mkdir()
    other.commit("Start")
    before = state(other.folder)
    place = str(other.folder / ".git")
    of_a_hook = {
        "GIT_DIR": place, "GIT_INDEX_FILE": f"{place}/index", "GIT_WORK_TREE": str(other.folder)
    }  # fmt: skip

    slipway("update", service.folder, environment=of_a_hook)

    same(service.folder, ordinary)
    assert differences(before, state(other.folder)) == []


def test_a_terminal_that_knows_few_letters(service: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "preview", service.folder],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--data size=? changes it" in done.stdout


def everything(folder: Path) -> dict[str, tuple[str, bool, bytes]]:
    """Return all of a repository, byte by byte, git's own part included."""
    return {path.relative_to(folder).as_posix(): fact(path) for path in sorted(folder.rglob("*"))}


def test_a_preview_writes_nothing(service: Project) -> None:
    replace(service.folder / "Makefile", "line 10\n", "line 10 of the service\n")
    service.commit()
    # Its entry in the index is stale: whoever refreshes the index, writes.
    os.utime(service.folder / "Makefile", (1, 1))
    (service.folder / "untracked.txt").write_text("mine\n")
    before = everything(service.folder)

    for options in ([], ["--diff"], ["--json"], ["--data=colour=green"], [f"--to={OLD}"]):
        slipway("preview", service.folder, *options, fine=(0, 1))
    slipway("drift", service.folder, fine=(0, 1))

    assert everything(service.folder) == before


def test_an_update_writes(service: Project) -> None:
    """The negative control of "writes nothing"."""
    before = everything(service.folder)

    slipway("update", service.folder)

    assert everything(service.folder) != before


def test_a_preview_says_what_the_update_then_does(service: Project) -> None:
    replace(service.folder / "Makefile", "line 10\n", "line 10 of the service\n")
    service.commit()

    plain = slipway("preview", service.folder, fine=(1,)).out.splitlines()
    preview = json.loads(slipway("preview", service.folder, "--json", "--diff", fine=(1,)).out)
    update = json.loads(slipway("update", service.folder, "--json", fine=(1,)).out)

    patch = preview.pop("diff")
    assert preview == update
    assert (update["from"], update["to"]) == (OLD, NEW)
    assert update["conflicts"] == ["Makefile"]
    assert set(update["new_answers"]) == {"size", "secret"}
    rows = {(file["status"], file["path"]) for file in update["files"]}
    assert {tuple(line.split()[:2]) for line in plain[1 : len(rows) + 1]} == rows
    assert ("conflict", "Makefile") in rows
    assert ("moved", "settings/after.txt") in rows
    listed = git(service.folder, "diff", "HEAD", "--name-only", "-z", "--no-renames")
    changed = {path for path in listed.split("\0") if path}
    assert changed - {ANSWERS, "settings/before.txt"} == {file["path"] for file in update["files"]}
    assert all(path in patch for path in changed)


def test_the_patch_of_a_preview_is_the_update(service: Project, ordinary: Project) -> None:
    patch = json.loads(slipway("preview", service.folder, "--json", "--diff").out)["diff"]
    (service.folder / "update.patch").write_text(patch)

    git(service.folder, "update-index", "-q", "--refresh")
    git(service.folder, "apply", "--index", "update.patch")

    (service.folder / "update.patch").unlink()
    same(service.folder, ordinary)


def test_nothing_to_do_is_said_and_nothing_is_written(service: Project) -> None:
    slipway("update", service.folder)
    service.commit("Update")
    before = everything(service.folder)

    ran = slipway("update", service.folder)

    assert ran.out == f"nothing to do: {NEW} is up to date\n"
    assert everything(service.folder) == before
    assert json.loads(slipway("update", service.folder, "--json").out)["files"] == []


def third_release(folder: Path) -> None:
    replace(folder / "template/settings/plain.txt", "line 3\n", "line 3 of the third release\n")
    with (folder / "copier.yml").open("a") as file:
        file.write('\nshape:\n  type: str\n  help: Shape of it\n  default: "größe: [a]"\n')


@pytest.fixture(scope="module")
def three_releases(shared: Path) -> Template:
    def make(folder: Path) -> None:
        make_template(folder)
        template = Template(folder).release(next_release_for_copier)
        template.release(third_release, tag=THIRD)

    return Template(once(shared / "three-releases", make))


@pytest.mark.parametrize("first", ["copier", "slipway"])
def test_copier_and_slipway_in_turn(three_releases: Template, tmp_path: Path, first: str) -> None:
    by_copier = Project(tmp_path / "copier").copy(three_releases, {}).commit("Start")
    in_turn = by_copier.clone(tmp_path / "in-turn")
    order = ["copier", "slipway"] if first == "copier" else ["slipway", "copier"]

    for tool, version in zip(order, (NEW, THIRD), strict=True):
        by_copier.update(ref=version).commit("Update")
        if tool == "copier":
            in_turn.update(ref=version)
        else:
            slipway("update", in_turn.folder, f"--to={version}")
        in_turn.commit("Update")

        assert in_turn.read(ANSWERS) == by_copier.read(ANSWERS)
        assert in_turn.files() == by_copier.files()
    assert "größe" in in_turn.read(ANSWERS)
