"""Resources: what a container may take and what it is promised."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service

WANTED = (
    ("requests", "cpu"),
    ("requests", "memory"),
    ("limits", "cpu"),
    ("limits", "memory"),
)
# What says the same, in the newer and in the older form.
COMPOSE = {
    "CPU": (("deploy", "resources", "limits", "cpus"), ("cpus",)),
    "memory": (("deploy", "resources", "limits", "memory"), ("mem_limit",)),
}


def unbounded_containers(service: Service) -> Iterator[Fault]:
    """Find containers without a request or limit of CPU or memory."""
    for workload in service.workloads:
        for container in workload.containers:
            named = container.get("name")
            name = f"{workload.kind} {workload.name!r}: {named.text if named else ''!r}"
            missing: dict[Place, list[str]] = {}
            for which, resource in WANTED:
                value = container.get("resources", which, resource)
                if value is None or value.text in ("", "0"):
                    place = container.find("resources", which, resource)[0].at
                    missing.setdefault(place, []).append(f"{which}.{resource}")
            for place, resources in missing.items():
                yield Fault(place, f"{name} has no {', '.join(resources)}")


def unbounded_services(service: Service) -> Iterator[Fault]:
    """Find services of Compose without a limit of CPU or memory."""
    for project in service.projects:
        for one in project.services:
            for resource, paths in COMPOSE.items():
                limits = [value.text for path in paths if (value := one.get(*path))]
                if not any(limit not in ("", "0") for limit in limits):
                    place = one.value.find(*paths[0])[0].at
                    yield Fault(place, f"service {one.name!r} has no limit of {resource}")


GATES = (
    Gate(
        "resources-workloads",
        "Every container has requests and limits of CPU and memory",
        "all containers of all workloads as Kustomize builds them, `changes/` included",
        "Set resources.requests and resources.limits, both with cpu and memory",
        unbounded_containers,
    ),
    Gate(
        "resources-compose",
        "Every service of Compose has limits of CPU and memory",
        "all services of Compose files, what they include and extend merged in",
        "Set deploy.resources.limits with cpus and memory",
        unbounded_services,
    ),
)
