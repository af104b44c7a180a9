"""A service under real faults, and the real programs between it and whoever is on call.

The collector, Prometheus and Alertmanager run with the rendered service's own configuration. Only
addresses are replaced, and time: one factor shortens every duration alike (`scaled`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
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

import httpx
import yaml

from tests.contract.recording import environment
from tests.engines import observing
from tests.engines.collector import Collector as CollectorRecipe
from tests.engines.fixtures.docker import CommandError, Container, Docker

READY_WITHIN = 30
# How long Prometheus takes a series for alive after its last sample, unless it is told otherwise.
LOOKBACK = timedelta(minutes=5)
EXPORT_MILLISECONDS = 500
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
    """Users at a steady pace: one sign-up in four requests, the others read one that is not there.

    Attributes:
        address: returns host and port of the service, which change when it starts again.
        users: each sends one request after another.
        pause: seconds between two requests of one user.
        signs_up: whether they sign up at all.

    """

    address: Callable[[], str]
    users: int = 6
    pause: float = 0.15
    signs_up: bool = True
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
                self._send(connection, signs_up=self.signs_up and sent % 4 == 0)
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


@dataclass(frozen=True)
class Arrival:
    """One alert in one notification."""

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    at: float

    @property
    def name(self) -> str:
        """Return the alert's name."""
        return self.labels["alertname"]


@dataclass
class OnCall:
    """Every receiver of Alertmanager, and what arrived at it."""

    arrivals: list[Arrival] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> tuple[int, Any]:
        """Take a notification; the path names the receiver."""
        self.arrivals += [
            Arrival(path[1:], one["status"], one["labels"], one["annotations"], time.monotonic())
            for one in json.loads(body)["alerts"]
        ]
        return 200, {}

    def of(self, name: str, status: str = "firing") -> list[Arrival]:
        """Return what arrived of one alert."""
        return [one for one in list(self.arrivals) if (one.name, one.status) == (name, status)]

    def names(self, *receivers: str) -> set[str]:
        """Return which alerts arrived at some receivers."""
        return {one.name for one in list(self.arrivals) if one.receiver in receivers}


# The programs -------------------------------------------------------------------------------------


@dataclass
class Judges:
    """A running Prometheus and Alertmanager, and who is on call.

    Attributes:
        folder: holds their files and logs.
        url: where Prometheus is.
        on_call: what arrived.
        factor: how many times faster than in production time runs.

    """

    folder: Path
    url: str
    on_call: OnCall
    factor: float
    prometheus: httpx.Client
    alertmanager: httpx.Client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now."""
        answer = self.prometheus.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that has one, or nothing."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """Return the alerts that fire in Prometheus, wherever they are sent."""
        alerts = self.prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def silenced(self) -> set[str]:
        """Return the alerts that Alertmanager holds back because another one is there."""
        return {
            one["labels"]["alertname"]
            for one in self.alertmanager.get("/api/v2/alerts").json()
            if one["status"]["inhibitedBy"]
        }

    def wait(self, name: str, within: float, *, status: str = "firing") -> Arrival:
        """Wait until an alert arrives somewhere and return its first notification."""
        until = time.monotonic() + within
        while not (found := self.on_call.of(name, status)):
            if time.monotonic() > until:
                raise AssertionError(
                    f"{name} is not {status} after {within:.0f} s; in Prometheus fire"
                    f" {sorted(self.firing())}, held back are {sorted(self.silenced())}\n"
                    f"{self.explain(name)}"
                )
            time.sleep(0.05)
        return found[0]

    def explain(self, name: str) -> str:
        """Return an alert's rule and the values of the series that it names."""
        groups = self.prometheus.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"] if rule["name"] == name]
        series = sorted(set(re.findall(r"service:\w+:\w+", str(rules))))
        values = [f"{one} = {self.value(f'max({one})')}" for one in series]
        troubles = {rule["lastError"] for group in groups for rule in group["rules"]
                    if rule.get("lastError")}  # fmt: skip
        return "\n".join([*(rule["query"] for rule in rules), *values, *sorted(troubles)])


