"""The programs that read manifests start, and find what they are there to find."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[[str], Path]

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: careless}
spec: {containers: [{name: one, image: "example.com/one:latest"}]}
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: made-
resources: [pod.yaml]
"""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "kustomization.yaml").write_text(KUSTOMIZATION)
    return tmp_path


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.engine("kustomize")
def test_kustomize_builds(program: Program, manifests: Path) -> None:
    built = run(program("kustomize"), "build", ".", cwd=manifests)
    assert "name: made-careless" in built.stdout
    (manifests / "pod.yaml").unlink()
    assert run(program("kustomize"), "build", ".", cwd=manifests).returncode == 1


@pytest.mark.engine("kube-score")
def test_kube_score_finds_faults(program: Program, manifests: Path) -> None:
    scored = run(program("kube-score"), "score", "pod.yaml", cwd=manifests)
    assert scored.returncode == 1
    assert "Image with latest tag" in scored.stdout


@pytest.mark.engine("checkov")
def test_checkov_finds_faults(program: Program, manifests: Path) -> None:
    command = ("--skip-download", "--compact", "--quiet", "--file", "pod.yaml")
    checked = run(program("checkov"), *command, cwd=manifests)
    assert checked.returncode == 1
    assert "CKV_K8S_14" in checked.stdout


@pytest.mark.engine("collector")
def test_the_collector_validates_configurations(program: Program, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("exporters: {no_such_thing: {}}")
    assert (
        run(program("collector"), "validate", "--config=wrong.yaml", cwd=tmp_path).returncode == 1
    )
