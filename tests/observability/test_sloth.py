"""Another generator, sloth, comes to the same windows, factors and ratios for an objective."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import observing
from tests.observability.rules import FILES, RULES, alerts, promtool
from tests.services import Services

pytestmark = [pytest.mark.engine("sloth"), pytest.mark.engine("promtool")]

COUNT = "http_server_request_duration_seconds_count"
BUCKET = "http_server_request_duration_seconds_bucket"
IDENTITY = 'service_namespace="example",service_name="signups",deployment_environment_name="local"'
# What is bad, by the objective that it counts against.
SLIS = {
    "availability": f'sum(rate({COUNT}{{http_response_status_code=~"5.."}}[{{{{.window}}}}]))',
    "latency": f'sum(rate({COUNT}{{http_response_status_code!~"5.."}}[{{{{.window}}}}]))'
    f' - sum(rate({BUCKET}{{http_response_status_code!~"5..",le="0.5"}}[{{{{.window}}}}]))',
}
BAD = {"availability": "errors", "latency": "slow"}

Burn = tuple[str, str, str, float]  # severity, objective, window, share of requests


def generated(folder: Path, objectives: dict[str, float]) -> Path:
    """Let sloth write rules for objectives in percent; return their file."""
    specification = {
        "version": "prometheus/v1",
        "service": "signups",
        "slos": [
            {
                "name": name,
                "objective": objective,
                "sli": {
                    "events": {
                        "error_query": SLIS[name],
                        "total_query": f"sum(rate({COUNT}[{{{{.window}}}}]))",
                    }
                },
                "alerting": {
                    "name": name,
                    "page_alert": {"labels": {"severity": "page"}},
                    "ticket_alert": {"labels": {"severity": "ticket"}},
                },
            }
            for name, objective in objectives.items()
        ],
    }
    (folder / "slo.yaml").write_text(yaml.safe_dump(specification))
    subprocess.run(
        [observing.SLOTH.path, "generate", "-i", folder / "slo.yaml", "-o", folder / "sloth.yaml"],
        check=True,
        capture_output=True,
    )
    return folder / "sloth.yaml"


def _burns(alert: dict[str, Any], objective: str, ratio: str) -> set[Burn]:
    found = re.findall(rf"{ratio}(\w+){{[^}}]*}} > \(?([\d.]+) \* ([\d.e-]+)", alert["expr"])
    assert len(found) == 4
    return {
        (alert["labels"]["severity"], objective, window, round(float(factor) * float(budget), 9))
        for window, factor, budget in found
    }


def of_sloth(file: Path) -> set[Burn]:
    return {
        burn
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
        for burn in _burns(rule, rule["alert"], "slo:sli_error:ratio_rate")
    }


def ours(service: Path) -> set[Burn]:
    return {
        burn
        for alert in alerts(service).values()
        if (objective := alert["labels"].get("slo"))
        for burn in _burns(alert, objective, rf"service:http_server_{BAD[objective]}:ratio_rate")
    }


@pytest.mark.parametrize(("availability", "latency"), [(99.9, 99.0), (95, 99.95), (97.3, 99.999)])
def test_windows_factors_and_budgets_are_those_of_sloth(
    services: Services, tmp_path: Path, availability: float, latency: float
) -> None:
    service = services({"slo_availability": availability, "slo_latency": latency})
    file = generated(tmp_path, {"availability": availability, "latency": latency})

    assert len(ours(service)) == 16
    assert ours(service) == of_sloth(file)


def test_another_objective_is_another_burn(services: Services, tmp_path: Path) -> None:
    file = generated(tmp_path, {"availability": 99.5, "latency": 99.0})
    assert len(ours(services({})) - of_sloth(file)) == 8


def ratios_agree(service: Path, folder: Path, tolerance: float, *, minutes: int = 70) -> str:
    """Return what promtool says when both sets of rules count the same requests."""
    sloth = generated(folder, {"availability": 99.9, "latency": 99.0})
    status = 'service_instance_id="a",http_response_status_code='
    series = {
        f'{COUNT}{{{IDENTITY},{status}"200"}}': "0+97x",
        f'{BUCKET}{{{IDENTITY},{status}"200",le="0.5"}}': "0+90x",
        f'{COUNT}{{{IDENTITY},{status}"500"}}': "0+3x",
        f'{BUCKET}{{{IDENTITY},{status}"500",le="0.5"}}': "0+1x",
    }
    checks = [
        {
            "expr": f"abs(sum(slo:sli_error:ratio_rate{window}"
            f'{{sloth_slo="{objective}"}}) - sum(service:http_server_{bad}:ratio_rate{window}))'
            f" > {tolerance} or vector(0)",
            "eval_time": f"{minutes}m",
            "exp_samples": [{"labels": "{}", "value": 0}],
        }
        for objective, bad in BAD.items()
        for window in ("5m", "30m", "1h")
    ]
    checks += [
        {
            "expr": f"sum(slo:sli_error:ratio_rate1h{{sloth_slo='{objective}'}}) > bool {least}",
            "eval_time": f"{minutes}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for objective, least in {"availability": 0.029, "latency": 0.069}.items()
    ]
    tests = {
        "rule_files": [str(sloth), *(str(service / RULES / name) for name in FILES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": f"{step}{minutes}"} for name, step in series.items()
                ],
                "promql_expr_test": checks,
            }
        ],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    return promtool("test", "rules", folder / "tests.yaml").stdout


def test_ratios_are_those_of_sloth(service: Path, tmp_path: Path) -> None:
    assert "SUCCESS" in ratios_agree(service, tmp_path, 1e-6)


def test_ratios_that_differ_are_noticed(service: Path, tmp_path: Path) -> None:
    """The negative control: nothing agrees within less than nothing."""
    assert "FAILED" in ratios_agree(service, tmp_path, -1)
