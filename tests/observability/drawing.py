"""Draws a dashboard from what a running Prometheus and Loki answer to its own queries.

It is no Grafana: it takes a dashboard's panels, places and queries and draws curves, numbers and
tables, so that docs/ can show what a real run looked like. What has no data says why.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

import httpx
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from slipway.dashboards import Query, queries, substitute

from tests.observability.dashboards import FOLDER, SECONDS

LARGEST_BYTES = 300_000
WIDTH = 16.0  # inches
LINE = 0.32  # inches of one line of Grafana's grid
GRID = 24
POINTS = 120
MOST_CURVES = 8
MOST_ROWS = 8
COLOURS = ("#3274d9", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#0a8f8f", "#8f6a0a", "#6e6e6e")
THRESHOLDS = {"green": "#37872d", "orange": "#e0752d", "red": "#c4162a"}
INK, FAINT, PAPER, FRAME = "#24292f", "#6e7781", "#ffffff", "#d0d7de"
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7,
    "svg.fonttype": "none",
    # The same picture gives the same bytes.
    "svg.hashsalt": "gallery",
    "path.simplify": True,
}
WITHOUT_DATA = {
    "cluster": "has data in a cluster",
    "alerts": "no alert has fired",
    "": "nothing of this kind in this run",
}


@dataclass(frozen=True)
class Curve:
    """What a data source answers: points of a series, or lines of a log.

    Attributes:
        labels: of the series.
        times: seconds since 1970.
        values: as many.
        lines: of a log, newest first, instead of values.

    """

    labels: Mapping[str, str]
    times: Sequence[float] = ()
    values: Sequence[float] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Window:
    """The time that is shown, in seconds."""

    start: float
    end: float

    @property
    def step(self) -> float:
        return max(1.0, (self.end - self.start) / POINTS)


# A query with its variables filled in, and the time; an instant query is asked at its end.
Source = Callable[[Query, Window], list[Curve]]


def draw(
    dashboard: str,
    source: Source,
    path: Path,
    *,
    window: Window,
    chosen: Mapping[str, str],
) -> Path:
    """Draw a dashboard as SVG.

    Args:
        dashboard: the text of a rendered dashboard.
        source: answers its queries.
        path: the file to write.
        window: the time to show.
        chosen: the values of its variables: environment, route, instance.

    Returns:
        `path`.

    """
    board = json.loads(dashboard)
    of_panels: dict[int, list[Query]] = {}
    for query in queries(dashboard):
        of_panels.setdefault(query.panel, []).append(query)
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) + 2
    height = lines * LINE
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), facecolor="#f4f5f5")
        figure.text(
            0.006, 1 - 1.2 * LINE / height, board["title"], size=12, weight="bold", color=INK
        )
        for panel in board["panels"]:
            place = _Place(panel["gridPos"], lines, height)
            if panel["type"] == "row":
                figure.text(0.006, place.bottom + 0.3 * LINE / height, panel["title"], size=9,
                            weight="bold", color=INK)  # fmt: skip
                continue
            asked = [
                replace(one, expression=_filled(one, chosen, window))
                for one in of_panels.get(panel["id"], [])
            ]
            answers = [source(one, window) for one in asked if one.kind in ("prometheus", "loki")]
            _panel(place.axes(figure), panel, asked, answers, window)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path


def gallery(
    service: Path,
    source: Source,
    folder: Path,
    *,
    window: Window,
    chosen: Mapping[str, str],
) -> list[Path]:
    """Draw every dashboard of a rendered service; return the files."""
    return [
        draw(
            file.read_text(encoding="utf-8"),
            source,
            folder / f"{file.stem}.svg",
            window=window,
            chosen=chosen,
        )
        for file in sorted((service / FOLDER).glob("*.json"))
    ]


def over_http(prometheus: str, loki: str) -> Source:
    """Return a source that asks a Prometheus and a Loki at their addresses."""

    def ask(query: Query, window: Window) -> list[Curve]:
        if query.kind == "loki":
            answer = httpx.get(
                f"{loki}/loki/api/v1/query_range",
                params={
                    "query": query.expression,
                    "start": int(window.start * 1e9),
                    "end": int(window.end * 1e9),
                    "step": f"{window.step:.0f}s",
                },
                timeout=30,
                trust_env=False,
            )
        else:
            moment = query.instant
            answer = httpx.get(
                f"{prometheus}/api/v1/{'query' if moment else 'query_range'}",
                params={
                    "query": query.expression,
                    **(
                        {"time": window.end}
                        if moment
                        else {"start": window.start, "end": window.end, "step": window.step}
                    ),
                },
                timeout=30,
                trust_env=False,
            )
        answer.raise_for_status()
        return [_curve(one) for one in answer.json()["data"]["result"]]

    return ask


# -- what is asked ---------------------------------------------------------------------------------


def _curve(result: Mapping[str, Any]) -> Curve:
    if "stream" in result:
        return Curve(result["stream"], lines=[line for _, line in result["values"]])
    points = result["values"] if "values" in result else [result["value"]]
    return Curve(
        result["metric"], [float(t) for t, _ in points], [float(value) for _, value in points]
    )


def _filled(query: Query, chosen: Mapping[str, str], window: Window) -> str:
    """Return the expression as Grafana would send it."""
    length = f"{max(60, round(window.end - window.start))}s"
    found = re.fullmatch(r"(\d+)([smh])", query.minimum_step or "15s")
    least = int(found[1]) * SECONDS[found[2]] if found else 15
    rate = f"{round(max(window.step + least, 4 * least))}s"
    own = {"__rate_interval": rate, "__range": length, "__auto": f"{round(window.step) + 15}s"}
    return substitute(query.expression, {**own, **chosen})


# -- how it is drawn -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a panel lies, in parts of the picture."""

    grid: Mapping[str, int]
    lines: int
    height: float

    @property
    def bottom(self) -> float:
        # Two lines of the picture are the title's.
        return 1 - (self.grid["y"] + self.grid["h"] + 2) / self.lines

    def axes(self, figure: Figure) -> Axes:
        gap_x, gap_y = 0.05 / WIDTH, 0.05 / self.height
        left, width = self.grid["x"] / GRID + gap_x, self.grid["w"] / GRID - 2 * gap_x
        height = self.grid["h"] / self.lines - 2 * gap_y
        frame = figure.add_axes((left, self.bottom + gap_y, width, height), facecolor=PAPER)
        frame.set_xticks([])
        frame.set_yticks([])
        for side in frame.spines.values():
            side.set_color(FRAME)
        return frame


