"""The gallery's pictures are drawn from answers, alike each time, and small."""

import json
import math
import re
from pathlib import Path

import pytest
from slipway.dashboards import Query

from tests.observability.dashboards import CHOSEN, FOLDER
from tests.observability.drawing import LARGEST_BYTES, Curve, Window, draw, gallery, shown
from tests.services import Services

WINDOW = Window(start=1_800_000_000.0, end=1_800_003_600.0)
LABELS = {
    "http_route": "/signups/{id}",
    "http_request_method": "POST",
    "http_response_status_code": "503",
    "instance": "one",
    "alertname": "ServiceDown",
    "severity": "page",
}


def waves(query: Query, window: Window) -> list[Curve]:
    """Answer every query: with lines of a log, buckets, a value, or a wave."""
    assert "$" not in query.expression.replace("$1", "")
    if query.kind == "loki" and "count_over_time" not in query.expression:
        return [Curve({}, lines=['{"message": "request failed"}'])]
    if query.needs == "cluster":
        return []
    times = [window.start + step * window.step for step in range(120)]
    if query.instant:
        return [Curve(LABELS, [window.end], [0.5])]
    wave = [1.5 + math.sin(time / 300) for time in times]
    if "_bucket" in query.expression and "quantile" not in query.expression:
        return [Curve({"le": le}, times, wave) for le in ("0.1", "0.5", "+Inf")]
    return [Curve(LABELS, times, wave), Curve({}, times, [math.nan] * len(times))]


@pytest.fixture(scope="module")
def drawn(services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("gallery")
    files = gallery(services({}), waves, folder, window=WINDOW, chosen=CHOSEN)
    return {file.stem: file for file in files}


def test_every_dashboard_has_a_picture_that_is_small(drawn: dict[str, Path]) -> None:
    assert set(drawn) == {"red", "use", "slo", "business"}
    assert [file for file in drawn.values() if file.stat().st_size > LARGEST_BYTES] == []


def test_every_panel_is_in_the_picture(services: Services, drawn: dict[str, Path]) -> None:
    for kind, file in drawn.items():
        board = json.loads((services({}) / FOLDER / f"{kind}.json").read_text())
        texts = set(re.findall(r">([^<>]+)</text>", file.read_text()))
        titles = {panel["title"].replace("&", "&amp;") for panel in board["panels"]}
        assert titles - texts == set()


def test_a_panel_without_data_says_why(drawn: dict[str, Path]) -> None:
    assert drawn["use"].read_text().count("has data in a cluster") == 6
    assert "Tempo is asked:" in drawn["red"].read_text()


def test_the_same_answers_give_the_same_picture(
    services: Services, drawn: dict[str, Path], tmp_path: Path
) -> None:
    text = (services({}) / FOLDER / "business.json").read_text()
    again = draw(text, waves, tmp_path / "b.svg", window=WINDOW, chosen=CHOSEN)
    assert again.read_bytes() == drawn["business"].read_bytes()


def test_other_answers_give_another_picture(
    services: Services, drawn: dict[str, Path], tmp_path: Path
) -> None:
    text = (services({}) / FOLDER / "business.json").read_text()
    other = draw(text, lambda *_: [], tmp_path / "b.svg", window=WINDOW, chosen=CHOSEN)
    assert "nothing of this kind in this run" in other.read_text()
    assert "nothing of this kind in this run" not in drawn["business"].read_text()


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("percentunit", 0.001, "0.1 %"),
        ("s", 0.25, "250 ms"),
        ("s", 5400, "1.5 h"),
        ("bytes", 256 * 1024**2, "256 MiB"),
        ("Bps", 2048, "2 KiB/s"),
        ("reqps", 12.34, "12.3 req/s"),
        ("short", 1234, "1,234"),
        ("none", math.nan, "nan"),
    ],
)
def test_a_value_is_shown_in_its_unit(unit: str, value: float, text: str) -> None:
    assert shown(unit, value) == text
