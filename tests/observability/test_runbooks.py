"""Runbooks: one for each alert, and every command in them asks for what is there."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway import metrics
from slipway.dashboards import metric_names

from tests.engines.queries import Queries
from tests.kubectl import needs_kubectl
from tests.maintenance import documents
from tests.observability.rules import unreadable_promql
from tests.observability.runbooks import Command, commands, commands_of, runbooks
from tests.services import Services

# Every stack and store of logs; one environment and several; with and without what is optional.
SETS: Mapping[str, Mapping[str, Any]] = {
    "everything": {"datastore": "postgres", "cache": "redis"},
    "elasticsearch": {
        "service_name": "billing-export",
        "repository_url": "https://gitlab.com/payments/billing/export",
        "stack": "node",
        "logs": "elasticsearch",
        "environments": ["test", "europe", "america"],
        "production_environments": ["europe", "america"],
        "business_metrics": {"exports": "counter"},
    },
    "cloudwatch": {"stack": "go", "logs": "cloudwatch", "feature_flags": False},
    "canary": {"rollout": "canary", "datastore": "postgres"},
    "blue-green": {"rollout": "blue-green", "stack": "go"},
    "own-code": {"starter": False, "slo_availability": 99.999, "slo_latency": 95},
}
# What is in the folder and belongs to no alert.
PAGES = {"README.md", "incident.md", "notes.md", "rollback.md"}
HEADINGS = [
    "What it means", "Who is affected", "Confirm", "Mitigate", "Find the cause", "Prevent",
]  # fmt: skip
# The environments that a query on logs or traces is about, in each of the languages.
ENVIRONMENT = re.compile(
    r"deployment[._]environment[._]name(?: =~? |=~?|:| in )"
    r'[(\["]*([^)\]}"]+(?:", "[^"\]]+)*)'
)
Check = Callable[[Path], list[str]]


@pytest.fixture(params=SETS, scope="module")
def service(request: pytest.FixtureRequest, services: Services) -> Path:
    return services(SETS[request.param])


# -- what is wrong with a service's runbooks -------------------------------------------------------


def alerts(service: Path) -> dict[str, dict[str, Any]]:
    """Return the alerting rules of a service by name."""
    rules = yaml.safe_load((service / "observability/rules/alerts.yaml").read_text())
    return {
        rule["alert"]: rule
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def unpaired(service: Path) -> list[str]:
    """Return alerts without a runbook, runbooks without an alert, and addresses of neither."""
    known = alerts(service)
    there = {page.stem for page in runbooks(service) if page.name not in PAGES}
    wrong = [f"{name}: alert or runbook alone" for name in sorted(set(known) ^ there)]
    for name, rule in known.items():
        if not rule["annotations"]["runbook_url"].endswith(f"/blob/HEAD/runbooks/{name}.md"):
            wrong.append(f"{name}: {rule['annotations']['runbook_url']}")
    return wrong


def unlike_its_alert(service: Path) -> list[str]:
    """Return runbooks and lines of the index that name another severity or dashboard."""
    wrong = []
    index = (service / "runbooks/README.md").read_text()
    for name, rule in alerts(service).items():
        severity = rule["labels"]["severity"]
        if f"| {name} | {severity} | " not in index:
            wrong.append(f"README.md: no line of {name}, {severity}")
        text = (service / f"runbooks/{name}.md").read_text()
        said = text.splitlines()[2]
        said_severity = "always firing" if severity == "none" else severity
        if not said.startswith(f"{said_severity} · "):
            wrong.append(f"{name}.md: another severity: {said}")
        if f"[dashboard]({rule['annotations']['dashboard_url']})" not in said:
            wrong.append(f"{name}.md: another dashboard: {said}")
        headings = re.findall(r"(?m)^## (.+)$", text)
        if not text.startswith(f"# {name}\n") or headings != HEADINGS:
            wrong.append(f"{name}.md: other headings: {headings}")
    return wrong


def broken_links(service: Path) -> list[str]:
    """Return links that lead nowhere, those to dashboards included."""
    wrong = []
    uids = {
        yaml.safe_load(file.read_text())["uid"]
        for file in (service / "observability/dashboards").glob("*.json")
    }
    for page in runbooks(service):
        wrong += [f"{page.name}: {link}" for link in documents.broken_links(page)]
        for uid in re.findall(r"\]\(https://[^)]*/d/([^)/?]+)\)", page.read_text()):
            if uid not in uids:
                wrong.append(f"{page.name}: dashboard {uid}")
    return wrong


def missing_files(service: Path) -> list[str]:
    """Return named files and targets of make that are not there."""
    there = {file.relative_to(service).as_posix() for file in service.rglob("*") if file.is_file()}
    known = documents.targets_of((service / "Makefile").read_text())
    wrong = []
    for page in runbooks(service):
        text = page.read_text()
        wrong += [f"{page.name}: {name}" for name in documents.missing_files(text, there)]
        for target in documents.make_targets(text):
            if target not in known:
                wrong.append(f"{page.name}: make {target}")
    for one in commands(service):
        if one.kind == "console":
            wrong += [
                f"{one}: {name}"
                for name in re.findall(r"[a-z]+/[a-z/-]+", one.text)
                if name.startswith(("deploy/", "runbooks/", "observability/"))
                and not (service / name).exists()
            ]
            wrong += [
                f"{one}: make {target}"
                for target in re.findall(r"^make ([a-z-]+)", one.text)
                if target not in known
            ]
    return wrong


def not_as_the_readme_says(service: Path) -> list[str]:
    """Return fences that no reader of commands finds, and commands without what they print."""
    wrong = []
    for page in runbooks(service):
        fences = len(re.findall(r"(?m)^ *```\w", page.read_text()))
        found = commands_of(page.name, page.read_text())
        others = 1 if page.name == "incident.md" else 0  # the form of a review
        if fences != len(found) + others:
            wrong.append(f"{page.name}: {fences} fences, {len(found)} commands")
        wrong += [f"{one}: does not say what it prints" for one in found if not one.prints]
        wrong += [
            f"{one}: promises nothing that can be looked for"
            for one in found
            if one.prints and not one.promised and not one.may_be_empty
        ]
        wrong += [f"{one}: {one.placeholders}" for one in found if len(one.placeholders) > 1]
    return wrong


def unknown_metrics(service: Path) -> list[str]:
    """Return commands that ask for metrics nobody emits, or for another service's."""
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text())
    rules = [file.read_text() for file in (service / "observability/rules").glob("*.yaml")]
    known = metrics.known(answers["stack"], answers["business_metrics"], rules)
    name, team = answers["service_name"], answers["team"]
    wrong = []
    for one in commands(service):
        if one.kind == "promql":
            wrong += [f"{one}: {metric}" for metric in metric_names(one.text) - known]
            if "otelcol_" not in one.text and one.text.count(
                f'service_namespace="{team}", service_name="{name}"'
            ) != one.text.count("{"):
                wrong.append(f"{one}: not this service's series alone")
        elif one.kind != "console" and f'"{name}"' not in one.text:
            wrong.append(f"{one}: does not ask about {name}")
    return wrong


