import asyncio
import json
import logging
import warnings

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from app import telemetry
from app.api import Service
from conftest import Signals
from support import ADA
from test_api import BrokenStore

CANARY = "canary-7f3a"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def logs(signals: Signals, capsys: pytest.CaptureFixture[str]) -> "Logs":
    telemetry.start_logs("demo", "info")
    return Logs(capsys)


class Logs:
    """What has been written to stdout."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def read(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


async def test_a_request_has_one_span_one_log_line_and_one_header(
    client: httpx.AsyncClient, signals: Signals, logs: Logs
) -> None:
    answer = await client.post("/signups", json=ADA)

    (span,) = signals.spans
    (line,) = logs.read()
    trace_id, span_id = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    assert (span.name, span.kind) == ("POST /signups", SpanKind.SERVER)
    assert answer.headers["traceresponse"].startswith(f"00-{trace_id}-{span_id}-")
    assert line.pop("timestamp", "").endswith("Z")  # type: ignore[attr-defined]
    assert isinstance(line.pop("duration_seconds"), float)
    assert line == {
        "severity": "info",
        "message": "request",
        "service.name": "demo",
        "trace_id": trace_id,
        "span_id": span_id,
        "http.request.method": "POST",
        "http.route": "/signups",
        "http.response.status_code": 201,
    }


async def test_a_trace_goes_on_but_nothing_else_of_the_caller(
    client: httpx.AsyncClient, signals: Signals
) -> None:
    headers = {"traceparent": PARENT, "tracestate": f"a={CANARY}", "baggage": f"b={CANARY}"}

    answer = await client.get("/nothing", headers=headers)

    (span,) = signals.spans
    assert answer.headers["traceresponse"].split("-")[1] == PARENT.split("-")[1]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert not span.context.trace_state


async def test_nothing_of_a_request_is_told(
    client: httpx.AsyncClient, signals: Signals, logs: Logs
) -> None:
    headers = {"user-agent": CANARY, "referer": CANARY, "host": CANARY, "x-forwarded-for": CANARY}
    for path in (f"/signups/{CANARY}", f"/{CANARY}?q={CANARY}"):
        await client.get(path, headers=headers)
    await client.post(f"/signups?{CANARY}", json={"email": CANARY, CANARY: 1}, headers=headers)
    await client.request(CANARY.upper(), "/signups", headers=headers)

    assert len(signals.spans) == 4
    assert CANARY not in "".join(span.to_json() for span in signals.spans).lower()
    assert CANARY not in json.dumps([metric.to_json() for metric in signals.metrics()]).lower()
    assert CANARY not in json.dumps(logs.read()).lower()


async def test_an_exception_is_told_by_its_type_and_its_frames(
    client: httpx.AsyncClient, service: Service, signals: Signals, logs: Logs
) -> None:
    service.store = BrokenStore(RuntimeError(CANARY))

    answer = await client.post("/signups", json=ADA)

    (span,) = signals.spans
    request, failure = logs.read()
    assert request["http.response.status_code"] == 500
    assert failure["severity"] == "error"
    assert failure["exception.type"] == "RuntimeError"
    assert "create_signup" in str(failure["exception.stacktrace"])
    assert failure["trace_id"] == answer.headers["traceresponse"].split("-")[1]
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert not span.status.is_ok
    assert CANARY not in span.to_json() + json.dumps(failure)


async def test_health_is_neither_traced_nor_logged(
    client: httpx.AsyncClient, signals: Signals, logs: Logs
) -> None:
    for path in telemetry.HEALTH:
        answer = await client.get(path)
        assert "traceresponse" not in answer.headers

    assert not signals.spans
    assert not logs.read()


async def test_durations_are_counted_by_route_in_seconds(
    client: httpx.AsyncClient, signals: Signals
) -> None:
    await client.get("/signups/nobody", headers={"user-agent": CANARY})

    (metric,) = [m for m in signals.metrics() if m.name == "http.server.request.duration"]
    points = [dict(point.attributes) for point in metric.data.data_points]
    assert metric.unit == "s"
    assert {
        "http.request.method": "GET",
        "http.route": "/signups/{id}",
        "http.response.status_code": 404,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
    } in points


def test_only_metrics_with_a_known_name_are_made(signals: Signals) -> None:
    names = {metric.name for metric in signals.metrics()}

    assert {"process.cpu.time", "process.memory.usage", "cpython.gc.collections"} <= names
    assert all(name.startswith(("http.", "process.", "cpython.", "app.")) for name in names)
    assert not any("size" in name for name in names)


def test_spans_keep_only_allowed_attributes(signals: Signals) -> None:
    tracer = trace.get_tracer("test")
    attributes = {"http.route": "/x", "app.plan": "free", "user.email": CANARY}

    def fail() -> None:
        with tracer.start_as_current_span("work", attributes=attributes) as span:
            span.add_event(CANARY, {"x": CANARY})
            raise ValueError(CANARY)

    with pytest.raises(ValueError, match=CANARY):
        fail()

    (exported,) = signals.spans
    assert dict(exported.attributes or {}) == {"http.route": "/x", "app.plan": "free"}
    assert [dict(event.attributes or {}) for event in exported.events] == [
        {"exception.type": "ValueError"}
    ]
    assert exported.status.description is None
    assert CANARY not in exported.to_json()


def test_a_log_line_has_the_trace_it_was_written_in(signals: Signals, logs: Logs) -> None:
    with trace.get_tracer("test").start_as_current_span("work") as span:
        logging.getLogger("app.test").warning("inside", extra={"app.number": 7})
    logging.getLogger("app.test").error("outside")

    inside, outside = logs.read()
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert (inside["severity"], inside["app.number"]) == ("warn", 7)
    assert "trace_id" not in outside


def test_the_level_holds_for_own_lines_and_libraries_are_quiet_below_warnings(logs: Logs) -> None:
    telemetry.start_logs("demo", "debug")
    for name in ("app.test", "httpx"):
        logging.getLogger(name).debug("debug")
        logging.getLogger(name).info("info")
        logging.getLogger(name).warning("warning")
    telemetry.start_logs("demo", "error")
    logging.getLogger("app.test").warning("unheard")

    lines = [(line.get("logger"), line["message"]) for line in logs.read()]
    assert lines == [(None, "debug"), (None, "info"), (None, "warning"), ("httpx", "warning")]


def test_trouble_with_the_export_is_no_error_of_the_service(logs: Logs) -> None:
    logging.getLogger("opentelemetry.sdk").error("cannot export")

    assert [line["severity"] for line in logs.read()] == ["warn"]


def test_a_library_that_repeats_itself_is_heard_once_a_minute(logs: Logs) -> None:
    for number in range(100):
        logging.getLogger("opentelemetry.exporter").warning("retrying in %ss", number)

    (line,) = logs.read()
    assert (line["severity"], line["message"]) == ("warn", "retrying in 0s")


async def test_what_asyncio_quotes_is_not_told(logs: Logs) -> None:
    async def fail() -> None:
        raise RuntimeError(CANARY)

    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

    (line,) = logs.read()
    assert line["message"] == "Task exception was never retrieved"
    assert line["exception.type"] == "RuntimeError"
    assert CANARY not in json.dumps(line)


def test_warnings_are_log_lines(logs: Logs) -> None:
    logging.captureWarnings(capture=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        telemetry.start_logs("demo", "info")
        warnings.warn("mind the gap", stacklevel=1)

    (line,) = logs.read()
    assert line["logger"] == "py.warnings"
    assert "mind the gap" in str(line["message"])


def test_a_record_that_cannot_be_formatted_is_dropped(
    logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("app.test").error("%d", CANARY)

    out, err = capsys.readouterr()
    assert CANARY not in out + err


def test_a_shutdown_is_bounded(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()
    monkeypatch.setattr(telemetry, "_stops", [lambda: asyncio.run(never.wait())])

    telemetry.shutdown(seconds=0.1)
