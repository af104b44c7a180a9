"""The manifests are what the oldest and the newest supported Kubernetes take."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.rendering import repository_root

from tests.product import interview
from tests.render.combinations import PAIRWISE, name
from tests.render.programs import invalid, kustomize, supported_kubernetes
from tests.render.reading import documents, read_yaml
from tests.services import Services

LARGEST: dict[str, Any] = {"datastore": "postgres", "cache": "redis"}
versions = pytest.mark.parametrize("version", supported_kubernetes())


def sources(service: Path) -> Iterator[str]:
    """Yield what Kustomize starts from, with the selector that it adds: not its own files."""
    [base] = read_yaml((service / "deploy/base/kustomization.yaml").read_text())
    [labels] = [one["pairs"] for one in base["labels"] if one.get("includeSelectors")]
    patches = {
        (Path(path).parent / patch["path"]).as_posix()
        for path, one in documents(service / "deploy")
        for patch in one.get("patches", [])
        if "path" in patch
    }
    for path, document in documents(service / "deploy"):
        if "kustomize.config.k8s.io" in document["apiVersion"] or path in patches:
            continue
        if document["kind"] == "Deployment":
            document["spec"]["selector"] = {"matchLabels": labels}
        yield yaml.safe_dump(document)


@versions
def test_the_sources_are_valid(services: Services, version: str) -> None:
    problems = [
        f"{name(answers)}: {problem}"
        for answers in PAIRWISE
        for source in sources(services(answers))
        for problem in invalid(source, version)
    ]

    assert problems == []


@versions
def test_an_unknown_field_a_wrong_type_and_an_unknown_kind_are_refused(
    services: Services, version: str
) -> None:
    deployment = next(one for one in sources(services(LARGEST)) if "imagePullPolicy:" in one)
    assert not invalid(deployment, version)

    for old, new in {
        "imagePullPolicy:": "imagePullPolice:",
        "revisionHistoryLimit: 10": "revisionHistoryLimit: ten",
        "kind: Deployment": "kind: Deplyoment",
    }.items():
        assert old in deployment
        assert invalid(deployment.replace(old, new), version), new


def environments(answers: dict[str, Any]) -> list[str]:
    default = interview().entries["environments"].details["default"]
    return [*answers.get("environments", default)]


def by_kind(built: str) -> dict[str, Any]:
    """Return the manifests by kind; of the ConfigMaps, the one that pods read variables from."""
    return {
        one["kind"]: one
        for one in read_yaml(built)
        if one["kind"] != "ConfigMap" or "ENVIRONMENT" in one["data"]
    }


@pytest.mark.engine("kustomize")
def test_every_environment_builds_and_is_valid(services: Services) -> None:
    problems = []
    for answers in PAIRWISE:
        for environment in environments(answers):
            built = kustomize(services(answers), environment)
            problems += [
                f"{name(answers)}: {environment}: {problem}"
                for version in supported_kubernetes()
                for problem in invalid(built, version)
            ]

    assert problems == []


@pytest.mark.engine("kustomize")
def test_everything_that_is_built_carries_the_recommended_labels_and_its_namespace(
    services: Services,
) -> None:
    wanted = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/part-of"}
    for environment in environments(LARGEST):
        built = read_yaml(kustomize(services(LARGEST), environment))
        watched = {"PrometheusRule"} if environment == "production" else set()
        assert {one["kind"] for one in built} == {
            *("ConfigMap", "Deployment", "Namespace", "Service", "ServiceAccount"),
            *("Job", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"),
            *("ResourceQuota", "LimitRange"),
            *watched,
        }
        for one in built:
            if one["kind"] == "Namespace":
                assert one["metadata"]["name"].endswith(f"-{environment}")
            else:
                assert one["metadata"]["namespace"].endswith(f"-{environment}")
                assert wanted <= set(one["metadata"]["labels"])


@pytest.mark.engine("kustomize")
def test_the_pods_find_the_configuration_of_their_environment(services: Services) -> None:
    for environment in environments(LARGEST):
        built = by_kind(kustomize(services(LARGEST), environment))
        [container] = built["Deployment"]["spec"]["template"]["spec"]["containers"]
        names = {source["configMapRef"]["name"] for source in container["envFrom"]}
        selector = built["Deployment"]["spec"]["selector"]["matchLabels"]

        assert names == {built["ConfigMap"]["metadata"]["name"]}
        assert built["ConfigMap"]["data"]["ENVIRONMENT"] == environment
        assert built["Service"]["spec"]["selector"] == selector
        assert (
            selector.items()
            <= built["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
        )


@pytest.mark.engine("kustomize")
def test_what_the_service_changes_wins(services: Services, tmp_path: Path) -> None:
    service = shutil.copytree(services(LARGEST), tmp_path / "service")
    changes = service / "deploy/environments/production/changes/configuration.env"
    changes.write_text("LOG_LEVEL=error\nUPSTREAM_URL=http://billing.billing-production\n")

    built = by_kind(kustomize(service, "production"))

    assert built["ConfigMap"]["data"]["LOG_LEVEL"] == "error"
    assert built["ConfigMap"]["data"]["UPSTREAM_URL"] == "http://billing.billing-production"


@pytest.mark.engine("kustomize")
def test_production_brings_rules_dashboards_and_the_collector_s_configuration(
    services: Services,
) -> None:
    service = services(LARGEST)
    for environment in environments(LARGEST):
        built = read_yaml(kustomize(service, environment))
        maps = {one["metadata"]["name"]: one for one in built if one["kind"] == "ConfigMap"}
        if environment != "production":
            assert len(maps) == 2
            continue
        dashboards = maps["signups-dashboards"]
        assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
        # Those of all services of a team end in one folder.
        assert dashboards["data"] == {
            f"signups-{name}": text
            for name, text in texts(service / "observability/dashboards", "*.json").items()
        }
        assert maps["signups-collector"]["data"] == {
            name: (service / "observability" / name).read_text()
            for name in ("backends.yaml", "collector.yaml")
        }
        [rules] = [one for one in built if one["kind"] == "PrometheusRule"]
        assert {rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]
                if "alert" in rule} >= {"ServiceDown", "Watchdog"}  # fmt: skip


def texts(folder: Path, pattern: str) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.glob(pattern)}


@pytest.mark.engine("kustomize")
def test_another_environment_brings_them_by_one_line_in_its_changes(
    services: Services, tmp_path: Path
) -> None:
    service = shutil.copytree(services(LARGEST), tmp_path / "service")
    said = (service / "observability/kustomization.yaml").read_text()
    line = "components: [../../../../observability]"
    assert f"# {line}\n" in said
    changes = service / "deploy/environments/dev/changes/kustomization.yaml"
    changes.write_text(f"{changes.read_text()}{line}\n")

    kinds = [one["kind"] for one in read_yaml(kustomize(service, "dev"))]

    assert kinds.count("ConfigMap") == 4
    assert "PrometheusRule" in kinds


@pytest.mark.engine("kustomize")
def test_a_cluster_without_prometheus_operator_leaves_out_the_rules_by_its_changes(
    services: Services, tmp_path: Path
) -> None:
    service = shutil.copytree(services(LARGEST), tmp_path / "service")
    page = (repository_root() / "docs/reference/telemetry-backends.md").read_text()
    [patch] = re.findall(r"```yaml\n(patches:\n.*?)```", page, re.DOTALL)
    changes = service / "deploy/environments/production/changes/kustomization.yaml"
    assert "PrometheusRule" in kustomize(service, "production")
    changes.write_text(f"{changes.read_text()}{patch}")

    kinds = [one["kind"] for one in read_yaml(kustomize(service, "production"))]

    assert "PrometheusRule" not in kinds
    assert kinds.count("ConfigMap") == 4
