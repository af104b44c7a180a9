"""What policy tools want of manifests and images, but for the exceptions on file."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.product import interview
from tests.render.programs import checkov, kube_score, kustomize, trivy
from tests.services import Services

EXCEPTIONS = Path(__file__).with_name("exceptions.yaml")
DIGEST = f"sha256:{'0' * 64}"
# Each starts with what it stands for; together every stack and every rollout.
SERVICES: dict[str, dict[str, Any]] = {
    "largest": {
        **{"datastore": "postgres", "cache": "redis", "secrets": "external-secrets"},
        **{"rollout": "canary", "domain": "signups.example.com"},
    },
    "blue-green": {
        **{"rollout": "blue-green", "edge": "ingress", "domain": "signups.example.com"},
        **{"stack": "node", "starter": False},
    },
    "rolling": {"stack": "go", "datastore": "postgres"},
    "smallest": {"environments": ["production"], "feature_flags": False, "starter": False},
}
SPOILT = "spoilt"
TOOLS = ["checkov", "kube-score", "trivy"]

engines = pytest.mark.engine("kustomize", *TOOLS)
Found = dict[str, dict[str, list[str]]]


def released(service: Path, copy: Path) -> Path:
    """Copy a service and put a digest where deploy writes one."""
    shutil.copytree(service, copy)
    for release in copy.glob("deploy/environments/*/release/kustomization.yaml"):
        text = release.read_text()
        assert "newTag: not-released" in text
        release.write_text(text.replace("newTag: not-released", f"digest: {DIGEST}"))
    return copy


@pytest.fixture(scope="module")
def found(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what each tool finds, by rule: where. Those that start slowly look once."""
    folder = tmp_path_factory.mktemp("policies")
    manifests = folder / "manifests"
    result: Found = defaultdict(lambda: defaultdict(list))
    for label, answers in SERVICES.items():
        service = released(services(answers), folder / label)
        (manifests / label).mkdir(parents=True)
        shutil.copy(service / "Dockerfile", manifests / label)
        default = interview().entries["environments"].details["default"]
        for environment in answers.get("environments", default):
            built = kustomize(service, environment)
            (manifests / label / f"{environment}.yaml").write_text(built)
            for rule, place in kube_score(built):
                result["kube-score"][rule].append(f"{label}: {place}")
    spoil(manifests / "largest", manifests / SPOILT)
    for tool, findings in (("checkov", checkov(manifests)), ("trivy", trivy(manifests))):
        for rule, place in findings:
            spoilt = place.startswith(f"{SPOILT}/")
            result[f"{tool}, {SPOILT}" if spoilt else tool][rule].append(place)
    return result


def spoil(good: Path, bad: Path) -> None:
    """Write what a tool must find, beside what it must not."""
    shutil.copytree(good, bad)
    for file, old, new in (
        ("production.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        ("production.yaml", f"@{DIGEST}", ":latest"),
        ("Dockerfile", "\nHEALTHCHECK", "\n# HEALTHCHECK"),
        ("Dockerfile", "\n    CMD [", "\n# CMD ["),
    ):
        text = (bad / file).read_text()
        assert old in text
        (bad / file).write_text(text.replace(old, new))


def exceptions() -> list[dict[str, str]]:
    read: list[dict[str, str]] = yaml.safe_load(EXCEPTIONS.read_text())
    return read


@pytest.mark.parametrize(
    "entry", exceptions(), ids=lambda entry: f"{entry['tool']}-{entry['rule']}"
)
def test_every_exception_says_why_and_until_when(entry: dict[str, str]) -> None:
    assert set(entry) == {"tool", "rule", "reason", "until"}
    assert all(isinstance(value, str) and value for value in entry.values())
    assert [(one["tool"], one["rule"]) for one in exceptions()].count(
        (entry["tool"], entry["rule"])
    ) == 1


def without_exceptions(
    found: Found, tool: str, allowed: list[dict[str, str]]
) -> dict[str, list[str]]:
    rules = {entry["rule"] for entry in allowed if entry["tool"] == tool}
    return {rule: places for rule, places in found[tool].items() if rule not in rules}


def no_longer_needed(found: Found, allowed: list[dict[str, str]]) -> list[str]:
    return [
        f"{entry['tool']} {entry['rule']}: remove it from {EXCEPTIONS.name}"
        for entry in allowed
        if entry["rule"] not in found[entry["tool"]]
    ]


def test_every_stack_and_every_rollout_is_looked_at() -> None:
    for name in ("stack", "rollout"):
        question = interview().entries[name]
        used = {answers.get(name, question.details["default"]) for answers in SERVICES.values()}
        assert used == set(question.choices)


@engines
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_finds_nothing_beyond_the_exceptions(found: Found, tool: str) -> None:
    assert without_exceptions(found, tool, exceptions()) == {}


@engines
def test_every_exception_is_still_needed(found: Found) -> None:
    assert no_longer_needed(found, exceptions()) == []


@engines
def test_an_exception_that_is_missing_or_left_over_is_noticed(found: Found) -> None:
    """The negative control of the two tests above."""
    left_over = {"tool": "checkov", "rule": "CKV_K8S_0", "reason": "-", "until": "-"}

    assert all(without_exceptions(found, tool, []) for tool in TOOLS)
    assert len(no_longer_needed(found, [*exceptions(), left_over])) == 1


@engines
@pytest.mark.parametrize(
    ("tool", "privilege_escalation", "image_tag", "no_health_check"),
    [
        ("checkov", "CKV_K8S_20", "CKV_K8S_14", "CKV_DOCKER_2"),
        ("trivy", "KSV-0001", "KSV-0013", "DS-0026"),
    ],
)
def test_spoilt_files_are_found_beside_the_good_ones(
    found: Found, tool: str, privilege_escalation: str, image_tag: str, no_health_check: str
) -> None:
    rules = {privilege_escalation, image_tag, no_health_check}

    assert rules <= set(found[f"{tool}, {SPOILT}"])
    assert rules.isdisjoint(found[tool])


@pytest.mark.engine("kustomize", "kube-score")
def test_kube_score_finds_a_container_without_limits(services: Services, tmp_path: Path) -> None:
    built = kustomize(released(services(SERVICES["smallest"]), tmp_path / "service"), "production")
    assert "container-resources" not in dict(kube_score(built))

    spoilt = built.replace("memory: 256Mi", "gpu: 0")

    assert "container-resources" in dict(kube_score(spoilt))
