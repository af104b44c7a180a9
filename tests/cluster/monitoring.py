"""What a platform has beside services: a collector, a Prometheus with rules, Argo Rollouts.

Time goes faster here: rules are evaluated once a second, and a release that is judged in ten
minutes is judged in half a minute.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.shop import patch_in_changes, set_in_changes
from tests.engines import catalogue
from tests.engines.cluster import images
from tests.engines.fixtures.backend_files import rule_files
from tests.engines.fixtures.cluster import Cluster
from tests.engines.fixtures.docker import Docker

OBSERVABILITY = "observability"
ARGO = "argo-rollouts"
ARGO_IMAGE = "localhost/argo-rollouts:test"
COLLECTOR = "opentelemetry-collector"
Resource = dict[str, Any]
# How soon and how often a release is judged, and how often rules and pods say something.
TIMES = 3
SOONER = {"initialDelay": "10s", "interval": "5s", "count": TIMES}


def monitor(platform: Cluster, docker: Docker, service: Path) -> None:
    """Run a collector and a Prometheus from a service's own files, where services look for them."""
    stand_ins = {one.partition(":")[0]: one for one in _stand_ins()}
    loaded = {}
    for name in ("prom/prometheus", "otel/opentelemetry-collector-contrib"):
        platform.load(docker, stand_ins[name], name)
        loaded[name] = f"docker.io/{name}:loaded"
    platform.namespace(OBSERVABILITY)
    local = service / "observability/local"
    prometheus = yaml.safe_load((local / "prometheus.yaml").read_text())
    prometheus["global"].update(scrape_interval="1s", evaluation_interval="1s")
    prometheus["rule_files"] = ["/etc/prometheus/rules-*.yaml"]
    prometheus.pop("alerting", None)
    prometheus.pop("scrape_configs", None)
    files = {"prometheus.yml": yaml.safe_dump(prometheus)}
    for file in rule_files(service):
        rules = yaml.safe_load(file.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        files[f"rules-{file.name}"] = yaml.safe_dump(rules)
    collector = {
        name: (service / "observability" / name).read_text()
        for name in ("collector.yaml", "backends.yaml")
    }
    made = [
        *_runs(
            "prometheus", loaded["prom/prometheus"], files, "/etc/prometheus", 9090,
            ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data",
             "--web.enable-otlp-receiver"],
        ),
        *_runs(
            COLLECTOR, loaded["otel/opentelemetry-collector-contrib"], collector, "/etc/otelcol",
            4318, ["--config=/etc/otelcol/collector.yaml", "--config=/etc/otelcol/backends.yaml"],
            QUEUE_DIRECTORY="/data/queue",
        ),
    ]  # fmt: skip
    platform.apply(yaml.safe_dump_all(made), namespace=OBSERVABILITY)
    available = ("wait", "--for=condition=Available", "deployment", "--all", "--timeout=90s")
    platform.kubectl(*available, namespace=OBSERVABILITY)


def _stand_ins() -> set[str]:
    return catalogue.IMAGES.stand_ins() | catalogue.OBSERVERS.stand_ins()


def _runs(
    name: str,
    image: str,
    files: dict[str, str],
    folder: str,
    port: int,
    arguments: list[str],
    **variables: str,
) -> list[Resource]:
    """Return a Deployment of one pod, its files and its Service."""
    labels = {"app": name}
    container = {
        "name": name,
        "image": image,
        "args": arguments,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "files", "mountPath": folder},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    pod = {
        "securityContext": {"fsGroup": 65532},
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": name}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    metadata = {"name": name}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files},
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": port, "targetPort": port}]},
        },
    ]  # fmt: skip


def argo_rollouts(platform: Cluster, controller: Path) -> None:
    """Run the controller of Argo Rollouts as a pod, which may do everything."""
    archive = platform.state / "argo.tar"
    program = platform.state / "argo-rollouts"
    program.symlink_to(controller)
    images.archive(program, ARGO_IMAGE, archive)
    program.unlink()
    platform.take(archive)
    platform.namespace(ARGO)
    account = {"kind": "ServiceAccount", "name": "default", "namespace": ARGO}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ARGO},
        "roleRef": role,
        "subjects": [account],
    }
    labels = {"app": ARGO}
    container = {"name": ARGO, "image": ARGO_IMAGE, "args": ["--leader-elect=false"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": ARGO, "namespace": ARGO},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    platform.apply(json.dumps(binding))
    platform.apply(json.dumps(deployment))
    platform.kubectl(
        "wait", "--for=condition=Available", "deployment", ARGO, "--timeout=90s", namespace=ARGO
    )


def judge_sooner(service: Path) -> None:
    """Change a service, in the place that is its own, so that its releases are judged sooner."""
    set_in_changes(service, OTEL_METRIC_EXPORT_INTERVAL="1000")
    patches = []
    for file in (service / "deploy/components").glob("*/*analysis.yaml"):
        template = yaml.safe_load(file.read_text())
        for metric in template["spec"]["metrics"]:
            metric.update(SOONER)
            for limit in ("inconclusiveLimit", "failureLimit"):
                if limit in metric:
                    metric[limit] = TIMES - 1
            asked = metric["provider"]["prometheus"]
            asked["query"] = asked["query"].replace("[45s]", "[3s]")
        patches.append({"patch": template})
    patch_in_changes(service, *patches)
