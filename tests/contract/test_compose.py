"""The local stack, with real stores, as `make up` and `make dev` start it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import Render
from tests.contract.load import eventually
from tests.contract.stacks import Stack
from tests.engines.fixtures.docker import Docker
from tests.quiet import Quiet

ALL = {"datastore": "postgres", "cache": "redis"}
# What watches a service; each has a variable for its port.
WATCHERS = ("COLLECTOR", "PROMETHEUS", "ALERTMANAGER", "LOKI", "TEMPO", "GRAFANA")
# The fixture `up` runs stand-ins of their images too.
observed = pytest.mark.engine("observers")


@dataclass
class Project:
    """A rendered service whose compose project belongs to one test."""

    docker: Docker
    folder: Path
    name: str
    port: int
    variables: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {one: free_port() for one in WATCHERS})

    @property
    def url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What keeps this project apart from others."""
        return {
            "COMPOSE_PROJECT_NAME": self.name,
            "PUBLISHED_PORT": str(self.port),
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            **self.variables,
        }

    def make(self, *arguments: str, check: bool = True, timeout: float = 300) -> str:
        """Run the service's make."""
        done = self.docker.command(
            "make", *arguments, cwd=self.folder, environment=self.environment,
            check=check, timeout=timeout,
        )  # fmt: skip
        return done.stdout + done.stderr

    def compose(self, *arguments: str, check: bool = True, timeout: float = 120) -> str:
        """Run docker compose."""
        done = self.docker.run(
            "compose", *arguments, cwd=self.folder, environment=self.environment,
            check=check, timeout=timeout,
        )  # fmt: skip
        return done.stdout + done.stderr


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def project(docker: Docker, folder: Path) -> Iterator[Project]:
    """Give a project and take everything away at the end."""
    one = Project(docker, folder, folder.name.lower(), free_port())
    try:
        yield one
    finally:
        one.make("down", "VOLUMES=1", check=False)


@pytest.fixture(scope="module")
def up(docker: Docker, rendered: Render, stack: Stack) -> Iterator[Project]:
    """A service with PostgreSQL, Redis, flags and the collector, all up and healthy."""
    with project(docker, rendered(stack, None, **ALL)) as one:
        one.make("observe")
        yield one


@observed
def test_everything_comes_up_healthy(up: Project) -> None:
    states = [json.loads(line) for line in up.compose("ps", "--all", "--format=json").splitlines()]
    running = {one["Service"]: (one["State"], one["Health"]) for one in states}
    assert running == {
        "alertmanager": ("running", "healthy"),
        "app": ("running", "healthy"),
        "collector": ("running", ""),
        "flags": ("running", ""),
        "grafana": ("running", "healthy"),
        "loki": ("running", "healthy"),
        "migrate": ("exited", ""),
        "postgres": ("running", "healthy"),
        "prometheus": ("running", "healthy"),
        "redis": ("running", "healthy"),
        "tempo": ("running", "healthy"),
    }


@observed
def test_only_loopback_is_published(up: Project) -> None:
    for line in up.compose("ps", "--format=json").splitlines():
        for port in json.loads(line)["Publishers"]:
            assert port["PublishedPort"] == 0 or port["URL"] == "127.0.0.1", line


@observed
def test_sign_ups_outlive_the_service(up: Project) -> None:
    created = httpx.post(f"{up.url}/signups", json={"email": "ada@example.com", "plan": "paid"})
    assert created.status_code == 201
    address = up.url + created.headers["location"]
    assert httpx.post(f"{address}/conversion").json()["converted"] is True
    up.compose("restart", "app")
    assert eventually(lambda: answers(f"{up.url}/readyz"), 30)
    expected = {**created.json(), "converted": True}
    del expected["welcome"]
    assert httpx.get(address).json() == expected


@observed
def test_the_cache_is_read_through_and_may_fail(up: Project) -> None:
    created = httpx.post(f"{up.url}/signups", json={"email": "ada@example.com"})
    address = up.url + created.headers["location"]
    assert httpx.get(address).status_code == 200
    keys = up.compose("exec", "-T", "redis", "redis-cli", "--scan")
    assert created.json()["id"] in keys
    assert httpx.post(f"{address}/conversion").json()["converted"] is True
    assert httpx.get(address).json()["converted"] is True, "the cache holds what was before"
    up.compose("pause", "redis")
    try:
        started = time.monotonic()
        assert httpx.get(address).status_code == 200
        assert time.monotonic() - started < 2
    finally:
        up.compose("unpause", "redis")


@observed
def test_a_store_that_is_out_of_reach_is_said_and_comes_back(up: Project) -> None:
    up.compose("stop", "postgres")
    try:
        assert eventually(lambda: httpx.get(f"{up.url}/readyz").status_code == 503, 15)
        assert httpx.get(f"{up.url}/livez").status_code == 200
        answer = httpx.post(f"{up.url}/signups", json={"email": "a@example.com"}, timeout=10)
        assert answer.status_code == 503
        assert list(answer.json()) == ["error"]
    finally:
        up.compose("start", "postgres")
    assert eventually(lambda: answers(f"{up.url}/readyz"), 30)


