"""The programs behind a service run from its own files, and tell what arrived."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.fixtures import backends
from tests.engines.fixtures.backends import BackendError, Backends, Setup
from tests.engines.plugin import RunBackends

RESOURCE = {
    "service.name": "signups",
    "service.namespace": "example",
    "service.instance.id": "one",
    "service.version": "1.2.3",
    "deployment.environment.name": "local",
}


def every_second(rules: Any) -> Any:
    """Evaluate each group once a second: nobody waits for a minute to end."""
    for group in rules["groups"]:
        group["interval"] = "1s"
    return rules


QUICK = Setup(change_rules=every_second)
QUIET = Setup(logs=False)


@pytest.fixture(scope="module")
def running(run_backends: RunBackends, service: Path) -> Iterator[Backends]:
    with run_backends(service, QUICK) as started:
        yield started


def attributes(**values: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def send(running: Backends, signal: str, scope: dict[str, Any]) -> None:
    """Send one scope of one signal as a service does."""
    capital = "Spans" if signal == "traces" else signal.capitalize()
    one = {"resource": {"attributes": attributes(**RESOURCE)}, f"scope{capital}": [scope]}
    answer = httpx.post(
        f"{running.endpoint}/v1/{signal}", json={f"resource{capital}": [one]}, trust_env=False
    )
    answer.raise_for_status()


def send_count(running: Backends, count: int) -> None:
    point = {"asInt": str(count), "timeUnixNano": str(time.time_ns()), "startTimeUnixNano": "1"}
    total = {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [point]}
    send(running, "metrics", {"metrics": [{"name": "app.sent", "sum": total}]})


def sent(running: Backends) -> float | None:
    return running.value('app_sent_total{service_name="signups", instance="one"}')


def test_each_signal_arrives_at_its_backend(running: Backends) -> None:
    trace, now = uuid.uuid4().hex, time.time_ns()
    send_count(running, 7)
    record = {
        "timeUnixNano": str(now), "severityText": "info", "body": {"stringValue": "it was read"},
        "traceId": trace, "spanId": trace[:16],
    }  # fmt: skip
    send(running, "logs", {"logRecords": [record]})
    span = {
        "traceId": trace, "spanId": trace[:16], "name": "GET", "kind": 2,
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**7),
        "attributes": attributes(**{"http.route": "/read"}),
    }  # fmt: skip
    send(running, "traces", {"spans": [span]})

    assert running.wait_for(sent) == 7
    (line,) = running.wait_for(
        lambda one: one.logs(f'{{service_name="signups"}} | trace_id="{trace}"')
    )
    assert line.text == "it was read"
    assert running.wait_for(lambda one: one.spans())[0].trace_id == trace
    calls = 'traces_span_metrics_calls_total{http_route="/read"}'
    assert running.wait_for(lambda one: one.value(calls)) == 1
    ids = running.wait_for(lambda one: one.exemplars('{__name__=~"traces_span_metrics_.+"}'))
    assert ids[0]["labels"]["trace_id"] == trace
    assert running.query_range(calls, seconds=60)[0]["values"]
    assert running.logs('{service_name="another"}') == []


def test_what_prometheus_tells_arrives_at_its_receiver(running: Backends) -> None:
    (alive, *_) = running.wait_for(lambda one: one.sink.arrived("heartbeat", "Watchdog"))
    assert alive.status == "firing"
    assert running.sink.arrived("pager", "Watchdog") == []
    assert {rule["health"] for rule in running.rules()} <= {"ok", "unknown"}


@pytest.mark.parametrize("kill", [False, True], ids=["a backend", "and the collector"])
def test_nothing_is_lost_while_a_program_is_away(running: Backends, kill: bool) -> None:
    with running.prometheus.stopped():
        send_count(running, 40 + kill)
        with pytest.raises(BackendError, match=r"prometheus does not answer: .*prometheus\.log"):
            sent(running)
        if kill:
            with running.collector.stopped(kill=True):
                pass
    assert running.wait_for(lambda one: sent(one) == 40 + kill), running.collector.log()


def test_a_program_that_does_not_start_is_one_line(
    run_backends: RunBackends, service: Path
) -> None:
    def broken(rules: Any) -> Any:
        rules["groups"][0]["rules"][0]["expr"] = "sum("
        return rules

    with (
        pytest.raises(BackendError, match=r"^prometheus ended: .*rule file.*/prometheus\.log\)$"),
        run_backends(service, Setup(change_rules=broken, logs=False)),
    ):
        pass


def test_every_program_ends_with_the_block(
    service: Path, tmp_path: Path, run_backends: RunBackends
) -> None:
    del run_backends  # it says what has to be installed
    failure = contextlib.suppress(ZeroDivisionError)
    with failure, backends.running(service, tmp_path, QUIET) as started:
        programs = [one.process for one in started.programs.values() if one.process]
        raise ZeroDivisionError
    assert [one.poll() for one in programs] == [0, 0, 0]
