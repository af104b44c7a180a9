"""Migrations, the database's password and the stores' network, with a real PostgreSQL and Redis."""

import functools
import itertools
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import ANSWERS, STACK, Release
from tests.cluster.shop import (
    CALLERS,
    ENVIRONMENT,
    NAMESPACE,
    SERVICE,
    Shop,
    patch_in_changes,
    set_in_changes,
)
from tests.cluster.stores import NEIGHBOUR, PASSWORD, STORES, Stores
from tests.cluster.test_flows import OTHER, Flow, possible
from tests.contract.conftest import Render
from tests.engines.fixtures.cluster import Cluster
from tests.engines.fixtures.docker import Docker

pytestmark = [
    pytest.mark.long,
    pytest.mark.quiet,
    pytest.mark.engine("cluster", "custom-resources", "docker", "images"),
]

WITH_STORES = {**ANSWERS, "datastore": "postgres", "cache": "redis"}
QUERIES = "internal/stores/postgres.go"
OTHERS = "elsewhere"
# The load of the users alone must start no pod here: what changes is what a release has changed.
STEADY = [{"op": "replace", "path": "/spec/maxReplicas", "value": 3}]
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'signups'"


# -- the service, and its releases -----------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(rendered: Render) -> Path:
    """Return the service as it is rendered."""
    return rendered(STACK, None, **WITH_STORES)


def expanded(folder: Path) -> None:
    """Add a column, slowly, and write it: on the schema before this code fails."""
    (folder / "migrations/0002_tier.sql").write_text(
        "SELECT pg_sleep(6);\nALTER TABLE signups ADD COLUMN tier text;\n"
    )
    file = folder / QUERIES
    old = "(id, email, plan, converted) VALUES ($1, $2, $3, $4)"
    assert old in file.read_text()
    new = "(id, email, plan, converted, tier) VALUES ($1, $2, $3, $4, $3)"
    file.write_text(file.read_text().replace(old, new))


def renamed(folder: Path) -> None:
    """Rename a column: the release before cannot live with it."""
    expanded(folder)
    (folder / "migrations/0003_rename.sql").write_text(
        "ALTER TABLE signups RENAME COLUMN plan TO level;\n"
    )
    file = folder / QUERIES
    file.write_text(file.read_text().replace("email, plan, converted", "email, level, converted"))


def failing(folder: Path) -> None:
    """Bring a migration that fails after it has changed something."""
    (folder / "migrations/0002_unlucky.sql").write_text(
        "ALTER TABLE signups ADD COLUMN luck integer;\nSELECT 1 / 0;\n"
    )


@pytest.fixture(scope="module")
def releases(
    release: Release, plain: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Return the digests of the service's releases by what they do to the database."""
    changes: dict[str, Callable[[Path], object]] = {
        "first": lambda _: None, "expanded": expanded, "renamed": renamed, "failing": failing,
    }  # fmt: skip
    found = {}
    for name, change in changes.items():
        folder = tmp_path_factory.mktemp("release") / SERVICE
        shutil.copytree(plain, folder)
        change(folder)
        found[name] = release(name, folder)
    return found


@pytest.fixture(scope="module")
def stores(callers: Cluster, docker: Docker) -> Iterator[Stores]:
    """Give the stores of the service."""
    stores = Stores(callers)
    stores.start(docker)
    yield stores
    stores.stop()


@pytest.fixture(scope="module")
def empty(callers: Cluster, plain: Path, stores: Stores) -> Iterator[Shop]:
    """Give the service's repository, with a history, before anything of it is in the cluster."""
    set_in_changes(
        plain,
        DATABASE_URL=f"postgresql://signups@postgres.{STORES}:5432/signups",
        CACHE_URL=f"redis://redis.{STORES}:6379/0",
    )
    patch_in_changes(
        plain,
        *(narrowed(name, stores.address(name)) for name in ("postgres", "redis")),
        {"target": {"kind": "HorizontalPodAutoscaler"}, "patch": STEADY},
    )
    git(plain, "init", "--quiet")
    git(plain, "add", "--all")
    git(plain, "commit", "--quiet", "--message=The service")
    yield Shop(callers, plain)
    callers.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=180)


