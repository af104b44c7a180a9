"""The collector's configuration of a rendered service, as its files say it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.engines.collector import Collector

LOGS = ("loki", "elasticsearch", "cloudwatch")
# Made up: validation asks for some, and nothing is sent.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Sections whose keys are names of components.
SECTIONS = ("receivers", "processors", "connectors", "exporters", "extensions")


def production(service: Path) -> list[Path]:
    """Return the files that the collector of a cluster is given."""
    folder = service / "observability"
    return [folder / "collector.yaml", folder / "backends.yaml"]


def local(service: Path) -> list[Path]:
    """Return the files that the collector in compose is given."""
    folder = service / "observability"
    compose = yaml.safe_load((folder / "local/compose.yaml").read_text())
    collector = compose["services"]["collector"]
    mounts = dict(volume.split(":")[1::-1] for volume in collector["volumes"])
    return [
        (folder / "local" / mounts[option.removeprefix("--config=")]).resolve()
        for option in collector["command"]
    ]


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """Merge files as the collector does: maps into each other, lists replaced."""
    result: dict[str, Any] = {}
    for file in files:
        _merge(result, yaml.safe_load(file.read_text()))
    return result


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def components(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield section and type of each component that is configured."""
    for section in SECTIONS:
        for name in configuration.get(section, {}):
            yield section, name.split("/")[0]


def known_components() -> dict[str, set[str]]:
    """Return the types that the collector has, by section, under the names it goes by today."""
    done = subprocess.run([Collector().path, "components"], capture_output=True, check=True)
    listed = yaml.safe_load(done.stdout)
    return {section: {one["name"] for one in listed[section]} for section in SECTIONS}


def refused(files: Sequence[Path], folder: Path) -> str:
    """Return why `otelcol validate` refuses files; nothing when it takes them."""
    done = subprocess.run(
        [Collector().path, "validate", *(f"--config={file}" for file in files)],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "QUEUE_DIRECTORY": str(folder / "queue"), **CREDENTIALS},
    )
    return (done.stdout + done.stderr) if done.returncode else ""
