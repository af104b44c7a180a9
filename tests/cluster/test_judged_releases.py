"""Canary and blue-green by Argo Rollouts: judged by the rules behind the objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import ANSWERS, STACK
from tests.cluster.monitoring import argo_rollouts, monitor
from tests.cluster.shop import ENVIRONMENT, NAMESPACE, REPOSITORY, SERVICE, Shop
from tests.contract.conftest import Render
from tests.contract.stacks import Mutation
from tests.engines.fixtures.cluster import Cluster
from tests.engines.fixtures.docker import Docker

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "argo-rollouts", "docker", "images"),
    pytest.mark.engine("observers"),
]

# One sign-up in five fails.
FAULTY = Mutation(
    "internal/api/api.go",
    '\ttelemetry.Count(ctx, "signups")\n',
    "\tif signup.ID[15]%5 == 0 {\n"
    '\t\treturn problem{http.StatusInternalServerError, "one in five", nil}\n'
    '\t}\n\ttelemetry.Count(ctx, "signups")\n',
)
# A release is judged five times in five minutes; here it is three times in half a minute.
SOONER = [
    {"op": "replace", "path": f"/spec/metrics/{number}/{name}", "value": value}
    for number in (0, 1)
    for name, value in (
        ("initialDelay", "10s"), ("interval", "5s"), ("count", 3), ("inconclusiveLimit", 2),
    )
]  # fmt: skip


def hurried(repository: Path) -> None:
    """Change the service, in the place that is its own, so that tests take less time."""
    changes = repository / f"deploy/environments/{ENVIRONMENT}/changes"
    variables = changes / "configuration.env"
    variables.write_text(f"{variables.read_text()}OTEL_METRIC_EXPORT_INTERVAL=1000\n")
    file = changes / "kustomization.yaml"
    component = yaml.safe_load(file.read_text())
    target = {"kind": "AnalysisTemplate", "name": f"{SERVICE}-release"}
    component["patches"] = [{"target": target, "patch": yaml.safe_dump(SOONER)}]
    file.write_text(yaml.safe_dump(component))


@pytest.fixture(scope="module")
def faulty(docker: Docker, rendered: Render, platform: Cluster) -> str:
    """Return the digest of a release of which a fifth of the requests fails."""
    folder = rendered(STACK, FAULTY, **ANSWERS)
    arguments = {"VERSION": "faulty", "REVISION": "0" * 40}
    built = docker.build(folder, target="production", arguments=arguments)
    return platform.load(docker, built, REPOSITORY)


@pytest.fixture(scope="module")
def controller(
    callers: Cluster, docker: Docker, repository: Path, program: Callable[[str], Path]
) -> Cluster:
    """Give the cluster with Argo Rollouts, a collector and a Prometheus."""
    monitor(callers, docker, repository)
    argo_rollouts(callers, program("argo-rollouts"))
    return callers


@pytest.fixture(scope="module")
def canary(controller: Cluster, rendered: Render, digests: dict[str, str]) -> Iterator[Shop]:
    """Give the service with canary releases, with its first one."""
    repository = rendered(STACK, None, **{**ANSWERS, "rollout": "canary"})
    hurried(repository)
    shop = Shop(controller, repository)
    shop.deploy(digests["first"])
    yield shop
    controller.kubectl("delete", "namespace", NAMESPACE, timeout=180)


def test_a_good_release_is_promoted(canary: Shop, digests: dict[str, str]) -> None:
    with canary.users() as users:
        said = canary.deploy(digests["second"])
    assert users.noticed
    print(f"canary, a good release: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert digests["second"] in said
    assert canary.cluster.eventually(lambda: canary.digests() == {digests["second"]}, 120)


def test_a_release_with_errors_is_given_up(
    canary: Shop, digests: dict[str, str], faulty: str
) -> None:
    with canary.users() as users:
        said = canary.deploy(faulty, check=False)
    assert "serves again" in said, said
    assert users.noticed
    print(f"canary, a faulty release: {users.noticed}")
    # A quarter of the pods fails a fifth of its requests.
    assert 0 < users.noticed.failed < 0.25 * users.noticed.sent, users.noticed
    assert canary.cluster.eventually(lambda: canary.digests() == {digests["second"]}, 120)


def test_a_release_that_nobody_asks_does_not_pass(canary: Shop, digests: dict[str, str]) -> None:
    said = canary.deploy(digests["third"], "TIMEOUT=90", check=False)
    assert "serves again" in said, said
    assert canary.cluster.eventually(lambda: canary.digests() == {digests["second"]}, 120)


def test_a_rollback_takes_no_steps_and_drops_nothing(canary: Shop, digests: dict[str, str]) -> None:
    with canary.users() as users:
        said = canary.make("rollback", f"TO={digests['first']}")
    assert digests["first"] in said
    assert users.noticed
    print(f"canary, a rollback: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert canary.cluster.eventually(lambda: canary.digests() == {digests["first"]}, 120)
