"""The merge alone: whatever both sides do, what the service's people wrote is in the result."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from slipway.merging import Merge, Sides, Status, merge
from slipway.ownership import Owner
from slipway.trees import Entry, Store

from tests.update.merges import (
    Case,
    Merger,
    batches,
    keeps_the_services_side,
    leaves_markers,
    problems,
    puts_lines_elsewhere,
    takes_the_templates_side,
)
from tests.update.project import git

Files = Mapping[str, str]

# 80 merges of 25 folders each: 2,000 cases.
MERGES, TOGETHER = 80, 25
SETTINGS = settings(
    max_examples=MERGES,
    deadline=None,
    database=None,
    # Each merge writes its folders anew.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    repository = tmp_path / "service"
    repository.mkdir()
    git(repository, "init", "--quiet")
    scratch = tmp_path / "store"
    scratch.mkdir()
    return Store(scratch, repository, keep=False)


@given(cases=batches(TOGETHER))
@settings(SETTINGS)
def test_every_line_of_the_service_is_in_the_result(
    store: Store, tmp_path: Path, cases: list[Case]
) -> None:
    assert problems(merge, cases, store, tmp_path) == []


def test_the_cases_are_enough_and_of_every_kind(store: Store, tmp_path: Path) -> None:
    """Random cases that never meet would prove nothing."""
    assert MERGES * TOGETHER >= 2000
    statuses: set[str] = set()
    conflicts = 0

    def counting(store: Store, sides: Sides) -> Merge:
        nonlocal conflicts
        done = merge(store, sides)
        statuses.update(change.status for change in done.changes)
        conflicts += len(done.conflicts)
        return done

    @given(cases=batches(TOGETHER))
    @settings(SETTINGS, max_examples=8, derandomize=True)
    def look(cases: list[Case]) -> None:
        problems(counting, cases, store, tmp_path)

    look()

    assert statuses == set(Status)
    assert conflicts > 8


@pytest.mark.parametrize(
    ("wrong", "noticed"),
    [
        (takes_the_templates_side, "lost"),
        (keeps_the_services_side, "is merged as"),
        (puts_lines_elsewhere, "in another order"),
        (leaves_markers, "needless conflict"),
    ],
)
def test_a_merge_that_is_wrong_is_noticed(
    store: Store, tmp_path: Path, wrong: Merger, noticed: str
) -> None:
    def is_noticed(cases: list[Case]) -> bool:
        return any(noticed in problem for problem in problems(wrong, cases, store, tmp_path))

    assert find(batches(TOGETHER), is_noticed, settings=settings(SETTINGS, phases=[Phase.generate]))


# -- cases that random folders do not hold ---------------------------------------------------------


def merged(store: Store, base: Files, ours: Files, theirs: Files) -> Merge:
    """Merge three folders whose files are all the template's."""

    def tree(files: Files) -> dict[str, Entry]:
        return {
            path: Entry("100644", store.add(content.encode())) for path, content in files.items()
        }

    return merge(
        store,
        Sides(
            tree(base), tree(ours), tree(theirs),
            owner=lambda _: Owner.TEMPLATE, theirs_label="new", base_label="old",
        ),
    )  # fmt: skip


def test_an_empty_file_that_the_template_renames_is_kept_where_the_service_filled_it(
    store: Store,
) -> None:
    done = merged(store, {"a": "", "c": "c\n"}, {"a": "ours\n", "c": "c\n"}, {"b": "", "c": "c\n"})

    assert store.contents([done.result["a"].content]) == {done.result["a"].content: b"ours\n"}
    assert [(change.status, change.path) for change in done.changes] == [
        (Status.KEPT, "a"),
        (Status.NEW, "b"),
    ]
    assert done.conflicts == {}


def test_every_file_of_the_report_is_in_the_result_when_a_file_and_a_folder_clash(
    store: Store,
) -> None:
    done = merged(store, {"a": "old\n"}, {"a": "old\nours\n"}, {"a/b": "new\n", "z": "z\n"})

    assert {change.path for change in done.changes} <= done.result.keys()
    assert [change.status for change in done.changes if "~" in change.path] == [Status.CONFLICT]
