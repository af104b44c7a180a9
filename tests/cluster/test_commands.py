"""make deploy, diff, status, doctor, rollback and the drill say what is so, and touch little."""

import json
import re
import threading
import time
from typing import Any

import pytest
import yaml

from tests.cluster.shop import ENVIRONMENT, NAMESPACE, SERVICE, Shop

pytestmark = pytest.mark.engine("cluster", "custom-resources", "docker", "images")

RELEASE = f"deploy/environments/{ENVIRONMENT}/release/kustomization.yaml"
NO_IMAGE = f"sha256:{'0' * 64}"


def generation(shop: Shop) -> int:
    """Return how often the Deployment was changed."""
    return int(shop.get("deployment", SERVICE)["metadata"]["generation"])


def test_a_deployment_notes_its_digest_in_release(first: Shop, digests: dict[str, str]) -> None:
    assert digests["first"] in (first.folder / RELEASE).read_text()


def test_the_same_deployment_again_changes_nothing(first: Shop, digests: dict[str, str]) -> None:
    before = generation(first)
    assert "nothing would change" in first.make("diff", f"DIGEST={digests['first']}")
    first.deploy(digests["first"])
    assert generation(first) == before


def test_diff_shows_the_other_image(first: Shop, digests: dict[str, str]) -> None:
    said = first.make("diff", f"DIGEST={digests['second']}")
    lines = [line for line in said.splitlines() if re.match(r"[+-] .*image:", line)]
    assert [digests["first"] in lines[0], digests["second"] in lines[1]] == [True, True]


def test_status_names_the_digest_and_every_pod(first: Shop, digests: dict[str, str]) -> None:
    said = first.make("status")
    assert f"image       {digests['first']}\n" in said
    for pod in first.pods():
        assert f"pod         {pod['metadata']['name']} ready" in said


def test_an_image_that_no_node_gets_is_refused_and_nothing_is_changed(first: Shop) -> None:
    before, written = generation(first), (first.folder / RELEASE).read_text()
    said = first.deploy(NO_IMAGE, check=False)
    lines = [line for line in said.splitlines() if line.startswith("deploy: ")]
    assert len(lines) == 1, said
    assert "cannot be pulled" in lines[0]
    assert generation(first) == before
    assert (first.folder / RELEASE).read_text() == written


def test_a_rollback_to_a_release_that_runs_is_refused(first: Shop, digests: dict[str, str]) -> None:
    before = generation(first)
    said = first.make("rollback", f"TO={digests['first']}", check=False)
    assert "is what runs now" in said
    assert generation(first) == before


COLLECTOR = """
apiVersion: v1
kind: Service
metadata: {name: opentelemetry-collector}
spec: {ports: [{port: 4318}]}
"""


def test_the_doctor_misses_nothing_where_everything_is(first: Shop) -> None:
    first.cluster.namespace("observability")
    first.cluster.apply(COLLECTOR, namespace="observability")
    try:
        said = first.make("doctor")
    finally:
        first.cluster.kubectl("delete", "namespace", "observability")
    assert "lacks" not in said, said


def test_the_doctor_names_the_collector_that_is_missing(first: Shop) -> None:
    said = first.make("doctor", check=False)
    [line] = [line for line in said.splitlines() if line.startswith("lacks")]
    assert "service observability/opentelemetry-collector" in line
    assert "1 of 15 missing" in said


def test_the_doctor_names_the_kind_that_is_missing(first: Shop) -> None:
    definition = "prometheusrules.monitoring.coreos.com"
    kept = first.cluster.get("crd", definition)
    first.cluster.kubectl("delete", "crd", definition)
    try:
        said = first.make("doctor", check=False)
    finally:
        for name in ("status", "managedFields"):
            kept.pop(name, None)
        kept["metadata"] = {"name": definition, "annotations": kept["metadata"]["annotations"]}
        first.cluster.apply(json.dumps(kept), "--force-conflicts")
    assert "PrometheusRule" in said, said


# What docs/reference/platform.md says that whoever deploys may do, for what this service has.
APPLIED = {
    "": ["configmaps", "limitranges", "resourcequotas", "serviceaccounts", "services"],
    "apps": ["deployments"],
    "autoscaling": ["horizontalpodautoscalers"],
    "monitoring.coreos.com": ["prometheusrules"],
    "networking.k8s.io": ["networkpolicies"],
    "policy": ["poddisruptionbudgets"],
}
BESIDE = [
    ("", ["pods"], ["get", "list", "create", "delete"]),
    ("", ["pods/log"], ["get"]),
    ("", ["events"], ["get", "list"]),
    ("apps", ["replicasets"], ["get", "list", "patch"]),
    ("discovery.k8s.io", ["endpointslices"], ["get", "list"]),
]
OF_THE_CLUSTER = [("", ["namespaces"], ["get", "create", "patch"])]
Rights = list[tuple[str, list[str], list[str]]]


