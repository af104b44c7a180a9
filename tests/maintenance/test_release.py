"""`make release` makes a whole release or none, and what was never released is written down."""

import os
import re
import shutil
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.version import Version
from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.git import git
from slipway.maintainers.answer_sets import ANSWER_SETS
from slipway.maintainers.history import Release, release_commit, released_versions, releases
from slipway.maintainers.interface import Level, demands_of_questions, smallest_version
from slipway.maintainers.notes import NOTES, UNRELEASED, unreleased
from slipway.maintainers.release import (
    FORBIDDEN,
    examine,
    read_settings,
    refuse_trust,
    release,
)
from slipway.maintainers.rendered import Renders, gone, unprotected
from slipway.rendering import snapshot

from tests.maintenance.conftest import Repository
from tests.product import COPIER_YML, ROOT, files
from tests.services import Services, once

SETS = {
    "plain": {"service_name": "signups", "title": "Sign-ups"},
    "stored": {"service_name": "billing", "title": "Bills", "datastore": "postgres"},
}
DAY = date(2026, 12, 1)
PASS = ("true",)
SECTIONS = "# Title\n\n## Unreleased\n\nNothing to do.\n\n## 1.2.3 - 2026-11-24\n\nThe first.\n"
QUESTION = "region:\n  type: str\n  help: Where it runs\n"


@pytest.fixture
def repository(repository: Repository) -> Repository:
    """Return a template with one release, and a change since that any version may carry."""
    for name in NOTES:
        repository.write(name, SECTIONS)
    repository.write("pyproject.toml", '[project]\nname = "small"\nversion = "1.2.3"\n')
    repository.write("template/[% if datastore == 'postgres' %]dump.sh[% endif %]", "old\n")
    repository.write("Makefile", "check:\n\t@true\n")
    for name, value in {
        "user.name": "Tests",
        "user.email": "tests@example.com",
        "commit.gpgSign": "false",
        "tag.gpgSign": "false",
        "core.hooksPath": str(repository.folder / ".git" / "hooks"),
    }.items():
        git(repository.folder, "config", name, value)
    repository.commit()
    git(repository.folder, "tag", "--annotate", "--message", "Release 1.2.3", "v1.2.3")
    repository.replace("template/Makefile.jinja", "PORT =", "PORT :=")
    repository.commit()
    return repository


@pytest.fixture
def uv() -> None:
    if "UV" not in os.environ and shutil.which("uv") is None:
        pytest.skip("uv is not on the PATH: make test brings it")


def state(folder: Path) -> tuple[object, ...]:
    """Return all that a release may change."""
    return (
        files(folder),
        git(folder, "status", "--porcelain"),
        git(folder, "for-each-ref"),
        git(folder, "symbolic-ref", "HEAD"),
        git(folder, "worktree", "list"),
    )


def look(repository: Repository, version: str) -> None:
    examine(repository.folder, version, answer_sets=SETS, check=("make", "--silent", "check"))


# --- a release ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("uv")
def test_a_release_is_one_commit_and_one_annotated_tag(repository: Repository) -> None:
    before = git(repository.folder, "rev-parse", "HEAD")

    said = release(repository.folder, "1.2.4", on=DAY, answer_sets=SETS)

    folder = repository.folder
    assert said.endswith("\n  git push --follow-tags\n")
    assert git(folder, "rev-parse", "HEAD^") == before
    assert git(folder, "log", "-1", "--format=%s") == b"Release 1.2.4\n"
    assert git(folder, "cat-file", "-t", "v1.2.4") == b"tag\n"
    assert git(folder, "rev-parse", "v1.2.4^{commit}") == git(folder, "rev-parse", "main")
    assert git(folder, "status", "--porcelain") == b""
    for name in NOTES:
        text = (folder / name).read_text()
        assert "\n\n## 1.2.4 - 2026-12-01\n\nNothing to do.\n\n## 1.2.3 - 2026-11-24\n" in text
        assert UNRELEASED not in text
    assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"] == "1.2.4"
    (locked,) = tomllib.loads((folder / "uv.lock").read_text())["package"]
    assert locked["version"] == "1.2.4"
    assert [one.version for one in releases(folder)] == ["1.2.4", "1.2.3"]


