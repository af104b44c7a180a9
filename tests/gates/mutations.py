"""Ways to spoil a service, and what the gates must say about each: gate, file and line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

DOCKERFILE = "Dockerfile"
COMPOSE = "compose.yaml"
OBSERVED = "observability/local/compose.yaml"
DEPLOYMENT = "deploy/base/deployment.yaml"
FLAGD = "deploy/flags/flagd.yaml"
RELEASE = "deploy/environments/production/release/kustomization.yaml"
CHANGES = "deploy/environments/production/changes/kustomization.yaml"
VARIABLES = "deploy/environments/production/changes/configuration.env"
BASE_VARIABLES = "deploy/base/configuration.env"
SETTINGS = "src/app/settings.py"
MIGRATION = "migrations/0002_more.sql"
ROLLBACK = "runbooks/rollback.md"
ALERTS = "observability/rules/alerts.yaml"
OWN_RULES = "observability/rules/own.yaml"
OWN_TESTS = "observability/rules/tests/own.yaml"
OWN_DASHBOARD = "observability/dashboards/own.json"

# In two pieces, so that no scanner takes this file for a leak.
AWS_KEY = "AKIA" + "Z7QLMNB3XW5RTYUK"
PASSWORD = "kX9" + "vQ2mZr7"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"


@dataclass(frozen=True)
class Mutation:
    """One way to spoil a service.

    Attributes:
        gate: the gate that must say so, and the only one.
        name: what is spoilt, in words.
        edits: by file: what stands there, once, and what is put in its place; "" is the end.
        file: the file at fault.
        line: the line at fault as it reads afterwards; one alone in the file reads so.
        says: what the finding quotes.
        stack: the stack of the service.

    """

    gate: str
    name: str
    edits: Mapping[str, Mapping[str, str]]
    file: str
    line: str
    says: str
    stack: str = "python"

    def __str__(self) -> str:
        """Return the name under which pytest lists it."""
        return f"{self.gate}-{self.name}"

    def apply(self, service: Path, destination: Path) -> Path:
        """Copy a service and spoil the copy."""
        shutil.copytree(service, destination)
        for path, replacements in self.edits.items():
            file = destination / path
            file.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            for old, new in replacements.items():
                if old:
                    found = text.count(old)
                    assert found == 1, f"{path} holds {old!r} {found} times: adapt {self}"
                text = text.replace(old, new) if old else text + new
            file.write_text(text, encoding="utf-8")
        return destination

    def number(self, service: Path) -> int:
        """Return the number of the line at fault."""
        lines = (service / self.file).read_text(encoding="utf-8").splitlines()
        numbers = [number for number, line in enumerate(lines, 1) if line.strip() == self.line]
        assert len(numbers) == 1, f"{self.line!r} stands in lines {numbers} of {self.file}"
        return numbers[0]


def once(path: str, old: str, new: str) -> dict[str, dict[str, str]]:
    """Return one edit of one file."""
    return {path: {old: new}}


def patch(text: str, target: str = "") -> dict[str, dict[str, str]]:
    """Return the edit that makes a service change its Deployment in production."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    return once(CHANGES, "", f"patches:\n  - {target}patch: |-\n{indented}")


def on_the_pod(text: str) -> dict[str, dict[str, str]]:
    """Return a strategic merge patch of the Deployment's pod."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    return patch(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: signups\n"
        f"spec:\n  template:\n    spec:\n{indented}"
    )


def in_place(operation: str) -> dict[str, dict[str, str]]:
    """Return a JSON patch of the Deployment."""
    return patch(operation, "target: {kind: Deployment, name: sign.*}\n    ")


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
DIGEST = "sha256:" + "0123456789abcdef" * 4
RUNNING = f"""\
containers:
  - name: proxy
    image: docker.io/library/nginx@{DIGEST}
    resources:
      requests: {{cpu: 10m, memory: 16Mi}}
      limits: {{cpu: 100m, memory: 32Mi}}
"""
JOB = f"""\
apiVersion: v1
kind: List
items:
  - apiVersion: batch/v1
    kind: CronJob
    metadata:
      name: nightly
    spec:
      schedule: "@daily"
      jobTemplate:
        spec:
          template:
            spec:
              securityContext: {{runAsNonRoot: true}}
              containers:
                - name: nightly
                  image: docker.io/library/busybox@{DIGEST}
                  resources:
                    requests: &size {{cpu: 10m, memory: 16Mi}}
                    limits:
                      <<: *size
                      cpu: 100m
