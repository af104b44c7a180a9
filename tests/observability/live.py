"""A service under real faults, and the real programs between it and whoever is on call.

The collector, Prometheus and Alertmanager run with the rendered service's own configuration. Only
addresses are replaced, and time: one factor shortens every duration alike (`scaled`).
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.contract.recording import environment
from tests.engines import observing
from tests.engines.fixtures import backends as backend_programs
from tests.engines.fixtures.backends import Backends
from tests.engines.fixtures.docker import CommandError, Container, Docker

# How long Prometheus takes a series for alive after its last sample, unless it is told otherwise.
LOOKBACK = "5m"
EXPORT_MILLISECONDS = 500
# What is exported arrives before the next minute, which is short here.
AT_ONCE = {
    "exporters": {"otlp_http/prometheus": {"sending_queue": {"batch": {"flush_timeout": "100ms"}}}}
}
RESOURCE = "deployment.environment.name=local,service.namespace=example"

# Time --------------------------------------------------------------------------------------------

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
# A number with a unit that stands alone: in `ratio_rate5m` it is part of a name.
DURATION = re.compile(r"(?<![\w.])(?:\d+(?:ms|[smhdwy]))+(?!\w)")
QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
# The fields of rule files and of Alertmanager's configuration that hold a duration.
TIMES = frozenset(
    {
        "interval", "for", "keep_firing_for", "query_offset",
        "group_wait", "group_interval", "repeat_interval", "resolve_timeout",
    }
)  # fmt: skip


def duration(text: str) -> timedelta:
    """Read a duration as Prometheus and Alertmanager write it, such as 1h30m."""
    return sum(
        (int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text)),
        timedelta(),
    )


def shortened(text: str, factor: float) -> str:
    """Return the factor-th part of a duration, in milliseconds."""
    return f"{round(duration(text) / factor / UNITS['ms'])}ms"


def scaled(configuration: Any, factor: float) -> Any:
    """Return a rule file, or Alertmanager's configuration, in which time runs faster.

    Every duration is shortened: those of fields, and in expressions every range, offset and
    step. Names, strings and numbers stay as they are.
    """
    if isinstance(configuration, list):
        return [scaled(one, factor) for one in configuration]
    if not isinstance(configuration, dict):
        return configuration
    changed = {}
    for name, value in configuration.items():
        if name in TIMES and isinstance(value, str):
            changed[name] = shortened(value, factor)
        elif name == "expr":
            changed[name] = outside_strings(
                value, lambda part: DURATION.sub(lambda found: shortened(found[0], factor), part)
            )
        else:
            changed[name] = scaled(value, factor)
    return changed


def outside_strings(expression: str, change: Callable[[str], str]) -> str:
    """Apply a change to what stands outside of the strings of an expression."""
    parts = QUOTED.split(expression)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


# What a service talks to --------------------------------------------------------------------------


@dataclass
class Surroundings:
    """The service's flags, its upstream and the store of traces, with faults to turn on and off.

    Attributes:
        closed_every: each so many-th sign-up finds that a flag has closed sign-ups, which the
            service answers with 503; 0 is none.
        slow_every: each so many-th sign-up meets a slow upstream; 0 is none.
        seconds: how slow it is.
        refuses_traces: whether the store of traces is out of order.
        port: where all of it is served.

    """

    closed_every: int = 0
    slow_every: int = 0
    seconds: float = 0.8
    refuses_traces: bool = False
    port: int = 0
    _asked: int = 0
    _told: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Return the address of all of it, as a container sees it."""
        return f"http://host.docker.internal:{self.port}"

    def closed(self) -> bool:
        """Say whether this sign-up finds them closed."""
        with self._lock:
            self._asked += 1
            return bool(self.closed_every) and self._asked % self.closed_every == 0

    def slow(self) -> bool:
        """Say whether this sign-up meets a slow upstream."""
        with self._lock:
            self._told += 1
            return bool(self.slow_every) and self._told % self.slow_every == 0


