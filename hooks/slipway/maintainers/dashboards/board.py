"""A dashboard as rows of panels; what every one of a service's dashboards has in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from slipway.maintainers.dashboards.emitting import OneOf, Within, number, text_of
from slipway.maintainers.dashboards.links import RUNBOOKS
from slipway.maintainers.dashboards.panels import LOGS, PROMETHEUS, TEMPO, Panel
from slipway.maintainers.dashboards.queries import FIRING, SERVICE

WIDTH = 24
# Classic JSON of this version is what Grafana 12 and 13 both provision from files.
SCHEMA = 42
DASHBOARDS = {"red": "Requests", "use": "Resources", "slo": "Objectives", "business": "Business"}


@dataclass(frozen=True)
class Row:
    """Panels under a title, from left to right.

    Attributes:
        id: a multiple of 100; the ids of its panels follow.
        title: what the row says of the service.
        panels: their widths decide where a new line begins.
        below: how high a row is that repeats its only panel, as an expression of answers.

    """

    id: int
    title: str
    panels: Sequence[Panel]
    below: str = ""


@dataclass(frozen=True)
class Board:
    """One dashboard of a service."""

    kind: str
    description: str
    rows: Sequence[Row]
    since: str
    selections: Sequence[str] = ()

    def text(self) -> str:
        """Return the template's text."""
        return text_of({**self._frame(), "panels": self._panels()})

    def _frame(self) -> dict[str, Any]:
        title = f"[[ service_name ]]: {DASHBOARDS[self.kind].lower()}"
        board = (
            sdk.Dashboard(title)
            .uid(f"[[ service_name ]]-{self.kind}")
            .description(self.description)
            .tags(["[[ service_name ]]", "[[ team ]]"])
            .time(self.since, "now")
            .refresh("1m")
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .readonly()
        )
        for variable in (*_sources(), _environment(), *map(_selection, self.selections)):
            board.with_variable(variable)
        for annotation in (_deployments(), _alerts()):
            board.annotation(annotation)
        frame = encoded(board)
        frame["schemaVersion"] = SCHEMA
        frame["links"] = [*_boards(self.kind), encoded(_runbooks())]
        return frame

    def _panels(self) -> list[Any]:
        panels: list[Any] = []
        line, shift = 0, ""
        for row in self.rows:
            panels.append(_row(row, _line(line, shift)))
            line += 1
            column = height = 0
            for index, panel in enumerate(row.panels, start=1):
                if column + panel.width > WIDTH:
                    line, column, height = line + height, 0, 0
                panels.append(_placed(panel, row.id + index, column, line, shift))
                column += panel.width
                height = max(height, panel.height)
            if row.below:
                shift = row.below
            else:
                line += height
        return panels


def encoded(builder: Builder[Any]) -> dict[str, Any]:
    """Return what the SDK makes of a builder, as plain JSON."""
    plain: dict[str, Any] = json.loads(JSONEncoder().encode(builder.build()))
    return plain


def _line(line: int, shift: str) -> float:
    return number(f"{line} + {shift}") if shift else line


def _row(row: Row, line: float) -> dict[str, Any]:
    return {
        "collapsed": False,
        "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": line},
        "id": row.id,
        "panels": [],
        "title": row.title,
        "type": "row",
    }


def _placed(panel: Panel, number_: int, column: int, line: int, shift: str) -> object:
    place: dict[str, float] = {
        "h": panel.height,
        "w": panel.width,
        "x": column,
        "y": _line(line, shift),
    }
    if panel.each:
        across = WIDTH // panel.width
        place["x"] = number(f"loop.index0 % {across} * {panel.width}")
        place["y"] = number(f"{line} + loop.index0 // {across} * {panel.height}")
        shown = {**panel.by_logs[""], "gridPos": place, "id": number(f"{number_} + loop.index0")}
        return Within(f"for {panel.each}", shown)
    placed = {
        logs: {**shown, "gridPos": place, "id": number_} for logs, shown in panel.by_logs.items()
    }
    return placed[""] if "" in placed else OneOf("logs", placed)


# -- variables -------------------------------------------------------------------------------------


def _sources() -> list[sdk.DatasourceVariable]:
    return [
        sdk.DatasourceVariable(name.strip("${}")).label(f"{label} data source").type(kind)
        for name, label, kind in (
            (PROMETHEUS.uid or "", "Prometheus", "prometheus"),
            (LOGS, "[[ logs | capitalize ]]", "[[ logs ]]"),
            (TEMPO.uid or "", "Tempo", "tempo"),
        )
    ]


def _label_values(name: str, label: str, series: str) -> sdk.QueryVariable:
    return (
        sdk.QueryVariable(name)
        .label(name.capitalize())
        .datasource(PROMETHEUS)
        .query(f"label_values({series}, {label})")
        .definition(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _environment() -> sdk.QueryVariable:
    series = 'process_memory_usage_bytes{service_name="[[ service_name ]]"}'
    return _label_values("environment", "deployment_environment_name", series)


# What else a dashboard can be narrowed to: the variable, its label and a series that has it.
_SELECTIONS = {
    "route": ("http_route", "http_server_request_duration_seconds_count"),
    "instance": ("instance", "process_memory_usage_bytes"),
}


def _selection(name: str) -> sdk.QueryVariable:
    label, metric = _SELECTIONS[name]
    variable = _label_values(name, label, f"{metric}{{{SERVICE}}}")
    # Requests that match no route have no such label: `All` must take them too.
    return variable.multi(multi=True).include_all(include_all=True).all_value(".*")


# -- annotations and links -------------------------------------------------------------------------


def _annotation(name: str, expression: str, colour: str) -> sdk.AnnotationQuery:
    query = prometheus.Dataquery().ref_id("A").expr(expression).range().interval("1m")
    return (
        sdk.AnnotationQuery()
        .name(name)
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color(colour)
        .expr(expression)
        .step("1m")
        .target(query)
    )


def _deployments() -> sdk.AnnotationQuery:
    """Mark the minutes in which a version is new."""
    versions = f"group by (service_version) (process_memory_usage_bytes{{{SERVICE}}}{{}})"
    now, before = versions.replace("{}", ""), versions.replace("{}", " offset 2m")
    return (
        _annotation("Deployments", f"{now} unless {before}", "blue")
        .title_format("{{service_version}}")
        .tag_keys("service_version")
    )


def _alerts() -> sdk.AnnotationQuery:
    return (
        _annotation("Alerts", f"group by (alertname, severity) ({FIRING})", "red")
        .title_format("{{alertname}}")
        .tag_keys("severity")
    )


def _boards(kind: str) -> list[Any]:
    links: list[Any] = []
    for other, title in DASHBOARDS.items():
        link = encoded(
            sdk.DashboardLink(title)
            .type(DashboardLinkType.LINK)
            .url(f"/d/[[ service_name ]]-{other}")
            .icon("dashboard")
            .keep_time(keep_time=True)
            .include_vars(include_vars=True)
        )
        if other == "business" and kind != "business":
            links.append(Within("if business_metrics", link))
        elif other != kind:
            links.append(link)
    return links


def _runbooks() -> sdk.DashboardLink:
    return (
        sdk.DashboardLink("Runbooks")
        .type(DashboardLinkType.LINK)
        .url(f"{RUNBOOKS}/README.md")
        .icon("doc")
        .target_blank(target_blank=True)
    )
