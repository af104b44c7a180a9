"""Practises going back: breaks a release on purpose, and writes down how it went."""

from __future__ import annotations

import argparse
import contextlib
import copy
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from cluster import CannotRunError, Cluster, Resource
from release import Past, app_of, image_of
from rollout import (
    Release,
    applied,
    forced,
    give_back,
    new_pods,
    now,
    progress_of,
    refuse_unless_accepted,
    release_for,
    serving,
    wait,
    with_template,
)

REPORTS = Path("runbooks/drills")
# Nothing listens there, so the broken pods run and are never ready.
NOBODY = 1
EVERY, PATIENCE = 0.2, 3.0


@dataclass
class Requests:
    """Requests that are sent during a drill, as a user would send them.

    Attributes:
        url: what is asked; empty when nothing can be.
        why_not: why nothing can be asked.
        sent: how many were sent.
        failed: what each one that failed said.

    """

    url: str
    why_not: str = ""
    sent: int = 0
    failed: list[str] = field(default_factory=list)

    def send(self) -> None:
        """Send one request, and count it."""
        reason = answer(self.url)
        self.sent += 1
        if reason:
            self.failed.append(reason)

    def __str__(self) -> str:
        """Return the figures, or why there are none."""
        return f"{self.sent}, {len(self.failed)} failed" if self.url else f"none: {self.why_not}"


