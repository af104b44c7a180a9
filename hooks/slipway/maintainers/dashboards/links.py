"""Where a panel leads: to traces, to logs, to a runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

# GitLab has a dash before what is no project.
_BLOB = "[[ '/-' if 'gitlab' in repository_url.split('/')[2] else '' ]]/blob/HEAD"
RUNBOOKS = f"[[ repository_url ]]{_BLOB}/runbooks"

TRACES = (
    'resource.service.name = "[[ service_name ]]" '
    '&& resource.deployment.environment.name = "$environment" && kind = server'
)
FAILED_TRACES = f"{{ {TRACES} && status = error }}"
SLOW_TRACES = f"{{ {TRACES} && duration > [[ (slo_latency_seconds * 1000) | int ]]ms }}"

LOGQL = '{service_name="[[ service_name ]]", deployment_environment_name="$environment"}'
LUCENE = (
    'resource.attributes.service.name:"[[ service_name ]]" '
    'AND resource.attributes.deployment.environment.name:"$environment"'
)
INSIGHTS = (
    "fields @timestamp, severityText, body, traceId "
    '| filter resource.attributes.service.name = "[[ service_name ]]" '
    'and resource.attributes.deployment.environment.name = "$environment"'
)
LOG_GROUP = "/[[ team ]]/[[ service_name ]]"


def to_traces(query: str) -> DashboardLink:
    """Return the link that opens a TraceQL query in Explore."""
    source = {"type": "tempo", "uid": "${tempo_datasource}"}
    return _explore("Traces", source, {"queryType": "traceql", "query": query})


def to_logs() -> DashboardLink:
    """Return the link that opens the service's log in Explore."""
    loki = {"expr": LOGQL, "queryType": "range"}
    elasticsearch = {"query": LUCENE, "metrics": [{"id": "1", "type": "logs"}]}
    cloudwatch = {
        "expression": INSIGHTS,
        "queryMode": "Logs",
        "region": "default",
        "logGroupNames": [LOG_GROUP],
    }
    source = {"type": "[[ logs ]]", "uid": "${[[ logs ]]_datasource}"}
    links = {
        "loki": _url(source, loki),
        "elasticsearch": _url(source, elasticsearch),
        "cloudwatch": _url(source, cloudwatch),
    }
    url = "".join(
        f"[% {'elif' if index else 'if'} logs == '{logs}' %]{link}"
        for index, (logs, link) in enumerate(links.items())
    )
    return _link("Logs", f"{url}[% endif %]")


def to_runbook(alert: str) -> DashboardLink:
    """Return the link to the runbook of an alert."""
    return _link(f"Runbook: {alert}", f"{RUNBOOKS}/{alert}.md")


def _explore(title: str, source: dict[str, str], query: Mapping[str, object]) -> DashboardLink:
    return _link(title, _url(source, query))


def _url(source: dict[str, str], query: Mapping[str, object]) -> str:
    pane = {
        "a": {
            "datasource": source["uid"],
            "queries": [{"refId": "A", "datasource": source, **query}],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    encoded = quote(
        json.dumps(pane, separators=(",", ":")).replace("$environment", "${environment}")
    )
    # Grafana's variables and our answers are read before the address is.
    encoded = re.sub(r"%5B%5B.*?%5D%5D", lambda found: unquote(found[0]), encoded)
    encoded = re.sub(r"%24%7B(.*?)%7D", r"${\1}", encoded)
    return f"/explore?schemaVersion=1&orgId=1&panes={encoded}"


def _link(title: str, url: str) -> DashboardLink:
    return (
        DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(target_blank=True)
    )