@observed
def test_a_migration_runs_once(up: Project) -> None:
    up.compose("run", "--rm", "migrate")
    rows = up.compose(
        "exec", "-T", "postgres", "psql", "--username=signups", "--dbname=signups",
        "--tuples-only", "--command=SELECT count(*) FROM schema_migrations",
    )  # fmt: skip
    assert rows.strip() == "1"


@observed
@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_the_stores_reach_nothing_outside(up: Project, store: str) -> None:
    name = up.compose("ps", "--quiet", store).strip()
    networks = up.docker.inspect(name)["NetworkSettings"]["Networks"]
    assert [up.docker.inspect(one)["Internal"] for one in networks] == [True]
    # The gateway of another network is an address outside: there is no way to it.
    outside = up.docker.gateway()
    probe = [
        "--entrypoint=bash",
        up.docker.inspect(up.compose("ps", "--quiet", "postgres").strip())["Config"]["Image"],
        "-c",
    ]
    reach = f"timeout 3 bash -c '</dev/tcp/{outside}/22'"
    inside = up.docker.run("run", "--rm", f"--network=container:{name}", *probe, reach, check=False)
    assert "Network is unreachable" in inside.stderr
    elsewhere = up.docker.run("run", "--rm", *probe, reach, check=False)
    assert "Network is unreachable" not in elsewhere.stderr, "the control cannot get out either"


@observed
def test_telemetry_reaches_prometheus_and_loki(up: Project) -> None:
    httpx.post(f"{up.url}/signups", json={"email": "a@example.com"})
    requests = 'http_server_request_duration_seconds_count{deployment_environment_name="local"}'
    questions = {
        "PROMETHEUS": ("/api/v1/query", requests),
        "LOKI": ("/loki/api/v1/query_range", '{service_name="signups"}'),
    }
    for name, (path, query) in questions.items():
        url = f"http://127.0.0.1:{up.ports[name]}{path}"
        seen = eventually(lambda: found(url, query), 60, 1)  # noqa: B023 - asked at once
        assert seen, up.compose("logs", "collector")[-2000:]


@observed
def test_prometheus_runs_the_rules_and_hands_its_alerts_to_alertmanager(up: Project) -> None:
    prometheus = f"http://127.0.0.1:{up.ports['PROMETHEUS']}"
    groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    assert groups
    assert {Path(group["file"]).name for group in groups} == {"alerts.yaml", "slo.yaml"}
    assert eventually(
        lambda: found(f"{prometheus}/api/v1/query", 'up{job="collector"} == 1'), 60, 1
    )
    held = f"http://127.0.0.1:{up.ports['ALERTMANAGER']}/api/v2/alerts"
    assert eventually(lambda: "Watchdog" in httpx.get(held).text, 90, 1)


@observed
def test_make_observe_says_where_everything_is(up: Project) -> None:
    said = up.make("observe")
    for name in ("COLLECTOR", "PROMETHEUS", "ALERTMANAGER", "GRAFANA"):
        assert f"http://127.0.0.1:{up.ports[name]}" in said
    password = (up.folder / ".local/grafana-password").read_text()
    assert len(password) == 48
    assert password not in said
    assert password not in up.compose("--profile", "observability", "config")


@observed
def test_the_database_s_password_stands_in_no_file_of_the_service(up: Project) -> None:
    password = (up.folder / ".local/database-password").read_text()
    assert len(password) == 48
    assert password not in up.compose("config")
    for name in ("app", "postgres"):
        container = up.compose("ps", "--quiet", name).strip()
        assert password not in json.dumps(up.docker.inspect(container))


def test_an_edit_is_live_in_under_five_seconds(
    docker: Docker, rendered: Render, stack: Stack, quiet: Quiet
) -> None:
    with project(docker, rendered(stack)) as one:
        one.compose("--profile", "dev", "up", "--build", "--detach", "dev", "flags", timeout=600)
        assert eventually(lambda: answers(f"{one.url}/livez"), 120), one.compose("logs", "dev")
        assert httpx.get(f"{one.url}/livez").json() == {"status": "ok"}
        with quiet():
            stack.edit.apply(one.folder)
            started = time.monotonic()
            live = eventually(lambda: status(f"{one.url}/livez") == "edited", 15, 0.05)
            took = time.monotonic() - started
        assert live, one.compose("logs", "dev")
        assert took < 5


def test_a_port_in_use_is_one_line_that_names_it(
    docker: Docker, rendered: Render, stack: Stack
) -> None:
    with project(docker, rendered(stack)) as one, socket.socket() as taken:
        taken.bind(("127.0.0.1", one.port))
        taken.listen()
        said = one.make("up", check=False)
        assert f"127.0.0.1:{one.port}" in said
        assert "already" in said or "in use" in said
        assert "try PUBLISHED_PORT=8090 make up" in said


def found(url: str, query: str) -> bool:
    """Say whether a query of Prometheus or Loki has a result."""
    answer = httpx.get(url, params={"query": query}, timeout=5)
    return answer.status_code == 200 and bool(answer.json()["data"]["result"])


def answers(url: str) -> bool:
    """Say whether an address answers with 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def status(url: str) -> str:
    """Return the status that a health route tells, or nothing."""
    try:
        return str(httpx.get(url, timeout=5).json().get("status"))
    except (httpx.HTTPError, ValueError):
        return ""