def _panel(
    frame: Axes,
    panel: Mapping[str, Any],
    asked: Sequence[Query],
    answers: Sequence[list[Curve]],
    window: Window,
) -> None:
    height = frame.get_position().height * frame.figure.get_size_inches()[1]  # type: ignore[union-attr]
    frame.text(0.015, 1 - 0.17 / height, panel["title"], transform=frame.transAxes, weight="bold",
               color=INK, size=8)  # fmt: skip
    curves = [
        _named(curve, target)
        for target, found in zip(panel["targets"], answers, strict=False)
        for curve in found
    ]
    kind = panel["type"]
    if not answers:
        store = asked[0].kind.capitalize() if asked else "Another store"
        _note(frame, [f"{store} is asked:", *wrap(asked[0].expression if asked else "", 70)])
    elif not any(curve.lines or any(map(math.isfinite, curve.values)) for _, curve in curves):
        needs = next((query.needs for query in asked if query.needs), "")
        _note(frame, [WITHOUT_DATA[needs]])
    elif kind == "stat":
        _number(frame, panel, curves[0][1])
    elif kind == "table":
        _rows(frame, panel, answers)
    elif kind == "logs":
        _log(frame, [line for _, curve in curves for line in curve.lines])
    elif kind == "heatmap":
        _heat(_inset(frame, 0.06), [curve for _, curve in curves], window)
    else:
        _curves(_inset(frame, 0.2), panel, curves, window)


