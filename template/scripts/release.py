"""What a release is: the image in release/, what ran before, and how far a rollout is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import CannotRunError, Resource

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Set by the controllers on each ReplicaSet, one more for every release.
REVISIONS = ("rollout.argoproj.io/revision", "deployment.kubernetes.io/revision")
# Added by the controllers to tell the pods of two releases apart.
HASHES = ("pod-template-hash", "rollouts-pod-template-hash")


# THE IMAGE, IN release/ -----------------------------------------------------


@dataclass(frozen=True)
class Image:
    """An image: where it is kept, and which one it is; no digest before the first release."""

    repository: str
    digest: str

    def __str__(self) -> str:
        """Return the name under which a node pulls it."""
        return f"{self.repository}@{self.digest}"


def parse_digest(text: str) -> str:
    """Return a digest, or say what one looks like."""
    if not DIGEST.fullmatch(text):
        raise CannotRunError(f"{text!r} is not a digest: sha256: and 64 hexadecimal digits")
    return text


def parse_image(text: str) -> Image:
    """Return the parts of an image that is named by its digest."""
    repository, at, digest = text.partition("@")
    if not at or not repository:
        raise CannotRunError(f"{text!r} does not name an image by its digest: REPOSITORY@sha256:…")
    return Image(re.sub(r":[^/:]*$", "", repository), parse_digest(digest))


def image_of(pod: Resource) -> Image:
    """Return the image of a pod's container that serves."""
    repository, _, digest = str(app_of(pod).get("image", "")).partition("@")
    return Image(repository, digest)


def app_of(pod: Resource) -> Resource:
    """Return the container that serves: the one named app."""
    containers: list[Resource] = pod.get("containers", [])
    return next((one for one in containers if one["name"] == "app"), containers[0])


ENTRY = re.compile(r"(?m)^(?P<indent> *)- .*\n(?:(?P=indent) +.*(?:\n|\Z))*")
NAMES_APP = re.compile(r"(?m)^ *(?:- +)?name: +['\"]?app['\"]?\s*$")
# A comment behind a value is about that value, and goes with it.
VERSION = re.compile(r"(?m)^(?P<before> *(?:- +)?)(?:newTag|digest): +(?P<value>[^\s#]+).*$")
REPOSITORY = re.compile(r"(?m)^(?P<before> *(?:- +)?newName: +)(?P<value>[^\s#]+).*$")


def released_image(text: str) -> Image:
    """Return the image that a release/kustomization.yaml names."""
    entry = text[slice(*_entry(text))]
    repository = REPOSITORY.search(entry)
    if not repository:
        raise CannotRunError("release/kustomization.yaml names no newName for the image app")
    versions = [one["value"].strip("'\"") for one in VERSION.finditer(entry)]
    digest = next((one for one in versions if DIGEST.fullmatch(one)), "")
    return Image(repository["value"].strip("'\""), digest)


def with_image(text: str, image: Image) -> str:
    """Return a release/kustomization.yaml that names an image; the rest stays as it is."""
    start, end = _entry(text)
    entry = text[start:end]
    if released_image(text).repository != image.repository:
        entry = REPOSITORY.sub(lambda old: f"{old['before']}{image.repository}", entry)
    digest = f"digest: {image.digest}"
    if not VERSION.search(entry):
        entry = REPOSITORY.sub(
            lambda old: f"{old[0]}\n{' ' * old['before'].index('newName')}{digest}", entry
        )
    entry = VERSION.sub(lambda old: f"{old['before']}{digest}", entry)
    while entry.count(digest) > 1:  # a tag beside a digest
        entry = re.sub(rf"(?m)^ +{digest}\n?", "", entry, count=1)
    return text[:start] + entry + text[end:]


def _entry(text: str) -> tuple[int, int]:
    for found in ENTRY.finditer(text):
        if NAMES_APP.search(found[0]):
            return found.span()
    raise CannotRunError("release/kustomization.yaml has no entry of images for the name app")


def write_release(folder: Path, image: Image) -> bool:
    """Write an image into an environment's release/; whether the file changed."""
    file = folder / "release" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    if released_image(text) == image:
        return False
    file.write_text(with_image(text, image), encoding="utf-8")
    return True


def read_release(folder: Path) -> Image:
    """Return the image in an environment's release/."""
    return released_image((folder / "release" / "kustomization.yaml").read_text(encoding="utf-8"))


def migration_name(service: str, digest: str) -> str:
    """Return the name of the Job that migrates for an image: one for each, and short enough."""
    return f"{service}-migrate-{digest.partition(':')[2][:12]}"


