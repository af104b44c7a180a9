"""SIGTERM under load: nobody notices."""

import threading
import time

import httpx
import pytest

from tests.contract.conftest import Build
from tests.contract.load import Balancer, Outcome
from tests.contract.recording import environment, upstream
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.collector import Collector
from tests.engines.fixtures.docker import Docker


def stopped_under_load(docker: Docker, collector: Collector, image: str) -> tuple[Outcome, int]:
    """Put a load on the image, stop it and the collector, and say what its users noticed."""
    variables = environment(collector.endpoint_for_containers, LOG_LEVEL="info")
    with docker.container(image, environment=variables) as container:
        container.healthy()
        load = Balancer(container.url)
        load.start(seconds=20)
        time.sleep(2)
        exit_code = container.stop()
        outcome = load.wait()
    collector.stop()
    return outcome, exit_code


def test_sigterm_under_load_fails_no_request_and_flushes_every_signal(
    docker: Docker, collector: Collector, image: str
) -> None:
    outcome, exit_code = stopped_under_load(docker, collector, image)
    assert exit_code == 0
    assert outcome.total > 100
    assert not outcome.noticed, outcome.noticed
    answered = outcome.answered.total()
    spans = [span for span in collector.spans() if span.kind == "server"]
    assert len(spans) == answered
    records = [one for one in collector.log_records() if one.body == "request"]
    assert len(records) == answered
    last = [one for one in collector.metrics() if one.name == "app.signups"][-1]
    assert last.points[0].value == answered


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("fault", ["exits at once", "does not flush"])
def test_the_load_notices_a_stop_that_is_not_graceful(
    docker: Docker, collector: Collector, built: Build, stack: Stack, fault: str
) -> None:
    image = built(stack, stack.shutdown_faults[fault])
    outcome, _ = stopped_under_load(docker, collector, image)
    spans = [span for span in collector.spans() if span.kind == "server"]
    lost = outcome.answered.total() - len(spans)
    assert outcome.noticed or lost > 0, "the control lost nothing: the proof beside it is empty"


def test_a_running_request_is_finished(docker: Docker, image: str) -> None:
    """The upstream answers after 1.5 s: longer than the listener stays open."""
    with upstream(docker.gateway(), seconds=1.5) as (url, _):
        variables = environment("", UPSTREAM_URL=url)
        with docker.container(image, environment=variables) as container:
            container.healthy()
            answers: list[int] = []
            address = f"{container.url}/signups"

            def ask() -> None:
                answer = httpx.post(address, json={"email": "slow@example.com"}, timeout=30)
                answers.append(answer.status_code)

            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(0.3)
            exit_code = container.stop()
            thread.join()
    assert answers == [201]
    assert exit_code == 0


def test_readiness_is_false_while_requests_are_still_answered(docker: Docker, image: str) -> None:
    with docker.container(image, environment=environment("")) as container:
        container.healthy()
        url = container.url
        container.signal("TERM")
        time.sleep(0.3)
        assert httpx.get(f"{url}/readyz").status_code == 503
        assert httpx.get(f"{url}/livez").status_code == 200
        assert httpx.post(f"{url}/signups", json={"email": "a@example.com"}).status_code == 201
        assert container.wait() == 0
