"""The collector takes its configuration for every store of logs, and it is the one we mean."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.engines.collector import Collector
from tests.engines.fixtures.backends import free_ports
from tests.engines.fixtures.process import Program
from tests.observability.collector_files import (
    CREDENTIALS,
    LOGS,
    components,
    known_components,
    local,
    merged,
    production,
    refused,
)
from tests.product import derived
from tests.services import Services

SIGNALS = ("traces", "metrics", "logs")
stores = pytest.mark.parametrize("logs", LOGS)
# What only one store of logs has to do with.
WORDS = {
    "loki": "loki",
    "elasticsearch": "elastic|_otlp|apikey",
    "cloudwatch": "cloudwatch|aws|sigv4|log_group",
}


def spoilt(service: Path, folder: Path, changes: Callable[[dict[str, Any]], None]) -> list[Path]:
    """Return production's files, with something changed in what they say together."""
    configuration = merged(production(service))
    changes(configuration)
    file = folder / "spoilt.yaml"
    file.write_text(yaml.safe_dump(configuration))
    return [file]


# -- it is valid -----------------------------------------------------------------------------------


@stores
@pytest.mark.parametrize("files", [production, local], ids=lambda files: files.__name__)
@pytest.mark.engine("collector")
def test_the_collector_takes_it(
    services: Services, tmp_path: Path, logs: str, files: Callable[[Path], list[Path]]
) -> None:
    assert refused(files(services({"logs": logs})), tmp_path) == ""


@pytest.mark.engine("collector")
def test_the_collector_refuses_a_setting_that_does_not_exist(
    services: Services, tmp_path: Path
) -> None:
    def misspell(configuration: dict[str, Any]) -> None:
        configuration["exporters"]["otlp_http/loki"]["sending_queu"] = {}

    assert "sending_queu" in refused(spoilt(services({}), tmp_path, misspell), tmp_path)


@stores
@pytest.mark.engine("collector")
def test_components_have_the_names_of_today(services: Services, logs: str) -> None:
    known = known_components()
    for section, kind in components(merged(production(services({"logs": logs})))):
        assert kind in known[section]


@pytest.mark.engine("collector")
def test_the_log_of_its_start_complains_of_nothing(services: Services, tmp_path: Path) -> None:
    with started(production(services({"logs": "cloudwatch"})), tmp_path / "new") as program:
        assert complaints(program) == []


@pytest.mark.engine("collector")
def test_a_name_of_yesterday_is_noticed(services: Services, tmp_path: Path) -> None:
    def age(configuration: dict[str, Any]) -> None:
        configuration["exporters"]["otlphttp/tempo"] = configuration["exporters"].pop(
            "otlp_http/tempo"
        )
        configuration["service"]["pipelines"]["traces"]["exporters"] = ["otlphttp/tempo"]
        configuration["service"]["pipelines"]["metrics"]["receivers"] = ["otlp"]

    files = spoilt(services({}), tmp_path, age)
    assert "otlphttp" not in known_components()["exporters"]
    assert refused(files, tmp_path) == "", "validation takes it, so only the log tells"
    with started(files, tmp_path / "old") as program:
        assert any("alias is deprecated" in line for line in complaints(program))


@contextlib.contextmanager
def started(files: list[Path], folder: Path) -> Iterator[Program]:
    """Run a collector that listens on free ports of loopback; its backends are nowhere."""
    folder.mkdir()
    http, grpc, health, telemetry = free_ports(4)
    environment = {
        "OTLP_HTTP_ADDRESS": f"127.0.0.1:{http}",
        "OTLP_GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "HEALTH_ADDRESS": f"127.0.0.1:{health}",
        "TELEMETRY_HOST": "127.0.0.1",
        "TELEMETRY_PORT": str(telemetry),
        "QUEUE_DIRECTORY": str(folder / "queue"),
        **CREDENTIALS,
    }
    command: list[str | Path] = [Collector().path, *(f"--config={file}" for file in files)]
    program = Program("collector", command, f"http://127.0.0.1:{health}", folder, environment)
    program.start()
    try:
        yield program
    finally:
        program.stop()


def complaints(program: Program) -> list[str]:
    """Return what is worse than information in a program's log."""
    lines = program.log_file.read_text().splitlines()
    return [line for line in lines if not line.startswith('{"level":"info"')]


# -- it is what we mean ----------------------------------------------------------------------------


@stores
def test_the_guard_of_memory_comes_first_and_personal_data_goes_in_every_signal(
    services: Services, logs: str
) -> None:
    assert unguarded(merged(production(services({"logs": logs})))) == set()


def test_a_pipeline_that_is_not_guarded_is_noticed(services: Services) -> None:
    configuration = merged(production(services({})))
    pipelines = configuration["service"]["pipelines"]
    pipelines["traces"]["processors"].reverse()
    pipelines["metrics"]["processors"].insert(1, "batch")
    del pipelines["logs"]
    assert unguarded(configuration) == set(SIGNALS)


