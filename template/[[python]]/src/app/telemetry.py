"""What this service tells about itself: traces, metrics, and logs as JSON lines on stdout.

    start(...)                 once, before anything else
    fastapi()                  the `telemetry` argument of `FastAPI`
    instrument(app)            wraps the finished application
    instrument_client(client)  traces what an httpx client sends, and passes `traceparent` on
    span(name, attributes)     around a call to a store
    count(name)                one event of a counter in BUSINESS_METRICS
    gauge(name, read)          where a gauge in BUSINESS_METRICS gets its value
    shutdown()                 sends what is left, in bounded time

The variables OTEL_* configure it; without OTEL_EXPORTER_OTLP_ENDPOINT nothing is sent, but logs and
trace ids go on. Nothing about a person leaves the process: attributes pass by name, all others are
dropped, and of an exception its type and its frames are told, never its message.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
from fastapi.telemetry import TelemetryConfig
from opentelemetry import _logs, metrics, propagate, trace
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
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What may leave the process ---------------------------------------------------------------------

HEALTH = frozenset({"/livez", "/readyz", "/startupz"})  # asked every few seconds: no telemetry

_HTTP = {
    "http.request.method", "http.response.status_code", "http.route",
    "url.scheme", "network.protocol.version", "error.type",
}  # fmt: skip
_PEER = {"server.address", "server.port"}  # of a call; of a request a stranger writes them: Host
_STORE = {"db.system.name", "db.operation.name", "db.collection.name", "error.type"}

# Instruments that are not listed are dropped. Name your own metrics and attributes app.*.
_METRICS = {
    "http.server.request.duration": _HTTP,
    "http.server.active_requests": {"http.request.method", "url.scheme"},
    "http.client.request.duration": _HTTP | _PEER,
    "process.*": {"type"},
    "cpython.*": {"cpython.gc.generation"},
    "app.*": set[str](),
}
_RUNTIME: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.open_file_descriptor.count": None,
    "process.thread.count": None,
    "cpython.gc.collections": None,
}

# Start and stop ---------------------------------------------------------------------------------

_stops: list[Callable[[], object]] = []
_counters: dict[str, metrics.Counter] = {}
_gauges: dict[str, Callable[[], float]] = {}


def start(service_name: str, log_level: str, business_metrics: Mapping[str, str]) -> None:
    """Set up logs, traces and metrics for this process."""
    for name in [n for n, value in os.environ.items() if n.startswith("OTEL_") and not value]:
        del os.environ[name]  # an empty variable means absent
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # the stable names, for the httpx client
    sending = "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ
    resource = Resource.create({"service.name": service_name})
    if version := os.environ.get("SERVICE_VERSION"):  # the image's; OTEL_RESOURCE_ATTRIBUTES wins
        resource = Resource({"service.version": version}).merge(resource)

    # Only `traceparent` is passed on: baggage and tracestate would carry a stranger's bytes.
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    if sending:
        tracers.add_span_processor(BatchSpanProcessor(AllowedOnly(OTLPSpanExporter())))
    trace.set_tracer_provider(tracers)

    meters = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter())] if sending else [],
        resource,
        shutdown_on_exit=False,
        views=[
            *(View(instrument_name=name, attribute_keys=keys) for name, keys in _METRICS.items()),
            View(instrument_name="*", aggregation=DropAggregation()),
        ],
    )
    metrics.set_meter_provider(meters)
    SystemMetricsInstrumentor(config=_RUNTIME).instrument()
    _stops[:] = [tracers.shutdown, meters.shutdown]

    if sending and os.environ.get("OTEL_LOGS_EXPORTER") != "none":
        loggers = LoggerProvider(resource, shutdown_on_exit=False)
        loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        start_logs(service_name, log_level, loggers.get_logger("app"))
        _stops.append(loggers.shutdown)
    else:
        start_logs(service_name, log_level)

    meter = metrics.get_meter("app")
    for name, kind in business_metrics.items():
        if kind == "counter":
            _counters[name] = meter.create_counter(f"app.{name}")
            _counters[name].add(0)  # a rate needs a value before the first event
        else:
            meter.create_observable_gauge(f"app.{name}", [_observe(name)])


def shutdown(seconds: float = 3.0) -> None:
    """Send what is left of all three signals at once; when the collector is gone, give up."""
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=stop, daemon=True) for stop in _stops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


# Requests ---------------------------------------------------------------------------------------

_logger = logging.getLogger("app.telemetry")
_METHODS = {
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE",
}  # fmt: skip


def fastapi() -> TelemetryConfig:
    """FastAPI makes the spans and metrics of requests itself; its logs quote exceptions."""
    return {
        "exclude": lambda scope: scope["path"] in HEALTH,
        "operation_spans": False,
        "logs": False,
    }


def instrument(app: ASGIApp) -> ASGIApp:
    """Add the access log, the header `traceresponse`, and the log of what nobody handled."""

    async def instrumented(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await app(scope, receive, send)
            return
        scope["headers"] = [h for h in scope["headers"] if h[0] not in (b"tracestate", b"baggage")]
        started = time.perf_counter()
        context = trace.INVALID_SPAN_CONTEXT
        request: dict[str, AttributeValue] = {}

        async def answer(message: Message) -> None:
            nonlocal context
            if message["type"] == "http.response.start":
                context = trace.get_current_span().get_span_context()
                trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
                header = f"00-{trace_id}-{span_id}-{context.trace_flags:02x}".encode()
                message["headers"] = [*message.get("headers", []), (b"traceresponse", header)]
                method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
                request["http.request.method"] = method
                # The route with every prefix; scope["route"] knows only the last part.
                if route := getattr(scope.get("fastapi.telemetry"), "route", None):
                    request["http.route"] = route
                request["http.response.status_code"] = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                duration = round(time.perf_counter() - started, 6)
                _logger.info("request", extra={**request, "duration_seconds": duration})

        try:
            await app(scope, receive, answer)
        except Exception:
            with trace.use_span(trace.NonRecordingSpan(context)):
                _logger.exception("request failed", extra=request)
            if not request:
                raise  # nothing has been answered yet: the server does

    return instrumented


def instrument_client(client: httpx.AsyncClient) -> None:
    """Trace and measure what this client sends, and pass `traceparent` on."""
    HTTPXClientInstrumentor.instrument_client(client)


# The service's own ------------------------------------------------------------------------------


@contextmanager
def span(name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[None]:
    """Trace a call to a store; of a failure only its type is recorded."""
    with trace.get_tracer("app").start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes,
        record_exception=False, set_status_on_exception=False,
    ) as current:  # fmt: skip
        try:
            yield
        except Exception as error:
            current.set_attribute("error.type", _type(error))
            current.set_status(StatusCode.ERROR)
            raise


def count(name: str) -> None:
    """Count one event; a name that BUSINESS_METRICS does not list is not counted."""
    if counter := _counters.get(name):
        counter.add(1)


def gauge(name: str, read: Callable[[], float]) -> None:
    """Say where the value of a gauge comes from; until then it is 0."""
    _gauges[name] = read


def _observe(name: str) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
    return lambda _: [metrics.Observation(_gauges[name]() if name in _gauges else 0)]


# Spans ------------------------------------------------------------------------------------------


class AllowedOnly(SpanExporter):
    """Passes spans on with the attributes that are allowed by name, and nothing else."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.shutdown = exporter.shutdown  # type: ignore[method-assign]
        self.force_flush = exporter.force_flush  # type: ignore[method-assign]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_allowed(span) for span in spans])


