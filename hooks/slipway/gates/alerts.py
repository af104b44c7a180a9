"""Alerts: each one reads, has its severity and team, its runbook and its tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.located import Value
from slipway.gates.service import Service

RULES = re.compile(r"observability/rules/[^/]+\.ya?ml")
TESTS = re.compile(r"observability/rules/tests/[^/]+\.ya?ml")
MAIN = "observability/rules/alerts.yaml"
SEVERITIES = ("page", "ticket", "log")
# It always fires and goes to a heartbeat: nobody is to read it.
HEARTBEAT = "Watchdog"
OF_A_RULE = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
OF_A_GROUP = {"name", "interval", "query_offset", "limit", "labels", "rules"} | {
    "partial_response_strategy"
}
DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+|0")
CLOSES = {"(": ")", "[": "]", "{": "}"}
STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`")


@dataclass(frozen=True)
class Alert:
    """An alerting rule.

    Attributes:
        name: the alert's name.
        place: where its name stands.
        rule: all of it.

    """

    name: str
    place: Place
    rule: Value

    def label(self, name: str) -> tuple[str, Place]:
        """Return a label, empty where it has none, and its place or the alert's."""
        found = self.rule.get("labels", name)
        return (found.text, found.at) if found else ("", self.place)


def rules_of(service: Service) -> Iterator[Value]:
    """Yield every rule of Prometheus' own rule files and of PrometheusRules beside them."""
    for file in filter(RULES.fullmatch, service.files):
        for document in service.documents(file):
            for group in groups(document):
                yield from group.listed("rules")


def groups(document: Value) -> list[Value]:
    """Return the groups of rules of a document."""
    found = document.get("groups") or document.get("spec", "groups")
    return found.items if found else []


def alerts_of(service: Service) -> Iterator[Alert]:
    """Yield every alert, in the order of the files."""
    for rule in rules_of(service):
        if name := rule.get("alert"):
            yield Alert(name.text, name.at, rule)


def by_name(service: Service) -> list[Alert]:
    """Return each alert once: where it stands first."""
    return list({one.name: one for one in reversed(list(alerts_of(service)))}.values())[::-1]


# WHAT IS WRONG --------------------------------------------------------------


def unreadable(service: Service) -> Iterator[Fault]:
    """Find rules that Prometheus refuses, and a service without alerts."""
    if not any(alerts_of(service)):
        yield Fault(Place(MAIN, 1), "there is no alert")
    for file in filter(RULES.fullmatch, service.files):
        for document in service.documents(file):
            kind = document.get("kind")
            if "groups" not in document.entries and (kind is None or kind.text != "PrometheusRule"):
                yield Fault(document.at, "this file holds no groups of rules")
            for group in groups(document):
                yield from unreadable_group(group)


def unreadable_group(group: Value) -> Iterator[Fault]:
    """Find what Prometheus refuses in a group."""
    for key in set(group.entries) - OF_A_GROUP:
        yield Fault(group.entries[key].at, f"a group of rules has no {key!r}")
    if not group.get("name"):
        yield Fault(group.at, "a group of rules has no name")
    for rule in group.listed("rules"):
        named = rule.get("alert") or rule.get("record")
        name = named.text if named else ""
        if ("alert" in rule.entries) == ("record" in rule.entries) or not name:
            yield Fault(rule.at, "a rule is named by 'alert' or by 'record', one of them")
            continue
        for key in set(rule.entries) - OF_A_RULE:
            yield Fault(rule.entries[key].at, f"rule {name!r} cannot have {key!r}")
        for key in ("for", "keep_firing_for"):
            value = rule.get(key)
            if value and not DURATION.fullmatch(value.text):
                yield Fault(value.at, f"rule {name!r}: {value.text!r} is no duration")
        expression = rule.get("expr")
        if expression is None or not expression.text.strip():
            yield Fault(rule.at, f"rule {name!r} has no expr")
        elif problem := unbalanced(expression.text):
            yield Fault(expression.at, f"rule {name!r}: {problem} in its expr")


