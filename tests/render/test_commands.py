"""The service's make commands refuse what cannot work: one line, and nothing done."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


def refusal(
    service: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> list[str]:
    """Run make, see it fail, and return what it said beside its own closing line."""
    done = subprocess.run(
        ["/usr/bin/make", *arguments],
        cwd=service,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0, done.stdout
    assert done.stdout == ""
    return [line for line in done.stderr.splitlines() if not line.startswith("make: *** [")]


WRONG = ("prod", "..", "dev staging", "%", "dev/changes")
CLUSTER = ("deploy", "diff", "status", "doctor", "rollback", "rollback-drill")


# Without an environment, the alert is for this machine.
@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, name) for command in ("manifests", *CLUSTER) for name in ("", "$(x)", *WRONG)),
        *(("alert-test", name) for name in WRONG),
    ],
)
def test_a_wrong_environment_is_one_line_that_names_the_right_ones(
    service: Path, command: str, name: str
) -> None:
    said = refusal(service, command, f"ENV={name}")
    assert len(said) == 1
    assert said[0].endswith("is not an environment; take one of: dev staging production")


@pytest.mark.parametrize(
    "command", ["up", "observe", "dev", "down", "logs", "test", "lock", "rules-test"]
)
def test_a_missing_docker_is_one_line_that_says_what_to_install(
    service: Path, tmp_path: Path, command: str
) -> None:
    said = refusal(service, command, environment={"PATH": str(tmp_path)})
    assert len(said) == 1
    assert "docker is not on the PATH: install Docker Engine" in said[0]
    assert not (service / ".local").exists()


@pytest.mark.parametrize("command", ["alert-test", "alert-review", *CLUSTER])
def test_a_missing_interpreter_is_one_line_that_says_what_to_install(
    service: Path, tmp_path: Path, command: str
) -> None:
    environment = ["ENV=dev"] if command in CLUSTER else []
    said = refusal(service, command, *environment, environment={"PATH": str(tmp_path)})
    assert len(said) == 1
    assert "python3 is not on the PATH: install version 3.9" in said[0]


def test_make_alone_lists_every_command(service: Path) -> None:
    done = subprocess.run(
        ["/usr/bin/make"], cwd=service, capture_output=True, text=True, check=True
    )
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    text = (service / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:"))
    assert listed == set(phony.split()[1:])
