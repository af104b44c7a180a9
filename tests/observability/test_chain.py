"""The whole way of a service's telemetry, on the real programs, for each stack.

The chains of all stacks run at once: most of their time they wait for the next minute.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.dashboards import Query, substitute
from slipway.metrics import recorded

from tests.contract.canaries import CANARIES, found
from tests.contract.conftest import Build, Render, built, rendered
from tests.contract.recording import Course, environment
from tests.contract.stacks import PYTHON, STACKS, Mutation, Stack
from tests.engines import observing
from tests.engines.fixtures import backends
from tests.engines.fixtures.backends import Setup
from tests.engines.fixtures.docker import Docker
from tests.observability import chain as chains
from tests.observability.chain import NEIGHBOUR, SERVICE, Chain
from tests.observability.dashboards import CHOSEN, boards
from tests.observability.runbooks import Command, commands
from tests.services import nothing_of_the_user, shared, template

__all__ = ["built", "nothing_of_the_user", "rendered", "shared", "template"]

pytestmark = pytest.mark.engine(
    "docker", "collector", "images", "prometheus", "promtool", "alertmanager", "loki"
)

# What a dashboard's variables stand for here.
VALUES = {**CHOSEN, "environment": chains.ENVIRONMENT}
# How many lines Loki gives at once.
LOKI_LIMIT = 5000
# The SDK of Node measures without exemplars; those of its spans are the collector's.
EXEMPLARS = {
    "python": "http_server_request_duration_seconds_bucket",
    "go": "http_server_request_duration_seconds_bucket",
    "node": "traces_span_metrics_duration_seconds_bucket",
}
# A service that takes no care in any signal, and a collector that takes none either.
CARELESS = (
    PYTHON.mutations["path in spans"],
    Mutation("src/app/telemetry.py", '"app.*": set[str](),', '"app.*": {"app.mail"},'),
    Mutation(
        "src/app/api.py",
        'telemetry.count("signups")',
        "(telemetry._logger.info(new.email),"
        ' telemetry._counters["signups"].add(1, {"app.mail": new.email}))',
    ),
)
NO_REDACTION = {
    "service": {
        "pipelines": {
            name: {"processors": ["memory_limiter"]} for name in ("traces", "metrics", "logs")
        }
    }
}


@dataclass
class Start:
    """Starts chains; each runs until the end of the tests.

    Attributes:
        ends: what is stopped then.

    """

    docker: Docker
    built: Build
    rendered: Render
    folders: pytest.TempPathFactory
    ends: contextlib.ExitStack

    def whole(self, stack: Stack) -> Chain:
        """Take a service of a stack, with stores and a neighbour, through everything."""
        service = self.rendered(stack, None, **chains.STORES)
        image = self.built(stack, None, **chains.STORES)
        folder = self.folders.mktemp(f"chain-{stack}")
        return self.ends.enter_context(chains.running(self.docker, stack, service, image, folder))

    def careless(self, stack: Stack) -> Chain:
        """Send the canaries to a service that takes no care, past a collector without redaction."""
        service = self.rendered(stack)
        for fault in CARELESS:
            fault.apply(service)
        image = self.docker.build(service, target="production")
        folder = self.folders.mktemp("careless")
        setup = Setup(collector=NO_REDACTION)
        addresses = ("127.0.0.1", self.docker.gateway())
        behind = self.ends.enter_context(
            backends.running(service, folder, setup, addresses=addresses)
        )
        chain = Chain(stack, service, behind)
        variables = environment(chain.backends.endpoint_for_containers, LOG_LEVEL="info")
        chain.started = time.time()
        with self.docker.container(image, environment=variables) as container:
            chains.ready(container)
            with chain.tally.client(container.url) as client:
                Course(client).run_canaries()
            container.stop()
        chain.backends.wait_for(lambda one: one.logs('{service_name=~".+"}'), 20)
        chain.ended = time.time()
        return chain


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest,
    docker: Docker,
    built: Build,
    rendered: Render,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[Chain]]]:
    """Run the chains of all stacks that are asked about, at once, until the last test."""
    items = [item.name for item in request.session.items if item.path == request.path]
    with contextlib.ExitStack() as ends, ThreadPoolExecutor(len(STACKS) + 1) as pool:
        start = Start(docker, built, rendered, tmp_path_factory, ends)
        chains_of = {
            stack.name: pool.submit(start.whole, stack)
            for stack in STACKS
            if any(name.endswith(f"[{stack}]") for name in items)
        }
        if any("careless" in name for name in items):
            chains_of["careless"] = pool.submit(start.careless, PYTHON)
        yield chains_of


@pytest.fixture(params=STACKS, ids=str)
def stack(request: pytest.FixtureRequest) -> Stack:
    row: Stack = request.param
    return row


@pytest.fixture
def chain(running: Mapping[str, Future[Chain]], stack: Stack) -> Chain:
    """Give the chain of a stack, after everything that happens in it."""
    return running[stack.name].result()


# Metrics and rules --------------------------------------------------------------------------------


def rules(service: Path) -> set[str]:
    """Return the names of a service's recording rules."""
    return {
        name
        for file in backends.rule_files(service)
        for name in recorded(yaml.safe_load(file.read_text()))
    }


