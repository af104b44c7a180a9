"""How much memory the local stack takes while a service works, beside what its limits allow."""

import json
import re
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
        used = {one: memory(docker, service.compose("ps", "--quiet", one)) for one in PROGRAMS}
    for name, (now, limit) in used.items():
        report(f"memory of {name}", f"{now / 2**20:.0f} MiB", f"{limit / 2**20:.0f} MiB")
        assert 0 < now < limit
    total, limits = (sum(one[index] for one in used.values()) for index in (0, 1))
    report("memory of these four", f"{total / 2**20:.0f} MiB", f"{limits / 2**20:.0f} MiB")


def memory(docker: Docker, container: str) -> tuple[float, float]:
    """Return the memory of a container and its limit, in bytes, as docker stats counts them."""
    said = docker.run("stats", "--no-stream", "--format=json", container.strip()).stdout
    now, limit = (in_bytes(one) for one in json.loads(said)["MemUsage"].split(" / "))
    return now, limit


def in_bytes(text: str) -> float:
    """Return what docker writes as 12.5MiB in bytes."""
    number, unit = re.fullmatch(r"([\d.]+)([KMG]i)?B", text).groups()  # type: ignore[union-attr]
    return float(number) * {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]