def unguarded(configuration: dict[str, Any]) -> set[str]:
    """Return the signals that lack the guard of memory or let personal data pass.

    Batches are the exporters', which keep what waits on disk; a processor would hold it in memory.
    """
    wanted = ["memory_limiter", "resource_detection", "transform/personal_data",
              "redaction/personal_data"]  # fmt: skip
    pipelines = configuration["service"]["pipelines"]
    return {one for one in SIGNALS if pipelines.get(one, {}).get("processors") != wanted}


@stores
def test_nothing_is_given_up_and_what_waits_is_on_disk(services: Services, logs: str) -> None:
    configuration = merged(production(services({"logs": logs})))
    assert len(configuration["exporters"]) == len(SIGNALS)
    for exporter in configuration["exporters"].values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
        queue = exporter["sending_queue"]
        assert queue["storage"] == "file_storage/queue"
        assert queue["sizer"] == "items"
        assert queue["batch"]
    assert "file_storage/queue" in configuration["service"]["extensions"]
    assert "health_check" in configuration["service"]["extensions"]


def test_prometheus_is_sent_the_one_compression_that_it_takes(services: Services) -> None:
    exporters = merged(production(services({})))["exporters"]
    assert exporters["otlp_http/prometheus"]["compression"] == "gzip"


@stores
def test_each_store_has_its_exporter_and_nothing_of_the_others(
    services: Services, logs: str
) -> None:
    service = services({"logs": logs})
    exporters = merged(production(service))["exporters"]
    assert set(exporters) == {"otlp_http/tempo", "otlp_http/prometheus", f"otlp_http/{logs}"}
    for file in [*production(service), service / "observability/kustomization.yaml"]:
        assert foreign(file.read_text(), logs) == set()


def test_a_second_store_is_noticed(services: Services) -> None:
    text = (services({"logs": "cloudwatch"}) / "observability/backends.yaml").read_text()
    assert foreign(text, "loki") == {"cloudwatch"}


def foreign(text: str, logs: str) -> set[str]:
    """Return the other stores of logs that a text speaks of."""
    return {
        name
        for name, words in WORDS.items()
        if name != logs and re.search(words, text, re.IGNORECASE)
    }


@stores
def test_grafana_reads_the_store_that_is_written_to(services: Services, logs: str) -> None:
    """On a developer's machine CloudWatch cannot be had, and Loki takes its place."""
    here = "loki" if logs == "cloudwatch" else logs
    service = services({"logs": logs})
    folder = service / "observability/local"
    sources = yaml.safe_load((folder / "grafana/datasources.yaml").read_text())["datasources"]
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    assert [source["uid"] for source in sources] == ["prometheus", here, "tempo"]
    assert here in compose["services"]
    assert not {"loki", "elasticsearch"} - {here} & set(compose["services"])
    assert (folder / "loki.yaml").exists() == (here == "loki")
    assert merged(local(service))["service"]["pipelines"]["logs"]["exporters"] == [
        f"otlp_http/{here}"
    ]
    for source in sources:
        assert source["url"].removeprefix("http://").split(":")[0] in compose["services"]


# -- the local stack -------------------------------------------------------------------------------


@stores
def test_the_local_stack_stays_within_the_memory_that_the_readme_names(
    services: Services, logs: str
) -> None:
    service = services({"logs": logs})
    compose = yaml.safe_load((service / "observability/local/compose.yaml").read_text())
    limits = {
        name: int(one["deploy"]["resources"]["limits"]["memory"].removesuffix("M"))
        for name, one in compose["services"].items()
    }
    cap = derived("local_memory")[logs]
    assert sum(limits.values()) == cap
    assert f"{cap} MiB" in (service / "README.md").read_text()


@stores
def test_every_program_of_the_local_stack_is_pinned_confined_and_asked_whether_it_is_well(
    services: Services, logs: str
) -> None:
    folder = services({"logs": logs}) / "observability/local"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    for name, one in compose["services"].items():
        assert one["profiles"] == ["observability"]
        assert re.search(r":v?\d+\.\d+\.\d+$", one["image"]), name
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert not one["user"].startswith(("0", "root")), name
        assert one["restart"] == "unless-stopped"
        assert set(one["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
        assert all(port.startswith("127.0.0.1:${") for port in one["ports"])
        if name == "elasticsearch":
            assert "writes" in (folder / "compose.yaml").read_text()
        else:
            assert one["read_only"] is True, name
        if name == "collector":
            assert "healthcheck" not in one, "its image has nothing to ask it with"
        else:
            assert one["healthcheck"]["test"][0] == "CMD", f"{name} has no shell"


# -- what it says of itself ------------------------------------------------------------------------


@pytest.mark.engine("collector")
def test_its_own_metrics_have_the_names_that_alerts_use(services: Services, tmp_path: Path) -> None:
    with started(production(services({})), tmp_path / "collector") as program:
        url = f"http://127.0.0.1:{program.environment['TELEMETRY_PORT']}/metrics"
        text = httpx.get(url, trust_env=False).text
        if "otelcol_process_uptime_seconds_total" not in text:
            time.sleep(1)
            text = httpx.get(url, trust_env=False).text
    names = set(re.findall(r"(?m)^(otelcol_\w+)", text))
    assert {"otelcol_process_uptime_seconds_total", "otelcol_process_memory_rss_bytes"} <= names
    assert {"otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"} <= names