@contextlib.contextmanager
def judges(
    service: Path,
    folder: Path,
    *,
    factor: float,
    telemetry: int = 0,
    change_rules: Callable[[Any], Any] = lambda rules: rules,
    history: str = "",
) -> Iterator[Judges]:
    """Run Prometheus and Alertmanager as a service's local stack has them.

    Args:
        service: a rendered service, whose configuration the programs get.
        folder: for their files.
        factor: how many times faster time runs.
        telemetry: the port at which the collector tells about itself.
        change_rules: puts a fault into the rules.
        history: what Prometheus knows from before it starts, as OpenMetrics.

    """
    folder.mkdir(parents=True, exist_ok=True)
    on_call = OnCall()
    prometheus, alertmanager = (f"127.0.0.1:{port}" for port in free_ports(2))
    with contextlib.ExitStack() as running:
        sink = running.enter_context(serving("127.0.0.1", on_call.take))
        _write_rules(service, folder / "rules", factor, change_rules)
        configuration = prometheus_configuration(service, folder, factor, alertmanager, telemetry)
        routes = alertmanager_configuration(service, factor, f"http://127.0.0.1:{sink}")
        if history:
            backfill(folder / "prometheus", history)
        # First, for an alert that finds nobody waits for the next evaluation.
        running.enter_context(
            program(
                folder,
                "alertmanager",
                [observing.ALERTMANAGER_SERVER.path,
                 f"--config.file={_write(folder / 'alertmanager.yaml', routes)}",
                 f"--storage.path={folder / 'alertmanager'}",
                 f"--web.listen-address={alertmanager}",
                 "--cluster.listen-address="],
                f"http://{alertmanager}/-/ready",
            )
        )  # fmt: skip
        running.enter_context(
            program(
                folder,
                "prometheus",
                [observing.PROMETHEUS_SERVER.path,
                 f"--config.file={_write(folder / 'prometheus.yaml', configuration)}",
                 f"--storage.tsdb.path={folder / 'prometheus'}",
                 f"--web.listen-address={prometheus}",
                 "--web.enable-otlp-receiver",
                 # A series that ends is missed as soon as in production, by the same factor.
                 f"--query.lookback-delta={round(LOOKBACK / factor / UNITS['ms'])}ms",
                 "--rules.alert.resend-delay=2s"],
                f"http://{prometheus}/-/ready",
            )
        )  # fmt: skip
        yield Judges(
            folder,
            f"http://{prometheus}",
            on_call,
            factor,
            *(
                running.enter_context(httpx.Client(base_url=f"http://{address}", timeout=10))
                for address in (prometheus, alertmanager)
            ),
        )


@contextlib.contextmanager
def collector(
    service: Path,
    folder: Path,
    *,
    gateway: str,
    telemetry: int,
    prometheus: Sequence[str],
    elsewhere: str,
    last: Mapping[str, Any],
) -> Iterator[str]:
    """Run the collector as a service has it; gives its address, as a container sees it.

    Args:
        service: a rendered service, whose configuration it gets.
        folder: for its files.
        gateway: the address at which containers find this machine.
        telemetry: the port at which it tells about itself.
        prometheus: who gets the metrics.
        elsewhere: who gets traces and logs.
        last: a configuration that is merged last.

    """
    http_port, grpc_port, health = free_ports(3)
    receivers = _write(folder / "receivers.yaml", _ends(gateway, http_port, grpc_port, prometheus))
    with program(
        folder,
        "collector",
        [CollectorRecipe().path,
         f"--config={service / 'observability/collector.yaml'}",
         f"--config={service / 'observability/backends.yaml'}",
         f"--config={receivers}",
         f"--config={_write(folder / 'last.yaml', last)}"],
        f"http://127.0.0.1:{health}",
        {
            "HEALTH_ADDRESS": f"127.0.0.1:{health}",
            "TELEMETRY_HOST": "127.0.0.1",
            "TELEMETRY_PORT": str(telemetry),
            "QUEUE_DIRECTORY": str(folder / "queue"),
            "PROMETHEUS_URL": prometheus[0],
            "TEMPO_URL": elsewhere,
            "LOKI_URL": elsewhere,
        },
    ):  # fmt: skip
        yield f"http://host.docker.internal:{http_port}"


def _ends(
    gateway: str, http_port: int, grpc_port: int, prometheus: Sequence[str]
) -> dict[str, Any]:
    """Return both ends of the collector; it hands on at once, because time runs faster."""
    protocols = {
        "http": {"endpoint": f"{gateway}:{http_port}"},
        "grpc": {"endpoint": f"{gateway}:{grpc_port}"},
    }
    at_once = {"sending_queue": {"batch": {"flush_timeout": "100ms"}}}
    more = {
        f"otlp_http/prometheus-{number}": {"endpoint": f"{url}/api/v1/otlp", "compression": "gzip"}
        for number, url in enumerate(prometheus[1:], start=2)
    }
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"otlp_http/prometheus": at_once, **more},
        "service": {"pipelines": {"metrics": {"exporters": ["otlp_http/prometheus", *more]}}},
    }


def _write_rules(service: Path, folder: Path, factor: float, change: Callable[[Any], Any]) -> None:
    """Write the rule files that a local Prometheus reads, faster."""
    folder.mkdir()
    for file in rule_files(service):
        _write(folder / file.name, change(scaled(yaml.safe_load(file.read_text()), factor)))


def rule_files(service: Path) -> list[Path]:
    """Return a service's rules; the same in the form for a cluster is no rule file."""
    files = sorted((service / "observability/rules").glob("*.yaml"))
    return [file for file in files if file.name != "prometheus-rule.yaml"]


