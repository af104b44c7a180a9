"""The fixtures of this folder: a template with a release, and a service with work in it."""

from pathlib import Path

import pytest

from tests.services import (
    nothing_of_the_user,
    once,
    service,
    services,
    shared,
    snapshot_of_the_working_tree,
    template,
)
from tests.update.project import OLD, Project, Template, commit, owned
from tests.update.tiny import Tiny, tiny

__all__ = ["nothing_of_the_user", "service", "services", "shared", "template"]

# Everything there is, so that every file the service owns is there to be lost.
LARGEST = {"datastore": "postgres", "cache": "redis"}


@pytest.fixture(scope="session")
def released(shared: Path) -> Template:
    """Return the template of the working tree as release `OLD`. Tests that change it clone it."""

    def make(folder: Path) -> None:
        snapshot_of_the_working_tree(folder)
        commit(folder, f"Release {OLD}", tag=OLD)

    return Template(once(shared / "released", make))


@pytest.fixture(scope="session")
def worked_on(released: Template, shared: Path) -> Project:
    """Return a service in whose own files its owner has written. Tests clone it."""

    def make(folder: Path) -> None:
        project = Project(folder).copy(released, LARGEST).commit("Start")
        project.edit(owned(released.interview, project.files()))

    return Project(once(shared / "worked-on", make))


@pytest.fixture
def project(worked_on: Project, tmp_path: Path) -> Project:
    return worked_on.clone(tmp_path / "project")


@pytest.fixture
def own_template(released: Template, tmp_path: Path) -> Template:
    """Return a template whose further releases are the test's own."""
    return released.clone(tmp_path / "template")


@pytest.fixture(scope="session")
def small(shared: Path) -> Tiny:
    """Return a template of a few files with two releases, and a service of the first."""
    return tiny(shared)


@pytest.fixture
def small_service(small: Tiny, tmp_path: Path) -> Project:
    return small.clone(tmp_path / "service")
