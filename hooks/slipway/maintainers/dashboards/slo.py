"""Objectives: how much of the error budget is left, how fast it burns, and what alerts did.

It reads what recording rules made, so that alerts and dashboard never disagree.
"""

from __future__ import annotations

from slipway.maintainers.dashboards.board import Board, Row
from slipway.maintainers.dashboards.emitting import number
from slipway.maintainers.dashboards.links import (
    FAILED_TRACES,
    SLOW_TRACES,
    to_logs,
    to_runbook,
    to_traces,
)
from slipway.maintainers.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    RULE_INTERVAL,
    Ask,
    Panel,
    figure,
    graph,
    listing,
)
from slipway.maintainers.dashboards.queries import (
    ALERTS,
    ALERTS_NOW,
    DURATION,
    FAILED,
    SERVICE,
    counted,
)

AVAILABILITY = "((100 - slo_availability) / 100) | round(6)"
LATENCY = "((100 - slo_latency) / 100) | round(6)"
# Burn rates at which an alert fires, by the length of its long window.
WINDOWS = ("5m", "1h", "6h", "3d")
BURN_LINES = [(1, GREEN), (3, ORANGE), (6, ORANGE), (14.4, RED)]

FAILURES = [to_traces(FAILED_TRACES), to_logs(), to_runbook("AvailabilityBudgetBurnsFast")]
SLOWNESS = [to_traces(SLOW_TRACES), to_logs(), to_runbook("LatencyBudgetBurnsFast")]


def recorded(name: str) -> str:
    """Return the sum of a recorded series; the sum drops labels that a legend does not need."""
    return f"sum(service:{name}{{{SERVICE}}})"


def over_30_days(bad: str) -> str:
    """Return the share of good requests over 30 days, each request counted once."""
    counted = f"sum(sum_over_time(service:http_server_{{}}:increase1m{{{{{SERVICE}}}}}[30d]))"
    return f"1 - {counted.format(bad)} / ({counted.format('requests')} > 0)"


def burning(bad: str, window: str, allowed: str) -> str:
    """Return how many times faster than allowed a budget burns."""
    return f"{recorded(f'http_server_{bad}:ratio_rate{window}')} / [[ {allowed} ]]"


def _good(title: str, description: str, bad: str, objective: str) -> Panel:
    return figure(
        title,
        description,
        "percentunit",
        over_30_days(bad),
        step=RULE_INTERVAL,
        steps=[(None, RED), (number(f"({objective} / 100) | round(6)"), GREEN)],
        decimals=3,
    )


def _left(title: str, budget: str) -> Panel:
    return figure(
        title,
        "What is left of the errors that 30 days may have. Below zero the objective is missed: "
        "reliability goes before features.",
        "percentunit",
        recorded(f"error_budget_{budget}:remaining_ratio"),
        step=RULE_INTERVAL,
        steps=[(None, RED), (0, ORANGE), (0.25, GREEN)],
        decimals=1,
    )


STATE = Row(
    100,
    "30 days",
    [
        _good(
            "Available",
            "Share of requests that did not fail. The objective is [[ slo_availability ]] %.",
            "errors",
            "slo_availability",
        ),
        _left("Availability budget left", "availability"),
        _good(
            "Fast",
            "Share of requests answered within [[ slo_latency_seconds ]] s. "
            "The objective is [[ slo_latency ]] %.",
            "slow",
            "slo_latency",
        ),
        _left("Latency budget left", "latency"),
        figure(
            "Burn rate, 1 hour",
            "How many times faster than allowed the availability budget burned in the last hour. "
            "At 14.4 somebody is paged.",
            "none",
            burning("errors", "1h", AVAILABILITY),
            step=RULE_INTERVAL,
            steps=[(None, GREEN), (1, ORANGE), (14.4, RED)],
            decimals=1,
            links=FAILURES,
        ),
        figure(
            "Alerts",
            "Pages and tickets of this service that fire now.",
            "none",
            ALERTS_NOW,
            step=RULE_INTERVAL,
            steps=[(None, GREEN), (1, RED)],
        ),
    ],
)

BURN = Row(
    200,
    "Burn rates",
    [
        graph(
            "Availability",
            "How many times faster than allowed the budget burns, by window. A page needs 1h and "
            "5m above 14.4, or 6h and 30m above 6; a ticket 1d and 2h above 3, or 3d and 6h "
            "above 1.",
            "short",
            *(Ask(burning("errors", window, AVAILABILITY), window) for window in WINDOWS),
            width=12,
            step=RULE_INTERVAL,
            lines=BURN_LINES,
            links=FAILURES,
        ),
        graph(
            "Latency",
            "The same for requests slower than [[ slo_latency_seconds ]] s.",
            "short",
            *(Ask(burning("slow", window, LATENCY), window) for window in WINDOWS),
            width=12,
            step=RULE_INTERVAL,
            lines=BURN_LINES,
            links=SLOWNESS,
        ),
    ],
)

