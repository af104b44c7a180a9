"""The collector's configuration that the service brings along."""

from pathlib import Path

import pytest

from tests.contract import checks
from tests.contract.canaries import found
from tests.contract.conftest import SERVICE, VERSION, Build, Render
from tests.contract.recording import Recording, record
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.docker import Docker

EXPORTED = ("traces", "metrics", "logs")


@pytest.fixture(scope="session")
def through_collector(
    docker: Docker,
    image: str,
    stack: Stack,
    rendered: Render,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recording:
    """The course of events as it leaves the service's own collector."""
    return record(
        docker,
        image,
        tmp_path_factory.mktemp("through-collector"),
        service=SERVICE,
        version=VERSION,
        configurations=[rendered(stack) / "observability/collector.yaml"],
    )


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_the_collector_changes_nothing_that_the_contract_asks_for(
    through_collector: Recording, check: checks.Check
) -> None:
    wrong = check(through_collector)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("fault", ["path in spans", "mail in a log line"])
def test_the_collector_removes_what_a_careless_service_leaks(
    docker: Docker, built: Build, rendered: Render, tmp_path: Path, stack: Stack, fault: str
) -> None:
    image = built(stack, stack.mutations[fault])
    naked = record(docker, image, tmp_path / "naked", service=SERVICE, version=VERSION)
    assert found({name: naked.texts[name] for name in EXPORTED}), "the fault leaks nothing"
    guarded = record(
        docker,
        image,
        tmp_path / "guarded",
        service=SERVICE,
        version=VERSION,
        configurations=[rendered(stack) / "observability/collector.yaml"],
    )
    assert guarded.spans
    assert guarded.records
    assert not found({name: guarded.texts[name] for name in EXPORTED})
