"""The collector keeps what it receives, and the harness reads it back."""

import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.fixtures.collector import Collector
from tests.engines.fixtures.docker import Docker
from tests.engines.plugin import RunCollector

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
NOW = 1_800_000_000_000_000_000


def attribute(key: str, **value: object) -> dict[str, Any]:
    return {"key": key, "value": value}


RESOURCE = {"attributes": [attribute("service.name", stringValue="sender")]}
TRACES = {
    "resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"scope": {"name": "s"}, "spans": [{
        "name": "GET /signups/{id}", "kind": 2, "traceId": TRACE, "spanId": SPAN,
        "parentSpanId": PARENT, "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 5),
        "attributes": [
            attribute("http.response.status_code", intValue="200"),
            attribute("tags", arrayValue={"values": [{"stringValue": "a"}, {"boolValue": True}]}),
        ],
        "events": [{"name": "exception", "timeUnixNano": str(NOW + 1),
                    "attributes": [attribute("exception.type", stringValue="ValueError")]}],
        "status": {"code": 2},
    }]}]}]
}  # fmt: skip
METRICS = {
    "resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"metrics": [
        {"name": "app.signups", "unit": "{signup}", "sum": {
            "isMonotonic": True, "aggregationTemporality": 2,
            "dataPoints": [{"asInt": "3", "timeUnixNano": str(NOW)}]}},
        {"name": "http.server.request.duration", "unit": "s", "histogram": {
            "aggregationTemporality": 2, "dataPoints": [{
                "count": "2", "sum": 0.5, "explicitBounds": [0.1], "bucketCounts": ["1", "1"],
                "timeUnixNano": str(NOW),
                "attributes": [attribute("http.route", stringValue="/signups")]}]}},
    ]}]}]
}  # fmt: skip
LOGS = {
    "resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": {"name": "l"}, "logRecords": [{
        "body": {"stringValue": "request"}, "severityText": "info", "severityNumber": 9,
        "timeUnixNano": str(NOW), "traceId": TRACE, "spanId": SPAN,
    }]}]}]
}  # fmt: skip


def send(collector: Collector) -> None:
    with httpx.Client(base_url=collector.endpoint, trust_env=False) as client:
        for path, body in {"traces": TRACES, "metrics": METRICS, "logs": LOGS}.items():
            client.post(f"/v1/{path}", json=body).raise_for_status()


def test_all_three_signals_are_read_back(collector: Collector) -> None:
    send(collector)

    (span,) = collector.wait_for(Collector.spans)
    assert (span.name, span.kind, span.status) == ("GET /signups/{id}", "server", "error")
    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE, SPAN, PARENT)
    assert span.attributes == {"http.response.status_code": 200, "tags": ["a", True]}
    assert span.events[0].attributes == {"exception.type": "ValueError"}
    assert span.resource == {"service.name": "sender"}
    assert span.end - span.start == 5

    counter, histogram = collector.wait_for(Collector.metrics)
    assert (counter.kind, counter.monotonic, counter.points[0].value) == ("sum", True, 3)
    assert histogram.points[0].count == 2
    assert histogram.points[0].buckets == (1, 1)
    assert histogram.points[0].attributes == {"http.route": "/signups"}

    (record,) = collector.wait_for(Collector.log_records)
    assert (record.body, record.severity, record.span_id) == ("request", "info", SPAN)

    assert "ValueError" in collector.text()
    assert "ValueError" not in collector.text("logs")


def test_nothing_is_lost_when_it_stops(collector: Collector) -> None:
    send(collector)
    assert collector.stop() == 0
    assert len(collector.spans()) == 1


def test_waiting_ends_without_an_answer(collector: Collector) -> None:
    assert collector.wait_for(Collector.spans, within=0.2) == []


def test_a_configuration_of_ones_own_is_merged(run_collector: RunCollector) -> None:
    mine = {
        "processors": {"transform": {"trace_statements": ['set(span.name, "${env:NAME}")']}},
        "service": {"pipelines": {"traces": {"processors": ["transform"]}}},
    }
    with run_collector(mine, environment={"NAME": "renamed"}) as collector:
        send(collector)
        assert [span.name for span in collector.wait_for(Collector.spans)] == ["renamed"]


def test_a_configuration_that_is_wrong_shows_why(run_collector: RunCollector) -> None:
    wrong = run_collector({"processors": {"no_such_thing": {}}})
    with pytest.raises(AssertionError, match="no_such_thing"), wrong:
        pass


def test_two_run_beside_each_other(run_collector: RunCollector) -> None:
    with run_collector() as one, run_collector() as other:
        send(one)
        assert one.wait_for(Collector.spans)
        assert not other.spans()


def test_it_leaves_nothing_running(run_collector: RunCollector) -> None:
    with run_collector() as collector:
        process, port = collector.process.pid, collector.http_port
    assert not Path(f"/proc/{process}").exists() or os.waitpid(process, os.WNOHANG)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.engine("images")
def test_a_container_reaches_it(docker: Docker, collector: Collector) -> None:
    code = (
        "import sys, urllib.request as request\n"
        "request.urlopen(request.Request(sys.argv[1], data=sys.argv[2].encode(),"
        " headers={'Content-Type': 'application/json'}), timeout=5)"
    )
    body = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"in","traceId":"%s","spanId":"%s",'
    body += '"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}'
    url = f"{collector.endpoint_for_containers}/v1/traces"
    with docker.container(
        "gcr.io/distroless/python3-debian13:nonroot",
        "-c",
        code,
        url,
        body % (TRACE, SPAN),
        port=None,
    ) as container:
        assert container.wait() == 0, container.errors()
    assert [span.name for span in collector.wait_for(Collector.spans)] == ["in"]