BUDGETS = Row(
    300,
    "Budgets",
    [
        graph(
            "Budget left",
            "What is left of the budgets of 30 days. A step down is an incident, a slope is wear; "
            "below zero the objective is missed.",
            "percentunit",
            Ask(recorded("error_budget_availability:remaining_ratio"), "availability"),
            Ask(recorded("error_budget_latency:remaining_ratio"), "latency"),
            width=12,
            step=RULE_INTERVAL,
            least=None,
            most=1,
        ),
        graph(
            "Bad requests",
            "Requests a minute that failed or were slow: what took from the budgets.",
            "cpm",
            Ask(recorded("http_server_errors:increase1m"), "failed"),
            Ask(recorded("http_server_slow:increase1m"), "slow"),
            width=12,
            step=RULE_INTERVAL,
            links=FAILURES,
        ),
    ],
)

_BY_ROUTE = "sum by (http_request_method, http_route)"
_BY_STATUS = "sum by (http_request_method, http_route, http_response_status_code)"
# What fails counts against the other objective.
_ANSWERED = f'{SERVICE}, http_response_status_code!~"5.."'
_FAST_ENOUGH = f'{_ANSWERED}, le="[[ slo_latency_seconds ]]"'
_ROUTE_COLUMNS = {
    "http_request_method": ("Method", "string"),
    "http_route": ("Route", "string"),
}

ROUTES = Row(
    400,
    "Where it went",
    [
        listing(
            "Failed requests by route",
            "Requests that failed within the time shown, by route and status.",
            {
                **_ROUTE_COLUMNS,
                "http_response_status_code": ("Status", "string"),
                "Value": ("Requests", "short"),
            },
            f"{_BY_STATUS} {counted(f'{DURATION}_count{{{SERVICE}, {FAILED}}}')} > 0",
            links=FAILURES,
        ),
        listing(
            "Slow requests by route",
            "Requests slower than [[ slo_latency_seconds ]] s within the time shown, by route; "
            "those that failed are left out.",
            {**_ROUTE_COLUMNS, "Value": ("Requests", "short")},
            f"{_BY_ROUTE} {counted(f'{DURATION}_count{{{_ANSWERED}}}')} "
            f"- {_BY_ROUTE} {counted(f'{DURATION}_bucket{{{_FAST_ENOUGH}}}')}",
            links=SLOWNESS,
        ),
    ],
)

# The Watchdog always fires.
_FIRES = f'ALERTS{{{ALERTS}, alertstate="firing", severity!="none"}}'
_FIRING = f"max by (alertname, severity) ({_FIRES})"
_STARTS = f"({_FIRING} unless {_FIRING.replace('}', '} offset 1m')})"
# Fires again though it had fired within the last 15 minutes.
_AGAIN = f"({_STARTS} and max_over_time({_FIRING}[15m:1m] offset 2m))"

REVIEW = Row(
    500,
    "Alert review",
    [
        listing(
            "Alerts of 30 days",
            "How often each alert fired, for how long in all, and how often it came back within 15 "
            "minutes. One that fires often and briefly, or comes back, wants another threshold; "
            "one that fires and changes nothing wants to go. `make alert-review` says which.",
            {
                "alertname": ("Alert", "string"),
                "severity": ("Severity", "string"),
                "Value #A": ("Firings", "none"),
                "Value #B": ("Time firing", "s"),
                "Value #C": ("Came back", "none"),
            },
            f"sum by (alertname, severity) (count_over_time({_STARTS}[30d:1m]))",
            f"60 * sum by (alertname) (count_over_time({_FIRING}[30d:1m]))",
            f"sum by (alertname) (count_over_time({_AGAIN}[30d:1m])) "
            f"or 0 * sum by (alertname) (count_over_time({_FIRING}[30d:1m]))",
            by="alertname",
            links=[to_runbook("README")],
        ),
        graph(
            "Alerts over time",
            "When which alert fired.",
            "none",
            Ask(_FIRING, "{{alertname}}"),
            width=12,
            step=RULE_INTERVAL,
            most=1,
            links=[to_runbook("README")],
        ),
    ],
)

BOARD = Board(
    kind="slo",
    description="Whether the objectives of 30 days hold: [[ slo_availability ]] % of requests do "
    "not fail, [[ slo_latency ]] % are answered within [[ slo_latency_seconds ]] s.",
    rows=[STATE, BURN, BUDGETS, ROUTES, REVIEW],
    since="now-24h",
)
