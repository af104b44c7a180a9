"""Logs, traces and metrics of one course of events, as a real collector received them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from slipway.metrics import COMMON, RUNTIME, Instrument

from tests.contract import checks
from tests.contract.conftest import SERVICE, VERSION, Build
from tests.contract.recording import Recording, record
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.docker import Docker


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_signals_obey_the_contract(recording: Recording, check: checks.Check) -> None:
    wrong = check(recording)
    assert not wrong, "\n".join(wrong[:20])


def test_the_runtime_tells_about_itself(recording: Recording, stack: Stack) -> None:
    assert stack.runtime_metrics <= {metric.name for metric in recording.metrics}


def unsent(recording: Recording, instruments: Iterable[Instrument]) -> set[str]:
    """Return the instruments that a service did not use, or used as another kind."""
    histograms = {metric.name: metric.kind == "histogram" for metric in recording.metrics}
    return {one.otel for one in instruments if histograms.get(one.otel) is not one.histogram}


def test_every_instrument_that_dashboards_know_is_sent(recording: Recording, stack: Stack) -> None:
    assert unsent(recording, (*COMMON, *RUNTIME[stack.name])) == set()


def test_an_instrument_that_nobody_sends_is_noticed(recording: Recording) -> None:
    nobody_s = Instrument("process.uptime", "process_uptime_seconds_total")
    of_another_kind = Instrument("http.server.request.duration", "http_server_request_duration")
    assert unsent(recording, [nobody_s, of_another_kind]) == {nobody_s.otel, of_another_kind.otel}


def test_the_outgoing_call_is_a_child_of_the_request(recording: Recording) -> None:
    created = recording.one("sign-up")
    spans = {span.span_id: span for span in recording.spans if span.trace_id == created.trace_id}
    outgoing = [span for span in spans.values() if span.kind == "client"]
    assert len(outgoing) == 1
    parent = spans[outgoing[0].parent_span_id]
    while parent.kind != "server":
        parent = spans[parent.parent_span_id]
    assert parent.name == "POST /signups"
    assert created.trace_id in recording.texts["outgoing headers"], "traceparent is not passed on"


def test_a_stranger_s_baggage_goes_no_further(recording: Recording) -> None:
    outgoing = recording.texts["outgoing headers"].lower()
    assert "traceparent" in outgoing
    assert "baggage" not in outgoing
    assert "tracestate" not in outgoing


def test_stopping_when_idle_takes_less_than_two_seconds(recording: Recording) -> None:
    assert recording.exit_code == 0
    assert recording.seconds_to_stop < 2.5, "2 s for the service and what docker itself takes"


FAULTS = [
    pytest.param(stack, fault, id=f"{stack}-{fault}")
    for stack in STACKS
    for fault in stack.mutations
]


@pytest.mark.parametrize(("stack", "fault"), FAULTS)
def test_a_fault_in_the_starter_is_noticed(
    docker: Docker, built: Build, tmp_path: Path, stack: Stack, fault: str
) -> None:
    mutation = stack.mutations[fault]
    image = built(stack, mutation)
    recording = record(docker, image, tmp_path, service=SERVICE, version=VERSION)
    noticed = {check.__name__ for check in checks.CHECKS if check(recording)}
    assert mutation.noticed_by in noticed, f"noticed only by {noticed or 'nothing'}"
