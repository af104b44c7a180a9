"""What each file of a rendered service is for, in one line: the text of docs/reference/files.md.

Patterns are as in `fnmatch` (`*` crosses folders); the first that matches a file counts.
"""

from __future__ import annotations

PURPOSES = {
    ".copier-answers.yml": "The recorded answers and the template's version; only Copier writes it",
    ".dockerignore": "The few paths that reach the build",
    ".gitignore": "Local settings, local secrets and caches",
    "Dockerfile": "build → test → production; a `dev` stage; `lock` writes the lock file",
    "Makefile": "The commands that people run; `make` alone lists them",
    "README.md": "How to run, develop, configure, deploy, see and roll back this service",
    "catalog-info.yaml": "The service's entry in a Backstage catalogue",
    "compose.yaml": "The production image with its stores, and its reloading twin, on one machine",
    "deploy/base/configuration.env": "Variables that are the same in every environment",
    "deploy/base/deployment.yaml": "Pods: probes, resources, security, and the steps of a stop",
    "deploy/base/kustomization.yaml": "What every environment starts from",
    "deploy/base/service-account.yaml": "An identity without a token",
    "deploy/base/service.yaml": "The name and port under which the cluster finds it",
    "deploy/environments/*/changes/configuration.env": "Variables that win there",
    "deploy/environments/*/changes/kustomization.yaml": "The service's own patches and resources",
    "deploy/environments/*/release/kustomization.yaml": "The image that runs there, by digest",
    "deploy/environments/*/configuration.env": "The environment's name and log level",
    "deploy/environments/*/kustomization.yaml": "Base, then `changes`, then `release`",
    "deploy/environments/*/namespace.yaml": "A namespace with restricted Pod Security",
    "deploy/flags/flags.json": "The feature flags that flagd serves",
    "migrations/*.sql": "A step of the database's schema, forward only",
    "observability/collector.yaml": "The collector: memory guard, redaction, resource attributes",
    "observability/local/collector.yaml": "Where the signals go on a developer's machine",
    "observability/local/compose.yaml": "The collector beside the service, under a profile",
    "pyproject.toml": "Dependencies in groups, and the settings of linter, types and tests",
    "renovate.json": "Leaves to the template what is the template's, and pins digests",
    "src/app/telemetry.py": "Traces, metrics and logs: what is emitted, what is not, and the flush",
    "uv.lock": "The exact version and hash of every dependency",
}
