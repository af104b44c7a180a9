"""Parity: what runs on a developer's machine is the image that ships."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gates.compose import ComposeService
from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service


def another_image(service: Service) -> Iterator[Fault]:
    """Find a Compose file whose main service is not the image that ships."""
    if not service.projects:
        yield Fault(Place("compose.yaml", 1), "there is no Compose file")
        return
    dockerfile = service.dockerfile
    production = dockerfile.production.name if dockerfile and dockerfile.production else ""
    last = dockerfile.stages[-1].name if production and dockerfile else ""
    for project in service.projects:
        app = main_service(project.services)
        if app is None:
            yield Fault(Place(project.file, 1), "no service builds the Dockerfile")
            continue
        build = app.build
        if build is None:
            image = app.get("image") or app.value
            yield Fault(image.at, f"service {app.name!r} pulls {app.image!r} instead of building")
        elif app.dockerfile != "Dockerfile":
            place = build.find("dockerfile")[0].at
            yield Fault(place, f"service {app.name!r} builds {app.dockerfile!r}")
        elif (app.target or last) != production:
            place = build.find("target")[0].at
            yield Fault(place, f"service {app.name!r} builds stage {app.target or last!r}")


def main_service(services: list[ComposeService]) -> ComposeService | None:
    """Return the service that stands for what ships: the one named app, else one that builds."""
    always = [one for one in services if not one.get("profiles")]
    named = [one for one in services if one.name == "app"]
    return next(iter(named or [one for one in always if one.build]), None)


GATES = (
    Gate(
        "parity",
        "Compose runs the image that ships",
        "the service `app` of Compose files, or the first that builds",
        "Build the stage `production` of the service's own Dockerfile",
        another_image,
    ),
)
