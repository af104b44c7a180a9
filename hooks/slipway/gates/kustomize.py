"""Builds environments as Kustomize does, as far as the gates need it.

Resources, components, patches and images; every value keeps the place that set it, so that a
finding names the patch that took something away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from slipway.gates.findings import Place
from slipway.gates.located import Value, merge, read_documents
from slipway.gates.paths import beside

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# Where the pod of each kind of workload stands.
PODS = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"),
        ("spec", "template", "spec"),
    ),
}
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
CONTAINERS = ("initContainers", "containers")

# Gives the documents of a file; none when there is no such file.
Read = Callable[[str], list[Value]]


@dataclass(frozen=True)
class Workload:
    """Something that runs pods."""

    value: Value

    @property
    def kind(self) -> str:
        """Return its kind."""
        return kind(self.value)

    @property
    def name(self) -> str:
        """Return its name."""
        return name(self.value)

    @property
    def pod(self) -> Value | None:
        """Return the pod's specification."""
        return self.value.get(*PODS[self.kind])

    @property
    def containers(self) -> list[Value]:
        """Return all containers."""
        pod = self.pod
        return [
            container for group in CONTAINERS for container in (pod.listed(group) if pod else [])
        ]

    @property
    def runs_another(self) -> bool:
        """Say whether it is a Rollout of another workload's pods, which has none of its own."""
        return self.pod is None and self.value.get("spec", "workloadRef") is not None

    @property
    def sidecars(self) -> list[Value]:
        """Return the native sidecars: init containers that run beside the others."""
        pod = self.pod
        return [
            one
            for one in (pod.listed("initContainers") if pod else [])
            if (policy := one.get("restartPolicy")) and policy.text == "Always"
        ]

    @property
    def app(self) -> Value | None:
        """Return the container that serves: the one named app, else the first."""
        group = self.pod.get("containers") if self.pod else None
        containers = group.items if group else []
        named = [one for one in containers if (said := one.get("name")) and said.text == "app"]
        return next(iter(named or containers), None)


def kind(value: Value) -> str:
    """Return a resource's kind."""
    found = value.get("kind")
    return found.text if found else ""


def name(value: Value) -> str:
    """Return a resource's name."""
    found = value.get("metadata", "name")
    return found.text if found else ""


def workloads(resources: Iterable[Value]) -> list[Workload]:
    """Return the resources that run pods."""
    return [Workload(one) for one in resources if kind(one) in PODS]


def unlisted(documents: Iterable[Value]) -> Iterator[Value]:
    """Yield resources; those of a List one by one."""
    for document in documents:
        items = document.get("items")
        if items and kind(document).endswith("List"):
            yield from unlisted(items.items)
        else:
            yield document


class Kustomize:
    """Builds kustomizations of a service.

    Attributes:
        reached: the files that a build has read.

    """

    def __init__(self, files: Iterable[str], read: Read) -> None:
        self.files = set(files)
        self.read = read
        self.reached: set[str] = set()

    def kustomization(self, folder: str) -> str | None:
        """Return the path of a folder's kustomization."""
        paths = (beside(f"{folder}/x", file) for file in NAMES)
        return next((path for path in paths if path in self.files), None)

    def build(
        self, folder: str, below: Iterable[Value] = (), above: tuple[str, ...] = ()
    ) -> list[Value]:
        """Return the resources of a kustomization.

        Args:
            folder: where it stands.
            below: the resources that a component changes.
            above: the folders that ask for this one; a circle ends there.

        """
        resources = list(below)
        file = self.kustomization(folder)
        documents = self.documents(file) if file and folder not in above else []
        if not documents or file is None:
            return resources
        content, above = documents[0], (*above, folder)
        for path in _listed(content, "resources", "bases"):
            target = beside(file, path)
            if target in self.files:
                resources += unlisted(self.documents(target))
            else:
                resources += self.build(target, above=above)
        for path in _listed(content, "components"):
            resources = self.build(beside(file, path), resources, above)
        for patch in self.patches(content, file):
            resources = [patch.on(resource) for resource in resources]
        for entry in _values(content, "images"):
            resources = [with_image(resource, entry) for resource in resources]
        return [resource for resource in resources if resource.content is not None]

    def documents(self, file: str) -> list[Value]:
        """Read a file that a kustomization names."""
        self.reached.add(file)
        return self.read(file)

    def patches(self, content: Value, file: str) -> Iterator[Patch]:
        """Yield the patches of a kustomization, of files and written in place."""
        for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
            for entry in _values(content, key):
                text = entry.get("patch") or (entry if entry.text_line else None)
                path = entry.get("path") or entry
                if text:
                    first = text.text_line or text.at.line
                    parts = read_documents(text.text, file, first_line=first)
                else:
                    parts = self.documents(beside(file, path.text))
                yield from (Patch(part, entry.get("target")) for part in parts)


