"""Services for the tests: rendered once for each set of answers, shared by all workers."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from slipway.rendering import render, repository_root, snapshot

SMALLEST = {"service_name": "signups"}


class Services:
    """Gives the folder of a rendered service. Tests read it and never write to it."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template = template
        self.folder = folder

    def __call__(self, answers: Mapping[str, Any], *, again: int = 0) -> Path:
        """Return a service; `again` numbers the further renders of the same answers."""
        key = json.dumps([{**SMALLEST, **answers}, again], sort_keys=True)
        place = self.folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=self.folder))
            render(self.template, fresh / "service", {**SMALLEST, **answers})
            try:
                (fresh / "service").rename(place)
            except OSError:
                shutil.rmtree(fresh)  # another worker was faster
        return place


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the template as the working tree holds it."""
    return snapshot(repository_root(), tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def services(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Services:
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return Services(template, base / "services")


@pytest.fixture(scope="session")
def service(services: Services) -> Path:
    """Return the service that answers nothing but its name."""
    return services({})


def mutated(template: Path, destination: Path, changes: Mapping[str, Mapping[str, str]]) -> Path:
    """Copy a template and change it: path, text that stands there, text in its place."""
    shutil.copytree(template, destination)
    for path, replacements in changes.items():
        file = destination / path
        text = file.read_text()
        for old, new in replacements.items():
            assert old in text, f"{path} no longer holds {old!r}: adapt this negative control"
            text = text.replace(old, new)
        file.write_text(text)
    return destination


def without_rooms(template: Path, destination: Path) -> Path:
    """Copy what the interview needs of a template: it renders the answers file and no more."""
    answers_file = "[[ _copier_conf.answers_file ]].jinja"
    destination.mkdir(parents=True)
    shutil.copy(template / "copier.yml", destination)
    shutil.copytree(template / "template" / "_partials", destination / "template" / "_partials")
    shutil.copy(template / "template" / answers_file, destination / "template")
    return destination
