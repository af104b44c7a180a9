"""A cluster, asked through kubectl; manifests, built by its Kustomize."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENTS = Path("deploy/environments")
# So many seconds an API server may be away that has answered before, asked again after so many.
PATIENCE, AGAIN = 120.0, 2.0
# kubectl's words for it.
OUT_OF_REACH = re.compile(
    r"Unable to connect to the server|connection to the server \S+ was refused|unexpected EOF"
    r"|connection reset|connection lost|i/o timeout|TLS handshake timeout|etcdserver"
    r"|Error from server \((?:ServiceUnavailable|Timeout|TooManyRequests)\)"
)
Resource = dict[str, Any]


class CannotRunError(Exception):
    """Says in one line why, and what to do. Nothing that runs was changed."""


@dataclass(frozen=True)
class Manifest:
    """One resource as Kustomize writes it: YAML, keys in order, two blanks a level."""

    text: str

    @property
    def api_version(self) -> str:
        """Return its group and version."""
        return self._first(r"^apiVersion: (\S+)$")

    @property
    def kind(self) -> str:
        """Return its kind."""
        return self._first(r"^kind: (\S+)$")

    @property
    def name(self) -> str:
        """Return its name."""
        return self._first(r"^metadata:\n(?:  .*\n)*?  name: (\S+)$").strip("'\"")

    def renamed(self, name: str) -> Manifest:
        """Return the same under another name."""
        return Manifest(
            re.sub(
                r"(?m)(^metadata:\n(?:  .*\n)*?  name: )\S+$", rf"\g<1>{name}", self.text, count=1
            )
        )

    @property
    def switched(self) -> list[str]:
        """Return the Services that a blue-green Rollout leads from pods to pods."""
        return re.findall(r"(?m)^      (?:active|preview)Service: (\S+)$", self.text)

    def without_selector(self) -> Manifest:
        """Return a Service that does not say which pods it leads to."""
        return Manifest(re.sub(r"(?m)^  selector:\n(?:    .*\n)+", "", self.text))

    def _first(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.MULTILINE)
        return found[1] if found else ""


def split(built: str) -> list[Manifest]:
    """Return the resources of a stream of YAML."""
    return [Manifest(text.strip("\n") + "\n") for text in re.split(r"(?m)^---\n", built) if text]


def joined(manifests: Iterable[Manifest]) -> str:
    """Return resources as a stream of YAML."""
    return "---\n".join(one.text for one in manifests)


@dataclass(frozen=True)
class Cluster:
    """Where one environment of the service runs.

    Attributes:
        service: its name.
        environment: one of the folders of deploy/environments.
        context: kubectl's name of the cluster and the user.

    """

    service: str
    environment: str
    context: str

    @property
    def namespace(self) -> str:
        """Return the namespace of the environment."""
        return f"{self.service}-{self.environment}"

    @property
    def manager(self) -> str:
        """Return the name under which the API server notes what these commands set."""
        return f"{self.service}-deploy"

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace, and return what came of it."""
        return kubectl(
            f"--context={self.context}",
            f"--namespace={self.namespace}",
            "--request-timeout=30s",
            *arguments,
            given=given,
        )

    def ask(self, *arguments: str, given: str = "") -> str:
        """Run kubectl in the namespace, and return what it prints.

        The cluster has answered before: while it is out of reach, it is asked again.
        """
        until, said = time.monotonic() + PATIENCE, False
        while True:
            done = self.run(*arguments, given=given)
            if not done.returncode:
                return done.stdout
            if time.monotonic() > until or not OUT_OF_REACH.search(done.stderr):
                raise CannotRunError(problem(done.stderr))
            if not said:
                print(f"  {problem(done.stderr)}; asking again", flush=True)
            said = True
            time.sleep(AGAIN)

    def read(self, kind: str, name: str, namespace: str = "") -> Resource | None:
        """Return a resource; nothing when it is not there."""
        said = self.ask(
            *("get", kind, name, "--ignore-not-found", "--output=json"),
            *([f"--namespace={namespace}"] if namespace else []),
        )
        found: Resource | None = json.loads(said) if said.strip() else None
        return found

    def every(self, kind: str, *options: str) -> list[Resource]:
        """Return all resources of a kind in the namespace."""
        items: list[Resource] = json.loads(self.ask("get", kind, *options, "--output=json"))[
            "items"
        ]
        return items

    def apply(self, manifests: str, *options: str) -> None:
        """Send resources to the API server, which merges them field by field.

        Who else set one of the fields is not overruled: that is an error which names both.
        """
        self.ask(
            *("apply", "--server-side", f"--field-manager={self.manager}", *options),
            "--filename=-",
            given=manifests,
        )


