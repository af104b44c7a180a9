"""A release on its way: checked before, watched until it serves, taken back."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from cluster import (
    CannotRunError,
    Cluster,
    Manifest,
    Resource,
    as_data,
    build,
    folder_of,
    joined,
    split,
)
from release import (
    HASHES,
    Image,
    Past,
    Progress,
    app_of,
    complaints,
    crash_loops,
    history,
    is_ready,
    migration_name,
    progress_of_deployment,
    progress_of_rollout,
    read_release,
    release_that_serves,
)

POLL = 2.0
# What a migration needs before it can run; none of it touches pods that run.
BEFORE_MIGRATION = (
    *("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount", "ConfigMap"),
    *("SecretStore", "ExternalSecret", "NetworkPolicy"),
)
# kubelet's words for an image that it does not get.
NO_IMAGE = (
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"),
)


class FailedError(Exception):
    """Says in one line what was tried and failed."""


@dataclass(frozen=True)
class Release:
    """What is to run in an environment.

    Attributes:
        cluster: where.
        image: of the container that serves.
        manifests: all resources of the environment with this image.

    """

    cluster: Cluster
    image: Image
    manifests: list[Manifest]

    @property
    def migration(self) -> Manifest | None:
        """Return the Job that migrates the database, under this image's name."""
        service = self.cluster.service
        for one in self.manifests:
            if one.kind == "Job" and one.name == f"{service}-migrate":
                return one.renamed(migration_name(service, self.image.digest))
        return None

    @property
    def workload(self) -> Manifest:
        """Return the Deployment, whose pods serve."""
        for one in self.manifests:
            if one.kind == "Deployment" and one.name == self.cluster.service:
                return one
        raise CannotRunError(f"{self.cluster.environment} has no Deployment {self.cluster.service}")

    @property
    def is_rollout(self) -> bool:
        """Say whether an Argo Rollout takes its pods from the Deployment."""
        return any(
            one.kind == "Rollout" and one.name == self.cluster.service for one in self.manifests
        )

    @property
    def standing(self) -> list[Manifest]:
        """Return what stays in the cluster: all but the migration."""
        service = self.cluster.service
        return [
            one for one in self.manifests if (one.kind, one.name) != ("Job", f"{service}-migrate")
        ]


def release_for(cluster: Cluster, image: Image) -> Release:
    """Return the environment as it would be with an image."""
    written = read_release(folder_of(cluster.environment))
    built = build(cluster.environment, image.repository, image.digest, written.repository)
    return Release(cluster, image, left_to_rollouts(cluster, split(built)))


def left_to_rollouts(cluster: Cluster, manifests: list[Manifest]) -> list[Manifest]:
    """Return resources without what a blue-green Rollout has set: which pods are asked.

    Set again, it would send users to the old and the new pods at once.
    """
    switched = {name for one in manifests if one.kind == "Rollout" for name in one.switched}
    taken = {name for name in switched if is_set(cluster.read("service", name))}
    return [
        one.without_selector() if one.kind == "Service" and one.name in taken else one
        for one in manifests
    ]


def is_set(service: Resource | None) -> bool:
    """Say whether a Rollout has set which pods a Service asks."""
    selector = (service or {}).get("spec", {}).get("selector", {})
    return bool(set(HASHES) & set(selector))


# BEFORE ANYTHING CHANGES ----------------------------------------------------


def make_namespace(release: Release) -> None:
    """Make the namespace unless it is there: without it, nothing in it can be asked."""
    if not exists(release.cluster):
        release.cluster.apply(joined(one for one in release.manifests if one.kind == "Namespace"))


def refuse_unless_accepted(cluster: Cluster, manifests: str, *options: str) -> None:
    """Ask the API server whether it would take resources; nothing is changed."""
    try:
        cluster.apply(manifests, "--dry-run=server", *options)
    except CannotRunError as error:
        text = str(error)
        if "conflict" in text:
            text += "; take the fields over with FORCE=1, or leave them out of the manifests"
        elif "no matches for kind" in text:
            text += f"; make doctor ENV={cluster.environment} says what the cluster lacks"
        raise CannotRunError(f"the cluster refuses the manifests: {text}") from error


