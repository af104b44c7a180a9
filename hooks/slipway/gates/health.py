"""Health: the image checks itself, pods have three probes, Compose switches nothing off."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.kustomize import LONG_RUNNING
from slipway.gates.located import Value
from slipway.gates.service import Service

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
HANDLERS = ("httpGet", "grpc", "exec", "tcpSocket")


def without_healthcheck(service: Service) -> Iterator[Fault]:
    """Find a production image that does not say whether it is healthy."""
    dockerfile = service.dockerfile
    stage = dockerfile.production if dockerfile else None
    if dockerfile is None or stage is None:
        yield Fault(Place("Dockerfile", 1), "there is no Dockerfile with a stage to ship")
        return
    check = dockerfile.last(stage, "HEALTHCHECK")
    if check is None:
        yield Fault(stage.place, f"stage {stage.name!r} has no HEALTHCHECK")
    elif [word.text.upper() for word in check.arguments[:1]] == ["NONE"]:
        yield Fault(check.place, "'HEALTHCHECK NONE' switches the check off")


def without_probes(service: Service) -> Iterator[Fault]:
    """Find pods that serve and lack a probe, or whose probes ask the same."""
    serving = [
        one for one in service.workloads if one.kind in LONG_RUNNING and not one.runs_another
    ]
    if not any(serving):
        yield Fault(Place("deploy/base/deployment.yaml", 1), "no environment runs a Deployment")
    for workload in serving:
        app = workload.app
        if app is None:
            yield Fault(workload.value.at, f"{workload.kind} {workload.name!r} has no container")
            continue
        asked: dict[str, str] = {}
        for probe in PROBES:
            question = what_is_asked(app, probe)
            if not question:
                place = app.find(probe)[0].at
                yield Fault(place, f"{workload.kind} {workload.name!r} has no {probe}")
            elif question in asked:
                place = app.entries[probe].find("httpGet", "path")[0].at
                yield Fault(place, f"{probe} asks {question!r} as {asked[question]} does")
            asked.setdefault(question, probe)


def what_is_asked(container: Value, probe: str) -> str:
    """Return what a probe asks: a path, a service, a command or a port; empty for no probe."""
    for handler in HANDLERS:
        if (asked := container.get(probe, handler)) is None:
            continue
        for key in ("path", "service", "command", "port"):
            if value := asked.get(key):
                return value.text or " ".join(item.text for item in value.items) or handler
        return handler
    return ""


def switched_off(service: Service) -> Iterator[Fault]:
    """Find services of Compose whose health check is switched off though they keep running."""
    dockerfile = service.dockerfile
    production = dockerfile.production.name if dockerfile and dockerfile.production else ""
    for project in service.projects:
        for one in project.services:
            other_stage = one.build and one.target not in ("", production)
            if other_stage or one.name in project.short_lived:
                continue
            disabled, test = one.get("healthcheck", "disable"), one.get("healthcheck", "test")
            if disabled and disabled.is_true:
                yield Fault(disabled.at, f"service {one.name!r} has 'disable: true'")
            elif test and [test.text, *(item.text for item in test.items)][:2] in (
                ["NONE"],
                ["", "NONE"],
            ):
                yield Fault(test.at, f"service {one.name!r} has the test 'NONE'")


GATES = (
    Gate(
        "health-image",
        "The image that ships checks its own health",
        "the stage `production` of `Dockerfile`, or the last one",
        "Give it a HEALTHCHECK that runs the image's own program",
        without_healthcheck,
    ),
    Gate(
        "health-probes",
        "Pods that serve have three probes on three paths",
        "the container `app`, or the first, of each Deployment, StatefulSet, DaemonSet and"
        " Rollout as Kustomize builds it",
        "Give it startupProbe, livenessProbe and readinessProbe, each with a path of its own",
        without_probes,
    ),
    Gate(
        "health-compose",
        "Compose switches no health check off",
        "the services of Compose files, but those that end and those that build another stage",
        "Leave the image's own check on",
        switched_off,
    ),
)
