"""Each stack's service, rendered and built once for all tests of the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.rendering import render

from tests.contract.recording import Recording, record
from tests.contract.stacks import STACKS, Mutation, Stack
from tests.engines.fixtures.docker import Docker
from tests.services import shared, template

__all__ = ["shared", "template"]

SERVICE = "signups"
VERSION = "1.2.3"

Render = Callable[..., Path]
Build = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.engine("docker", "collector", "images"))


@pytest.fixture(scope="session", params=STACKS, ids=str)
def stack(request: pytest.FixtureRequest) -> Stack:
    """One row of the table of stacks."""
    row: Stack = request.param
    return row


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Renders a service of a stack, with one fault put in if one is given."""

    def make(stack: Stack, fault: Mutation | None = None, /, **answers: object) -> Path:
        folder = tmp_path_factory.mktemp(f"{SERVICE}-{stack}")
        render(template, folder, {"service_name": SERVICE, "stack": stack.name, **answers})
        if fault is not None:
            fault.apply(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def built(docker: Docker, rendered: Render) -> Build:
    """Builds the production image of a service; the same one is built once."""
    known: dict[str, str] = {}

    def make(stack: Stack, fault: Mutation | None = None, /, **answers: object) -> str:
        key = f"{stack} {fault} {sorted(answers.items())}"
        if key not in known:
            folder = rendered(stack, fault, **answers)
            known[key] = docker.build(
                folder, target="production", arguments={"VERSION": VERSION, "REVISION": "0" * 40}
            )
        return known[key]

    return make


@pytest.fixture(scope="session")
def image(stack: Stack, built: Build) -> str:
    """The production image of a stack's service that keeps its data in memory."""
    return built(stack)


@pytest.fixture(scope="session")
def recording(docker: Docker, image: str, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """What that service said about one course of events."""
    folder = tmp_path_factory.mktemp("recording")
    return record(docker, image, folder, service=SERVICE, version=VERSION)
