"""The Kubernetes of the tests: what it says it is, what runs in it, and that it leaves nothing."""

import os
from pathlib import Path

import pytest

from tests.engines import catalogue
from tests.engines.fixtures import cluster as clusters
from tests.engines.fixtures.cluster import Cluster
from tests.engines.versions import version

pytestmark = pytest.mark.engine("cluster")


def test_both_nodes_are_ready_and_of_the_pinned_version(cluster: Cluster) -> None:
    nodes = cluster.get("nodes")["items"]

    assert [one["metadata"]["name"] for one in nodes] == list(clusters.NODES)
    for node in nodes:
        conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{version('kubernetes')}"


def test_names_and_metrics_are_there(cluster: Cluster) -> None:
    cluster.kubectl("wait", "--for=condition=Available", "deployment", "--all", "-n=kube-system")
    cluster.eventually(lambda: cluster.kubectl("top", "nodes", check=False).returncode == 0)
    said = cluster.kubectl("top", "nodes", "--no-headers").stdout

    assert [line.split()[0] for line in said.splitlines()] == list(clusters.NODES)


def test_a_cluster_leaves_nothing() -> None:
    with clusters.temporary(catalogue.CLUSTER.folder) as running:
        state = running.state
        assert of(state), "a running cluster has processes: nothing was looked at"
    assert of(state) == []
    assert not state.exists()
    assert list(Path("/sys/fs/cgroup").glob(f"*/slipway-{state.name}")) == []
    assert str(state) not in Path("/proc/self/mountinfo").read_text()


def of(state: Path) -> list[str]:
    """Return the processes that name a cluster's folder in their arguments or variables."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if str(state).encode() in said and int(process.name) != os.getpid():
            found.append(said.split(b"\0")[0].decode())
    return found
