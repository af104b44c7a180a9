"""What `slipway update` and `copier update` make of the edits that people make.

From the oldest version, the newest (`make updates`: the last of each minor), the commit before this
one and the working tree; to the working tree, and to a release on top of it that touches what is
edited (`next_release.py`).
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.engines.fixtures.docker import Docker
from tests.product import ROOT
from tests.render.programs import kustomize
from tests.update.conflicts import Hunk, hunks
from tests.update.matrix import (
    COPIER,
    EXIT_CODE,
    NEXT,
    NOW,
    SLIPWAY,
    Cell,
    Matrix,
    cells,
    missing,
    update,
)
from tests.update.next_release import RETIRED
from tests.update.project import Project, git, matcher, owned
from tests.update.recipes import (
    ANSWER_SETS,
    CONFLICT,
    DEFAULTS,
    EVERYTHING,
    KEPT,
    LOST,
    MISPLACED,
    OWN_CODE,
    AnswerSet,
    Outcome,
    Recipe,
    Updated,
    all_recipes,
)

TOOLS = (SLIPWAY, COPIER)
PAGE = ROOT / "docs/reference/updates-compared.md"

# From the working tree, so that nothing but the next release lies in between.
EXACT = [Cell(NOW, answers, NEXT) for answers in ANSWER_SETS]
exact = pytest.mark.parametrize("exactly", EXACT, ids=str)


@pytest.fixture(scope="session")
def matrix(shared: Path) -> Matrix:
    return Matrix(shared / "matrix")


@pytest.fixture(params=cells(), ids=str)
def cell(request: pytest.FixtureRequest) -> Cell:
    found: Cell = request.param
    if reason := missing(found.start):
        pytest.skip(reason)
    return found


# -- what becomes of edits -------------------------------------------------------------------------


def surprises(cell: Cell, tool: str, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Return the recipes that ended otherwise than recorded."""
    found = {}
    for recipe in cell.recipes:
        expected = [recipe.expected(tool, touched=cell.touched)]
        if cell.start != NOW:
            # In between, the template may have changed the very lines of a recipe.
            expected.append(CONFLICT)
        if outcomes[recipe.name] not in expected:
            found[recipe.name] = f"{outcomes[recipe.name]} instead of {' or '.join(expected)}"
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_every_edit_ends_as_recorded(matrix: Matrix, cell: Cell, tool: str) -> None:
    updated = matrix.updated(cell, tool)

    outcomes = {recipe.name: recipe.outcome(updated) for recipe in cell.recipes}

    assert surprises(cell, tool, outcomes) == {}, (
        f"{tool} update does other things now: if they are better, record them in recipes.py"
    )


def test_slipway_loses_and_misplaces_nothing() -> None:
    assert {recipe.slipway for recipe in all_recipes().values()} == {KEPT, CONFLICT}


def needless(updated: Updated) -> list[str]:
    """Return conflicts of files that both sides changed at different places, or lack a section."""
    found = []
    for path in updated.conflicts:
        stages = git(updated.folder, "ls-files", "--unmerged", "--", path).splitlines()
        in_file = hunks(updated.lines(path))
        if len(stages) < 2 or not in_file:
            found.append(f"{path}: {len(stages)} stages, {len(in_file)} conflicts in the file")
        found += [f"{path}: {hunk}" for hunk in in_file if not (hunk.complete and hunk.needed)]
    return found


def test_only_what_both_sides_changed_is_in_conflict(matrix: Matrix, cell: Cell) -> None:
    updated = matrix.updated(cell, SLIPWAY)
    declared = {
        path
        for recipe in cell.recipes
        if recipe.outcome(updated) == CONFLICT
        for path in recipe.paths
    }

    assert set(updated.conflicts) <= declared
    assert needless(updated) == []
    assert (updated.folder / EXIT_CODE).read_text() == str(int(bool(updated.conflicts)))


def test_what_the_service_owns_stays_byte_for_byte(matrix: Matrix, cell: Cell) -> None:
    before = matrix.service(cell).files()

    after = Project(matrix.updated(cell, SLIPWAY).folder).files()

    own = owned(matrix.interview(cell.target), before)
    assert own
    assert {cell.answers.place(path): before[path] for path in own}.items() <= after.items()


# -- without edits, and a second time --------------------------------------------------------------

File = tuple[bytes, bool]


def state(folder: Path) -> dict[str, File]:
    """Return every file of a folder: its content, and whether it is executable."""
    return {
        path: (content, bool((folder / path).stat().st_mode & stat.S_IXUSR))
        for path, content in Project(folder).files().items()
    }


