"""The service's network policies let its own flows pass and no others.

The enforcer is the harness's own. That it does what the API's documentation says is
shown in tests/engines/test_policies.py.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.shop import CALLERS, NAMESPACE, Shop

pytestmark = pytest.mark.engine("cluster", "custom-resources", "docker", "images")

OTHERS = ("elsewhere", "observability")
OTHER = """
apiVersion: v1
kind: Pod
metadata: {name: other}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: other
      image: localhost/probe:test
      args: [serve, "4318", "5432", "6379", "8080", "9000"]
"""
NAMES, SERVER = "10.98.0.10", "10.99.0.1"


@dataclass(frozen=True)
class Flow:
    """From a pod to a pod, a namespace's `other`, or an address, at a port."""

    source: str
    target: str
    port: int

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.source} to {self.target}:{self.port}"


OPEN = (
    Flow(CALLERS, "service", 8080),
    Flow("service", NAMES, 53),
    Flow("service", "observability", 4318),
    # What is behind UPSTREAM_URL, at any private address until changes/ names the one.
    Flow("service", "elsewhere", 8080),
)
CLOSED = (
    Flow("elsewhere", "service", 8080),
    Flow("observability", "service", 8080),
    Flow("service", "elsewhere", 4318),
    Flow("service", "elsewhere", 5432),
    Flow("service", "elsewhere", 6379),
    Flow("service", "elsewhere", 9000),
    Flow("service", SERVER, 6443),
)


@pytest.fixture(scope="module")
def others(shop: Shop) -> Iterator[Shop]:
    """Give the service, with pods of others around it."""
    for name in OTHERS:
        shop.cluster.namespace(name)
        shop.cluster.apply(OTHER, namespace=name)
        shop.cluster.kubectl("wait", "--for=condition=Ready", "pod/other", namespace=name)
    shop.settled()
    yield shop
    shop.cluster.kubectl("delete", "namespace", *OTHERS, timeout=180)


def place(shop: Shop, name: str) -> tuple[str, str]:
    """Return the namespace and the name of a pod."""
    if name == "service":
        return NAMESPACE, shop.pods()[0]["metadata"]["name"]
    return name, "users" if name == CALLERS else "other"


def possible(shop: Shop, flow: Flow) -> bool:
    """Say whether somebody answers."""
    address = flow.target
    if not address[0].isdigit():
        namespace, pod = place(shop, flow.target)
        address = shop.cluster.address(pod, namespace)
    namespace, pod = place(shop, flow.source)
    connect = ("timeout", "2", "bash", "-c", f"</dev/tcp/{address}/{flow.port}")
    asking = shop.cluster.start_beside(pod, namespace, *connect)
    asking.communicate(timeout=10)
    return asking.returncode == 0


@pytest.mark.parametrize("flow", OPEN, ids=str)
def test_a_flow_of_the_service_works(others: Shop, flow: Flow) -> None:
    assert others.cluster.eventually(lambda: possible(others, flow), 10)


@pytest.mark.parametrize("flow", CLOSED, ids=str)
def test_any_other_flow_is_refused(others: Shop, flow: Flow) -> None:
    assert not possible(others, flow)


def test_without_the_policies_all_of_it_works(others: Shop, digests: dict[str, str]) -> None:
    """What the proofs above find closed would be open."""
    others.kubectl("delete", "networkpolicy", "--all")
    try:
        for flow in (*OPEN, *CLOSED):
            assert others.cluster.eventually(functools.partial(possible, others, flow), 10), flow
    finally:
        others.deploy(digests["first"])
        others.settled()
