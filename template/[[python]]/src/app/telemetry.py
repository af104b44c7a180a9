"""What this service tells about itself: JSON logs, traces and metrics.

The rest of the service needs only the functions without a leading underscore:

    start(...)             once, before anything logs
    fastapi()              the `telemetry=` argument of FastAPI
    instrument(app)        wraps the finished application
    instrument_client(c)   traces what an httpx client sends, and passes `traceparent` on
    span(name, ...)        a span around a call to a store
    count(name)            counts one event of a counter named in BUSINESS_METRICS
    gauge(name, read)      where to read a gauge named in BUSINESS_METRICS
    shutdown()             sends what is left, in bounded time

Nothing about a user leaves the process: attributes are allowed by name, everything else is
dropped, and of an exception only its type and its frames are kept, never its message.
Standard variables (OTEL_*) configure the exporters; without OTEL_EXPORTER_OTLP_ENDPOINT nothing
is sent, but ids and logs go on.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx
from fastapi.telemetry import TelemetryConfig
from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What may leave the process --------------------------------------------------------------------

HEALTH = frozenset({"/livez", "/readyz", "/startupz"})  # asked every few seconds: no telemetry

_HTTP_ATTRIBUTES = {
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "url.scheme",
    "network.protocol.version",
    "error.type",
}
# server.address of a request that comes in is the Host header, which a stranger writes.
_CLIENT_ATTRIBUTES = {"server.address", "server.port"}
_SPAN_ATTRIBUTES = _HTTP_ATTRIBUTES | {
    "db.system.name",
    "db.operation.name",
    "db.collection.name",
}
# Instruments that are not listed here are dropped. Attributes of your own begin with "app.".
_METRICS = {
    "http.server.request.duration": _HTTP_ATTRIBUTES,
    "http.server.active_requests": {"http.request.method", "url.scheme"},
    "http.client.request.duration": _HTTP_ATTRIBUTES | _CLIENT_ATTRIBUTES,
    "process.*": {"type", "cpu.mode"},
    "cpython.*": {"generation", "cpython.gc.generation"},
    "app.*": set[str](),
}
_RUNTIME: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.open_file_descriptor.count": None,
    "process.thread.count": None,
    "cpython.gc.collections": None,
}


class AllowedOnly(SpanExporter):
    """Passes spans on with the attributes that are allowed by name, and nothing else."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._allowed(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    @staticmethod
    def _allowed(span: ReadableSpan) -> ReadableSpan:
        allowed = _SPAN_ATTRIBUTES
        if span.kind is SpanKind.CLIENT:
            allowed = allowed | _CLIENT_ATTRIBUTES
        return ReadableSpan(
            name=span.name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes={
                key: value
                for key, value in (span.attributes or {}).items()
                if key in allowed or key.startswith("app.")
            },
            events=[
                Event(event.name, {"exception.type": kind}, event.timestamp)
                for event in span.events
                if event.name == "exception"
                and (kind := (event.attributes or {}).get("exception.type"))
            ],
            links=[trace.Link(link.context) for link in span.links],
            kind=span.kind,
            status=Status(span.status.status_code),  # its description quotes the exception
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


# Logs ------------------------------------------------------------------------------------------

_logger = logging.getLogger("app.telemetry")
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_LEVELS = {"error": 40, "warn": 30, "info": 20, "debug": 10}
_SEVERITY_NUMBERS = {
    "error": SeverityNumber.ERROR,
    "warn": SeverityNumber.WARN,
    "info": SeverityNumber.INFO,
    "debug": SeverityNumber.DEBUG,
}


def _severity(level: int) -> str:
    return next((name for name, floor in _LEVELS.items() if level >= floor), "debug")


def _frames(error: BaseException | None) -> str:
    """The frames of an exception and of its causes, without their messages."""
    parts: list[str] = []
    while error is not None and len(parts) < 10:
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{_type_name(error)}\n{frames}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\ncaused by ".join(parts)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    builtin = kind.__module__ == "builtins"
    return kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}"