"""


def images() -> Iterator[Mutation]:
    base = "FROM docker.io/library/python:3.13-slim-trixie AS python"
    for name, line, says in (
        ("latest", "FROM python:latest AS python", "'python:latest' is whatever is latest"),
        ("no-tag", "FROM python AS python", "'python' has no tag"),
        ("no-version", "FROM python:slim AS python", "'python:slim' has a tag that names no"),
        ("port", "FROM r.example:5000/python AS python", "'r.example:5000/python' has no tag"),
        ("digest", "FROM python@sha256:abc AS python", "'python@sha256:abc' has a digest that"),
        ("variable", "FROM ${BASE} AS python", "'${BASE}' depends on a variable"),
        ("lower-case", "from --platform=linux/amd64 python as python", "'python' has no tag"),
    ):
        edit = once(DOCKERFILE, base, line)
        yield Mutation("image-pinned", name, edit, DOCKERFILE, line, says)
    tagged = "FROM python:$TAG"
    yield Mutation(
        "image-pinned", "argument",
        {DOCKERFILE: {"FROM ghcr": "ARG TAG=latest\nFROM ghcr", base: f"{tagged} AS python"}},
        DOCKERFILE, f"{tagged} AS python", "'python:latest' is whatever is latest",
    )  # fmt: skip
    copied = "COPY --from=docker.io/library/busybox /bin/busybox /bin/"
    yield Mutation(
        "image-pinned", "copied", once(DOCKERFILE, "COPY src src", f"COPY src src\n{copied}"),
        DOCKERFILE, copied, "'docker.io/library/busybox' has no tag",
    )  # fmt: skip
    mounted = "--mount=type=bind,from=busybox:latest,target=/b \\"
    yield Mutation(
        "image-pinned", "mounted",
        once(DOCKERFILE, "RUN python -m compileall", f"RUN {mounted}\n    python -m compileall"),
        DOCKERFILE, f"RUN {mounted}", "'busybox:latest' is whatever is latest",
    )  # fmt: skip
    yield Mutation(
        "image-pinned", "frontend",
        once(DOCKERFILE, "# check=error=true", "# syntax=docker/dockerfile\n# check=error=true"),
        DOCKERFILE, "# syntax=docker/dockerfile", "'docker/dockerfile' has no tag",
    )  # fmt: skip
    yield Mutation(
        "image-pinned", "another-dockerfile", once("tools/Dockerfile.ci", "", "FROM alpine\n"),
        "tools/Dockerfile.ci", "FROM alpine", "'alpine' has no tag",
    )  # fmt: skip
    redis = "image: docker.io/library/redis:8"
    for name, line in (
        ("compose", "image: docker.io/library/redis:latest"),
        ("compose-default", "image: docker.io/library/redis:${TAG:-${OTHER:-latest}}"),
    ):
        yield Mutation(
            "image-pinned", name, once(COMPOSE, redis, line), COMPOSE, line, "is whatever is latest"
        )
    yield Mutation(
        "image-pinned", "included", once(OBSERVED, ":0.159.0", ""), OBSERVED,
        "image: docker.io/otel/opentelemetry-collector-contrib", "has no tag",
    )  # fmt: skip
    yield Mutation(
        "image-pinned", "override",
        once("compose.override.yaml", "", "services:\n  redis:\n    image: redis\n"),
        "compose.override.yaml", "image: redis", "'redis' has no tag",
    )  # fmt: skip
    yield Mutation(
        "image-pinned", "loose-manifest",
        once("extra/job.yaml", "", JOB.replace(f"busybox@{DIGEST}", "busybox")),
        "extra/job.yaml", "image: docker.io/library/busybox", "has no tag",
    )  # fmt: skip
    for name, line, says in (
        ("tag", "newTag: 1.2.3", "production runs 'ghcr.io/example/signups:1.2.3', not a digest"),
        ("latest", "newTag: latest", "production runs 'ghcr.io/example/signups:latest'"),
    ):
        edit = once(RELEASE, "newTag: not-released", line)
        yield Mutation("image-by-digest", name, edit, RELEASE, line, says)
    yield Mutation(
        "image-by-digest", "no-tag", once(RELEASE, "    newTag: not-released\n", ""), RELEASE,
        "newName: ghcr.io/example/signups", "production runs 'ghcr.io/example/signups', not",
    )  # fmt: skip
    sidecar = RUNNING.replace(f"nginx@{DIGEST}", "nginx:1.29")
    yield Mutation(
        "image-by-digest", "sidecar", on_the_pod(sidecar), CHANGES,
        "image: docker.io/library/nginx:1.29", "production runs 'docker.io/library/nginx:1.29'",
    )  # fmt: skip
    for name, tag, says in (
        ("no-exact-version", ":v0.16", "no digest and no exact version"),
        ("no-digest-at-all", "@sha256:abc", "no digest and no exact version"),
    ):
        line = f"image: ghcr.io/open-feature/flagd{tag}"
        edit = on_the_pod(f"initContainers:\n  - name: flagd\n    {line}")
        yield Mutation("image-by-digest", f"sidecar-{name}", edit, CHANGES, line, says)
    policy = on_the_pod("containers:\n  - name: app\n    image: x:1.2.3\n    restartPolicy: Always")
    yield Mutation(
        "image-by-digest", "no-sidecar", policy, CHANGES, "image: x:1.2.3",
        "production runs 'x:1.2.3', not a digest",
    )  # fmt: skip
    yield Mutation(
        "image-by-digest", "json-patch",
        in_place("- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: x:1"),
        CHANGES, "value: x:1", "production runs 'x:1', not a digest",
    )  # fmt: skip


def users() -> Iterator[Mutation]:
    shipped = "USER 65532:65532\nEXPOSE 8080"
    for name, line, at, says in (
        ("root", "USER root", "USER root", "stage 'production' has 'USER root'"),
        ("zero", 'USER "0:0"', 'USER "0:0"', "has 'USER 0:0'"),
        ("missing", "# none", "FROM gcr.io/distroless/python3-debian13:nonroot AS production",
         "stage 'production' has no USER"),
        ("variable", "ARG ID=0\nUSER $ID", "USER $ID", "has 'USER 0'"),
    ):  # fmt: skip
        edit = once(DOCKERFILE, shipped, f"{line}\nEXPOSE 8080")
        yield Mutation("image-not-root", name, edit, DOCKERFILE, at, says)
    yield Mutation(
        "image-not-root", "compose",
        once(COMPOSE, "command: [migrate]", "command: [migrate]\n    user: root"),
        COMPOSE, "user: root", "service 'migrate' runs as 'root'",
    )  # fmt: skip
    yield Mutation(
        "image-not-root", "pod", once(DEPLOYMENT, "runAsNonRoot: true", "runAsNonRoot: false"),
        DEPLOYMENT, "runAsNonRoot: false", "'app' has 'runAsNonRoot: false'",
    )  # fmt: skip
    yield Mutation(
        "image-not-root", "pod-says-nothing",
        once(DEPLOYMENT, "Context:\n        runAsNonRoot: true\n", "Context: # pod\n"),
        DEPLOYMENT, "securityContext:", "'app' has no runAsNonRoot",
    )  # fmt: skip
    yield Mutation(
        "image-not-root", "patch",
        on_the_pod("containers:\n  - name: app\n    securityContext:\n      runAsUser: 0"),
        CHANGES, "runAsUser: 0", "'app' has 'runAsUser: 0'",
    )  # fmt: skip


def health() -> Iterator[Mutation]:
    check = (
        "HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s"
        " --retries=3 \\\n    CMD"
    )
    yield Mutation(
        "health-image", "missing", once(DOCKERFILE, check, "CMD"), DOCKERFILE,
        "FROM gcr.io/distroless/python3-debian13:nonroot AS production",
        "stage 'production' has no HEALTHCHECK",
    )  # fmt: skip
    yield Mutation(
        "health-image", "none", once(DOCKERFILE, check, "HEALTHCHECK NONE\nCMD"), DOCKERFILE,
        "HEALTHCHECK NONE", "'HEALTHCHECK NONE' switches the check off",
    )  # fmt: skip
    for probe in PROBES:
        yield Mutation(
            "health-probes", f"no-{probe}", once(DEPLOYMENT, f"{probe}:", f"x-{probe}:"),
            DEPLOYMENT, "- name: app", f"Deployment 'signups' has no {probe}",
        )  # fmt: skip
        yield Mutation(
            "health-probes", f"{probe}-removed",
            on_the_pod(f"containers:\n  - name: app\n    {probe}: null"),
            CHANGES, f"{probe}: null", f"Deployment 'signups' has no {probe}",
        )  # fmt: skip
    yield Mutation(
        "health-probes", "one-path", once(DEPLOYMENT, "path: /readyz", "path: '/livez' # two"),
        DEPLOYMENT, "path: '/livez' # two", "readinessProbe asks '/livez' as livenessProbe does",
    )  # fmt: skip
    yield Mutation(
        "health-probes", "rollout-of-its-own",
        once("deploy/base/other.yaml", "",
             "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: other}\n"),
        "deploy/base/other.yaml", "apiVersion: argoproj.io/v1alpha1",
        "Rollout 'other' has no container",
    )  # fmt: skip
    removed = "path: /spec/template/spec/containers/0/livenessProbe"
    yield Mutation(
        "health-probes", "json-patch", in_place(f"- op: remove\n  {removed}"), CHANGES, removed,
        "Deployment 'signups' has no livenessProbe",
    )  # fmt: skip
    yield Mutation(
        "health-compose", "disabled",
        once(COMPOSE, "stop_grace_period: 30s\n\n  dev:",
             "stop_grace_period: 30s\n    healthcheck:\n      disable: yes\n\n  dev:"),
        COMPOSE, "disable: yes", "service 'app' has 'disable: true'",
    )  # fmt: skip
    yield Mutation(
        "health-compose", "none", once(COMPOSE, "test: [CMD, redis-cli, ping]", "test: [NONE]"),
        COMPOSE, "test: [NONE]", "service 'redis' has the test 'NONE'",
    )  # fmt: skip


def resources() -> Iterator[Mutation]:
    limits = 'limits:\n              cpu: "1"\n              memory: 256Mi\n'
    yield Mutation(
        "resources-workloads", "no-memory-limit",
        once(DEPLOYMENT, limits, 'limits:\n              cpu: "1"\n'),
        DEPLOYMENT, "limits:", "Deployment 'signups': 'app' has no limits.memory",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "none", once(DEPLOYMENT, "resources:", "x-resources:"), DEPLOYMENT,
        "- name: app", "has no requests.cpu, requests.memory, limits.cpu, limits.memory",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "limit-removed",
        on_the_pod("containers:\n  - name: app\n    resources:\n      limits:\n        cpu: null"),
        CHANGES, "cpu: null", "'app' has no limits.cpu",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "deleted",
        on_the_pod("containers:\n  - name: app\n    resources:\n      $patch: delete"),
        CHANGES, "resources:", "'app' has no requests.cpu, requests.memory, limits.cpu",
    )  # fmt: skip
    removed = "path: /spec/template/spec/containers/0/resources/requests"
    yield Mutation(
        "resources-workloads", "json-patch", in_place(f"- op: remove\n  {removed}"), CHANGES,
        removed, "'app' has no requests.cpu, requests.memory",
    )  # fmt: skip
    sidecar = RUNNING.partition("    resources:")[0]
    yield Mutation(
        "resources-workloads", "sidecar", on_the_pod(sidecar), CHANGES, "- name: proxy",
        "'proxy' has no requests.cpu, requests.memory, limits.cpu, limits.memory",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "native-sidecar", once(FLAGD, "memory: 64Mi", "hugepages: 64Mi"),
        FLAGD, "limits:", "Deployment 'signups': 'flagd' has no limits.memory",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "patch-file",
        {
            CHANGES: {"": "patches: [{path: less.yaml, target: {kind: Deployment}}]\n"},
            "deploy/environments/production/changes/less.yaml": {
                "": "kind: Deployment\nmetadata: {name: any}\nspec:\n  template:\n    spec:\n"
                "      containers:\n        - name: app\n          resources:\n"
                "            limits:\n              memory: # none\n"
            },
        },
        "deploy/environments/production/changes/less.yaml", "memory: # none",
        "'app' has no limits.memory",
    )  # fmt: skip
    yield Mutation(
        "resources-workloads", "cron-job-in-a-list",
        once("extra/job.yaml", "", JOB.replace("cpu: 10m, ", "")), "extra/job.yaml",
        "requests: &size {memory: 16Mi}", "CronJob 'nightly': 'nightly' has no requests.cpu",
    )  # fmt: skip
    bounded = 'limits: {cpus: "0.5", memory: 64M, pids: 64}'
    for name, line, says in (
        ("no-memory", 'limits: {cpus: "0.5"}', "service 'flags' has no limit of memory"),
        ("no-cpus", "limits: {memory: 64M}", "service 'flags' has no limit of CPU"),
    ):
        edit = once(COMPOSE, bounded, line)
        yield Mutation("resources-compose", name, edit, COMPOSE, line, says)
    yield Mutation(
        "resources-compose", "reset",
        once("compose.override.yaml", "",
             "services:\n  app:\n    deploy: {resources: {limits: {cpus: 1}}}\n"
             "  redis:\n    deploy:\n      resources:\n        limits:\n"
             "          memory: !reset\n"),
        "compose.override.yaml", "memory: !reset", "service 'redis' has no limit of memory",
    )  # fmt: skip
    yield Mutation(
        "resources-compose", "further-file",
        once("compose.ci.yaml", "",
             "services:\n  browser:\n    image: chrome:140\n    cpus: 2\n    deploy: {}\n"),
        "compose.ci.yaml", "deploy: {}", "service 'browser' has no limit of memory",
    )  # fmt: skip


def secrets() -> Iterator[Mutation]:
    for name, path, line, says, stack in (
        ("python", SETTINGS, f'SMTP_PASSWORD = "{PASSWORD}"', "Secret Keyword 'kX…'", "python"),
        ("node", "src/settings.ts", f'const apiKey = "{PASSWORD}";', "Secret Keyword", "node"),
        ("go", "cmd/app/main.go", f'var password = "{PASSWORD}"', "Secret Keyword", "go"),
        ("yaml", "config/mail.yaml", f"password: {PASSWORD} # why", "Secret Keyword", "python"),
        ("aws", SETTINGS, f'KEY = "{AWS_KEY}"', "AWS Access Key 'AK…'", "python"),
        ("argument", SETTINGS, f"client = connect('{AWS_KEY}')", "AWS Access Key", "python"),
        ("in-a-test", "tests/support.py", f'KEY = "{AWS_KEY}"', "AWS Access Key", "python"),
        ("in-a-manifest", DEPLOYMENT, f"# {AWS_KEY}", "AWS Access Key", "python"),
        ("private-key", "docs/notes.txt", PRIVATE_KEY, "Private Key", "python"),
        ("address", SETTINGS, f'# amqp://me:{PASSWORD}@queue/', "Basic Auth Credentials", "python"),
        ("properties", "app.properties", f"db.password={PASSWORD}", "Secret Keyword", "python"),
    ):  # fmt: skip
        edit = once(path, "", f"{line}\n")
        yield Mutation("secret-in-code", name, edit, path, line, says, stack)
    stage = "WORKDIR /app\nCOPY --link --from=build /venv"
    for name, line, at, says in (
        ("env", f"ENV API_TOKEN={PASSWORD}", f"ENV API_TOKEN={PASSWORD}",
         "ENV API_TOKEN is set to 'kX…'"),
        ("second-line", f'ENV A=1 \\\n  # why\n\n  DB_PASSWORD="{PASSWORD}" \\\n  B=2',
         f'DB_PASSWORD="{PASSWORD}" \\', "ENV DB_PASSWORD is set to"),
        ("old-form", f"ENV PASSWORD {PASSWORD}", f"ENV PASSWORD {PASSWORD}", "ENV PASSWORD is set"),
        ("argument", "ARG NPM_TOKEN", "ARG NPM_TOKEN", "ARG NPM_TOKEN stays in the image's"),
        ("file", "COPY .env /app/", "COPY .env /app/", "COPY takes '.env' along"),
    ):  # fmt: skip
        edit = once(DOCKERFILE, stage, f"{line}\n{stage}")
        yield Mutation("secret-in-image", name, edit, DOCKERFILE, at, says)
    manifest = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: signups-mail\nstringData:\n  key: x\n"
    )
    yield Mutation(
        "secret-in-manifest", "secret", once("deploy/base/mail.yaml", "", manifest),
        "deploy/base/mail.yaml", "key: x", "Secret 'signups-mail' holds 'key'",
    )  # fmt: skip
    yield Mutation(
        "secret-in-manifest", "generator",
        once(CHANGES, "", "secretGenerator:\n  - name: signups-mail\n    literals:\n      - a=b\n"),
        CHANGES, "- a=b", "a secretGenerator holds 'a'",
    )  # fmt: skip
    yield Mutation(
        "secret-in-manifest", "generator-of-a-file",
        {
            CHANGES: {"": "secretGenerator:\n  - name: signups-mail\n    files: [key=mail.txt]\n"},
            "deploy/environments/production/changes/mail.txt": {"": "x\n"},
        },
        CHANGES, "files: [key=mail.txt]", "changes/mail.txt', known to git",
    )  # fmt: skip
    for name, path, line, says in (
        ("variables", VARIABLES, f"SMTP_PASSWORD={PASSWORD}", "SMTP_PASSWORD is set to 'kX…'"),
        ("address", VARIABLES, f"QUEUE=amqp://me:{PASSWORD}@queue/",
         "QUEUE is an address with the password"),
    ):  # fmt: skip
        yield Mutation("secret-in-manifest", name, once(path, "", f"{line}\n"), path, line, says)
    variable = f"value: {PASSWORD}"
    yield Mutation(
        "secret-in-manifest", "container",
        on_the_pod(
            f"containers:\n  - name: app\n    env:\n      - name: API_KEY\n        {variable}"
        ),
        CHANGES, variable, "API_KEY is set to 'kX…'",
    )  # fmt: skip
    literal = f"POSTGRES_PASSWORD: ${{DATABASE_PASSWORD:-{PASSWORD}}}"
    yield Mutation(
        "secret-in-manifest", "compose",
        once(COMPOSE, "POSTGRES_USER: signups", f"POSTGRES_USER: signups\n      {literal}"),
        COMPOSE, literal, "POSTGRES_PASSWORD is set to 'kX…'",
    )  # fmt: skip
    yield Mutation(
        "secret-in-manifest", "build-argument",
        once(COMPOSE, "REVISION: ${REVISION:-unknown}",
             f"REVISION: ${{REVISION:-unknown}}\n        NPM_TOKEN: {PASSWORD}"),
        COMPOSE, f"NPM_TOKEN: {PASSWORD}", "build argument NPM_TOKEN is set to",
    )  # fmt: skip
    yield Mutation(
        "secret-in-manifest", "file-of-compose",
        {COMPOSE: {"file: .local/database-password": "file: ./password.txt"},
         "password.txt": {"": "x\n"}},
        COMPOSE, "file: ./password.txt", "the secret's file 'password.txt' is known to git",
    )  # fmt: skip
    for path in (".env", "config/.env.production", "id_ed25519", "certificates/client.p12"):
        edits = {path: {"": "X=1\n"}}
        if path == ".env":
            edits[".gitignore"] = {".env\n": ""}
        yield Mutation(
            "secret-file", path.rpartition("/")[2], edits, path, "X=1", f"{path!r} is made to hold"
        )


def code() -> Iterator[Mutation]:
    for name, path, line, says, stack in (
        ("python", "src/app/api.py", 'print("paid", 3)', "'print(' is no log line", "python"),
        ("python-stderr", "src/app/api.py", "print(1, file=sys.stderr)", "'print('", "python"),
        ("python-write", "src/app/api.py", 'sys.stdout.write("x")', "'sys.stdout.write", "python"),
        ("python-program", "src/app/__main__.py", 'print("up")', "'print('", "python"),
        ("node", "src/api.ts", "console.log(`paid ${1}`);", "'console.log('", "node"),
        ("node-error", "src/api.ts", 'console.error("lost");', "'console.error('", "node"),
        ("node-program", "src/main.ts", 'console.info("up");', "'console.info('", "node"),
        ("go", "internal/api/api.go", 'func f() { fmt.Println("paid") }', "'fmt.Println('", "go"),
        ("go-stderr", "internal/api/api.go", 'var _, _ = fmt.Fprintf(os.Stderr, "x")',
         "'fmt.Fprintf('", "go"),
        ("node-split", "src/api.ts", "console", "'console.log('", "node"),
        ("go-builtin", "cmd/app/main.go", 'func g() { println("x") }', "'println('", "go"),
    ):  # fmt: skip
        edit = once(path, "", f"\n{line}\n" + ("  .log(1);\n" if line == "console" else ""))
        yield Mutation("logs-structured", name, edit, path, line, says, stack)


def documents() -> Iterator[Mutation]:
    heading = "# Roll back\n"
    for name, runbook, line, says in (
        ("no-heading", "# Go home\n", "# Go home", "no heading on rolling back"),
        ("in-a-fence", f"```text\n{heading}```\n", "```text", "no heading on rolling back"),
        ("empty", "# Rollback\n\n# What else\n", "# Rollback",
         "the section on rolling back is empty"),
    ):  # fmt: skip
        edits = {ROLLBACK: {heading: runbook}, "README.md": {"## Roll back": "## Go home"}}
        yield Mutation("rollback-documented", name, edits, ROLLBACK, line, says)


RAN = f"digest: sha256:{'a' * 64}"
PASSED = "# Rollback drill\n\n| what | how it went |\n|---|---|\n| result | passed |\n"


def drills() -> Iterator[Mutation]:
    released = once(RELEASE, "newTag: not-released", RAN)
    today = datetime.now(UTC).date()
    late, future = today - timedelta(days=91), today + timedelta(days=1)
    for name, file, text, says in (
        ("never", "", "", "no drill of a rollback has passed"),
        ("late", f"{late}-staging.md", PASSED, "that passed is 91 days old"),
        ("failed", f"{today}-staging.md", PASSED.replace("passed", "failed"), "no drill"),
        ("no-day", "2026-13-01-staging.md", PASSED, "no drill"),
        ("elsewhere", f"notes/{future}-staging.md", PASSED, "no drill"),
    ):
        report = {f"runbooks/drills/{file}": {"": text}} if file else {}
        yield Mutation("rollback-drilled", name, {**released, **report}, RELEASE, RAN, says)


def migrations() -> Iterator[Mutation]:
    for name, line, says in (
        ("drop-column", "ALTER TABLE signups DROP COLUMN plan;", "drops the column signups.plan"),
        ("drop-table", "DROP TABLE IF EXISTS signups;", "it drops a table"),
        ("rename-column", "ALTER TABLE signups RENAME plan TO tier;", "renames the column plan"),
        ("rename-table", "ALTER TABLE public.signups RENAME TO people;", "the table signups"),
        ("type", "ALTER TABLE signups ALTER plan TYPE varchar(9);", "the type of the column"),
        ("not-null", "ALTER TABLE signups ADD COLUMN age int NOT NULL;", "without a default"),
        ("set-not-null", "ALTER TABLE signups ALTER plan SET NOT NULL;", "becomes NOT NULL"),
        ("drop-default", "ALTER TABLE signups ALTER converted DROP DEFAULT;", "the default of"),
        ("check", "ALTER TABLE signups ADD CHECK (plan <> '');", "until every row is checked"),
        ("foreign-key", "ALTER TABLE signups ADD FOREIGN KEY (id) REFERENCES x (id);", "every row"),
        ("unique", "ALTER TABLE signups ADD UNIQUE (email);", "until its index is made"),
        ("serial", "ALTER TABLE signups ADD COLUMN number bigserial;", "be written anew"),
        ("index", "CREATE INDEX ON signups (email);", "against writing until it is made"),
        ("concurrently", "CREATE INDEX CONCURRENTLY i ON signups (email);", "in the transaction"),
        ("lock", "LOCK TABLE signups;", "it locks the table signups"),
        ("truncate", "TRUNCATE signups;", "empties and locks the table signups"),
        ("enum", "ALTER TYPE plan RENAME VALUE 'free' TO 'none';", "renames the value free"),
        ("drop-view", "DROP VIEW people;", "it drops a view"),
        ("no-sql", "CREATE TABEL x ();", "PostgreSQL cannot read it"),
    ):
        # A line is counted in characters, and comments stand before a statement.
        text = f"-- für später\nCREATE TABLE x (id int);\n\n/* now */ -- and\n{line}\n"
        edit = once(MIGRATION, "", text)
        yield Mutation("migration-compatible", name, edit, MIGRATION, line, says)
    # Each comment excuses what it is about and nothing else.
    for name, comment, line, says in (
        ("contract-is-no-lock", "-- contract: unused since 1.4.0", "LOCK TABLE signups;", "locks"),
        ("lock-is-no-contract", "-- locks: a small table", "DROP TABLE signups;", "drops a table"),
        ("no-release", "-- contract: unused", "DROP TABLE signups;", "drops a table"),
        ("no-reason", "-- locks:", "LOCK TABLE signups;", "locks the table"),
    ):
        edit = once(MIGRATION, "", f"{comment}\n{line}\n")
        yield Mutation("migration-compatible", name, edit, MIGRATION, line, says)


def stores() -> Iterator[Mutation]:
    own = "DATABASE_URL=postgresql://signups@signups-postgres:5432/signups"
    for name, line, says in (
        ("database", "DATABASE_URL=postgresql://signups@db/users", "names the database 'users'"),
        ("user", "DATABASE_URL=postgresql+asyncpg://app@db/signups", "names the user 'app'"),
        ("part-of-a-word", "DATABASE_URL=postgres://db/presignups", "the database 'presignups'"),
    ):
        edit = once(BASE_VARIABLES, own, line)
        yield Mutation("store-not-shared", name, edit, BASE_VARIABLES, line, says)
    line = "DATABASE_URL=postgresql://signups@shared/everything"
    yield Mutation(
        "store-not-shared", "one-environment", once(VARIABLES, "", f"{line}\n"), VARIABLES, line,
        "DATABASE_URL names the database 'everything'",
    )  # fmt: skip
    yield Mutation(
        "store-not-shared", "compose",
        once(COMPOSE, "POSTGRES_DB: signups", "POSTGRES_DB: ${DB:-company}"), COMPOSE,
        "POSTGRES_DB: ${DB:-company}", "POSTGRES_DB names the database 'company'",
    )  # fmt: skip
    yield Mutation(
        "store-not-shared", "secret",
        once(DEPLOYMENT, "secretName: signups-database", "secretName: billing-database"),
        DEPLOYMENT, "secretName: billing-database", "the secret is named 'billing-database'",
    )  # fmt: skip
    yield Mutation(
        "store-not-shared", "secret-of-a-variable",
        on_the_pod(
            "containers:\n  - name: app\n    env:\n      - name: X\n        valueFrom:\n"
            "          secretKeyRef:\n            key: x\n            name: mail"
        ),
        CHANGES, "name: mail", "the secret is named 'mail'",
    )  # fmt: skip


def parity() -> Iterator[Mutation]:
    target = "context: .\n      target: production"
    for name, new, line, says in (
        ("stage", "context: .\n      target: python", "target: python",
         "service 'app' builds stage 'python'"),
        ("another-file", "context: .\n      dockerfile: Dockerfile.dev\n      target: production",
         "dockerfile: Dockerfile.dev", "service 'app' builds 'Dockerfile.dev'"),
    ):  # fmt: skip
        yield Mutation("parity", name, once(COMPOSE, target, new), COMPOSE, line, says)
    yield Mutation(
        "parity", "override",
        once("compose.override.yaml", "", "services:\n  app:\n    build:\n      target: dev\n"),
        "compose.override.yaml", "target: dev", "service 'app' builds stage 'dev'",
    )  # fmt: skip


OWN_ALERT = """\
groups:
  - name: own
    rules:
      - alert: QueueIsLong
        expr: app_queue_length > 100
        for: 10m
        labels: {severity: ticket, team: example}
        annotations:
          runbook_url: https://github.com/example/signups/blob/HEAD/runbooks/QueueIsLong.md