def without_samples(chain: Chain, names: set[str]) -> list[str]:
    """Return the metrics that the service has no finite sample of."""
    return [name for name in sorted(names) if not numbers(prometheus(chain, name))]


def test_every_recording_rule_yields_samples(chain: Chain) -> None:
    names = rules(chain.service)
    assert len(names) > 20
    assert not without_samples(chain, names)
    failed = [rule["name"] for rule in chain.backends.rules() if rule["health"] != "ok"]
    assert not failed, failed


def test_a_rule_without_samples_is_noticed(chain: Chain) -> None:
    assert without_samples(chain, {"service:of_nobody:rate5m"}) == ["service:of_nobody:rate5m"]


def test_each_request_is_counted_once_through_a_restart(chain: Chain) -> None:
    """The second instance began with errors: a rate would have taken them for its zero."""
    for name, sent in {"requests": chain.tally.requests, "errors": chain.tally.errors}.items():
        counted = f"service:http_server_{name}:increase1m{{{chain.series}}}"
        total = chain.backends.value(f"sum(sum_over_time({counted}[1h]))")
        assert total == sent, f"{name}: {chain.tally.statuses}"
    # Those of the hanging store; the steady load met it too.
    assert chain.tally.errors >= 2 * chains.ERRORS


def test_what_a_rate_sees_of_the_errors_after_a_restart_is_less(chain: Chain) -> None:
    """The control: the usual way to count loses them."""
    errors = f'http_server_request_duration_seconds_count{{{chain.series},' \
             'http_response_status_code=~"5.."}'  # fmt: skip
    seen = chain.backends.value(f"sum(increase({errors}[1h]))")
    assert seen is None or seen < chain.tally.errors


# Dashboards ---------------------------------------------------------------------------------------


def questions(chain: Chain) -> list[Query]:
    """Return every query of every dashboard that can be asked here."""
    return [
        query
        for board in boards(chain.service)
        for query in board.queries
        if query.kind in ("prometheus", "loki") and query.needs != "cluster"
    ]


def numbers(result: list[dict[str, Any]]) -> list[float]:
    """Return the finite values of what a backend answers; each line of a log counts as one."""
    values = [
        value
        for series in result
        for _, value, *_ in series.get("values", [series.get("value", (0, "NaN"))])
    ]
    return [one for one in map(_number, values) if math.isfinite(one)]


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 1.0


def prometheus(chain: Chain, promql: str, *, instant: bool = False) -> list[dict[str, Any]]:
    """Ask Prometheus for the time of the chain, or for its end."""
    if instant:
        return chain.backends.query(promql, at=chain.ended)
    return chain.backends.query_range(
        promql, seconds=chain.ended - chain.started, step=5, until=chain.ended
    )