def namespaces(service: Path) -> dict[str, str]:
    """Return the namespace of each environment of production."""
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return {
        environment: yaml.safe_load(
            (service / f"deploy/environments/{environment}/namespace.yaml").read_text()
        )["metadata"]["name"]
        for environment in answers["production_environments"]
    }


def unknown_places(service: Path) -> list[str]:
    """Return commands about namespaces, workloads and containers that are not there."""
    production = namespaces(service)
    deployment = yaml.safe_load((service / "deploy/base/deployment.yaml").read_text())
    workload = deployment["metadata"]["name"]
    environments = {one.name for one in (service / "deploy/environments").iterdir()}
    containers = {one["name"] for one in deployment["spec"]["template"]["spec"]["containers"]}
    wrong = []
    for one in commands(service):
        for pattern, known in (
            (r"--namespace (\S+)", set(production.values())),
            (r"/namespaces/([^/]+)/", set(production.values())),
            (r"deploy/environments/([\w-]+)", set(production)),
            # A drill is for what comes before production.
            (r"ENV=(\S+)", environments if "drill" in one.text else set(production)),
            (r"(?:deployment|rollout)/(\S+)", {workload}),
            (r"--container (\S+)", containers),
            (r"app\.kubernetes\.io/name=(\S+)", {workload}),
        ):
            if one.kind == "console":
                wrong += [
                    f"{one}: {name}" for name in re.findall(pattern, one.text) if name not in known
                ]
        named = ENVIRONMENT.search(one.text)
        if one.kind in ("logql", "traceql", "lucene", "cloudwatch"):
            found = set(re.split(r'\||", "| OR ', named[1])) if named else set()
            if found != set(production):
                wrong.append(f"{one}: asks about {sorted(found)}, not {sorted(production)}")
    return wrong


