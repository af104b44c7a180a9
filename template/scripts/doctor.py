"""Names what a cluster lacks for an environment of the service, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from cluster import CannotRunError, Cluster, Manifest, build, split

# By group of resources: what serves it.
SERVED_BY = {
    "argoproj.io": "install Argo Rollouts",
    "external-secrets.io": "install the External Secrets Operator",
    "gateway.networking.k8s.io": "install the Gateway API and a controller for it",
    "monitoring.coreos.com": "install the Prometheus Operator, or leave the rules out in changes/",
}
# What the commands themselves do, beside applying the manifests.
COMMANDS_NEED = (
    *(("get", "pods"), ("create", "pods"), ("delete", "pods"), ("get", "pods/log")),
    *(("list", "replicasets.apps"), ("patch", "replicasets.apps"), ("list", "events")),
    *(
        ("list", "endpointslices.discovery.k8s.io"),
        ("list", "horizontalpodautoscalers.autoscaling"),
    ),
)
# The same, where the environment has the kind.
COMMANDS_NEED_FOR = {
    "Job": ("delete", "jobs.batch"),
    "Rollout": ("patch", "rollouts.argoproj.io/status"),
}
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Answer:
    """One thing that was looked for.

    Attributes:
        what: that was looked for.
        remedy: what to do when it is missing; nothing when it is there.

    """

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return one line."""
        return f"lacks  {self.what}: {self.remedy}" if self.remedy else f"ok     {self.what}"


def doctor(cluster: Cluster, oldest: str) -> bool:
    """Print what is there and what is not; whether nothing is missing."""
    manifests = split(build(cluster.environment))
    answers = []
    for looked in (
        version(cluster, oldest),
        kinds(cluster, manifests),
        permissions(cluster, manifests),
        metrics(cluster, manifests),
        edge(cluster, manifests),
        secrets(cluster, manifests),
        addresses(cluster, manifests),
    ):
        for answer in looked:
            print(answer, flush=True)
            answers.append(answer)
    missing = sum(bool(one.remedy) for one in answers)
    print(f"{cluster.namespace}: {missing or 'nothing'} of {len(answers)} missing")
    return not missing


def number(version: str) -> tuple[int, int]:
    """Return a version of Kubernetes as numbers."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def version(cluster: Cluster, oldest: str) -> Iterator[Answer]:
    """Look for a server that knows every field."""
    said = json.loads(cluster.ask("get", "--raw=/version"))["gitVersion"]
    too_old = number(said) < number(oldest)
    yield Answer(f"Kubernetes {said}", f"upgrade it to {oldest} or newer" if too_old else "")


def kinds(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for every kind of resource that the environment has."""
    wanted: dict[str, set[str]] = {}
    for one in manifests:
        wanted.setdefault(one.api_version, set()).add(one.kind)
    for api, names in sorted(wanted.items()):
        done = cluster.run("get", f"--raw=/{'apis' if '/' in api else 'api'}/{api}")
        served = {one["kind"] for one in resources(done.stdout)}
        group = api.partition("/")[0]
        remedy = SERVED_BY.get(group, f"install what serves {group}")
        for name in sorted(names):
            yield Answer(f"{name} of {api}", "" if name in served else remedy)


def resources(text: str) -> list[dict[str, str]]:
    """Return the kinds of a group; none when it is not served."""
    found: list[dict[str, str]] = json.loads(text).get("resources", []) if text.strip() else []
    return found


