"""Draws the gallery of docs/ anew: `python -m tests.observability.gallery [MINUTES]`.

A Python service with its stores and a neighbour runs on the real programs for so many minutes, as
chain.py tells, and its dashboards are drawn from what the backends then answer.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from slipway.rendering import render, repository_root, snapshot

from tests.contract.stacks import PYTHON
from tests.engines import catalogue
from tests.engines.fixtures.docker import Docker
from tests.observability import chain as chains
from tests.observability.dashboards import CHOSEN
from tests.observability.drawing import Window, gallery, over_http

MINUTES = 12.0
FOLDER = repository_root() / "docs" / "reference" / "gallery"


def draw(work: Path, folder: Path, minutes: float) -> list[Path]:
    """Run a chain below `work` and draw every dashboard into `folder`; return the files."""
    catalogue.DOCKER.start()
    docker = Docker(catalogue.DOCKER)
    template = snapshot(repository_root(), work / "template")
    answers = {"service_name": chains.SERVICE, "stack": PYTHON.name, **chains.STORES}
    service = render(template, work / "service", answers)
    image = docker.build(service, target="production")
    calm = minutes * 60 / 2
    with chains.running(docker, PYTHON, service, image, work / "chain", calm=calm) as chain:
        return gallery(
            service,
            over_http(chain.backends.url("prometheus"), chain.backends.url("loki")),
            folder,
            window=Window(chain.started, chain.ended),
            chosen={**CHOSEN, "environment": chains.ENVIRONMENT},
        )


def main() -> None:
    """Draw into docs/."""
    minutes = float(sys.argv[1]) if sys.argv[1:] else MINUTES
    work = Path(tempfile.mkdtemp(prefix="gallery-"))
    try:
        for file in draw(work, FOLDER, minutes):
            sys.stdout.write(f"{file.relative_to(repository_root())}\n")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
