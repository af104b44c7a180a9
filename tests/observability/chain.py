"""One rendered service on the real programs, from its image to the pager.

A chain runs at the service's own pace: the rules as they are rendered, one evaluation a minute.
What happens in it is the course of events of the contract, a steady load, personal data in every
place, an upstream and a store that hang, and a release in the middle of all that.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from tests.contract.recording import Course, Exchange
from tests.contract.stacks import Stack
from tests.engines.fixtures import backends
from tests.engines.fixtures.backends import Backends
from tests.engines.fixtures.docker import Container, Docker
from tests.product import pins

SERVICE = "signups"
NEIGHBOUR = "welcome"
TEAM = "example"
ENVIRONMENT = "production"
VERSION = "1.2.3"
NEXT_VERSION = "1.3.0"
STORES = {"datastore": "postgres", "cache": "redis"}
DATABASE = "signups"
HEALTH = {"/livez", "/readyz", "/startupz"}
# Longer than a client of a store may wait for it: CONNECT_SECONDS and STATEMENT_SECONDS.
PATIENCE = 60.0
ERRORS = 30
# Seconds from a request until its metric is in Prometheus: an export, the collector's batch.
ON_THE_WAY = 4.0
# Seconds of the load after the release.
SETTLE = 15.0
# Seconds that a program may need to start on a machine that does much else.
PATIENT = 300
# How often rules are evaluated, in seconds.
MINUTE = 60.0


@dataclass
class Tally:
    """Counts each request of a run by its answer's status, and keeps what came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def heard(self, answer: httpx.Response) -> None:
        """Count an answer, unless it is a probe's: probes are no users."""
        if answer.request.url.path in HEALTH:
            return
        with self._lock:
            self.statuses[answer.status_code] += 1
            self.traces.append(str(answer.headers.get("traceresponse", "00--")).split("-")[1])

    def client(self, url: str) -> httpx.Client:
        """Return a client whose requests are counted."""
        hooks = {"response": [self.heard]}
        return httpx.Client(base_url=url, timeout=PATIENCE, event_hooks=hooks)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return self.statuses.total()

    @property
    def errors(self) -> int:
        """How many of them failed by the server's fault."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


@dataclass
class Chain:
    """A service that runs, with everything that keeps and judges what it says.

    Attributes:
        stack: its language.
        service: the rendered folder.
        backends: the programs behind its collector.
        tally: every request that was sent to it.
        exchanges: the requests of the contract's course of events.
        started: when its first instance started, in seconds since 1970.
        ended: when everything it did was counted.

    """

    stack: Stack
    service: Path
    backends: Backends
    tally: Tally = field(default_factory=Tally)
    exchanges: list[Exchange] = field(default_factory=list)
    started: float = 0.0

    ended: float = 0.0

    @property
    def series(self) -> str:
        """The labels that select this service's series in production."""
        return (
            f'service_namespace="{TEAM}",service_name="{SERVICE}",'
            f'deployment_environment_name="{ENVIRONMENT}"'
        )

    def evaluated(self) -> None:
        """Wait until the rules have counted everything that was sent so far."""
        sent = time.time() + ON_THE_WAY
        wait_until(
            lambda: _evaluation(self.backends) > sent,
            MINUTE + PATIENT,
            self.backends.prometheus.log,
        )

    def reviewed(self) -> None:
        """Wait until the review of alerts, which looks at whole minutes, sees one of them fire."""
        seen = 'count_over_time(max(ALERTS{alertstate="firing", severity!="none"})[1h:1m])'
        fired = self.backends.wait_for(lambda one: one.query(seen), 2 * MINUTE + PATIENT)
        assert fired, self.backends.alerts()


def _evaluation(backends: Backends) -> float:
    """Return when the rules of the objectives were evaluated last, in seconds since 1970."""
    times = [
        datetime.fromisoformat(rule["lastEvaluation"]).timestamp()
        for rule in backends.rules()
        if rule["name"] == "service:http_server_requests:increase1m"
    ]
    return min(times)


@contextlib.contextmanager
def stores(docker: Docker, image: str, network: str, password: Path) -> Iterator[Container]:
    """Run PostgreSQL, with the tables of the service's image, and Redis; give PostgreSQL."""
    secret = {password: "/run/secrets/password"}
    with (
        docker.container(
            f"docker.io/library/postgres:{pins()['postgres']}",
            environment={
                "POSTGRES_DB": DATABASE,
                "POSTGRES_USER": DATABASE,
                "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
            },
            mounts=secret,
            network=network,
            port=None,
            hardened=False,
            options=["--network-alias=postgres"],
        ) as postgres,
        docker.container(
            f"docker.io/library/redis:{pins()['redis']}",
            *("redis-server", "--save", ""),
            network=network,
            port=None,
            options=["--network-alias=redis", "--user=65532"],
        ),
    ):
        ready = ("exec", postgres.name, "pg_isready", "--host=localhost", f"--username={DATABASE}")
        wait_until(
            lambda: docker.run(*ready, check=False).returncode == 0, PATIENT, postgres.errors
        )
        wait_until(lambda: migrated(docker, image, network, secret), PATIENT, postgres.errors)
        yield postgres


def migrated(docker: Docker, image: str, network: str, secret: Mapping[Path, str]) -> bool:
    """Apply the migrations of an image; say whether that went well."""
    with docker.container(
        image,
        "migrate",
        environment=variables("", VERSION),
        mounts=secret,
        network=network,
        port=None,
    ) as migration:
        return migration.wait(PATIENT) == 0


