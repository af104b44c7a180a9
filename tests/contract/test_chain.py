"""Rendered services that call each other share one trace."""

from pathlib import Path

import httpx

from tests.contract.recording import environment
from tests.contract.stacks import Stack
from tests.engines.fixtures import collector as collectors
from tests.engines.fixtures.docker import Docker


def test_two_services_share_one_trace(
    docker: Docker, image: str, stack: Stack, tmp_path: Path
) -> None:
    addresses = ("127.0.0.1", docker.gateway())
    with collectors.running(tmp_path, addresses=addresses) as collector:
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


def test_an_upstream_that_fails_is_recorded_and_handled(
    docker: Docker, image: str, tmp_path: Path
) -> None:
    addresses = ("127.0.0.1", docker.gateway())
    with collectors.running(tmp_path, addresses=addresses) as collector:
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
