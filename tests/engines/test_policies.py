"""The harness's own enforcer of network policies does what the API's documentation says."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.engines.cluster.policy_cases import CASES, Case, policies
from tests.engines.fixtures.cluster import Cluster

pytestmark = pytest.mark.engine("cluster")

NAMESPACES = ("left", "right")
ROLES = ("client", "other", "server")
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {role}, namespace: {namespace}, labels: {{role: {role}}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: probe
      image: localhost/probe:test
      args: [serve, "8080", "8081", "9000"]
      ports: [{{name: web, containerPort: 8080}}]
"""


@dataclass(frozen=True)
class Pods:
    """The pods of the cases: their addresses, by namespace and role."""

    cluster: Cluster
    addresses: dict[str, str]

    def reach(self, connection: tuple[str, str, int]) -> bool:
        """Say whether a connection from one pod to a port of another is answered."""
        source, target, port = connection
        namespace, pod = source.split("/")
        address = f"{self.addresses[target]}:{port}"
        command = ("exec", pod, "--", "/probe", "reach", address)
        done = self.cluster.kubectl(*command, namespace=namespace, check=False)
        assert done.returncode == 0 or "exit code 1" in done.stderr, done.stderr
        return done.returncode == 0

    def wrong(self, case: Case) -> list[str]:
        """Return which connections are not as a case says."""
        expected = dict.fromkeys(case.open, True) | dict.fromkeys(case.closed, False)
        with ThreadPoolExecutor(4) as pool:
            found = dict(zip(expected, pool.map(self.reach, expected), strict=True))
        return [
            f"{source} to {target}:{port} is {'open' if found[source, target, port] else 'closed'}"
            for source, target, port in expected
            if found[source, target, port] != expected[source, target, port]
        ]


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[Pods]:
    for namespace in NAMESPACES:
        cluster.namespace(namespace, side=namespace)
        for role in ROLES:
            cluster.apply(POD.format(namespace=namespace, role=role))
    addresses = {}
    for namespace in NAMESPACES:
        cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", namespace=namespace)
        for pod in cluster.get("pods", namespace=namespace)["items"]:
            addresses[f"{namespace}/{pod['metadata']['name']}"] = pod["status"]["podIP"]
    yield Pods(cluster, addresses)
    for namespace in NAMESPACES:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_policy_does_what_the_documentation_says(pods: Pods, case: Case) -> None:
    manifests = policies(case.specs, pods.addresses)
    if case.specs:
        pods.cluster.apply(manifests)
    try:
        # The enforcer follows the API within a moment.
        pods.cluster.eventually(lambda: not pods.wrong(case), 10)
        assert pods.wrong(case) == []
    finally:
        if case.specs:
            pods.cluster.kubectl("delete", "networkpolicy", "--all", namespace="left")


def test_what_a_case_says_is_noticed_when_it_is_not_so(pods: Pods) -> None:
    """Each case that closes something is not so without its policies."""
    closing = [case for case in CASES if case.closed]
    assert len(closing) > len(CASES) / 2
    pods.cluster.eventually(lambda: not pods.wrong(CASES[0]), 10)
    for case in closing[:3]:
        assert len(pods.wrong(case)) == len(case.closed), case.says