class _Output(logging.Handler):
    """Writes each record as one JSON object on stdout, and sends it by OTLP."""

    def __init__(self, service_name: str, otlp: _logs.Logger | None) -> None:
        super().__init__()
        self._service_name = service_name
        self._otlp = otlp
        self._repeats: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._is_repeat(record):
                return
            severity = _severity(record.levelno)
            message, attributes = self._describe(record)
            self._write(record, severity, message, attributes)
            # Trouble with the export must not become more to export.
            if self._otlp and not record.name.startswith("opentelemetry"):
                self._otlp.emit(
                    timestamp=int(record.created * 1e9),
                    severity_number=_SEVERITY_NUMBERS[severity],
                    severity_text=severity,
                    body=message,
                    attributes=attributes,
                )
        except Exception:
            self.handleError(record)

    def _is_repeat(self, record: logging.LogRecord) -> bool:
        """Whether a library says within a minute what it has just said."""
        if _is_own(record):
            return False
        key, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._repeats.get(key, -60.0) < 60:
            return True
        if len(self._repeats) >= 100:
            self._repeats.clear()
        self._repeats[key] = now
        return False

    @staticmethod
    def _describe(record: logging.LogRecord) -> tuple[str, dict[str, AttributeValue]]:
        message = record.getMessage()
        attributes: dict[str, AttributeValue] = {
            key: value if isinstance(value, str | bool | int | float) else str(value)
            for key, value in vars(record).items()
            if key not in _STANDARD_FIELDS
        }
        if not _is_own(record):  # libraries quote values and exceptions after the first line
            message = message.partition("\n")[0][:200]
            attributes = {"logger": record.name}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            attributes["exception.type"] = _type_name(error)
            attributes["exception.stacktrace"] = _frames(error)
        return message, attributes

    def _write(
        self,
        record: logging.LogRecord,
        severity: str,
        message: str,
        attributes: Mapping[str, AttributeValue],
    ) -> None:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, AttributeValue] = {
            "timestamp": when.replace("+00:00", "Z"),
            "severity": severity,
            "message": message,
            "service.name": self._service_name,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)
        sys.stdout.write(json.dumps({**line, **attributes}) + "\n")
        sys.stdout.flush()


def _is_own(record: logging.LogRecord) -> bool:
    return record.name == "app" or record.name.startswith("app.")


def _crashed(
    kind: type[BaseException], error: BaseException, trace_back: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _logger.error("crashed", exc_info=(kind, error, trace_back))


def start_logs(service_name: str, log_level: str, otlp: _logs.Logger | None = None) -> None:
    """Make every log record one JSON line on stdout; `start` does this too."""
    logging.raiseExceptions = False  # the module's own report of a failure quotes the arguments
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers = [_Output(service_name, otlp)]
    root.setLevel(max(logging.WARNING, _LEVELS[log_level]))  # libraries: what matters only
    logging.getLogger("app").setLevel(_LEVELS[log_level])
    sys.excepthook = _crashed


# Start and stop --------------------------------------------------------------------------------

_stops: list[Callable[[], object]] = []
_counters: dict[str, metrics.Counter] = {}
_gauges: dict[str, Callable[[], float]] = {}


def start(service_name: str, log_level: str, business_metrics: Mapping[str, str]) -> None:
    """Set up logs, traces and metrics for this process."""
    for name in [n for n, value in os.environ.items() if n.startswith("OTEL_") and not value]:
        del os.environ[name]  # an empty variable means absent
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # stable names from the httpx client
    exporting = "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ
    resource = Resource.create({"service.name": service_name})
    if version := os.environ.get("SERVICE_VERSION"):  # the image's; the environment may know better
        resource = Resource({"service.version": version}).merge(resource)

    # Only `traceparent` is taken in and passed on: baggage would carry a stranger's bytes further.
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporting:
        tracers.add_span_processor(BatchSpanProcessor(AllowedOnly(OTLPSpanExporter())))
    trace.set_tracer_provider(tracers)

    meters = MeterProvider(
        metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())] if exporting else [],
        resource=resource,
        shutdown_on_exit=False,
        views=[
            *(View(instrument_name=name, attribute_keys=keys) for name, keys in _METRICS.items()),
            View(instrument_name="*", aggregation=DropAggregation()),
        ],
    )
    metrics.set_meter_provider(meters)
    _stops[:] = [tracers.shutdown, meters.shutdown]

    otlp = None
    if exporting and os.environ.get("OTEL_LOGS_EXPORTER") != "none":
        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        otlp = loggers.get_logger("app")
        _stops.append(loggers.shutdown)
    start_logs(service_name, log_level, otlp)

    SystemMetricsInstrumentor(config=_RUNTIME).instrument()
    meter = metrics.get_meter("app")
    for name, kind in business_metrics.items():
        if kind == "counter":
            _counters[name] = meter.create_counter(f"app.{name}")
            _counters[name].add(0)  # a rate needs a value before the first event
        else:
            meter.create_observable_gauge(f"app.{name}", callbacks=[_reader(name)])


