"""What SIGTERM does to the real process."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support import ADA, NO_TLS, Collector, Process, Server, free_port, running, wait_for


@dataclass
class Stopping:
    """A service that is being told to stop while other tests run."""

    service: Process
    seconds: Future[float]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module", autouse=True)
def stopping(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Stopping]]:
    """Two services without load, one of them without its collector."""

    def stop(service: Process) -> float:
        started = time.monotonic()
        assert service.terminate() == 0
        return time.monotonic() - started

    endpoints = {"idle": collector.url, "abandoned": f"http://127.0.0.1:{free_port()}"}
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        services = {}
        for name, endpoint in endpoints.items():
            environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
            services[name] = Process(tmp_path_factory.mktemp(name), environment)
            stack.callback(services[name].end)
        for service in services.values():
            service.wait_until_listening()
        services["abandoned"].client.post("/signups", json=ADA)
        # A client that is connected and says nothing holds nobody up.
        stack.enter_context(socket.create_connection(("127.0.0.1", services["idle"].port)))
        yield {
            name: Stopping(service, threads.submit(stop, service))
            for name, service in services.items()
        }


class Load:
    """Clients that stop once the service has not been ready for 300 ms, as behind a balancer."""

    def __init__(self, service: Process) -> None:
        self._service = service
        self._stop = threading.Event()
        self.answered = 0
        self.late = 0
        self.failures: list[str] = []
        self._draining = threading.Event()

    def watch_readiness(self) -> None:
        while self._service.client.get("/readyz").status_code == 200:
            time.sleep(0.02)
        self._draining.set()
        time.sleep(0.3)
        self._stop.set()

    def send(self, connections_kept: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=connections_kept)
        with httpx.Client(
            base_url=self._service.url, limits=limits, timeout=20, verify=NO_TLS
        ) as client:
            while not self._stop.is_set():
                self._request(client)

    def _request(self, client: httpx.Client) -> None:
        late = self._draining.is_set()
        try:
            answer = client.post("/signups", json=ADA)
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return
        if answer.status_code != 201:
            self.failures.append(answer.text)
        self.answered += 1
        self.late += late


def test_under_load_no_request_is_lost_and_every_signal_arrives(tmp_path: Path) -> None:
    with (
        Collector() as collector,
        running(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as service,
    ):
        load = Load(service)
        with ThreadPoolExecutor(36) as threads:
            threads.submit(load.watch_readiness)
            for connections_kept in [1] * 30 + [0] * 4:
                threads.submit(load.send, connections_kept)
            wait_for(lambda: load.answered > 100)
            service.process.send_signal(signal.SIGTERM)
        exit_code = service.process.wait(30)

        assert load.failures == []
        assert load.late > 0  # requests that came after SIGTERM are among those answered
        assert exit_code == 0
        requests = service.messages("request")
        assert len(requests) == load.answered
        assert len(collector.spans) == load.answered
        assert len(collector.logs) == len(service.lines)
        counts = [m.sum.data_points[0].as_int for m in collector.metrics if m.name == "app.signups"]
        assert counts[-1] == load.answered
        messages = [line["message"] for line in service.lines]
        assert [messages[0], messages[-1]] == ["listening", "stopped"]
        assert "draining" in messages
        assert service.stderr == ""


def test_a_running_request_is_finished(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(_path: str, _body: bytes) -> tuple[int, bytes]:
        release.wait(5)
        return 201, b"{}"

    with Server(slow) as upstream, running(tmp_path, {"UPSTREAM_URL": upstream.url}) as service:
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(service.client.post, "/signups", json=ADA)
            wait_for(lambda: upstream.requests)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(1.2)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", service.port))
            release.set()
            assert answer.result().status_code == 201
        assert service.process.wait(30) == 0


def test_idle_it_ends_soon_and_has_sent_its_zeros(
    stopping: dict[str, Stopping], collector: Collector
) -> None:
    assert 1 < stopping["idle"].seconds.result() < 5  # 1.2 s on an idle machine
    values = {
        metric.name: [point.as_int for point in metric.sum.data_points]
        for metric in collector.metrics
        if metric.name.startswith("app.")
    }
    assert values["app.signups"] == values["app.conversions"] == [0]
    assert "app.active_users" in values


def test_without_a_collector_it_gives_up_in_time(stopping: dict[str, Stopping]) -> None:
    service = stopping["abandoned"].service

    assert stopping["abandoned"].seconds.result() < 10  # 1 s of notice and 3 s of flushing
    assert service.messages("stopped")
    assert service.stderr == ""
    troubles = [line for line in service.lines if "logger" in line]
    assert 0 < len(troubles) < 10
    assert all(line["severity"] == "warn" for line in troubles)
    assert "Traceback" not in service.stdout


def test_during_the_start_it_ends_cleanly(tmp_path: Path) -> None:
    for delay in (0.05, 0.3):
        service = Process(tmp_path, {})
        time.sleep(delay)
        assert service.terminate() in (0, -signal.SIGTERM)
        assert service.stderr == ""