"""
FIRES = """\
  - alert_rule_test:
      - alertname: QueueIsLong
        exp_alerts: [{exp_labels: {severity: ticket}}]
"""
QUIET = """\
  - alert_rule_test:
      - alertname: QueueIsLong
        exp_alerts: []
"""


def own_alert(*, runbook: str, tests: str) -> dict[str, dict[str, str]]:
    """Return an alert that a service adds, with what it brings along."""
    return {
        OWN_RULES: {"": OWN_ALERT},
        "runbooks/QueueIsLong.md": {"": runbook},
        OWN_TESTS: {"": f"rule_files: [../own.yaml]\ntests:\n{tests}"},
    }


def alerts() -> Iterator[Mutation]:
    for name, edit, file, line, says in (
        ("bracket", once(ALERTS, "expr: vector(1)", "expr: vector(1"), ALERTS, "expr: vector(1",
         "rule 'Watchdog': ')' is missing in its expr"),
        ("closes-nothing", once(ALERTS, "expr: vector(1)", "expr: vector(1])"), ALERTS,
         "expr: vector(1])", "rule 'Watchdog': ']' closes nothing in its expr"),
        ("duration", own_alert(runbook="# x\n", tests=FIRES + QUIET)
         | once(OWN_RULES, "", OWN_ALERT.replace("for: 10m", "for: soon")),
         OWN_RULES, "for: soon", "rule 'QueueIsLong': 'soon' is no duration"),
        ("misspelt", once(OWN_RULES, "", "groups:\n  - name: own\n    rules:\n"
         "      - record: job:up:sum\n        expr: sum by (job) (up)\n        fro: 5m\n"),
         OWN_RULES, "fro: 5m", "rule 'job:up:sum' cannot have 'fro'"),
        ("no-expression", once(OWN_RULES, "", "groups:\n  - name: own\n    rules:\n"
         "      - record: job:up:sum\n"),
         OWN_RULES, "- record: job:up:sum", "rule 'job:up:sum' has no expr"),
        ("no-groups", once(OWN_RULES, "", "group:\n  - name: own\n"), OWN_RULES, "group:",
         "this file holds no groups of rules"),
        ("in-the-manifest",
         once("observability/rules/prometheus-rule.yaml", "expr: vector(1)", "expr: vector('1)"),
         "observability/rules/prometheus-rule.yaml", "expr: vector('1)", "' is not closed"),
    ):  # fmt: skip
        yield Mutation("rules-valid", name, edit, file, line, says)
    labels = "severity: log\n          team: example"
    for name, new, line, says in (
        ("unknown", "severity: info\n          team: example", "severity: info",
         "alert 'CollectorDropsData' has severity 'info', not page or ticket or log"),
        ("none", "severity: none # but why\n          team: example", "severity: none # but why",
         "alert 'CollectorDropsData' has severity 'none'"),
        ("missing", "team: example", "- alert: CollectorDropsData", "has no severity"),
        ("no-team", "severity: log", "- alert: CollectorDropsData", "has no team"),
    ):  # fmt: skip
        yield Mutation("alert-severity", name, once(ALERTS, labels, new), ALERTS, line, says)
    url = "runbook_url: https://github.com/example/signups/blob/HEAD/runbooks/"
    yield Mutation(
        "alert-runbook", "another", once(ALERTS, f"{url}Watchdog.md", f"{url}watchdog.md"), ALERTS,
        f"{url}watchdog.md", "runbook_url of 'Watchdog' does not end with runbooks/Watchdog.md",
    )  # fmt: skip
    yield Mutation(
        "alert-runbook", "no-url", once(ALERTS, f"{url}Watchdog.md", "runbook: none"), ALERTS,
        "- alert: Watchdog", "alert 'Watchdog' has no runbook_url",
    )  # fmt: skip
    yield Mutation(
        "alert-runbook", "own", own_alert(runbook="\n", tests=FIRES + QUIET), OWN_RULES,
        "- alert: QueueIsLong", "alert 'QueueIsLong' has no runbook runbooks/QueueIsLong.md",
    )  # fmt: skip
    for name, tests, says in (
        ("never-quiet", FIRES, "no test expects alert 'QueueIsLong' to stay quiet"),
        ("never-fires", QUIET, "no test expects alert 'QueueIsLong' to fire"),
    ):
        edit = own_alert(runbook="# QueueIsLong\n", tests=tests)
        yield Mutation("alert-tested", name, edit, OWN_RULES, "- alert: QueueIsLong", says)


def dashboards() -> Iterator[Mutation]:
    for name, text, line, says in (
        ("no-json", '{\n  "panels": x\n}\n', '"panels": x', "this is no JSON: Expecting value"),
        ("no-panel", '{"panels": []}\n', '{"panels": []}', "the dashboard has no panel"),
        ("another-form", '{"elements": {}}\n', '{"elements": {}}', "no dashboard in classic form"),
    ):
        edit = once(OWN_DASHBOARD, "", text)
        yield Mutation("dashboards-present", name, edit, OWN_DASHBOARD, line, says)
    source = '"datasource": {"type": "prometheus", "uid": "prometheus"}'
    for name, line, says in (
        ("misspelt", '"expr": "rate(http_server_request_duration_second_count[5m])"',
         "asks for 'http_server_request_duration_second_count', which nobody emits"),
        ("not-recorded", '"expr": "service:nothing:sum{x=\\"up\\"} / on (job) up"',
         "panel 1 \"Own\" asks for 'service:nothing:sum'"),
    ):  # fmt: skip
        panel = f'{{"id": 1, "title": "Own", {source}, "targets": [{{\n{line}\n}}]}}'
        edit = once(OWN_DASHBOARD, "", f'{{"panels": [{panel}]}}\n')
        yield Mutation("panel-metrics", name, edit, OWN_DASHBOARD, line, says)


MUTATIONS = (
    *images(), *users(), *health(), *resources(), *secrets(), *code(), *documents(), *drills(),
    *stores(), *migrations(),
    *parity(), *alerts(), *dashboards(),
)  # fmt: skip
