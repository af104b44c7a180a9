"""The fixtures of this folder: a cluster that knows the kinds of others, and a service on it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.cluster.monitoring import argo_rollouts, judge_sooner, monitor
from tests.cluster.shop import CALLER, CALLERS, ENVIRONMENT, NAMESPACE, REPOSITORY, Shop
from tests.contract.conftest import Render, rendered
from tests.contract.stacks import STACKS, Mutation
from tests.engines import catalogue
from tests.engines.fixtures.cluster import Cluster
from tests.engines.fixtures.docker import Docker
from tests.engines.plugin import require
from tests.services import nothing_of_the_user, services, shared, template

__all__ = ["nothing_of_the_user", "rendered", "services", "shared", "template"]
[STACK] = [one for one in STACKS if one.name == "go"]
ANSWERS = {
    "environments": ["dev", ENVIRONMENT],
    "image": REPOSITORY,
    "datastore": "none",
    "cache": "none",
    "edge": "none",
    "rollout": "rolling",
    "feature_flags": False,
}
# It ends as soon as it starts.
BROKEN = Mutation("Dockerfile", 'ENTRYPOINT ["/app/app"]', 'ENTRYPOINT ["/app/app", "nonsense"]')
# One sign-up in five fails.
FAULTY = Mutation(
    "internal/api/api.go",
    '\ttelemetry.Count(ctx, "signups")\n',
    "\tif signup.ID[15]%5 == 0 {\n"
    '\t\treturn problem{http.StatusInternalServerError, "one in five", nil}\n'
    '\t}\n\ttelemetry.Count(ctx, "signups")\n',
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes minutes to `make cluster`."""
    if os.environ.get("SLIPWAY_CLUSTER") == "all":
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def platform(cluster: Cluster) -> Cluster:
    """Give the cluster with the custom resources that a platform has."""
    require("custom-resources")
    folder = catalogue.CUSTOM_RESOURCES.folder
    cluster.kubectl("apply", "--server-side", f"--filename={folder}", timeout=300)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
    return cluster


@pytest.fixture(scope="session")
def repository(rendered: Render) -> Path:
    """Return the service's repository."""
    return rendered(STACK, None, **ANSWERS)


class Release(Protocol):
    """What the fixture `release` gives."""

    def __call__(self, name: str, folder: Path) -> str:
        """Build a service under a version, give both nodes its image, and return its digest."""
        ...


@pytest.fixture(scope="session")
def release(docker: Docker, platform: Cluster) -> Release:
    """Give a function that makes a release of a service."""

    def make(name: str, folder: Path) -> str:
        arguments = {"VERSION": name, "REVISION": "0" * 40}
        built = docker.build(folder, target="production", arguments=arguments)
        return platform.load(docker, built, REPOSITORY)

    return make


@pytest.fixture(scope="session")
def digests(rendered: Render, repository: Path, release: Release) -> dict[str, str]:
    """Three good releases, a broken one and one that ends at once when it shall, on both nodes."""
    hasty = STACK.shutdown_faults["exits at once"]
    folders = {
        "first": repository,
        "second": repository,
        "third": repository,
        "broken": rendered(STACK, BROKEN, **ANSWERS),
        "hasty": rendered(STACK, hasty, **ANSWERS),
    }
    found = {name: release(name, folder) for name, folder in folders.items()}
    assert len(set(found.values())) == len(found)
    return found


@pytest.fixture(scope="session")
def callers(platform: Cluster) -> Cluster:
    """Give the cluster with a pod of the team, from which users ask."""
    platform.namespace(CALLERS, **{"app.kubernetes.io/part-of": "example"})
    platform.apply(CALLER, namespace=CALLERS)
    platform.kubectl("wait", "--for=condition=Ready", "pod/users", namespace=CALLERS)
    return platform


@pytest.fixture(scope="module")
def shop(callers: Cluster, repository: Path, digests: dict[str, str]) -> Iterator[Shop]:
    """Give the service in production."""
    shop = Shop(callers, repository)
    shop.deploy(digests["first"])
    shop.settled()
    yield shop
    callers.kubectl("delete", "namespace", NAMESPACE, timeout=180)


@pytest.fixture
def first(shop: Shop, digests: dict[str, str]) -> Shop:
    """Give the service with its first release, whatever ran before."""
    if shop.digests() != {digests["first"]}:
        shop.deploy(digests["first"], "FORCE=1")
    shop.settled()
    return shop


# -- releases that are judged ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def faulty(rendered: Render, release: Release) -> str:
    """Return the digest of a release of which a fifth of the requests fails."""
    return release("faulty", rendered(STACK, FAULTY, **ANSWERS))


@pytest.fixture(scope="session")
def controller(
    callers: Cluster, docker: Docker, repository: Path, program: Callable[[str], Path]
) -> Cluster:
    """Give the cluster with Argo Rollouts, a collector and a Prometheus."""
    monitor(callers, docker, repository)
    argo_rollouts(callers, program("argo-rollouts"))
    return callers


@pytest.fixture(scope="module")
def judged(
    request: pytest.FixtureRequest, controller: Cluster, rendered: Render, digests: dict[str, str]
) -> Iterator[Shop]:
    """Give the service, with its first release, under the kind of rollout that the file names."""
    folder = rendered(STACK, None, **{**ANSWERS, "rollout": request.module.ROLLOUT})
    judge_sooner(folder)
    shop = Shop(controller, folder)
    shop.deploy(digests["first"])
    # One pod serves first, and the autoscaler starts the others.
    assert controller.eventually(lambda: "serving: 3 pods serve" in shop.make("status"))
    yield shop
    controller.kubectl("delete", "namespace", NAMESPACE, timeout=180)
