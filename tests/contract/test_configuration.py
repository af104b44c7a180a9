"""A missing or malformed value stops the start with one line that names it."""

from collections.abc import Mapping

import pytest

from tests.contract.conftest import Build
from tests.contract.recording import environment
from tests.contract.stacks import Stack
from tests.engines.fixtures.docker import Docker

GOOD = environment("")

BAD = {
    "no level": ({"LOG_LEVEL": ""}, "LOG_LEVEL: missing; set one of error, warn, info, debug"),
    "a wrong level": (
        {"LOG_LEVEL": "verbose"},
        'LOG_LEVEL: "verbose" is not one of error, warn, info, debug',
    ),
    "a port of letters": (
        {"PORT": "80x"},
        'PORT: "80x" is not a port number from 1 to 65535',
    ),
    "a port out of range": (
        {"PORT": "65536"},
        'PORT: "65536" is not a port number from 1 to 65535',
    ),
    "a drain without a number": ({"SHUTDOWN_DRAIN_SECONDS": "soon"}, "SHUTDOWN_DRAIN_SECONDS: "),
    "a metric of no kind": ({"BUSINESS_METRICS": "signups=timer"}, "BUSINESS_METRICS: "),
    "an upstream that is no address": ({"UPSTREAM_URL": "secret-host"}, "UPSTREAM_URL: "),
    "flags at no address": ({"FLAGS_URL": "ftp://secret-host"}, "FLAGS_URL: "),
    "a collector at no address": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "secret-host:4318"},
        "OTEL_EXPORTER_OTLP_ENDPOINT: ",
    ),
}
STORES = {
    "DATABASE_URL": "postgresql://a@b.invalid:5432/c",
    "CACHE_URL": "redis://b.invalid:6379/0",
}
BAD_STORES = {
    "no database": ({"DATABASE_URL": ""}, "DATABASE_URL: missing"),
    "no password file": ({}, "DATABASE_PASSWORD_FILE: missing"),
    "a password file that is not there": (
        {"DATABASE_PASSWORD_FILE": "/run/secrets/none"},
        "DATABASE_PASSWORD_FILE: /run/secrets/none cannot be read",
    ),
    "an empty password file": (
        {"DATABASE_PASSWORD_FILE": "/dev/null"},
        "DATABASE_PASSWORD_FILE: /dev/null is empty",
    ),
    "a password in the address": (
        {"DATABASE_URL": "postgresql://a:hunter2-secret-host@b.invalid:5432/c"},
        "DATABASE_URL: ",
    ),
    "no cache": (
        {"CACHE_URL": "", "DATABASE_PASSWORD_FILE": "/etc/hostname"},
        "CACHE_URL: missing",
    ),
}


def refused(docker: Docker, image: str, changes: Mapping[str, str], line: str) -> None:
    """Start the image and see it refuse: exit code 2 and exactly one line."""
    variables = {**GOOD, **changes}
    done = docker.run(
        "run", "--rm", *(f"--env={name}={value}" for name, value in variables.items()), image,
        check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"configuration: {line}"), lines[0]
    assert "secret-host" not in lines[0], "an address may hold a secret and is never printed"


@pytest.mark.parametrize("case", BAD)
def test_the_start_stops_with_one_line(docker: Docker, image: str, case: str) -> None:
    refused(docker, image, *BAD[case])


@pytest.mark.parametrize("case", BAD_STORES)
def test_so_it_does_for_the_stores(docker: Docker, built: Build, stack: Stack, case: str) -> None:
    image = built(stack, None, datastore="postgres", cache="redis")
    changes, line = BAD_STORES[case]
    refused(docker, image, {**STORES, **changes}, line)


def test_the_good_values_start(docker: Docker, image: str) -> None:
    with docker.container(image, environment=GOOD) as container:
        container.healthy()
