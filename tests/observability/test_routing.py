"""Who hears of an alert: the routes of Alertmanager's configuration, and what silences what."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.engines import observing
from tests.engines.fixtures.backends import free_ports
from tests.engines.fixtures.process import Program
from tests.engines.fixtures.sink import Sink
from tests.product import ROOT
from tests.render.programs import run

SERVICE = {
    "service_name": "signups",
    "service_namespace": "example",
    "deployment_environment_name": "local",
}

# Labels of an alert, and who hears of it.
GOLDEN = [
    ({"alertname": "AvailabilityBudgetBurnsFast", "severity": "page"}, "pager"),
    ({"alertname": "ServiceDown", "severity": "page"}, "pager"),
    ({"alertname": "AvailabilityBudgetBurnsSlowly", "severity": "ticket"}, "ticket"),
    ({"alertname": "CrashLooping", "severity": "ticket"}, "ticket"),
    ({"alertname": "CollectorDropsData", "severity": "log"}, "log"),
    ({"alertname": "Watchdog", "severity": "none"}, "heartbeat"),
    ({"alertname": "SomebodysOwn", "severity": "page"}, "pager"),
    # Nobody's alert is a ticket, not silence.
    ({"alertname": "Unlabelled"}, "ticket"),
    ({"alertname": "Misspelt", "severity": "Page"}, "ticket"),
]


def configuration(service: Path) -> Path:
    return service / "observability/local/alertmanager.yaml"


def receiver(file: Path, labels: Mapping[str, str]) -> str:
    """Return who hears of an alert with these labels, as amtool says."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    amtool = observing.AMTOOL.path
    done = run([amtool, "config", "routes", "test", f"--config.file={file}", *pairs])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.engine("amtool")
