"""The kinds of panels, each with what none of them may lack: title, description, unit, links."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    cloudwatch,
    common,
    elasticsearch,
    heatmap,
    loki,
    prometheus,
    stat,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.builders import logs as logs_panel
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.cloudwatch import QueryMode
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from slipway.maintainers.dashboards.links import INSIGHTS, LOG_GROUP, LOGQL, LUCENE

LOGS = "${[[ logs ]]_datasource}"
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
TEMPO = DataSourceRef(type_val="tempo", uid="${tempo_datasource}")

# The service exports every 15 s: a shorter step, and $__rate_interval with it, finds no second
# sample.
EXPORT_INTERVAL = "15s"
# Recording rules have one sample a minute.
RULE_INTERVAL = "1m"

GREEN, ORANGE, RED = "green", "orange", "red"


_Builder = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel | logs_panel.Panel


@dataclass(frozen=True)
class Panel:
    """A panel before it has its place.

    Attributes:
        width: columns, of 24.
        height: lines of the grid.
        by_logs: its JSON by the answer `logs`; by the empty text when that makes no difference.
        each: the loop that repeats it, such as `name in names`.

    """

    width: int
    height: int
    by_logs: Mapping[str, dict[str, Any]]
    each: str = ""

    def for_each(self, loop: str) -> Panel:
        """Return the panel repeated."""
        return replace(self, each=loop)


@dataclass(frozen=True)
class Ask:
    """One PromQL query and the name of what it gives."""

    expression: str
    legend: str = "__auto"


def graph(
    title: str,
    description: str,
    unit: str,
    *asks: Ask,
    width: int = 8,
    height: int = 8,
    step: str = EXPORT_INTERVAL,
    lines: Sequence[tuple[float | None, str]] = (),
    links: Sequence[DashboardLink] = (),
    least: float | None = 0,
    most: float | None = None,
) -> Panel:
    """Return curves over time.

    Args:
        title: what is seen.
        description: what it means, and what to do about it.
        unit: one of Grafana's.
        asks: the queries.
        width: columns, of 24.
        height: lines of the grid.
        step: the shortest distance between two points.
        lines: horizontal lines, as value and colour, from low to high.
        links: where the panel leads.
        least: the value at the lower end, when it is known.
        most: likewise at the upper end.

    """
    panel = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .fill_opacity(10)
        .show_points(VisibilityMode.AUTO)
        .thresholds(_steps([(None, GREEN), *lines]))
        .interval(step)
    )
    if lines:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    _common(panel, title, description, unit, links)
    for target in _targets(asks, exemplars=True):
        panel.with_target(target)
    return _panel(panel, width, height)


def figure(
    title: str,
    description: str,
    unit: str,
    ask: str,
    *,
    width: int = 4,
    step: str = EXPORT_INTERVAL,
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),),
    decimals: int | None = None,
    links: Sequence[DashboardLink] = (),
) -> Panel:
    """Return one number, as it is now; `steps` are values from which on it has a colour."""
    panel = (
        stat.Panel()
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(steps))
        .interval(step)
    )
    if decimals is not None:
        panel.decimals(decimals)
    _common(panel, title, description, unit, links)
    panel.with_target(prometheus.Dataquery().datasource(PROMETHEUS).ref_id("A").expr(ask).instant())
    return _panel(panel, width, 4)


def distribution(
    title: str,
    description: str,
    unit: str,
    ask: str,
    *,
    width: int = 8,
    links: Sequence[DashboardLink] = (),
) -> Panel:
    """Return a histogram over time, from a query of buckets by `le`."""
    panel = (
        heatmap.Panel()
        .calculate(calculate=False)
        .color(
            heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .interval(EXPORT_INTERVAL)
    )
    _common(panel, title, description, unit, links)
    panel.with_target(
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .ref_id("A")
        .expr(ask)
        .format(PromQueryFormat.HEATMAP)
        .legend_format("{{le}}")
        .range()
        .exemplar(exemplar=True)
    )
    return _panel(panel, width, 8)


def listing(
    title: str,
    description: str,
    columns: Mapping[str, tuple[str, str]],
    *asks: str,
    width: int = 12,
    height: int = 8,
    by: str = "",
    links: Sequence[DashboardLink] = (),
) -> Panel:
    """Return a table of what queries say now.

    Args:
        title: what is seen.
        description: what it means, and what to do about it.
        columns: the label, or `Value #A` of the first query, with its heading and unit.
        asks: the queries.
        width: columns, of 24.
        height: lines of the grid.
        by: the label that joins the rows of several queries.
        links: where the panel leads.

    """
    panel = table.Panel().interval(RULE_INTERVAL).filterable(filterable=True)
    first_unit = next((unit for _, unit in columns.values() if unit != "string"), "short")
    _common(panel, title, description, first_unit, links)
    for target in _targets([Ask(ask) for ask in asks], exemplars=False):
        panel.with_target(target.instant().format(PromQueryFormat.TABLE))
    if by:
        panel.with_transformation(
            DataTransformerConfig(id_val="joinByField", options={"byField": by, "mode": "outer"})
        )
    panel.with_transformation(
        DataTransformerConfig(
            id_val="filterFieldsByName", options={"include": {"names": list(columns)}}
        )
    )
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {name: index for index, name in enumerate(columns)},
                "renameByName": {name: heading for name, (heading, _) in columns.items()},
            },
        )
    )
    for heading, unit in columns.values():
        panel.override_by_name(heading, [DynamicConfigValue(id_val="unit", value=unit)])
    return _panel(panel, width, height)


def log_volume(title: str, description: str, *, width: int = 12) -> Panel:
    """Return the number of log records over time, by severity."""
    volume = f"sum by (severity_text) (count_over_time({LOGQL} [$__auto]))"
    by_severity = f"{INSIGHTS} | stats count(*) as records by severityText, bin(1m)"
    asks: dict[str, Builder[Any]] = {
        "loki": loki.Dataquery()
        .expr(volume)
        .query_type("range")
        .legend_format("{{severity_text}}"),
        "elasticsearch": elasticsearch.Dataquery()
        .query(LUCENE)
        .time_field("@timestamp")
        .alias("{{severity_text}}")
        .metrics([elasticsearch.Count().id("1")])
        .bucket_aggs(
            [
                elasticsearch.Terms().id("2").field("severity_text"),
                elasticsearch.DateHistogram().id("3").field("@timestamp"),
            ]
        ),
        "cloudwatch": _insights(by_severity).stats_groups(["severityText", "bin(1m)"]),
    }
    return _by_logs(timeseries.Panel, title, description, asks, width)


def log_records(title: str, description: str, *, width: int = 12) -> Panel:
    """Return the log's records of errors and warnings."""
    asks: dict[str, Builder[Any]] = {
        "loki": loki.Dataquery()
        .expr(f'{LOGQL} | severity_text=~"error|warn"')
        .query_type("range")
        .max_lines(200),
        "elasticsearch": elasticsearch.Dataquery()
        .query(f"{LUCENE} AND severity_text:(error OR warn)")
        .time_field("@timestamp")
        .metrics([elasticsearch.Logs().id("1")])
        .bucket_aggs([]),
        "cloudwatch": _insights(
            f'{INSIGHTS} | filter severityText in ["error", "warn"] '
            "| sort @timestamp desc | limit 200"
        ),
    }
    return _by_logs(logs_panel.Panel, title, description, asks, width)