def refuse_unless_pulled(release: Release) -> None:
    """Ask a node whether it gets the image; nothing of the service is changed."""
    if reason := not_to_be_pulled(release):
        raise CannotRunError(f"{release.image} cannot be pulled: {reason}")


def refuse_without_secrets(release: Release) -> None:
    """Look for the Secrets that pods mount: without one they would wait, and nobody say for what.

    One that the cluster fetches, or that may not be looked at, is taken to be there.
    """
    cluster = release.cluster
    brought = {one.name for one in release.manifests if one.kind in ("Secret", "ExternalSecret")}
    for volume in as_data(release.workload)["spec"]["template"]["spec"].get("volumes", []):
        source = volume.get("secret", {})
        name = source.get("secretName", "")
        if not name or name in brought or source.get("optional"):
            continue
        found = cluster.run("get", "secret", name, "--ignore-not-found", "--output=name")
        if found.returncode == 0 and not found.stdout.strip():
            own = name == f"{cluster.service}-database"
            remedy = f"make secret ENV={cluster.environment}" if own else "create it"
            raise CannotRunError(f"secret {name} is not in {cluster.namespace}: {remedy}")


def exists(cluster: Cluster) -> bool:
    """Say whether the namespace is there; who may not ask is told so by what follows."""
    asked = cluster.run(
        "get", "namespace", cluster.namespace, "--ignore-not-found", "--output=name"
    )
    return bool(asked.returncode or asked.stdout.strip())


def not_to_be_pulled(release: Release, within: float = 180) -> str:
    """Return why a node does not get the image; nothing when it does, or when it is not known.

    A pod is told to run a program that no image has: its node pulls the image, with the
    credentials and over the network that count, and nothing of the service runs.
    """
    cluster = release.cluster
    pod = as_data(release.workload)["spec"]["template"]["spec"]
    name = f"{cluster.service}-pull-{release.image.digest.partition(':')[2][:12]}"
    container = app_of(pod)
    kept = ("imagePullSecrets", "nodeSelector", "tolerations", "securityContext")
    puller: Resource = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": f"{cluster.service}-pull"}},
        "spec": {
            **{key: pod[key] for key in kept if key in pod},
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "pull",
                    "image": str(release.image),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/nothing-is-run"],
                    **{
                        key: container[key]
                        for key in ("resources", "securityContext")
                        if key in container
                    },
                }
            ],
        },
    }
    account = pod.get("serviceAccountName")
    if account and cluster.run("get", "serviceaccount", account).returncode == 0:
        puller["spec"]["serviceAccountName"] = account
    remove = ("delete", "pod", name, "--ignore-not-found", "--wait=true")
    if (
        cluster.run(*remove).returncode
        or cluster.run("create", "--filename=-", given=json.dumps(puller)).returncode
    ):
        print("whether the image can be pulled is not known before: no pod can be made for it")
        return ""
    try:
        until = time.monotonic() + within
        while time.monotonic() < until:
            status = (cluster.read("pod", name) or {}).get("status", {})
            for one in status.get("containerStatuses", []):
                waiting = one["state"].get("waiting", {})
                if waiting.get("reason") in NO_IMAGE:
                    return " ".join(f"{waiting['reason']} {waiting.get('message', '')}".split())
                if one.get("imageID") or waiting.get("reason") not in (
                    *(None, "ContainerCreating", "PodInitializing"),
                ):
                    return ""
                if "terminated" in one["state"]:
                    return ""
            time.sleep(POLL / 4)
        print(f"whether the image can be pulled is not known after {within:.0f} s; going on")
        return ""
    finally:
        cluster.run("delete", "pod", name, "--ignore-not-found", "--wait=false")


# THE DATABASE ---------------------------------------------------------------