def prometheus_configuration(
    service: Path, folder: Path, factor: float, alertmanager: str, telemetry: int
) -> Any:
    """Return the service's local configuration of Prometheus, with this chain's addresses."""
    found = yaml.safe_load((service / "observability/local/prometheus.yaml").read_text())
    interval = shortened(found["global"]["scrape_interval"], factor)
    found["global"] |= dict.fromkeys(found["global"], interval)
    found["rule_files"] = [str(folder / "rules/*.yaml")]
    (alertmanagers,) = found["alerting"]["alertmanagers"]
    alertmanagers["static_configs"] = [{"targets": [alertmanager]}]
    for job in found["scrape_configs"]:
        job["scrape_timeout"] = interval
        for target in job["static_configs"]:
            target["targets"] = [f"127.0.0.1:{telemetry}"]
    return found


def alertmanager_configuration(service: Path, factor: float, sink: str) -> Any:
    """Return the service's local configuration of Alertmanager; its receivers are at the sink."""
    text = (service / "observability/local/alertmanager.yaml").read_text()
    found = scaled(yaml.safe_load(text), factor)
    for receiver in found["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = sink + urlsplit(hook["url"]).path
    return found


def backfill(storage: Path, history: str) -> None:
    """Give Prometheus a past, before it starts."""
    storage.mkdir(parents=True)
    file = storage.parent / "history.txt"
    file.write_text(history)
    done = subprocess.run(
        [observing.PROMTOOL.path, "tsdb", "create-blocks-from", "openmetrics", file, storage],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def program(
    folder: Path,
    name: str,
    command: Sequence[str | Path],
    ready: str,
    variables: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; it is there when an address answers 200."""
    file = folder / f"{name}.log"
    with file.open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), **(variables or {})},
        )
    try:
        until = time.monotonic() + READY_WITHIN
        while not _answers(ready):
            running = process.poll() is None and time.monotonic() < until
            assert running, f"{name} does not come up:\n{file.read_text()[-4000:]}"
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).status_code == 200
    return False


def _write(file: Path, content: Any) -> Path:
    file.write_text(yaml.safe_dump(content, sort_keys=False, width=1000))
    return file


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("0.0.0.0", 0))  # noqa: S104
        return [int(one.getsockname()[1]) for one in sockets]


# The past -----------------------------------------------------------------------------------------

MINUTE = UNITS["m"]
# A series by its name and labels, and its value by how many minutes ago.
Past = Mapping[str, Callable[[int], float]]


def history(past: Past, factor: float, minutes: Sequence[int]) -> str:
    """Write what was recorded so many minutes ago, in shortened time, as OpenMetrics.

    Args:
        past: each series.
        factor: how many times faster time runs.
        minutes: which minutes are known; the oldest comes first.

    """
    now = time.time()
    lines: list[str] = []
    for series, value in past.items():
        lines.append(f"# TYPE {series.partition('{')[0]} gauge")
        for ago in sorted(minutes, reverse=True):
            at = now - ago * MINUTE.total_seconds() / factor
            lines.append(f"{series} {value(ago):.6f} {at:.3f}")
    return "\n".join([*lines, "# EOF", ""])


# Everything together ------------------------------------------------------------------------------


@dataclass
class Scene:
    """A service with its users and surroundings, and everything that watches it.

    Attributes:
        judges: those with the service's rules.
        mistaken: those with a fault in the same rules, which see the same.
        container: the service.
        surroundings: what it talks to.
        traffic: its users.

    """

    judges: Judges
    mistaken: Judges
    container: Container
    surroundings: Surroundings
    traffic: Traffic

    def again(self) -> None:
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
    mistake: Callable[[Any], Any],
    history: str = "",
    last: Mapping[str, Any] | None = None,
) -> Iterator[Scene]:
    """Run an image under traffic, watched twice: by its rules, and by the same with a mistake."""
    gateway = docker.gateway()
    (telemetry,) = free_ports(1)
    with contextlib.ExitStack() as running:
        right, wrong = (
            running.enter_context(
                judges(
                    service,
                    folder / name,
                    factor=factor,
                    telemetry=telemetry,
                    change_rules=change,
                    history=history,
                )
            )
            for name, change in (("right", lambda rules: rules), ("mistaken", mistake))
        )
        around = running.enter_context(surroundings(gateway))
        endpoint = running.enter_context(
            collector(
                service,
                folder,
                gateway=gateway,
                telemetry=telemetry,
                prometheus=[right.url, wrong.url],
                elsewhere=f"http://{gateway}:{around.port}",
                last=last or {},
            )
        )
        settings = environment(
            endpoint,
            LOG_LEVEL="warn",
            FLAGS_URL=around.url,
            UPSTREAM_URL=around.url,
            OTEL_METRIC_EXPORT_INTERVAL=str(EXPORT_MILLISECONDS),
            OTEL_RESOURCE_ATTRIBUTES=RESOURCE,
        )
        container = running.enter_context(docker.container(image, environment=settings))
        container.healthy()
        traffic = Traffic(lambda: container.url)
        running.enter_context(traffic.running())
        yield Scene(right, wrong, container, around, traffic)