def loki(chain: Chain, logql: str, *, after: int = 0) -> list[dict[str, Any]]:
    """Ask Loki for the time of the chain, or what is left of it: streams, or series.

    Args:
        chain: whose time it is.
        logql: the query.
        after: nanoseconds since 1970.

    """
    asked = {
        "query": logql,
        "start": str(after or round(chain.started * 1e9)),
        "end": str(round(chain.ended * 1e9)),
        "step": "5s",
        "limit": str(LOKI_LIMIT),
        "direction": "forward",
    }
    answer = backends.ASKING.get(
        f"{chain.backends.url('loki')}/loki/api/v1/query_range", params=asked
    )
    assert answer.status_code == 200, f"{logql}: {answer.text}"
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


def every_line(chain: Chain) -> list[str]:
    """Return all lines in Loki, of every service, each with its labels and metadata."""
    found: list[str] = []
    after = 0
    while streams := loki(chain, '{service_name=~".+"}', after=after):
        lines = sorted(
            (int(at), f"{text} {stream['stream']}")
            for stream in streams
            for at, text, *_ in stream["values"]
        )
        found += [line for _, line in lines]
        after = lines[-1][0] + 1
    return found


def answer(chain: Chain, query: Query) -> list[dict[str, Any]]:
    """Ask a dashboard's question."""
    expression = substitute(query.expression, VALUES)
    if query.kind == "loki":
        return loki(chain, expression)
    return prometheus(chain, expression, instant=query.instant)


def silent(chain: Chain, asked: list[Query]) -> list[str]:
    """Return the queries that give no finite number, with their place."""
    return [
        f"{query.place}: {query.expression}" for query in asked if not numbers(answer(chain, query))
    ]


def test_every_query_of_every_panel_has_data(chain: Chain) -> None:
    asked = questions(chain)
    assert {query.kind for query in asked} == {"prometheus", "loki"}
    wrong = silent(chain, asked)
    assert not wrong, "\n".join(wrong)


def test_a_panel_on_a_metric_that_is_gone_is_noticed(chain: Chain) -> None:
    for old, new in {
        "http_server_request_duration_seconds": "http_server_duration_seconds",
        f'service_name="{SERVICE}"': 'service_name="another"',
    }.items():
        broken = [
            Query(query.place, query.kind, query.expression.replace(old, new), query.line)
            for query in questions(chain)
            if old in query.expression
        ]
        assert broken, f"no query holds {old}"
        # Some say 0 where there is nothing.
        assert len(silent(chain, broken)) > 0.9 * len(broken)


# Traces -------------------------------------------------------------------------------------------


def exemplars(chain: Chain, metric: str) -> set[str]:
    """Return the traces that the exemplars of a metric name."""
    asked = f"{metric}{{{chain.series}}}"
    return {one["labels"].get("trace_id", "") for one in chain.backends.exemplars(asked)}


def test_one_trace_is_found_in_every_signal(chain: Chain) -> None:
    traces = {span.trace_id for span in chain.backends.spans()}
    assert set(chain.tally.traces) <= traces
    assert len(set(chain.tally.traces)) > 100
    shown = exemplars(chain, EXEMPLARS[chain.stack.name])
    assert shown, "no exemplars"
    assert shown <= traces
    one = next(iter(sorted(shown & set(chain.tally.traces))))
    selected = "{" + chain.series + "}"
    lines = chain.backends.logs(f'{selected} | trace_id="{one}"')
    assert lines
    assert not chain.backends.logs(f'{selected} | trace_id="{"0" * 32}"')


