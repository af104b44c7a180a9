"""The autoscaler follows real load up and down, and users notice nothing."""

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import ANSWERS, STACK
from tests.cluster.shop import NAMESPACE, SERVICE, Shop, patch_in_changes
from tests.contract.conftest import Render
from tests.engines.fixtures.cluster import Cluster

pytestmark = [
    pytest.mark.long,
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "docker", "images"),
]

LEAST = 3
# With less asked for, the load of a small machine is a lot of it. The share that is wanted stays.
LITTLE = [
    {"op": "replace", "path": "/spec/template/spec/containers/0/resources/requests/cpu",
     "value": "30m"},
]  # fmt: skip
# Five minutes of patience, and a quarter of the pods each minute, are half a minute here.
SOONER = [
    {"op": "replace", "path": "/spec/behavior/scaleDown", "value": {
        "stabilizationWindowSeconds": 10,
        "policies": [{"type": "Pods", "value": 10, "periodSeconds": 5}],
    }},
]  # fmt: skip


@pytest.fixture(scope="module")
def scaled(callers: Cluster, rendered: Render, digests: dict[str, str]) -> Iterator[Shop]:
    """Give the service, with an autoscaler that knows how much its pods use."""
    repository = rendered(STACK, None, **ANSWERS)
    patch_in_changes(
        repository,
        {"target": {"kind": "Deployment"}, "patch": LITTLE},
        {"target": {"kind": "HorizontalPodAutoscaler"}, "patch": SOONER},
    )
    shop = Shop(callers, repository)
    shop.deploy(digests["first"])
    assert callers.eventually(lambda: used(shop) is not None, 90), shop.make("status", check=False)
    # What pods need to start counts for a moment, and may have started more of them.
    shop.settled(LEAST)
    yield shop
    callers.kubectl("delete", "namespace", NAMESPACE, timeout=180)


def used(shop: Shop) -> int | None:
    """Return the share of the requested processor time that the autoscaler sees used."""
    found = shop.get("horizontalpodautoscaler", SERVICE).get("status", {}).get("currentMetrics")
    for one in found or []:
        if current := one.get("containerResource", {}).get("current", {}):
            return int(current["averageUtilization"])
    return None


def pods(shop: Shop) -> int:
    """Return how many pods are wanted now."""
    return int(shop.get("deployment", SERVICE)["spec"]["replicas"])


def test_a_load_below_the_target_starts_no_pod(scaled: Shop) -> None:
    seen = []
    with scaled.users(a_second=5) as users:

        def more() -> bool:
            seen.append(used(scaled) or 0)
            return pods(scaled) != LEAST

        assert not scaled.cluster.eventually(more, 30)
    print(f"5 a second: {max(seen)} % of the request at most, {LEAST} pods; {users.noticed}")
    assert 0 < max(seen) < 70
    assert users.noticed.failed == 0, users.noticed


def test_real_load_starts_pods_and_its_end_stops_them_with_nothing_dropped(scaled: Shop) -> None:
    seen = []

    def grown() -> bool:
        seen.append((used(scaled) or 0, pods(scaled)))
        return pods(scaled) > LEAST

    with scaled.users(a_second=300) as users:
        assert scaled.cluster.eventually(grown, 90), seen
        scaled.cluster.eventually(lambda: grown() and False, 20)
        most = max(number for _, number in seen)
        scaled.settled(pods(scaled))
    share = max(percent for percent, _ in seen)
    print(f"300 a second: {share} % of the request, {LEAST} to {most} pods; {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    with scaled.users(a_second=5) as users:
        scaled.settled(LEAST)
    print(f"back to {LEAST} pods: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