def _named(curve: Curve, target: Mapping[str, Any]) -> tuple[str, Curve]:
    form = target.get("legendFormat", "")
    name = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: curve.labels.get(found[1], ""), form)
    if form == "__auto" or not name.strip():
        name = ", ".join(value for value in curve.labels.values()) or "none"
    return shorten(name, 36, placeholder="…"), curve


def _inset(frame: Axes, below: float) -> Axes:
    """Return the field of curves in a panel, with room for the title and the legend."""
    inset = frame.inset_axes((0.09, below + 0.08, 0.89, 0.72 - below))
    inset.tick_params(colors=FAINT, labelsize=6, length=2)
    for name, side in inset.spines.items():
        side.set_visible(name in ("left", "bottom"))
        side.set_color(FRAME)
    return inset


def _time_axis(inset: Axes, window: Window) -> None:
    seconds = window.end - window.start
    inset.set_xlim(window.start, window.end)
    marks = [0.0, 0.25, 0.5, 0.75, 1.0]
    inset.set_xticks([window.start + part * seconds for part in marks])
    inset.set_xticklabels([f"-{shown('s', (1 - part) * seconds)}" if part < 1 else "now"
                           for part in marks])  # fmt: skip


def _curves(
    inset: Axes, panel: Mapping[str, Any], curves: Sequence[tuple[str, Curve]], window: Window
) -> None:
    finite = [one for one in curves if any(map(math.isfinite, one[1].values))]
    # Which curves are left out when there are many depends on their heights, their colours do not.
    high = sorted(finite, key=lambda one: -_peak(one[1]))[:MOST_CURVES]
    largest = [one for one in finite if one in high]
    for (name, curve), colour in zip(largest, COLOURS, strict=False):
        values = [value if math.isfinite(value) else math.nan for value in curve.values]
        single = {"marker": "o", "markersize": 2} if len(values) == 1 else {}
        inset.plot(curve.times, values, color=colour, linewidth=1, label=name, **single)  # type: ignore[arg-type]
    defaults = panel["fieldConfig"]["defaults"]
    top = max((_peak(curve) for _, curve in largest), default=0.0) or 1.0
    steps = defaults.get("thresholds", {}).get("steps", [])
    lines = [step for step in steps if step["value"] is not None]
    if defaults.get("custom", {}).get("thresholdsStyle"):
        for step in lines:
            if step["value"] <= top * 4:
                top = max(top, step["value"])
                inset.axhline(step["value"], color=THRESHOLDS[step["color"]], linestyle="--",
                              linewidth=0.8)  # fmt: skip
    low = min((value for _, curve in largest for value in curve.values if math.isfinite(value)),
              default=0.0)  # fmt: skip
    inset.set_ylim(min(0.0, low * 1.1), top * 1.1)
    ticks = [0, top / 2, top]
    inset.set_yticks(ticks)
    inset.set_yticklabels([shown(defaults["unit"], tick) for tick in ticks])
    inset.grid(visible=True, axis="y", color="#eaeef2", linewidth=0.6)
    _time_axis(inset, window)
    inset.legend(loc="upper left", bbox_to_anchor=(-0.08, -0.14), ncols=4, fontsize=6,
                 frameon=False, handlelength=1, columnspacing=1, labelcolor=FAINT)  # fmt: skip


def _peak(curve: Curve) -> float:
    return max((value for value in curve.values if math.isfinite(value)), default=0.0)