def traces(title: str, description: str, query: str, *, width: int = 12) -> Panel:
    """Return the traces that a TraceQL query finds."""
    panel = table.Panel().filterable(filterable=True)
    _common(panel, title, description, "short", [], source=TEMPO)
    panel.with_target(
        tempo.Dataquery()
        .datasource(TEMPO)
        .ref_id("A")
        .query_type("traceql")
        .query(query)
        .limit(20)
        .table_type(SearchTableType.TRACES)
    )
    return _panel(panel, width, 8)


# -- parts -----------------------------------------------------------------------------------------


def _common(
    panel: _Builder,
    title: str,
    description: str,
    unit: str,
    links: Sequence[DashboardLink],
    source: DataSourceRef = PROMETHEUS,
) -> None:
    panel.title(title).description(description).unit(unit).datasource(source)
    if links:
        panel.links(list(links))


def _targets(asks: Sequence[Ask], *, exemplars: bool) -> list[prometheus.Dataquery]:
    targets = []
    for letter, ask in zip(ascii_uppercase, asks, strict=False):
        target = prometheus.Dataquery().datasource(PROMETHEUS).ref_id(letter).expr(ask.expression)
        if exemplars:
            target.range().legend_format(ask.legend)
            if "_bucket{" in ask.expression:
                target.exemplar(exemplar=True)
        targets.append(target)
    return targets


def _steps(steps: Sequence[tuple[float | None, str]]) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )


def _insights(expression: str) -> cloudwatch.LogsQuery:
    return (
        cloudwatch.LogsQuery()
        .query_mode(QueryMode.LOGS)
        .id("a")
        .region("default")
        .log_group_names([LOG_GROUP])
        .expression(expression)
    )


def _by_logs(
    kind: type[timeseries.Panel] | type[logs_panel.Panel],
    title: str,
    description: str,
    asks: Mapping[str, Any],
    width: int,
) -> Panel:
    shown = {}
    for logs, ask in asks.items():
        source = DataSourceRef(type_val=logs, uid=f"${{{logs}_datasource}}")
        panel = kind().with_target(ask.ref_id("A").datasource(source))
        if isinstance(panel, logs_panel.Panel):
            panel.sort_order(LogsSortOrder.DESCENDING).show_time(show_time=True)
            panel.enable_log_details(enable_log_details=True).wrap_log_message(
                wrap_log_message=True
            )
        _common(panel, title, description, "short", [], source=source)
        shown[logs] = _plain(panel)
    return Panel(width, 8, shown)


def _panel(panel: Builder[Any], width: int, height: int) -> Panel:
    return Panel(width, height, {"": _plain(panel)})


def _plain(panel: Builder[Any]) -> dict[str, Any]:
    """Return what the SDK makes of it; its place on the grid is not the SDK's."""
    plain: dict[str, Any] = json.loads(JSONEncoder().encode(panel.build()))
    plain.pop("gridPos", None)
    return plain