def migrate(release: Release, options: argparse.Namespace) -> None:
    """Run the migrations of an image, once, before its pods; they go forward only."""
    cluster, job = release.cluster, release.migration
    if job is None:
        return
    state = state_of_job(cluster.read("job", job.name))
    if state[0] == "complete":
        print(f"{job.name} has run before")
        return
    if state[0] == "failed":
        cluster.ask("delete", "job", job.name, "--cascade=foreground", "--wait=true")
    # The flags are read by pods that run: they come with the new ones.
    before = (
        one
        for one in release.manifests
        if one.kind in BEFORE_MIGRATION and one.name != f"{cluster.service}-flags"
    )
    cluster.apply(joined(before), *forced(options))
    cluster.apply(job.text)
    print(f"{job.name} migrates the database", flush=True)
    # The Job ends by itself, at the latest after its activeDeadlineSeconds.
    while (state := state_of_job(cluster.read("job", job.name)))[0] == "running":
        time.sleep(POLL)
    if state[0] != "complete":
        said = cluster.run("logs", f"job/{job.name}", "--tail=5").stdout
        pods = cluster.every("pods", f"--selector=batch.kubernetes.io/job-name={job.name}")
        for line in [*said.splitlines(), *complaints(pods)]:
            print(f"  {line}")
        raise FailedError(
            f"the migration failed ({state[1]}); the release before goes on, on the schema before"
        )


def state_of_job(job: Resource | None) -> tuple[str, str]:
    """Return how far a Job is: missing, running, complete or failed, and why."""
    if job is None:
        return "missing", "it is gone"
    for one in job.get("status", {}).get("conditions", []):
        if one["status"] == "True" and one["type"] in ("Complete", "Failed"):
            return one["type"].lower(), one.get("message") or one.get("reason", "")
    return "running", ""


# UNTIL IT SERVES ------------------------------------------------------------


def wait(release: Release, seconds: float, watch: Callable[[], object] = lambda: None) -> Progress:
    """Wait until the newest release serves or fails, and return which of them.

    Args:
        release: what is applied.
        seconds: the longest time that it may take.
        watch: called again and again meanwhile, as soon as the controller has looked.

    """
    cluster = release.cluster
    deadline = as_data(release.workload)["spec"].get("progressDeadlineSeconds", 600)
    begun = time.monotonic()
    until, ready_by = begun + seconds, begun + deadline
    said = ""
    while True:
        progress = progress_of(release)
        # Until the controller has looked, the newest release is still the one before.
        if progress.state != "unseen":
            watch()
        if progress.state in ("serving", "failed"):
            return progress
        if time.monotonic() > until:
            return Progress("failed", f"not done after {seconds:.0f} s: {progress.says}")
        if progress.state == "waiting":
            pods = new_pods(release)
            if crash_loops(pods):
                return Progress("failed", "new pods end again and again")
            if any(map(is_ready, pods)):
                ready_by = math.inf
            # A blue-green Rollout itself does not count while pods of an earlier release are kept.
            if time.monotonic() > ready_by:
                return Progress("failed", f"no new pod became ready within {deadline} s")
        if progress.says != said:
            said = progress.says
            print(f"  {said}", flush=True)
            if "Pause" in said:
                left = (until - time.monotonic()) / 60
                print(
                    f"  if it waits for you: kubectl argo rollouts promote {cluster.service}"
                    f" --context {cluster.context} --namespace {cluster.namespace}; else it is"
                    f" taken back in {left:.0f} min (TIMEOUT= seconds)"
                )
        time.sleep(POLL)


def progress_of(release: Release) -> Progress:
    """Return how far the newest release is."""
    cluster = release.cluster
    deployment = cluster.read("deployment", cluster.service)
    if deployment is None:
        return Progress("failed", "the Deployment is gone")
    if not release.is_rollout:
        return progress_of_deployment(deployment)
    rollout = cluster.read("rollout.argoproj.io", cluster.service)
    if rollout is None:
        return Progress("failed", "the Rollout is gone")
    return progress_of_rollout(rollout, deployment)


def pasts_of(release: Release) -> tuple[list[Past], str]:
    """Return the releases that the cluster remembers, and the hash of a Rollout's stable one."""
    cluster = release.cluster
    kind = "rollout.argoproj.io" if release.is_rollout else "deployment"
    owner = cluster.read(kind, cluster.service)
    if owner is None:
        return [], ""
    replica_sets = cluster.every("replicasets")
    stable = str(owner.get("status", {}).get("stableRS", "")) if release.is_rollout else ""
    return history(replica_sets, owner["metadata"]["uid"], rolled_back(cluster)), stable


