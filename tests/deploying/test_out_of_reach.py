"""What a cluster that is away for a while, or the end of a command, makes of what is under way."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploying.scripts import script
from tests.kubectl import needs_kubectl

cluster = script("cluster")
rollout = script("rollout")
VERSION = '{"gitVersion": "v1.37.2"}'

pytestmark = needs_kubectl


class Server(ThreadingHTTPServer):
    """Answers everything that kubectl asks in one way."""

    status, takes, asked = 200, 0.0, 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        time.sleep(self.server.takes)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(VERSION.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def answering(
    port: int, *, after: float = 0, status: int = 200, takes: float = 0
) -> Iterator[Server]:
    """Give a server that listens after some seconds."""
    server = Server(("127.0.0.1", port), Handler, bind_and_activate=not after)
    server.status, server.takes = status, takes

    def listen() -> None:
        if after:
            time.sleep(after)
            server.server_bind()
            server.server_activate()
        server.serve_forever(poll_interval=0.05)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def port(nowhere: Mapping[str, str]) -> int:
    told = yaml.safe_load(Path(nowhere["KUBECONFIG"]).read_text())
    return int(told["clusters"][0]["cluster"]["server"].rpartition(":")[2])


@pytest.fixture
def here(nowhere: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a cluster at a port where nobody listens yet."""
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cluster, "AGAIN", 0.1)
    return cluster.Cluster("signups", "dev", "here")


def test_a_cluster_that_is_away_for_a_while_is_asked_again(
    here: Any, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(port, after=1):
        assert here.ask("get", "--raw=/version") == VERSION

    assert capsys.readouterr().out.count("asking again") == 1


def test_a_cluster_that_stays_away_is_said(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(cluster.CannotRunError, match="was refused"):
        here.ask("get", "--raw=/version")


def test_what_a_cluster_refuses_is_not_asked_again(
    here: Any, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(port, status=403), pytest.raises(cluster.CannotRunError, match="Forbidden"):
        here.ask("get", "--raw=/version")

    assert capsys.readouterr().out == ""


def test_what_stops_a_command_once_something_was_applied_is_a_failure(here: Any) -> None:
    with (
        pytest.raises(rollout.FailedError, match=r"^gone; .* see make status ENV=dev$"),
        rollout.applied(here),
    ):
        raise cluster.CannotRunError("gone")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_says_what_goes_on(
    own: Path, nowhere: Mapping[str, str], port: int, sent: signal.Signals
) -> None:
    with answering(port, takes=3) as server:
        process = subprocess.Popen(
            [sys.executable, "-B", "scripts/deploy.py", "--service=signups", "status", "dev"],
            cwd=own,
            env=nowhere,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 20
        while not server.asked and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(sent)
        _, said = process.communicate(timeout=20)

    assert said == "deploy: interrupted; what was applied goes on: see make status\n"
    assert process.returncode == 130
