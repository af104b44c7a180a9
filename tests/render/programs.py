"""The linters and engines, as functions from a folder to what they say."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.engines import catalogue
from tests.product import pins
from tests.render.custom_resources import is_custom, problems_of
from tests.render.reading import read_yaml

YAMLLINT = Path(__file__).with_name("yamllint.yaml")


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def engine(name: str) -> str:
    """Return the path of a program that `make engines` installed."""
    return catalogue.engine(name).recipe.where()


# -- linters from PyPI -----------------------------------------------------------------------------


def _wheel(name: str) -> Path:
    """Return a program that came with a package of this environment."""
    return Path(sys.executable).with_name(name)


def findings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a linter printed; a linter that breaks down has found something, too."""
    said = (done.stdout + done.stderr).splitlines()
    return said or ([f"exit code {done.returncode}"] if done.returncode else [])


@cache
def hadolint(dockerfile: str) -> list[str]:
    """Return what hadolint finds in a text; the same text is looked at once."""
    done = subprocess.run(
        [_wheel("hadolint"), "--no-color", "--failure-threshold=style", "-"],
        input=dockerfile,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HADOLINT_NOFAIL": "false"},
    )
    return findings(done)


def shellcheck(scripts: Sequence[Path]) -> list[str]:
    """Return what shellcheck finds."""
    if not scripts:
        return []
    return findings(run([_wheel("shellcheck"), "--norc", "--enable=all", "--format=gcc", *scripts]))


@cache
def yamllint(text: str, path: str) -> list[str]:
    """Return what yamllint finds in one file's text."""
    configuration = YamlLintConfig(file=str(YAMLLINT))
    return [f"{path}:{problem}" for problem in linter.run(text, configuration, path)]


# -- Kubernetes ------------------------------------------------------------------------------------


def kustomize(service: Path, environment: str) -> str:
    """Return what would be applied to an environment."""
    done = run([engine("kustomize"), "build", service / "deploy" / "environments" / environment])
    assert done.returncode == 0, f"kustomize build {environment}: {done.stderr}"
    return done.stdout


def supported_kubernetes() -> list[str]:
    """Return the oldest and the newest Kubernetes that services run on, from the pins."""
    return [pins()["kubernetes_oldest"], pins()["kubernetes"]]


@cache
def invalid(manifests: str, version: str) -> list[str]:
    """Return what one Kubernetes' own schema refuses, unknown fields included."""
    problems = []
    for resource in read_yaml(manifests):
        named = f"{resource['kind']}/{resource['metadata']['name']} in {version}"
        if is_custom(resource):
            problems += [f"{named}: {problem}" for problem in problems_of(resource)]
            continue
        try:
            used = kubernetes_validate.validate(resource, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            problems.append(f"{named}: {error.message}")
        else:
            if used != version.removeprefix("v"):
                problems.append(f"{named}: kubernetes-validate knows {used} only; take a newer one")
    return problems


# -- policies --------------------------------------------------------------------------------------


def kube_score(manifests: str) -> list[tuple[str, str]]:
    """Return rule and place of everything that kube-score would not have."""
    done = subprocess.run(
        [engine("kube-score"), "score", "--output-format=json", "-"],
        input=manifests,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, f"kube-score: {done.stderr}"
    critical_or_warning = 7
    found: list[tuple[str, str]] = []
    for resource in json.loads(done.stdout):
        for result in resource["checks"]:
            if not result["skipped"] and result["grade"] <= critical_or_warning:
                found.append((result["check"]["id"], resource["object_name"]))
    return found


def checkov(folder: Path) -> list[tuple[str, str]]:
    """Return rule and place of everything that checkov would not have; it starts slowly."""
    done = run(
        [
            *(engine("checkov"), "--directory", folder, "--output=json", "--compact", "--quiet"),
            *("--framework", "kubernetes", "dockerfile", "secrets"),
            *("--skip-download", "--soft-fail"),
        ]
    )
    assert done.stdout.strip(), f"checkov: {done.stderr}"
    reports: Any = json.loads(done.stdout)
    found = []
    for report in reports if isinstance(reports, list) else [reports]:
        for failed in report.get("results", {}).get("failed_checks", []):
            found.append(
                (failed["check_id"], f"{failed['file_path'].lstrip('/')} {failed['resource']}")
            )
    return found


def trivy(folder: Path) -> list[tuple[str, str]]:
    """Return rule and place of everything that trivy would not have, by the checks in it."""
    with TemporaryDirectory() as cache_of_its_own:
        done = run(
            [
                *(engine("trivy"), "config", "--format=json", "--quiet"),
                *("--skip-check-update", "--skip-version-check"),
                *(f"--cache-dir={cache_of_its_own}", folder),
            ]
        )
    assert done.returncode == 0, f"trivy: {done.stderr}"
    return [
        (failed["ID"], f"{file['Target']} {failed['Message']}")
        for file in json.loads(done.stdout)["Results"]
        for failed in file.get("Misconfigurations", [])
    ]
