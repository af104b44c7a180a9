"""What a good dashboard has: each check returns the faults it sees in one of a service."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from slipway.answers import ANSWERS_FILE
from slipway.dashboards import GLOBALS, Query, panels, queries
from slipway.metrics import known

FOLDER = "observability/dashboards"
LONGEST_UID = 40
GRID = 24
# How Grafana 12 and 13 both read classic JSON.
SCHEMAS = (41, 42)
# What Grafana writes when a person saves: it differs at every save.
OF_A_SAVE = ("id", "version", "iteration", "gnetId")
STORES_OF_LOGS = ("loki", "elasticsearch", "cloudwatch")
# No unit: what is shown is text.
TEXTS = ("logs", "text", "row")
EXPORT_SECONDS = 15
SECONDS = {"s": 1, "m": 60, "h": 3600}
# What stands for the dashboard's own variables when a query runs outside of Grafana.
CHOSEN = {"environment": "local", "route": ".*", "instance": ".*"}


@dataclass
class Board:
    """A dashboard of a rendered service."""

    service: Path
    file: Path

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def json(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.text)
        return read

    @cached_property
    def answers(self) -> Mapping[str, Any]:
        read: dict[str, Any] = yaml.safe_load((self.service / ANSWERS_FILE).read_text())
        return read

    @property
    def kind(self) -> str:
        return self.file.stem

    @property
    def panels(self) -> list[dict[str, Any]]:
        return list(panels(self.json))

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The panels that are not the titles of rows."""
        return [panel for panel in self.panels if panel["type"] != "row"]

    @property
    def queries(self) -> list[Query]:
        return queries(self.text)

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.json["templating"]["list"]}


Check = Callable[[Board], Iterator[str]]


def boards(service: Path) -> list[Board]:
    """Return the dashboards of a rendered service."""
    return [Board(service, file) for file in sorted((service / FOLDER).glob("*.json"))]


def faults(service: Path, check: Check) -> list[str]:
    """Return what a check sees in any dashboard of a service."""
    return [f"{board.file.name}: {fault}" for board in boards(service) for fault in check(board)]


def form(board: Board) -> Iterator[str]:
    """Classic JSON that does not change by itself, under a uid that a link can name."""
    uid = board.json["uid"]
    if uid != f"{board.answers['service_name']}-{board.kind}" or len(uid) > LONGEST_UID:
        yield f"uid {uid}"
    if board.json["schemaVersion"] not in SCHEMAS:
        yield f"schema {board.json['schemaVersion']}"
    if board.json.get("editable") is not False:
        yield "can be edited though the next start undoes it"
    yield from (f"has {name}" for name in OF_A_SAVE if name in board.json)
    if board.text != json.dumps(board.json, indent=2, sort_keys=True, ensure_ascii=False) + "\n":
        yield "keys are not sorted, or it is not laid out by two blanks"


def ids(board: Board) -> Iterator[str]:
    """Every panel has an id of its own, in the hundred of its row."""
    numbers = [panel.get("id") for panel in board.panels]
    yield from (f"id {one} twice" for one in set(numbers) if numbers.count(one) > 1)
    row = 0
    for panel in board.panels:
        if panel["type"] == "row":
            row = panel["id"]
            if row % 100:
                yield f"row {row} is no multiple of 100"
        elif not row < (panel.get("id") or 0) < row + 100:
            yield f"panel {panel.get('id')} stands in row {row}"


