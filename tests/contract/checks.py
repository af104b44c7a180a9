"""What the contract asks of a recording; each check returns what is wrong, for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from tests.contract.canaries import found
from tests.contract.recording import PARENT, Recording
from tests.engines.fixtures.telemetry import Span

HEALTH = ("/livez", "/readyz", "/startupz")
SEVERITIES = {"error", "warn", "info", "debug"}
NEVER = {"url.path", "url.query", "url.full", "client.address", "user_agent.original"}

Check = Callable[[Recording], list[str]]


def log_lines_are_json(recording: Recording) -> list[str]:
    """Each line on stdout is one JSON object with the contract's keys."""
    wrong = [f"not JSON: {line}" for line in recording.unparsed]
    for line in recording.lines:
        for key in ("timestamp", "severity", "message", "service.name"):
            if not isinstance(line.get(key), str):
                wrong.append(f"no {key} in {line}")
        if line.get("severity") not in SEVERITIES:
            wrong.append(f"severity {line.get('severity')} in {line}")
        if not re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.get("timestamp"))
        ) or not datetime.fromisoformat(str(line["timestamp"])):
            wrong.append(f"timestamp {line.get('timestamp')}")
        if line.get("service.name") != recording.service:
            wrong.append(f"service.name {line.get('service.name')}")
    return wrong


def each_request_is_logged_once(recording: Recording) -> list[str]:
    """One access line a request, under its trace, with its route and never its path."""
    lines = Counter(
        (
            str(line.get("trace_id")),
            line.get("http.request.method"),
            _route(line.get("http.response.status_code"), line.get("http.route")),
            line.get("http.response.status_code"),
        )
        for line in recording.lines
        if line["message"] == "request"
    )
    wrong = []
    for one in recording.requests:
        key = (one.trace_id, one.method, _route(one.status, one.route), one.status)
        if not lines[key]:
            wrong.append(f"no access line {key} for {one.name}")
        lines[key] -= 1
    wrong += [f"access line too many: {key}" for key, count in lines.items() if count > 0]
    return wrong


def log_records_arrive_by_otlp(recording: Recording) -> list[str]:
    """What stdout says arrives by OTLP too, with the same trace."""
    printed = Counter((line["message"], line.get("trace_id", "")) for line in recording.lines)
    arrived = Counter((record.body, record.trace_id) for record in recording.records)
    return [f"only on stdout: {key}" for key in (printed - arrived)] + [
        f"only by OTLP: {key}" for key in (arrived - printed)
    ]


def each_request_has_one_server_span(recording: Recording) -> list[str]:
    """One server span a request, named by method and route, in the trace the answer names."""
    spans = {(span.trace_id, span.span_id): span for span in recording.server_spans}
    wrong = []
    for one in recording.requests:
        key = (one.trace_id, one.headers.get("traceresponse", "---").split("-")[2])
        span = spans.pop(key, None)
        if span is None:
            wrong.append(f"no server span for {one.name}")
            continue
        route = _route(one.status, one.route)
        expected = f"{one.method} {route}" if route else one.method
        if span.name != expected and one.status != 405:
            wrong.append(f"span of {one.name} is named {span.name}, not {expected}")
        if _route(one.status, span.attributes.get("http.route")) != route:
            wrong.append(f"http.route {span.attributes.get('http.route')} for {one.name}")
        if span.attributes.get("http.response.status_code") != one.status:
            wrong.append(f"status {span.attributes.get('http.response.status_code')}: {one.name}")
        if span.attributes.get("http.request.method") != one.method:
            wrong.append(f"method of {one.name}")
        wrong += [f"{key} in the span of {one.name}" for key in NEVER & set(span.attributes)]
        if (one.status >= 500) != (span.status == "error"):
            wrong.append(f"status of the span of {one.name}: {span.status}")
    wrong += [f"span of no request: {span.name}" for span in spans.values()]
    return wrong


def a_trace_that_comes_in_is_the_parent(recording: Recording) -> list[str]:
    """The span of a request with `traceparent` is a child of the caller's."""
    _, trace_id, parent, _ = PARENT.split("-")
    spans = [span for span in recording.server_spans if span.trace_id == trace_id]
    return [] if [span.parent_span_id for span in spans] == [parent] else ["traceparent is ignored"]


