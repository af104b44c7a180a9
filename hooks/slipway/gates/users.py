"""Users: what ships does not run as root."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gates.dockerfile import expand
from slipway.gates.findings import Fault, Gate
from slipway.gates.located import Value
from slipway.gates.service import Service

ROOT = ("0", "root")


def runs_as_root(service: Service) -> Iterator[Fault]:
    """Find what makes the production image run as root: in itself, in Compose, in pods."""
    yield from _image(service)
    for project in service.projects:
        for one in project.services:
            user = one.get("user")
            if one.image in project.built and user and user.text.partition(":")[0] in ROOT:
                yield Fault(user.at, f"service {one.name!r} runs as {user.text!r}")
    for workload in service.workloads:
        pod = workload.pod
        for container in workload.containers if pod else []:
            user = _setting(container, pod, "runAsUser")
            other = _setting(container, pod, "runAsNonRoot")
            named = container.get("name")
            name = f"{workload.kind} {workload.name!r}: {named.text if named else ''!r}"
            if user and user.text == "0":
                yield Fault(user.at, f"{name} has 'runAsUser: 0'")
            elif other is None or not other.is_true:
                said = f"'runAsNonRoot: {other.text}'" if other else "no runAsNonRoot"
                setting = other or container.find("securityContext", "runAsNonRoot")[0]
                yield Fault(setting.at, f"{name} has {said}")


def _image(service: Service) -> Iterator[Fault]:
    dockerfile = service.dockerfile
    stage = dockerfile.production if dockerfile else None
    if dockerfile is None or stage is None:
        return  # said by health-image
    user = dockerfile.last(stage, "USER")
    if user is None:
        yield Fault(stage.place, f"stage {stage.name!r} has no USER")
        return
    words = [expand(word.text, dockerfile.variables(stage)) for word in user.arguments]
    said = " ".join(words)
    if said.partition(":")[0] in ("", *ROOT) or "$" in said:
        yield Fault(user.place, f"stage {stage.name!r} has 'USER {said}'")


def _setting(container: Value, pod: Value | None, name: str) -> Value | None:
    """Return a container's setting, or what it inherits from the pod."""
    inherited = pod.get("securityContext", name) if pod else None
    return container.get("securityContext", name) or inherited


GATES = (
    Gate(
        "image-not-root",
        "What ships does not run as root",
        "`USER` of the stage that ships, `user` of Compose services that run it, and"
        " `securityContext` of pods",
        "Run it as user 65532",
        runs_as_root,
    ),
)
