"""Fires test alerts and reviews the real ones.

    alerts.py test    one alert of each severity through Alertmanager: where does it arrive?
    alerts.py review  which alerts fired in 30 days, and which of them to retune or remove

Exit code 0: fine; 1: something was found; 2: could not run, and one line says why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

SEVERITIES = ("page", "ticket", "log")
MINUTE, DAY, WEEK = 60, 86400, 7 * 86400
ALERTMANAGER, PROMETHEUS = "http://127.0.0.1:9093", "http://127.0.0.1:9090"


class CannotRunError(Exception):
    """Says in one line why, and what to do."""


def ask(program: str, url: str, path: str, body: object = None) -> Any:
    """Return what a program's HTTP interface answers.

    Args:
        program: its name, for the line that says what went wrong.
        url: its address.
        path: what to ask for.
        body: what to send, as JSON; nothing asks only.

    """
    data = None if body is None else json.dumps(body).encode()
    address = url.rstrip("/") + path
    if not url.startswith(("http://", "https://")):
        raise CannotRunError(f"{program}: {url!r} is not an http or https address")
    request = Request(address, data, {"Content-Type": "application/json"})
    try:
        # Backends are near: a proxy for the internet would only be in the way.
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None
    except HTTPError as error:
        said = " ".join(error.read().decode(errors="replace").split())[:200]
        raise CannotRunError(f"{program} on {url} answers {error.code}: {said}") from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise CannotRunError(
            f"{program} does not answer on {url}: {reason}; start it with make observe,"
            f" or set {program.upper()}_URL"
        ) from error
    except ValueError as error:
        raise CannotRunError(f"what answers on {url} is not {program}") from error


# A TEST ALERT OF EACH SEVERITY ----------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """A notification about a test alert.

    Attributes:
        severity: of the alert.
        receiver: the receiver's name, as Alertmanager tells it.
        path: where it was sent.

    """

    severity: str
    receiver: str
    path: str


def alerts(name: str, labels: dict[str, str], lasts: timedelta) -> list[dict[str, object]]:
    """Return one alert of each severity, which ends by itself."""
    now = datetime.now(timezone.utc)
    return [
        {
            "labels": {
                "alertname": name,
                "severity": severity,
                # Another for each, or the page would silence the ticket.
                "slo": f"test-{severity}",
                "test": "true",
                **labels,
            },
            "annotations": {
                "summary": f"This is a test of the way for severity {severity}; nothing is wrong",
                "description": "Fired by make alert-test. It resolves by itself; do nothing.",
            },
            "startsAt": now.isoformat(),
            "endsAt": (now + lasts).isoformat(),
        }
        for severity in SEVERITIES
    ]


@contextlib.contextmanager
def receiving(port: int, name: str) -> Iterator[queue.Queue[Arrival]]:
    """Take the place of pager, ticket system and log, and hand on what arrives about an alert."""
    arrivals: queue.Queue[Arrival] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the server looks for
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                told = json.loads(body)
                for alert in told["alerts"]:
                    labels = alert["labels"]
                    if labels["alertname"] == name and alert["status"] == "firing":
                        arrivals.put(Arrival(labels["severity"], told["receiver"], self.path))

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    try:
        # On every address: a container reaches this machine by one that is not loopback.
        server = ThreadingHTTPServer(("", port), Receiver)
    except OSError as error:
        raise CannotRunError(
            f"port {port} is in use, where test alerts arrive: stop what listens there"
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield arrivals
    finally:
        server.shutdown()
        server.server_close()


def test_here(labels: dict[str, str], port: int, within: float) -> bool:
    """Fire through the local Alertmanager and wait for what arrives; whether all did.

    Args:
        labels: of the alerts, beside name and severity.
        port: where the local receivers are expected.
        within: seconds to wait.

    """
    url = os.environ.get("ALERTMANAGER_URL") or ALERTMANAGER
    name = test_name()
    with receiving(port, name) as arrivals:
        ask("Alertmanager", url, "/api/v2/status")
        began = time.monotonic()
        ask("Alertmanager", url, "/api/v2/alerts", alerts(name, labels, timedelta(minutes=5)))
        print(f"{name} fired, one of each severity; waiting up to {within:.0f} s", flush=True)
        missing = set(SEVERITIES)
        while missing and (left := began + within - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                came = arrivals.get(timeout=left)
                if came.severity in missing:
                    missing.remove(came.severity)
                    after = time.monotonic() - began
                    print(
                        f"{came.severity:7} arrived at receiver {came.receiver}"
                        f" ({came.path}) after {after:.1f} s",
                        flush=True,
                    )
    for severity in sorted(missing, key=SEVERITIES.index):
        print(f"{severity:7} did not arrive within {within:.0f} s; {standing(url, name, severity)}")
    return not missing


def test_there(labels: dict[str, str], within: float) -> bool:
    """Fire through a cluster's Alertmanager and say where it sends them; whether it does."""
    with alertmanager_of_the_cluster() as url:
        name = test_name()
        ask("Alertmanager", url, "/api/v2/alerts", alerts(name, labels, timedelta(minutes=5)))
        until = time.monotonic() + within
        while len(found := standings(url, name)) < len(SEVERITIES) and time.monotonic() < until:
            time.sleep(0.5)
        for severity in SEVERITIES:
            print(f"{severity:7} {found.get(severity, ('', 'is not known to Alertmanager'))[1]}")
        print(f"{name} resolves by itself in 5 minutes; ask the receivers whether it arrived")
        return all(found.get(severity, ("",))[0] == "active" for severity in SEVERITIES)


