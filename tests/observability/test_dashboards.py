"""Dashboards of services of every kind: what they ask can be asked, what they show is explained."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.dashboards import GLOBALS, Query, metric_names, queries, substitute
from slipway.errors import SlipwayError
from slipway.maintainers import dashboards as emitted
from slipway.maintainers.dashboards import use
from slipway.maintainers.dashboards.emitting import OneOf, Within, number, text_of
from slipway.metrics import CLUSTER, RUNTIME

from tests.engines.observing import DASHBOARD_LINTER
from tests.engines.queries import Queries
from tests.observability import dashboards
from tests.observability.dashboards import CHOSEN, Check, boards, faults
from tests.observability.rules import unreadable_promql
from tests.product import TEMPLATE, interview
from tests.render.test_hostile_answers import WORST_DESCRIPTION
from tests.services import Services

LINTER_CONFIGURATION = Path(__file__).parent / "dashboard-linter.yaml"
# Every stack, every store of logs, no business metrics, one and many, the longest name.
SETS: Mapping[str, Mapping[str, Any]] = {
    "python": {},
    "node": {
        "stack": "node",
        "logs": "elasticsearch",
        "business_metrics": {},
        "description": WORST_DESCRIPTION,
        "repository_url": "https://gitlab.com/Payments/sub.group/Some_Service",
    },
    "go": {
        "service_name": "billing-export-of-invoices-30x",
        "stack": "go",
        "logs": "cloudwatch",
        "slo_availability": 99.95,
        "slo_latency_seconds": 2.5,
        "business_metrics": {
            "exports": "counter",
            "lines": "counter",
            "open_files": "gauge",
            "failures": "counter",
            "waiting": "gauge",
        },
    },
    "own-code": {"starter": False, "business_metrics": {"exports": "counter"}},
}


@pytest.fixture(params=SETS, scope="module")
def service(request: pytest.FixtureRequest, services: Services) -> Path:
    return services(SETS[request.param])


def asked(service: Path, kind: str) -> list[Query]:
    """Return every query of that kind, with values in the place of variables."""
    return [query for board in boards(service) for query in board.queries if query.kind == kind]


def filled(query: Query) -> str:
    return substitute(query.expression, CHOSEN)


# -- written in code -------------------------------------------------------------------------------


def test_what_is_committed_is_what_the_code_emits() -> None:
    assert emitted.stale(TEMPLATE) == []


def test_a_dashboard_that_was_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    assert len(emitted.write(tmp_path)) == len(emitted.files())
    assert emitted.write(tmp_path) == []
    file = tmp_path / "observability/dashboards/red.json.jinja"
    file.write_text(file.read_text().replace("Requests by route", "Requests by rout", 1))
    with pytest.raises(SlipwayError, match=r"^observability/dashboards/red.json.jinja: not curr"):
        emitted.refuse_stale(tmp_path)


def test_answers_stand_where_json_has_no_place_for_them() -> None:
    text = text_of(
        {
            "b": [
                1,
                OneOf("logs", {"loki": {"x": 1}, "cloudwatch": {"y": 2}}),
                Within("if business_metrics", {"z": []}),
                2,
            ],
            "a": number("slo_availability"),
        }
    )
    assert text.splitlines() == [
        "{",
        '  "a": [[ slo_availability ]],',
        '  "b": [',
        "    1,",
        "[% if logs == 'loki' %]",
        "    {",
        '      "x": 1',
        "    },",
        "[% elif logs == 'cloudwatch' %]",
        "    {",
        '      "y": 2',
        "    },",
        "[% endif %]",
        "[% if business_metrics %]",
        "    {",
        '      "z": []',
        "    },",
        "[% endif %]",
        "    2",
        "  ]",
        "}",
    ]
    with pytest.raises(ValueError, match="nothing follows"):
        text_of([Within("if business_metrics", 1)])


# -- every rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", dashboards.CHECKS, ids=lambda check: check.__name__)
def test_a_dashboard_keeps_the_rules(service: Path, check: Check) -> None:
    assert faults(service, check) == []


def test_each_service_has_its_dashboards(service: Path) -> None:
    found = boards(service)
    wanted = {"red", "use", "slo"} | (
        {"business"} if found[0].answers["business_metrics"] else set()
    )
    assert {board.kind for board in found} == wanted


def test_each_business_metric_has_its_panel(service: Path) -> None:
    counted = boards(service)[0].answers["business_metrics"]
    shown = {
        name
        for board in boards(service)
        if board.kind == "business"
        for query in board.queries
        for name in query.metrics
        if name.startswith("app_")
    }
    assert shown == {f"app_{n}_total" if k == "counter" else f"app_{n}" for n, k in counted.items()}


@dataclass(frozen=True)
class Slip:
    """A slip in one of the dashboards, and what the check that must see it says."""

    check: Check
    says: str
    board: str
    old: str
    new: str


SLIPS = [
    Slip(dashboards.form, "uid", "red", '"uid": "signups-red"', '"uid": "signups-rot"'),
    Slip(dashboards.form, "schema", "red", '"schemaVersion": 42', '"schemaVersion": 40'),
    Slip(dashboards.form, "edited", "red", '"editable": false', '"editable": true'),
    Slip(dashboards.form, "has version", "red", '"uid"', '"version": 3,\n  "uid"'),
    Slip(dashboards.form, "sorted", "red", '"timezone"', '"a": 1,\n  "timezone"'),
    Slip(dashboards.ids, "id 101 twice", "red", '"id": 102', '"id": 101'),
    Slip(dashboards.ids, "stands in row 100", "red", '"id": 102', '"id": 202'),
    Slip(dashboards.ids, "multiple", "red", '"id": 200', '"id": 199'),
    Slip(dashboards.grid, "overlap", "red", '"x": 12', '"x": 11'),
    Slip(dashboards.grid, "leaves", "red", '"x": 18', '"x": 19'),
    Slip(dashboards.words, "no title", "red", '"Requests by route"', '""'),
    Slip(dashboards.words, "description", "use", '"Resident memory of the collector."', '"Memory"'),
    Slip(dashboards.words, "no unit", "red", '"unit": "reqps"', '"unit": ""'),
    Slip(dashboards.steps, "minimum step ''", "red", '"interval": "15s"', '"interval": ""'),
    Slip(dashboards.steps, "minimum step '1s'", "red", '"interval": "15s"', '"interval": "1s"'),
    Slip(dashboards.sources, "no variable names", "red", "${prometheus_datasource}", "prometheus"),
    Slip(dashboards.sources, "speaks of", "red", '"Failed requests"', '"Failed in elasticsearch"'),
    Slip(dashboards.sources, "asks graphite", "red", '"type": "tempo"', '"type": "graphite"'),
    Slip(dashboards.variables, "no variable rout", "red", '=~\\"$route\\"', '=~\\"$rout\\"'),
    Slip(dashboards.variables, "follow", "red", '"refresh": 2', '"refresh": 1'),
    Slip(dashboards.variables, "nothing uses", "use", '=~\\"$instance\\"', '=~\\".*\\"'),
    Slip(dashboards.metrics, "gives threads", "use", "process_thread_count", "threads"),
    Slip(dashboards.metrics, "nobody gives service:", "slo", "ratio_rate6h", "ratio_rate7h"),
    Slip(dashboards.exemplars, "no exemplars", "red", '"exemplar": true', '"exemplar": false'),
    Slip(dashboards.annotations, "releases", "red", "service_version", "service_name"),
    Slip(dashboards.annotations, "alerts", "red", '"name": "Alerts"', '"name": "Other"'),
    Slip(dashboards.links, "no runbook", "red", "BudgetBurnsFast.md", "BudgetBurns.md"),
    Slip(dashboards.links, "no dashboard", "red", "/d/signups-slo", "/d/signups-sla"),
    Slip(dashboards.links, "explores", "red", "%22type%22%3A%22tempo", "%22type%22%3A%22loki"),
]  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS, ids=[f"{one.check.__name__}-{one.says}" for one in SLIPS])
def test_a_slip_in_a_dashboard_is_noticed(services: Services, tmp_path: Path, slip: Slip) -> None:
    spoilt = shutil.copytree(services(SETS["python"]), tmp_path / "service")
    file = spoilt / dashboards.FOLDER / f"{slip.board}.json"
    text = file.read_text()
    assert slip.old in text, "adapt this negative control"
    file.write_text(text.replace(slip.old, slip.new))
    assert any(slip.says in fault for fault in faults(spoilt, slip.check))


# -- languages -------------------------------------------------------------------------------------


@pytest.mark.engine("promtool")
def test_every_promql_can_be_read(service: Path, tmp_path: Path) -> None:
    expressions = [filled(query) for query in asked(service, "prometheus")]
    assert len(expressions) > 50
    assert unreadable_promql(expressions, tmp_path) == ""


@pytest.mark.engine("promtool")
def test_promql_that_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    assert "line:1" in unreadable_promql(["up", "sum by (a (up)"], tmp_path)


@pytest.mark.engine("queries")
@pytest.mark.parametrize(("kind", "language"), [("loki", "logql"), ("tempo", "traceql")])
def test_every_logql_and_traceql_is_well_formed(service: Path, kind: str, language: str) -> None:
    expressions = [filled(query) for query in asked(service, kind)]
    assert expressions or boards(service)[0].answers["logs"] != kind
    wrong = zip(expressions, Queries().errors(language, expressions), strict=True)
    assert [expression for expression, places in wrong if places] == []


@pytest.mark.engine("queries")
@pytest.mark.parametrize(
    ("language", "query"),
    [("logql", '{a="b"} | c=~'), ("traceql", "{ resource.service.name = && status = error }")],
)
def test_logql_and_traceql_that_is_not_well_formed_is_noticed(language: str, query: str) -> None:
    assert Queries().errors(language, [query])[0]


# -- the linter ------------------------------------------------------------------------------------


def linted(file: Path, configuration: Path = LINTER_CONFIGURATION) -> list[str]:
    """Return what dashboard-linter, as strict as it gets, finds in a dashboard."""
    done = subprocess.run(
        [DASHBOARD_LINTER.path, "lint", "--strict", "--config", configuration, file],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return []
    said = done.stdout + done.stderr
    return [line for line in said.splitlines() if re.match(r"\[\x1b.*Dashboard ", line)] or [said]


@pytest.mark.engine("dashboard-linter")
def test_the_linter_finds_nothing(service: Path) -> None:
    assert [said for board in boards(service) for said in linted(board.file)] == []


@pytest.mark.engine("dashboard-linter")
@pytest.mark.parametrize(
    ("says", "old", "new"),
    [
        ("no or invalid units", '"unit": "reqps"', '"unit": "requests"'),
        ("missing title", '"title": "Requests by route"', '"title": ""'),
        ("parse error", "sum by (http_route) (", "sum by (http_route (("),
        ("should use $__rate_interval", "[$__rate_interval]", "[2m]"),
        ("is editable", '"editable": false', '"editable": true'),
    ],
)
def test_the_linter_finds_a_slip(
    services: Services, tmp_path: Path, says: str, old: str, new: str
) -> None:
    text = (services(SETS["python"]) / dashboards.FOLDER / "red.json").read_text()
    assert old in text
    spoilt = tmp_path / "red.json"
    spoilt.write_text(text.replace(old, new))
    assert any(says in found for found in linted(spoilt))


@pytest.mark.engine("dashboard-linter")
def test_every_exclusion_of_the_linter_has_a_reason_and_is_needed(
    services: Services, tmp_path: Path
) -> None:
    exclusions = yaml.safe_load(LINTER_CONFIGURATION.read_text())["exclusions"]
    for rule, entry in exclusions.items():
        assert len(entry["reason"]) > len("not needed"), rule
        rest = {name: one for name, one in exclusions.items() if name != rule}
        configuration = tmp_path / f"{rule}.yaml"
        configuration.write_text(yaml.safe_dump({"exclusions": rest}))
        found = [linted(one.file, configuration) for one in boards(services(SETS["python"]))]
        assert any(found), f"{rule} finds nothing: drop its exclusion"


# -- what the code knows of the rest of a service --------------------------------------------------


def test_the_limits_in_panels_are_those_of_the_pods(service: Path) -> None:
    deployment = yaml.safe_load((service / "deploy/base/deployment.yaml").read_text())
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert float(limits["cpu"]) == use.CPU_LIMIT
    assert limits["memory"] == f"{use.MEMORY_LIMIT // 1024**2}Mi"


def test_the_shortest_step_is_the_export_of_the_service(service: Path) -> None:
    text = (service / "deploy/base/configuration.env").read_text()
    exported = re.search(r"(?m)^OTEL_METRIC_EXPORT_INTERVAL=(\d+)$", text)
    assert exported is not None
    assert int(exported[1]) == dashboards.EXPORT_SECONDS * 1000
    assert GLOBALS["__interval"] == f"{dashboards.EXPORT_SECONDS}s"


def test_each_stack_has_its_runtime() -> None:
    stacks = interview().entries["stack"].choices
    assert set(use.RUNTIMES) == set(RUNTIME) == set(stacks)


def test_panels_for_clusters_say_so(services: Services) -> None:
    board = next(one for one in boards(services(SETS["python"])) if one.kind == "use")
    of_clusters = {query.panel for query in board.queries if query.needs == "cluster"}
    saying = {panel["id"] for panel in board.shown if "Clusters only" in panel["description"]}
    assert of_clusters == saying
    assert saying


# -- what tests and gates read of a dashboard ------------------------------------------------------

NAMES: Mapping[str, set[str]] = {
    "up": {"up"},
    "sum by (a, b) (rate(x_total{c=~\"d|e\", f='g'}[$__rate_interval]))": {"x_total"},
    "x / on (h) group_left (i) y": {"x", "y"},
    "1e3 * a:b:rate5m offset 1w > bool 5e-05 or vector(0) unless c": {"a:b:rate5m", "c"},
    'count_over_time((ALERTS{x="y"} unless ALERTS{x="y"} offset $__range)[30d:1m])': {"ALERTS"},
    'sum({__name__="named", job="${job:regex}"}) + inf': {"named"},
    'label_replace(a, "b", "$1", "c", "(.*)") @ end()': {"a"},
    "a # b\n+ c": {"a", "c"},
}  # fmt: skip


@pytest.mark.parametrize("promql", NAMES)
def test_the_metrics_of_an_expression_are_found(promql: str) -> None:
    assert metric_names(promql) == NAMES[promql]


def test_every_variable_needs_a_value() -> None:
    assert substitute("a${b}[$__range] ${c:regex}", {"b": "1", "c": "2"}) == "a1[1h] 2"
    with pytest.raises(KeyError, match="b"):
        substitute("$b", {})


def test_a_query_is_found_at_its_line() -> None:
    text = json.dumps(
        {
            "panels": [
                {
                    "id": 1,
                    "title": "x",
                    "datasource": {"uid": "$p"},
                    "targets": [{"expr": 'a{b="c"}'}, {"expr": next(iter(CLUSTER))}],
                }
            ],
            "templating": {
                "list": [
                    {"name": "p", "type": "datasource", "query": "prometheus"},
                    {"name": "v", "type": "query", "query": {"query": "label_values(x, y)"},
                     "datasource": {"type": "prometheus"}},
                ]
            },
        },
        indent=1,
    )  # fmt: skip
    found = queries(text)
    assert [(one.place, one.kind, one.needs) for one in found] == [
        ('panel 1 "x"', "prometheus", ""),
        ('panel 1 "x"', "prometheus", "cluster"),
        ("variable v", "prometheus", ""),
    ]
    assert found[2].expression == "x"
    lines = text.splitlines()
    assert all(one.expression.split("{")[0] in lines[one.line - 1] for one in found)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"apiVersion": "v2", "spec": {}}'])
def test_what_is_no_dashboard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|no dashboard in classic form"):
        queries(text)
