"""What a starter costs while it runs: time to healthy, memory, and what its telemetry takes."""

import os
import re
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.rendering import render

from benchmarks.conftest import Report
from tests.contract.recording import environment
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.collector import Collector
from tests.engines.fixtures.docker import Docker
from tests.engines.plugin import RunCollector

ROUNDS = 3
SECONDS = 4
USERS = 16
THROUGHPUT_BOUND = 0.8
MEMORY_BOUND = 1.5

pytestmark = pytest.mark.engine("docker", "collector", "images", "hey")


@dataclass(frozen=True)
class Load:
    """What one load of some seconds showed; times in seconds, memory in bytes."""

    requests: int
    requests_a_second: float
    p99: float
    memory: float


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_telemetry_takes_at_most_a_fifth_of_the_requests(
    docker: Docker,
    run_collector: RunCollector,
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
    loads: dict[str, list[Load]] = {"off": [], "on": []}
    healthy, idle, seconds = [], [], 0.0
    with run_collector(folder / "observability/collector.yaml") as collector:
        for _ in range(ROUNDS):
            for name, endpoint in (("off", ""), ("on", collector.endpoint_for_containers)):
                # One core for the service, so that it is the service that is measured.
                variables = environment(endpoint, LOG_LEVEL="warn")
                with docker.container(
                    image, environment=variables, options=["--cpus=1"]
                ) as container:
                    healthy.append(container.healthy())
                    idle.append(docker.memory(container.name))
                    before = processor_seconds(collector)
                    loads[name].append(
                        load(
                            program("hey"),
                            f"{container.url}/signups",
                            lambda: docker.memory(container.name),
                        )
                    )
                # After the stop, whose flush the collector takes too.
                if name == "on":
                    seconds += processor_seconds(collector) - before
    off, on = (
        statistics.median(one.requests_a_second for one in loads[name]) for name in ("off", "on")
    )
    p99_off, p99_on = (statistics.median(one.p99 for one in loads[name]) for name in ("off", "on"))
    used_off, used_on = (
        statistics.median(one.memory for one in loads[name]) for name in ("off", "on")
    )
    per_thousand = seconds / sum(one.requests for one in loads["on"]) * 1000
    report(f"{stack}: time to healthy", f"{statistics.median(healthy):.1f} s", "")
    report(f"{stack}: memory idle", f"{statistics.median(idle) / 1e6:.0f} MB", "")
    report(f"{stack}: memory under load, telemetry off", f"{used_off / 1e6:.0f} MB", "")
    report(f"{stack}: memory under load, telemetry on", f"{used_on / 1e6:.0f} MB", "256 MB")
    report(f"{stack}: ratio", f"{used_on / used_off:.2f}", f"at most {MEMORY_BOUND}")
    report(f"{stack}: requests a second, telemetry off", f"{off:.0f}", "")
    report(f"{stack}: requests a second, telemetry on", f"{on:.0f}", "")
    report(f"{stack}: ratio", f"{on / off:.2f}", f"at least {THROUGHPUT_BOUND}")
    report(f"{stack}: p99, telemetry off", f"{p99_off * 1000:.0f} ms", "")
    report(f"{stack}: p99, telemetry on", f"{p99_on * 1000:.0f} ms", "")
    report(f"{stack}: the collector's processor, per 1,000 requests", f"{per_thousand:.2f} s", "")
    assert max(one.memory for one in loads["on"]) < 256e6
    assert on / off >= THROUGHPUT_BOUND
    assert used_on / used_off <= MEMORY_BOUND


def load(hey: Path, url: str, memory_now: Callable[[], float]) -> Load:
    """Sign up from many connections for some seconds."""
    done = subprocess.run(
        [hey, "-z", f"{SECONDS}s", "-c", str(USERS), "-cpus", "1", "-m", "POST",
         "-T", "application/json", "-d", '{"email": "load@example.com"}', url],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    codes = re.findall(r"\[(\d+)\]\s+(\d+) responses", done.stdout)
    assert [code for code, _ in codes] == ["201"], done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%+ in ([\d.]+) secs", done.stdout)
    assert rate, done.stdout
    assert p99, done.stdout
    return Load(int(codes[0][1]), float(rate[1]), float(p99[1]), memory_now())


def processor_seconds(collector: Collector) -> float:
    """Return the seconds of processor that a collector has used.

    Source: proc_pid_stat(5), fields utime and stime in clock ticks.
    """
    fields = Path(f"/proc/{collector.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