def as_if_new(matrix: Matrix, cell: Cell) -> dict[str, File]:
    """Return a fresh render of the target, with what the service owns in the place of seeds."""
    interview = matrix.interview(cell.target)
    before, fresh = state(matrix.service(cell).folder), state(matrix.fresh(cell).folder)
    own = {cell.answers.place(path): before[path] for path in owned(interview, before)}
    at_copy = matcher(interview.excluded("update"))
    seeds = {path for path in owned(interview, fresh) if at_copy(path) and path not in own}
    return {path: file for path, file in {**fresh, **own}.items() if path not in seeds}


def test_a_service_without_edits_becomes_a_fresh_one(matrix: Matrix, cell: Cell) -> None:
    plain = Cell(cell.start, cell.answers, cell.target, edited=False)

    updated = matrix.updated(plain, SLIPWAY)

    assert state(updated.folder) == as_if_new(matrix, plain)
    assert updated.conflicts == []
    assert (updated.folder / EXIT_CODE).read_text() == "0"


def test_copier_leaves_files_that_the_template_retires(matrix: Matrix) -> None:
    """Recorded, and the negative control of the test before."""
    plain = Cell(NOW, DEFAULTS, NEXT, edited=False)

    updated = state(matrix.updated(plain, COPIER).folder)

    fresh = as_if_new(matrix, plain)
    assert sorted(updated.keys() - fresh.keys()) == sorted(path[1:] for path in RETIRED)
    assert {path: file for path, file in updated.items() if path in fresh} == fresh


@pytest.mark.parametrize("tool", TOOLS)
def test_answers_change_as_declared(matrix: Matrix, cell: Cell, tool: str) -> None:
    before = yaml.safe_load(matrix.service(cell).read(".copier-answers.yml"))
    updated = Project(matrix.updated(cell, tool).folder)
    after = yaml.safe_load(updated.read(".copier-answers.yml"))

    assert {**before, **cell.answers.change, "_commit": cell.target}.items() <= after.items()
    assert updated.read(".copier-answers.yml") == matrix.fresh(cell).read(".copier-answers.yml")


def settled(project: Project) -> Project:
    """Take the service's side of every conflict, and commit."""
    for path in project.conflicts():
        git(project.folder, "checkout", "--ours", "--", path)
    return project.commit("Update")


@exact
def test_a_second_update_does_nothing(matrix: Matrix, exactly: Cell, tmp_path: Path) -> None:
    project = settled(Project(matrix.updated(exactly, SLIPWAY).folder).clone(tmp_path / "service"))

    assert update(project, SLIPWAY, NEXT, {}) == 0
    assert project.changed() == []
    assert update(project, SLIPWAY, NEXT, exactly.answers.change) == 0
    assert project.changed() == []


@exact
def test_the_tools_can_be_used_in_turn(matrix: Matrix, exactly: Cell, tmp_path: Path) -> None:
    """A seed that was deleted comes back: the one thing of which Copier has no memory."""
    project = settled(Project(matrix.updated(exactly, SLIPWAY).folder).clone(tmp_path / "service"))

    update(project, COPIER, NEXT, {})

    assert project.changed() == ["?? deploy/flags/flags.json"]


def author(project: Project, path: str, text: str) -> str:
    """Return the message of the commit that a line comes from."""
    number = project.read(path).split("\n").index(text) + 1
    blamed = git(project.folder, "blame", "--line-porcelain", f"-L{number},{number}", "--", path)
    [summary] = re.findall(r"(?m)^summary (.*)$", blamed)
    return str(summary)


def test_lines_keep_their_authors(matrix: Matrix, tmp_path: Path) -> None:
    updated = matrix.updated(Cell(NOW, EVERYTHING, NEXT), SLIPWAY)
    project = settled(Project(updated.folder).clone(tmp_path / "service"))

    endpoint = "      OTEL_EXPORTER_OTLP_ENDPOINT: http://own.example.com:4318"
    assert author(project, "compose.yaml", "name: signups") == "Start"
    assert author(project, "compose.yaml", endpoint) == "Edit"
    assert author(project, "compose.yaml", "      LOG_LEVEL: ${LOG_LEVEL:-info}") == "Update"
    assert author(project, "deploy/base/identity.yaml", "  - name: registry") == "Edit"
    moved = "deploy/environments/qa/changes/configuration.env"
    assert author(project, moved, "# the service's own line") == "Edit"


STACKS = {
    cell.answers.stack: cell
    for cell in reversed(cells())
    if cell.target == NEXT and cell.answers is not OWN_CODE and not missing(cell.start)
}


