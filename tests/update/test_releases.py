"""Releases: one version everywhere, and every service made at one updates to the working tree."""

from pathlib import Path

import pytest
import yaml
from packaging.version import Version
from slipway.git import git as read_git
from slipway.maintainers.history import released_versions

from tests.product import ROOT
from tests.update.history import (
    following,
    release_commit,
    released,
    replace_template,
    version,
)
from tests.update.project import Project, Template, commit, lost, owned


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Return a repository with every release as an annotated tag, and the working tree on top."""
    folder = tmp_path_factory.mktemp("history") / "template"
    for number in released():
        replace_template(folder, release_commit(number))
        commit(folder, f"Release {number}", tag=f"v{number}")
    replace_template(folder, None)
    commit(folder, "The working tree", tag=f"v{following()}")
    return Template(folder)


def test_the_newest_heading_of_the_changelog_is_the_version() -> None:
    found = released_versions((ROOT / "CHANGELOG.md").read_text())

    # Before the first release, the changelog has no version yet.
    assert found[:1] in ([version()], []), (
        f"pyproject.toml says {version()}, the newest heading of CHANGELOG.md {found[:1]}"
    )
    assert found == sorted(found, key=Version, reverse=True), "newest first"


def test_every_tag_of_a_version_is_annotated() -> None:
    """Copier takes the name of a version from annotated tags; a light one beside it confuses it."""
    tags = read_git(ROOT, "for-each-ref", "--format=%(refname:short) %(objecttype)", "refs/tags/v*")

    assert [line for line in tags.decode().splitlines() if not line.endswith(" tag")] == []


def test_a_service_of_every_release_updates_to_the_working_tree(
    history: Template, tmp_path: Path
) -> None:
    for tag in [f"v{number}" for number in released()]:
        project = Project(tmp_path / tag).copy(history, {"datastore": "postgres"}, ref=tag)
        project.commit("Start").edit(owned(history.interview, project.files()))
        before, answered = project.files(), yaml.safe_load(project.read(".copier-answers.yml"))

        project.update(ref=f"v{following()}")

        answers = yaml.safe_load(project.read(".copier-answers.yml"))
        assert lost(history.interview, before, project.files()) == []
        assert project.conflicts() == []
        assert answers["_commit"] == f"v{following()}"
        del answers["_commit"], answered["_commit"]
        assert answered.items() <= answers.items(), "an answer was lost on the way"
        # With the answers that were recorded then: a default may have changed since.
        given = {name: value for name, value in answers.items() if name[0] != "_"}
        fresh = Project(tmp_path / f"fresh-{tag}").copy(history, given, ref=f"v{following()}")
        own = owned(history.interview, [*before, *fresh.files()])
        # What is given up stays with `copier update`: it could not know whether it was edited.
        given_up = {one.removeprefix("/") for one in history.interview.settings["_exclude"]}
        own = [*own, *(given_up - fresh.files().keys())]
        updated = {path: text for path, text in project.files().items() if path not in own}
        assert updated == {path: text for path, text in fresh.files().items() if path not in own}


def test_a_service_that_an_update_breaks_is_noticed(history: Template, tmp_path: Path) -> None:
    """The negative control: a release that narrows a question loses the answer."""

    def narrow(template: Path) -> None:
        file = template / "copier.yml"
        text = file.read_text()
        assert "    PostgreSQL: postgres\n" in text
        file.write_text(text.replace("    PostgreSQL: postgres\n", ""))

    template = history.clone(tmp_path / "template").release(narrow, tag="v99.0.0")
    project = Project(tmp_path / "project")
    project.copy(template, {"datastore": "postgres"}, ref=f"v{following()}").commit("Start")

    project.update(ref="v99.0.0")

    assert yaml.safe_load(project.read(".copier-answers.yml"))["datastore"] != "postgres"
