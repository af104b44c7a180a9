from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import telemetry
from app.api import Service, create_app
from app.flags import Flags
from app.store_memory import MemoryStore
from app.upstream import Upstream
from support import Process, running


class Signals:
    """The spans and metrics of this test process."""

    def __init__(self) -> None:
        telemetry.start("demo", "debug", {"signups": "counter", "conversions": "counter"})
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
        assert isinstance(tracers, TracerProvider)
        assert isinstance(meters, MeterProvider)
        tracers.add_span_processor(SimpleSpanProcessor(telemetry.AllowedOnly(self._exporter)))
        meters.add_metric_reader(self._reader)

    def clear(self) -> None:
        self._exporter.clear()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def value(self, name: str) -> float:
        """The value of a counter, 0 when it has never been used."""
        for metric in self.metrics():
            if metric.name == name:
                return float(sum(point.value for point in metric.data.data_points))
        return 0

    def metrics(self) -> list:  # type: ignore[type-arg]
        data = self._reader.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]


@pytest.fixture(scope="session")
def all_signals() -> Signals:
    return Signals()


@pytest.fixture
def signals(all_signals: Signals) -> Signals:
    all_signals.clear()
    return all_signals


@pytest.fixture
async def service(signals: Signals) -> Service:
    return Service(MemoryStore(), Upstream(None), Flags(None))


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(service)
    # The answer to an unhandled exception is of interest, not the exception itself.
    transport = httpx.ASGITransport(telemetry.instrument(app), raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://demo") as client,
    ):
        yield client


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service as a process, for tests that do not stop it."""
    with running(tmp_path_factory.mktemp("server")) as process:
        yield process