def connect(service: str, environment: str, context: str) -> Cluster:
    """Return the cluster of a context, or of kubectl's current one, once it has answered."""
    if shutil.which("kubectl") is None:
        raise CannotRunError("kubectl is not on the PATH: install it")
    listed = kubectl("config", "get-contexts", "--output=name")
    if listed.returncode:
        raise CannotRunError(problem(listed.stderr))
    known = listed.stdout.split()
    choose = f"choose one with CONTEXT=: {', '.join(known)}" if known else "kubectl knows none"
    if not context:
        context = kubectl("config", "current-context").stdout.strip()
        if not context:
            raise CannotRunError(f"kubectl has no current context; {choose}")
    if context not in known:
        raise CannotRunError(f"{context!r} is no context of kubectl; {choose}")
    cluster = Cluster(service, environment, context)
    # Known to whoever is logged in, and asked before anything else is.
    answer = cluster.run("get", "--raw=/version", "--request-timeout=10s")
    if answer.returncode:
        raise CannotRunError(
            f"the cluster of context {context} does not answer: {problem(answer.stderr)}"
        )
    return cluster


def folder_of(environment: str) -> Path:
    """Return the folder of an environment."""
    known = sorted(one.name for one in ENVIRONMENTS.iterdir() if one.is_dir())
    if environment not in known:
        raise CannotRunError(
            f"{environment!r} is not an environment; take one of: {' '.join(known)}"
        )
    return ENVIRONMENTS / environment


def build(environment: str, repository: str = "", digest: str = "", instead_of: str = "") -> str:
    """Return what Kustomize makes of an environment.

    Args:
        environment: its name.
        repository: of the image that is to run.
        digest: of the image that is to run; nothing takes what release/ says.
        instead_of: the repository that release/ names.

    """
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch:
        # A layer above: nothing in the repository changes until the release serves.
        below = os.path.relpath(folder_of(environment).resolve(), Path(scratch).resolve())
        layer: Resource = {"resources": [below]}
        if digest:
            image = {"name": instead_of or repository, "newName": repository, "digest": digest}
            layer["images"] = [image]
        Path(scratch, "kustomization.yaml").write_text(json.dumps(layer), encoding="utf-8")
        done = kubectl("kustomize", scratch)
    if done.returncode:
        raise CannotRunError(f"{folder_of(environment)} cannot be built: {problem(done.stderr)}")
    return done.stdout


def as_data(manifest: Manifest) -> Resource:
    """Return a manifest as data: kubectl reads the YAML, and asks no cluster."""
    options = ("--local", "--type=merge", "--patch={}", "--output=json", "--filename=-")
    done = kubectl("patch", *options, given=manifest.text)
    if done.returncode:
        raise CannotRunError(f"{manifest.kind} {manifest.name}: {problem(done.stderr)}")
    data: Resource = json.loads(done.stdout)
    return data


def kubectl(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run kubectl."""
    try:
        return subprocess.run(
            ["kubectl", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise CannotRunError("kubectl is not on the PATH: install it") from error


def problem(said: str) -> str:
    """Return in one line what kubectl complains of: its first error, with the fields it lists."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [n for n, line in enumerate(lines) if line.lower().startswith("error")]
    if not errors:
        return lines[-1] if lines else "kubectl said nothing"
    first, *rest = lines[errors[0] :]
    fields = []
    for line in rest:
        if not line.startswith("- "):
            break
        fields.append(line[2:])
    return f"{first} {', '.join(fields)}".strip()
