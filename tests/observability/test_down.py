"""A collector or a backend that is away for a minute costs users nothing, and nobody a number."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Build, Render, built, rendered
from tests.contract.recording import environment
from tests.contract.stacks import STACKS
from tests.engines.fixtures import backends
from tests.engines.fixtures.backends import Backends, Setup
from tests.engines.fixtures.docker import Container, Docker
from tests.observability.chain import ready
from tests.services import nothing_of_the_user, shared, template

__all__ = ["built", "nothing_of_the_user", "rendered", "shared", "template"]

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.engine("docker", "collector", "images", "prometheus", "alertmanager", "loki"),
]

STACK = STACKS[0]
DOWN = 60.0
BEFORE = 15.0
AFTER = 5.0
# A request's line is with the collector by then: the SDK sends its batch at least once a second.
HANDED_ON = 3.0
SERIES = 'service_name="signups"'
LIMIT = 256 * 2**20
# Most of an honest measurement on two shared cores is noise; waiting for a collector is seconds.
SLOWER = 3.0
NOISE = 0.1


@dataclass(frozen=True)
class Sent:
    """One answered request: when, in seconds since 1970, how long it took, and its trace."""

    at: float
    seconds: float
    status: int
    trace_id: str


@dataclass
class Load:
    """Users who sign up and read at a steady pace, half a hundred requests a second."""

    url: str
    users: int = 5
    pause: float = 0.1
    sent: list[Sent] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the end of the block."""
        over = threading.Event()
        threads = [threading.Thread(target=self._user, args=(over,)) for _ in range(self.users)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _user(self, over: threading.Event) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            while not over.wait(self.pause):
                begun = time.monotonic()
                try:
                    answer = client.post("/signups", json={"email": "ada@example.com"})
                except httpx.HTTPError as error:
                    self.broken.append(repr(error))
                    continue
                took = time.monotonic() - begun
                trace_id = answer.headers["traceresponse"].split("-")[1]
                self.sent.append(Sent(time.time(), took, answer.status_code, trace_id))

    def between(self, start: float, end: float) -> list[Sent]:
        """Return what was answered in that time, in seconds since 1970."""
        return [one for one in list(self.sent) if start <= one.at < end]


@dataclass(frozen=True)
class Story:
    """What a service went through, and what was kept of it.

    Attributes:
        load: every request.
        gone: when something stopped, in seconds since 1970.
        back: when it ran again.
        counted: how many requests Prometheus knows of in the end.
        lines: the traces of the access lines in Loki, one for each line.
        memory: the most that the service's container used while something was gone, in bytes.
        meanwhile: how many scrapes or exports of that time Prometheus has in the end.

    """

    load: Load
    gone: float
    back: float
    counted: float
    lines: list[str]
    memory: float
    meanwhile: int


# Gives when it began, in seconds since 1970.
Fault = Callable[[Backends], contextlib.AbstractContextManager[float]]


@contextlib.contextmanager
def collector_is_killed(behind: Backends) -> Iterator[float]:
    """Kill the collector while what it has taken waits on its disk for absent backends."""
    with behind.loki.stopped(), behind.prometheus.stopped():
        time.sleep(2 * HANDED_ON)
        gone = time.time()
        behind.collector.stop(kill=True)
    try:
        yield gone
    finally:
        behind.collector.start()


@contextlib.contextmanager
def backends_are_stopped(behind: Backends) -> Iterator[float]:
    """Stop Prometheus and Loki."""
    with behind.loki.stopped(), behind.prometheus.stopped():
        yield time.time()


# A collector that gives up what a backend does not take at once.
WITHOUT_RETRIES = {
    "exporters": {
        name: {"retry_on_failure": {"enabled": False}}
        for name in ("otlp_http/prometheus", "otlp_http/loki")
    }
}


@pytest.fixture(scope="module")
def stories(
    docker: Docker,
    built: Build,
    rendered: Render,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[Story]]]:
    """Run all stories at once; most of their time they wait."""
    image, service, gateway = built(STACK), rendered(STACK), docker.gateway()

    def tell(name: str, fault: Fault, seconds: float, collector: Mapping[str, Any]) -> Story:
        folder = tmp_path_factory.mktemp(name)
        setup = Setup(collector=collector)
        with (
            backends.running(service, folder, setup, addresses=("127.0.0.1", gateway)) as behind,
            docker.container(
                image, environment=environment(behind.endpoint_for_containers, LOG_LEVEL="info")
            ) as container,
        ):
            return through(behind, container, fault, seconds)

    with ThreadPoolExecutor(3) as pool:
        yield {
            "collector": pool.submit(tell, "collector", collector_is_killed, DOWN, {}),
            "backends": pool.submit(tell, "backends", backends_are_stopped, DOWN, {}),
            "no retries": pool.submit(tell, "retries", backends_are_stopped, 10, WITHOUT_RETRIES),
        }