def test_alertmanager_takes_its_configuration(service: Path) -> None:
    done = run([observing.AMTOOL.path, "check-config", configuration(service)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 inhibit rules" in done.stdout
    assert "4 receivers" in done.stdout


@pytest.mark.engine("amtool")
def test_a_route_to_nobody_is_noticed(service: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "alertmanager.yaml"
    spoilt.write_text(
        configuration(service).read_text().replace("receiver: pager", "receiver: pagr")
    )
    done = run([observing.AMTOOL.path, "check-config", spoilt])
    assert done.returncode != 0
    assert "pagr" in done.stdout + done.stderr


@pytest.mark.engine("amtool")
@pytest.mark.parametrize(("labels", "expected"), GOLDEN, ids=lambda one: str(one)[:60])
def test_an_alert_reaches_whom_it_should(
    service: Path, labels: dict[str, str], expected: str
) -> None:
    assert receiver(configuration(service), {**SERVICE, **labels}) == expected


@pytest.mark.engine("amtool")
@pytest.mark.parametrize("severity", ["page", "ticket", "log"])
def test_a_route_that_is_gone_changes_who_hears(
    service: Path, tmp_path: Path, severity: str
) -> None:
    read = yaml.safe_load(configuration(service).read_text())
    read["route"]["receiver"] = "heartbeat"
    wanted = f'severity="{severity}"'
    read["route"]["routes"] = [
        one for one in read["route"]["routes"] if one["matchers"] != [wanted]
    ]
    spoilt = tmp_path / "alertmanager.yaml"
    spoilt.write_text(yaml.safe_dump(read))
    wrong = [
        labels
        for labels, expected in GOLDEN
        if labels.get("severity") == severity
        and receiver(spoilt, {**SERVICE, **labels}) != expected
    ]
    assert wrong


# -- the platform's, as the documentation shows it -------------------------------------------------

# Receivers of the page in the place of those on a developer's machine.
THERE = {"pager": "pager", "ticket": "tickets", "log": "log", "heartbeat": "heartbeat"}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration that the page for platforms shows."""
    text = (ROOT / "docs/how-to/connect-a-pager.md").read_text()
    [block] = re.findall(r"(?ms)^```yaml\n(.*?)^```", text)
    file = tmp_path_factory.mktemp("documented") / "alertmanager.yaml"
    file.write_text(block)
    return file


@pytest.mark.engine("amtool")
def test_alertmanager_takes_what_the_documentation_shows(documented: Path) -> None:
    done = run([observing.AMTOOL.path, "check-config", documented])
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {key for one in yaml.safe_load(documented.read_text())["receivers"] for key in one}
    assert kinds == {
        *("name", "pagerduty_configs", "opsgenie_configs", "slack_configs"),
        *("email_configs", "webhook_configs"),
    }


def test_the_documentation_shows_no_credential(documented: Path) -> None:
    secret = re.compile(r"(?:key|password|token|api_url|url)$")
    for one in yaml.safe_load(documented.read_text())["receivers"]:
        for group in [value for name, value in one.items() if name != "name"]:
            assert [name for entry in group for name in entry if secret.search(name)] == []


@pytest.mark.engine("amtool")
@pytest.mark.parametrize(("labels", "expected"), GOLDEN, ids=lambda one: str(one)[:60])
def test_the_documentation_routes_alerts_as_a_service_s_own_files_do(
    documented: Path, labels: dict[str, str], expected: str
) -> None:
    assert receiver(documented, {**SERVICE, **labels}) == THERE[expected]


@pytest.mark.engine("amtool")
def test_the_documentation_silences_what_a_service_s_own_files_do(
    documented: Path, service: Path
) -> None:
    rules = [
        yaml.safe_load(file.read_text())["inhibit_rules"]
        for file in (documented, configuration(service))
    ]
    assert rules[0] == rules[1]
    labels = {"alertname": "ServiceDown", "severity": "page", "team": "payments"}
    assert receiver(documented, labels) == "payments-pager"


# -- what silences what, on a running Alertmanager -------------------------------------------------

PAGE = {"severity": "page", "slo": "availability"}
TICKET = {"severity": "ticket", "slo": "availability"}
FAST = {"alertname": "AvailabilityBudgetBurnsFast", **PAGE}
SLOW = {"alertname": "AvailabilityBudgetBurnsSlowly", **TICKET}
LATENCY_SLOW = {"alertname": "LatencyBudgetBurnsSlowly", **TICKET, "slo": "latency"}
DOWN = {"alertname": "ServiceDown", "severity": "page"}
CRASHES = {"alertname": "CrashLooping", "severity": "ticket"}
STOPPED = {"alertname": "BusinessMetricStopped", "severity": "ticket"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none"}
ELSEWHERE = {"service_name": "billing"}

# What fires, and which of it is silenced.
INHIBITION = {
    "a page silences the ticket of the same objective": ([FAST, SLOW], [SLOW]),
    "a page leaves the ticket of another objective": ([FAST, LATENCY_SLOW], []),
    "a page leaves the ticket of another service": ([FAST, {**SLOW, **ELSEWHERE}], []),
    "a page leaves tickets without an objective": ([FAST, STOPPED, CRASHES], []),
    "a ticket silences no page": ([SLOW, STOPPED, CRASHES], []),
    "a service that is down silences its symptoms, not their cause": (
        [DOWN, FAST, SLOW, LATENCY_SLOW, STOPPED, CRASHES, WATCHDOG],
        [FAST, SLOW, LATENCY_SLOW, STOPPED],
    ),
    "a service that is down silences no other": ([DOWN, {**FAST, **ELSEWHERE}], []),
}


class Running:
    """An Alertmanager with a configuration of a service, and the sink that its receivers are."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        folder.mkdir()
        self.sink = Sink()
        for one in content["receivers"]:
            for hook in one["webhook_configs"]:
                hook["url"] = self.sink.url + urlsplit(hook["url"]).path
        for route in (content["route"], *content["route"]["routes"]):
            route.update(group_wait="0s", group_interval="1s")
        file = folder / "alertmanager.yaml"
        file.write_text(yaml.safe_dump(content))
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [
            observing.ALERTMANAGER_SERVER.path,
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        self.program = Program("alertmanager", command, f"{self.url}/-/ready", folder)

    def silenced(self, alerts: list[dict[str, str]], number: int) -> list[dict[str, str]]:
        """Fire alerts in an environment of their own; return those that another one inhibits."""
        place = {**SERVICE, "deployment_environment_name": f"test-{number}"}
        now = datetime.now(UTC)
        fired = [
            {
                "labels": {**place, **labels},
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(minutes=5)).isoformat(),
            }
            for labels in alerts
        ]
        httpx.post(f"{self.url}/api/v2/alerts", json=fired, trust_env=False).raise_for_status()
        time.sleep(0.5)  # it takes them in one after another
        asked = {"filter": f'deployment_environment_name="test-{number}"'}
        held = httpx.get(f"{self.url}/api/v2/alerts", params=asked, trust_env=False).json()
        assert len(held) == len(alerts)
        names = {
            (one["labels"]["alertname"], one["labels"]["service_name"])
            for one in held
            if one["status"]["inhibitedBy"]
        }
        return [
            one for one in alerts if (one["alertname"], {**place, **one}["service_name"]) in names
        ]


@pytest.fixture(scope="module")
def run_alertmanager(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[dict[str, Any]], Running]]:
    started: list[Running] = []

    def start(content: dict[str, Any]) -> Running:
        one = Running(tmp_path_factory.mktemp("alertmanager") / "one", content)
        started.append(one)
        one.program.start()
        return one

    yield start
    for one in started:
        one.program.stop()
        one.sink.close()


@pytest.fixture(scope="module")
def alertmanager(service: Path, run_alertmanager: Callable[[dict[str, Any]], Running]) -> Running:
    return run_alertmanager(yaml.safe_load(configuration(service).read_text()))


@pytest.mark.engine("alertmanager")
@pytest.mark.parametrize("case", INHIBITION)
def test_what_silences_what(alertmanager: Running, case: str) -> None:
    alerts, expected = INHIBITION[case]
    number = list(INHIBITION).index(case)
    assert alertmanager.silenced(alerts, number) == expected


@pytest.mark.engine("alertmanager")
def test_without_its_rules_nothing_is_silenced(
    service: Path, run_alertmanager: Callable[[dict[str, Any]], Running]
) -> None:
    content = yaml.safe_load(configuration(service).read_text())
    del content["inhibit_rules"]
    plain = run_alertmanager(content)
    for number, (alerts, _) in enumerate(INHIBITION.values()):
        assert plain.silenced(alerts, number) == []


@pytest.mark.engine("alertmanager")
def test_what_is_told_arrives_where_its_severity_says(alertmanager: Running) -> None:
    alertmanager.silenced([FAST, CRASHES, {"alertname": "Noted", "severity": "log"}, WATCHDOG], 99)
    wanted = {
        "AvailabilityBudgetBurnsFast": "pager",
        "CrashLooping": "ticket",
        "Noted": "log",
        "Watchdog": "heartbeat",
    }
    for alert, who in wanted.items():
        until = time.monotonic() + 20
        while not alertmanager.sink.arrived(alert=alert) and time.monotonic() < until:
            time.sleep(0.1)
        assert {one.receiver for one in alertmanager.sink.arrived(alert=alert)} == {who}
