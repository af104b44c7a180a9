"""A release that does to services what releases do: it changes, lengthens, renames, removes, adds.

Each change meets an edit of `recipes.py`.
"""

from collections.abc import Mapping
from pathlib import Path

# More lines than stand between its place and the probe of the service itself: the sidecar's probe
# is then nearer to where that probe was. Probes of the same three routes look alike.
SIDECAR = """\
        # Serves the feature flags beside the service.
        - name: flags
          image: flags
          imagePullPolicy: IfNotPresent
          args: [start]
          ports:
            - name: flags
              containerPort: 8016
          env:
            - name: FLAGS
              value: /etc/flags/flags.json
            - name: MANAGEMENT_PORT
              value: "8014"
          resources:
            requests:
              cpu: 10m
              memory: 32Mi
              ephemeral-storage: 16Mi
            limits:
              cpu: 100m
              memory: 64Mi
              ephemeral-storage: 64Mi
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
            readOnlyRootFilesystem: true
          volumeMounts:
            - name: temporary
              mountPath: /tmp
          readinessProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          lifecycle:
            preStop:
              sleep:
                seconds: 10
"""

IMAGE_NOTES = """\
# What the image below holds:
#   the service, built in the stage `build`,
#   what it needs to run, and nothing that builds or tests it.
# What it does not hold:
#   a shell, a package manager, a compiler,
#   secrets, which are mounted where it runs,
#   configuration, which comes from the environment.
#
"""

DEPLOY = """\
#!/bin/sh
# Puts a digest into an environment's release.
set -eu
echo "deploying ${1:?an environment}"
"""

ROLLBACK = """\
#!/bin/sh
# Puts the digest before this one back.
set -eu
git revert --no-edit HEAD
"""

BASE = "template/deploy/base"
LOCAL = "template/observability/local"
ENVIRONMENT = (
    "template/deploy/environments/"
    "[% yield environment from environments %][[ environment ]][% endyield %]"
)
PYTHON, NODE, GO = "template/[[python]]", "template/[[node]]", "template/[[go]]"
STARTER = "[% if starter %].[% endif %]"

