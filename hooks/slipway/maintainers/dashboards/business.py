"""Business: one panel for each entry of `business_metrics`, above the requests they come from."""

from __future__ import annotations

from slipway.maintainers.dashboards.board import Board, Row
from slipway.maintainers.dashboards.links import to_logs, to_runbook
from slipway.maintainers.dashboards.panels import Ask, graph
from slipway.maintainers.dashboards.queries import FAILED, SERVICE, requests, share

_COUNTER = "[% if kind == 'counter' %]"
_RATE = f"60 * sum(rate(app_[[ name ]]_total{{{SERVICE}}}[$__rate_interval]))"
_SUM = f"sum(app_[[ name ]]{{{SERVICE}}})"
_HEIGHT = 8

COUNTED = Row(
    100,
    "What the business counts",
    [
        graph(
            "[[ name ]]",
            f"{_COUNTER}Events a minute, over all instances. None at all while requests go on "
            "means that the path to it is broken.[% else %]The sum over all instances.[% endif %]",
            f"{_COUNTER}cpm[% else %]short[% endif %]",
            Ask(f"{_COUNTER}{_RATE}[% else %]{_SUM}[% endif %]", "[[ name ]]"),
            width=12,
            height=_HEIGHT,
            links=[
                to_logs(),
                to_runbook(f"{_COUNTER}BusinessMetricStopped[% else %]README[% endif %]"),
            ],
        ).for_each("name, kind in business_metrics | dictsort")
    ],
    below=f"(business_metrics | length + 1) // 2 * {_HEIGHT}",
)

BEHIND = Row(
    200,
    "The requests behind it",
    [
        graph(
            "Requests",
            "Requests a second. Fewer events with as many requests: look at errors, then at what "
            "was released.",
            "reqps",
            Ask(requests(SERVICE), "requests"),
            width=12,
        ),
        graph(
            "Share of errors",
            "Share of requests that fail, status 500 or more.",
            "percentunit",
            Ask(share(requests(f"{SERVICE}, {FAILED}"), requests(SERVICE)), "errors"),
            width=12,
            links=[to_runbook("AvailabilityBudgetBurnsFast")],
        ),
    ],
)

BOARD = Board(
    kind="business",
    description="What the business counts, and the requests behind it.",
    rows=[COUNTED, BEHIND],
    since="now-24h",
)