def shutdown(seconds: float = 3.0) -> None:
    """Send what is left; give up after `seconds`, as when the collector is gone."""
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=stop, daemon=True) for stop in _stops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


# HTTP ------------------------------------------------------------------------------------------


def fastapi() -> TelemetryConfig:
    """The settings of FastAPI's own spans and metrics (`http.server.*`)."""
    return {
        "exclude": lambda scope: scope.get("path") in HEALTH,
        "operation_spans": False,
        "logs": False,  # they hold the messages of exceptions; `instrument` logs without
    }


def instrument(app: ASGIApp) -> ASGIApp:
    """Add the access log, the `traceresponse` header and the log line of an unhandled error."""

    async def instrumented(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await app(scope, receive, send)
            return
        scope["headers"] = [
            (name, value)
            for name, value in scope["headers"]
            if name not in (b"tracestate", b"baggage")
        ]
        started = time.perf_counter()
        status = 0
        context = trace.INVALID_SPAN_CONTEXT

        async def answer(message: Message) -> None:
            nonlocal status, context
            if message["type"] == "http.response.start":
                status = message["status"]
                context = trace.get_current_span().get_span_context()
                headers = [*message.get("headers", []), (b"traceresponse", _traceresponse(context))]
                message = {**message, "headers": headers}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                _access_log(scope, status, time.perf_counter() - started)

        try:
            await app(scope, receive, answer)
        except Exception:
            with trace.use_span(trace.NonRecordingSpan(context)):
                _logger.exception("request failed", extra=_request(scope))
            if not status:
                raise

    return instrumented


def _traceresponse(context: SpanContext) -> bytes:
    flags = f"{context.trace_flags:02x}"
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}".encode()


def _request(scope: MutableMapping[str, Any]) -> dict[str, AttributeValue]:
    method, route = scope["method"], getattr(scope.get("route"), "path", None)
    known = method if method in _METHODS else "_OTHER"
    return {"http.request.method": known} | ({"http.route": route} if route else {})


_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)


def _access_log(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    extra = {"http.response.status_code": status, "duration_seconds": round(seconds, 6)}
    _logger.info("request", extra={**_request(scope), **extra})


def instrument_client(client: httpx.AsyncClient) -> None:
    """Trace and measure what this client sends, and pass `traceparent` on."""
    HTTPXClientInstrumentor.instrument_client(client)


# The service's own -----------------------------------------------------------------------------


@contextmanager
def span(name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[None]:
    """Trace a call to a store; of its failure only the type is recorded."""
    with trace.get_tracer("app").start_as_current_span(
        name,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_attribute("error.type", _type_name(error))
            current.set_status(StatusCode.ERROR)
            raise


def count(name: str) -> None:
    """Count one event; a name that BUSINESS_METRICS does not list is not counted."""
    if counter := _counters.get(name):
        counter.add(1)


def gauge(name: str, read: Callable[[], float]) -> None:
    """Say where the value of a gauge comes from; until then it is 0."""
    _gauges[name] = read


def _reader(name: str) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
    return lambda _: [metrics.Observation(_gauges[name]() if name in _gauges else 0)]
