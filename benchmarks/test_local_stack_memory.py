"""How much memory the local stack takes while a service works, beside what its limits allow."""

import time
from pathlib import Path

import httpx
import pytest
from slipway.rendering import render

from benchmarks.conftest import Report
from tests.contract.test_compose import project
from tests.engines.fixtures.docker import Docker

SECONDS = 30
# What watches the service and is the real program here; Tempo and Grafana have stand-ins.
PROGRAMS = ("collector", "prometheus", "alertmanager", "loki")

pytestmark = pytest.mark.engine("docker", "images", "observers")


def test_the_programs_of_the_local_stack_stay_within_their_limits(
    docker: Docker, template: Path, tmp_path: Path, report: Report
) -> None:
    folder = render(template, tmp_path / "watched", {"service_name": "signups", "stack": "python"})
    with project(docker, folder) as service:
        service.make("observe")
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            httpx.post(f"{service.url}/signups", json={"email": "a@example.com"})
        containers = {one: service.compose("ps", "--quiet", one).strip() for one in PROGRAMS}
        used = {one: docker.memory(name) for one, name in containers.items()}
        limits = {
            one: docker.inspect(name)["HostConfig"]["Memory"] for one, name in containers.items()
        }
    for name in PROGRAMS:
        report(f"memory of {name}", mebibytes(used[name]), mebibytes(limits[name]))
        assert 0 < used[name] < limits[name]
    total = mebibytes(sum(used.values()))
    report("memory of these four", total, mebibytes(sum(limits.values())))


def mebibytes(amount: float) -> str:
    """Return bytes as people read them."""
    return f"{amount / 2**20:.0f} MiB"
