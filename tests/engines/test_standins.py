"""The stand-ins behave, in what a service uses of them, as the real images do."""

import time
from pathlib import Path

import httpx
import pytest

from tests.engines import catalogue, observing, standins
from tests.engines.fixtures.docker import CommandError, Container, Docker

pytestmark = pytest.mark.engine("images")

FLAGS = """{"flags": {
  "open": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
  "lucky": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
            "targeting": {"if": [{"==": [{"var": "targetingKey"}, "seven"]}, "on"]}},
  "asleep": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"}
}}"""


def image(target: str) -> str:
    return next(one.image for one in standins.catalogue() if one.target == target)


def test_flagd_evaluates_and_reads_its_file_again(docker: Docker, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "flags.json"
    file.write_text(FLAGS)
    with docker.container(
        image("flagd"),
        *("start", "--uri", "file:/etc/flagd/flags.json"),
        port=8016,
        mounts={tmp_path: "/etc/flagd"},
        options=["--memory=64m", "--memory-swap=64m", "--user=65532:65532"],
    ) as container:

        def evaluate(key: str, who: str = "") -> httpx.Response:
            return httpx.post(
                f"{container.url}/ofrep/v1/evaluate/flags/{key}",
                json={"context": {"targetingKey": who}},
                trust_env=False,
            )

        _until(lambda: evaluate("open").status_code == 200)
        assert evaluate("open").json() == {
            "key": "open", "reason": "STATIC", "value": True, "variant": "on", "metadata": {},
        }  # fmt: skip
        assert evaluate("lucky", "seven").json()["value"] is True
        assert evaluate("lucky", "eight").json()["value"] is False
        assert evaluate("lucky", "seven").json()["reason"] == "TARGETING_MATCH"
        for key in ("unknown", "asleep"):
            assert evaluate(key).status_code == 404
            assert evaluate(key).json()["errorCode"] == "FLAG_NOT_FOUND"
        assert [flag["key"] for flag in evaluate("").json()["flags"]] == ["open", "lucky"]

        file.write_text(FLAGS.replace('"defaultVariant": "on"', '"defaultVariant": "off"'))
        _until(lambda: evaluate("open").json()["value"] is False)
        file.write_text("{")
        time.sleep(0.5)
        assert evaluate("open").json()["value"] is False
        assert container.stop() == 0


def test_flagd_does_not_start_without_its_file(docker: Docker) -> None:
    with docker.container(image("flagd"), "start", "--uri", "file:/none.json", port=None) as one:
        assert one.wait() == 1


def test_postgres_takes_its_password_from_a_file(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("only-this")
    with docker.network(internal=True) as network, docker.container(
        image("postgres"),
        environment={
            "POSTGRES_USER": "svc", "POSTGRES_DB": "svc",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
        },
        mounts={tmp_path: "/run/secrets"},
        port=None,
        network=network,
        hardened=False,
    ) as server:  # fmt: skip

        def ask(password: str) -> str:
            return docker.run(
                *("run", "--rm", f"--network={network}", f"--env=PGPASSWORD={password}"),
                *("--entrypoint=psql", image("postgres"), "-tA", "-h", server.name, "-U", "svc"),
                *("-c", "show server_version"),
            ).stdout

        _until(lambda: server.execute("pg_isready", "-h", "localhost", check=False).returncode == 0)
        assert ask("only-this").startswith("18.")
        with pytest.raises(CommandError, match="password authentication failed"):
            ask("another")
        assert server.stop() == 0


def test_redis_serves_others_and_is_not_root(docker: Docker) -> None:
    with (
        docker.network(internal=True) as network,
        docker.container(image("redis"), port=None, network=network, hardened=False) as server,
    ):
        _until(lambda: "PONG" in server.execute("redis-cli", "ping", check=False).stdout)
        answer = docker.run(
            *("run", "--rm", f"--network={network}", image("redis")),
            *("redis-cli", "-h", server.name, "ping"),
        )
        assert answer.stdout.strip() == "PONG"
        assert "Uid:\t0\t" not in server.execute("cat", "/proc/1/status").stdout


def test_the_collectors_image_runs_as_somebody_else(docker: Docker, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "config.yaml").write_text(
        "receivers: {otlp: {protocols: {http: {endpoint: '0.0.0.0:4318'}}}}\n"
        "exporters: {debug: {}}\n"
        "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n"
    )
    with docker.container(
        image("collector"), port=4318, mounts={tmp_path: "/etc/otelcol-contrib"}
    ) as container:
        assert container.inspect()["Config"]["User"] == "10001:10001"
        _until(lambda: _accepts_traces(container))
        assert container.stop() == 0


# How each image that watches a service is run: its command, its port, and where it says it is well.
OBSERVERS = {
    "prometheus": (("--config.file=/etc/given/prometheus.yaml",), 9090, "/-/ready"),
    "alertmanager": (
        ("--config.file=/etc/given/alertmanager.yaml", "--cluster.listen-address="),
        9093,
        "/-/ready",
    ),
    "loki": (("-config.file=/etc/given/loki.yaml",), 3100, "/ready"),
    "tempo": (("-config.file=/etc/given/tempo.yaml",), 3200, "/ready"),
    "grafana": ((), 3000, "/api/health"),
    "elasticsearch": ((), 9200, "/_cluster/health"),
}


@pytest.mark.engine("observers")
@pytest.mark.parametrize("target", OBSERVERS)
def test_what_watches_a_service_gets_well(docker: Docker, service: Path, target: str) -> None:
    command, port, path = OBSERVERS[target]
    name = next(one.image for one in catalogue.OBSERVERS.images() if one.target == target)
    with docker.container(
        name,
        *command,
        port=port,
        mounts={service / "observability/local": "/etc/given"},
        # Loki keeps its data in a folder that is no volume of its image.
        options=["--tmpfs=/loki:mode=1777", "--memory=512m", "--memory-swap=512m"],
    ) as container:
        _until(lambda: httpx.get(f"{container.url}{path}", trust_env=False).status_code == 200, 60)
        answer = httpx.get(f"{container.url}{path}", trust_env=False)
        real = target in observing.PROGRAMS
        assert answer.headers.get("X-Stand-In") == (None if real else target)
        assert container.execute("cat", "/proc/1/status").stdout.count("Uid:\t0\t") == 0
        assert container.stop() == 0


def _accepts_traces(container: Container) -> bool:
    url = f"{container.url}/v1/traces"
    return httpx.post(url, json={"resourceSpans": []}, trust_env=False).status_code == 200


def _until(question: object, within: float = 20) -> None:
    assert callable(question)
    until = time.monotonic() + within
    while True:
        try:
            if question():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < until
        time.sleep(0.1)
