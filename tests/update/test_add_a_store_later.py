"""The guide for a store that comes later, followed on a real service."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.product import ROOT
from tests.update.project import OLD, Project, Template, lost, owned

GUIDE = ROOT / "docs/how-to/add-a-store-later.md"
STORE = {"migrations/0001_signups.sql", "src/app/store_postgres.py", "src/app/migrate.py"}


@pytest.fixture
def in_memory(released: Template, tmp_path: Path) -> Project:
    """Return a service without a store, in whose own files its owner has written."""
    project = Project(tmp_path / "project").copy(released, {}).commit("Start")
    return project.edit(owned(released.interview, project.files()))


def test_an_update_alone_brings_only_the_templates_side(in_memory: Project) -> None:
    """Recorded, so that the guide goes when an update can do it."""
    in_memory.update(datastore="postgres")

    assert "psycopg" in in_memory.read("pyproject.toml")
    assert not STORE & set(in_memory.files())


def test_the_guide_brings_the_stores_files_and_overwrites_nothing(
    released: Template, in_memory: Project, tmp_path: Path
) -> None:
    project = in_memory
    before = project.files()
    (copy,) = re.findall(r"^\$ (cp .*)$", GUIDE.read_text(), re.MULTILINE)

    project.update(datastore="postgres").commit()
    fresh = Project(tmp_path / "fresh").copy(released, {"datastore": "postgres"}, ref=OLD)
    shutil.rmtree(fresh.folder / ".git", ignore_errors=True)
    subprocess.run(
        copy.replace("../fresh", str(fresh.folder)).split(),
        cwd=project.folder,
        check=False,
    )

    after = project.files()
    assert set(after) >= STORE
    assert lost(released.interview, before, after) == []
    new = {line[3:] for line in project.changed()}
    assert all(line.startswith("??") for line in project.changed()), project.changed()
    assert new >= STORE
