"""Rendered services that call each other share one trace."""

import contextlib

import httpx

from tests.contract.conftest import Build
from tests.contract.recording import environment
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.collector import Collector
from tests.engines.fixtures.docker import Docker


def test_two_services_share_one_trace(
    docker: Docker, collector: Collector, image: str, stack: Stack
) -> None:
    endpoint = collector.endpoint_for_containers
    back = environment(endpoint, OTEL_SERVICE_NAME="back")
    with docker.container(image, environment=back) as second:
        second.healthy()
        address = f"http://{second.address}:8080/"
        front = environment(endpoint, OTEL_SERVICE_NAME="front", UPSTREAM_URL=address)
        with docker.container(image, environment=front) as first:
            first.healthy()
            answer = httpx.post(f"{first.url}/signups", json={"email": "a@example.com"})
            assert answer.status_code == 201
            first.stop()
        second.stop()
    collector.stop()
    trace_id = answer.headers["traceresponse"].split("-")[1]
    spans = {span.span_id: span for span in collector.spans() if span.trace_id == trace_id}
    served = {
        span.resource["service.name"]: span for span in spans.values() if span.kind == "server"
    }
    assert set(served) == {"front", "back"}, f"{stack}: one trace with both services"
    caller = spans[served["back"].parent_span_id]
    assert caller.kind == "client"
    assert caller.resource["service.name"] == "front"


def test_one_service_of_each_stack_share_one_trace_and_a_fault_at_its_end(
    docker: Docker, collector: Collector, built: Build
) -> None:
    """Each stack calls the next of the table; the last one's upstream is gone."""
    images = {stack.name: built(stack) for stack in STACKS}
    with contextlib.ExitStack() as running:
        upstream = "http://host.docker.internal:9"
        containers = []
        for name, image in reversed(images.items()):
            variables = environment(
                collector.endpoint_for_containers, OTEL_SERVICE_NAME=name, UPSTREAM_URL=upstream
            )
            container = running.enter_context(docker.container(image, environment=variables))
            container.healthy()
            upstream = f"http://{container.address}:8080"
            containers.append(container)
        answer = httpx.post(f"{container.url}/signups", json={"email": "a@example.com"})
        for container in containers:
            container.stop()
    collector.stop()
    assert answer.status_code == 201
    trace_id = answer.headers["traceresponse"].split("-")[1]
    spans = [span for span in collector.spans() if span.trace_id == trace_id]
    served = {span.resource["service.name"] for span in spans if span.kind == "server"}
    assert served == set(images)
    failed = [span for span in spans if span.status == "error"]
    assert [span.resource["service.name"] for span in failed] == [STACKS[-1].name]
    assert failed[0].attributes["error.type"]


def test_an_upstream_that_fails_is_recorded_and_handled(
    docker: Docker, collector: Collector, image: str
) -> None:
    # Nobody listens on this port of the host.
    gone = environment(
        collector.endpoint_for_containers, UPSTREAM_URL="http://host.docker.internal:9"
    )
    with docker.container(image, environment=gone) as container:
        container.healthy()
        answer = httpx.post(f"{container.url}/signups", json={"email": "a@example.com"})
        container.stop()
    collector.stop()
    assert answer.status_code == 201
    outgoing = [span for span in collector.spans() if span.kind == "client"]
    assert [span.status for span in outgoing] == ["error"]
    assert outgoing[0].attributes["error.type"]
    errors = [one for one in collector.log_records() if one.severity == "error"]
    assert len(errors) == 1
    assert errors[0].attributes["error.type"]
    assert errors[0].trace_id == answer.headers["traceresponse"].split("-")[1]