def health_is_silent(recording: Recording) -> list[str]:
    """Health routes are in no trace, metric or access log."""
    wrong = [f"span {span.name}" for span in recording.spans if _mentions_health(span)]
    wrong += [f"log line {line}" for line in recording.lines if line.get("http.route") in HEALTH]
    for point in recording.points("http.server.request.duration"):
        if point.attributes.get("http.route") in HEALTH:
            wrong.append("health is counted in http.server.request.duration")
    return wrong


def durations_are_counted_by_route(recording: Recording) -> list[str]:
    """`http.server.request.duration` in seconds counts each request once, by its labels."""
    wrong = []
    metric = recording.metric("http.server.request.duration")
    if metric is None:
        return ["no http.server.request.duration"]
    if metric.unit != "s":
        wrong.append(f"unit {metric.unit}")
    counted: Counter[tuple[object, object, object]] = Counter()
    for point in recording.points("http.server.request.duration"):
        attributes = point.attributes
        method, status = attributes["http.request.method"], attributes["http.response.status_code"]
        counted[method, _route(status, attributes.get("http.route")), status] += point.count
        extra = set(attributes) - {
            "http.request.method", "http.route", "http.response.status_code", "url.scheme",
            "network.protocol.version", "error.type", "network.protocol.name",
        }  # fmt: skip
        wrong += [f"label {name} on http.server.request.duration" for name in extra]
        if not {0.005, 0.1, 0.25, 0.5, 0.75, 2.5} <= set(point.bounds):
            wrong.append(f"buckets {point.bounds}")
    sent: Counter[tuple[object, object, object]] = Counter(
        (one.method, _route(one.status, one.route), one.status) for one in recording.requests
    )
    wrong += [f"not counted: {key}" for key in (sent - counted)]
    wrong += [f"counted too often: {key}" for key in (counted - sent)]
    return wrong


def business_metrics_count(recording: Recording) -> list[str]:
    """Counters start at zero and count what happened; the gauge tells who is active."""
    created = sum(1 for one in recording.exchanges if one.status == 201)
    expected = {"app.signups": created, "app.conversions": 1}
    wrong = []
    for name, value in expected.items():
        values = [point.value for point in recording.points(name)]
        if values != [value]:
            wrong.append(f"{name} is {values}, not {value}")
        if 0 not in recording.history(name):
            wrong.append(f"{name} does not start at 0")
    active = [point.value for point in recording.points("app.active_users")]
    if active != [created]:
        wrong.append(f"app.active_users is {active}, not {created}")
    return wrong


def resources_say_who_speaks(recording: Recording) -> list[str]:
    """Every signal says which service, where and what version."""
    wrong = []
    expected: Mapping[str, str] = {
        "service.name": recording.service,
        "service.namespace": "example",
        "service.version": recording.version,
        "deployment.environment.name": "test",
    }
    for kind, resource in recording.resources:
        for name, value in expected.items():
            if resource.get(name) != value:
                wrong.append(f"{name} of {kind} is {resource.get(name)}, not {value}")
        if not resource.get("service.instance.id"):
            wrong.append(f"no service.instance.id in {kind}")
    return sorted(set(wrong))


def nothing_personal_comes_out(recording: Recording) -> list[str]:
    """No canary stands in any signal."""
    return found(recording.texts)


def exemplars_carry_no_attributes(recording: Recording) -> list[str]:
    """What a view leaves out of a metric does not come out with its exemplars."""
    metrics = recording.texts["metrics"]
    return ["filteredAttributes in exemplars"] if "filteredAttributes" in metrics else []


CHECKS: tuple[Check, ...] = (
    log_lines_are_json,
    each_request_is_logged_once,
    log_records_arrive_by_otlp,
    each_request_has_one_server_span,
    a_trace_that_comes_in_is_the_parent,
    health_is_silent,
    durations_are_counted_by_route,
    business_metrics_count,
    resources_say_who_speaks,
    nothing_personal_comes_out,
    exemplars_carry_no_attributes,
)


def _route(status: object, route: object) -> object:
    """A route as it is compared: a wrong method may carry the route it missed, or none."""
    return None if status == 405 else route


def _mentions_health(span: Span) -> bool:
    return any(path in span.name or path in span.attributes.values() for path in HEALTH)
