"""Resources: what the processes use, and what keeps them from doing more.

The runtime's row differs by stack, so each stack's room has its own file of this dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slipway.maintainers.dashboards.board import Board, Row
from slipway.maintainers.dashboards.links import to_logs, to_runbook
from slipway.maintainers.dashboards.panels import ORANGE, RED, Ask, Panel, graph
from slipway.maintainers.dashboards.queries import INSTANCE, NAMESPACE, POD, SERVICE, share

# The limits of deploy/base/deployment.yaml: a test holds them against it.
CPU_LIMIT = 1.0
MEMORY_LIMIT = 256 * 1024 * 1024

IN_CLUSTERS = " Clusters only: cAdvisor and kube-state-metrics give it."


def rate(metric: str, by: str, matchers: str = INSTANCE) -> str:
    """Return a counter's growth a second."""
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def total(metric: str, by: str, matchers: str = INSTANCE) -> str:
    """Return a sum of values as they are."""
    return f"sum by ({by}) ({metric}{{{matchers}}})"


PROCESSES = Row(
    100,
    "Processes",
    [
        graph(
            "CPU",
            "CPU time used, in CPUs. The line is the limit: near it, requests wait for the "
            "scheduler.",
            "short",
            Ask(rate("process_cpu_time_seconds_total", "instance"), "{{instance}}"),
            lines=[(CPU_LIMIT, RED)],
        ),
        graph(
            "Memory",
            "Resident memory. The line is the limit, at which the kernel kills the process. A "
            "steady climb that no release explains is a leak.",
            "bytes",
            Ask(total("process_memory_usage_bytes", "instance"), "{{instance}}"),
            lines=[(MEMORY_LIMIT * 0.9, ORANGE), (MEMORY_LIMIT, RED)],
            links=[to_runbook("CrashLooping")],
        ),
        graph(
            "Requests in progress",
            "Requests that wait for their answer: the queue of the service. It grows when requests "
            "come faster than they are answered.",
            "short",
            Ask(total("http_server_active_requests", "instance"), "{{instance}}"),
        ),
        graph(
            "Instances by version",
            "Processes that send telemetry. Two versions at once are a release under way.",
            "short",
            Ask(
                f"count by (service_version) (process_memory_usage_bytes{{{SERVICE}}})",
                "{{service_version}}",
            ),
            links=[to_runbook("ServiceDown")],
        ),
    ],
)

RUNTIMES: Mapping[str, Sequence[Panel]] = {
    "python": [
        graph(
            "Threads",
            "Threads of each process. The pool for blocking work has 40: when it is used up, "
            "requests wait though the CPU is idle.",
            "short",
            Ask(total("process_thread_count", "instance"), "{{instance}}"),
        ),
        graph(
            "Open files",
            "File descriptors, sockets included. A steady climb is a connection left open.",
            "short",
            Ask(total("process_open_file_descriptor_count", "instance"), "{{instance}}"),
        ),
        graph(
            "Garbage collections",
            "Collections a second by generation. Many of generation 2 stop the process often.",
            "cps",
            Ask(
                rate("cpython_gc_collections_total", "cpython_gc_generation"),
                "generation {{cpython_gc_generation}}",
            ),
        ),
    ],
    "node": [
        graph(
            "Event loop in use",
            "Share of time in which the event loop works. Near 1, every request waits: it is the "
            "one resource that a second CPU does not add to.",
            "percentunit",
            Ask(
                f"max by (instance) (nodejs_eventloop_utilization_ratio{{{INSTANCE}}})",
                "{{instance}}",
            ),
            lines=[(0.9, ORANGE)],
            most=1,
        ),
        graph(
            "Event loop delay",
            "How late a timer is served. High values come from code that computes without a pause.",
            "s",
            Ask(f"max by (instance) (nodejs_eventloop_delay_p50_seconds{{{INSTANCE}}})", "p50"),
            Ask(f"max by (instance) (nodejs_eventloop_delay_p99_seconds{{{INSTANCE}}})", "p99"),
        ),
        graph(
            "Heap in use",
            "Memory of V8's heap by space. Old space that only grows is a leak.",
            "bytes",
            Ask(
                total("v8js_memory_heap_used_bytes", "v8js_heap_space_name"),
                "{{v8js_heap_space_name}}",
            ),
        ),
        graph(
            "Time in garbage collection",
            "Share of time that collections take, by kind. Nothing else runs meanwhile.",
            "percentunit",
            Ask(rate("v8js_gc_duration_seconds_sum", "v8js_gc_type"), "{{v8js_gc_type}}"),
        ),
        graph(
            "Open files",
            "File descriptors, sockets included. A steady climb is a connection left open.",
            "short",
            Ask(total("process_unix_file_descriptor_count", "instance"), "{{instance}}"),
        ),
    ],
    "go": [
        graph(
            "Goroutines",
            "Goroutines of each process. A number that only grows is a leak: something waits for "
            "what never comes.",
            "short",
            Ask(total("go_goroutine_count", "instance"), "{{instance}}"),
        ),
        graph(
            "Memory of the runtime",
            "Memory in use by kind, and the size of the heap at which the next collection ends.",
            "bytes",
            Ask(total("go_memory_used_bytes", "go_memory_type"), "{{go_memory_type}}"),
            Ask(total("go_memory_gc_goal_bytes", "service_name"), "goal of the collector"),
        ),
        graph(
            "Allocations",
            "Memory allocated a second: what the garbage collector has to clear away.",
            "Bps",
            Ask(rate("go_memory_allocated_bytes_total", "instance"), "{{instance}}"),
        ),
        graph(
            "CPU for each thread",
            "Share of the CPU time that the runtime's threads may use. Near 1, goroutines wait.",
            "percentunit",
            Ask(
                f"{rate('process_cpu_time_seconds_total', 'instance')} "
                f"/ {total('go_processor_limit', 'instance')}",
                "{{instance}}",
            ),
            most=1,
        ),
    ],
}