def variables(endpoint: str, version: str, **more: str) -> dict[str, str]:
    """What a platform sets on the service; an empty endpoint exports nothing."""
    return {
        "LOG_LEVEL": "info",
        "SERVICE_VERSION": version,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_RESOURCE_ATTRIBUTES": (
            f"deployment.environment.name={ENVIRONMENT},service.namespace={TEAM}"
        ),
        "DATABASE_URL": f"postgresql://{DATABASE}@postgres:5432/{DATABASE}",
        "DATABASE_PASSWORD_FILE": "/run/secrets/password",
        "CACHE_URL": "redis://redis:6379/0",
        **more,
    }


@dataclass
class Surroundings:
    """Where a service of the chain runs: its network, its stores and its neighbour."""

    docker: Docker
    image: str
    network: str
    password: Path
    endpoint: str
    postgres: Container
    neighbour: Container | None = None

    @contextlib.contextmanager
    def running(self, name: str, version: str, **more: str) -> Iterator[Container]:
        """Run one instance of the image under a service's name."""
        with self.docker.container(
            self.image,
            environment=variables(self.endpoint, version, OTEL_SERVICE_NAME=name, **more),
            mounts={self.password: "/run/secrets/password"},
            network=self.network,
            options=[f"--network-alias={name}"],
        ) as container:
            ready(container)
            yield container

    @contextlib.contextmanager
    def hanging(self, container: Container) -> Iterator[None]:
        """Stop the world for one container: it takes connections and says nothing."""
        self.docker.run("pause", container.name)
        try:
            yield
        finally:
            self.docker.run("unpause", container.name)


@contextlib.contextmanager
def surroundings(docker: Docker, image: str, folder: Path, endpoint: str) -> Iterator[Surroundings]:
    """Run the stores and the neighbour that the service calls."""
    password = folder / "password"
    password.write_text("a password of no one")
    password.chmod(0o644)
    with (
        docker.network() as network,
        stores(docker, image, network, password) as postgres,
    ):
        around = Surroundings(docker, image, network, password, endpoint, postgres)
        with around.running(NEIGHBOUR, VERSION) as neighbour:
            around.neighbour = neighbour
            yield around


@contextlib.contextmanager
def running(
    docker: Docker, stack: Stack, service: Path, image: str, folder: Path, *, calm: float = 0
) -> Iterator[Chain]:
    """Run everything behind a service, and give it after everything that happens in it.

    Args:
        docker: the engine.
        stack: the service's language.
        service: the rendered folder.
        image: its production image, with both stores.
        folder: for the programs' files.
        calm: seconds of nothing but load, before the faults and after them.

    """
    addresses = ("127.0.0.1", docker.gateway())
    with backends.running(service, folder, addresses=addresses) as behind:
        chain = Chain(stack, service, behind)
        endpoint = behind.endpoint_for_containers
        with surroundings(docker, image, folder, endpoint) as around:
            play(chain, around, calm)
        yield chain


def play(chain: Chain, around: Surroundings, calm: float = 0) -> None:
    """Take the service through everything, with a release in the middle; it is gone afterwards."""
    assert around.neighbour is not None
    upstream = f"http://{NEIGHBOUR}:8080"
    chain.started = time.time()
    with (
        around.running(SERVICE, VERSION, UPSTREAM_URL=upstream) as first,
        chain.tally.client(first.url) as client,
    ):
        course = Course(client)
        course.run()
        chain.exchanges = course.exchanges
        with steady(chain.tally, first.url):
            time.sleep(calm)
            course.run_canaries()
            with around.hanging(around.neighbour):  # sign-ups wait for their time limit
                together(4, lambda: sign_up(client))
            with around.hanging(around.postgres):
                together(ERRORS, lambda: sign_up(client))
            ready(first)
            chain.evaluated()
        first.stop()
    with (
        around.running(SERVICE, NEXT_VERSION, UPSTREAM_URL=upstream) as second,
        chain.tally.client(second.url) as client,
    ):
        # The first that this instance counts are errors.
        with around.hanging(around.postgres):
            together(ERRORS, lambda: sign_up(client))
        ready(second)
        with steady(chain.tally, second.url):
            time.sleep(calm + SETTLE)
        chain.evaluated()
        chain.reviewed()
    chain.ended = time.time()


def sign_up(client: httpx.Client) -> httpx.Response:
    """Sign one person up."""
    return client.post("/signups", json={"email": "ada@example.com"})


def together(count: int, action: Callable[[], object]) -> None:
    """Do the same so many times at once."""
    with ThreadPoolExecutor(count) as pool:
        for one in [pool.submit(action) for _ in range(count)]:
            one.result()


@contextlib.contextmanager
def steady(tally: Tally, url: str, period: float = 0.1) -> Iterator[None]:
    """Sign up, read and convert again and again until the end of the block."""
    over = threading.Event()
    problems: list[Exception] = []

    def user() -> None:
        with tally.client(url) as client:
            while not over.wait(period):
                created = sign_up(client)
                if created.status_code == 201:
                    one = f"/signups/{created.json()['id']}"
                    client.get(one)
                    client.get(one)
                    client.post(f"{one}/conversion")
                client.get("/nowhere")

    def guarded() -> None:
        try:
            user()
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not problems, problems


def ready(container: Container) -> None:
    """Wait until the service can reach its stores."""
    address = f"{container.url}/readyz"

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(address, timeout=PATIENCE).status_code == 200
        return False

    wait_until(answers, PATIENT, container.logs)


def wait_until(
    true: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait for something, for so many seconds at most."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {explain()}"
        time.sleep(0.2)
