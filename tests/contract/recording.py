"""Everything that a service said about one known course of events."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.contract.canaries import CANARIES
from tests.engines.fixtures import collector as collectors
from tests.engines.fixtures.docker import Docker
from tests.engines.fixtures.telemetry import LogRecord, Metric, Point, Span

JSON = {"Content-Type": "application/json"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Exchange:
    """One request of the course of events and its answer."""

    name: str
    method: str
    route: str | None
    status: int
    headers: httpx.Headers
    text: str

    @property
    def trace_id(self) -> str:
        """The trace that the answer names, or nothing."""
        return str(self.headers.get("traceresponse", "00--")).split("-")[1]

    @property
    def body(self) -> Any:
        """The answer's JSON."""
        return json.loads(self.text)


@dataclass
class Course:
    """Sends the requests of the contract, one of each kind, and keeps what came back."""

    client: httpx.Client
    exchanges: list[Exchange] = field(default_factory=list)

    def send(
        self, name: str, method: str, path: str, route: str | None, **options: Any
    ) -> Exchange:
        """Send one request; `route` is the pattern that should answer it."""
        answer = self.client.request(method, path, **options)
        exchange = Exchange(name, method, route, answer.status_code, answer.headers, answer.text)
        self.exchanges.append(exchange)
        return exchange

    def run(self) -> None:
        """Send everything."""
        send = self.send
        for path in ("/livez", "/readyz", "/startupz"):
            send(path, "GET", path, path)
        created = send("sign-up", "POST", "/signups", "/signups", json={"email": "ada@example.com"})
        one = f"/signups/{created.body['id']}" if created.status == 201 else "/signups/none"
        by_id, conversion = "/signups/{id}", "/signups/{id}/conversion"
        send("read", "GET", one, by_id)
        send("convert", "POST", f"{one}/conversion", conversion)
        send("convert again", "POST", f"{one}/conversion", conversion)
        send("traced", "GET", one, by_id, headers={"traceparent": PARENT})
        send("unknown sign-up", "GET", "/signups/6f9619ff-8b86-4011-b42d-00c04fc964ff", by_id)
        send("malformed id", "GET", "/signups/not-an-id", by_id)
        send("unknown conversion", "POST", "/signups/not-an-id/conversion", conversion)
        send("unknown route", "GET", "/nowhere", None)
        send("wrong method", "DELETE", "/signups", None)
        send("malformed body", "POST", "/signups", "/signups", content=b'{"email": ', headers=JSON)
        send("not an object", "POST", "/signups", "/signups", content=b"[]", headers=JSON)
        send("invalid mail", "POST", "/signups", "/signups", json={"email": "nobody"})
        send("unknown field", "POST", "/signups", "/signups", json={"email": "a@b.example", "x": 1})
        send(
            "unknown plan",
            "POST",
            "/signups",
            "/signups",
            json={"email": "a@b.example", "plan": "x"},
        )
        send(
            "not JSON",
            "POST",
            "/signups",
            "/signups",
            content=b"email=a",
            headers={"Content-Type": "text/plain"},
        )
        send("too large", "POST", "/signups", "/signups", content=b" " * 70_000, headers=JSON)
        send(
            "too large, in chunks", "POST", "/signups", "/signups", content=_chunks(), headers=JSON
        )
        send("nested", "POST", "/signups", "/signups", content=b"[" * 60_000, headers=JSON)
        send("binary", "POST", "/signups", "/signups", content=b"\xff\xfe\x00", headers=JSON)
        send(
            "not a number", "POST", "/signups", "/signups", content=b'{"email": NaN}', headers=JSON
        )

    def run_canaries(self) -> None:
        """Send every canary in every place that a request has."""
        for value in CANARIES.values():
            headers = {
                "Authorization": f"Bearer {value}",
                "Cookie": f"session={value}",
                "Referer": f"https://elsewhere.example/{value}",
                "User-Agent": value,
                "X-Forwarded-For": value,
                "X-Forwarded-Proto": value,
                "Forwarded": f"for={value}",
                "X-Request-Id": value,
                "X-Custom": value,
                "baggage": f"user={value}",
                "tracestate": f"vendor={value}",
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01",
            }
            by_id, conversion = "/signups/{id}", "/signups/{id}/conversion"
            send = self.send
            mail = value if "@" in value else f"{value.replace('+', '')}@personal.example"
            send(
                "canary sign-up",
                "POST",
                "/signups",
                "/signups",
                json={"email": mail},
                headers=headers,
            )
            send("canary in query", "GET", f"/signups/x?mail={value}", by_id, headers=headers)
            send("canary as id", "GET", f"/signups/{value}", by_id, headers=headers)
            send(
                "canary as id", "POST", f"/signups/{value}/conversion", conversion, headers=headers
            )
            send("canary in path", "GET", f"/{value}/{value}", None, headers=headers)
            send("canary in path", "DELETE", f"/signups/{value}", None, headers=headers)
            send(
                "canary as field",
                "POST",
                "/signups",
                "/signups",
                json={value: value},
                headers=headers,
            )
            send(
                "canary as plan",
                "POST",
                "/signups",
                "/signups",
                json={"email": value, "plan": value},
                headers=headers,
            )
            send(
                "canary in nothing",
                "POST",
                "/signups",
                "/signups",
                content=f'"{value}'.encode(),
                headers=headers | JSON,
            )
            send(
                "canary as type",
                "POST",
                "/signups",
                "/signups",
                content=b"{}",
                headers=headers | {"Content-Type": f"text/{value}"},
            )
            if re.fullmatch("[A-Za-z0-9.-]*[A-Za-z0-9]", value):
                host = headers | {"Host": f"{value}.example"}
                send("canary as host", "GET", "/signups/x", by_id, headers=host)


