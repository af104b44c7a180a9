"""Pods come and go under load, and users notice nothing; without the care for it they do."""

from collections.abc import Iterator

import pytest

from tests.cluster.shop import ENVIRONMENT, SERVICE, Shop

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "docker", "images"),
]


# -- with care -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "kept connections"])
def test_a_release_drops_nothing(first: Shop, digests: dict[str, str], keep_alive: bool) -> None:
    with first.users(keep_alive=keep_alive) as users:
        first.deploy(digests["second"])
        first.settled()
    print(f"release: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert users.noticed.sent > 1000
    assert first.digests() == {digests["second"]}


def test_a_rollback_drops_nothing(first: Shop, digests: dict[str, str]) -> None:
    first.deploy(digests["second"])
    first.settled()
    with first.users() as users:
        said = first.make("rollback")
        first.settled()
    assert digests["first"] in said
    print(f"rollback: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert first.digests() == {digests["first"]}


def test_a_broken_release_gets_no_traffic_and_is_taken_back(
    first: Shop, digests: dict[str, str]
) -> None:
    written = first.folder / f"deploy/environments/{ENVIRONMENT}/release/kustomization.yaml"
    before = written.read_text()
    with first.users() as users:
        said = first.deploy(digests["broken"], check=False)
        first.settled()
    assert "serves again" in said, said
    print(f"broken release: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert first.digests() == {digests["first"]}
    assert written.read_text() == before


def test_scaling_up_and_down_drops_nothing(first: Shop) -> None:
    with first.users() as users:
        for least in (6, 3):
            first.patch("horizontalpodautoscaler", scaled(least))
            first.settled(least)
    print(f"3 to 6 to 3 pods: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed


def scaled(least: int) -> dict[str, object]:
    """Return what makes an autoscaler keep so many pods, and follow at once."""
    behaviour = {"scaleDown": {"stabilizationWindowSeconds": 0, "policies": [
        {"type": "Pods", "value": 10, "periodSeconds": 1}]}}  # fmt: skip
    return {"spec": {"minReplicas": least, "behavior": behaviour}}


def test_a_pod_that_is_deleted_drops_nothing(first: Shop) -> None:
    with first.users() as users:
        first.kubectl("delete", "pod", first.pods()[0]["metadata"]["name"])
        first.settled()
    print(f"a pod deleted: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed


def test_a_node_that_is_drained_drops_nothing(first: Shop) -> None:
    try:
        with first.users() as users:
            first.cluster.kubectl(
                *("drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data", "--force"),
                f"--pod-selector=app.kubernetes.io/name={SERVICE}", timeout=300,
            )  # fmt: skip
            first.settled()
    finally:
        first.cluster.kubectl("uncordon", "n2")
    print(f"a node drained: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed


# -- without it ------------------------------------------------------------------------------------


@pytest.fixture
def careless(shop: Shop, digests: dict[str, str]) -> Iterator[Shop]:
    """Give the service for a change for the worse, and make it anew afterwards."""
    yield shop
    # What others have set would stay beside what is applied.
    shop.kubectl("delete", "deployment,horizontalpodautoscaler", SERVICE)
    shop.deploy(digests["first"])
    shop.settled()


def test_pods_that_leave_at_once_are_noticed(careless: Shop, digests: dict[str, str]) -> None:
    careless.deploy(digests["hasty"], "FORCE=1")
    careless.patch("deployment", container(lifecycle=None))
    careless.patch("horizontalpodautoscaler", scaled(6))
    careless.settled(6)
    with careless.users() as users:
        careless.patch("horizontalpodautoscaler", scaled(3))
        careless.settled(3)
    print(f"6 to 3 pods, without preStop: {users.noticed}")
    assert users.noticed.failed > 0, "the control lost nothing: the proofs beside it are empty"


def test_a_release_that_only_seems_to_be_ready_is_noticed(careless: Shop) -> None:
    elsewhere = {"tcpSocket": {"port": 9000}, "httpGet": None}
    with careless.users() as users:
        careless.patch(
            "deployment",
            container(
                image="localhost/probe:test",
                args=["serve", "9000"],
                startupProbe=elsewhere,
                readinessProbe=elsewhere,
                livenessProbe=elsewhere,
            ),
        )
        careless.kubectl("rollout", "status", f"deployment/{SERVICE}", "--timeout=120s")
    print(f"a readiness probe of the wrong port: {users.noticed}")
    assert users.noticed.failed > 0, "the control lost nothing: the proofs beside it are empty"


def container(**changes: object) -> dict[str, object]:
    """Return what changes the container that serves."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", **changes}]}}}}
