"""What a starter costs while it runs: time to healthy, memory, and what its telemetry takes."""

import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.rendering import render

from benchmarks.conftest import Report
from tests.contract.recording import environment
from tests.contract.stacks import STACKS, Stack
from tests.contract.test_collector_gone import memory
from tests.engines.fixtures.collector import Collector
from tests.engines.fixtures.docker import Docker

ROUNDS = 3
SECONDS = 4
USERS = 16
THROUGHPUT_BOUND = 0.8

pytestmark = pytest.mark.engine("docker", "collector", "images", "hey")


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_telemetry_takes_at_most_a_fifth_of_the_requests(
    docker: Docker,
    collector: Collector,
    program: Callable[[str], Path],
    template: Path,
    tmp_path: Path,
    report: Report,
    stack: Stack,
) -> None:
    folder = render(
        template, tmp_path / "service", {"service_name": "signups", "stack": stack.name}
    )
    image = docker.build(folder, target="production")
    rates: dict[str, list[float]] = {"off": [], "on": []}
    healthy, idle, loaded = [], [], []
    for _ in range(ROUNDS):
        for name, endpoint in (("off", ""), ("on", collector.endpoint_for_containers)):
            # One core for the service, so that it is the service that is measured.
            variables = environment(endpoint, LOG_LEVEL="warn")
            with docker.container(image, environment=variables, options=["--cpus=1"]) as container:
                healthy.append(container.healthy())
                idle.append(memory(docker, container.name))
                answered = load(program("hey"), f"{container.url}/signups")
                rates[name].append(answered)
                if name == "on":
                    loaded.append(memory(docker, container.name))
    off, on = (statistics.median(rates[name]) for name in ("off", "on"))
    report(f"{stack}: time to healthy", f"{statistics.median(healthy):.1f} s", "")
    report(f"{stack}: memory idle", f"{statistics.median(idle) / 1e6:.0f} MB", "")
    report(f"{stack}: memory under load", f"{max(loaded) / 1e6:.0f} MB", "256 MB")
    report(f"{stack}: requests a second, telemetry off", f"{off:.0f}", "")
    report(f"{stack}: requests a second, telemetry on", f"{on:.0f}", "")
    report(f"{stack}: ratio", f"{on / off:.2f}", f"at least {THROUGHPUT_BOUND}")
    assert max(loaded) < 256e6
    assert on / off >= THROUGHPUT_BOUND


def load(hey: Path, url: str) -> float:
    """Sign up from many connections for some seconds; the requests a second."""
    done = subprocess.run(
        [hey, "-z", f"{SECONDS}s", "-c", str(USERS), "-cpus", "1", "-m", "POST",
         "-T", "application/json", "-d", '{"email": "load@example.com"}', url],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    codes = re.findall(r"\[(\d+)\]\s+\d+ responses", done.stdout)
    assert codes == ["201"], done.stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])
