"""A collector that gets more than its memory allows refuses it, lives on, and says so."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engines.fixtures.backends import Backends, Setup
from tests.engines.plugin import RunBackends

ALERT = "CollectorDropsData"
# At rest a collector holds 10 MB; the flood makes it more than 50.
SMALL = {"processors": {"memory_limiter": {"limit_mib": 48, "spike_limit_mib": 16}}}
ACCEPTED = "sum(otelcol_receiver_accepted_log_records_total)"
REFUSED = "sum(otelcol_receiver_refused_log_records_total)"
ONE_RECORD = {"scopeLogs": [{"logRecords": [{"body": {"stringValue": "it fits"}}]}]}

pytestmark = [pytest.mark.quiet, pytest.mark.engine("telemetrygen")]


def flood(telemetrygen: Path, endpoint: str) -> None:
    """Send large log records as fast as they are taken, for some seconds."""
    subprocess.run(
        [telemetrygen, "logs", "--otlp-http", "--otlp-insecure", "--allow-export-failures",
         f"--otlp-endpoint={endpoint.removeprefix('http://')}", "--duration=10s", "--rate=0",
         "--workers=6", "--size=1", "--batch-size=4", "--timeout=2s"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip


def accepts(behind: Backends) -> bool:
    """Say whether the collector takes a record that is small."""
    answer = httpx.post(f"{behind.endpoint}/v1/logs", json={"resourceLogs": [ONE_RECORD]})
    return answer.status_code == 200


def test_an_overrun_collector_refuses_what_does_not_fit_and_tells_the_log(
    run_backends: RunBackends, service: Path, program: Callable[[str], Path]
) -> None:
    with run_backends(service, Setup(logs=False, collector=SMALL)) as behind:
        assert behind.wait_for(accepts)
        assert behind.wait_for(lambda one: one.value(REFUSED) == 0)
        assert not behind.sink.arrived("log", ALERT)
        flood(program("telemetrygen"), behind.endpoint)
        assert behind.wait_for(lambda one: one.sink.arrived("log", ALERT)), "nobody heard of it"
        assert behind.collector.runs, "the flood ended it"
        assert behind.wait_for(accepts), "it takes nothing after the flood"


def test_the_collector_of_a_service_has_room_for_the_same_flood(
    run_backends: RunBackends, service: Path, program: Callable[[str], Path]
) -> None:
    with run_backends(service, Setup(logs=False)) as behind:
        assert behind.wait_for(accepts)
        flood(program("telemetrygen"), behind.endpoint)
        # Each sender had a batch of four taken at the least.
        assert behind.wait_for(lambda one: (one.value(ACCEPTED) or 0) > 24)
        assert behind.value(REFUSED) == 0
        assert not behind.sink.arrived("log", ALERT)
