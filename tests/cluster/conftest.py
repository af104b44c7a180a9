"""The fixtures of this folder: a cluster that knows the kinds of others, and a service on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def digests(
    docker: Docker, rendered: Render, repository: Path, platform: Cluster
) -> dict[str, str]:
    """Three good releases, a broken one and one that ends at once when it shall, on both nodes."""
    hasty = STACK.shutdown_faults["exits at once"]
    folders = {
        "first": repository,
        "second": repository,
        "third": repository,
        "broken": rendered(STACK, BROKEN, **ANSWERS),
        "hasty": rendered(STACK, hasty, **ANSWERS),
    }
    found = {}
    for name, folder in folders.items():
        arguments = {"VERSION": name, "REVISION": "0" * 40}
        built = docker.build(folder, target="production", arguments=arguments)
        found[name] = platform.load(docker, built, REPOSITORY)
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