def _chunks() -> Iterator[bytes]:
    """A body of 80,000 bytes without a length."""
    for _ in range(80):
        yield b" " * 1000


@dataclass(frozen=True)
class Recording:
    """The course of events, and everything that the service said about it until its end."""

    service: str
    version: str
    exchanges: Sequence[Exchange]
    stdout: str
    stderr: str
    spans: Sequence[Span]
    metrics: Sequence[Metric]
    records: Sequence[LogRecord]
    texts: Mapping[str, str]
    exit_code: int
    seconds_to_stop: float

    def one(self, name: str) -> Exchange:
        """Return the exchange of that name."""
        return next(one for one in self.exchanges if one.name == name)

    @property
    def requests(self) -> list[Exchange]:
        """All exchanges but those with health routes."""
        return [one for one in self.exchanges if not one.name.startswith("/")]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log lines that are JSON objects."""
        return [line for line in map(_parsed, self.stdout.splitlines()) if line is not None]

    @property
    def unparsed(self) -> list[str]:
        """The log lines that are not."""
        return [line for line in self.stdout.splitlines() if _parsed(line) is None]

    @property
    def server_spans(self) -> list[Span]:
        """The spans of requests that came in."""
        return [span for span in self.spans if span.kind == "server"]

    def metric(self, name: str) -> Metric | None:
        """Return a metric as it was exported last."""
        return next((one for one in reversed(self.metrics) if one.name == name), None)

    def points(self, name: str) -> Sequence[Point]:
        """Return the points of a metric as they were exported last."""
        metric = self.metric(name)
        return metric.points if metric else ()

    def history(self, name: str) -> list[float]:
        """Return every value that a metric ever had."""
        return [point.value for one in self.metrics if one.name == name for point in one.points]

    @property
    def resources(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The resource of each span, metric and log record, with its kind."""
        return (
            [("span", one.resource) for one in self.spans]
            + [("metric", one.resource) for one in self.metrics]
            + [("log record", one.resource) for one in self.records]
        )


@contextlib.contextmanager
def upstream(address: str, seconds: float = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve as the service's upstream, so many seconds late.

    Gives its address, as a container sees it, and the headers that it received.
    """
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(f"{self.path}\n{self.headers}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(seconds)
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://host.docker.internal:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


def environment(endpoint: str, **more: str) -> dict[str, str]:
    """The variables that a platform sets on a service under test."""
    return {
        "LOG_LEVEL": "debug",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_RESOURCE_ATTRIBUTES": ("deployment.environment.name=test,service.namespace=example"),
        **more,
    }


def record(
    docker: Docker,
    image: str,
    folder: Path,
    *,
    service: str,
    version: str,
    configurations: Sequence[Path] = (),
) -> Recording:
    """Start the image, take it through the course of events, stop it, and gather all it said.

    Args:
        docker: the engine.
        image: a production image.
        folder: where the collector keeps what it receives.
        service: the service's name.
        version: the version that the image was built with.
        configurations: the collector's; without any, it passes on what it receives.

    """
    gateway = docker.gateway()
    addresses = ("127.0.0.1", gateway)
    with (
        collectors.running(folder, addresses=addresses, configurations=configurations) as collector,
        upstream(gateway) as (upstream_url, outgoing),
    ):
        variables = environment(collector.endpoint_for_containers, UPSTREAM_URL=upstream_url)
        with docker.container(image, environment=variables) as container:
            container.healthy()
            # The first export shows where the counters begin.
            collector.wait_for(lambda one: one.metrics())
            with httpx.Client(base_url=container.url, timeout=10) as client:
                course = Course(client)
                course.run()
                course.run_canaries()
            started = time.monotonic()
            exit_code = container.stop()
            seconds = time.monotonic() - started
            stdout, stderr = container.logs(), container.errors()
        collector.stop()
        signals = {name: collector.text(name) for name in ("traces", "metrics", "logs")}
        return Recording(
            service=service,
            version=version,
            exchanges=course.exchanges,
            stdout=stdout,
            stderr=stderr,
            spans=collector.spans(),
            metrics=collector.metrics(),
            records=collector.log_records(),
            texts={
                **signals,
                "stdout": stdout,
                "stderr": stderr,
                "answers' headers": "\n".join(str(one.headers) for one in course.exchanges),
                "outgoing headers": "\n".join(outgoing),
            },
            exit_code=exit_code,
            seconds_to_stop=seconds,
        )


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