def role(kind: str, name: str, rights: Rights) -> list[dict[str, Any]]:
    """Return a role for the user deployer, and that the user has it."""
    api, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    keys = ("apiGroups", "resources", "verbs")
    rules = [dict(zip(keys, ([one], *more), strict=True)) for one, *more in rights]
    user = {"apiGroup": group, "kind": "User", "name": "deployer"}
    bound = {"apiGroup": group, "kind": kind, "name": name}
    return [
        {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": api,
            "kind": f"{kind}Binding",
            "metadata": {"name": name},
            "subjects": [user],
            "roleRef": bound,
        },
    ]


@pytest.fixture
def deployer(first: Shop) -> str:
    """Return the context of a user who may do what the page says, and no more."""
    applied = [
        (group, names, ["get", "list", "create", "patch"]) for group, names in APPLIED.items()
    ]
    roles = [
        *role("Role", "deployer", [*applied, *BESIDE]),
        *role("ClusterRole", "deployer", OF_THE_CLUSTER),
    ]
    for one in roles:
        first.cluster.apply(json.dumps(one), namespace=NAMESPACE)
    file = first.cluster.state / "admin.conf"
    config = yaml.safe_load(file.read_text())
    if all(one["name"] != "deployer" for one in config["contexts"]):
        [admin], [context] = config["users"], config["contexts"]
        config["users"].append({"name": "deployer", "user": {**admin["user"], "as": "deployer"}})
        to_deployer = {**context["context"], "user": "deployer"}
        config["contexts"].append({"name": "deployer", "context": to_deployer})
        file.write_text(yaml.safe_dump(config))
    return "deployer"


def test_whoever_may_do_what_the_page_says_can_deploy(
    first: Shop, digests: dict[str, str], deployer: str
) -> None:
    said = first.make("doctor", f"CONTEXT={deployer}", check=False)
    assert "permission" not in said.replace("permissions looked at", ""), said

    first.deploy(digests["second"], f"CONTEXT={deployer}")
    first.settled()
    assert first.digests() == {digests["second"]}
    first.make("rollback", f"CONTEXT={deployer}")
    first.settled()


def test_the_doctor_names_a_right_that_is_missing(first: Shop, deployer: str) -> None:
    without = [one for one in BESIDE if one[1] != ["pods/log"]]
    for one in role("Role", "deployer", without):
        first.cluster.apply(json.dumps(one), "--force-conflicts", namespace=NAMESPACE)

    said = first.make("doctor", f"CONTEXT={deployer}", check=False)

    assert "permission to get pods/log" in said, said
    assert "permission to create deployments.apps" in said, said
    assert "permission to get pods:" not in said, said


@pytest.mark.long
@pytest.mark.quiet
def test_a_release_goes_on_while_the_api_server_is_away(
    first: Shop, digests: dict[str, str]
) -> None:
    def pause() -> None:
        first.cluster.run("pkill", "-STOP", "--exact", "kube-apiserver")
        time.sleep(35)
        first.cluster.run("pkill", "-CONT", "--exact", "kube-apiserver")

    with first.users() as users:
        away = threading.Timer(6, pause)
        away.start()
        said = first.deploy(digests["second"])
        away.join()
        first.settled()

    print(f"the API server is away for 35 s: {users.noticed}")
    assert "asking again" in said, said
    assert users.noticed.failed == 0, users.noticed
    assert first.digests() == {digests["second"]}
    first.deploy(digests["first"])
    first.settled()


@pytest.mark.long
@pytest.mark.quiet
def test_the_drill_passes_and_leaves_a_report(first: Shop, digests: dict[str, str]) -> None:
    with first.users() as users:
        page = first.drill()
        first.settled()
    assert users.noticed.failed == 0, users.noticed
    assert "| rollout | rolling |" in page
    assert digests["first"] in page
    assert first.digests() == {digests["first"]}


def test_nothing_is_left_of_the_question_whether_an_image_is_pulled(first: Shop) -> None:
    names = [one["metadata"]["name"] for one in first.get("pods")["items"]]
    assert not [name for name in names if "-pull-" in name], NAMESPACE
