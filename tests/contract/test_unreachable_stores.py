"""Stores that are out of reach: said once, answered with 503, and no reason to be killed."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import Build
from tests.contract.load import eventually
from tests.contract.recording import environment
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.docker import Container, Docker

PASSWORD = "canary-of-a-password"  # noqa: S105
STORES = {"datastore": "postgres", "cache": "redis"}


@contextlib.contextmanager
def without_stores(docker: Docker, image: str, folder: Path) -> Iterator[Container]:
    """Run a service whose PostgreSQL and Redis nobody started."""
    password = folder / "password"
    password.write_text(PASSWORD)
    variables = environment(
        "",
        DATABASE_URL="postgresql://signups@host.docker.internal:9/signups",
        DATABASE_PASSWORD_FILE="/run/secrets/password",  # noqa: S106
        CACHE_URL="redis://host.docker.internal:9/0",
    )
    with docker.container(
        image, environment=variables, mounts={password: "/run/secrets/password"}
    ) as container:
        assert eventually(lambda: _answers(container), 15), container.logs()
        yield container


def _answers(container: Container) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{container.url}/startupz").status_code == 200
    return False


def test_an_unreachable_store_is_said_and_answered(
    docker: Docker, built: Build, stack: Stack, tmp_path: Path
) -> None:
    with without_stores(docker, built(stack, None, **STORES), tmp_path) as container:
        url = container.url
        assert httpx.get(f"{url}/livez").status_code == 200
        assert httpx.get(f"{url}/readyz", timeout=10).status_code == 503
        for _ in range(5):
            answer = httpx.post(f"{url}/signups", json={"email": "a@example.com"}, timeout=10)
            assert answer.status_code == 503
            assert list(answer.json()) == ["error"]
        lines = [json.loads(line) for line in container.logs().splitlines()]
        # One for the store, one for the cache: whoever reads this at night sees the cause at once.
        said = [line for line in lines if line["severity"] in {"warn", "error"}]
        assert 1 <= len(said) <= 3, said
        assert any("store" in line["message"] or "database" in line["message"] for line in said)
        assert PASSWORD not in container.logs() + container.errors()
        assert container.stop() == 0


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_a_health_route_that_touches_the_store_is_noticed(
    docker: Docker, built: Build, tmp_path: Path, stack: Stack
) -> None:
    image = built(stack, stack.liveness_fault, **STORES)
    with without_stores(docker, image, tmp_path) as container:
        assert httpx.get(f"{container.url}/livez", timeout=10).status_code != 200
