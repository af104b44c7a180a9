"""`make alert-test` and `make alert-review` on a real Alertmanager and a real Prometheus."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml

from tests.engines.fixtures.backends import free_ports
from tests.engines.fixtures.process import Program
from tests.engines.observing import ALERTMANAGER_SERVER, PROMETHEUS_SERVER, PROMTOOL
from tests.services import Services

DAY = 86400
SINK = "http://host.docker.internal:9094"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def service(services: Services) -> Path:
    return services({})


def run(
    service: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script as the Makefile does."""
    return subprocess.run(
        [
            *(sys.executable, "scripts/alerts.py", "--service=signups", "--team=example"),
            *arguments,
        ],
        cwd=service,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that could not run said: one line."""
    assert done.returncode == 2, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert "Traceback" not in line
    return line


# -- alert-test ------------------------------------------------------------------------------------


def started_alertmanager(service: Path, folder: Path, old: str = "", new: str = "") -> Program:
    """Start Alertmanager with the service's own file, its sink on a free port."""
    port, web = free_ports(2)
    text = (service / "observability/local/alertmanager.yaml").read_text()
    assert SINK in text
    assert old in text, f"the file no longer holds {old!r}: adapt this control"
    text = text.replace(old, new) if old else text
    text = text.replace(SINK, f"http://127.0.0.1:{port}")
    # The same routes, without their patience.
    text = re.sub(r"group_wait: \w+", "group_wait: 0s", text)
    file = folder / "alertmanager.yaml"
    file.write_text(text)
    program = Program(
        "alertmanager",
        [
            ALERTMANAGER_SERVER.path,
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{web}",
            "--cluster.listen-address=",
        ],
        ready=f"http://127.0.0.1:{web}/-/ready",
        folder=folder,
        environment={"SINK_PORT": str(port)},
    )
    program.start()
    return program


@pytest.fixture(scope="module")
def alertmanager(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = started_alertmanager(service, tmp_path_factory.mktemp("alertmanager"))
    yield program
    program.stop()


def fire(service: Path, program: Program, *more: str) -> subprocess.CompletedProcess[str]:
    """Fire test alerts through an Alertmanager."""
    return run(
        service,
        "test",
        f"--port={program.environment['SINK_PORT']}",
        *more,
        environment={"ALERTMANAGER_URL": address(program)},
    )


def address(program: Program) -> str:
    return program.ready.removesuffix("/-/ready")


@pytest.mark.engine("alertmanager")
def test_a_test_alert_of_each_severity_arrives_at_its_receiver(
    service: Path, alertmanager: Program
) -> None:
    done = fire(service, alertmanager, "--within=60")

    assert done.returncode == 0, done.stdout + done.stderr
    arrived = dict(re.findall(r"(?m)^(\w+) +arrived at receiver (\w+ \(/\w+\))", done.stdout))
    assert arrived == {
        "page": "pager (/pager)",
        "ticket": "ticket (/ticket)",
        "log": "log (/log)",
    }


@pytest.mark.engine("alertmanager")
def test_a_second_test_arrives_as_well(service: Path, alertmanager: Program) -> None:
    time.sleep(1)  # its name is the second
    assert fire(service, alertmanager, "--within=60").returncode == 0


@pytest.mark.engine("alertmanager")
def test_test_alerts_say_that_they_are_tests_and_end_by_themselves(
    service: Path, alertmanager: Program
) -> None:
    fire(service, alertmanager, "--within=60")

    held = httpx.get(f"{address(alertmanager)}/api/v2/alerts", trust_env=False).json()

    assert {alert["labels"]["severity"] for alert in held} == {"page", "ticket", "log"}
    for alert in held:
        assert alert["labels"]["alertname"].startswith("TestAlert-")
        assert alert["labels"]["test"] == "true"
        assert alert["labels"]["service_name"] == "signups"
        assert "This is a test" in alert["annotations"]["summary"]
        # Far enough for every group_wait, and soon over.
        assert alert["endsAt"] > alert["startsAt"]


@pytest.mark.engine("alertmanager")
def test_in_a_cluster_it_says_which_receivers_alertmanager_names(
    service: Path, alertmanager: Program
) -> None:
    done = fire(service, alertmanager, "--environment=production")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"(?m)^(\w+) +goes to (\w+)$", done.stdout) == [
        ("page", "pager"),
        ("ticket", "ticket"),
        ("log", "log"),
    ]


@pytest.mark.engine("alertmanager")
def test_a_receiver_that_is_not_reached_is_found(service: Path, tmp_path: Path) -> None:
    program = started_alertmanager(service, tmp_path, f"{SINK}/ticket", NOBODY)
    try:
        done = fire(service, program, "--within=5")
    finally:
        program.stop()

    assert done.returncode == 1, done.stdout + done.stderr
    assert "ticket  did not arrive within 5 s; it goes to ticket" in done.stdout
    assert "page    arrived at receiver pager" in done.stdout


@pytest.mark.engine("alertmanager")
def test_a_silence_is_found(service: Path, tmp_path: Path) -> None:
    program = started_alertmanager(service, tmp_path)
    try:
        silence = {
            "matchers": [{"name": "severity", "value": "page", "isRegex": False, "isEqual": True}],
            "startsAt": "2020-01-01T00:00:00Z",
            "endsAt": "2099-01-01T00:00:00Z",
            "createdBy": "test",
            "comment": "test",
        }
        httpx.post(
            f"{address(program)}/api/v2/silences", json=silence, trust_env=False
        ).raise_for_status()
        here = fire(service, program, "--within=5")
        there = fire(service, program, "--environment=production", "--within=5")
    finally:
        program.stop()

    for done in (here, there):
        assert done.returncode == 1, done.stdout + done.stderr
        assert "goes to pager, but is silenced or inhibited" in done.stdout


def test_a_taken_port_is_one_line(service: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line(run(service, "test", f"--port={port}"))

    assert f"port {port} is in use" in line
    assert "stop what listens there" in line


@pytest.mark.parametrize(
    ("command", "program"), [("test", "ALERTMANAGER"), ("review", "PROMETHEUS")]
)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        (NOBODY, "does not answer on http://127.0.0.1:9: "),
        ("127.0.0.1:9090", "'127.0.0.1:9090' is not an http or https address"),
    ],
)
def test_a_backend_that_cannot_be_reached_is_one_line_that_names_it(
    service: Path, command: str, program: str, url: str, says: str
) -> None:
    [port] = free_ports(1)
    arguments = [command, f"--port={port}"]
    line = one_line(run(service, *arguments, environment={f"{program}_URL": url}))

    assert line.lower().startswith(f"alerts: {program.lower()}")
    assert says in line


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "kubectl is not on the PATH: install it, or set ALERTMANAGER_URL"),
        (
            'echo "error: no such service" >&2; exit 1',
            "monitoring/alertmanager-operated: error: no",
        ),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_line(
    service: Path, tmp_path: Path, script: str | None, says: str
) -> None:
    if script:
        kubectl = tmp_path / "kubectl"
        kubectl.write_text(f"#!/bin/sh\n{script}\n")
        kubectl.chmod(0o755)

    done = run(service, "test", "--environment=production", environment={"PATH": str(tmp_path)})

    assert says in one_line(done)