@pytest.mark.usefixtures("uv")
def test_this_repository_can_be_released(tmp_path: Path) -> None:
    """In a clone; what the versions render is compared by the tests below."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    for name in ("user.name", "user.email"):
        git(clone, "config", name, "tests@example.com")
    for name in ("commit.gpgSign", "tag.gpgSign"):
        git(clone, "config", name, "false")
    for name in NOTES:
        text = (clone / name).read_text()
        if not unreleased(text):
            text = re.sub(r"(?m)^(?=## \d)", f"{UNRELEASED}\n\nSomething.\n\n", text, count=1)
            (clone / name).write_text(text)
    git(clone, "commit", "--quiet", "--allow-empty", "--all", "--message", "Something")
    current = Version(tomllib.loads((clone / "pyproject.toml").read_text())["project"]["version"])
    version = f"{current.major + 1}.0.0"

    release(clone, version, on=DAY, answer_sets={"plain": SETS["plain"]}, check=PASS)

    changed = git(clone, "diff", "--name-only", "HEAD^").decode().split()
    assert changed == ["CHANGELOG.md", "UPGRADING.md", "pyproject.toml", "uv.lock"]
    assert git(clone, "diff", "--shortstat", "HEAD^", "--", "uv.lock") == (
        b" 1 file changed, 1 insertion(+), 1 deletion(-)\n"
    )
    assert git(clone, "describe") == f"v{version}\n".encode()


def test_a_release_without_its_tag_is_found_by_its_subject(repository: Repository) -> None:
    folder = repository.folder
    git(folder, "tag", "--delete", "v1.2.3")
    with pytest.raises(SlipwayError, match=r"names 1\.2\.3, and history has no such release"):
        releases(folder)
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Release 1.2.3")

    assert releases(folder) == [Release("1.2.3", git(folder, "rev-parse", "HEAD").decode().strip())]


# --- what is in the way ---------------------------------------------------------------------------


def add_file(repository: Repository) -> None:
    repository.write("untracked.txt", "\n")


def edit_file(repository: Repository) -> None:
    repository.write("Makefile", "check:\n")


def leave_the_branch(repository: Repository) -> None:
    git(repository.folder, "checkout", "--quiet", "--detach")


def tag(repository: Repository) -> None:
    git(repository.folder, "tag", "v1.2.4")


def committed(file: str, old: str, new: str) -> Callable[[Repository], None]:
    def change(repository: Repository) -> None:
        repository.replace(file, old, new)
        repository.commit()

    return change


def remove(*names: str) -> Callable[[Repository], None]:
    def change(repository: Repository) -> None:
        git(repository.folder, "rm", "--quiet", *(f"template/{name}" for name in names))
        repository.commit()

    return change


class Hindrance(NamedTuple):
    """What is done to a repository that could be released, and what the refusal says."""

    spoil: Callable[[Repository], None]
    says: str


SAID = "## Unreleased\n\nNothing to do.\n"
DUMP = "[% if datastore == 'postgres' %]dump.sh[% endif %]"
HINDRANCES = {
    "a new file": Hindrance(add_file, "not committed: untracked.txt; commit or remove them"),
    "an edited file": Hindrance(edit_file, "not committed: Makefile; commit or remove them"),
    "no branch": Hindrance(leave_the_branch, "HEAD is on no branch: git switch to the one"),
    "a tag": Hindrance(tag, "the tag v1.2.4 is there: name another version"),
    "no changelog": Hindrance(
        committed("CHANGELOG.md", SAID, ""), "CHANGELOG.md says nothing under ## Unreleased: write"
    ),
    "headings alone": Hindrance(
        committed("CHANGELOG.md", SAID, "## Unreleased\n\n### Added\n"),
        "CHANGELOG.md says nothing under ## Unreleased: write",
    ),
    "no upgrade notes": Hindrance(
        committed("UPGRADING.md", SAID, ""),
        "UPGRADING.md says nothing under ## Unreleased: write what this version brings",
    ),
    **{
        name: Hindrance(
            committed("copier.yml", "service_name:\n", f"{name}: [x]\n\nservice_name:\n"),
            f"copier.yml has {name}: take it out, or every update of every service needs --trust",
        )
        for name in FORBIDDEN
    },
    "a file gone": Hindrance(
        remove("Makefile.jinja"),
        "add to _exclude in copier.yml, so that an update keeps a service's edits: /Makefile",
    ),
    "a file gone behind an answer": Hindrance(remove(DUMP), "edits: /dump.sh (rendered by 1.2.3)"),
    "a new question": Hindrance(
        committed("copier.yml", "title:\n", f"{QUESTION}  default: x\ntitle:\n"),
        "1.2.4 is too small: the question region is new; name 1.3.0 or greater",
    ),
    "a question without a default": Hindrance(
        committed("copier.yml", "  default: The [[ service_name ]]\n", ""),
        "1.2.4 is too small: the question title has no default; name 2.0.0 or greater",
    ),
    "code that the linters refuse": Hindrance(
        committed("Makefile", "@true", "@exit 1"),
        "make --silent check found something, see above: put it right first",
    ),
}


def test_nothing_is_in_the_way_of_an_unspoilt_repository(repository: Repository) -> None:
    """The control of each refusal below."""
    look(repository, "1.2.4")


@pytest.mark.parametrize("name", HINDRANCES)
def test_what_is_in_the_way_is_one_line(name: str, repository: Repository) -> None:
    HINDRANCES[name].spoil(repository)
    before = files(repository.folder)

    with pytest.raises(SlipwayError) as refusal:
        look(repository, "1.2.4")

    assert HINDRANCES[name].says in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert files(repository.folder) == before


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("", "'' is not a version: make release VERSION=X.Y.Z"),
        ("v1.2.4", "'v1.2.4' is not a version"),
        ("1.3", "'1.3' is not a version"),
        ("1.2.4rc1", "'1.2.4rc1' is not a version"),
        ("01.2.4", "'01.2.4' is not a version"),
        ("1.2.4\n", "is not a version"),
        ("1.2.3", "1.2.3 does not follow 1.2.3: name a greater version"),
        ("1.1.9", "1.1.9 does not follow 1.2.3"),
    ],
)
def test_a_version_that_cannot_follow_is_refused(
    version: str, says: str, repository: Repository
) -> None:
    with pytest.raises(SlipwayError, match=re.escape(says)):
        look(repository, version)


@pytest.mark.parametrize("name", ["a new question", "a question without a default"])
def test_a_version_large_enough_is_taken(name: str, repository: Repository) -> None:
    HINDRANCES[name].spoil(repository)
    look(repository, "2.0.0")


def test_a_file_that_is_excluded_may_go(repository: Repository) -> None:
    remove(DUMP)(repository)
    committed("copier.yml", "_exclude: [", "_exclude: [/dump.sh, ")(repository)
    look(repository, "1.3.0")
    with pytest.raises(SlipwayError, match=r"too small: dump\.sh is gone; name 1\.3\.0"):
        look(repository, "1.2.4")


def test_a_file_that_went_two_releases_ago_stays_excluded(repository: Repository) -> None:
    remove(DUMP)(repository)
    committed("copier.yml", "_exclude: [", "_exclude: [/dump.sh, ")(repository)
    for name in NOTES:
        repository.replace(name, "## Unreleased", "## Unreleased\n\nMore.\n\n## 1.3.0")
    repository.replace("pyproject.toml", "1.2.3", "1.3.0")
    repository.commit()
    git(repository.folder, "tag", "--annotate", "--message", "Release 1.3.0", "v1.3.0")
    look(repository, "1.3.1")

    committed("copier.yml", "/dump.sh, ", "")(repository)
    with pytest.raises(SlipwayError, match=r"edits: /dump\.sh \(rendered by 1\.2\.3\)"):
        look(repository, "1.3.1")


def test_a_default_that_changes_takes_no_file_from_services(repository: Repository) -> None:
    """A service keeps its recorded answer, so what it had is still rendered."""
    committed(
        "copier.yml",
        "    PostgreSQL: postgres\n  default: none",
        "    PostgreSQL: postgres\n  default: postgres",
    )(repository)
    look(repository, "1.2.4")


# --- all or nothing -------------------------------------------------------------------------------


def hook(repository: Repository, name: str, script: str) -> None:
    file = repository.folder / ".git" / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.usefixtures("uv")
@pytest.mark.parametrize("what", ["commit", "tag"])
def test_a_failure_in_the_middle_changes_nothing(what: str, repository: Repository) -> None:
    if what == "commit":
        hook(repository, "pre-commit", "echo no such ticket >&2; exit 1")
    else:  # the user's settings for signing are honoured, and this one cannot sign
        git(repository.folder, "config", "tag.gpgSign", "true")
        git(repository.folder, "config", "gpg.program", "false")
    before = state(repository.folder)

    with pytest.raises(SlipwayError, match=f"^git {what}: "):
        release(repository.folder, "1.2.4", on=DAY, answer_sets=SETS)

    assert state(repository.folder) == before


@pytest.mark.usefixtures("uv")
def test_an_edit_during_the_release_is_kept_and_nothing_is_tagged(repository: Repository) -> None:
    file = repository.folder / "CHANGELOG.md"
    hook(repository, "post-commit", f"echo mine >> '{file}'")
    tags = git(repository.folder, "for-each-ref")

    with pytest.raises(SlipwayError, match=r"^git merge: "):
        release(repository.folder, "1.2.4", on=DAY, answer_sets=SETS)

    assert file.read_text() == f"{SECTIONS}mine\n"
    assert git(repository.folder, "for-each-ref") == tags


def test_without_uv_it_says_so_and_changes_nothing(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "tar", "make", "sh", "true"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name}"))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("UV", raising=False)
    before = state(repository.folder)

    with pytest.raises(SlipwayError, match="uv is not installed"):
        release(repository.folder, "1.2.4", on=DAY, answer_sets=SETS)

    assert state(repository.folder) == before


# --- how large a version must be ------------------------------------------------------------------

OLD = {
    "_envops": {},
    "stack": {"type": "str", "choices": {"Python": "python", "Go": "go"}, "default": "python"},
    "port": {"type": "int", "default": 80},
    "name": {"type": "str"},
    "room": {"type": "str", "when": False, "default": "x"},
}


@pytest.mark.parametrize(
    ("new", "level", "reason"),
    [
        ({}, Level.PATCH, ""),
        ({"_envops": {"a": 1}, "room": {"when": False, "default": 3}}, Level.PATCH, ""),
        ({"port": {"type": "int", "default": 81, "help": "Its port"}}, Level.PATCH, ""),
        ({"port": None}, Level.MAJOR, "the question port is gone"),
        ({"port": {"type": "int", "when": False}}, Level.MAJOR, "the question port is gone"),
        ({"port": {"type": "str", "default": 80}}, Level.MAJOR, "port has another type"),
        ({"port": {"type": "int"}}, Level.MAJOR, "port has no default"),
        ({"more": {"type": "int"}}, Level.MAJOR, "more has no default"),
        ({"more": {"type": "int", "default": 1}}, Level.MINOR, "the question more is new"),
        (
            {"stack": {"type": "str", "choices": ["python"], "default": "python"}},
            Level.MAJOR,
            "stack has lost the choice go",
        ),
        (
            {"stack": {"type": "str", "choices": ["python", "go", "rust"], "default": "go"}},
            Level.MINOR,
            "stack has the new choice rust",
        ),
    ],
)
def test_a_change_to_the_interview_demands_its_level(
    new: dict[str, object], level: Level, reason: str
) -> None:
    changed = {name: value for name, value in {**OLD, **new}.items() if value is not None}

    demands = list(demands_of_questions(OLD, changed))

    smallest, why = smallest_version(Version("1.2.3"), demands)
    assert smallest == Version({1: "1.2.4", 2: "1.3.0", 3: "2.0.0"}[level])
    assert reason in why
    before_one, _ = smallest_version(Version("0.2.3"), demands)
    assert before_one == Version({1: "0.2.4", 2: "0.3.0", 3: "0.3.0"}[level])


# --- this repository, at any time -----------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> list[Release]:
    """Return the releases of this repository, newest first; not one that is in the making."""
    versions = released_versions((ROOT / "CHANGELOG.md").read_text())
    found = [(version, release_commit(ROOT, version)) for version in versions]
    return [Release(version, commit) for version, commit in found if commit]


@pytest.fixture(scope="module")
def rendered(services: Services, shared: Path) -> Renders:
    """Return renders of this repository's versions, shared with all other tests."""

    def render(commit: str | None, answers: dict[str, object]) -> Path:
        if commit is None:
            return services(answers)
        place = shared / "versions" / commit
        template = once(place / "template", lambda folder: snapshot(ROOT, folder, commit))
        return Services(template, place / "services")(answers)

    return render  # type: ignore[return-value] # Services take any mapping