def grid(board: Board) -> Iterator[str]:
    """Panels lie side by side, within the width, below their row."""
    places = [(panel["id"], panel["gridPos"]) for panel in board.panels]
    for one, place in places:
        if place["x"] < 0 or place["w"] < 1 or place["x"] + place["w"] > GRID:
            yield f"panel {one} leaves the grid"
    for (one, a), (two, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        if not beside and not above:
            yield f"panels {one} and {two} overlap"
    order = [(place["y"], place["x"]) for _, place in places]
    if order != sorted(order):
        yield "panels do not stand in the order in which they are seen"


def words(board: Board) -> Iterator[str]:
    """Every panel says what it shows, in which unit, and what that means."""
    for panel in board.shown:
        if not panel.get("title") or len(panel.get("description", "")) < len("Requests a second."):
            yield f"panel {panel['id']} has no title or no description"
        unit = panel["fieldConfig"]["defaults"].get("unit")
        if not unit and panel["type"] not in TEXTS:
            yield f"panel {panel['id']} has no unit"
        if "legendFormat" not in json.dumps(panel) and panel["type"] == "timeseries":
            kinds = {target["datasource"]["type"] for target in panel["targets"]}
            if kinds <= {"prometheus", "loki"}:
                yield f"panel {panel['id']} has no legend"


def steps(board: Board) -> Iterator[str]:
    """A rate has a literal minimum step that is no shorter than the service's export."""
    for query in board.queries:
        if query.panel and "$__rate_interval" in query.expression:
            found = re.fullmatch(r"(\d+)([smh])", query.minimum_step)
            if not found or int(found[1]) * SECONDS[found[2]] < EXPORT_SECONDS:
                yield f"{query.place}: minimum step {query.minimum_step!r}"


def sources(board: Board) -> Iterator[str]:
    """Each query goes to a data source that a variable names; only the chosen store of logs."""
    logs = board.answers["logs"]
    allowed = {"prometheus", "tempo", logs}
    for panel in board.shown:
        for one in [panel, *panel["targets"]]:
            source = one["datasource"]
            name = source["uid"].strip("${}")
            variable = board.variables.get(name, {})
            if source["uid"] != f"${{{name}}}" or variable.get("type") != "datasource":
                yield f"panel {panel['id']} asks {source['uid']}, which no variable names"
            elif variable["query"] != source["type"] or source["type"] not in allowed:
                yield f"panel {panel['id']} asks {source['type']}"
    for other in set(STORES_OF_LOGS) - {logs}:
        if other in board.text:
            yield f"speaks of {other}"
    if {query.kind for query in board.queries} - allowed:
        yield f"asks {sorted({query.kind for query in board.queries} - allowed)}"


def variables(board: Board) -> Iterator[str]:
    """Every variable that a query names is there and follows the time; none is idle."""
    given = {**GLOBALS, **board.variables}
    text = json.dumps({name: board.json[name] for name in ("panels", "annotations")})
    for query in board.queries:
        for name in re.findall(r"\$\{?(\w+)", query.expression):
            if name not in given:
                yield f"{query.place}: no variable {name}"
    for name, variable in board.variables.items():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"variable {name} does not follow the time that is shown"
        if not re.search(rf"\${{?{name}\b", text) and not name.endswith("_datasource"):
            yield f"nothing uses variable {name}"
    if "environment" not in board.variables:
        yield "no choice of the environment"


def metrics(board: Board) -> Iterator[str]:
    """No query names a metric that nobody gives."""
    rules = [file.read_text() for file in sorted((board.service / "observability/rules").glob("*"))
             if file.is_file()]  # fmt: skip
    there = known(board.answers["stack"], board.answers["business_metrics"], rules)
    for query in board.queries:
        for name in sorted(query.metrics - there):
            yield f"{query.place} (line {query.line}): nobody gives {name}"


def exemplars(board: Board) -> Iterator[str]:
    """Curves of durations show single requests, which lead to their traces."""
    for query in board.queries:
        of_durations = "duration_seconds_bucket" in query.expression and not query.instant
        if of_durations and not query.exemplars:
            yield f"{query.place}: no exemplars"


def annotations(board: Board) -> Iterator[str]:
    """Releases and alerts are marked on every curve."""
    marked = {one["name"]: one for one in board.json["annotations"]["list"]}
    if "service_version" not in marked.get("Deployments", {}).get("expr", ""):
        yield "releases are not marked"
    if "ALERTS{" not in marked.get("Alerts", {}).get("expr", ""):
        yield "alerts are not marked"


def links(board: Board) -> Iterator[str]:
    """Links lead to runbooks that exist, to explorations that can be read, to other dashboards."""
    there = {f"/d/{json.loads(other.text)['uid']}" for other in boards(board.service)}
    for place, link in _links(board):
        address = urlsplit(link["url"])
        if address.path == "/explore":
            pane = json.loads(parse_qs(address.query)["panes"][0])["a"]
            source = pane["queries"][0]["datasource"]
            if (
                board.variables.get(pane["datasource"].strip("${}"), {}).get("query")
                != source["type"]
            ):
                yield f"{place}: explores {pane['datasource']} of type {source['type']}"
        elif not address.netloc:
            if link["url"] not in there:
                yield f"{place}: no dashboard {link['url']}"
        else:
            runbook = board.service / "runbooks" / address.path.rpartition("/")[2]
            start = f"{board.answers['repository_url']}/"
            if not link["url"].startswith(start) or not runbook.is_file():
                yield f"{place}: no runbook {link['url']}"


def _links(board: Board) -> Iterator[tuple[str, dict[str, Any]]]:
    for link in board.json["links"]:
        yield "dashboard", link
    for panel in board.shown:
        for link in panel.get("links", []):
            yield f"panel {panel['id']}", link


CHECKS: list[Check] = [
    form,
    ids,
    grid,
    words,
    steps,
    sources,
    variables,
    metrics,
    exemplars,
    annotations,
    links,
]
