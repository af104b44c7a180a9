"""The manifests of a service's environments, built by Kustomize, whatever its answers are."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from slipway.rendering import render

from tests.product import interview
from tests.render.programs import kustomize
from tests.render.reading import read_yaml
from tests.services import SMALLEST, mutated

ENVIRONMENTS = ["dev", "production"]
Manifests = list[dict[str, Any]]


def small(template: Path, destination: Path) -> Path:
    """Copy what a template makes manifests of: rooms and runbooks take most of the time."""
    destination.mkdir(parents=True)
    shutil.copy(template / "copier.yml", destination)
    for folder in ("_partials", "deploy", "observability", "[[python]]/observability"):
        shutil.copytree(template / "template" / folder, destination / "template" / folder)
    answers_file = "[[ _copier_conf.answers_file ]].jinja"
    shutil.copy(template / "template" / answers_file, destination / "template")
    return destination


class Clusters:
    """Gives the manifests of an environment, built by Kustomize."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template = template
        self.folder = folder
        self.made: dict[str, Path] = {}

    def service(self, answers: dict[str, Any]) -> Path:
        """Return the service with these answers, rendered once."""
        key = repr(sorted(answers.items()))
        if key not in self.made:
            everything = {
                **SMALLEST,
                **{"datastore": "postgres", "cache": "redis", "environments": ENVIRONMENTS},
                **{"domain": "signups.example.com", "edge": "none"},
            }
            folder = self.folder / str(len(self.made))
            self.made[key] = render(self.template, folder, {**everything, **answers})
        return self.made[key]

    def text(self, environment: str, **answers: Any) -> str:
        """Return what is applied to an environment."""
        return kustomize(self.service(answers), environment)

    def __call__(self, environment: str, **answers: Any) -> Manifests:
        return read_yaml(self.text(environment, **answers))


def spoilt(template: Path, folder: Path, file: str, old: str, new: str) -> Clusters:
    """Return the manifests of a template in which one text is another."""
    made = mutated(small(template, folder / "small"), folder / "spoilt", {file: {old: new}})
    return Clusters(made, folder / "services")


def of_kind(manifests: Manifests, kind: str) -> Manifests:
    """Return the resources of a kind."""
    return [one for one in manifests if one["kind"] == kind]


def only(manifests: Manifests, kind: str, name: str = "signups") -> dict[str, Any]:
    """Return the one resource of a kind and a name."""
    [found] = [one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name]
    return found


def combinations() -> Iterator[dict[str, Any]]:
    """Yield answers with every choice of rollout, secrets and edge."""
    names = ("rollout", "secrets", "edge")
    choices = [interview().entries[name].choices for name in names]
    for values in product(*choices):
        yield dict(zip(names, values, strict=True))


@pytest.fixture(scope="module")
def clusters(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Clusters:
    folder = tmp_path_factory.mktemp("clusters")
    return Clusters(small(template, folder / "template"), folder / "services")