# Path, text that stands there, text in its place.
CHANGES: Mapping[str, Mapping[str, str]] = {
    f"{BASE}/deployment.yaml.jinja": {"        - name: app\n": f"{SIDECAR}        - name: app\n"},
    f"{BASE}/service.yaml.jinja": {"port: 80\n": "port: 8000\n"},
    f"{BASE}/configuration.env.jinja": {"SAMPLER_ARG=1.0\n": "SAMPLER_ARG=0.5\n"},
    f"{BASE}/kustomization.yaml.jinja": {"  - service-account.yaml\n": "  - identity.yaml\n"},
    f"{ENVIRONMENT}/namespace.yaml.jinja": {
        "  labels:\n": "  labels:\n    app.kubernetes.io/managed-by: kustomize\n"
    },
    f"{ENVIRONMENT}/configuration.env.jinja": {"ENVIRONMENT=": "# Of this alone.\nENVIRONMENT="},
    f"{LOCAL}/tempo.yaml": {"log_level: warn": "log_level: info"},
    f"{LOCAL}/compose.yaml.jinja": {"stop_grace_period: 10s": "stop_grace_period: 20s"},
    "template/observability/collector.yaml": {
        "      # IPv4 address\n": (
            "      # MAC address\n"
            "      - '\\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\\b'\n"
            "      # IPv4 address\n"
        )
    },
    "template/catalog-info.yaml.jinja": {"lifecycle: production": "lifecycle: experimental"},
    "template/compose.yaml.jinja": {"${LOG_LEVEL:-debug}": "${LOG_LEVEL:-info}"},
    **{
        f"{room}/Dockerfile.jinja": {"# No shell and no": f"{IMAGE_NOTES}# No shell and no"}
        for room in (PYTHON, NODE, GO)
    },
    **{
        f"{room}/.gitignore.jinja": {"# Local settings and": "# The local settings and"}
        for room in (PYTHON, NODE, GO)
    },
    f"{PYTHON}/pyproject.toml.jinja": {"timeout = 60\n": "timeout = 90\n"},
    f"{NODE}/package.json.jinja": {'"build": "tsc",\n': '"build": "tsc",\n    "start": "tsx",\n'},
    f"{GO}/go.mod.jinja": {"// Telemetry: one set, ": "// Telemetry is one set, "},
    f"{PYTHON}/src/app/telemetry.py": {
        "\nimport json\n": "\n# Of the next release.\nimport json\n"
    },
    f"{NODE}/src/telemetry.ts": {" */\n\nimport {": " */\n\n// Of the next release.\nimport {"},
    f"{GO}/internal/telemetry/telemetry.go": {
        "package telemetry\n": "package telemetry\n\n// Of the next release.\n"
    },
    # What the service owns: nothing of this may reach it.
    "template/README.md.jinja": {"\n## ": "\nOf the next release.\n\n## "},
    f"{PYTHON}/{STARTER}/src/app/api.py": {"\nfrom ": "\n# Of the next release.\nfrom "},
    f"{NODE}/{STARTER}/src/api.ts": {"\nimport ": "\n// Of the next release.\nimport "},
    f"{GO}/{STARTER}/internal/api/api.go": {"package api\n": "package api\n\n// Of the next.\n"},
    f"{ENVIRONMENT}/changes/configuration.env.jinja": {"UPSTREAM_URL=": "RETRIES=1\nUPSTREAM_URL="},
    f"{ENVIRONMENT}/release/kustomization.yaml.jinja": {"not-released": "none"},
    "template/deploy/[% if feature_flags %]flags[% endif %]/flags.json.jinja": {
        '"defaultVariant": "off"': '"defaultVariant": "on"'
    },
}

ADDED: Mapping[str, str] = {
    "template/scripts/deploy.sh": DEPLOY,
    "template/scripts/rollback.sh": ROLLBACK,
}

RENAMED: Mapping[str, str] = {
    f"{BASE}/service-account.yaml.jinja": f"{BASE}/identity.yaml.jinja",
    **{
        f"{room}/.dockerignore.jinja": f"{room}/Dockerfile.dockerignore.jinja"
        for room in (PYTHON, NODE, GO)
    },
}

REMOVED = ("template/renovate.json.jinja",)

# The old paths of what is renamed and removed: without trust, this is how a template does it.
RETIRED = ("/deploy/base/service-account.yaml", "/.dockerignore", "/renovate.json")

APPENDED: Mapping[str, str] = {
    "template/Makefile.jinja": "\nclean: ## drop what the last build left behind\n\trm -rf dist\n"
}


def next_release(template: Path) -> None:
    """Change a template as the next release does."""
    for path, replacements in CHANGES.items():
        file = template / path
        text = file.read_text()
        for old, new in replacements.items():
            assert old in text, f"{path} no longer holds {old!r}: adapt the next release of tests"
            text = text.replace(old, new, 1)
        file.write_text(text)
    for path, text in ADDED.items():
        (template / path).parent.mkdir(exist_ok=True)
        (template / path).write_text(text)
    for old, new in RENAMED.items():
        (template / old).rename(template / new)
    for path in REMOVED:
        (template / path).unlink()
    for path, text in APPENDED.items():
        file = template / path
        file.write_text(file.read_text() + text)
    retire(template / "copier.yml")


def retire(interview: Path) -> None:
    """Put the old paths into `_exclude`, so that `copier update` keeps what is edited there."""
    text = interview.read_text()
    first = "_exclude:\n"
    assert text.count(first) == 1
    entries = "".join(f"  - {path}\n" for path in RETIRED)
    interview.write_text(text.replace(first, f"{first}{entries}"))
