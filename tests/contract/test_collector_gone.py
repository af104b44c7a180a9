"""A collector that is gone costs neither answers nor memory."""

import time

import httpx

from tests.contract.load import Balancer
from tests.contract.recording import environment
from tests.engines.fixtures.docker import Docker


def test_the_service_keeps_serving_and_its_memory_stays_bounded(docker: Docker, image: str) -> None:
    # Nobody listens on this port of the host.
    variables = environment("http://host.docker.internal:9", LOG_LEVEL="info")
    with docker.container(image, environment=variables) as container:
        container.healthy()
        first = Balancer(container.url)
        first.start(seconds=4)
        assert not first.wait().noticed
        early = docker.memory(container.name)
        second = Balancer(container.url)
        second.start(seconds=8)
        outcome = second.wait()
        assert not outcome.noticed, outcome.noticed
        assert outcome.total > 200
        grown = docker.memory(container.name) - early
        assert grown < 24e6, f"{grown / 1e6:.0f} MB more after {outcome.total} requests"
        assert httpx.get(f"{container.url}/readyz").status_code == 200
        started = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - started < 6, "a flush without a collector must give up"
