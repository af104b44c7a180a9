import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.healthcheck import alive
from support import ENVIRONMENT, SOURCES, Process, free_port


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={"PYTHONPATH": str(SOURCES), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"PORT": "80x"},
            'configuration: PORT: "80x" is not a port number from 1 to 65535',
        ),
        (
            {"LOG_LEVEL": ""},
            "configuration: LOG_LEVEL: missing; set one of error, warn, info, debug",
        ),
    ],
)
def test_a_wrong_configuration_ends_the_start_with_one_line(
    change: dict[str, str], expected: str
) -> None:
    result = run({"PORT": "8080", **ENVIRONMENT, **change})

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == expected + "\n"


def test_an_unknown_program_is_refused() -> None:
    result = run({"PORT": "8080", **ENVIRONMENT}, "bash")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: ")


def test_the_health_check_is_quick_and_tells_the_truth(server: Process) -> None:
    started = time.monotonic()
    alive = run({"PORT": str(server.port)}, "healthcheck")
    took = time.monotonic() - started
    dead = run({"PORT": str(free_port())}, "healthcheck")

    assert (alive.returncode, dead.returncode) == (0, 1)
    assert took < 5  # 0.05 s on an idle machine


def test_the_health_check_does_not_wait_for_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not alive(silent.getsockname()[1], seconds=0.1)


def test_a_port_in_use_ends_the_start_with_one_error_line(server: Process, tmp_path: Path) -> None:
    second = Process(tmp_path, {"PORT": str(server.port)})

    assert second.process.wait(20) == 3
    (line,) = second.lines
    assert line["severity"] == "error"
    assert "address already in use" in line["message"]