@dataclass(frozen=True)
class Patch:
    """A strategic merge patch, or the operations of a JSON patch."""

    content: Value
    target: Value | None

    def on(self, resource: Value) -> Value:
        """Return a resource, changed when the patch is meant for it."""
        if not self.matches(resource):
            return resource
        if not self.content.items:
            merged = merge(resource, self.content)
            return merged if self.target is None else _named_as(resource, merged)
        for operation in self.content.items:
            resource = _operate(resource, operation)
        return resource

    def matches(self, resource: Value) -> bool:
        """Say whether the patch is meant for a resource; a label selector counts as met."""
        if self.target is None:
            wanted = (kind(self.content), name(self.content))
            return wanted == (kind(resource), name(resource))
        return all(
            (pattern := self.target.get(key)) is None or _selected(pattern.text, said)
            for key, said in (("kind", kind(resource)), ("name", name(resource)))
        )


def _named_as(resource: Value, merged: Value) -> Value:
    """Return what a patch with a target made of a resource: its kind and name say nothing."""
    for path in (["apiVersion"], ["kind"], ["metadata", "name"]):
        if merged.content is not None and (kept := resource.get(*path)):
            merged = _put(merged, path, kept, insert=False)
    return merged


def _selected(pattern: str, said: str) -> bool:
    try:
        return bool(re.fullmatch(pattern, said))
    except re.error:
        return pattern == said


def _values(content: Value, key: str) -> list[Value]:
    return content.listed(key)


def _listed(content: Value, *keys: str) -> list[str]:
    return [value.text for key in keys for value in _values(content, key)]


def _operate(resource: Value, operation: Value) -> Value:
    """Do one operation of a JSON patch: add, replace or remove."""
    said, path, value = operation.get("op"), operation.get("path"), operation.entries.get("value")
    if said is None or path is None or said.text not in ("add", "replace", "remove"):
        return resource
    if said.text == "remove" or value is None:
        value = Value(path.at, None)
    keys = [key.replace("~1", "/").replace("~0", "~") for key in path.text.split("/")[1:]]
    return _put(resource, keys, value, insert=said.text == "add")


def _put(below: Value, keys: list[str], value: Value, *, insert: bool) -> Value:
    """Return a value with another at a path; a path that leads nowhere changes nothing."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(below.content, dict):
        if rest and key not in below.content:
            return below
        inner = _put(below.content.get(key, value), rest, value, insert=insert)
        return replace(below, content={**below.content, key: inner})
    if isinstance(below.content, list):
        items = list(below.content)
        index = len(items) if key == "-" else int(key) if key.isdigit() else -1
        if insert and not rest and 0 <= index <= len(items):
            items.insert(index, value)
        elif 0 <= index < len(items):
            items[index] = _put(items[index], rest, value, insert=insert)
        return replace(below, content=[item for item in items if item.content is not None])
    return below


def with_image(resource: Value, entry: Value) -> Value:
    """Return a resource with the image that an entry of `images` names for its containers."""
    wanted = entry.get("name")
    if wanted is None or kind(resource) not in PODS:
        return resource

    def changed(container: Value) -> Value:
        image = container.get("image")
        if image is None or split_image(image.text)[0] != wanted.text:
            return container
        repository, tag, digest = split_image(image.text)
        named, tagged, fixed = (entry.get(key) for key in ("newName", "newTag", "digest"))
        repository = named.text if named else repository
        if fixed:
            tag, digest = "", fixed.text
        elif tagged:
            tag, digest = tagged.text, ""
        text = repository + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
        place: Place = (fixed or tagged or named or entry).at
        new = replace(image, at=place, content=text)
        return replace(container, content={**container.entries, "image": new})

    for group in CONTAINERS:
        path = (*PODS[kind(resource)], group)
        if found := resource.get(*path):
            containers = replace(found, content=[changed(one) for one in found.items])
            resource = _put(resource, list(path), containers, insert=False)
    return resource


def split_image(reference: str) -> tuple[str, str, str]:
    """Return the parts of an image's name: repository, tag and digest."""
    rest, _, digest = reference.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        return rest, "", digest
    return repository, tag, digest
