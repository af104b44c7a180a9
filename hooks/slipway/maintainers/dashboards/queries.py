"""The selectors and expressions that panels share."""

from __future__ import annotations

# Of one service in one environment. What the service itself sends has these labels.
SERVICE = 'service_name="[[ service_name ]]", deployment_environment_name="$environment"'
INSTANCE = f'{SERVICE}, instance=~"$instance"'
ROUTE = f'{INSTANCE}, http_route=~"$route"'

# Of its pods, as cAdvisor and kube-state-metrics name them.
POD = 'namespace="[[ service_name ]]-$environment", container="app"'
NAMESPACE = 'namespace="[[ service_name ]]-$environment"'

# Alerts about the service in this environment, and those that know no environment.
ALERTS = 'service_name="[[ service_name ]]", deployment_environment_name=~"$environment|"'
# Pages and tickets that fire.
FIRING = f'ALERTS{{{ALERTS}, alertstate="firing", severity=~"page|ticket"}}'
ALERTS_NOW = f"count({FIRING}) or vector(0)"

DURATION = "http_server_request_duration_seconds"
FAILED = 'http_response_status_code=~"5.."'


def requests(matchers: str, by: str = "") -> str:
    """Return requests a second."""
    return f"{_sum(by)} (rate({DURATION}_count{{{matchers}}}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """Return a part of a whole, 0 where there is none of it, nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(q: float, matchers: str, by: str = "") -> str:
    """Return a quantile of the durations of requests in seconds."""
    labels = f"le, {by}" if by else "le"
    buckets = f"{_sum(labels)} (rate({DURATION}_bucket{{{matchers}}}[$__rate_interval]))"
    return f"histogram_quantile({q}, {buckets})"


def counted(series: str) -> str:
    """Return what counters grew by within the time shown.

    One that is new counts whole: `increase` alone would leave out the first errors of an instance.
    """
    none = f"0 * last_over_time({series}[$__range])"
    first = f"min_over_time({series}[$__range]) unless {series} offset $__range"
    return f"((increase({series}[$__range]) or {none}) + ({first} or {none}))"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
