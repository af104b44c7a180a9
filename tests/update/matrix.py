"""Every service that is updated, made once: by version, answers, target and tool."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from slipway.errors import SlipwayError
from slipway.git import git

from tests.product import ROOT, Interview
from tests.services import once
from tests.update.history import (
    following,
    last_of_each_minor,
    release_commit,
    released,
    replace_template,
)
from tests.update.next_release import next_release
from tests.update.project import Project, Template, commit
from tests.update.recipes import ANSWER_SETS, AnswerSet, Recipe, Updated, recipes
from tests.update.tiny import slipway

# Where the exit code of an update is noted.
EXIT_CODE = ".git/exit-code"
COPIER, SLIPWAY = "copier", "slipway"
# Versions that are no releases: the commit before this one, the working tree, and what is next.
BEFORE, NOW, NEXT = (f"v{following(number)}" for number in (1, 2, 3))
MINORS = [f"v{number}" for number in last_of_each_minor(released())]
# What lies between the oldest and the newest release takes long; `make updates` tries it too.
EVERY = os.environ.get("SLIPWAY_UPDATES") == "all"
RELEASES = MINORS if EVERY else [MINORS[0], MINORS[-1]]


@dataclass(frozen=True)
class Cell:
    """One way from one version to another.

    Attributes:
        start: the version that the service is made from.
        answers: what was answered.
        target: the version that it is updated to.
        edited: whether somebody worked on it.

    """

    start: str
    answers: AnswerSet
    target: str
    edited: bool = True

    def __str__(self) -> str:
        return f"{self.start}-to-{self.target}-{self.answers}"

    @property
    def touched(self) -> bool:
        """Whether the update touches the files that are edited, and gives some another name."""
        return self.target == NEXT

    @property
    def recipes(self) -> list[Recipe]:
        return recipes(self.answers, renamed=self.touched)


def cells() -> list[Cell]:
    """Return every way that is tried; a service of a stack that a version lacks cannot be made."""
    return [
        Cell(start, answers, target)
        for start in (*RELEASES, BEFORE, NOW)
        for target in (NOW, NEXT)
        if start != target
        for answers in ANSWER_SETS
        if answers.stack in stacks(start)
    ]


@cache
def stacks(start: str) -> list[str]:
    """Return the stacks of a version; of those that may be missing here, the present ones."""
    text = (ROOT / "copier.yml").read_bytes()
    if start in RELEASES:
        text = git(ROOT, "show", f"{release_commit(start.removeprefix('v'))}:copier.yml")
    return list(yaml.safe_load(text)["stack"]["choices"].values())


def missing(start: str) -> str:
    """Return why nothing can be made from a version here, or nothing."""
    if start != BEFORE:
        return ""
    try:
        there = tree("HEAD~1")
    except SlipwayError:
        return "a shallow clone has no commit before this one"
    same = there in [tree("HEAD"), *(tree(release_commit(name[1:])) for name in RELEASES)]
    return "the commit before this one has the template of a version that is tried" if same else ""


def tree(ref: str) -> str:
    """Return what names the content of the template at a commit."""
    return git(ROOT, "rev-parse", f"{ref}:copier.yml", f"{ref}:template").decode()


class Matrix:
    """Makes services and updates them, each once for all tests and workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = Template(once(folder / "template", make_template))

    def interview(self, version: str) -> Interview:
        """Return the interview of a version."""

        def make(folder: Path) -> None:
            self.template.clone(folder)
            git(folder, "checkout", "--quiet", version)

        return Template(once(self.folder / f"template-{version}", make)).interview

    def service(self, cell: Cell) -> Project:
        """Return a service before its update. Tests read it and never write to it."""

        def make(folder: Path) -> None:
            project = Project(folder).copy(self.template, cell.answers.answers, ref=cell.start)
            project.commit("Start")
            if cell.edited:
                for recipe in cell.recipes:
                    recipe.edit(folder)
                project.commit("Edit")

        name = f"{cell.start}-{cell.answers}-{'edited' if cell.edited else 'plain'}"
        return Project(once(self.folder / name, make))

    def updated(self, cell: Cell, tool: str) -> Updated:
        """Return a service after its update, not yet committed. Tests read it."""

        def make(folder: Path) -> None:
            project = self.service(cell).clone(folder)
            code = update(project, tool, cell.target, cell.answers.change)
            (folder / EXIT_CODE).write_text(str(code))

        name = f"{cell}-{tool}-{'edited' if cell.edited else 'plain'}"
        return Updated(once(self.folder / name, make))

    def fresh(self, cell: Cell) -> Project:
        """Return a service made from the target with the answers that the update ends with."""
        answers = {**cell.answers.answers, **cell.answers.change}
        return Project(
            once(
                self.folder / f"fresh-{cell.target}-{cell.answers}",
                lambda folder: Project(folder).copy(self.template, answers, ref=cell.target),
            )
        )


def make_template(folder: Path) -> None:
    """Make a repository of the template with every version as an annotated tag."""
    for name in RELEASES:
        replace_template(folder, release_commit(name.removeprefix("v")))
        commit(folder, f"Release {name}", tag=name)
    if not missing(BEFORE):
        replace_template(folder, "HEAD~1")
        commit(folder, "The commit before this one", tag=BEFORE)
    replace_template(folder, None)
    commit(folder, "The working tree", tag=NOW)
    next_release(folder)
    commit(folder, "The next release", tag=NEXT)


def update(project: Project, tool: str, target: str, change: Mapping[str, Any]) -> int:
    """Update a service in its folder; return the exit code."""
    if tool == COPIER:
        project.update(ref=target, **change)
        return 0
    data = [f"--data={name}={yaml.safe_dump(value).strip()}" for name, value in change.items()]
    # 1 says that something is left to decide.
    return slipway(
        "update", project.folder, "--defaults", f"--to={target}", *data, fine=(0, 1)
    ).code