def test_name() -> str:
    """Return a name of its own for each test, or Alertmanager would add it to the one before."""
    return f"TestAlert-{datetime.now(timezone.utc):%H%M%S}"


def standings(url: str, name: str) -> dict[str, tuple[str, str]]:
    """Return the state of each test alert by severity, and what Alertmanager does with it."""
    query = urlencode({"filter": f'alertname="{name}"'})
    found = {}
    for alert in ask("Alertmanager", url, f"/api/v2/alerts?{query}"):
        receivers = ", ".join(one["name"] for one in alert["receivers"])
        state = alert["status"]["state"]
        said = f"goes to {receivers}"
        if state == "suppressed":
            said += ", but is silenced or inhibited"
        found[alert["labels"]["severity"]] = (
            "active" if state == "unprocessed" else state,
            said,
        )
    return found


def standing(url: str, name: str, severity: str) -> str:
    """Return what Alertmanager does with a test alert."""
    return f"it {standings(url, name).get(severity, ('', 'is not known to Alertmanager'))[1]}"


@contextlib.contextmanager
def alertmanager_of_the_cluster() -> Iterator[str]:
    """Give the address of a cluster's Alertmanager, through kubectl unless it is set."""
    if url := os.environ.get("ALERTMANAGER_URL"):
        yield url
        return
    place = os.environ.get("ALERTMANAGER_SERVICE") or "monitoring/alertmanager-operated"
    namespace, _, service = place.partition("/")
    command = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}", ":9093"]
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise CannotRunError(
            "kubectl is not on the PATH: install it, or set ALERTMANAGER_URL"
        ) from error
    try:
        said = process.stdout.readline() if process.stdout else ""
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        if port is None:
            process.terminate()
            _, problem = process.communicate(timeout=10)
            lines = problem.strip().splitlines() or ["no answer"]
            raise CannotRunError(
                f"kubectl reaches no Alertmanager at {place}: {lines[-1]}; set"
                " ALERTMANAGER_SERVICE=namespace/service or ALERTMANAGER_URL"
            )
        yield f"http://127.0.0.1:{port[1]}"
    finally:
        process.terminate()
        process.wait(timeout=10)


# A REVIEW OF THE REAL ONES --------------------------------------------------

PERIOD = 30 * DAY
STEP = MINUTE  # as often as rules are evaluated: no firing falls between two samples
# What a person can live with; an alert that goes to the log only may fire as it likes.
MOST_FIRINGS_A_WEEK = {"page": 2, "ticket": 5}
LONGEST_FIRING = {"page": DAY, "ticket": 7 * DAY}
# A firing that begins so soon after the one before is the same trouble.
FLAPPING = 30 * MINUTE
MOST_FLAPS = 3


@dataclass
class History:
    """What an alert did.

    Attributes:
        name: of the alert.
        severity: page, ticket, log or none.
        firings: when each began and ended, in seconds.
        flaps: how many began within half an hour of the end of the one before.

    """

    name: str
    severity: str
    firings: list[tuple[float, float]] = field(default_factory=list)
    flaps: int = 0

    @property
    def seconds(self) -> float:
        """Return how long it fired in all."""
        return sum(end - start for start, end in self.firings)

    @property
    def longest(self) -> float:
        """Return the seconds of its longest firing."""
        return max((end - start for start, end in self.firings), default=0)

    def problems(self, weeks: float) -> Iterator[str]:
        """Yield what to retune or to remove, and why."""
        a_week = len(self.firings) / weeks
        most = MOST_FIRINGS_A_WEEK.get(self.severity)
        if most is not None and a_week > most:
            yield (
                f"retune {self.name}: {a_week:.1f} firings a week, more than {most} for a"
                f" {self.severity}: repair what causes them, or raise its threshold"
            )
        if self.severity in MOST_FIRINGS_A_WEEK and self.flaps >= MOST_FLAPS:
            yield (
                f"retune {self.name}: {self.flaps} firings began within {FLAPPING // MINUTE} min of"
                " the one before: give it a longer window, or keep_firing_for"
            )
        limit = LONGEST_FIRING.get(self.severity)
        if limit is not None and self.longest > limit:
            yield (
                f"remove {self.name}, or lower its severity: it fired for"
                f" {duration(self.longest)} on end and nobody acted"
            )


