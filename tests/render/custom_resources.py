"""The fields of custom resources that services use: what no schema of Kubernetes itself knows.

A real API server with the CRDs says more; this is what can be said without one.
"""

from typing import Any

LABELS = {
    "app.kubernetes.io/name": str,
    "app.kubernetes.io/instance": str,
    "app.kubernetes.io/part-of": str,
}
ANNOTATIONS = {"argocd.argoproj.io/sync-wave": str}
ANALYSIS = {
    "templates": [{"templateName": str}],
    "args": [{"name": str, "valueFrom": {"podTemplateHashValue": str}}],
}
SPECIFICATIONS: dict[tuple[str, str], Any] = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "parentRefs": [{"namespace": str, "name": str}],
        "hostnames": [str],
        "rules": [{"backendRefs": [{"name": str, "port": int}], "timeouts": {"request": str}}],
    },
    ("external-secrets.io/v1", "ExternalSecret"): {
        "refreshInterval": str,
        "secretStoreRef": {"kind": str, "name": str},
        "target": {"name": str},
        "data": [{"secretKey": str, "remoteRef": {"key": str, "property": str}}],
    },
    ("argoproj.io/v1alpha1", "AnalysisTemplate"): {
        "args": [{"name": str}],
        "metrics": [
            {
                **dict.fromkeys(("name", "initialDelay", "interval"), str),
                **dict.fromkeys(("count", "failureLimit", "inconclusiveLimit"), int),
                **dict.fromkeys(("successCondition", "failureCondition"), str),
                "provider": {"prometheus": {"address": str, "query": str}},
            }
        ],
    },
    ("argoproj.io/v1alpha1", "Rollout"): {
        **dict.fromkeys(("revisionHistoryLimit", "minReadySeconds"), int),
        "progressDeadlineSeconds": int,
        "progressDeadlineAbort": bool,
        "selector": {"matchLabels": LABELS},
        "workloadRef": dict.fromkeys(("apiVersion", "kind", "name", "scaleDown"), str),
        "strategy": {
            "canary": {
                "maxSurge": int,
                "maxUnavailable": int,
                "steps": [{"setWeight": int, "analysis": ANALYSIS}],
            },
            "blueGreen": {
                "activeService": str,
                "previewService": str,
                "autoPromotionEnabled": bool,
                "prePromotionAnalysis": ANALYSIS,
                "postPromotionAnalysis": ANALYSIS,
                "scaleDownDelaySeconds": int,
            },
        },
    },
    # Prometheus' own checker reads what the rules say.
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [
            {
                **dict.fromkeys(("name", "interval"), str),
                "labels": Any,
                "rules": [
                    {
                        **dict.fromkeys(("alert", "expr", "for", "keep_firing_for", "record"), str),
                        "annotations": Any,
                        "labels": Any,
                    }
                ],
            }
        ]
    },
}
GROUPS = {api.partition("/")[0] for api, _ in SPECIFICATIONS}


def is_custom(resource: dict[str, Any]) -> bool:
    """Say whether a resource is of a group that Kubernetes itself has not."""
    return resource["apiVersion"].partition("/")[0] in GROUPS


def problems_of(resource: dict[str, Any]) -> list[str]:
    """Return the fields that the kind has not, and values of another type."""
    kind = (resource["apiVersion"], resource["kind"])
    if kind not in SPECIFICATIONS:
        return [f"unknown kind {kind}"]
    metadata = {"name": str, "namespace": str, "labels": LABELS, "annotations": ANNOTATIONS}
    schema = {"apiVersion": str, "kind": str, "metadata": metadata, "spec": SPECIFICATIONS[kind]}
    return list(_differences(resource, schema, ""))


def _differences(value: Any, schema: Any, place: str) -> list[str]:
    if schema is Any:
        return []
    if isinstance(schema, dict) and isinstance(value, dict):
        return [
            problem
            for key, one in value.items()
            for problem in (
                _differences(one, schema[key], f"{place}.{key}")
                if key in schema
                else [f"unknown field {place}.{key}"]
            )
        ]
    if isinstance(schema, list) and isinstance(value, list):
        return [
            problem
            for number, one in enumerate(value)
            for problem in _differences(one, schema[0], f"{place}[{number}]")
        ]
    fits = isinstance(schema, type) and type(value) is schema
    return [] if fits else [f"{place} is {value!r}"]
