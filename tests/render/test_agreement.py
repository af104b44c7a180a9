"""One fact, one place: what stands in several files is the same in all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from slipway.rendering import render

from tests.product import derived
from tests.render import agreement
from tests.render.agreement import Service
from tests.render.combinations import PAIRWISE, name
from tests.services import SMALLEST, Services, mutated

Check = Callable[[Service], list[str]]


def by_name(check: Check) -> str:
    return check.__name__


@pytest.mark.parametrize("check", agreement.CHECKS, ids=by_name)
def test_files_agree_whatever_the_answers(services: Services, check: Check) -> None:
    problems = [
        f"{name(answers)}: {problem}"
        for answers in PAIRWISE
        for problem in check(Service(services(answers)))
    ]

    assert problems == []


def test_the_shutdown_numbers_leave_room_for_each_other() -> None:
    numbers = derived("shutdown")

    assert numbers["edge_timeout"] <= numbers["drain"] < numbers["compose_stop"]
    assert numbers["pre_stop"] + numbers["drain"] < numbers["grace_period"]


# -- negative controls -----------------------------------------------------------------------------


class Drift(NamedTuple):
    """One file that no longer says what the others say."""

    check: Check
    file: str
    old: str
    new: str


COMPOSE = "template/compose.yaml.jinja"
DEPLOYMENT = "template/deploy/base/deployment.yaml.jinja"
DOCKERFILE = "template/[[python]]/Dockerfile.jinja"
ENVIRONMENT = "template/_partials/environment.Dockerfile"
KUSTOMIZATION = (
    "template/deploy/environments/[% yield environment from environments %]"
    "[[ environment ]][% endyield %]/kustomization.yaml.jinja"
)

SERVICE = "template/deploy/base/service.yaml.jinja"
MAKEFILE = "template/Makefile.jinja"

ROUTE = str(
    Path(KUSTOMIZATION).with_name("[% if edge == 'gateway' %]http-route.yaml[% endif %].jinja")
)
FLAGD = "template/deploy/[% if feature_flags %]flags[% endif %]/flagd.yaml.jinja"
VARIABLES = "template/deploy/base/configuration.env.jinja"
SMALL = (
    "template/deploy/components/[% if production_environments | length < environments | length %]"
    "small[% endif %]/kustomization.yaml.jinja"
)

# Everything there is, in two environments.
LARGEST: dict[str, Any] = {
    "datastore": "postgres",
    "cache": "redis",
    "environments": ["staging", "production"],
    "domain": "signups.example.com",
}

DRIFTS = [
    Drift(agreement.probes, DEPLOYMENT, "path: /readyz", "path: /livez"),
    Drift(agreement.probes, DEPLOYMENT, "path: /startupz", "path: /started"),
    Drift(agreement.ports, DEPLOYMENT, "containerPort: [[ port ]]", "containerPort: 8081"),
    Drift(agreement.ports, DOCKERFILE, "EXPOSE [[ port ]]", "EXPOSE 80"),
    Drift(agreement.ports, COMPOSE, "}:[[ port ]]", "}:8000"),
    Drift(agreement.ports, SERVICE, "targetPort: http", "targetPort: web"),
    Drift(agreement.loopback, COMPOSE, '"127.0.0.1:${PUBLISHED', '"${PUBLISHED'),
    Drift(agreement.shutdown, "copier.yml", "drain: 20", "drain: 35"),
    Drift(agreement.shutdown, "copier.yml", "grace_period: 45", "grace_period: 30"),
    Drift(agreement.shutdown, "copier.yml", "compose_stop: 30", "compose_stop: 10"),
    Drift(agreement.names, DEPLOYMENT, "service_name ~ '-database'", "'database'"),
    Drift(agreement.names, COMPOSE, "POSTGRES_USER: [[ yaml(database) ]]", "POSTGRES_USER: app"),
    Drift(agreement.names, COMPOSE, "5432/[[ database ]]", "5432/app"),
    Drift(agreement.images, COMPOSE, "redis:[[ pins.redis ]]", "redis:latest"),
    Drift(agreement.images, COMPOSE, "postgres:[[ pins.postgres ]]", "postgres"),
    Drift(agreement.images, DOCKERFILE, "python:[[ pins.python ]]-slim", "python:3.9-slim"),
    Drift(agreement.images, DOCKERFILE, "--from=uv ", "--from=docker.io/library/busybox "),
    Drift(agreement.environments, MAKEFILE, "[[ environments | join(' ') ]]", "dev"),
    Drift(agreement.environments, KUSTOMIZATION, "changes\n  - release", "release\n  - changes"),
    Drift(agreement.hardening, COMPOSE, 'user: "65532:65532"', 'user: "0:0"'),
    Drift(agreement.hardening, COMPOSE, "memory: 256M, pids: 128", "memory: 512M, pids: 128"),
    Drift(agreement.entry_points, DOCKERFILE, '"healthcheck"]', '"health"]'),
    Drift(agreement.entry_points, DOCKERFILE, 'CMD ["dev"]', "CMD dev"),
    Drift(agreement.environments, SMALL, "sizes[false].replicas.max", "sizes[true].replicas.max"),
    Drift(agreement.environments, KUSTOMIZATION, "components:\n", "patches: []\ncomponents:\n"),
    Drift(agreement.edge, ROUTE, "[[ shutdown.edge_timeout ]]s", "30s"),
    Drift(agreement.edge, ROUTE, "domain if environment == environments[-1]", "domain if true"),
    Drift(agreement.flags, FLAGD, "flagd:[[ pins.flagd ]]", "flagd:v0.1.0"),
    Drift(agreement.flags, FLAGD, "drop: [ALL]", "drop: [NET_RAW]"),
    Drift(agreement.flags, VARIABLES, "127.0.0.1:8016", "127.0.0.1:8013"),
    Drift(agreement.telemetry, MAKEFILE, "http://collector:4318", "http://collector:4317"),
]  # fmt: skip


@pytest.mark.parametrize(
    "drift", DRIFTS, ids=[f"{drift.check.__name__}-{drift.new.strip()[:24]}" for drift in DRIFTS]
)
def test_files_that_drift_apart_are_noticed(template: Path, tmp_path: Path, drift: Drift) -> None:
    drifted = mutated(template, tmp_path / "template", {drift.file: {drift.old: drift.new}})

    # The code matters to one check only, and takes half of the time.
    starter = drift.check is agreement.probes

    made = render(drifted, tmp_path / "service", {**SMALLEST, **LARGEST, "starter": starter})

    assert drift.check(Service(made))


def test_every_check_has_its_negative_control() -> None:
    assert {drift.check for drift in DRIFTS} == set(agreement.CHECKS)