def narrowed(store: str, address: str) -> dict[str, Any]:
    """Return the patch that lets only one address be reached, as the decision shows it."""
    only = [{"ipBlock": {"cidr": f"{address}/32"}}]
    patch = [{"op": "replace", "path": "/spec/egress/0/to", "value": only}]
    target = {"kind": "NetworkPolicy", "name": f"to-{store}"}
    return {"target": target, "patch": patch}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository, as somebody."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def shop(empty: Shop, releases: dict[str, str]) -> Shop:
    """Give the service in production, with its first release."""
    empty.make("secret", given=PASSWORD)
    said = empty.deploy(releases["first"])
    assert "migrates the database" in said, said
    empty.settled()
    return empty


def job_of(shop: Shop, digest: str) -> dict[str, Any]:
    """Return the Job that migrated for a release."""
    return shop.get("job", f"{SERVICE}-migrate-{digest.partition(':')[2][:12]}")


def migrations(stores: Stores) -> list[str]:
    """Return what was applied to the database, and when."""
    return stores.sql("SELECT version, applied_at FROM schema_migrations ORDER BY version")


# -- the password, missing and sent ----------------------------------------------------------------


class Watcher(threading.Thread):
    """Notes the arguments and the environment of every process that it sees while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.arguments: set[bytes] = set()
        self.variables: set[bytes] = set()

    def run(self) -> None:
        """Look again and again."""
        known: set[tuple[str, bytes]] = set()
        while not self.ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                    if (process.name, words) not in known:
                        self.variables.add((process / "environ").read_bytes())
                        self.arguments.add(words)
                        known.add((process.name, words))
                except OSError:
                    continue


def holding(folder: Path, text: str) -> list[Path]:
    """Return the files of a folder, history and all, that hold a text."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if text.encode() in file.read_bytes()]


def test_without_the_password_nothing_is_deployed(empty: Shop, releases: dict[str, str]) -> None:
    said = empty.deploy(releases["first"], check=False)
    lines = [line for line in said.splitlines() if line.startswith("deploy: ")]
    assert lines == [
        f"deploy: secret {SERVICE}-database is not in {NAMESPACE}: make secret ENV={ENVIRONMENT}"
    ]
    assert empty.get("job,deployment,pod")["items"] == []


def test_the_password_gets_into_the_cluster_and_nowhere_else(empty: Shop) -> None:
    watcher = Watcher()
    watcher.start()
    said = empty.make("secret", given="only-for-the-cluster\n")
    watcher.ended.set()
    watcher.join()
    kept = empty.get("secret", f"{SERVICE}-database")
    assert kept["data"] == {"password": "b25seS1mb3ItdGhlLWNsdXN0ZXI="}
    assert "annotations" not in kept["metadata"], "kubectl would keep what was applied last there"
    everything = b"\n".join((*watcher.arguments, *watcher.variables, said.encode()))
    for seen in (b"deploy.py --service", b"kubectl --context", b"apply --server-side"):
        assert seen in everything, "the watcher has seen the command, or it proves nothing"
    for form in ("only-for-the-cluster", "b25seS1mb3ItdGhlLWNsdXN0ZXI="):
        assert form.encode() not in everything
        assert holding(empty.folder, form) == []
        assert form not in git(empty.folder, "log", "--all", "--patch")
    assert git(empty.folder, "status", "--porcelain") == ""
    assert holding(empty.folder, f"postgres.{STORES}"), "the search finds what is there"


# -- migrations ------------------------------------------------------------------------------------


def test_the_first_deployment_migrates_once_and_then_starts_pods(
    shop: Shop, stores: Stores, releases: dict[str, str]
) -> None:
    status = job_of(shop, releases["first"])["status"]
    assert status["succeeded"] == 1
    assert "failed" not in status
    started = min(one["metadata"]["creationTimestamp"] for one in shop.pods())
    print(f"first release: migrated until {status['completionTime']}, first pod {started}")
    assert status["completionTime"] <= started
    assert [one.partition("|")[0] for one in migrations(stores)] == ["0001_signups"]


