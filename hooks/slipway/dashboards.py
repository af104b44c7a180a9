"""What a dashboard asks of its data sources: every query of panels, variables and annotations.

Reads classic JSON, as Grafana provisions it from files. It needs nothing but the standard library,
so that gates can use it on a service's own dashboards too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.metrics import CLUSTER

# What a data source's query is written in, by the type of the data source.
LANGUAGES: Mapping[str, str] = {
    "prometheus": "PromQL",
    "loki": "LogQL",
    "tempo": "TraceQL",
    "elasticsearch": "Lucene",
    "cloudwatch": "Logs Insights",
}
# Where each of them keeps its expression.
_EXPRESSIONS = {
    "prometheus": "expr",
    "loki": "expr",
    "tempo": "query",
    "elasticsearch": "query",
    "cloudwatch": "expression",
}
_LABEL_VALUES = re.compile(
    r"\s*label_values\(\s*(?:(?P<selector>.*)\s*,)?\s*(?P<label>\w+)\s*\)\s*"
)

# What stands for Grafana's own variables when a query runs outside of it.
GLOBALS: Mapping[str, str] = {
    "__rate_interval": "1m",
    "__auto": "1m",
    "__interval": "15s",
    "__interval_ms": "15000",
    "__range": "1h",
    "__range_s": "3600",
    "__range_ms": "3600000",
}


@dataclass(frozen=True)
class Query:
    """One question to a data source.

    Attributes:
        place: where it stands, such as `panel 101 "Requests"` or `variable environment`.
        kind: the data source's type: prometheus, loki, tempo, elasticsearch or cloudwatch.
        expression: the query with its variables; of `label_values(x, y)` only `x`.
        line: the line of the file, from 1.
        instant: whether one moment is asked for, not a range.
        exemplars: whether exemplars are asked for too.
        minimum_step: the panel's literal minimum interval, such as `15s`, or nothing.
        panel: the panel's id, or 0 for variables and annotations.

    """

    place: str
    kind: str
    expression: str
    line: int
    instant: bool = False
    exemplars: bool = False
    minimum_step: str = ""
    panel: int = 0

    @property
    def metrics(self) -> frozenset[str]:
        """Return the metrics that it names; none unless it is PromQL."""
        return metric_names(self.expression) if self.kind == "prometheus" else frozenset()

    @property
    def needs(self) -> str:
        """Return what must be there besides traffic for it to have data.

        `cluster`: cAdvisor or kube-state-metrics; `alerts`: an alert that fires; else nothing.
        """
        if self.metrics & CLUSTER:
            return "cluster"
        return "alerts" if "ALERTS" in self.metrics else ""


def queries(text: str) -> list[Query]:
    """Return every query of a dashboard.

    Args:
        text: the file's content.

    Raises:
        ValueError: the text is no JSON, or no dashboard in classic form.

    """
    dashboard = json.loads(text)
    if not isinstance(dashboard, dict) or not isinstance(dashboard.get("panels"), list):
        raise ValueError("no dashboard in classic form: it has no list of panels")  # noqa: TRY004
    return list(_Reader(text, dashboard).queries())


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel, those of collapsed rows and the rows themselves included."""
    for panel in dashboard.get("panels") or []:
        yield panel
        yield from panel.get("panels") or []


class _Reader:
    def __init__(self, text: str, dashboard: Mapping[str, Any]) -> None:
        self._text = text
        self._dashboard = dashboard
        self._variables: list[dict[str, Any]] = (dashboard.get("templating") or {}).get(
            "list"
        ) or []
        self._from = 0

    def queries(self) -> Iterator[Query]:
        for annotation in (self._dashboard.get("annotations") or {}).get("list") or []:
            target = {**(annotation.get("target") or {}), **annotation}
            place = f"annotation {annotation.get('name')}"
            if found := self._query(place, target, annotation.get("datasource")):
                yield found
        for panel in panels(self._dashboard):
            place = f'panel {panel.get("id")} "{panel.get("title", "")}"'
            for target in panel.get("targets") or []:
                source = target.get("datasource") or panel.get("datasource")
                if found := self._query(place, target, source, panel):
                    yield found
        for variable in self._variables:
            if variable.get("type") == "query":
                yield from self._variable(variable)

    def _variable(self, variable: Mapping[str, Any]) -> Iterator[Query]:
        asked = variable.get("query")
        text = asked.get("query", "") if isinstance(asked, Mapping) else str(asked)
        values = _LABEL_VALUES.fullmatch(text)
        expression = (values["selector"] or "") if values else text
        if expression:
            yield Query(
                place=f"variable {variable.get('name')}",
                kind=self._kind(variable.get("datasource")),
                expression=expression,
                line=self._line(text),
                instant=True,
            )

    def _query(
        self,
        place: str,
        target: Mapping[str, Any],
        source: object,
        panel: Mapping[str, Any] | None = None,
    ) -> Query | None:
        kind = self._kind(source)
        expression = target.get(_EXPRESSIONS.get(kind, "expr"))
        if not isinstance(expression, str) or not expression:
            return None
        return Query(
            place=place,
            kind=kind,
            expression=expression,
            line=self._line(expression),
            instant=bool(target.get("instant")) and not target.get("range"),
            exemplars=bool(target.get("exemplar")),
            minimum_step=str(target.get("interval") or (panel or {}).get("interval") or ""),
            panel=int((panel or {}).get("id") or 0),
        )

    def _kind(self, source: object) -> str:
        """Return a data source's type: its own, or that of the variable it names."""
        if isinstance(source, Mapping):
            if source.get("type"):
                return str(source["type"])
            source = source.get("uid")
        name = str(source or "").strip("${}")
        for variable in self._variables:
            if variable.get("name") == name and variable.get("type") == "datasource":
                return str(variable.get("query"))
        return name

    def _line(self, expression: str) -> int:
        for encoded in (json.dumps(expression, ensure_ascii=False), json.dumps(expression)):
            place = self._text.find(encoded, self._from)
            if place < 0:
                place = self._text.find(encoded)
            if place >= 0:
                self._from = place + 1
                return self._text.count("\n", 0, place) + 1
        return 1


# -- expressions -----------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """Put values in the place of Grafana's variables.

    Args:
        expression: a query of any kind.
        values: the variables by name; they win over `GLOBALS`.

    Raises:
        KeyError: a variable has no value.

    """
    known = {**GLOBALS, **values}
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], expression)


_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`")
_BRACES = re.compile(r"\{[^{}]*\}")
_NAMED = re.compile(r"__name__\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)")
_LABELS = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE
)
_RANGE = re.compile(r"\[[^\[\]]*\]")
_NAME = re.compile(r"(?<![\w:.])([A-Za-z_:][\w:]*)(?!\s*\(|[\w:])")
_KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = frozenset({*_KEYWORDS, "offset", "bool", "atan2", "inf", "nan"})


def metric_names(promql: str) -> frozenset[str]:
    """Return the metrics that a PromQL expression names.

    Grafana's variables may stand in it. A metric that is chosen by a pattern is not named.
    """
    promql = re.sub(r"(?m)#.*$", "", promql) if '"' not in promql else promql
    named = {found[1][1:-1] for found in _NAMED.finditer(promql)}
    bare = _STRING.sub("", promql)
    bare = _LABELS.sub(" ", _RANGE.sub(" ", _BRACES.sub(" ", bare)))
    bare = re.sub(r"\boffset\s+-?[\w$]+", " ", _VARIABLE.sub(" ", bare))
    found = {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}
    return frozenset(named | found)
