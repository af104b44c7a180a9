"""The rules of a service, whatever its answers: read, linted, and run by its own tests."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import observing
from tests.observability.rules import FILES, RULES, WINDOWS, alerts, groups, promtool, rules
from tests.services import Services

ANSWERS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "the lowest objectives": {
        **{"slo_availability": 95, "slo_latency": 95, "slo_latency_seconds": 0.1},
        **{"environments": ["production"], "business_metrics": {"a": "gauge"}},
    },
    "high objectives": {
        **{"slo_availability": 99.999, "slo_latency": 99.95, "slo_latency_seconds": 2.5},
        **{"environments": ["dev", "eu", "us"], "production_environments": ["eu", "us"]},
        "business_metrics": {f"metric_{n}": "counter" for n in range(12)},
    },
    "nothing of the business": {
        **{"starter": False, "slo_availability": 97.3, "slo_latency": 99.9},
        **{"repository_url": "https://gitlab.com/group/signups", "team": "0x1f"},
        "description": 'a "quoted" {{ $value }} \\ # text',
    },
}
REQUIRED = ("summary", "description", "runbook_url", "dashboard_url")
PINT = """
rule {
  match {
    kind = "alerting"
  }
  annotation "summary" {
    severity = "bug"
    required = true
  }
  annotation "description" {
    severity = "bug"
    required = true
  }
  annotation "runbook_url" {
    severity = "bug"
    required = true
  }
  annotation "dashboard_url" {
    severity = "bug"
    required = true
  }
  label "severity" {
    severity = "bug"
    required = true
    value    = "page|ticket|log|none"
  }
}
"""


@pytest.fixture(params=list(ANSWERS.values()), ids=list(ANSWERS))
def answered(request: pytest.FixtureRequest, services: Services) -> Path:
    return services(request.param)


# -- promtool and pint -----------------------------------------------------------------------------


@pytest.mark.engine("promtool")
def test_promtool_finds_nothing(answered: Path) -> None:
    files = [answered / RULES / name for name in FILES]
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.engine("promtool")
def test_promtool_finds_a_rule_that_stands_there_twice(service: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((service / RULES / "slo.yaml").read_text())
    content["groups"][0]["rules"].append(content["groups"][0]["rules"][0])
    (tmp_path / "slo.yaml").write_text(yaml.safe_dump(content))

    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "slo.yaml")
    assert checked.returncode != 0
    assert "duplicate rule" in checked.stdout


@pytest.mark.timeout(900)
@pytest.mark.engine("promtool")
def test_the_tests_of_the_rules_pass(answered: Path) -> None:
    files = sorted((answered / RULES / "tests").glob("*.yaml"))
    tested = promtool("test", "rules", *files)
    assert tested.returncode == 0, tested.stdout
    assert tested.stdout.count("SUCCESS") == len(files) == 4


def pint(folder: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    configuration.write_text(PINT)
    files = [str(folder / name) for name in FILES]
    return subprocess.run(
        [
            *(observing.PINT.path, "--offline", "-n", "-c", configuration),
            *("lint", "--min-severity=info", *files),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.engine("pint")
def test_pint_finds_nothing(answered: Path, tmp_path: Path) -> None:
    linted = pint(answered / RULES, tmp_path / "pint.hcl")
    assert linted.returncode == 0, linted.stdout


@pytest.mark.engine("pint")
@pytest.mark.parametrize(
    ("old", "new"),
    [("runbook_url:", "runbook:"), ("sum by (job)", "sum by (job, job"), ("> 0)", ">)")],
)
def test_pint_finds_a_slip(service: Path, tmp_path: Path, old: str, new: str) -> None:
    for name in FILES:
        text = (service / RULES / name).read_text()
        (tmp_path / name).write_text(text.replace(old, new, 1))
    assert pint(tmp_path, tmp_path / "pint.hcl").returncode != 0


# -- what promtool cannot know ---------------------------------------------------------------------


def test_a_cluster_gets_the_same_rules(answered: Path) -> None:
    of_files = [group for name in FILES for group in groups(answered / RULES / name)]
    assert groups(answered / RULES / "prometheus-rule.yaml") == of_files


def test_the_minute_of_the_counts_is_the_interval_of_their_group(service: Path) -> None:
    [group] = groups(service / RULES / "slo.yaml")
    offsets = {
        offset
        for rule in group["rules"]
        if str(rule["record"]).endswith("increase1m")
        for offset in re.findall(r"offset (\w+)", rule["expr"])
    }
    assert {group["interval"]} == offsets == {"1m"}


def test_every_window_has_its_rule(service: Path) -> None:
    recorded = {rule["record"] for rule in rules(service) if "record" in rule}
    for bad in ("errors", "slow"):
        assert {f"service:http_server_{bad}:ratio_rate{window}" for window in WINDOWS} <= recorded


def test_alerts_are_few_and_say_what_to_do(answered: Path) -> None:
    found = alerts(answered)
    answers = yaml.safe_load((answered / ".copier-answers.yml").read_text())
    code = answers["repository_url"] + ("/-" if "gitlab" in answers["repository_url"] else "")

    assert 8 <= len(found) <= 10
    for name, alert in found.items():
        annotations = alert["annotations"]
        assert set(annotations) == set(REQUIRED)
        assert "{{" not in "".join(annotations.values()), f"{name}: written out, please"
        assert annotations["runbook_url"] == f"{code}/blob/HEAD/runbooks/{name}.md"
        assert (answered / "runbooks" / f"{name}.md").is_file()
        assert alert["labels"]["team"] == answers["team"]
        board = re.fullmatch(
            re.escape(f"{answers['grafana_url']}/d/{answers['service_name']}-") + "(.*)",
            annotations["dashboard_url"],
        )
        assert board
        assert (answered / "observability/dashboards" / f"{board[1]}.json").is_file()
        assert len(annotations["summary"]) < 120


def test_alerts_say_the_numbers_that_they_act_on(answered: Path) -> None:
    for name, alert in alerts(answered).items():
        if "BudgetBurns" not in name:
            continue
        thresholds = re.findall(r"> ([\d.]+) \* ([\d.]+)", alert["expr"])
        assert len(thresholds) == 4
        told = alert["annotations"]["description"]
        for factor, budget in thresholds:
            assert (
                f" {100 * float(factor) * float(budget):.8f}".rstrip("0").rstrip(".") + " %" in told
            )


def test_only_production_and_a_developer_s_machine_alert(services: Services) -> None:
    service = services(ANSWERS["high objectives"])
    for name, alert in alerts(service).items():
        if name not in ("CollectorDropsData", "Watchdog"):
            selected = set(re.findall(r"deployment_environment_name=~\"([^\"]*)\"", alert["expr"]))
            assert selected == {"local|eu|us"}, name


def test_a_service_without_counters_has_no_alert_on_them(services: Services) -> None:
    assert "BusinessMetricStopped" in alerts(services({}))
    assert "BusinessMetricStopped" not in alerts(services(ANSWERS["the lowest objectives"]))