@contextlib.contextmanager
def serving(address: str, answer: Callable[[str, bytes], tuple[int, Any]]) -> Iterator[int]:
    """Answer POST requests by a function of path and body; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, body = answer(self.path, self.rfile.read(length))
            content = json.dumps(body).encode()
            with contextlib.suppress(OSError):  # whoever asked may be gone
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A connection that ends with its container is no news."""

    server = Server((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def surroundings(address: str) -> Iterator[Surroundings]:
    """Serve flags (by OFREP), an upstream, and stores of traces and logs that keep nothing."""
    here = Surroundings()

    def answer(path: str, _: bytes) -> tuple[int, Any]:
        if "/flags/" in path:
            key = path.rpartition("/")[2]
            value = not here.closed() if key == "signups-open" else False
            return 200, {"key": key, "value": value, "reason": "STATIC", "variant": str(value)}
        if path == "/signups":
            if here.slow():
                time.sleep(here.seconds)
            return 201, {}
        return (503 if path == "/v1/traces" and here.refuses_traces else 200), {}

    with serving(address, answer) as port:
        here.port = port
        yield here


@dataclass
class Traffic:
    """Users at a steady pace: some requests sign up, the others read a sign-up that is not there.

    Attributes:
        address: returns host and port of the service, which change when it starts again.
        users: each sends one request after another.
        pause: seconds between two requests of one user.
        sign_ups: each so many-th request is one; 0 is none.

    """

    address: Callable[[], str]
    users: int = 6
    pause: float = 0.15
    sign_ups: int = 4
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[Traffic]:
        """Send requests until the end of the block."""
        threads = [threading.Thread(target=self._user, daemon=True) for _ in range(self.users)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _user(self) -> None:
        connection: http.client.HTTPConnection | None = None
        sent = 0
        while not self._over.wait(self.pause):
            try:
                connection = connection or _connection(self.address())
                self._send(connection, signs_up=bool(self.sign_ups) and sent % self.sign_ups == 0)
                sent += 1
            except (OSError, http.client.HTTPException, CommandError):
                # It is down, which some tests are about.
                connection = None
                self._over.wait(0.3)

    def _send(self, connection: http.client.HTTPConnection, *, signs_up: bool) -> None:
        if signs_up:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/signups", b'{"email": "load@example.com"}', headers)
        else:
            connection.request("GET", "/signups/6f9619ff-8b86-4011-b42d-00c04fc964ff")
        connection.getresponse().read()


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)


# Whoever is on call -------------------------------------------------------------------------------

# The label of alerts that a test added to the service's own.
MISTAKEN = "mistaken"


@dataclass(frozen=True)
class Arrival:
    """One alert in one notification; `at` is in seconds since 1970."""

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    at: float

    @property
    def name(self) -> str:
        """Return the alert's name."""
        return self.labels["alertname"]

    @property
    def mistaken(self) -> bool:
        """Say whether it comes from the rules with a mistake."""
        return MISTAKEN in self.labels


def arrivals(backends: Backends) -> list[Arrival]:
    """Return what arrived so far at any receiver, one for each alert of each notification."""
    return [
        Arrival(one.receiver, alert["status"], alert["labels"], alert["annotations"], one.at)
        for one in backends.sink.arrived()
        for alert in one.alerts
    ]


def firing(backends: Backends) -> set[str]:
    """Return the alerts that fire in Prometheus, wherever they are sent."""
    return {one["labels"]["alertname"] for one in backends.alerts() if one["state"] == "firing"}


def held_back(backends: Backends) -> set[str]:
    """Return the alerts that Alertmanager holds back because another one is there."""
    return {
        one["labels"]["alertname"] for one in backends.notified() if one["status"]["inhibitedBy"]
    }


def wait(backends: Backends, name: str, within: float, *, status: str = "firing") -> Arrival:
    """Wait until an alert arrives somewhere and return its first notification."""
    until = time.monotonic() + within
    while True:
        for one in arrivals(backends):
            if (one.name, one.status, one.mistaken) == (name, status, False):
                return one
        if time.monotonic() > until:
            raise AssertionError(
                f"{name} is not {status} after {within:.0f} s; in Prometheus fire"
                f" {sorted(firing(backends))}, held back are {sorted(held_back(backends))}\n"
                f"{explain(backends, name)}"
            )
        time.sleep(0.05)


def explain(backends: Backends, name: str) -> str:
    """Return an alert's rule, the values of the series that it names, and what is wrong."""
    rules = backends.rules()
    queries = [rule["query"] for rule in rules if rule["name"] == name]
    series = sorted(set(re.findall(r"(?:service|instance):\w+:\w+", str(queries))))
    values = [f"{one} = {backends.value(f'max({one})')}" for one in series]
    troubles = {rule["lastError"] for rule in rules if rule.get("lastError")}
    return "\n".join([*queries[:1], *values, *sorted(troubles)])


# Mistakes -----------------------------------------------------------------------------------------


def with_mistakes(rules: Any) -> Any:
    """Add to a rule file each of its alerts again, its threshold out of reach, with a label."""
    copies = []
    for group in rules["groups"]:
        alerts = [copy.deepcopy(rule) for rule in group["rules"] if "alert" in rule]
        for rule in alerts:
            rule["labels"] = {**rule["labels"], MISTAKEN: "true"}
            if rule["alert"] != "Watchdog":
                _out_of_reach(rule)
        if alerts:
            copies.append({**group, "name": f"{group['name']}-{MISTAKEN}", "rules": alerts})
    return {**rules, "groups": [*rules["groups"], *copies]}


def _out_of_reach(rule: dict[str, Any]) -> None:
    """Multiply what an alert compares with, the factor of a burn or a count, or its time to wait.

    What grew is compared with what it was; a million is added to that.
    """
    before = dict(rule)
    rule["expr"] = re.sub(
        r"(>=?\s+)(\d[\d.]*)",
        lambda found: f"{found[1]}{float(found[2]) * 1000:g}",
        rule["expr"],
    )
    rule["expr"] = re.sub(r"(>\s+)\(", r"\g<1>1000000 + (", rule["expr"])
    if "for" in rule:
        rule["for"] = shortened(rule["for"], 1 / 1000)
    assert rule != before, f"{rule['alert']} has no threshold"


# The past -----------------------------------------------------------------------------------------

MINUTE = UNITS["m"]
# A series by its name and labels, and its value by how many minutes ago.
Past = Mapping[str, Callable[[int], float]]


def history(past: Past, factor: float, minutes: Sequence[int]) -> str:
    """Write what was recorded so many minutes ago, in shortened time, as OpenMetrics.

    Args:
        past: each series.
        factor: how many times faster time runs.
        minutes: which minutes are known, the oldest first.

    """
    now = time.time()
    lines: list[str] = []
    for series, value in past.items():
        lines.append(f"# TYPE {series.partition('{')[0]} gauge")
        for ago in minutes:
            at = now - ago * MINUTE.total_seconds() / factor
            lines.append(f"{series} {value(ago):.6f} {at:.3f}")
    return "\n".join([*lines, "# EOF", ""])


# Everything together ------------------------------------------------------------------------------


@dataclass
class Scene:
    """A service with its users and surroundings, and everything that watches it."""

    backends: Backends
    container: Container
    surroundings: Surroundings
    traffic: Traffic

    def restart(self) -> None:
        """Kill the service's process and start it anew."""
        self.container.signal("KILL")
        self.container.docker.run("start", self.container.name)


@contextlib.contextmanager
def scene(
    docker: Docker,
    image: str,
    service: Path,
    folder: Path,
    *,
    factor: float,
    past: str = "",
    collector: Mapping[str, Any] | None = None,
    pace: Mapping[str, Any] | None = None,
    inhibits: bool = True,
) -> Iterator[Scene]:
    """Run an image under traffic, watched by the service's rules in shortened time.

    Args:
        docker: the engine.
        image: a production image.
        service: the folder of the same rendered service.
        folder: for the files of the programs.
        factor: how many times faster time runs.
        past: what Prometheus knows from before it starts, as OpenMetrics.
        collector: a configuration that the collector merges last.
        pace: of the traffic, as `Traffic` takes it.
        inhibits: whether one alert holds back another.

    """
    gateway = docker.gateway()
    if past:
        backfill(folder / "prometheus", past)
    with contextlib.ExitStack() as running:
        around = running.enter_context(surroundings(gateway))
        setup = backend_programs.Setup(
            # The collector tells about itself as often, by the same factor.
            scrape_interval=shortened("15s", factor),
            evaluation_interval=shortened("15s", factor),
            # A series that ends is missed as soon as in production.
            lookback=shortened(LOOKBACK, factor),
            group_wait="",
            group_interval="",
            change_rules=lambda rules: with_mistakes(scaled(rules, factor)),
            change_routes=lambda routes: {
                **scaled(routes, factor),
                "inhibit_rules": routes["inhibit_rules"] if inhibits else [],
            },
            logs=False,
            collector={**AT_ONCE, **(collector or {})},
            environment={"TEMPO_URL": f"http://{gateway}:{around.port}"},
        )
        backends = running.enter_context(
            backend_programs.running(service, folder, setup, addresses=("127.0.0.1", gateway))
        )
        settings = environment(
            backends.endpoint_for_containers,
            LOG_LEVEL="warn",
            FLAGS_URL=around.url,
            UPSTREAM_URL=around.url,
            OTEL_METRIC_EXPORT_INTERVAL=str(EXPORT_MILLISECONDS),
            OTEL_RESOURCE_ATTRIBUTES=RESOURCE,
        )
        container = running.enter_context(docker.container(image, environment=settings))
        container.healthy()
        traffic = Traffic(lambda: container.url, **(pace or {}))
        running.enter_context(traffic.running())
        yield Scene(backends, container, around, traffic)


def backfill(storage: Path, past: str) -> None:
    """Give Prometheus a past, before it starts."""
    storage.mkdir(parents=True)
    file = storage.parent / "past.txt"
    file.write_text(past)
    done = subprocess.run(
        [observing.PROMTOOL.path, "tsdb", "create-blocks-from", "openmetrics", file, storage],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