# What kubectl does to a workload by its name, and to a Deployment without pods in vain.
TO_A_WORKLOAD = re.compile(
    r"kubectl .*\b(?:rollout (?:history|pause|restart|resume|status|undo)|scale|logs|exec)\b.* "
    r"(?P<kind>deploy|deployments?|rollouts?)(?:\.\S+)?[/ ]"
)


def about_another_workload(service: Path) -> list[str]:
    """Return commands to a Deployment where a Rollout has the pods, or the other way round."""
    rollouts = any((service / "deploy").glob("components/*/rollout.yaml"))
    wrong = []
    for page in runbooks(service):
        texts = {str(one): one.text for one in commands_of(page.name, page.read_text())}
        texts |= {f"{page.name}: {span}": span for span in documents.spans(page.read_text())}
        for place, text in texts.items():
            named = TO_A_WORKLOAD.search(text)
            of_rollouts = "argo rollouts" in text or bool(named and "rollout" in named["kind"])
            if (named or of_rollouts) and of_rollouts != rollouts:
                wrong.append(f"{place}: {text}")
    return wrong


CHECKS: list[Check] = [
    about_another_workload,
    unpaired,
    unlike_its_alert,
    broken_links,
    missing_files,
    not_as_the_readme_says,
    unknown_metrics,
    unknown_places,
]


# -- the claims ------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_runbooks_lead_to_what_is_there(service: Path, check: Check) -> None:
    assert check(service) == []


def test_every_runbook_can_be_read_at_night(service: Path) -> None:
    for page in runbooks(service):
        lines = page.read_text().splitlines()
        assert len(lines) <= 130, page.name
        confirm = page.read_text().partition("## Confirm")[2].partition("## Mitigate")[0]
        assert page.name in PAGES or commands_of(page.name, confirm), (
            f"{page.name} has no first step"
        )


def test_every_page_says_how_to_roll_back_and_its_command_stands_in_the_runbook(
    service: Path,
) -> None:
    rollback = next(
        one.text
        for one in commands(service)
        if one.runbook == "rollback.md" and one.text.startswith("make rollback ENV=")
    )
    for name, rule in alerts(service).items():
        if rule["labels"]["severity"] == "page":
            text = (service / f"runbooks/{name}.md").read_text()
            assert rollback in [one.text for one in commands_of(name, text)], name
            assert "](rollback.md)" in text, name


def test_each_runbook_of_a_page_has_logs_of_the_chosen_store(service: Path) -> None:
    logs = yaml.safe_load((service / ".copier-answers.yml").read_text())["logs"]
    kind = {"loki": "logql", "elasticsearch": "lucene", "cloudwatch": "cloudwatch"}[logs]
    used = {one.kind for one in commands(service)}
    assert used == {"promql", "traceql", "console", kind}


def queries(service: Path, kind: str) -> list[Command]:
    found = [one for one in commands(service) if one.kind == kind]
    assert found or kind == "logql"
    return found


@pytest.mark.parametrize(
    ("environments", "production", "drilled"),
    [
        (["dev", "staging", "production"], ["production"], "staging"),
        (["staging", "eu", "us"], ["eu", "us"], "staging"),
        (["production"], ["production"], "production"),
    ],
)
def test_going_back_is_practised_outside_of_production_if_there_is_such_a_place(
    services: Services, environments: list[str], production: list[str], drilled: str
) -> None:
    service = services({"environments": environments, "production_environments": production})

    for page in ("README.md", "runbooks/rollback.md"):
        said = re.findall(r"make rollback-drill ENV=(\S+)", (service / page).read_text())
        assert said == [drilled], page
    several = "elsewhere put its name in" in (service / "runbooks/rollback.md").read_text()
    assert several == (len(production) > 1)


