"""The programs start, and find what they are there to find."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import catalogue, observing

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


def run(
    *command: str | Path, cwd: Path, standard_input: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, input=standard_input, capture_output=True, text=True, check=False
    )


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


@pytest.mark.engine("trivy")
def test_trivy_finds_faults(program: Program, manifests: Path, tmp_path: Path) -> None:
    options = ("--skip-check-update", "--skip-version-check", f"--cache-dir={tmp_path / 'cache'}")
    command = ("config", *options, "--quiet", "--exit-code=1", "pod.yaml")
    checked = run(program("trivy"), *command, cwd=manifests)
    assert checked.returncode == 1
    assert "KSV-0013" in checked.stdout


@pytest.mark.engine("collector")
def test_the_collector_validates_configurations(program: Program, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("exporters: {no_such_thing: {}}")
    assert (
        run(program("collector"), "validate", "--config=wrong.yaml", cwd=tmp_path).returncode == 1
    )


# -- rules, routes, dashboards and queries --------------------------------------------------------

RULES = """\
groups:
  - name: all
    rules:
      - alert: Fails
        expr: rate(errors_total[5m]) > 0
        annotations: {summary: It fails.}
"""
ROUTES = """\
route:
  receiver: desk
  routes: [{receiver: pager, matchers: ['severity="page"']}]
receivers: [{name: desk}, {name: pager}]
"""
OBJECTIVE = """\
version: prometheus/v1
service: signups
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(errors_total[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting: {page_alert: {disable: true}, ticket_alert: {disable: true}}
"""


@pytest.mark.parametrize("name", [one.name for pair in observing.PROGRAMS.values() for one in pair])
def test_it_says_its_version(name: str, program: Program, tmp_path: Path) -> None:
    said = run(program(name), "--version", cwd=tmp_path)
    pinned = catalogue.engine(name).recipe.version()
    assert f"{name}, version {pinned} " in said.stdout + said.stderr


@pytest.mark.parametrize("name", ["pint", "sloth"])
def test_it_says_its_version_when_asked_for_it(name: str, program: Program, tmp_path: Path) -> None:
    said = run(program(name), "version", cwd=tmp_path).stdout
    assert said.split()[0] == catalogue.engine(name).recipe.version()


@pytest.mark.engine("promtool")
def test_promtool_reads_rules(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    check = (program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file)
    file.write_text(RULES)
    assert run(*check, cwd=tmp_path).returncode == 0
    file.write_text(RULES.replace("rate(", "rat("))
    assert run(*check, cwd=tmp_path).returncode == 1


@pytest.mark.engine("amtool")
def test_amtool_reads_routes(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)
    amtool = program("amtool")
    command = (amtool, "config", "routes", "test", f"--config.file={file}", "severity=page")
    assert run(*command, cwd=tmp_path).stdout.strip() == "pager"
    file.write_text(ROUTES.replace("receiver: desk", "receiver: dekc", 1))
    assert run(amtool, "check-config", file, cwd=tmp_path).returncode == 1


@pytest.mark.engine("pint")
def test_pint_finds_faults(program: Program, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES.replace(" > 0", ""))
    linted = run(program("pint"), "--offline", "--no-color", "lint", "rules.yaml", cwd=tmp_path)
    assert "alerts/comparison" in linted.stdout + linted.stderr


@pytest.mark.engine("sloth")
def test_sloth_generates_rules(program: Program, tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(OBJECTIVE)
    done = run(program("sloth"), "generate", "-i", "slo.yaml", "-o", "rules.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "slo:sli_error:ratio_rate30d" in (tmp_path / "rules.yaml").read_text()


@pytest.mark.engine("dashboard-linter")
def test_the_dashboard_linter_finds_faults(program: Program, tmp_path: Path) -> None:
    panel = {
        "type": "timeseries",
        "title": "errors",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "targets": [{"expr": "rate(errors_total[5m]"}],
    }
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    dashboard = {"title": "one", "panels": [panel], "templating": {"list": [source]}}
    (tmp_path / "one.json").write_text(json.dumps(dashboard))
    linted = run(program("dashboard-linter"), "lint", "--strict", "one.json", cwd=tmp_path)
    assert linted.returncode == 1
    assert "invalid PromQL query" in linted.stdout + linted.stderr


@pytest.mark.engine("logcli")
def test_logcli_reads_queries_of_logs(program: Program, tmp_path: Path) -> None:
    logcli = program("logcli")
    for query, code in (('{a="b"} | json', 0), ('{a="b"', 1)):
        assert run(logcli, "fmt", cwd=tmp_path, standard_input=query).returncode == code


@pytest.mark.engine("queries")
@pytest.mark.parametrize(
    ("language", "well", "ill"),
    [
        ("traceql", '{ resource.service.name = "a" && status = error } | rate()', "{ status = "),
        ("logql", 'sum(rate({a="b"} | json | c="d" [5m]))', '{a="b"} | json |'),
    ],
)
def test_grammars_tell_queries_from_others(language: str, well: str, ill: str) -> None:
    places = catalogue.QUERIES.errors(language, [well, ill, well])
    assert [bool(one) for one in places] == [False, True, False]


@pytest.mark.engine("telemetrygen")
def test_telemetrygen_says_how_it_is_used(program: Program, tmp_path: Path) -> None:
    assert (
        "--otlp-endpoint" in run(program("telemetrygen"), "traces", "--help", cwd=tmp_path).stdout
    )