def permissions(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for what the user of the context may do in the namespace."""
    applied = {resource_of(one) for one in manifests}
    needed = [(verb, one) for one in sorted(applied) for verb in ("create", "patch")]
    kinds_there = {one.kind for one in manifests}
    further = [need for kind, need in COMMANDS_NEED_FOR.items() if kind in kinds_there]
    for verb, resource in (*needed, *COMMANDS_NEED, *further):
        name, _, part = resource.partition("/")
        done = cluster.run("auth", "can-i", verb, name, f"--subresource={part}")
        allowed = done.stdout.strip().startswith("yes")
        remedy = f"let the user of context {cluster.context} do it in {cluster.namespace}"
        if not allowed:
            yield Answer(f"permission to {verb} {resource}", remedy)
    yield Answer(f"permissions looked at in {cluster.namespace}")


def resource_of(manifest: Manifest) -> str:
    """Return what kubectl calls the resources of a manifest's kind."""
    group = manifest.api_version.rpartition("/")[0]
    kind = manifest.kind.lower()
    ending = {"y": "ies", "s": "ses"}.get(kind[-1])
    plural = f"{kind[:-1]}{ending}" if ending else f"{kind}s"
    return f"{plural}.{group}" if group else plural


def metrics(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for the numbers by which an autoscaler scales."""
    if any(one.kind == "HorizontalPodAutoscaler" for one in manifests):
        there = resources(cluster.run("get", "--raw=/apis/metrics.k8s.io/v1beta1").stdout)
        yield Answer(
            "metrics of pods for the autoscaler", "" if there else "install metrics-server"
        )


def edge(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for the gateway or the class of ingress through which users come."""
    for one in manifests:
        if one.kind == "HTTPRoute":
            for name, namespace in gateways(one.text):
                place = f"{namespace or cluster.namespace}/{name}"
                remedy = "create it, or name another: the answer gateway"
                yield there(cluster, "gateway.gateway.networking.k8s.io", place, remedy)
        if one.kind == "Ingress":
            named = re.findall(r"(?m)^ +ingressClassName: (\S+)$", one.text)
            for name in named:
                yield there(cluster, "ingressclass", name, "install its controller")
            if not named:
                yield default_class(cluster)


def default_class(cluster: Cluster) -> Answer:
    """Look for the class of an Ingress that names none."""
    what = "a default class of ingress"
    try:
        classes = cluster.every("ingressclasses")
    except CannotRunError:
        return Answer(f"{what}, unless it is hidden from you")
    known = any(
        one["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true" for one in classes
    )
    return Answer(what, "" if known else "mark one, or name one by a patch in changes/")


def gateways(route: str) -> list[tuple[str, str]]:
    """Return the name and the namespace of each gateway of a route, as Kustomize writes it."""
    found = re.search(r"(?m)^  parentRefs:\n((?:  (?:-|  ).*\n)+)", route)
    parents = re.split(r"(?m)^  - ", found[1])[1:] if found else []

    def value(key: str, text: str) -> str:
        said = re.search(rf"(?m)^ *{key}: (\S+)$", text)
        return said[1].strip("'\"") if said else ""

    return [(value("name", one), value("namespace", one)) for one in parents]


def secrets(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for the secrets that pods mount, and for the store that they come from."""
    text = "".join(one.text for one in manifests)
    fetched = {one.name for one in manifests if one.kind == "ExternalSecret"}
    for name in sorted(set(re.findall(r"(?m)^ +secretName: (\S+)$", text))):
        own = f"{cluster.service}-database"
        remedy, key = "create it", "password" if name == own else ""
        if name in fetched:
            remedy = "the store does not hand it out yet: kubectl describe externalsecret"
        elif name == own:
            remedy = f"make secret ENV={cluster.environment}"
        yield there(cluster, "secret", f"{cluster.namespace}/{name}", remedy, key=key)
    stores = re.findall(
        r"(?m)^  secretStoreRef:\n    kind: ClusterSecretStore\n    name: (\S+)$", text
    )
    for name in sorted(set(stores)):
        remedy = "create it, or name another: the answer secret_store"
        yield there(cluster, "clustersecretstore.external-secrets.io", name, remedy)


def addresses(cluster: Cluster, manifests: list[Manifest]) -> Iterator[Answer]:
    """Look for the Services that are named: collector, stores, what is called, who judges."""
    for one in manifests:
        if one.kind == "ConfigMap":
            for variable, url in re.findall(r"(?m)^  ([A-Z_]+): (\w+://\S+)$", one.text):
                yield from address(
                    cluster, url, variable, f"set {variable} in changes/configuration.env"
                )
    judges = {
        url
        for one in manifests
        if one.kind == "AnalysisTemplate"
        for url in re.findall(r"(?m)^ +address: (\w+://\S+)$", one.text)
    }
    for url in sorted(judges):
        yield from address(
            cluster, url, "analysis of releases", "patch the AnalysisTemplates in changes/"
        )


def address(cluster: Cluster, url: str, why: str, otherwise: str) -> Iterator[Answer]:
    """Look for the Service of one address."""
    name, _, rest = (urlsplit(url).hostname or "").partition(".")
    namespace, _, domain = rest.partition(".")
    # A longer name is somewhere else, and nobody here can tell.
    if name and (not domain or domain.startswith("svc")):
        place = f"{namespace or cluster.namespace}/{name}"
        remedy = f"install it there, or {otherwise}"
        yield there(cluster, "service", place, remedy, f" ({why})")


def there(
    cluster: Cluster, kind: str, place: str, remedy: str, why: str = "", key: str = ""
) -> Answer:
    """Look for one resource, by its name or by namespace/name, and for a key in its data."""
    namespace, _, name = place.rpartition("/")
    what = f"{kind.partition('.')[0]} {place}{why}"
    try:
        found = cluster.read(kind, name, namespace)
    except CannotRunError as error:
        # Who may not look cannot know; what is not served is not there.
        if "forbidden" in str(error).lower():
            return Answer(f"{what}, unless it is hidden from you")
        found = None
    if found and key and key not in found.get("data", {}):
        return Answer(f"{what}, key {key}", remedy)
    return Answer(what, "" if found else remedy)