@pytest.mark.engine("alertmanager")
def test_the_port_that_kubectl_forwards_is_used(
    service: Path, tmp_path: Path, alertmanager: Program
) -> None:
    port = address(alertmanager).rpartition(":")[2]
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\necho "$*" > {tmp_path}/asked\n'
        f'echo "Forwarding from 127.0.0.1:{port} -> 9093"\nexec sleep 60\n'
    )
    kubectl.chmod(0o755)

    done = run(
        service,
        "test",
        "--environment=production",
        environment={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "ALERTMANAGER_SERVICE": "watching/alertmanager",
        },
    )

    assert done.returncode == 0, done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["port-forward", "--namespace", "watching", "service/alertmanager", ":9093"]


# -- alert-review ----------------------------------------------------------------------------------

# What an alert did: severity, and when it fired: seconds before now, and for how many seconds.
PAST: Mapping[str, tuple[str, list[tuple[float, float]]]] = {
    "Calm": ("page", [(20 * DAY, 600), (3 * DAY, 1800)]),
    "Often": ("page", [(day * DAY, 600) for day in range(29, 1, -2)]),
    "Flaps": ("ticket", [(5 * DAY - n * 1200, 300) for n in range(6)]),
    "Ignored": ("ticket", [(12 * DAY, 9 * DAY)]),
    "Noisy": ("log", [(day * DAY + n * 3600, 60) for day in range(1, 29) for n in range(5)]),
    "Never": ("page", []),
}


