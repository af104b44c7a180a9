"""make deploy, diff, status, doctor, rollback and the drill say what is so, and touch little."""

import json
import re

import pytest

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
