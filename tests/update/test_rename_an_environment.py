"""What Copier cannot do when an environment gets another name, and the recipe that does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.product import ROOT
from tests.render.programs import kustomize
from tests.update.project import Project, Template, git, lost

GUIDE = ROOT / "docs/how-to/rename-an-environment.md"
OLD_NAME, NEW_NAME = "staging", "qa"
SEEDS = ("changes/configuration.env", "changes/kustomization.yaml", "release/kustomization.yaml")


def place(environment: str, path: str) -> str:
    return f"deploy/environments/{environment}/{path}"


def moves() -> list[list[str]]:
    """Return the git commands of the guide."""
    found = re.findall(r"^\$ git (mv .*)$", GUIDE.read_text(), re.MULTILINE)
    return [command.split() for command in found]


def test_slipway_carries_everything_in_the_folder_along(project: Project) -> None:
    """The seeds, files that the service added there, and edits in the template's files."""
    added, edited = "changes/patch.yaml", "kustomization.yaml"
    (project.folder / place(OLD_NAME, added)).write_text("# the service's own patch\n")
    project.edit([place(OLD_NAME, edited)])
    before = project.files()

    slipway("update", project, f"environments=[dev, {NEW_NAME}, production]")

    after = project.files()
    for path in (*SEEDS, added):
        assert after[place(NEW_NAME, path)] == before[place(OLD_NAME, path)]
    assert [path for path in after if path.startswith(place(OLD_NAME, ""))] == []
    moved = project.read(place(NEW_NAME, edited))
    assert f"namespace: signups-{NEW_NAME}\n" in moved
    assert moved.endswith(f"# the service's own line in {place(OLD_NAME, edited)}\n")


def test_slipway_renames_it_wherever_it_is_listed(released: Template, tmp_path: Path) -> None:
    answers = {"environments": ["dev", "europe", "america"]}
    answers["production_environments"] = ["europe", "america"]
    project = Project(tmp_path / "project").copy(released, answers).commit()

    slipway("update", project, "environments=[dev, europe, usa]")

    recorded = yaml.safe_load(project.read(".copier-answers.yml"))
    assert recorded["production_environments"] == ["europe", "usa"]


def slipway(command: str, project: Project, answer: str) -> None:
    """Run the command as people do."""
    done = subprocess.run(
        [sys.executable, "-m", "slipway", command, "--defaults", "--data", answer, project.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_without_the_recipe_the_services_part_stays_under_the_old_name(
    released: Template, project: Project
) -> None:
    """Recorded, so that the guide goes when Copier learns it."""
    before = project.files()

    project.update(environments=["dev", NEW_NAME, "production"])

    after = project.files()
    assert lost(released.interview, before, after) == []
    for path in SEEDS:
        assert after[place(OLD_NAME, path)] == before[place(OLD_NAME, path)]
        assert after[place(NEW_NAME, path)] != before[place(OLD_NAME, path)]
    assert place(OLD_NAME, "kustomization.yaml") not in after


def test_the_guide_carries_the_services_part_along(project: Project) -> None:
    before = project.files()
    commands = moves()
    assert commands, f"{GUIDE.name} moves nothing"
    (project.folder / "deploy/environments" / NEW_NAME).mkdir()
    for command in commands:
        git(project.folder, *command)
    project.commit()

    project.update(environments=["dev", NEW_NAME, "production"])

    after = project.files()
    for path in SEEDS:
        assert after[place(NEW_NAME, path)] == before[place(OLD_NAME, path)]
    assert [path for path in after if path.startswith(place(OLD_NAME, ""))] == []
    assert project.conflicts() == []
    assert f"namespace: signups-{NEW_NAME}\n" in project.read(place(NEW_NAME, "kustomization.yaml"))


@pytest.mark.engine("kustomize")
def test_the_renamed_environment_builds(project: Project) -> None:
    (project.folder / "deploy/environments" / NEW_NAME).mkdir()
    for command in moves():
        git(project.folder, *command)
    project.commit().update(environments=["dev", NEW_NAME, "production"])

    assert f"namespace: signups-{NEW_NAME}\n" in kustomize(project.folder, NEW_NAME)


def test_a_renamed_production_stays_production(project: Project) -> None:
    """A list of production environments that names one that is gone falls back to the last."""
    assert "production_environments:\n- production\n" in project.read(".copier-answers.yml")

    project.update(environments=["dev", "staging", "live"])

    assert "production_environments:\n- live\n" in project.read(".copier-answers.yml")
    assert "/observability" in project.read(place("live", "kustomization.yaml"))