def _allowed(span: ReadableSpan) -> ReadableSpan:
    names = _HTTP | _STORE | (_PEER if span.kind is SpanKind.CLIENT else set())
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        kind=span.kind,
        attributes={
            name: value
            for name, value in (span.attributes or {}).items()
            if name in names or name.startswith("app.")
        },
        events=[
            Event(event.name, {"exception.type": kind}, event.timestamp)
            for event in span.events
            if (kind := (event.attributes or {}).get("exception.type"))
        ],
        links=[trace.Link(link.context) for link in span.links],
        status=Status(span.status.status_code),  # without its text, which quotes the exception
        start_time=span.start_time,
        end_time=span.end_time,
        resource=span.resource,
        instrumentation_scope=span.instrumentation_scope,
    )


# Logs -------------------------------------------------------------------------------------------

_SEVERITIES = ("debug", "info", "warn", "error")  # a tenth of Python's levels, from 1
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def start_logs(service_name: str, log_level: str, otlp: _logs.Logger | None = None) -> None:
    """Make each log record a JSON line on stdout and, with `otlp`, send it; `start` does this."""
    logging.raiseExceptions = False  # a record that cannot be formatted would be printed in full
    logging.captureWarnings(capture=True)
    own_level = (_SEVERITIES.index(log_level) + 1) * 10
    logging.getLogger("app").setLevel(own_level)
    root = logging.getLogger()
    root.setLevel(max(own_level, logging.WARNING))  # what libraries say below that quotes data
    root.handlers = [_Output(service_name, otlp)]
    sys.excepthook = lambda _, error, __: _logger.error("crashed", exc_info=error)
    threading.excepthook = lambda a: _logger.error("a thread crashed", exc_info=a.exc_value)


class _Output(logging.Handler):
    def __init__(self, service_name: str, otlp: _logs.Logger | None) -> None:
        super().__init__()
        self._service_name = service_name
        self._otlp = otlp
        self._last: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception:  # a log line is never worth a failed request
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        severity = _SEVERITIES[min(max(record.levelno // 10, 1), 4) - 1]
        message = record.getMessage()
        if record.name.partition(".")[0] == "app":
            attributes = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        elif self._has_just_said(record):
            return
        else:  # a library: exceptions and values follow the first line
            message, attributes = message.partition("\n")[0][:200], {"logger": record.name}
        exporting = record.name.startswith("opentelemetry")
        if exporting and severity == "error":
            severity = "warn"  # users are served all the same
        if record.exc_info and (error := record.exc_info[1]):
            attributes |= {"exception.type": _type(error), "exception.stacktrace": _frames(error)}

        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "timestamp": when.replace("+00:00", "Z"),
            "severity": severity,
            "message": message,
            "service.name": self._service_name,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        sys.stdout.write(json.dumps({**line, **attributes}, default=str) + "\n")
        sys.stdout.flush()

        # Trouble with sending must not become more to send.
        if self._otlp and not exporting:
            self._otlp.emit(
                timestamp=int(record.created * 1e9),
                severity_number=_logs.SeverityNumber[severity.upper()],
                severity_text=severity,
                body=message,
                attributes=attributes,
            )

    def _has_just_said(self, record: logging.LogRecord) -> bool:
        """Whether a library repeats itself within a minute, as exporters do without a collector."""
        key, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._last.get(key, -60.0) < 60:
            return True
        if len(self._last) > 100:
            self._last.clear()
        self._last[key] = now
        return False


def _frames(error: BaseException | None) -> str:
    """The innermost frames of an exception and of what caused it, without their messages."""
    parts: list[str] = []
    while error and len(parts) < 5:
        parts.append(_type(error) + "\n" + "".join(traceback.format_tb(error.__traceback__, -12)))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "caused by ".join(parts)


def _type(error: BaseException) -> str:
    module, name = type(error).__module__, type(error).__qualname__
    return name if module == "builtins" else f"{module}.{name}"
