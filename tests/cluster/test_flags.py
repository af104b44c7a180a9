"""flagd beside the service, in its pods: edits arrive, and nothing that ails it ails the service.

In flagd's place runs the stand-in: the flagd project's own evaluator behind its HTTP interface.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import ANSWERS, STACK
from tests.cluster.shop import CALLERS, NAMESPACE, Noticed, Shop, patch_in_changes
from tests.contract.conftest import Render
from tests.engines.fixtures.cluster import CONTAINERD, NODES, Cluster
from tests.engines.fixtures.docker import Docker
from tests.engines.standins import template_pins

pytestmark = [
    pytest.mark.long,
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "docker", "images"),
]

FLAGD = "ghcr.io/open-feature/flagd"
# Connections to the port of the flags are refused, as long as it runs.
SILENT = {"image": "localhost/probe:test", "args": ["serve", "9000"]}
ENDING = {"args": ["start", "--uri", "file:/etc/flagd/none.json"]}


@pytest.fixture(scope="module")
def flagged(
    docker: Docker, callers: Cluster, rendered: Render, digests: dict[str, str]
) -> Iterator[Shop]:
    """Give the service with its flags."""
    version = template_pins()["flagd"]
    digest = callers.load(docker, f"{FLAGD}:{version}", FLAGD)
    for node in NODES:
        tag = (*CONTAINERD, "images", "tag", "--force", f"{FLAGD}@{digest}", f"{FLAGD}:{version}")
        callers.run(*tag, where=node)
    repository = rendered(STACK, None, **{**ANSWERS, "feature_flags": True})
    shop = Shop(callers, repository)
    shop.deploy(digests["first"])
    shop.settled()
    yield shop
    callers.kubectl("delete", "namespace", NAMESPACE, timeout=180)


def switch(shop: Shop, variant: str) -> None:
    """Edit the flags so that sign-ups are open or closed."""
    file = shop.folder / "deploy/flags/flags.json"
    flags = json.loads(file.read_text())
    flags["flags"]["signups-open"]["defaultVariant"] = variant
    file.write_text(json.dumps(flags))


def answers(shop: Shop, seconds: float = 1) -> Noticed:
    """Return what users notice for a moment."""
    with shop.users(a_second=30) as users:
        time.sleep(seconds)
    return users.noticed


def closed(shop: Shop) -> int:
    """Return how many pods turn sign-ups away now."""
    body = '{"email": "ada@example.com"}'
    found = 0
    for one in shop.pods():
        asking = shop.cluster.start_beside(
            "users", CALLERS, "bash", "-c",
            f"exec 3<>/dev/tcp/{one['status']['podIP']}/8080; printf 'POST /signups HTTP/1.1\\r\\n"
            f"Host: x\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n"
            f"Content-Length: {len(body)}\\r\\n\\r\\n{body}' >&3; cat <&3",
        )  # fmt: skip
        said, _ = asking.communicate(timeout=20)
        assert re.match(r"HTTP/1.1 (201|503) ", said), said
        found += "sign-ups are closed" in said
    return found


def arrived(shop: Shop, wanted: int) -> bool:
    """Wait until so many pods turn sign-ups away; say whether it was in time."""
    return shop.cluster.eventually(lambda: closed(shop) == wanted, 90)


def test_a_kill_switch_reaches_every_pod_and_starts_none(
    flagged: Shop, digests: dict[str, str]
) -> None:
    before = flagged.restarts()
    assert closed(flagged) == 0
    for variant, wanted in (("off", len(before)), ("on", 0)):
        switch(flagged, variant)
        flagged.deploy(digests["first"])
        begun = time.monotonic()
        assert arrived(flagged, wanted)
        print(f"sign-ups {variant}: in every pod {time.monotonic() - begun:.0f} s after the deploy")
    assert flagged.restarts() == before
    assert set(before.values()) == {0}


def flagds(shop: Shop) -> list[str]:
    """Return the processes of flagd, as the cluster's first process counts them."""
    own = (
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^[^ ]* /flagd/'"
    )
    return shop.cluster.run("bash", "-c", f"{own} && basename $p; done; true").stdout.split()


def test_while_flagd_hangs_the_defaults_hold_and_pods_serve(
    flagged: Shop, digests: dict[str, str]
) -> None:
    """Closed by the flag and open by default: what is answered tells who has answered."""
    switch(flagged, "off")
    flagged.deploy(digests["first"])
    everyone = len(flagged.pods())
    assert arrived(flagged, everyone)
    before = flagged.restarts()
    processes = flagds(flagged)
    assert len(processes) == everyone
    flagged.cluster.run("kill", "-STOP", *processes)
    try:
        assert arrived(flagged, 0)
        noticed = answers(flagged, 40)
        assert closed(flagged) == 0
    finally:
        flagged.cluster.run("kill", "-CONT", *processes, check=False)
    print(f"flagd hangs in every pod: {noticed}")
    assert noticed.failed == 0, noticed
    assert flagged.restarts() == before, "whoever starts it anew takes the pod out of traffic"
    assert arrived(flagged, everyone)
    switch(flagged, "on")
    flagged.deploy(digests["first"])
    assert arrived(flagged, 0)


def beside(shop: Shop, **changes: Any) -> None:
    """Change flagd in the place that is the service's own."""
    patch = [
        {"op": "replace", "path": f"/spec/template/spec/initContainers/0/{key}", "value": value}
        for key, value in changes.items()
    ]
    patch_in_changes(shop.folder, {"target": {"kind": "Deployment"}, "patch": patch})


def test_a_release_whose_flagd_never_answers_serves_with_the_defaults(
    flagged: Shop, digests: dict[str, str]
) -> None:
    beside(flagged, **SILENT)
    with flagged.users(a_second=100) as users:
        flagged.deploy(digests["second"])
        flagged.settled()
        time.sleep(10)
    print(f"flagd never answers: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert flagged.digests() == {digests["second"]}
    assert set(flagged.restarts().values()) == {0}
    patch_in_changes(flagged.folder)


def test_a_release_whose_flagd_ends_again_and_again_is_taken_back(
    flagged: Shop, digests: dict[str, str]
) -> None:
    """Kubernetes takes a pod for ready only when everything in it runs."""
    [runs] = flagged.digests()
    beside(flagged, **ENDING)
    try:
        with flagged.users(a_second=100) as users:
            said = flagged.deploy(digests["third"], check=False)
            flagged.settled()
    finally:
        patch_in_changes(flagged.folder)
    assert "serves again" in said, said
    print(f"flagd ends again and again: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert flagged.digests() == {runs}