@pytest.mark.parametrize("rollout", ["canary", "blue-green"])
def test_the_runbooks_of_a_rollout_command_no_deployment_without_pods(
    services: Services, rollout: str
) -> None:
    service = services(SETS[rollout])

    assert about_another_workload(service) == []
    assert any("argo rollouts undo" in one.text for one in commands(service))


@pytest.mark.parametrize(
    "text",
    [
        "kubectl --namespace signups-production rollout undo deployment/signups",
        "kubectl --namespace signups-production rollout history deployment/signups",
        "kubectl scale --replicas 6 deployment signups",
        "kubectl rollout restart deploy/signups",
        "kubectl logs deployments.apps/signups --previous",
    ],
)
@pytest.mark.parametrize("written", ["1. Do:\n\n   ```console\n   {}\n   ```\n", "Or `{}`.\n"])
def test_a_command_to_a_deployment_without_pods_is_noticed(
    services: Services, tmp_path: Path, written: str, text: str
) -> None:
    service = shutil.copytree(services(SETS["canary"]), tmp_path / "service")
    with (service / "runbooks/ServiceDown.md").open("a") as page:
        page.write(f"\n{written.format(text)}")

    assert len(about_another_workload(service)) == 1


@needs_kubectl
def test_kubectl_hands_commands_of_rollouts_to_their_plug_in(
    services: Services, tmp_path: Path
) -> None:
    """The plug-in itself is not run: kubectl takes no option before its name."""
    plug_in = tmp_path / "kubectl-argo-rollouts"
    plug_in.write_text('#!/bin/sh\necho "$@"\n')
    plug_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def said(line: str) -> tuple[str, str]:
        done = subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout, done.stderr

    lines = [
        line
        for one in commands(services(SETS["canary"]))
        for line in one.text.splitlines()
        if " argo rollouts " in line
    ]
    assert lines
    for line in lines:
        assert said(line) == (f"{line.removeprefix('kubectl argo rollouts ')}\n", "")
    assert "before plugin name" in said("kubectl --namespace x argo rollouts undo y")[1]


@pytest.mark.engine("promtool")
def test_prometheus_can_read_every_promql(service: Path, tmp_path: Path) -> None:
    assert unreadable_promql([one.text for one in queries(service, "promql")], tmp_path) == ""


@pytest.mark.engine("promtool")
def test_promql_that_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    assert "parse error" in unreadable_promql(["sum by (x) (rate(y[5m])"], tmp_path)


@pytest.mark.engine("queries")
@pytest.mark.parametrize("language", ["logql", "traceql"])
def test_every_logql_and_traceql_is_well_formed(service: Path, language: str) -> None:
    asked = queries(service, language)
    wrong = zip(asked, Queries().errors(language, [one.text for one in asked]), strict=True)
    assert [str(one) for one, places in wrong if places] == []


@pytest.mark.engine("queries")
@pytest.mark.parametrize(
    ("language", "query"),
    [("logql", '{a="b"} | severity_text='), ("traceql", "{ status = error && }")],
)
def test_logql_and_traceql_that_is_not_well_formed_is_noticed(language: str, query: str) -> None:
    assert Queries().errors(language, [query])[0]