def history(now: float, past: Mapping[str, tuple[str, list[tuple[float, float]]]]) -> str:
    """Return a past of 30 days in OpenMetrics, a sample a minute, the Watchdog in all of them."""
    lines = ["# TYPE ALERTS gauge"]

    def series(name: str, severity: str, times: list[float]) -> None:
        labels = (
            f'alertname="{name}",alertstate="firing",severity="{severity}",team="example",'
            'service_name="signups"'
        )
        lines.extend(f"ALERTS{{{labels}}} 1 {at:.0f}" for at in times)

    start = int(now - 30 * DAY) // 60 * 60
    series("Watchdog", "none", [float(at) for at in range(start + 120, int(now), 60)])
    for name, (severity, firings) in past.items():
        times = sorted(
            float(at)
            for before, lasts in firings
            for at in range(int(now - before) // 60 * 60, int(now - before + lasts) // 60 * 60, 60)
        )
        series(name, severity, times)
    return "\n".join([*lines, "# EOF", ""])


def rules(past: Mapping[str, tuple[str, list[tuple[float, float]]]]) -> str:
    """Return the alerts of a past as rules that do not fire now."""
    alerting = [
        {
            "alert": name,
            "expr": f'absent_over_time({name}{{service_name="signups"}}[1m]) > 2',
            "labels": {"severity": severity, "team": "example"},
        }
        for name, (severity, _) in past.items()
    ]
    other = {"alert": "Other", "expr": "vector(1) > 2", "labels": {"team": "other"}}
    return yaml.safe_dump({"groups": [{"name": "past", "rules": [*alerting, other]}]})


def started_prometheus(
    folder: Path, past: Mapping[str, tuple[str, list[tuple[float, float]]]] = PAST
) -> Program:
    """Start a Prometheus that remembers a past."""
    (folder / "history.txt").write_text(history(time.time(), past))
    subprocess.run(
        [
            # By default a block for every two hours, and the whole file is read for each.
            *(PROMTOOL.path, "tsdb", "create-blocks-from", "--max-block-duration=31d"),
            *("openmetrics", "history.txt", "data"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "rules.yaml").write_text(rules(past))
    (folder / "prometheus.yaml").write_text("rule_files: [rules.yaml]\n")
    [port] = free_ports(1)
    program = Program(
        "prometheus",
        [
            PROMETHEUS_SERVER.path,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=60d",
            # An alert that ends leaves a marker of its end, which OpenMetrics cannot hold.
            "--query.lookback-delta=1m",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        ready=f"http://127.0.0.1:{port}/-/ready",
        folder=folder,
    )
    program.start()
    return program


@pytest.fixture(scope="module")
def reviewed(
    service: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.CompletedProcess[str]]:
    program = started_prometheus(tmp_path_factory.mktemp("prometheus"))
    try:
        yield run(service, "review", environment={"PROMETHEUS_URL": address(program)})
    finally:
        program.stop()


@pytest.mark.engine("prometheus")
@pytest.mark.engine("promtool")
def test_a_review_counts_firings_time_and_flapping(
    reviewed: subprocess.CompletedProcess[str],
) -> None:
    rows = {
        line.split()[0]: " ".join(line.split()[1:])
        for line in reviewed.stdout.splitlines()
        if re.match(r"\w+ +(page|ticket|log) ", line)
    }
    assert rows == {
        "Calm": "page 2 40.0 min 30.0 min 0",
        "Often": "page 14 2.3 h 10.0 min 0",
        "Flaps": "ticket 6 30.0 min 5.0 min 5",
        "Ignored": "ticket 1 9.0 d 9.0 d 0",
        "Noisy": "log 140 2.3 h 1.0 min 0",
        "Never": "page 0 0 0 0",
    }


@pytest.mark.engine("prometheus")
@pytest.mark.engine("promtool")
def test_a_review_names_what_to_retune_and_to_remove_and_why(
    reviewed: subprocess.CompletedProcess[str],
) -> None:
    assert reviewed.returncode == 1
    assert [
        line.partition(":")[0]
        for line in reviewed.stdout.splitlines()
        if line.startswith(("retune", "remove"))
    ] == ["retune Often", "retune Flaps", "remove Ignored, or lower its severity"]
    assert "3.3 firings a week, more than 2 for a page" in reviewed.stdout
    assert "5 firings began within 30 min of the one before" in reviewed.stdout
    assert "it fired for 9.0 d on end and nobody acted" in reviewed.stdout
    assert "never fired (no fault: make rules-test shows that they can): Never" in reviewed.stdout


@pytest.mark.engine("prometheus")
@pytest.mark.engine("promtool")
def test_nothing_to_retune_is_0(service: Path, tmp_path: Path) -> None:
    program = started_prometheus(tmp_path, {"Calm": PAST["Calm"], "Noisy": PAST["Noisy"]})
    try:
        done = run(service, "review", environment={"PROMETHEUS_URL": address(program)})
        other = run(
            service,
            *("review", "--service=another"),
            environment={"PROMETHEUS_URL": address(program)},
        )
    finally:
        program.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to retune or to remove" in done.stdout
    assert "has no alert of another: load its rules first" in one_line(other)


# -- negative controls -----------------------------------------------------------------------------

MUTATIONS = [
    ('MOST_FIRINGS_A_WEEK = {"page": 2,', 'MOST_FIRINGS_A_WEEK = {"page": 20,', "retune Often"),
    ("MOST_FLAPS = 3", "MOST_FLAPS = 30", "retune Flaps"),
    ('"ticket": 7 * DAY}', '"ticket": 17 * DAY}', "remove Ignored"),
]


@pytest.mark.engine("prometheus")
@pytest.mark.engine("promtool")
def test_each_limit_decides(service: Path, tmp_path: Path) -> None:
    program = started_prometheus(tmp_path)
    spoilt = shutil.copytree(service, tmp_path / "service")
    script = spoilt / "scripts/alerts.py"
    text = script.read_text()
    try:
        for old, new, named in MUTATIONS:
            assert old in text, f"the script no longer holds {old!r}: adapt this control"
            script.write_text(text.replace(old, new))
            done = run(spoilt, "review", environment={"PROMETHEUS_URL": address(program)})
            assert named not in done.stdout, done.stdout
            assert done.returncode == 1
    finally:
        program.stop()


@pytest.mark.engine("alertmanager")
def test_alerts_that_inhibit_each_other_would_be_noticed(service: Path, tmp_path: Path) -> None:
    """An Alertmanager of a platform may silence the ticket of whatever pages."""
    program = started_alertmanager(
        service,
        tmp_path,
        "equal: [service_namespace, service_name, deployment_environment_name, slo]",
        "equal: [service_name]",
    )
    try:
        done = fire(service, program, "--environment=production", "--within=5")
    finally:
        program.stop()

    assert done.returncode == 1
    assert re.search(r"(?m)^ticket +goes to ticket, but is silenced or inhibited$", done.stdout)


def test_the_script_needs_nothing_installed(service: Path) -> None:
    text = (service / "scripts/alerts.py").read_text()
    imported = set(re.findall(r"(?m)^(?:from|import) ([\w]+)", text)) - {"__future__"}
    assert imported <= sys.stdlib_module_names
    # The oldest version that is promised reads types like `str | None` only as text.
    assert "from __future__ import annotations" in text
