"""The pytest side of the engines: who needs them, who starts them, what was there."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest
from slipway.errors import SlipwayError

from tests.engines import catalogue
from tests.engines.docker import daemon
from tests.engines.fixtures import backends
from tests.engines.fixtures import cluster as clusters
from tests.engines.fixtures import collector as collectors
from tests.engines.fixtures.docker import Docker

REQUIRE = "SLIPWAY_REQUIRE_ENGINES"
# A test that uses one of these fixtures needs the engine even if nobody marked it.
FIXTURES = {
    "docker": ("docker",),
    "collector": ("collector",),
    "run_collector": ("collector",),
    "run_backends": backends.NEEDS,
    "cluster": ("cluster",),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine(name, ...): needs what `make engines` installs")
    if not is_worker(config):
        config.stash[SESSION] = daemon.Session()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the tests started; with xdist only once, when every worker has ended."""
    if session := config.stash.get(SESSION, None):
        session.end(catalogue.DOCKER.stop)


SESSION = pytest.StashKey[daemon.Session]()


def is_worker(config: pytest.Config) -> bool:
    """Say whether this process runs tests for another one."""
    return hasattr(config, "workerinput")


# -- who needs them --------------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests by the fixtures they use, so that `-m "not engine"` leaves out every one."""
    used = {one for name in getattr(item, "fixturenames", ()) for one in FIXTURES.get(name, ())}
    if missing := used - set(_needed(item)):
        item.add_marker(pytest.mark.engine(*sorted(missing)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose engine is missing; start the engines that run, once."""
    if names := _needed(item):
        require(*names)


def _needed(item: pytest.Item) -> list[str]:
    return [name for marker in item.iter_markers("engine") for name in marker.args]


def require(*names: str) -> None:
    """Skip, or fail where engines are required, unless the engines and their needs are there."""
    for engine in catalogue.chosen(names):
        if reason := _unusable(engine.name):
            if os.environ.get(REQUIRE) == "1":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@functools.cache
def _unusable(name: str) -> str:
    """Make one engine ready for this process; return why that cannot be, or nothing."""
    recipe = catalogue.engine(name).recipe
    if not recipe.installed():
        return f"engine {name} is not installed: run make engines"
    if isinstance(recipe, catalogue.Daemon):
        try:
            if recipe.start():
                daemon.Session.mark()
        except SlipwayError as error:
            return str(error)
        # For what tests run themselves, such as a service's make.
        os.environ.update(recipe.environment())
    return ""


# -- what was there --------------------------------------------------------------------------------


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print which engines were found and missing, if any test asked for one."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    if is_worker(config) or not any("engine" in getattr(r, "keywords", ()) for r in reports):
        return
    terminalreporter.section("engines")
    for name, found in report():
        terminalreporter.write_line(f"{name:<16} {found}")


def report() -> Iterator[tuple[str, str]]:
    """Give every engine with its version and place, then the images that are stand-ins."""
    for engine in catalogue.ENGINES:
        if engine.recipe.installed():
            yield engine.name, f"{engine.recipe.version()}  ({engine.recipe.where()})"
        elif not engine.on_demand:
            yield engine.name, f"missing: {engine.proves} was not shown; run make engines"
    if catalogue.DOCKER.installed():
        for image in sorted(catalogue.IMAGES.stand_ins() | catalogue.OBSERVERS.stand_ins()):
            yield "stand-in", image


# -- fixtures --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def docker() -> Docker:
    """Give the Docker command line, on a running engine."""
    require("docker")
    return Docker(catalogue.DOCKER)


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Give a function that returns the file of an installed program: `program("kustomize")`."""

    def find(name: str) -> Path:
        require(name)
        recipe = catalogue.engine(name).recipe
        assert isinstance(recipe, catalogue.Program), f"{name} is not one program"
        return recipe.path

    return find


class RunCollector(Protocol):
    """What the fixture `run_collector` gives."""

    def __call__(
        self,
        *configurations: collectors.Configuration,
        environment: dict[str, str] | None = None,
    ) -> AbstractContextManager[collectors.Collector]:
        """Run a collector for the block, with the configurations merged, or a plain one."""
        ...


@pytest.fixture(scope="session")
def run_collector(tmp_path_factory: pytest.TempPathFactory) -> RunCollector:
    """Give a function that runs a collector, for other configurations and wider scopes."""
    require("collector")
    addresses = _addresses()

    def run(
        *configurations: collectors.Configuration, environment: dict[str, str] | None = None
    ) -> AbstractContextManager[collectors.Collector]:
        return collectors.running(
            tmp_path_factory.mktemp("collector"),
            addresses=addresses,
            configurations=configurations,
            environment=environment,
        )

    return run


@pytest.fixture
def collector(run_collector: RunCollector) -> Iterator[collectors.Collector]:
    """Give a collector that keeps everything it receives, for one test."""
    with run_collector() as running:
        yield running


class RunBackends(Protocol):
    """What the fixture `run_backends` gives."""

    def __call__(
        self, service: Path, setup: backends.Setup | None = None
    ) -> AbstractContextManager[backends.Backends]:
        """Run everything behind a rendered service for the block."""
        ...


@pytest.fixture(scope="session")
def run_backends(tmp_path_factory: pytest.TempPathFactory) -> RunBackends:
    """Give a function that runs a service's collector, Prometheus, Alertmanager and Loki."""
    require(*backends.NEEDS)
    addresses = _addresses()

    def run(
        service: Path, setup: backends.Setup | None = None
    ) -> AbstractContextManager[backends.Backends]:
        folder = tmp_path_factory.mktemp("backends")
        return backends.running(service, folder, setup, addresses=addresses)

    return run


@pytest.fixture(scope="session")
def cluster() -> Iterator[clusters.Cluster]:
    """Give a running Kubernetes of two nodes; each process of the tests has its own."""
    require("cluster")
    with clusters.temporary(catalogue.CLUSTER.folder) as running:
        yield running


def _addresses() -> Sequence[str]:
    """Return where a collector listens: for the test, and for containers where there are any."""
    if not catalogue.DOCKER.installed() or _unusable("docker"):
        return ("127.0.0.1",)
    return ("127.0.0.1", Docker(catalogue.DOCKER).gateway())