def unbalanced(expression: str) -> str:
    """Return which bracket or quote of an expression has no partner; empty when all have."""
    rest = re.sub(r"#.*", "", STRING.sub("", expression))
    if quote := re.search(r"[\"'`]", rest):
        return f"{quote[0]} is not closed"
    expected: list[str] = []
    for letter in rest:
        if letter in CLOSES:
            expected.append(CLOSES[letter])
        elif letter in CLOSES.values() and (not expected or expected.pop() != letter):
            return f"{letter!r} closes nothing"
    return f"{expected[-1]!r} is missing" if expected else ""


def without_severity(service: Service) -> Iterator[Fault]:
    """Find alerts that do not say whom they wake."""
    for alert in alerts_of(service):
        severity, place = alert.label("severity")
        allowed = ("none",) if alert.name == HEARTBEAT else SEVERITIES
        if not severity:
            yield Fault(place, f"alert {alert.name!r} has no severity")
        elif severity not in allowed:
            yield Fault(
                place,
                f"alert {alert.name!r} has severity {severity!r}, not {' or '.join(allowed)}",
            )
        team, place = alert.label("team")
        if not team:
            yield Fault(place, f"alert {alert.name!r} has no team")


def without_runbook(service: Service) -> Iterator[Fault]:
    """Find alerts that lead to no runbook of their name."""
    for alert in by_name(service):
        runbook = f"runbooks/{alert.name}.md"
        url = alert.rule.get("annotations", "runbook_url")
        if not (service.text(runbook) or "").strip():
            yield Fault(alert.place, f"alert {alert.name!r} has no runbook {runbook}")
        elif url is None:
            yield Fault(alert.place, f"alert {alert.name!r} has no runbook_url")
        elif not url.text.endswith(f"/{runbook}"):
            yield Fault(url.at, f"the runbook_url of {alert.name!r} does not end with {runbook}")


def untested(service: Service) -> Iterator[Fault]:
    """Find alerts without a test in which they fire, or without one in which they stay quiet."""
    fires: set[str] = set()
    quiet: set[str] = set()
    for file in filter(TESTS.fullmatch, service.files):
        for document in service.documents(file):
            for test in document.listed("tests"):
                for expected in test.listed("alert_rule_test"):
                    if name := expected.get("alertname"):
                        (fires if expected.listed("exp_alerts") else quiet).add(name.text)
    for alert in by_name(service):
        if alert.name not in fires:
            yield Fault(alert.place, f"no test expects alert {alert.name!r} to fire")
        # What always fires is never quiet.
        if alert.name not in quiet and alert.name != HEARTBEAT:
            yield Fault(alert.place, f"no test expects alert {alert.name!r} to stay quiet")


def gate(
    name: str, title: str, remedy: str, check: Callable[[Service], Iterator[Fault]], *more: str
) -> Gate:
    """Return a gate that reads rule files, and what else is named."""
    reads = " and ".join(("`observability/rules/*.yaml`, the service's own files included", *more))
    return Gate(name, title, reads, remedy, check)


GATES = (
    gate(
        "rules-valid",
        "There are alerts, and Prometheus can read every rule",
        "Write it as Prometheus' documentation of recording and alerting rules says; `make"
        " rules-test` tells the rest",
        unreadable,
    ),
    gate(
        "alert-severity",
        "Every alert says how urgent it is, and whose it is",
        "Label it with `severity` page, ticket or log, and with `team`",
        without_severity,
    ),
    gate(
        "alert-runbook",
        "Every alert leads to its runbook",
        "Write a runbook under the alert's name in `runbooks/`, and let `runbook_url` lead to it",
        without_runbook,
        "`runbooks/`",
    ),
    gate(
        "alert-tested",
        "Every alert is tested, firing and quiet",
        "Write both tests in a file of `observability/rules/tests/`: one with `exp_alerts`, one"
        " without",
        untested,
        "their tests in `observability/rules/tests/`",
    ),
)
