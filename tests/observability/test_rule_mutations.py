"""Each number of each rule matters: made smaller or larger, a test of the service fails."""

from pathlib import Path

import pytest

from tests.observability.rules import mutants, name_of, promtool, rules, survivors

pytestmark = pytest.mark.engine("promtool")

# A part of the names of rules that are looked at together.
FAMILIES = [
    *("increase1m", "instance", "ratio_rate", "remaining_ratio"),
    *("AvailabilityBudgetBurnsFast", "AvailabilityBudgetBurnsSlowly"),
    *("LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly"),
    *("ServiceDown", "CrashLooping", "BusinessMetricStopped", "CollectorDropsData"),
]
# No number that means anything: the series itself, its last value, what always fires.
NO_NUMBERS = ("series:", "Watchdog")

# Changes that change nothing, and why.
LATE = "whether the rules ran one or two minutes ago differs for samples only that arrive late"
BEFORE = "an instance that was last seen before the window began before it, too"
BEGAN = "an instance that begins is seen until it ends, so the start of the window decides"
NEVER = "a sum of failures is never negative"
SAME = {
    "service:http_server_requests:increase1m: expr #15 1m -> 2m": LATE,
    "service:http_server_errors:increase1m: expr #18 1m -> 2m": LATE,
    "service:http_server_slow:increase1m: expr #15 1m -> 2m": LATE,
    "service:business_events:increase1m: expr #20 1m -> 2m": LATE,
    "CrashLooping: expr #8 30m -> 36m": BEFORE,
    "CrashLooping: expr #15 30m -> 24m": BEGAN,
    "CrashLooping: expr #15 30m -> 36m": BEGAN,
    "CollectorDropsData: expr #5 0 -> -1": NEVER,
}


def found(service: Path, family: str, folder: Path) -> list[str]:
    """Return what no test notices in the rules of a family."""
    return [
        survivor
        for number, rule in enumerate(rules(service))
        if family in name_of(rule) and not name_of(rule).startswith(NO_NUMBERS)
        for survivor in survivors(service, rule, folder / str(number))
    ]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_that_changes_makes_a_test_fail(
    service: Path, tmp_path: Path, family: str
) -> None:
    unnoticed = found(service, family, tmp_path)

    assert [survivor for survivor in unnoticed if survivor not in SAME] == []
    assert [same for same in SAME if family in same and same not in unnoticed] == []


def test_every_rule_belongs_to_a_family(service: Path) -> None:
    without = [
        name_of(rule)
        for rule in rules(service)
        if not name_of(rule).startswith(NO_NUMBERS)
        and sum(family in name_of(rule) for family in FAMILIES) != 1
    ]
    assert without == []
    assert sum(len(mutants(rule)) - 1 for rule in rules(service)) > 300


def test_a_number_that_no_test_looks_at_is_noticed(service: Path, tmp_path: Path) -> None:
    """The negative control: without the tests of minutes, a dead service may take hours."""
    kept = tmp_path / "service" / "observability" / "rules"
    (kept / "tests").mkdir(parents=True)
    for file in ("slo.yaml", "alerts.yaml", "tests/hours.yaml"):
        (kept / file).write_text((service / "observability" / "rules" / file).read_text())

    assert "ServiceDown: for 1m -> 2m" in found(tmp_path / "service", "ServiceDown", tmp_path)


def test_promtool_refuses_a_test_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "tests.yaml").write_text("tests: [{alert_rule_tests: []}]\n")
    assert promtool("test", "rules", tmp_path / "tests.yaml").returncode != 0