@pytest.mark.engine("docker", "images", "kustomize")
@pytest.mark.parametrize("stack", STACKS)
def test_the_updated_service_builds_and_passes_its_own_tests(
    matrix: Matrix, docker: Docker, stack: str, tmp_path: Path
) -> None:
    """From the oldest release that has the stack; conflicts are settled as the service had it."""
    cell = STACKS[stack]
    project = settled(Project(matrix.updated(cell, SLIPWAY).folder).clone(tmp_path / "service"))
    # Who had deleted the flags takes them back, as UPGRADING.md says: pods are made with them now.
    flags = project.folder / "deploy/flags/flags.json"
    flags.write_text(matrix.fresh(cell).read("deploy/flags/flags.json"))

    for environment in cell.answers.environments_after:
        assert f"namespace: signups-{environment}\n" in kustomize(project.folder, environment)
    docker.build(project.folder, target="test")
    docker.build(project.folder, target="production")


# -- negative controls: what was lost or moved is noticed ------------------------------------------


def example(name: str) -> tuple[Cell, Recipe]:
    """Return where a recipe is tried, and the recipe."""
    return next((c, recipe) for c in EXACT for recipe in c.recipes if recipe.name == name)


@pytest.mark.parametrize("name", all_recipes())
def test_an_edit_that_is_lost_or_moved_is_noticed(
    matrix: Matrix, name: str, tmp_path: Path
) -> None:
    cell, recipe = example(name)
    updated = matrix.updated(cell, SLIPWAY)

    for number, part in enumerate(recipe.parts):
        undone = Project(updated.folder).clone(tmp_path / f"undone-{number}")
        part.undone(undone.folder)
        assert recipe.outcome(Updated(undone.folder)) == LOST

        elsewhere = Project(updated.folder).clone(tmp_path / f"elsewhere-{number}")
        if part.outcome(updated) == KEPT and part.elsewhere(elsewhere.folder):
            assert recipe.outcome(Updated(elsewhere.folder)) == MISPLACED


@pytest.mark.parametrize("answers", ANSWER_SETS, ids=str)
def test_before_it_is_made_no_edit_is_there(
    matrix: Matrix, answers: AnswerSet, tmp_path: Path
) -> None:
    """A recipe that finds its edit in a service where nobody edited proves nothing."""
    plain = matrix.service(Cell(NOW, answers, NEXT, edited=False)).clone(tmp_path / "service")
    found = [
        recipe.name
        for recipe in Cell(NOW, answers, NOW).recipes
        if recipe.outcome(Updated(plain.folder)) != LOST
    ]

    assert found == []


def test_two_recipes_never_share_a_file() -> None:
    for cell in EXACT:
        paths = [path for recipe in cell.recipes for path in recipe.paths]
        assert len(paths) == len(set(paths))


def test_a_needless_conflict_is_noticed() -> None:
    both = Hunk(base=["a", "b", "c"], ours=["A", "b", "c"], theirs=["x", "b", "c"])
    beside = Hunk(base=["a", "b", "c"], ours=["A", "b", "c"], theirs=["a", "B", "c"])
    apart = Hunk(base=["a", "b", "c"], ours=["A", "b", "c"], theirs=["a", "b", "C"])

    assert (both.needed, beside.needed, apart.needed) == (True, True, False)
    two_way = "a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\nd\n".splitlines(keepends=True)
    assert [hunk.complete for hunk in hunks(two_way)] == [False]


# -- the page --------------------------------------------------------------------------------------


def table() -> str:
    """Return the table of the page, from what is recorded."""
    rows = [
        f"| {recipe.name} | {recipe.slipway.told} | {recipe.copier.told} |"
        for recipe in all_recipes().values()
    ]
    return "\n".join(
        [
            "| in the service, somebody | `slipway update` | `copier update` |",
            "|---|---|---|",
            *rows,
        ]
    )


def test_the_page_says_what_is_recorded() -> None:
    assert f"\n\n{table()}\n" in PAGE.read_text(), f"put this into {PAGE.name}:\n\n{table()}"


def test_the_page_explains_every_outcome() -> None:
    text = PAGE.read_text()
    for outcome in {o for r in all_recipes().values() for o in (r.slipway, r.copier)}:
        assert f"- {outcome.told}: " in text


def test_a_command_that_could_not_run_is_an_error(tmp_path: Path) -> None:
    """The negative control of how every cell is updated."""
    with pytest.raises(AssertionError, match="slipway update"):
        update(Project(tmp_path), SLIPWAY, NEXT, {})
