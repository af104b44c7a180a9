"""The metrics that a rendered service, its collector and its cluster are known to give.

Names are those of Prometheus' OTLP endpoint: dots become underscores, then unit, then kind. What
an instrument is called before is its `otel` name; tests hold both against what services send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Instrument:
    """One instrument of a service.

    Attributes:
        otel: its name in OpenTelemetry, such as `process.cpu.time`.
        series: its names in Prometheus, without the three suffixes of a histogram.
        histogram: whether it has buckets.

    """

    otel: str
    series: str
    histogram: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its series in Prometheus."""
        suffixes = ("_bucket", "_count", "_sum") if self.histogram else ("",)
        return tuple(self.series + suffix for suffix in suffixes)


REQUESTS = Instrument(
    "http.server.request.duration", "http_server_request_duration_seconds", histogram=True
)
ACTIVE = Instrument("http.server.active_requests", "http_server_active_requests")
CALLS = Instrument(
    "http.client.request.duration", "http_client_request_duration_seconds", histogram=True
)
CPU = Instrument("process.cpu.time", "process_cpu_time_seconds_total")
MEMORY = Instrument("process.memory.usage", "process_memory_usage_bytes")

# What every service sends, whatever its stack.
COMMON = (REQUESTS, ACTIVE, CALLS, CPU, MEMORY)

# What only the runtime of a stack sends.
RUNTIME: Mapping[str, tuple[Instrument, ...]] = {
    "python": (
        Instrument("process.open_file_descriptor.count", "process_open_file_descriptor_count"),
        Instrument("process.thread.count", "process_thread_count"),
        Instrument("cpython.gc.collections", "cpython_gc_collections_total"),
    ),
    "node": (
        Instrument("process.unix.file_descriptor.count", "process_unix_file_descriptor_count"),
        Instrument("nodejs.eventloop.utilization", "nodejs_eventloop_utilization_ratio"),
        Instrument("nodejs.eventloop.delay.p50", "nodejs_eventloop_delay_p50_seconds"),
        Instrument("nodejs.eventloop.delay.p99", "nodejs_eventloop_delay_p99_seconds"),
        Instrument("v8js.memory.heap.used", "v8js_memory_heap_used_bytes"),
        Instrument("v8js.gc.duration", "v8js_gc_duration_seconds", histogram=True),
    ),
    "go": (
        Instrument("go.goroutine.count", "go_goroutine_count"),
        Instrument("go.memory.used", "go_memory_used_bytes"),
        Instrument("go.memory.gc.goal", "go_memory_gc_goal_bytes"),
        Instrument("go.memory.allocated", "go_memory_allocated_bytes_total"),
        Instrument("go.processor.limit", "go_processor_limit"),
    ),
}

# Made of spans by the collector.
SPANS = frozenset(
    f"traces_span_metrics_{name}"
    for name in ("calls_total", "duration_seconds_bucket", "duration_seconds_count",
                 "duration_seconds_sum")
)  # fmt: skip

# The collector's own. What failed is there only after the first failure.
COLLECTOR = frozenset(
    {"otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"}
    | {"otelcol_process_memory_rss_bytes", "otelcol_process_cpu_seconds_total"}
    | {"otelcol_process_uptime_seconds_total"}
    | {
        f"otelcol_{part}_{signal}_total"
        for part in ("receiver_accepted", "receiver_refused", "receiver_failed",
                     "exporter_sent", "exporter_send_failed", "exporter_enqueue_failed",
                     "processor_accepted", "processor_refused")
        for signal in ("spans", "metric_points", "log_records")
    }
)  # fmt: skip

# Of Prometheus itself.
OWN = frozenset({"ALERTS", "ALERTS_FOR_STATE", "target_info", "up"})

# cAdvisor's and kube-state-metrics': in clusters only.
CLUSTER = frozenset(
    {
        "container_cpu_usage_seconds_total",
        "container_cpu_cfs_periods_total",
        "container_cpu_cfs_throttled_periods_total",
        "container_memory_working_set_bytes",
        "container_oom_events_total",
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "kube_horizontalpodautoscaler_status_current_replicas",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_pod_container_resource_limits",
        "kube_pod_container_status_last_terminated_reason",
        "kube_pod_container_status_restarts_total",
        "kube_pod_container_status_waiting_reason",
        "kube_pod_status_ready",
    }
)


def of_stack(stack: str) -> frozenset[str]:
    """Return the names of the series that a service of this stack sends by itself."""
    return frozenset(name for one in (*COMMON, *RUNTIME.get(stack, ())) for name in one.names)


def of_business(business_metrics: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the series of `business_metrics`: name to counter or gauge."""
    return frozenset(
        f"app_{name}_total" if kind == "counter" else f"app_{name}"
        for name, kind in business_metrics.items()
    )


def recorded(rules: object) -> Iterator[str]:
    """Yield the metrics that recording rules make.

    Args:
        rules: a document of a rule file, or a PrometheusRule.

    """
    whole: Any = rules if isinstance(rules, Mapping) else {}
    spec: Any = whole.get("spec")
    groups: Any = (spec if isinstance(spec, Mapping) else whole).get("groups")
    for group in groups if isinstance(groups, list) else []:
        for rule in group.get("rules") or [] if isinstance(group, Mapping) else []:
            if isinstance(rule, Mapping) and isinstance(rule.get("record"), str):
                yield rule["record"]


def known(
    stack: str, business_metrics: Mapping[str, str], rule_files: Iterable[str] = ()
) -> frozenset[str]:
    """Return every metric that a query about a service may name.

    Args:
        stack: python, node or go.
        business_metrics: the answer, name to counter or gauge.
        rule_files: the texts of the service's rule files.

    Raises:
        yaml.YAMLError: a rule file is no YAML.

    """
    from_rules = {
        name
        for text in rule_files
        for document in yaml.safe_load_all(text)
        for name in recorded(document)
    }
    return frozenset(
        of_stack(stack)
        | of_business(business_metrics)
        | from_rules
        | SPANS
        | COLLECTOR
        | OWN
        | CLUSTER
    )
