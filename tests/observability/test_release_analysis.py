"""What a canary is judged by: its own pods' requests, of those pods that are there."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.observability.rules import RULES, promtool
from tests.services import Services

pytestmark = pytest.mark.engine("promtool")

HASH = "5d8f7c9b44"
MINUTES = 10


@dataclass(frozen=True)
class Pod:
    """A pod that reports four times a minute.

    Attributes:
        name: its last part.
        good: requests a second.
        bad: failed requests a second.
        slow: those of the good ones that take longer than the objective allows.
        ends: the minute in which it is gone.

    """

    name: str
    good: int
    bad: int = 0
    slow: int = 0
    ends: int = MINUTES

    def series(self) -> list[dict[str, str]]:
        """Return what promtool is given."""
        labels = f'service_namespace="example",service_name="signups",k8s_pod_name="{self.name}"'
        samples = self.ends * 4
        gone = f" _x{MINUTES * 4 - samples}" if self.ends < MINUTES else ""

        def grows(metric: str, a_second: int, more: str) -> dict[str, str]:
            values = f"0+{a_second * 15}x{samples}{gone}"
            return {"series": f"{metric}{{{labels},{more}}}", "values": values}

        requests = "http_server_request_duration_seconds"
        found = [grows("process_cpu_time_seconds_total", 1, 'cpu_mode="user"')]
        for code, a_second, slow in (("200", self.good, self.slow), ("500", self.bad, 0)):
            status = f'http_response_status_code="{code}"'
            found.append(grows(f"{requests}_count", a_second, status))
            found.append(grows(f"{requests}_bucket", a_second - slow, f'{status},le="0.5"'))
        return found


@pytest.fixture(scope="module")
def canary(services: Services) -> Path:
    return services({"rollout": "canary"})


def queries(canary: Path) -> dict[str, str]:
    """Return what is asked for each metric of a release."""
    template = yaml.safe_load((canary / "deploy/components/canary/analysis.yaml").read_text())
    return {
        metric["name"]: metric["provider"]["prometheus"]["query"].replace("{{args.pods}}", HASH)
        for metric in template["spec"]["metrics"]
    }


def complaint(canary: Path, folder: Path, query: str, pods: list[Pod], wanted: float | None) -> str:
    """Return what promtool says when a query has another result; None stands for none at all."""
    found = [] if wanted is None else [{"labels": "{}", "value": wanted}]
    check = {"expr": query, "eval_time": f"{MINUTES}m", "exp_samples": found}
    series = [one for pod in pods for one in pod.series()]
    tests = {
        "rule_files": [str(canary / RULES / "slo.yaml")],
        "evaluation_interval": "1m",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": [check]}],
    }
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump(tests))
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout


NEW, STABLE = f"signups-{HASH}-aaaaa", "signups-6c79d5f4b7-bbbbb"


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        pytest.param([Pod(NEW, 4)], 0, id="a good release"),
        pytest.param([Pod(NEW, 4, 1), Pod(STABLE, 9)], 0.2, id="a bad one beside a good one"),
        pytest.param([Pod(NEW, 0), Pod(STABLE, 9)], None, id="one that nobody asks"),
        pytest.param(
            [Pod(NEW, 0), Pod(f"signups-{HASH}-ccccc", 9, ends=8)],
            None,
            id="one that nobody asks, whose earlier try was asked",
        ),
    ],
)
def test_a_release_is_judged_by_the_pods_that_are_there(
    canary: Path, tmp_path: Path, pods: list[Pod], wanted: float | None
) -> None:
    assert complaint(canary, tmp_path, queries(canary)["errors"], pods, wanted) == ""


@pytest.mark.parametrize(("slow", "wanted"), [(0, 0), (1, 0.25)])
def test_a_release_is_judged_by_its_slow_answers(
    canary: Path, tmp_path: Path, slow: int, wanted: float
) -> None:
    pods = [Pod(NEW, 4, slow=slow)]

    assert complaint(canary, tmp_path, queries(canary)["slow"], pods, wanted) == ""


def test_without_the_look_at_who_is_there_an_earlier_try_speaks_for_the_next(
    canary: Path, tmp_path: Path
) -> None:
    """The negative control."""
    query = queries(canary)["errors"]
    blind = "\n".join(line for line in query.splitlines() if "and on (k8s_pod_name)" not in line)
    pods = [Pod(NEW, 0), Pod(f"signups-{HASH}-ccccc", 9, ends=8)]

    assert complaint(canary, tmp_path, blind, pods, None) != ""
    assert complaint(canary, tmp_path, query, pods, None) == ""