# WHAT RAN BEFORE ------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """A release that the cluster remembers: a ReplicaSet.

    Attributes:
        revision: the higher, the later it was started, or started again.
        replica_set: its name.
        template: of its pods, as it was applied.
        available: how many of its pods serve.
        rolled_back: when somebody, or a deployment that failed, went back from it.

    """

    revision: int
    replica_set: str
    template: Resource
    available: int
    rolled_back: str

    @property
    def image(self) -> Image:
        """Return the image of its pods."""
        return image_of(self.template["spec"])


def history(replica_sets: Iterable[Resource], owner: str, mark: str) -> list[Past]:
    """Return the releases of a workload, the newest first.

    Args:
        replica_sets: those of the namespace.
        owner: the uid of the workload.
        mark: the annotation of releases that were rolled back.

    """
    found = []
    for one in replica_sets:
        metadata = one["metadata"]
        annotations = metadata.get("annotations", {})
        revisions = [int(annotations[key]) for key in REVISIONS if key in annotations]
        if revisions and any(by["uid"] == owner for by in metadata.get("ownerReferences", [])):
            found.append(
                Past(
                    revisions[0],
                    metadata["name"],
                    as_applied(one["spec"]["template"]),
                    one.get("status", {}).get("availableReplicas", 0),
                    annotations.get(mark, ""),
                )
            )
    return sorted(found, key=lambda past: -past.revision)


def as_applied(template: Resource) -> Resource:
    """Return a pod template without what the controllers add to it."""
    metadata = dict(template.get("metadata", {}))
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in metadata.get("labels", {}).items() if key not in HASHES}
    return {**template, "metadata": {**metadata, "labels": labels}}


def release_before(pasts: list[Past]) -> Past | None:
    """Return what to go back to: the last release that was another one and was not given up.

    A restart is no other release: it changes an annotation, and nothing that runs.
    """
    if not pasts:
        return None
    now = pasts[0].template["spec"]
    return next(
        (one for one in pasts[1:] if not one.rolled_back and one.template["spec"] != now), None
    )


def release_of(pasts: list[Past], digest: str) -> Past | None:
    """Return the last release of an image, one that was not given up before one that was."""
    same = [one for one in pasts if one.image.digest == digest]
    return next((one for one in same if not one.rolled_back), same[0] if same else None)


def release_that_serves(pasts: list[Past], stable: str = "") -> Past | None:
    """Return the release that answers users.

    Args:
        pasts: the releases.
        stable: the hash of the release that a Rollout calls stable, which ends its name.

    """
    if stable:
        return next((one for one in pasts if one.replica_set.endswith(f"-{stable}")), None)
    return next((one for one in pasts if one.available), None)


# HOW FAR A ROLLOUT IS -------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a workload is with its newest release.

    Attributes:
        state: serving, failed, waiting, or unseen as long as the controller has not looked.
        says: why, for people.

    """

    state: str
    says: str


# The autoscaler rests at none, too.
NO_PODS = Progress("failed", "it was scaled to no pods: kubectl scale starts them again")


def progress_of_deployment(deployment: Resource) -> Progress:
    """Return how far a Deployment is."""
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return Progress("unseen", "not seen by the controller yet")
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    if conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded":
        seconds = deployment["spec"].get("progressDeadlineSeconds", 600)
        return Progress("failed", f"no new pod became ready within {seconds} s")
    wanted = deployment["spec"].get("replicas", 1)
    if wanted == 0:
        return NO_PODS
    updated, every = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated >= wanted and every == updated and available >= updated:
        return Progress("serving", f"{available} of {wanted} pods serve")
    failure = conditions.get("ReplicaFailure", {})
    reason = f"; {failure['message']}" if failure.get("status") == "True" else ""
    return Progress("waiting", f"{updated} of {wanted} pods are new, {every} in all{reason}")


def progress_of_rollout(rollout: Resource, deployment: Resource) -> Progress:
    """Return how far an Argo Rollout is, which takes its pods from a Deployment."""
    status = rollout.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    invalid = conditions.get("InvalidSpec", {})
    if invalid.get("status") == "True" and _seen(status.get("observedGeneration"), rollout):
        return Progress("failed", invalid.get("message", "its spec is invalid"))
    seen = (
        (status.get("observedGeneration"), rollout),
        (status.get("workloadObservedGeneration"), deployment),
    )
    if not all(_seen(told, one) for told, one in seen):
        return Progress("unseen", "not seen by the controller yet")
    if rollout.get("spec", {}).get("replicas") == 0:
        return NO_PODS
    phase = status.get("phase", "Progressing")
    message = f": {status['message']}" if status.get("message") else ""
    if phase == "Healthy" and status.get("stableRS") == status.get("currentPodHash"):
        return Progress("serving", f"{status.get('availableReplicas', 0)} pods serve")
    return Progress("failed" if phase == "Degraded" else "waiting", f"{phase}{message}")


def _seen(generation: object, resource: Resource) -> bool:
    """Say whether a controller has looked at a resource as it is now; it writes numbers as text."""
    return str(generation) == str(resource["metadata"]["generation"])


def complaints(pods: Iterable[Resource]) -> list[str]:
    """Return what pods that are not ready say: one line for each container that complains."""
    found = []
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        statuses: list[Any] = [
            *status.get("initContainerStatuses", []),
            *status.get("containerStatuses", []),
        ]
        said = [reason for one in statuses if not one.get("ready") and (reason := why(one))]
        if not statuses:
            said = [
                one["message"]
                for one in status.get("conditions", [])
                if one["status"] == "False" and one.get("message")
            ]
        found += [f"{name}: {' '.join(reason.split())}" for reason in said]
    return found


def why(status: Resource) -> str:
    """Return why a container is not ready."""
    state, last = status.get("state", {}), status.get("lastState", {}).get("terminated")
    ended = state.get("terminated") or last
    if waiting := state.get("waiting"):
        said = f"{waiting.get('reason', 'waits')} {waiting.get('message', '')}".strip()
        return f"{said}; it ended with exit code {ended['exitCode']}" if ended else said
    if ended:
        return f"it ended with exit code {ended['exitCode']} ({ended.get('reason', 'no reason')})"
    return "it runs, and its readiness probe fails"


def is_ready(pod: Resource) -> bool:
    """Say whether a pod is ready for requests."""
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in pod.get("status", {}).get("conditions", [])
    )


def crash_loops(pods: Iterable[Resource], starts: int = 3) -> bool:
    """Say whether a container has ended again and again: waiting longer would not help."""
    return any(
        one.get("restartCount", 0) >= starts
        and one.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for pod in pods
        # A sidecar that ends keeps its pod from being ready, too.
        for kind in ("initContainerStatuses", "containerStatuses")
        for one in pod.get("status", {}).get(kind, [])
    )