def rolled_back(cluster: Cluster) -> str:
    """Return the annotation of releases that somebody went back from."""
    return f"{cluster.manager}/rolled-back"


def serving(release: Release) -> Past | None:
    """Return the release that answers users now."""
    return release_that_serves(*pasts_of(release))


def new_pods(release: Release) -> list[Resource]:
    """Return the pods of the newest release."""
    pasts, _ = pasts_of(release)
    return [
        pod
        for pod in release.cluster.every("pods")
        if pasts
        and any(
            owner["name"] == pasts[0].replica_set
            for owner in pod["metadata"].get("ownerReferences", [])
        )
    ]


def what_pods_say(release: Release) -> Iterator[str]:
    """Yield what the pods of the newest release complain of, and the last lines of one's log."""
    pods = new_pods(release)
    yield from complaints(pods)
    for pod in pods[:1]:
        name = pod["metadata"]["name"]
        for more in (["--previous"], []):
            log = release.cluster.run("logs", name, "--container=app", "--tail=5", *more)
            if log.returncode == 0 and log.stdout.strip():
                yield from (f"{name} logs: {line}" for line in log.stdout.splitlines())
                return


@contextlib.contextmanager
def applied(cluster: Cluster) -> Iterator[None]:
    """Let what stops a command count as a failure: something may have changed by now."""
    try:
        yield
    except CannotRunError as error:
        see = f"see make status ENV={cluster.environment}"
        raise FailedError(f"{error}; what was applied until then goes on: {see}") from error


# BACK -----------------------------------------------------------------------


def with_template(release: Release, template: Resource) -> str:
    """Return the Deployment with other pods."""
    deployment = as_data(release.workload)
    deployment["spec"]["template"] = template
    return json.dumps(deployment)


def restore(release: Release, past: Past, options: argparse.Namespace) -> Progress:
    """Bring back the pods of an earlier release, exactly as they were, and wait until they serve.

    The rest of the environment stays: the configuration that pods read has the hash of its
    content in its name, and is still there.
    """
    release.cluster.apply(with_template(release, past.template), *forced(options))
    skip_steps(release)
    return wait(release, options.timeout)


def give_back(release: Release, before: Past, options: argparse.Namespace) -> Progress:
    """Return to the release that served before, and note on the newest that it was given up."""
    pasts, _ = pasts_of(release)
    if pasts and pasts[0].replica_set != before.replica_set:
        mark(release, now())
    return restore(release, before, options)


def skip_steps(release: Release) -> None:
    """Let a Rollout go back at once: what ran before need not prove itself step by step."""
    if not release.is_rollout:
        return
    cluster = release.cluster
    until = time.monotonic() + 60
    while (progress := progress_of(release)).state == "unseen" and time.monotonic() < until:
        time.sleep(POLL / 4)
    pasts, stable = pasts_of(release)
    # To the stable one a Rollout goes without steps by itself.
    if progress.state != "serving" and not pasts[0].replica_set.endswith(f"-{stable}"):
        patch = json.dumps({"status": {"promoteFull": True}})
        cluster.ask(
            *("patch", "rollout.argoproj.io", cluster.service, "--subresource=status"),
            *("--type=merge", f"--field-manager={cluster.manager}", f"--patch={patch}"),
        )


def mark(release: Release, when: str) -> None:
    """Note on the newest release that it was rolled back; without a time, that it was not."""
    pasts, _ = pasts_of(release)
    if pasts and (when or pasts[0].rolled_back):
        key = rolled_back(release.cluster)
        release.cluster.run(
            *("annotate", "replicaset", pasts[0].replica_set, "--overwrite"),
            *(f"--field-manager={release.cluster.manager}", f"{key}={when}" if when else f"{key}-"),
        )


def now() -> str:
    """Return the time as a timestamp in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def forced(options: argparse.Namespace) -> list[str]:
    """Return what takes fields from whoever else set them, if that was asked for."""
    return ["--force-conflicts"] if options.force else []