CONTAINERS = Row(
    300,
    "Containers",
    [
        graph(
            "CPU of the limit",
            f"Share of its CPU limit that each pod uses.{IN_CLUSTERS}",
            "percentunit",
            Ask(
                f"{rate('container_cpu_usage_seconds_total', 'pod', POD)} / on (pod) "
                + total("kube_pod_container_resource_limits", "pod", f'{POD}, resource="cpu"'),
                "{{pod}}",
            ),
            lines=[(0.9, ORANGE)],
        ),
        graph(
            "CPU throttled",
            "Share of the scheduler's periods in which a pod had to stop because its limit was "
            f"used up. Above a few percent, latency suffers: raise the limit.{IN_CLUSTERS}",
            "percentunit",
            Ask(
                f"{rate('container_cpu_cfs_throttled_periods_total', 'pod', POD)} "
                f"/ {rate('container_cpu_cfs_periods_total', 'pod', POD)}",
                "{{pod}}",
            ),
            lines=[(0.05, ORANGE)],
        ),
        graph(
            "Memory of the limit",
            f"Share of its memory limit that each pod uses; at 1 it is killed.{IN_CLUSTERS}",
            "percentunit",
            Ask(
                f"{total('container_memory_working_set_bytes', 'pod', POD)} / on (pod) "
                + total("kube_pod_container_resource_limits", "pod", f'{POD}, resource="memory"'),
                "{{pod}}",
            ),
            lines=[(0.9, ORANGE)],
            links=[to_runbook("CrashLooping")],
        ),
        graph(
            "Restarts",
            f"Restarts of each pod's container within 15 minutes.{IN_CLUSTERS}",
            "short",
            Ask(
                f"sum by (pod) (increase(kube_pod_container_status_restarts_total{{{POD}}}[15m]))",
                "{{pod}}",
            ),
            links=[to_runbook("CrashLooping")],
        ),
        graph(
            "Out of memory",
            f"Processes that the kernel killed for their memory, within an hour.{IN_CLUSTERS}",
            "short",
            Ask(f"sum by (pod) (increase(container_oom_events_total{{{POD}}}[1h]))", "{{pod}}"),
            links=[to_runbook("CrashLooping")],
        ),
        graph(
            "Replicas",
            f"Pods that the autoscaler wants, and those that are ready.{IN_CLUSTERS}",
            "short",
            # Of a Deployment or of a Rollout, about which kube-state-metrics knows nothing.
            Ask(
                f"sum(kube_horizontalpodautoscaler_status_desired_replicas{{{NAMESPACE}}})",
                "wanted",
            ),
            Ask(f'sum(kube_pod_status_ready{{{NAMESPACE}, condition="true"}})', "ready"),
            links=[to_runbook("ServiceDown")],
        ),
    ],
)

