"""The template's own Renovate finds every pin, and nothing in the template that is none."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.git import git

from tests.product import PINS, ROOT, pins

CONFIGURATION = ROOT / "renovate.json"
VERSIONS = ROOT / "tests/engines/versions.yaml"
# What the managers that are on look for; as in Renovate's own documentation.
PATTERNS = {"pep621": r"(^|/)pyproject\.toml$"}
# No newest version but a decision: what is supported, and where programs are taken from.
DECIDED = {PINS: {"kubernetes", "kubernetes_oldest"}, VERSIONS: {"go-oldest", "docker-suite"}}


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(CONFIGURATION.read_text())
    return read


def expression(text: str) -> re.Pattern[str]:
    """Return a regular expression of JavaScript as Python's."""
    return re.compile(text.replace("(?<", "(?P<"))


def found(configuration: dict[str, Any], text: str) -> dict[str, dict[str, str]]:
    """Return what the custom managers read in a file, by the version's key."""
    (manager,) = configuration["customManagers"]
    return {
        match[0].splitlines()[1].partition(":")[0]: match.groupdict()
        for one in manager["matchStrings"]
        for match in expression(one).finditer(text)
    }


@pytest.mark.parametrize("file", [PINS, VERSIONS], ids=lambda file: file.name)
def test_every_pin_is_found(file: Path, configuration: dict[str, Any]) -> None:
    there = yaml.safe_load(file.read_text())
    read = {
        key: match["currentValue"] for key, match in found(configuration, file.read_text()).items()
    }
    assert read == {key: str(value) for key, value in there.items() if key not in DECIDED[file]}


def test_a_pin_is_read_with_its_source_and_its_way_of_counting(
    configuration: dict[str, Any],
) -> None:
    assert found(configuration, PINS.read_text())["python"] == {
        "datasource": "docker",
        "depName": "docker.io/library/python",
        "versioning": "python",
        "currentValue": pins()["python"],
    }


@pytest.mark.parametrize(
    "spoilt",
    [
        'uv: "0.13"\n',
        '# renovate: datasource=docker\nuv: "0.13"\n',
        '# renovate: datasource=docker depName=uv\n\nuv: "0.13"\n',
        '# renovate: datasource=docker depName=uv versoning=python\nuv: "0.13"\n',
    ],
    ids=["no comment", "no name", "a line between", "a slip"],
)
def test_a_pin_that_renovate_would_miss_is_noticed(
    spoilt: str, configuration: dict[str, Any]
) -> None:
    assert found(configuration, spoilt) == {}


def read_by(configuration: dict[str, Any], names: list[str]) -> list[str]:
    """Return the files that Renovate reads."""
    (manager,) = configuration["customManagers"]
    patterns = [pattern.strip("/") for pattern in manager["managerFilePatterns"]]
    enabled = set(configuration["enabledManagers"]) - {"custom.regex"}
    patterns += [PATTERNS[name] for name in enabled]
    return [name for name in names if any(expression(one).search(name) for one in patterns)]


def test_renovate_reads_pins_and_our_own_dependencies_and_nothing_else(
    configuration: dict[str, Any],
) -> None:
    names = git(ROOT, "ls-files", "-z").decode().rstrip("\0").split("\0")
    assert read_by(configuration, names) == [
        "pyproject.toml",
        PINS.relative_to(ROOT).as_posix(),
        VERSIONS.relative_to(ROOT).as_posix(),
    ]


def test_a_room_whose_manifest_is_no_template_is_noticed(configuration: dict[str, Any]) -> None:
    assert read_by(configuration, ["template/[[python]]/pyproject.toml"]) != []


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against Renovate's schema, which comes with the program."""
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.renovate", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_configuration_fits_renovate_s_schema() -> None:
    done = validate(CONFIGURATION)
    assert done.returncode == 0, done.stdout


def test_a_configuration_of_another_form_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "renovate.json"
    file.write_text(CONFIGURATION.read_text().replace('["custom.regex", "pep621"]', '"pep621"'))
    done = validate(file)
    assert done.returncode == 1
    assert "enabledManagers" in done.stdout