def _heat(inset: Axes, curves: Sequence[Curve], window: Window) -> None:
    """Draw buckets as squares: the more requests, the darker."""
    ordered = sorted(curves, key=lambda curve: float(curve.labels["le"]))
    below: dict[float, float] = {}
    cells: list[tuple[float, int, float]] = []
    for row, curve in enumerate(ordered):
        for time, value in zip(curve.times, curve.values, strict=True):
            cells.append((time, row, value - below.get(time, 0.0)))
            below[time] = value
    most = max((count for _, _, count in cells), default=0.0) or 1.0
    some = [cell for cell in cells if cell[2] > 0]
    inset.scatter(
        [time for time, _, _ in some],
        [row for _, row, _ in some],
        s=6,
        marker="s",
        linewidths=0,
        c=[(0.88, 0.46, 0.18, 0.15 + 0.85 * count / most) for _, _, count in some],
        rasterized=True,
    )
    every = range(0, len(ordered), 3)
    inset.set_yticks(list(every))
    inset.set_yticklabels([shown("s", float(ordered[row].labels["le"])) for row in every])
    _time_axis(inset, window)


def _number(frame: Axes, panel: Mapping[str, Any], curve: Curve) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = curve.values[-1]
    colour = next(
        (
            THRESHOLDS[step["color"]]
            for step in reversed(defaults["thresholds"]["steps"])
            if step["value"] is None or value >= step["value"]
        ),
        INK,
    )
    text = shown(defaults["unit"], value, defaults.get("decimals"))
    frame.text(0.5, 0.42, text, transform=frame.transAxes, size=19, ha="center", va="center",
               color=colour)  # fmt: skip


def _rows(frame: Axes, panel: Mapping[str, Any], answers: Sequence[list[Curve]]) -> None:
    organised = next(one for one in panel["transformations"] if one["id"] == "organize")["options"]
    names = sorted(organised["indexByName"], key=organised["indexByName"].__getitem__)
    units = {
        override["matcher"]["options"]: override["properties"][0]["value"]
        for override in panel["fieldConfig"]["overrides"]
    }
    joined: dict[str, dict[str, Any]] = {}
    for letter, curves in zip("ABCDEF", answers, strict=False):
        for curve in curves:
            key = curve.labels.get("alertname") or str(sorted(curve.labels.items()))
            row = joined.setdefault(key, {})
            row.update(curve.labels)
            row["Value" if len(answers) == 1 else f"Value #{letter}"] = curve.values[-1]
    table = [[organised["renameByName"][name] for name in names]]
    rows = sorted(joined.values(), key=lambda row: -float(row.get("Value", row.get("Value #A", 0))))
    for row in rows[:MOST_ROWS]:
        table.append(
            [
                shown(units[organised["renameByName"][name]], row[name])
                if isinstance(row.get(name), float)
                else str(row.get(name, ""))
                for name in names
            ]
        )
    for line, cells in enumerate(table):
        for column, cell in enumerate(cells):
            frame.text(0.015 + column * 0.97 / len(names), 0.8 - line * 0.085,
                       shorten(cell, 40, placeholder="…"), transform=frame.transAxes,
                       color=FAINT if line == 0 else INK)  # fmt: skip


def _log(frame: Axes, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines[:MOST_ROWS]):
        frame.text(0.015, 0.8 - number * 0.09, shorten(line, 95, placeholder="…"), size=6,
                   transform=frame.transAxes, color=INK, family="DejaVu Sans Mono")  # fmt: skip


def _note(frame: Axes, lines: Sequence[str]) -> None:
    frame.text(0.5, 0.45, "\n".join(lines[:7]), transform=frame.transAxes, ha="center",
               va="center", color=FAINT, style="italic")  # fmt: skip


def shown(unit: str, value: float, decimals: int | None = None) -> str:
    """Return a value as people read it, by Grafana's name of its unit."""
    if not math.isfinite(value):
        return str(value)
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f} %"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{_short(value / size)} {name}"
        return (
            f"{_short(value)} s" if abs(value) >= 1 or not value else f"{_short(value * 1000)} ms"
        )
    if unit in ("bytes", "Bps"):
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{_short(value / size)} {name}" + ("/s" if unit == "Bps" else "")
    ending = {"reqps": " req/s", "cps": "/s", "cpm": "/min", "Bps": " B/s", "bytes": " B"}
    return f"{_short(value)}{ending.get(unit, '')}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
