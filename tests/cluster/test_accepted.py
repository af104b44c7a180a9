"""A real API server takes every manifest, and refuses those with a slip."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.engines.fixtures.cluster import Cluster
from tests.render.environments import ENVIRONMENTS, Clusters, clusters, combinations, of_kind, only

__all__ = ["clusters"]

pytestmark = pytest.mark.engine("cluster", "custom-resources", "kustomize")

TRIED = ("--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")
EVERYTHING = {"rollout": "canary", "secrets": "external-secrets", "edge": "gateway"}


@pytest.fixture(scope="module")
def prepared(platform: Cluster, clusters: Clusters) -> Cluster:
    """Give the cluster with the namespaces of the environments, which a dry run asks for."""
    for environment in ENVIRONMENTS:
        manifests = clusters(environment)
        platform.apply(yaml.safe_dump_all(of_kind(manifests, "Namespace")))
    return platform


def refusal(cluster: Cluster, manifests: str) -> str:
    """Return why the API server does not take manifests, warnings included."""
    said = cluster.kubectl("apply", "--server-side", *TRIED, check=False, standard_input=manifests)
    return said.stderr if said.returncode else ""


@pytest.mark.parametrize("answers", list(combinations()), ids=lambda one: "-".join(one.values()))
def test_every_environment_rollout_secrets_and_edge_is_taken(
    prepared: Cluster, clusters: Clusters, answers: dict[str, Any]
) -> None:
    for environment in ENVIRONMENTS:
        assert refusal(prepared, clusters.text(environment, **answers)) == ""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("progressDeadlineSeconds: ", "progressDeadlineSecond: ", "progressDeadlineSecond"),
        ("setWeight: 20", "setWieght: 20", "setWieght"),
        ("refreshInterval: ", "refresh: ", "refresh"),
        ("hostnames:", "hosts:", "hosts"),
        ("kind: HTTPRoute", "kind: HTTPRuote", "HTTPRuote"),
        ("maxReplicas: 10", "maxReplicas: 1", "maxReplicas"),
    ],
)
def test_a_slip_is_refused(
    prepared: Cluster, clusters: Clusters, old: str, new: str, says: str
) -> None:
    text = clusters.text("production", **EVERYTHING)
    assert old in text

    assert says in refusal(prepared, text.replace(old, new))


# -- the pods --------------------------------------------------------------------------------------


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the pod that a Deployment would make."""
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    namespace = deployment["metadata"]["namespace"]
    metadata = {**template["metadata"], "name": "tried", "namespace": namespace}
    return {**template, "apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@pytest.fixture(scope="module")
def made(prepared: Cluster, clusters: Clusters) -> Cluster:
    """Give the cluster with what pods of an environment need."""
    manifests = clusters("production")
    kinds = ("ServiceAccount", "LimitRange")
    needed = [one for kind in kinds for one in of_kind(manifests, kind)]
    prepared.apply(yaml.safe_dump_all(needed))
    return prepared


def test_the_pods_are_admitted_where_restricted_is_enforced(
    made: Cluster, clusters: Clusters
) -> None:
    found = pod(only(clusters("production"), "Deployment"))

    assert refusal(made, yaml.safe_dump(found)) == ""


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("runAsNonRoot", False),
        ("seccompProfile", {"type": "Unconfined"}),
        ("runAsUser", 0),
    ],
)
def test_a_pod_that_takes_more_is_refused(
    made: Cluster, clusters: Clusters, setting: str, value: Any
) -> None:
    found = pod(only(clusters("production"), "Deployment"))
    found["spec"]["securityContext"][setting] = value

    assert "violates PodSecurity" in refusal(made, yaml.safe_dump(found))


# -- the quota -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def confined(made: Cluster, clusters: Clusters) -> Cluster:
    """Give the cluster with the quota of production, once it counts."""
    quota = only(clusters("production"), "ResourceQuota")
    made.apply(yaml.safe_dump(quota))
    namespace = quota["metadata"]["namespace"]

    def counted() -> object:
        return made.get("resourcequota", "signups", namespace=namespace)["status"].get("used")

    assert made.eventually(counted)
    return made


def test_the_quota_leaves_room_for_the_service(confined: Cluster, clusters: Clusters) -> None:
    found = pod(only(clusters("production"), "Deployment"))

    assert refusal(confined, yaml.safe_dump(found)) == ""


@pytest.mark.parametrize("amount", ["memory", "cpu"])
def test_the_quota_refuses_what_is_far_too_large(
    confined: Cluster, clusters: Clusters, amount: str
) -> None:
    found = pod(only(clusters("production"), "Deployment"))
    resources = found["spec"]["containers"][0]["resources"]
    for kind in ("requests", "limits"):
        resources[kind][amount] = "500Gi" if amount == "memory" else "500"

    assert "exceeded quota" in refusal(confined, yaml.safe_dump(found))


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_the_quota_refuses_a_way_in_beside_the_edge(
    confined: Cluster, clusters: Clusters, kind: str
) -> None:
    service = only(clusters("production"), "Service")
    service["spec"]["type"] = kind

    assert "exceeded quota" in refusal(confined, yaml.safe_dump(service))


# -- the admission policy --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(prepared: Cluster, clusters: Clusters) -> Iterator[Cluster]:
    """Give the cluster with the admission policy in force."""
    folder = clusters.service({}) / "deploy/policy"
    prepared.kubectl("apply", "--server-side", f"--kustomize={folder}")
    bad = released(clusters)
    del bad["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]
    assert prepared.eventually(lambda: refusal(prepared, yaml.safe_dump(bad))), "not in force"
    yield prepared
    prepared.kubectl("delete", f"--kustomize={folder}")


def released(clusters: Clusters, environment: str = "production") -> dict[str, Any]:
    """Return the Deployment with an image by digest, as a release makes it."""
    deployment = only(clusters(environment), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"signups@sha256:{'0' * 64}"
    return deployment


def test_the_admission_policy_takes_what_is_released(guarded: Cluster, clusters: Clusters) -> None:
    assert refusal(guarded, yaml.safe_dump(released(clusters))) == ""


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("image", "signups:1.2.3", "by its digest"),
        ("resources/limits", {"cpu": "1"}, "requests and limits"),
        ("resources/requests", None, "requests and limits"),
        ("startupProbe", None, "startupProbe"),
        ("readinessProbe", None, "readinessProbe"),
        ("livenessProbe", None, "livenessProbe"),
        ("securityContext/runAsUser", 0, "user 0"),
        ("/strategy/rollingUpdate/maxUnavailable", 1, "maxUnavailable 0"),
        ("/strategy/rollingUpdate/maxUnavailable", "25%", "maxUnavailable 0"),
        ("/template/spec/securityContext/runAsNonRoot", False, "another user than root"),
    ],
)
def test_the_admission_policy_refuses_what_the_gates_refuse(
    guarded: Cluster, clusters: Clusters, path: str, value: Any, says: str
) -> None:
    deployment = released(clusters)
    where = deployment["spec"]
    if not path.startswith("/"):
        where = where["template"]["spec"]["containers"][0]
    *folders, name = path.removeprefix("/").split("/")
    for folder in folders:
        where = where.setdefault(folder, {})
    where[name] = value

    assert says in refusal(guarded, yaml.safe_dump(deployment))


def test_the_admission_policy_leaves_other_environments_alone(
    guarded: Cluster, clusters: Clusters
) -> None:
    deployment = only(clusters("dev"), "Deployment")

    assert refusal(guarded, yaml.safe_dump(deployment)) == ""