def content(service: Path) -> dict[str, bytes]:
    """Return the files of a service, without where its template was."""
    found = files(service)
    found[ANSWERS_FILE] = re.sub(rb"(?m)^_src_path:.*\n", b"", found[ANSWERS_FILE])
    return found


def changed_services(rendered: Renders, last: Release) -> list[str]:
    """Return the answer sets that render something else than in a release, or were refused."""
    changed = []
    for name, answers in ANSWER_SETS.items():
        new = content(rendered(None, answers))
        try:
            if content(rendered(last.commit, answers)) == new:
                continue
        except SlipwayError:
            pass
        changed.append(name)
    return changed


def test_a_change_to_what_is_rendered_has_its_entry(made: list[Release], rendered: Renders) -> None:
    newest = made[0] if made else pytest.skip("nothing was released yet")
    changed = changed_services(rendered, newest)
    for name in NOTES:
        text = (ROOT / name).read_text()
        in_the_making = released_versions(text)[0] != newest.version
        assert not changed or in_the_making or unreleased(text), (
            f"services change since {newest.version} ({', '.join(changed)}): "
            f"say under {UNRELEASED} in {name} what that means, or that there is nothing to do"
        )


def test_a_changed_service_is_noticed(made: list[Release], rendered: Renders) -> None:
    """The control: the first release renders other services than today's template."""
    assert changed_services(rendered, made[-1]) == list(ANSWER_SETS)


@pytest.mark.parametrize("name", NOTES)
def test_what_is_not_released_stands_first_and_once(name: str) -> None:
    headings = re.findall(r"(?m)^## (?:Unreleased|\d.*)", (ROOT / name).read_text())
    assert headings.count(UNRELEASED) == (headings[0] == UNRELEASED)


def test_this_template_needs_no_trust() -> None:
    refuse_trust(read_settings(COPIER_YML.read_bytes()))


def test_what_earlier_releases_rendered_is_rendered_or_excluded(
    made: list[Release], rendered: Renders
) -> None:
    settings = yaml.safe_load(COPIER_YML.read_text())

    lost = unprotected(settings, gone(rendered, made, ANSWER_SETS.values()))

    assert [one.path for one in lost] == [], (
        "add these to _exclude in copier.yml, so that an update keeps a service's edits"
    )
