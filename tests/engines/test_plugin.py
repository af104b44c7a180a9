"""What a test without its engine looks like; none of these needs one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.plugin import REQUIRE

pytest_plugins = ["pytester"]
REPOSITORY = Path(__file__).parents[2]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest with the plugin where no engine is installed."""
    nowhere = pytester.mkdir("nowhere")
    monkeypatch.setenv("SLIPWAY_ENGINES_CACHE", str(nowhere))
    monkeypatch.setenv("PATH", str(nowhere))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), f"{REPOSITORY}/hooks"]))
    monkeypatch.delenv(REQUIRE, raising=False)

    def run(*options: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "tests.engines.plugin", *options)

    return run


@pytest.mark.parametrize(
    "source",
    ["@pytest.mark.engine('collector')\ndef test_it(): pass", "def test_it(collector): pass"],
)
def test_without_its_engine_a_test_is_skipped_with_the_reason(
    pytester: pytest.Pytester, run: Run, source: str
) -> None:
    pytester.makepyfile(f"import pytest\n{source}\ndef test_other(): pass")
    result = run("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*engine collector is not installed: run make engines*"])


def test_where_engines_are_required_it_fails(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REQUIRE, "1")
    pytester.makepyfile("def test_it(collector): pass\ndef test_other(): pass")
    result = run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*engine collector is not installed: run make engines*"])


def test_a_need_of_the_engine_counts_too(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.engine('images')\ndef test_it(): pass")
    run("-rs").stdout.fnmatch_lines(["*engine docker is not installed: run make engines*"])


def test_an_unknown_engine_is_an_error(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.engine('dokcer')\ndef test_it(): pass")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no engine named 'dokcer'; there are docker, *"])


def test_the_run_ends_with_a_table(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_it(collector): pass")
    run().stdout.fnmatch_lines(
        [
            "*= engines =*",
            "docker*missing: * was not shown; run make engines",
            "collector*missing:*",
        ]
    )


def test_no_table_where_no_test_asked(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_it(): pass")
    run().stdout.no_fnmatch_line("*= engines =*")


def test_fixtures_can_be_left_out_by_the_marker(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_it(docker): pass\ndef test_other(): pass")
    run("-m", "not engine").assert_outcomes(passed=1, deselected=1)


def test_it_works_in_several_processes(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_it(docker): pass\ndef test_other(): pass")
    result = run("-n", "2", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*= engines =*", "docker*missing:*"])