def through(behind: Backends, container: Container, fault: Fault, seconds: float) -> Story:
    """Take a service through a fault of so many seconds, under load."""
    ready(container)
    load = Load(container.url)
    most = 0.0
    with load.running():
        time.sleep(BEFORE)
        with fault(behind) as gone:
            while time.time() < gone + seconds:
                most = max(most, container.docker.memory(container.name))
                time.sleep(1)
        back = time.time()
        time.sleep(AFTER)
    assert container.stop() == 0
    total = len(load.sent)
    behind.wait_for(lambda one: counted(one) == total, 20)
    behind.wait_for(lambda one: len(access_lines(one)) >= total, 20)
    during = behind.query_range(
        f"count_over_time(http_server_active_requests{{{SERIES}}}[5s])",
        seconds=seconds - 5, step=1, until=back - 5,
    )  # fmt: skip
    return Story(
        load=load,
        gone=gone,
        back=back,
        counted=counted(behind),
        lines=access_lines(behind),
        memory=most,
        meanwhile=max((len(one["values"]) for one in during), default=0),
    )


def counted(behind: Backends) -> float:
    """Return how many requests Prometheus knows of."""
    count = f"http_server_request_duration_seconds_count{{{SERIES}}}"
    return behind.value(f"sum(last_over_time({count}[10m]))") or 0


def access_lines(behind: Backends) -> list[str]:
    """Return the trace of every access line in Loki."""
    # Loki gives 5000 lines at once; the traces' first digit tells sixteen parts apart.
    return [
        line.labels["trace_id"]
        for digit in "0123456789abcdef"
        for line in behind.logs(f'{{{SERIES}}} |= "request" | trace_id=~"^{digit}.*"')
    ]


def percentile(sent: list[Sent]) -> float:
    """Return the 95th percentile of the seconds that requests took."""
    return statistics.quantiles((one.seconds for one in sent), n=20)[18]


def slower(before: list[Sent], during: list[Sent]) -> str:
    """Say whether users waited longer than noise explains, or nothing."""
    first, then = percentile(before), percentile(during)
    if then <= max(SLOWER * first, NOISE):
        return ""
    return f"p95 {then * 1000:.0f} ms, before {first * 1000:.0f} ms"


def test_the_service_keeps_its_latency_and_its_memory(stories: Mapping[str, Future[Story]]) -> None:
    for name in ("collector", "backends"):
        told = stories[name].result()
        assert not told.load.broken, name
        assert {one.status for one in told.load.sent} == {201}, name
        before = told.load.between(told.load.sent[0].at + 2, told.gone - 2 * HANDED_ON)
        during = told.load.between(told.gone, told.back)
        assert len(during) > 5 * DOWN, name
        assert not slower(before, during), name
        assert told.memory < 0.9 * LIMIT, f"{name}: {told.memory / 1e6:.0f} MB"


def test_a_service_that_waits_for_its_collector_would_be_noticed() -> None:
    fast = [Sent(0, 0.01, 201, "")] * 99
    assert not slower(fast, fast)
    assert slower(fast, fast + [Sent(0, 2, 201, "")] * 9)


def test_what_a_killed_collector_had_taken_is_there_afterwards(
    stories: Mapping[str, Future[Story]],
) -> None:
    told = stories["collector"].result()
    taken = {one.trace_id for one in told.load.sent if one.at < told.gone - HANDED_ON}
    waiting = told.load.between(told.gone - 2 * HANDED_ON, told.gone - HANDED_ON)
    assert len(waiting) > 5, "nothing was in the queue when it was killed"
    missing = len(taken - set(told.lines))
    assert not missing, f"{missing} of {len(taken)}"
    # The service counts on by itself: its next export says everything.
    assert told.counted == len(told.load.sent)


def test_backends_that_are_gone_for_a_minute_lose_nothing(
    stories: Mapping[str, Future[Story]],
) -> None:
    told = stories["backends"].result()
    assert told.counted == len(told.load.sent)
    assert sorted(told.lines) == sorted(one.trace_id for one in told.load.sent)
    assert told.meanwhile > 0.9 * (DOWN - 5), "the minute itself is a gap"


def test_without_retries_what_was_sent_meanwhile_is_lost(
    stories: Mapping[str, Future[Story]],
) -> None:
    told = stories["no retries"].result()
    lost = {one.trace_id for one in told.load.sent} - set(told.lines)
    assert len(lost) > 20