def test_the_same_release_again_does_not_migrate_again(
    shop: Shop, stores: Stores, releases: dict[str, str]
) -> None:
    job, before, pods = job_of(shop, releases["first"]), migrations(stores), shop.names()
    said = shop.deploy(releases["first"])
    assert "has run before" in said
    assert job_of(shop, releases["first"])["metadata"]["uid"] == job["metadata"]["uid"]
    assert migrations(stores) == before
    assert shop.names() == pods


def test_a_migration_that_fails_leaves_the_release_before_alone(
    shop: Shop, stores: Stores, releases: dict[str, str]
) -> None:
    pods, before = shop.names(), migrations(stores)
    with shop.users() as users:
        said = shop.deploy(releases["failing"], check=False)
    lines = [line for line in said.splitlines() if line.startswith("deploy: ")]
    assert len(lines) == 1, said
    assert "the migration failed" in lines[0]
    assert "0002_unlucky" in said, "the log says which one"
    print(f"a migration that fails: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert shop.names() == pods
    assert migrations(stores) == before
    columns = stores.sql(COLUMNS)
    assert "plan" in columns
    assert "luck" not in columns, "what it did before it failed is undone"


# Writes through one version, and reads and changes that through the other, both ways.
BOTH_WAYS = """
import json, sys, urllib.request as web
def ask(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = web.Request(f"http://{address}:8080{path}", data)
    request.add_header("Content-Type", "application/json")
    with web.build_opener(web.ProxyHandler({})).open(request, timeout=5) as answer:
        return json.load(answer)
done = 0
for number in range(20):
    for one, other in (sys.argv[1:3], sys.argv[2:0:-1]):
        made = ask(one, "/signups", {"email": f"{number}@example.com", "plan": "paid"})
        path = f"/signups/{made['id']}"
        assert ask(other, path)["plan"] == "paid"
        assert ask(other, f"{path}/conversion", {})["converted"]
        assert ask(one, path)["converted"]
        done += 1
print(done)
"""


def ready(shop: Shop, digest: str) -> str:
    """Return the address of a pod of a release that serves; nothing when there is none."""
    for one in shop.pods():
        states = {state["type"]: state["status"] for state in one["status"].get("conditions", [])}
        of_it = one["spec"]["containers"][0]["image"].endswith(digest)
        if of_it and states.get("Ready") == "True" and "deletionTimestamp" not in one["metadata"]:
            return str(one["status"]["podIP"])
    return ""


def side_by_side(shop: Shop, old: str, new: str) -> int:
    """Wait until both releases serve, use both on the same rows, and return how often.

    The rollout is paused meanwhile, so that neither pod leaves before everything is asked.
    """
    pair: list[str] = []

    def both() -> bool:
        pair[:] = [ready(shop, old), ready(shop, new)]
        return all(pair)

    assert shop.cluster.eventually(both, 240)
    shop.kubectl("rollout", "pause", f"deployment/{SERVICE}")
    try:
        assert both()
        asking = shop.cluster.start_beside("users", CALLERS, sys.executable, "-c", BOTH_WAYS, *pair)
        said, complaint = asking.communicate(timeout=60)
        assert asking.returncode == 0, complaint
    finally:
        shop.kubectl("rollout", "resume", f"deployment/{SERVICE}")
    return int(said)


def test_a_migration_runs_while_the_release_before_serves_and_both_live_with_it(
    shop: Shop, stores: Stores, releases: dict[str, str]
) -> None:
    old, new = releases["first"], releases["expanded"]
    with ThreadPoolExecutor() as pool, shop.users() as users:
        deploying = pool.submit(shop.deploy, new)
        written = side_by_side(shop, old, new)
        said = deploying.result()
        shop.settled()
    status = job_of(shop, new)["status"]
    started = min(one["metadata"]["creationTimestamp"] for one in shop.pods())
    print(
        f"expanding: {users.noticed}, {written} rows by both releases; migrated from"
        f" {status['startTime']} to {status['completionTime']}, first new pod {started}"
    )
    assert "migrates the database" in said
    assert status["succeeded"] == 1
    assert status["startTime"] < status["completionTime"] <= started
    assert users.noticed.failed == 0, users.noticed
    assert shop.digests() == {new}
    applied = [one.partition("|")[0] for one in migrations(stores)]
    assert applied == ["0001_signups", "0002_tier"]
    rows = stores.sql("SELECT tier IS NULL, count(*) > 40 FROM signups GROUP BY 1 ORDER BY 1")
    assert rows == ["f|t", "t|t"], "both releases have written while the table had both forms"


# -- the password, rotated -------------------------------------------------------------------------


def held(shop: Shop, password: str) -> bool:
    """Say whether every pod finds this password in its file: kubelet writes it on the node."""
    return all(
        shop.cluster.run(
            "cat",
            f"/var/lib/kubelet/pods/{one['metadata']['uid']}/volumes/kubernetes.io~secret/database"
            "/password",
            where=one["spec"]["nodeName"],
        ).stdout
        == password
        for one in shop.pods()
    )


def test_a_password_that_only_the_database_knows_is_noticed(shop: Shop, stores: Stores) -> None:
    stores.set_password("nobody-was-told")
    try:
        stores.disconnect()
        with shop.users(a_second=50) as users:
            pass
    finally:
        stores.set_password(PASSWORD)
    shop.settled()
    print(f"the password changed in the database only: {users.noticed}")
    assert users.noticed.failed > 0, "the control lost nothing: the proof beside it is empty"


def test_a_new_password_is_taken_up_without_a_restart(shop: Shop, stores: Stores) -> None:
    before = shop.restarts()
    with shop.users(a_second=50) as users:
        begun = time.monotonic()
        stores.set_password("the-next-one")
        shop.make("secret", given="the-next-one")
        assert shop.cluster.eventually(lambda: held(shop, "the-next-one"), 90)
        took = time.monotonic() - begun
    print(f"rotation: in every pod after {took:.0f} s, {users.noticed}")
    # Connections that are open serve on; one that is opened in between is refused.
    assert users.noticed.failed < users.noticed.sent / 10, users.noticed
    # From here on every connection is a new one.
    stores.disconnect()
    shop.settled()
    with shop.users(a_second=50) as users:
        pass
    print(f"with the new password: {users.noticed}")
    assert users.noticed.failed == 0, users.noticed
    assert shop.restarts() == before
    assert set(before.values()) == {0}


# -- the stores' network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(shop: Shop) -> Iterator[Shop]:
    """Give the service, with somebody else's stores beside its own."""
    shop.cluster.namespace(OTHERS)
    shop.cluster.apply(OTHER, namespace=OTHERS)
    shop.cluster.kubectl("wait", "--for=condition=Ready", "pod/other", namespace=OTHERS)
    yield shop
    shop.cluster.kubectl("delete", "namespace", OTHERS, timeout=180)


def own(stores: Stores) -> list[Flow]:
    return [
        Flow("service", stores.address("postgres"), 5432),
        Flow("service", stores.address("redis"), 6379),
    ]


def closed(stores: Stores) -> list[Flow]:
    ports = {"postgres": (6379, int(NEIGHBOUR)), "redis": (5432, int(NEIGHBOUR))}
    address = stores.cluster.address("other", OTHERS)
    return [
        *(Flow("service", stores.address(pod), port) for pod in ports for port in ports[pod]),
        *(Flow("service", address, port) for port in (5432, 6379)),
    ]


def test_its_own_stores_are_reached_at_their_ports_and_those_of_others_not(
    others: Shop, stores: Stores
) -> None:
    for flow in own(stores):
        assert others.cluster.eventually(functools.partial(possible, others, flow), 10), flow
    for flow in closed(stores):
        assert not possible(others, flow), flow


def test_without_the_policies_every_store_is_reached(
    others: Shop, stores: Stores, releases: dict[str, str]
) -> None:
    others.kubectl("delete", "networkpolicy", "--all")
    try:
        for flow in itertools.chain(own(stores), closed(stores)):
            assert others.cluster.eventually(functools.partial(possible, others, flow), 10), flow
    finally:
        others.deploy(releases["expanded"])
        others.settled()


# -- last, because there is no way back ------------------------------------------------------------


def test_a_migration_that_the_release_before_cannot_live_with_is_noticed(
    shop: Shop, releases: dict[str, str]
) -> None:
    with shop.users() as users:
        shop.deploy(releases["renamed"])
        shop.settled()
    print(f"a column renamed under the release before: {users.noticed}")
    assert users.noticed.failed > 0, "the control lost nothing: the proof beside it is empty"
