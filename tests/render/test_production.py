"""What keeps a service up in a cluster: its size, its flows, its edge, its releases."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.product import derived
from tests.render.environments import (
    ENVIRONMENTS,
    Clusters,
    Manifests,
    clusters,
    combinations,
    of_kind,
    only,
    spoilt,
)
from tests.render.programs import invalid, kustomize, supported_kubernetes
from tests.render.reading import read_yaml

__all__ = ["clusters"]

BASE = "template/deploy/base"
pytestmark = pytest.mark.engine("kustomize")


# -- every answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", list(combinations()), ids=lambda one: "-".join(one.values()))
def test_every_environment_rollout_secrets_and_edge_build_and_are_valid(
    clusters: Clusters, answers: dict[str, Any]
) -> None:
    for environment in ENVIRONMENTS:
        text = clusters.text(environment, **answers)
        found = [one for version in supported_kubernetes() for one in invalid(text, version)]
        kinds = {one["kind"] for one in read_yaml(text)}

        assert found == []
        # Elsewhere nothing records what a release is judged by.
        by_argo = environment == "production" and answers["rollout"] != "rolling"
        assert ("Rollout" in kinds) == by_argo
        assert ("ExternalSecret" in kinds) == (answers["secrets"] == "external-secrets")
        assert ("HTTPRoute" in kinds, "Ingress" in kinds) == (
            answers["edge"] == "gateway",
            answers["edge"] == "ingress",
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("setWeight: 20", "setWieght: 20"),
        (
            "minReadySeconds: 2\n  progressDeadlineAbort",
            "minReadySeconds: '2'\n  progressDeadlineAbort",
        ),
        ("kind: HTTPRoute", "kind: HTTPRuote"),
        ("refreshInterval:", "refresh:"),
    ],
)
def test_a_misspelt_field_of_a_custom_resource_is_noticed(
    clusters: Clusters, old: str, new: str
) -> None:
    answers = {"rollout": "canary", "secrets": "external-secrets", "edge": "gateway"}
    text = clusters.text("production", **answers)
    assert old in text

    assert invalid(text.replace(old, new), supported_kubernetes()[0])


# -- sizes -----------------------------------------------------------------------------------------


def wrong_sizes(clusters: Clusters, **answers: Any) -> list[str]:
    """Return where autoscaler, budget, quota and what they speak of disagree."""
    problems = []
    for environment in ENVIRONMENTS:
        manifests = clusters(environment, **answers)
        sizes = derived("sizes")[environment == "production"]["replicas"]
        scaler = only(manifests, "HorizontalPodAutoscaler")["spec"]
        target = scaler["scaleTargetRef"]
        released_by = of_kind(manifests, "Rollout") or of_kind(manifests, "Deployment")
        if (target["kind"], target["name"]) != (released_by[0]["kind"], "signups"):
            problems.append(f"{environment}: scales {target}")
        if "replicas" in released_by[0]["spec"]:
            problems.append(f"{environment}: replicas beside the autoscaler")
        if (scaler["minReplicas"], scaler["maxReplicas"]) != (sizes["min"], sizes["max"]):
            problems.append(f"{environment}: {scaler['minReplicas']} to {scaler['maxReplicas']}")
        budget = only(manifests, "PodDisruptionBudget")["spec"]
        if budget["maxUnavailable"] >= max(scaler["minReplicas"], 2):
            problems.append(f"{environment}: a drain may take every pod")
        labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
        if not budget["selector"]["matchLabels"].items() <= labels.items():
            problems.append(f"{environment}: the budget is of other pods")
        quota = only(manifests, "ResourceQuota")["spec"]["hard"]
        twice = environment == "production" and answers.get("rollout") == "blue-green"
        if int(quota["pods"]) <= scaler["maxReplicas"] * (2 if twice else 1):
            problems.append(f"{environment}: no release fits into {quota['pods']} pods")
    return problems


ROLLOUTS = ["rolling", "canary", "blue-green"]


@pytest.mark.parametrize("rollout", ROLLOUTS)
def test_the_autoscaler_alone_says_how_many_pods_there_are(
    clusters: Clusters, rollout: str
) -> None:
    assert wrong_sizes(clusters, rollout=rollout) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("deployment", "spec:\n  revision", "spec:\n  replicas: 3\n  revision", "beside"),
        ("disruption-budget", "maxUnavailable: 1", "maxUnavailable: 3", "every pod"),
        ("autoscaler", "kind: Deployment", "kind: StatefulSet", "scales"),
        ("autoscaler", "[[ sizes[true].replicas.min ]]", "2", "2 to 10"),
        ("quota", "[[ amounts(true) | indent(4) ]]", 'pods: "10"', "no release"),
    ],
)
def test_sizes_that_disagree_are_noticed(
    template: Path, tmp_path: Path, file: str, old: str, new: str, says: str
) -> None:
    clusters = spoilt(template, tmp_path, f"{BASE}/{file}.yaml.jinja", old, new)

    assert any(says in problem for problem in wrong_sizes(clusters))


def test_what_a_service_changes_wins_over_the_sizes(clusters: Clusters, tmp_path: Path) -> None:
    service = shutil.copytree(clusters.service({}), tmp_path / "service")
    for environment in ENVIRONMENTS:
        changes = service / f"deploy/environments/{environment}/changes/kustomization.yaml"
        patch = (
            "patches:\n  - target: {kind: HorizontalPodAutoscaler}\n    patch: |-\n"
            "      - {op: replace, path: /spec/maxReplicas, value: 40}\n"
        )
        changes.write_text(changes.read_text() + patch)

        scaler = only(read_yaml(kustomize(service, environment)), "HorizontalPodAutoscaler")

        assert scaler["spec"]["maxReplicas"] == 40


# -- flows -----------------------------------------------------------------------------------------

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
OUT = {
    "to-dns": ({("kube-system", "k8s-app")}, {("UDP", 53), ("TCP", 53)}),
    "to-collector": ({("observability",)}, {("TCP", 4318)}),
    "to-upstream": (set(PRIVATE), {("TCP", 80), ("TCP", 443), ("TCP", 8080)}),
    "to-postgres": (set(PRIVATE), {("TCP", 5432)}),
    "to-redis": (set(PRIVATE), {("TCP", 6379)}),
}


def peer(one: dict[str, Any]) -> Any:
    """Return whom a rule means: a range, or a namespace and what selects pods in it."""
    if "ipBlock" in one:
        return one["ipBlock"]["cidr"]
    [namespace] = one["namespaceSelector"]["matchLabels"].values()
    selector = one.get("podSelector", {})
    assert "matchLabels" not in selector, "Kustomize adds the service's own labels to these"
    return (namespace, *(each["key"] for each in selector.get("matchExpressions", [])))


def flows(manifests: Manifests, direction: str) -> dict[str, Any]:
    """Return who may be reached, or come in, at which ports, by the name of the policy."""
    key, side = ("ingress", "from") if direction == "in" else ("egress", "to")
    found = {}
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get(key, []):
            ports = {(port["protocol"], port["port"]) for port in rule["ports"]}
            found[policy["metadata"]["name"]] = ({peer(one) for one in rule[side]}, ports)
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_is_allowed_but_the_flows_that_the_service_has(
    clusters: Clusters, environment: str
) -> None:
    manifests = clusters(environment)
    deny = only(manifests, "NetworkPolicy", "default-deny")["spec"]

    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert flows(manifests, "out") == OUT
    assert flows(manifests, "in") == {"from-callers": ({("example",)}, {("TCP", "http")})}


@pytest.mark.parametrize("edge", ["gateway", "ingress"])
def test_with_an_edge_only_its_namespace_comes_in(clusters: Clusters, edge: str) -> None:
    manifests = clusters("production", edge=edge)

    assert flows(manifests, "in") == {"from-edge": ({("gateway-system",)}, {("TCP", "http")})}


def test_a_service_without_stores_reaches_none(clusters: Clusters) -> None:
    manifests = clusters("production", datastore="none", cache="none")

    assert flows(manifests, "out") == {
        name: flow for name, flow in OUT.items() if name not in ("to-postgres", "to-redis")
    }


def test_the_flows_fit_what_the_configuration_names(clusters: Clusters) -> None:
    manifests = clusters("production")
    [variables] = [
        one["data"] for one in of_kind(manifests, "ConfigMap") if "ENVIRONMENT" in one["data"]
    ]
    ports = {port for _, open_ports in flows(manifests, "out").values() for _, port in open_ports}
    addresses = [variables[n] for n in ("DATABASE_URL", "CACHE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")]

    assert {int(re.findall(r":(\d+)", one)[-1]) for one in addresses} <= ports


def test_a_flow_too_many_is_noticed(template: Path, tmp_path: Path) -> None:
    file = f"{BASE}/network/to-upstream.yaml"
    clusters = spoilt(template, tmp_path, file, "10.0.0.0/8", "0.0.0.0/0")

    assert flows(clusters("production"), "out") != OUT


# -- releases --------------------------------------------------------------------------------------


def analyses(manifests: Manifests) -> dict[str, dict[str, Any]]:
    return {
        f"{template['metadata']['name']}: {metric['name']}": metric
        for template in of_kind(manifests, "AnalysisTemplate")
        for metric in template["spec"]["metrics"]
    }


def passes_by_silence(metric: dict[str, Any]) -> bool:
    """Say whether a metric lets a release through of which nothing is known."""
    counts_empty = not metric["successCondition"].startswith("len(result) > 0 && ")
    tolerated = "failureLimit" if "failureCondition" not in metric else "inconclusiveLimit"
    return counts_empty or metric.get(tolerated, 0) >= metric["count"]


@pytest.mark.parametrize("rollout", ["canary", "blue-green"])
def test_a_release_of_which_nothing_is_known_does_not_pass(
    clusters: Clusters, rollout: str
) -> None:
    manifests = clusters("production", rollout=rollout)
    metrics = analyses(manifests)

    assert {"signups-release: errors", "signups-release: slow"} <= set(metrics)
    assert [name for name, metric in metrics.items() if passes_by_silence(metric)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("successCondition: len(result) > 0 &&", "successCondition: len(result) == 0 ||"),
        ("inconclusiveLimit: 4", "inconclusiveLimit: 5"),
    ],
)
def test_an_analysis_that_takes_silence_for_success_is_noticed(
    template: Path, tmp_path: Path, old: str, new: str
) -> None:
    file = "template/_partials/rollout/analysis.yaml"
    clusters = spoilt(template, tmp_path, file, old, new)

    metrics = analyses(clusters("production", rollout="canary"))

    assert any(passes_by_silence(metric) for metric in metrics.values())


@pytest.mark.parametrize("rollout", ["canary", "blue-green"])
def test_a_release_is_judged_by_the_rules_behind_the_objectives(
    clusters: Clusters, rollout: str
) -> None:
    manifests = clusters("production", rollout=rollout)
    [rules] = of_kind(manifests, "PrometheusRule")
    recorded = {
        rule["record"]
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for name, metric in analyses(manifests).items():
        if name.startswith("signups-release"):
            asked = re.findall(r"sum\(\s*([\w:]+)\{", metric["provider"]["prometheus"]["query"])
            assert asked
            assert set(asked) <= recorded


@pytest.mark.parametrize("objective", [95, 99, 99.9])
def test_one_bad_request_in_five_fails_a_release_whatever_the_objective(
    clusters: Clusters, objective: float
) -> None:
    manifests = clusters("production", rollout="canary", slo_availability=objective)
    limit = float(
        analyses(manifests)["signups-release: errors"]["failureCondition"].rpartition("> ")[2]
    )

    assert (100 - objective) / 100 < limit < 0.2


@pytest.mark.parametrize("rollout", ["canary", "blue-green"])
def test_a_rollout_names_what_there_is(clusters: Clusters, rollout: str) -> None:
    manifests = clusters("production", rollout=rollout)
    spec = only(manifests, "Rollout")["spec"]
    deployment = only(manifests, "Deployment")["spec"]

    assert (spec["workloadRef"]["kind"], spec["workloadRef"]["name"]) == ("Deployment", "signups")
    assert deployment["replicas"] == 0
    assert spec["selector"] == deployment["selector"]
    assert {one["metadata"]["name"] for one in of_kind(manifests, "AnalysisTemplate")} >= set(
        values_of(spec, "templateName")
    )
    services = {one["metadata"]["name"] for one in of_kind(manifests, "Service")}
    assert set(values_of(spec, "activeService") + values_of(spec, "previewService")) <= services


def values_of(value: Any, key: str) -> list[Any]:
    """Return what stands under a key, wherever that is."""
    if isinstance(value, list):
        return [one for each in value for one in values_of(each, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [one for each in value.values() for one in values_of(each, key)]


MIGRATION = (
    "template/deploy/components/[% if datastore == 'postgres' %]migration[% endif %]"
    "/kustomization.yaml.jinja"
)
WAVE = "argocd.argoproj.io/sync-wave"


def out_of_order(clusters: Clusters, rollout: str) -> list[str]:
    """Return what Argo CD applies too early or too late: after the migration come pods alone.

    Before the next wave it waits for the health of what it applied, and these are not healthy
    without pods: a rollback, too, would wait for what it is to heal.
    """
    return [
        f"{environment}: {one['kind']}"
        for environment in ENVIRONMENTS
        for one in clusters(environment, rollout=rollout)
        if (one["metadata"].get("annotations", {}).get(WAVE) == "1")
        != (one["kind"] in ("Deployment", "HorizontalPodAutoscaler", "Rollout"))
    ]


@pytest.mark.parametrize("rollout", ROLLOUTS)
def test_argo_cd_waits_for_the_migration_and_for_no_pods(clusters: Clusters, rollout: str) -> None:
    assert out_of_order(clusters, rollout) == []


def test_an_autoscaler_that_argo_cd_would_wait_for_is_noticed(
    template: Path, tmp_path: Path
) -> None:
    kinds = "Deployment|HorizontalPodAutoscaler|Rollout"
    clusters = spoilt(template, tmp_path, MIGRATION, kinds, "Deployment|Rollout")
    assert out_of_order(clusters, "canary") == [
        f"{environment}: HorizontalPodAutoscaler" for environment in ENVIRONMENTS
    ]


# -- flags and policy ------------------------------------------------------------------------------


def sidecar(manifests: Manifests) -> dict[str, Any]:
    pod = only(manifests, "Deployment")["spec"]["template"]["spec"]
    [found] = pod["initContainers"]
    named: dict[str, Any] = found
    return named


def test_flagd_runs_beside_the_service_and_holds_nothing_up(clusters: Clusters) -> None:
    manifests = clusters("production")
    found = sidecar(manifests)
    flags = only(manifests, "ConfigMap", "signups-flags")

    assert found["restartPolicy"] == "Always"
    # The one would keep the service from starting, the other from serving.
    assert {"startupProbe", "readinessProbe"} & set(found) == set()
    # Ended sooner, it would be started later each time, and its pod is not ready meanwhile.
    patience = found["livenessProbe"]["periodSeconds"] * found["livenessProbe"]["failureThreshold"]
    assert patience > 600
    assert set(found["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert set(flags["data"]) == {"flags.json"}
    assert not any("subPath" in mount for mount in found["volumeMounts"]), "edits would not arrive"


def test_without_flags_there_is_no_sidecar(clusters: Clusters) -> None:
    text = clusters.text("production", feature_flags=False)

    assert "flagd" not in text
    assert "FLAGS_URL" not in text


def policy(service: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = service / "deploy/policy"
    [rules] = read_yaml((folder / "policy.yaml").read_text())
    [binding] = read_yaml((folder / "binding.yaml").read_text())
    return rules, binding


def test_the_policy_counts_in_production_s_namespaces_only(clusters: Clusters) -> None:
    rules, binding = policy(clusters.service({}))
    wanted = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"].items()
    marked = {
        environment: wanted
        <= only(clusters(environment), "Namespace", f"signups-{environment}")["metadata"][
            "labels"
        ].items()
        for environment in ENVIRONMENTS
    }

    assert binding["spec"]["policyName"] == rules["metadata"]["name"]
    assert marked == {"dev": False, "production": True}


def test_the_policy_s_patterns_take_and_refuse_what_the_gates_do(clusters: Clusters) -> None:
    rules, _ = policy(clusters.service({}))
    by_message = {one["message"]: one["expression"] for one in rules["spec"]["validations"]}
    own = by_message["an image must be named by its digest"]
    [beside] = [expression for message, expression in by_message.items() if "sidecar" in message]
    image = sidecar(clusters("production"))["image"]

    assert matches(own, f"ghcr.io/example/signups@sha256:{'0' * 64}")
    assert not matches(own, image)
    assert matches(beside, image)
    assert not matches(beside, image.rpartition(".")[0])


def matches(expression: str, image: str) -> bool:
    """Try the regular expression of a rule, which CEL and Python read alike."""
    [pattern] = re.findall(r"matches\('(.*)'\)", expression)
    return bool(re.search(pattern, image))
