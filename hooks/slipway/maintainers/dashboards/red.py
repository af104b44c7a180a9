"""Requests: how many, how many fail, how long they take; then logs and traces of the same time."""

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
    Ask,
    distribution,
    figure,
    graph,
    log_records,
    log_volume,
    traces,
)
from slipway.maintainers.dashboards.queries import (
    ALERTS_NOW,
    DURATION,
    FAILED,
    ROUTE,
    quantile,
    requests,
    share,
)

# What the objectives allow, as shares of 1 and in seconds.
ALLOWED_ERRORS = number("((100 - slo_availability) / 100) | round(6)")
FAST = number("slo_latency_seconds")

FAILURES = [to_traces(FAILED_TRACES), to_logs(), to_runbook("AvailabilityBudgetBurnsFast")]
SLOWNESS = [to_traces(SLOW_TRACES), to_logs(), to_runbook("LatencyBudgetBurnsFast")]

ALL = requests(ROUTE)
ERRORS = requests(f"{ROUTE}, {FAILED}")

OVERVIEW = Row(
    100,
    "Now",
    [
        figure("Requests", "Requests a second, health checks left out.", "reqps", ALL, width=6),
        figure(
            "Errors",
            "Share of requests that were answered with a status of 500 or more. "
            "Red is more than the objective allows in the long run.",
            "percentunit",
            share(ERRORS, ALL),
            width=6,
            steps=[(None, GREEN), (ALLOWED_ERRORS, RED)],
            decimals=2,
            links=FAILURES,
        ),
        figure(
            "95 % faster than",
            "The duration that 95 of 100 requests do not exceed. "
            "Orange is slower than the objective calls fast.",
            "s",
            quantile(0.95, ROUTE),
            width=6,
            steps=[(None, GREEN), (FAST, ORANGE)],
            links=SLOWNESS,
        ),
        figure(
            "Alerts",
            "Pages and tickets of this service that fire now.",
            "none",
            ALERTS_NOW,
            width=6,
            steps=[(None, GREEN), (1, RED)],
        ),
    ],
)

RATE = Row(
    200,
    "Rate",
    [
        graph(
            "Requests by route",
            "Requests a second. A route that falls to nothing while others go on is broken before "
            "it reaches the service; requests without a route match none.",
            "reqps",
            Ask(requests(ROUTE, "http_route"), "{{http_route}}"),
            width=12,
            links=[to_logs()],
        ),
        graph(
            "Requests by status",
            "Requests a second by the status of the answer.",
            "reqps",
            Ask(requests(ROUTE, "http_response_status_code"), "{{http_response_status_code}}"),
            width=12,
            links=[to_logs()],
        ),
    ],
)

FAILED_REQUESTS = Row(
    300,
    "Errors",
    [
        graph(
            "Share of errors",
            "Share of requests that fail, status 500 or more. The line is what the objective "
            "allows in the long run: above it, the error budget shrinks.",
            "percentunit",
            Ask(share(ERRORS, ALL), "errors"),
            lines=[(ALLOWED_ERRORS, RED)],
            links=FAILURES,
        ),
        graph(
            "Errors by route",
            "Failed requests a second by route: one route points at its code or its store, all of "
            "them at the process or at what every route needs.",
            "reqps",
            Ask(
                f"{requests(f'{ROUTE}, {FAILED}', 'http_route')} "
                f"or 0 * {requests(ROUTE, 'http_route')}",
                "{{http_route}}",
            ),
            links=FAILURES,
        ),
        graph(
            "Refused by route",
            "Requests a second that were answered with a status of 400 to 499. They count as good: "
            "a rise after a release says that callers and service no longer agree.",
            "reqps",
            Ask(
                requests(ROUTE + ', http_response_status_code=~"4.."', "http_route"),
                "{{http_route}}",
            ),
            links=[to_logs()],
        ),
    ],
)

TIMES = Row(
    400,
    "Duration",
    [
        graph(
            "Duration of requests",
            "The durations that 50, 95 and 99 of 100 requests do not exceed. The line is what the "
            "objective calls fast. Points are single requests: they lead to their traces.",
            "s",
            *(Ask(quantile(q, ROUTE), f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)),
            lines=[(FAST, ORANGE)],
            links=SLOWNESS,
        ),
        graph(
            "95 % by route",
            "The duration that 95 of 100 requests of a route do not exceed.",
            "s",
            Ask(quantile(0.95, ROUTE, "http_route"), "{{http_route}}"),
            lines=[(FAST, ORANGE)],
            links=SLOWNESS,
        ),
        distribution(
            "Durations",
            "How many requests took how long. Two bands are two kinds of requests, or a cache that "
            "hits and misses.",
            "s",
            f"sum by (le) (increase({DURATION}_bucket{{{ROUTE}}}[$__rate_interval]))",
            links=SLOWNESS,
        ),
    ],
)

LOGS = Row(
    500,
    "Logs",
    [
        log_volume("Records by severity", "Log records of every instance, by severity."),
        log_records(
            "Errors and warnings",
            "The newest records. Each has the `trace_id` of the request that it belongs to.",
        ),
    ],
)

TRACES = Row(
    600,
    "Traces",
    [
        traces("Failed requests", "Traces of requests that failed.", FAILED_TRACES),
        traces(
            "Slow requests",
            "Traces of requests that were slower than the objective calls fast.",
            SLOW_TRACES,
        ),
    ],
)

BOARD = Board(
    kind="red",
    description="What users get: rate, errors and duration of requests.",
    rows=[OVERVIEW, RATE, FAILED_REQUESTS, TIMES, LOGS, TRACES],
    since="now-1h",
    selections=["route", "instance"],
)