def answer(url: str) -> str:
    """Return what is wrong with the answer from an address; nothing when it is a good one."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=PATIENCE) as said:
            said.read()
    except HTTPError as error:
        return f"answer {error.code}"
    except (URLError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


@contextlib.contextmanager
def requests(cluster: Cluster, url: str) -> Iterator[Requests]:
    """Send requests until the end: to an address, or through the API server to the Service."""
    with contextlib.ExitStack() as stack:
        if not url:
            url = stack.enter_context(through_the_api_server(cluster))
        reasons = [answer(url) for _ in range(3)] if url else ["kubectl proxy does not start"]
        if all(reasons):
            # A network policy may well keep the API server out.
            yield Requests("", f"{reasons[-1]}; URL= names an address that users ask")
            return
        asked = Requests(url)
        over = threading.Event()

        def keep_asking() -> None:
            while not over.wait(EVERY):
                asked.send()

        thread = threading.Thread(target=keep_asking, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join(PATIENCE + 1)


@contextlib.contextmanager
def through_the_api_server(cluster: Cluster) -> Iterator[str]:
    """Give an address of this machine that leads to the Service, and to nothing else."""
    service = f"/api/v1/namespaces/{cluster.namespace}/services/{cluster.service}:http/proxy/"
    process = subprocess.Popen(
        [
            *("kubectl", f"--context={cluster.context}", "proxy", "--port=0"),
            f"--accept-paths=^{re.escape(service)}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = process.stdout.readline() if process.stdout else ""
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        yield f"http://127.0.0.1:{port[1]}{service}livez" if port else ""
    finally:
        process.terminate()
        process.wait(timeout=10)


def broken(template: Resource) -> Resource:
    """Return a pod template whose pods start and are never ready."""
    spoilt = copy.deepcopy(template)
    app = app_of(spoilt["spec"])
    probe = app.get("readinessProbe") or {"periodSeconds": 2}
    asks = "tcpSocket" if "tcpSocket" in probe else "httpGet"
    others = {key: value for key, value in probe.items() if key not in ("exec", "grpc")}
    app["readinessProbe"] = {**others, asks: {**probe.get(asks, {}), "port": NOBODY}}
    return spoilt


@dataclass(frozen=True)
class Result:
    """How a drill went.

    Attributes:
        began: when, in UTC.
        digest: of the image.
        how: rolling, or the strategy of the Rollout.
        noticed: how the failure was noticed; empty when it was not.
        noticed_after: seconds from the apply until then.
        back_after: seconds from then until the release before served; nothing when it did not.
        exposed: broken pods that were given traffic.
        requests: the figures, in words.
        failed_requests: how many failed.

    """

    began: str
    digest: str
    how: str
    noticed: str
    noticed_after: float
    back_after: float | None
    exposed: int
    requests: str
    failed_requests: int

    @property
    def passed(self) -> bool:
        """Say whether going back works."""
        fine = self.noticed and self.back_after is not None
        return bool(fine and not self.exposed and not self.failed_requests)


def report(service: str, environment: str, result: Result) -> str:
    """Return the page that is left behind."""
    back = "never" if result.back_after is None else f"{result.back_after:.0f} s"
    noticed = f"{result.noticed_after:.0f} s" if result.noticed else "never"
    rows = (
        ("began", result.began),
        ("rollout", result.how),
        ("image", f"`{result.digest}`"),
        ("broken by", f"a readiness probe on port {NOBODY}, where nobody listens"),
        ("noticed after", noticed),
        ("noticed by", result.noticed or "nobody"),
        ("served again after", back),
        ("broken pods that were given traffic", str(result.exposed)),
        ("requests meanwhile", result.requests),
        ("result", "passed" if result.passed else "failed"),
    )
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# Rollback drill of {service} in {environment}\n\n"
        f"Written by `make rollback-drill ENV={environment}`.\n\n"
        f"| what | how it went |\n|---|---|\n{lines}\n"
    )


def drill(cluster: Cluster, options: argparse.Namespace) -> bool:
    """Break, notice, go back, and write it down; whether it went as it should."""
    deployment = cluster.read("deployment", cluster.service)
    if deployment is None:
        raise CannotRunError(f"{cluster.service} does not run in {cluster.namespace}")
    image = image_of(deployment["spec"]["template"]["spec"])
    release = release_for(cluster, image)
    before, progress = serving(release), progress_of(release)
    if before is None or progress.state != "serving":
        raise CannotRunError(f"no time for a drill, a release is under way: {progress.says}")
    spoilt = with_template(release, broken(before.template))
    refuse_unless_accepted(cluster, spoilt, *forced(options))

    began, exposed = now(), set[str]()
    with requests(cluster, options.url) as asked, applied(cluster):
        print(f"{began} breaking {image.digest} in {cluster.environment} on purpose", flush=True)
        start = time.monotonic()
        try:
            cluster.apply(spoilt, *forced(options))
            failure = wait(
                release, options.timeout, lambda: exposed.update(given_traffic(release, before))
            )
            noticed = time.monotonic()
            print(f"noticed after {noticed - start:.0f} s: {failure.says}", flush=True)
        finally:
            # Whatever happens, nothing broken stays.
            back = give_back(release, before, options)
        served = time.monotonic()
    how = "rolling"
    if release.is_rollout:
        rollout = cluster.read("rollout.argoproj.io", cluster.service) or {}
        how = "blue-green" if "blueGreen" in rollout["spec"]["strategy"] else "canary"
    result = Result(
        began,
        image.digest,
        how,
        failure.says if failure.state == "failed" else "",
        noticed - start,
        served - noticed if back.state == "serving" else None,
        len(exposed),
        str(asked),
        len(asked.failed),
    )
    page = REPORTS / f"{began[:10]}-{cluster.environment}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report(cluster.service, cluster.environment, result), encoding="utf-8")
    print(f"{back.says} again; requests meanwhile: {asked}")
    print(f"{'passed' if result.passed else 'failed'}; {page} says how it went: commit it")
    return result.passed


def given_traffic(release: Release, before: Past) -> set[str]:
    """Return the pods, but those of the release before, to which a Service sends requests."""
    broken_pods = {
        pod["metadata"]["name"]
        for pod in new_pods(release)
        if not any(
            owner["name"] == before.replica_set for owner in pod["metadata"]["ownerReferences"]
        )
    }
    return {
        name
        for one in release.cluster.every("endpointslices.discovery.k8s.io")
        for endpoint in one.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
        and (name := endpoint.get("targetRef", {}).get("name")) in broken_pods
    }