def test_calls_to_services_and_stores_are_edges(chain: Chain) -> None:
    """What a service map draws: who calls which address, and of what kind it is."""
    calls = 'sum by (service_name, server_address, db_system_name) (' \
            'traces_span_metrics_calls_total{span_kind="SPAN_KIND_CLIENT"})'  # fmt: skip
    edges = {
        (
            one["metric"].get("service_name"),
            one["metric"].get("server_address"),
            one["metric"].get("db_system_name"),
        )
        for one in chain.backends.query(calls, at=chain.ended)
    }
    assert edges == {
        (SERVICE, NEIGHBOUR, None),
        (SERVICE, "postgres", "postgresql"),
        (SERVICE, "redis", "redis"),
        (NEIGHBOUR, "postgres", "postgresql"),
    }
    served = chain.backends.query(
        f'traces_span_metrics_calls_total{{service_name="{NEIGHBOUR}",'
        'span_kind="SPAN_KIND_SERVER"}',
        at=chain.ended,
    )
    assert served, "the other end of the edge"


# Alerts -------------------------------------------------------------------------------------------


def test_the_errors_reach_the_pager_with_a_runbook(chain: Chain) -> None:
    name = "AvailabilityBudgetBurnsFast"
    arrived = chain.backends.wait_for(lambda one: one.sink.arrived("pager", name), 60)
    assert arrived, chain.backends.alerts()
    (alert,) = (one for one in arrived[0].alerts if one["labels"]["alertname"] == name)
    assert alert["labels"]["service_name"] == SERVICE
    runbook = alert["annotations"]["runbook_url"].rpartition("/")[2]
    assert (chain.service / "runbooks" / runbook).is_file()
    assert chain.backends.sink.arrived("heartbeat", "Watchdog")


# Runbooks -----------------------------------------------------------------------------------------


def printed(chain: Chain, command: Command) -> str:
    """Run a runbook's query as whoever is on call would, and return what it prints."""
    if command.kind == "promql":
        done = subprocess.run(
            [
                observing.PROMTOOL.path, "query", "instant", f"--time={chain.ended:.3f}",
                chain.backends.url("prometheus"), command.text,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout
    return "\n".join(
        f"{labels} {text}"
        for stream in loki(chain, command.text)
        for labels in [stream.get("stream", stream.get("metric"))]
        for text in stream["values"]
    )


def test_runbook_commands_print_what_the_runbook_says(chain: Chain) -> None:
    asked = [one for one in commands(chain.service) if one.kind in ("promql", "logql")]
    assert {one.kind for one in asked} == {"promql", "logql"}
    wrong = [
        f"{one}: {one.text}\nsays: {one.prints}\nprints: {output[:500]}"
        for one in asked
        if not one.holds(output := printed(chain, one))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_runbook_command_about_what_nobody_sends_is_noticed(chain: Chain) -> None:
    asked = [
        one
        for one in commands(chain.service)
        if one.kind == "promql" and not one.may_be_empty and SERVICE in one.text
    ]
    assert asked
    for one in asked:
        elsewhere = replace(one, text=one.text.replace(f'"{SERVICE}"', '"another"'))
        assert not elsewhere.holds(printed(chain, elsewhere)), one


# Personal data ------------------------------------------------------------------------------------


def kept(chain: Chain) -> dict[str, str]:
    """Return everything that the backends hold, as text."""
    url = chain.backends.url("prometheus")
    everything = {"match[]": '{__name__=~".+"}'}
    names = backends.ASKING.get(f"{url}/api/v1/labels").json()["data"]
    return {
        "series": backends.ASKING.get(f"{url}/api/v1/series", params=everything).text,
        "label values": "".join(
            backends.ASKING.get(f"{url}/api/v1/label/{name}/values").text for name in names
        ),
        "exemplars": str(chain.backends.exemplars(everything["match[]"])),
        "logs": "\n".join(every_line(chain)),
        "traces": chain.backends.traces_text(),
    }


def test_nothing_personal_reaches_a_backend(chain: Chain) -> None:
    assert len(CANARIES) == 20
    texts = kept(chain)
    assert all(len(text) > 1000 for text in texts.values()), {k: len(v) for k, v in texts.items()}
    assert not found(texts)


def test_a_careless_service_without_redaction_is_found_out(
    running: Mapping[str, Future[Chain]],
) -> None:
    leaks = found(kept(running["careless"].result()))
    assert {"mail in series", "mail in logs", "mail in traces"} <= set(leaks)
