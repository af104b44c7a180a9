"""Services for the tests: rendered once for each set of answers, shared by all workers."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from slipway.rendering import render, repository_root, snapshot

SMALLEST = {"service_name": "signups"}


def once(place: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder unless it is there, whole, from this worker or another."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=place.parent))
        make(scratch / "made")
        with contextlib.suppress(OSError):  # another worker was faster
            (scratch / "made").rename(place)
        shutil.rmtree(scratch)
    return place


def snapshot_of_the_working_tree(folder: Path) -> Path:
    """Copy the template as it is now, committed or not."""
    return snapshot(repository_root(), folder)


class Services:
    """Gives the folder of a rendered service. Tests read it and never write to it."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template = template
        self.folder = folder

    def __call__(self, answers: Mapping[str, Any], *, again: int = 0) -> Path:
        """Return a service; `again` numbers the further renders of the same answers."""
        all_answers = {**SMALLEST, **answers}
        key = hashlib.sha256(json.dumps([all_answers, again], sort_keys=True).encode())
        return once(
            self.folder / key.hexdigest()[:16],
            lambda folder: render(self.template, folder, all_answers),
        )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this run that all workers have in common."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own settings of Copier, and its cache, out of every test."""
    folder = tmp_path_factory.mktemp("copier")
    (folder / "settings.yml").write_text("{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(folder / "settings.yml"))
        patch.setenv("COPIER_CACHE_DIR", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def template(shared: Path) -> Path:
    """Return the template as the working tree holds it."""
    return once(shared / "template", snapshot_of_the_working_tree)


@pytest.fixture(scope="session")
def services(template: Path, shared: Path) -> Services:
    return Services(template, shared / "services")


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