def review(service: str, team: str) -> bool:
    """Print what the alerts of a service did in 30 days; whether nothing is to be changed."""
    url = os.environ.get("PROMETHEUS_URL") or PROMETHEUS
    histories, weeks = read_histories(url, service, team)
    if not histories:
        raise CannotRunError(f"Prometheus on {url} has no alert of {service}: load its rules first")
    print(
        f"{'alert':32} {'severity':8} {'firings':>7} {'firing for':>10} {'longest':>8} {'flaps':>5}"
    )
    for one in sorted(histories, key=lambda one: (-len(one.firings), one.name)):
        print(
            f"{one.name:32} {one.severity:8} {len(one.firings):7}"
            f" {duration(one.seconds):>10} {duration(one.longest):>8} {one.flaps:5}"
        )
    never = [one.name for one in histories if not one.firings]
    if never:
        print(f"never fired (no fault: make rules-test shows that they can): {', '.join(never)}")
    problems = [problem for one in histories for problem in one.problems(weeks)]
    print("\n".join(problems) or "nothing to retune or to remove")
    return not problems


def read_histories(url: str, service: str, team: str) -> tuple[list[History], float]:
    """Return the alerts of a service, and how many weeks of them Prometheus knows, one at least."""
    now = time.time()
    histories = {}
    for group in ask("Prometheus", url, "/api/v1/rules?type=alert")["data"]["groups"]:
        for rule in group["rules"]:
            labels = rule["labels"]
            asks = labels.get("service_name") == service or (
                f'service_name="{service}"' in rule["query"]
            )
            if asks and labels.get("team") == team:
                severity = labels.get("severity", "none")
                histories[rule["name"]] = History(rule["name"], severity)
    samples: dict[tuple[str, str], list[float]] = {}
    for start in range(int(now - PERIOD), int(now), WEEK):
        # Prometheus gives 11,000 points at most: a week of minutes.
        query = urlencode(
            {
                "query": f'ALERTS{{alertstate="firing",team="{team}",service_name=~"{service}|"}}',
                "start": start,
                "end": min(start + WEEK - STEP, now),
                "step": STEP,
            }
        )
        for series in ask("Prometheus", url, f"/api/v1/query_range?{query}")["data"]["result"]:
            labels = series["metric"]
            key = (labels["alertname"], json.dumps(labels, sort_keys=True))
            samples.setdefault(key, []).extend(float(at) for at, _ in series["values"])
    for (name, labels_text), times in samples.items():
        severity = json.loads(labels_text).get("severity", "none")
        one = histories.setdefault(name, History(name, severity))
        firings = episodes(times)
        one.firings += firings
        one.flaps += sum(
            after[0] - before[1] <= FLAPPING for before, after in zip(firings, firings[1:])
        )
    # The Watchdog always fires: its first sample tells how far back Prometheus remembers.
    known = now - min((times[0] for times in samples.values()), default=now)
    reviewed = [one for one in histories.values() if one.severity in SEVERITIES]
    return reviewed, max(known, WEEK) / WEEK


def episodes(times: list[float]) -> list[tuple[float, float]]:
    """Return when firings began and ended, from the times at which the alert was seen firing."""
    found: list[tuple[float, float]] = []
    for at in times:
        if found and at - found[-1][1] <= STEP:
            found[-1] = (found[-1][0], at + STEP)
        else:
            found.append((at, at + STEP))
    return found


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    for unit, size in (("d", DAY), ("h", 3600), ("min", MINUTE)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return "0" if seconds == 0 else f"{seconds:.0f} s"


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", choices=("test", "review"))
    parser.add_argument("--service", required=True, help="name of the service")
    parser.add_argument("--team", required=True, help="team that owns it")
    parser.add_argument("--environment", default="", help="fire in a cluster, as this environment")
    parser.add_argument("--port", type=int, default=9094, help="where local test alerts arrive")
    parser.add_argument("--within", type=float, default=90, help="seconds to wait for them")
    options = parser.parse_args()
    labels = {
        "service_name": options.service,
        "service_namespace": options.team,
        "team": options.team,
        "deployment_environment_name": options.environment or "local",
    }
    try:
        if options.command == "review":
            fine = review(options.service, options.team)
        elif options.environment:
            fine = test_there(labels, options.within)
        else:
            fine = test_here(labels, options.port, options.within)
    except CannotRunError as error:
        print(f"alerts: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
