"""Dashboards: they are there, and their panels ask for metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from slipway import metrics
from slipway.answers import ANSWERS_FILE
from slipway.dashboards import Query, panels, queries
from slipway.gates.alerts import rules_of
from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service

DASHBOARDS = re.compile(r"observability/dashboards/[^/]+\.json")
FOLDER = "observability/dashboards"
# Those of every service; what else is there is the service's own.
STANDARD = ("red", "use", "slo")
# A service may send further instruments under this name and ask for them in its own dashboards.
OWN = "app_"
OURS = re.compile(rf"{FOLDER}/(?:red|use|slo|business)\.json")


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: its file, how many panels it has, and what they ask."""

    file: str
    panels: int
    queries: list[Query]


def read(service: Service) -> Iterator[Dashboard | Fault]:
    """Yield every dashboard, or why it cannot be read."""
    for file in filter(DASHBOARDS.fullmatch, service.files):
        text = service.text(file) or ""
        try:
            yield Dashboard(file, len(list(panels(json.loads(text)))), queries(text))
        except json.JSONDecodeError as error:
            yield Fault(Place(file, error.lineno), f"this is no JSON: {error.msg}")
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            yield Fault(Place(file, 1), str(error) or "this is no dashboard in classic form")


def missing(service: Service) -> Iterator[Fault]:
    """Find dashboards that are missing, empty or unreadable."""
    for name in STANDARD:
        file = f"{FOLDER}/{name}.json"
        if file not in service.files:
            yield Fault(Place(file, 1), f"there is no dashboard {name}")
    for found in read(service):
        if isinstance(found, Fault):
            yield found
        elif not found.panels:
            yield Fault(Place(found.file, 1), "the dashboard has no panel")


def unknown_metrics(service: Service) -> Iterator[Fault]:
    """Find queries on metrics that nobody emits."""
    known = known_metrics(service)
    for found in read(service):
        if isinstance(found, Fault):
            continue
        for query in found.queries:
            for name in sorted(query.metrics - known):
                if not (name.startswith(OWN) and not OURS.fullmatch(found.file)):
                    place = Place(found.file, query.line)
                    yield Fault(place, f"{query.place} asks for {name!r}, which nobody emits")


def known_metrics(service: Service) -> frozenset[str]:
    """Return the metrics of the contract, of the answers, and of the service's recording rules."""
    answers = service.document(ANSWERS_FILE)
    stack = answers.get("stack") if answers else None
    business = answers.mapping("business_metrics") if answers else {}
    recorded = {name.text for rule in rules_of(service) if (name := rule.get("record"))}
    kinds = {name: kind.text for name, kind in business.items()}
    return metrics.known(stack.text if stack else "", kinds) | recorded


GATES = (
    Gate(
        "dashboards-present",
        "Dashboards of requests, resources and objectives are there",
        "`observability/dashboards/*.json`, the service's own files included",
        "Take it from an earlier commit, or export it from Grafana in classic form",
        missing,
    ),
    Gate(
        "panel-metrics",
        "Panels ask for metrics that are emitted",
        "the PromQL of panels, variables and annotations, held against the service contract,"
        " `business_metrics`, recording rules, the collector's and the cluster's metrics; own"
        " dashboards may ask for any `app_*` as well",
        "Name a metric of the contract, or record it by a rule in `observability/rules/`",
        unknown_metrics,
    ),
)
