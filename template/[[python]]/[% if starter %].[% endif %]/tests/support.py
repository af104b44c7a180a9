"""Real things to test against: the service as a process, a collector, another service."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SOURCES = Path(__file__).parents[1] / "src"
ENVIRONMENT = {
    "OTEL_SERVICE_NAME": "demo",
    "LOG_LEVEL": "info",
    "SHUTDOWN_DRAIN_SECONDS": "5",
    "BUSINESS_METRICS": "signups=counter,conversions=counter,active_users=gauge",
}
ADA = {"email": "ada@example.com", "plan": "free"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the roots is most of a client's cost


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for[T](condition: Callable[[], T], seconds: float = 30) -> T:
    """The first true value of a condition that is asked again and again."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.02)
    return value


class Server:
    """An HTTP server on a free port that keeps what it is sent."""

    def __init__(self, answer: Callable[[str, bytes], tuple[int, bytes]]) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                kept.append((self.path, headers, body))
                status, content = answer(self.path, body)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that has left is no news."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Collector(Server):
    """Receives OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(lambda _path, _body: (200, b""))

    def __enter__(self) -> "Collector":
        super().__enter__()
        return self

    @property
    def spans(self) -> list[Any]:
        """Every span that has arrived."""
        return [
            span
            for body in self._bodies("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[Any]:
        """Every log record that has arrived."""
        return [
            record
            for body in self._bodies("/v1/logs")
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> list[Any]:
        """Every metric of every export, oldest first."""
        return [
            metric
            for body in self._bodies("/v1/metrics")
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def _bodies(self, path: str) -> Iterator[bytes]:
        return (body for where, _, body in list(self.requests) if where == path)


class Process:
    """The service in a process of its own; its sign-ups in memory, unless `program` says else."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        program: Sequence[str] = (str(Path(__file__).with_name("in_memory.py")),),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20, verify=NO_TLS)
        self._out = directory / f"stdout-{self.port}"
        self._err = directory / f"stderr-{self.port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program],
                env={
                    **inherited,
                    **ENVIRONMENT,
                    "PORT": str(self.port),
                    "PYTHONPATH": str(SOURCES),
                    **environment,
                },
                stdout=out,
                stderr=err,
            )

    @property
    def stdout(self) -> str:
        """What it has written."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has complained about."""
        return self._err.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def messages(self, message: str) -> list[dict[str, Any]]:
        """The lines with a message."""
        return [line for line in self.lines if line["message"] == message]

    def wait_until_listening(self) -> None:
        """Wait for the end of the start."""
        wait_for(lambda: self.process.poll() is not None or '"listening"' in self.stdout)
        assert self.process.poll() is None, self.stdout + self.stderr

    def terminate(self, seconds: float = 30) -> int:
        """Send SIGTERM and wait; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """See to it that nothing is left."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(
    directory: Path, environment: Mapping[str, str] | None = None, *program: str
) -> Iterator[Process]:
    """Run the service until the end of the block."""
    service = Process(directory, environment or {}, *([program] if program else []))
    try:
        service.wait_until_listening()
        yield service
    finally:
        service.end()
