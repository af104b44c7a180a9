"""A rendered service that runs on the cluster, and users who notice everything."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from tests.engines.fixtures.cluster import Cluster

REPOSITORY = "ghcr.io/example/signups"
ENVIRONMENT = "production"
NAMESPACE = f"signups-{ENVIRONMENT}"
SERVICE = "signups"
# What is the service's own in the environment.
CHANGES = f"deploy/environments/{ENVIRONMENT}/changes"
# Users come from a namespace of the same team, as the policies want it.
CALLERS = "callers"
CALLER = """
apiVersion: v1
kind: Pod
metadata: {name: users}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: n1
  containers: [{name: users, image: "localhost/probe:test", args: [serve, "8080"]}]
"""


def patch_in_changes(repository: Path, *patches: Mapping[str, Any]) -> None:
    """Let a service patch its environment with these, as Kustomize reads them, and no others.

    Args:
        repository: of the service.
        patches: each with the `patch` itself as data, and its `target` unless it names one.

    """
    file = repository / CHANGES / "kustomization.yaml"
    component = yaml.safe_load(file.read_text())
    component["patches"] = [{**one, "patch": yaml.safe_dump(one["patch"])} for one in patches]
    file.write_text(yaml.safe_dump(component))


def set_in_changes(repository: Path, **variables: str) -> None:
    """Let a service have further variables in its environment."""
    file = repository / CHANGES / "configuration.env"
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    file.write_text(file.read_text() + lines)


def digest_of(pod: Mapping[str, Any]) -> str:
    """Return the digest of the image that a pod runs."""
    return str(pod["spec"]["containers"][0]["image"].partition("@")[2])


@dataclass(frozen=True)
class Noticed:
    """What users noticed.

    Attributes:
        sent: requests.
        failed: those without an answer, or with one of 500 and more.
        reasons: why, and how often.
        p99: milliseconds that all but one in a hundred took.
        moments: when the first failed ones were sent (UTC), and how they ended.

    """

    sent: int
    failed: int
    reasons: Mapping[str, int]
    p99: float
    moments: Sequence[str]

    def __str__(self) -> str:
        """Return the figures for a table."""
        said = f"{self.sent} sent, {self.failed} failed {dict(self.reasons) or ''}".strip()
        return "\n".join([said, *self.moments])


class Users:
    """Users at a steady pace."""

    told: Noticed | None = None

    @property
    def noticed(self) -> Noticed:
        """Return what they noticed, once the block has ended."""
        assert self.told is not None, "ask the users when their block has ended"
        return self.told


@dataclass(frozen=True)
class Shop:
    """A service in an environment of the cluster.

    Attributes:
        cluster: where it runs.
        folder: of its repository.

    """

    cluster: Cluster
    folder: Path

    # -- its own commands ----------------------------------------------------------------------

    def make(self, target: str, *variables: str, check: bool = True, given: str = "") -> str:
        """Run a command of the service's Makefile on the environment, and return what it says.

        `variables` are written as make takes them, DIGEST=sha256:..., and it reads what is `given`.
        """
        done = self.cluster.run(
            *("make", "--no-print-directory", target, f"ENV={ENVIRONMENT}", *variables),
            cwd=self.folder, check=False, timeout=400, network_only=True, standard_input=given,
        )  # fmt: skip
        said = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, f"make {target}: {said}"
        return said

    def deploy(self, digest: str, *variables: str, check: bool = True) -> str:
        """Bring a release to the environment."""
        return self.make("deploy", f"DIGEST={digest}", *variables, check=check)

    def drill(self) -> str:
        """Practise going back, and return the report of it."""
        said = self.make("rollback-drill")
        [report] = (self.folder / "runbooks/drills").glob(f"*-{ENVIRONMENT}.md")
        page = report.read_text()
        assert "| result | passed |" in page, said
        return page

    # -- the cluster ---------------------------------------------------------------------------

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what is there in the environment."""
        return self.cluster.get(*arguments, namespace=NAMESPACE)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the environment."""
        return self.cluster.kubectl(*arguments, namespace=NAMESPACE, timeout=300).stdout

    def pods(self) -> list[dict[str, Any]]:
        """Return its pods, those that are leaving as well."""
        found = self.get("pods", f"--selector=app.kubernetes.io/name={SERVICE}")["items"]
        return list(found)

    def names(self) -> set[str]:
        """Return the names of its pods."""
        return {one["metadata"]["name"] for one in self.pods()}

    def restarts(self) -> dict[str, int]:
        """Return how often each pod's containers were started anew, those beside it too."""
        return {
            one["metadata"]["name"]: sum(
                state["restartCount"]
                for kind in ("containerStatuses", "initContainerStatuses")
                for state in one["status"].get(kind, [])
            )
            for one in self.pods()
        }

    def digests(self) -> set[str]:
        """Return the digests of the images that its pods run."""
        return {digest_of(one) for one in self.pods()}

    def patch(self, kind: str, changes: Mapping[str, Any]) -> None:
        """Change a resource."""
        self.kubectl("patch", kind, SERVICE, "--type=strategic", f"--patch={json.dumps(changes)}")

    def settled(self, count: int | None = None, within: float = 180) -> None:
        """Wait until as many pods are there as are wanted, all ready and none leaving."""

        def quiet() -> bool:
            spec = self.get("deployment", SERVICE)
            wanted = count if count is not None else spec["spec"]["replicas"]
            status, pods = spec.get("status", {}), self.pods()
            return (
                len(pods) == wanted == status.get("availableReplicas", 0)
                and status.get("updatedReplicas") == wanted
                and not any("deletionTimestamp" in one["metadata"] for one in pods)
            )

        assert self.cluster.eventually(quiet, within), self.make("status", check=False)

    # -- its users -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def users(self, *, a_second: int = 200, keep_alive: bool = False) -> Iterator[Users]:
        """Send requests at a steady pace during the block, and for a moment before and after."""
        self.cluster.forget_connections()
        address = self.get("service", SERVICE)["spec"]["clusterIP"]
        stop = self.cluster.state / f"stop-{time.monotonic_ns()}"
        kept = ["-keepalive"] if keep_alive else []
        load = self.cluster.start_beside(
            "users", CALLERS,
            "load", "-url", f"http://{address}/signups", "-body", '{"email": "ada@example.com"}',
            "-rps", str(a_second), "-for", "290s", "-stop", stop, *kept,
        )  # fmt: skip
        users = Users()
        try:
            time.sleep(2)
            yield users
            time.sleep(2)
        finally:
            stop.touch()
            try:
                said, complaint = load.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                load.kill()
                raise
        assert load.returncode == 0, complaint
        read = json.loads(said)
        users.told = Noticed(**{one.name: read[one.name] for one in fields(Noticed)})