_CALLS = f'{SERVICE}, span_kind="SPAN_KIND_CLIENT"'
_EDGE = "server_address, db_system_name"
_TO = "{{server_address}} {{db_system_name}}"

DEPENDENCIES = Row(
    400,
    "What it calls",
    [
        graph(
            "Calls",
            "Calls a second to stores and other services, counted from traces.",
            "cps",
            Ask(rate("traces_span_metrics_calls_total", _EDGE, _CALLS), _TO),
        ),
        graph(
            "Share of failed calls",
            "Share of calls that fail. When it rises together with the service's own errors, the "
            "cause is over there.",
            "percentunit",
            Ask(
                share(
                    rate(
                        "traces_span_metrics_calls_total",
                        _EDGE,
                        f'{_CALLS}, status_code="STATUS_CODE_ERROR"',
                    ),
                    rate("traces_span_metrics_calls_total", _EDGE, _CALLS),
                ),
                _TO,
            ),
            links=[to_logs()],
        ),
        graph(
            "95 % of calls",
            "The duration that 95 of 100 calls do not exceed.",
            "s",
            Ask(
                "histogram_quantile(0.95, "
                + rate("traces_span_metrics_duration_seconds_bucket", f"le, {_EDGE}", _CALLS)
                + ")",
                _TO,
            ),
        ),
    ],
)

_COLLECTOR = 'job="collector"'
_SIGNALS = ("spans", "metric_points", "log_records")


def _collected(what: str, signal: str) -> str:
    return f"sum(rate(otelcol_{what}_{signal}_total{{{_COLLECTOR}}}[$__rate_interval]))"


COLLECTOR = Row(
    500,
    "The collector",
    [
        graph(
            "Accepted",
            "Spans, data points and log records a second that the collector takes, of every "
            "service that sends to it.",
            "cps",
            *(
                Ask(_collected("receiver_accepted", signal), signal.replace("_", " "))
                for signal in _SIGNALS
            ),
        ),
        graph(
            "Refused and lost",
            "What the collector refuses because its memory is full, and what no backend took. "
            "Anything above zero leaves gaps on every dashboard.",
            "cps",
            *(
                Ask(
                    f"({_collected('receiver_refused', signal)} or vector(0)) "
                    f"+ ({_collected('exporter_enqueue_failed', signal)} or vector(0)) "
                    f"+ ({_collected('exporter_send_failed', signal)} or vector(0))",
                    signal.replace("_", " "),
                )
                for signal in _SIGNALS
            ),
            links=[to_runbook("CollectorDropsData")],
        ),
        graph(
            "Queues in use",
            "Share of each exporter's queue that is used. A queue that fills belongs to a backend "
            "that is slow or gone.",
            "percentunit",
            Ask(
                f"max by (exporter) (otelcol_exporter_queue_size{{{_COLLECTOR}}}) "
                f"/ max by (exporter) (otelcol_exporter_queue_capacity{{{_COLLECTOR}}})",
                "{{exporter}}",
            ),
            lines=[(0.8, ORANGE)],
            most=1,
            links=[to_runbook("CollectorDropsData")],
        ),
        graph(
            "Memory of the collector",
            "Resident memory of the collector.",
            "bytes",
            Ask(f"sum by (instance) (otelcol_process_memory_rss_bytes{{{_COLLECTOR}}})", "memory"),
        ),
    ],
)


def board(stack: str) -> Board:
    """Return the dashboard of a stack."""
    return Board(
        kind="use",
        description="What the service uses of its limits, what it calls, and who carries its "
        "signals: utilisation, saturation and errors.",
        rows=[
            PROCESSES,
            Row(200, "Runtime", RUNTIMES[stack]),
            CONTAINERS,
            DEPENDENCIES,
            COLLECTOR,
        ],
        since="now-3h",
        selections=["instance"],
    )