def refused(one: Command, service: Path) -> str:
    """Return what kubectl says of a command where no cluster answers: nothing if only that."""
    done = subprocess.run(
        ["sh", "-c", one.text],
        cwd=service,
        env={**os.environ, "KUBECONFIG": str(service / "no-such-file")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    # An address that nobody listens on: everything before that was right.
    return "" if done.returncode and "connection to the server" in said else said


@needs_kubectl
def test_kubectl_takes_every_command_up_to_the_cluster(service: Path) -> None:
    asked = {
        one.text: one
        for one in commands(service)
        if one.text.startswith("kubectl ") and not one.placeholders
    }
    assert len(asked) >= 8
    answers = {
        str(one): refused(one, service)
        for one in asked.values()
        if " argo rollouts " not in one.text  # a plug-in
    }
    assert {one: said for one, said in answers.items() if said} == {}


@needs_kubectl
@pytest.mark.parametrize(
    "text", ["kubectl get pods --selectors a=b", "kubectl roll undo x", "kubectl get pods --output"]
)
def test_a_command_that_kubectl_does_not_know_is_noticed(service: Path, text: str) -> None:
    assert refused(Command("x.md", 1, "console", text, ""), service)


# -- negative controls -----------------------------------------------------------------------------

BURN = "runbooks/AvailabilityBudgetBurnsFast.md"
SPOILT: list[tuple[Check, str, str, str]] = [
    (unpaired, "observability/rules/alerts.yaml", "alert: ServiceDown", "alert: ServiceGone"),
    (unpaired, "observability/rules/alerts.yaml", "runbooks/Watchdog.md", "runbooks/Dog.md"),
    (unlike_its_alert, "runbooks/README.md", "CrashLooping | ticket |", "CrashLooping | page |"),
    (unlike_its_alert, BURN, "page · team", "ticket · team"),
    (unlike_its_alert, BURN, "/d/signups-slo)", "/d/signups-red)"),
    (unlike_its_alert, BURN, "## Prevent", "## Afterwards"),
    (broken_links, BURN, "(notes.md)", "(note.md)"),
    (broken_links, BURN, "#the-review", "#a-review"),
    (broken_links, BURN, "/d/signups-slo)", "/d/signups-slos)"),
    (missing_files, "runbooks/rollback.md", "`deploy/flags/flags.json`", "`deploy/flags.json`"),
    (missing_files, "runbooks/Watchdog.md", "   make alert-test", "   make alerts-test"),
    (missing_files, "runbooks/Watchdog.md", "`make rules-test`", "`make rule-test`"),
    (missing_files, "runbooks/rollback.md", "production/release)", "production/releases)"),
    (not_as_the_readme_says, BURN, "   Prints: `going back", "   It prints `going back"),
    (not_as_the_readme_says, BURN, "```logql", "```loki"),
    (not_as_the_readme_says, BURN, "Prints: `deleted`", "Prints: a line"),
    (unknown_metrics, BURN, "errors:ratio_rate5m", "errors:ratio_rate4m"),
    (unknown_metrics, BURN, 'target_info{service_namespace="example", ', "target_info{"),
    (unknown_metrics, BURN, "traces_span_metrics_calls_total", "traces_span_metrics_call_total"),
    (unknown_metrics, BURN, 'resource.service.name = "signups"', 'resource.service.name = "x"'),
    (unknown_places, BURN, "signups-production delete", "signups-prod delete"),
    (unknown_places, BURN, "rollback ENV=production", "rollback ENV=staging"),
    (unknown_places, "runbooks/rollback.md", "drill ENV=staging", "drill ENV=stage"),
    (unknown_places, "runbooks/rollback.md", "undo deployment/signups", "undo deployment/app"),
    (unknown_places, BURN, 'environment.name = "production"', 'environment.name = "staging"'),
    (unknown_places, "runbooks/ServiceDown.md", "--container app", "--container service"),
    (unknown_places, "runbooks/ServiceDown.md", "deploy ENV=production\n", "deploy ENV=prod\n"),
    (unknown_places, "runbooks/rollback.md", "environments/production/", "environments/prod/"),
    (about_another_workload, BURN, "get pods", "argo rollouts status"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "file", "old", "new"), SPOILT, ids=[f"{one[0].__name__}-{one[3]}" for one in SPOILT]
)
def test_a_spoilt_runbook_is_noticed(
    services: Services, tmp_path: Path, check: Check, file: str, old: str, new: str
) -> None:
    spoilt = shutil.copytree(services(SETS["everything"]), tmp_path / "service")
    text = (spoilt / file).read_text()
    assert old in text, f"{file} no longer holds {old!r}: adapt this control"
    (spoilt / file).write_text(text.replace(old, new, 1))

    assert check(spoilt) != []


def written(paragraph: str) -> Iterator[Command]:
    yield from commands_of("x.md", f"1. Do:\n\n   ```console\n   ls\n   ```\n\n   {paragraph}\n")


def test_a_promise_is_kept_or_not() -> None:
    [one] = written("Prints: `a`, `b`. Then `c` is for you.")
    assert one.promised == ("a", "b")
    assert one.holds("b and a")
    assert not one.holds("a")
    assert not one.holds("")

    [one] = written("Prints: nothing when it is over, else `a`; not `b`.")
    assert one.holds("")
    assert one.holds("an a")
    assert not one.holds("c")
