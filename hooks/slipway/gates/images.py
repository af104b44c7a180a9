"""Images: each one names a version, and environments run digests."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gates.dockerfile import Dockerfile, Stage, expand
from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.kustomize import split_image
from slipway.gates.service import Service

# Distroless has no versions: what it is stands in the name, and Renovate adds the digest.
DISTROLESS = re.compile(r"gcr\.io/distroless/[\w-]+-debian\d+")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# As exact as a tag can be: all its numbers.
EXACT = re.compile(r"v?\d+\.\d+\.\d+[\w.-]*")
# What the seeds of release/ hold before anything was built.
NOT_RELEASED = "not-released"
PLACEHOLDER = "app"


def what_is_loose(image: str) -> str:
    """Return what is wrong with an image's name; empty when it names a version."""
    repository, tag, digest = split_image(image)
    if digest:
        return "" if DIGEST.fullmatch(digest) else f"{image!r} has a digest that is none"
    if "$" in image or not repository:
        return f"{image!r} depends on a variable without a default"
    if not tag:
        return f"{image!r} has no tag, which means latest"
    if tag.startswith("latest"):
        return f"{image!r} is whatever is latest"
    if not re.search(r"\d", tag) and not DISTROLESS.fullmatch(repository):
        return f"{image!r} has a tag that names no version"
    return ""


def unpinned(service: Service) -> Iterator[Fault]:
    """Find images without a version in Dockerfiles, Compose files and loose manifests."""
    named = [
        *(found for one in service.dockerfiles for found in images_of(one)),
        *images_of_compose(service),
        *(
            (value.text, value.at)
            for workload in service.loose_workloads
            for container in workload.containers
            if (value := container.get("image"))
        ),
    ]
    for image, place in named:
        if problem := what_is_loose(image):
            yield Fault(place, problem)


def images_of(dockerfile: Dockerfile) -> Iterator[tuple[str, Place]]:
    """Yield the images that a Dockerfile pulls."""
    if dockerfile.frontend:
        yield dockerfile.frontend.text, dockerfile.frontend.place
    known = {"scratch"}
    for stage in dockerfile.stages:
        if stage.base.lower() not in known:
            yield stage.base, stage.place
        known.add(stage.name)
        for image, place in images_in(stage, dockerfile):
            if image.lower() not in known and not image.isdigit():
                yield image, place


def images_in(stage: Stage, dockerfile: Dockerfile) -> Iterator[tuple[str, Place]]:
    """Yield what a stage copies or mounts from: images, and names of stages."""
    for instruction in stage.instructions:
        for flag, value in instruction.flags:
            if flag == "from":
                yield expand(value.text, dockerfile.arguments), value.place
            elif flag == "mount":
                options = dict(part.partition("=")[::2] for part in value.text.split(","))
                if "from" in options:
                    yield expand(options["from"], dockerfile.arguments), value.place


def images_of_compose(service: Service) -> Iterator[tuple[str, Place]]:
    """Yield the images that Compose pulls."""
    for project in service.projects:
        for one in project.services:
            image = one.get("image")
            if image and not one.build and one.image not in project.built:
                yield one.image, image.at


def without_digest(service: Service) -> Iterator[Fault]:
    """Find images that an environment would run by tag; a sidecar's may be an exact version."""
    for folder, workloads in service.environments.items():
        environment = folder.rpartition("/")[2]
        sidecars = [one for each in workloads for one in each.sidecars]
        for container in [one for each in workloads for one in each.containers]:
            image = container.get("image")
            if image is None:
                yield Fault(container.at, f"{environment} runs a container without an image")
                continue
            _, tag, digest = split_image(image.text)
            if image.text == PLACEHOLDER or tag == NOT_RELEASED or DIGEST.fullmatch(digest):
                continue
            if container not in sidecars:
                yield Fault(image.at, f"{environment} runs {image.text!r}, not a digest")
            elif digest or not EXACT.fullmatch(tag):
                yield Fault(
                    image.at, f"{environment} runs {image.text!r}, no digest and no exact version"
                )


GATES = (
    Gate(
        "image-pinned",
        "Every image names a version, none is latest",
        "`FROM`, `COPY --from` and `RUN --mount` of Dockerfiles, Compose files, and manifests"
        " that no environment uses",
        "Name a version in the tag, or a digest",
        unpinned,
    ),
    Gate(
        "image-by-digest",
        "Environments run digests only, sidecars at least exact versions",
        "the images of each environment as Kustomize builds it; none yet is fine, and a native"
        " sidecar (an init container with `restartPolicy: Always`) may name all numbers of its"
        " version",
        "Put the digest of a built image into the environment's `release/`, a sidecar's beside its"
        " tag",
        without_digest,
    ),
)
