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
    variables = environment(
        collector.endpoint_for_containers,
        LOG_LEVEL="info",
        # Longer than the load: what arrives has been flushed at the stop.
        OTEL_METRIC_EXPORT_INTERVAL="60000",
    )
    with docker.container(image, environment=variables) as container:
        container.healthy()
        load = Balancer(container.url)
        load.start(seconds=20)
        time.sleep(2)
        exit_code = container.stop()
        outcome = load.wait()
    collector.stop()
    return outcome, exit_code


def recorded(collector: Collector) -> dict[str, float]:
    """Return how many requests each signal knows of."""
    signups = [one for one in collector.metrics() if one.name == "app.signups"]
    return {
        "spans": sum(span.kind == "server" for span in collector.spans()),
        "log records": sum(one.body == "request" for one in collector.log_records()),
        "metrics": signups[-1].points[0].value if signups else 0,
    }


def test_sigterm_under_load_fails_no_request_and_flushes_every_signal(
    docker: Docker, collector: Collector, image: str
) -> None:
    outcome, exit_code = stopped_under_load(docker, collector, image)
    assert exit_code == 0
    assert outcome.total > 100
    assert not outcome.noticed, outcome.noticed
    answered = outcome.answered.total()
    assert recorded(collector) == {
        "spans": answered,
        "log records": answered,
        "metrics": answered,
    }


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("fault", ["exits at once", "does not flush"])
def test_the_load_notices_a_stop_that_is_not_graceful(
    docker: Docker, collector: Collector, built: Build, stack: Stack, fault: str
) -> None:
    image = built(stack, stack.shutdown_faults[fault])
    outcome, _ = stopped_under_load(docker, collector, image)
    answered = outcome.answered.total()
    lost = [signal for signal, count in recorded(collector).items() if count < answered]
    assert outcome.noticed or lost, "the control lost nothing: the proof beside it is empty"


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
