"""How long a complete outage lasts before somebody is paged.

Measured in shortened time, calculated for real time by the same formula, from the service's files.
"""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
import yaml
from slipway.rendering import render

from benchmarks.conftest import Report
from tests.engines.fixtures.backends import rule_files
from tests.engines.fixtures.docker import Docker
from tests.observability import live

ALERT = "AvailabilityBudgetBurnsFast"
FACTOR = 30
ROUNDS = 3
# What a test machine that does other things may add, in seconds.
SLACK = 3.0
HEALTHY = (
    'service:http_server_requests:increase1m{service_namespace="example",'
    'service_name="signups",deployment_environment_name="local"}'
)

pytestmark = pytest.mark.engine(
    "docker", "collector", "images", "prometheus", "promtool", "alertmanager"
)


@dataclass(frozen=True)
class Way:
    """The way of a failed request to a pager; every field is in seconds.

    Attributes:
        burn: until a complete outage has used what the alert allows of the long window.
        export: from one export of the service to the next.
        collected: how long the collector gathers.
        counted: from one evaluation of the recording rules to the next.
        judged: the same of the alerts.
        grouped: how long Alertmanager waits for others of its group.

    """

    burn: float
    export: float
    collected: float
    counted: float
    judged: float
    grouped: float

    @property
    def longest(self) -> float:
        """Return the sum: each step has just missed the one before."""
        return self.burn + self.export + self.collected + self.counted + self.judged + self.grouped


def test_a_complete_outage_pages_as_soon_as_calculated(
    docker: Docker, template: Path, tmp_path: Path, report: Report
) -> None:
    service = render(template, tmp_path / "service", {"service_name": "signups"})
    image = docker.build(service, target="production")
    real = way(service)
    shortened = Way(
        burn=real.burn / FACTOR,
        export=live.EXPORT_MILLISECONDS / 1000,
        collected=0.1,
        counted=real.counted / FACTOR,
        judged=real.judged / FACTOR,
        grouped=real.grouped / FACTOR,
    )
    with ThreadPoolExecutor(ROUNDS) as pool:
        rounds = [
            pool.submit(seconds_to_page, docker, image, service, tmp_path / f"{number}")
            for number in range(ROUNDS)
        ]
        measured = [one.result() for one in rounds]
    report(f"an outage to its page, time {FACTOR} times faster", f"{median(measured):.1f} s", "")
    report("the same, at most by calculation", f"{shortened.longest:.1f} s", "")
    report("an outage to its page, at most by calculation", f"{real.longest:.0f} s", "5 minutes")
    assert shortened.burn < median(measured) < shortened.longest + SLACK
    assert real.longest < 5 * 60


def seconds_to_page(docker: Docker, image: str, service: Path, folder: Path) -> float:
    """Run a service that was healthy for an hour, fail every request, and wait for the page."""
    past = live.history({HEALTHY: lambda _: 60}, FACTOR, tuple(range(120, 0, -1)))
    with live.scene(
        docker, image, service, folder, factor=FACTOR, past=past, pace={"sign_ups": 1}
    ) as scene:
        time.sleep(5)
        assert not [one for one in live.arrivals(scene.backends) if one.name == ALERT]
        scene.surroundings.closed_every, fault = 1, time.time()
        return live.wait(scene.backends, ALERT, 60).at - fault


def way(service: Path) -> Way:
    """Read every step from the files of a service."""
    groups = [
        group
        for file in rule_files(service)
        for group in yaml.safe_load(file.read_text())["groups"]
    ]

    def seconds(text: str) -> float:
        return live.duration(text).total_seconds()

    def every(holds: Callable[[dict[str, str]], bool]) -> float:
        (found,) = (group for group in groups if any(holds(rule) for rule in group["rules"]))
        return seconds(found["interval"])

    (alert,) = (r for group in groups for r in group["rules"] if r.get("alert") == ALERT)
    burned = re.search(r"ratio_rate(\w+){[^}]*} > ([\d.]+) \* ([\d.]+)", alert["expr"])
    assert burned, alert["expr"]
    window, factor, budget = burned.groups()
    observability = service / "observability"
    export = re.search(
        r"OTEL_METRIC_EXPORT_INTERVAL:-(\d+)", (service / "compose.yaml").read_text()
    )
    assert export
    backends = yaml.safe_load((observability / "backends.yaml").read_text())
    queue = backends["exporters"]["otlp_http/prometheus"]["sending_queue"]
    routes = yaml.safe_load((observability / "local/alertmanager.yaml").read_text())["route"]
    return Way(
        burn=seconds(window) * float(factor) * float(budget),
        export=int(export[1]) / 1000,
        collected=seconds(queue["batch"]["flush_timeout"]),
        counted=every(lambda r: r.get("record") == "service:http_server_errors:increase1m"),
        judged=every(lambda r: r.get("alert") == ALERT),
        grouped=seconds(routes["group_wait"]),
    )
