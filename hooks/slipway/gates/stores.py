"""Stores: a database belongs to one service, and its names say to which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.located import Value
from slipway.gates.service import Service

DATABASE = re.compile(
    r"(?:jdbc:)?(?:postgres|postgresql|mysql|mariadb|mongodb|mssql|sqlserver|cockroachdb)"
    r"(?:\+\w+)?://"
)
# Variables that the images of databases take.
NAMES = re.compile(
    r"(?:POSTGRES|MYSQL|MARIADB)_(?:DB|DATABASE|USER)|MONGO_INITDB_(?:DATABASE|ROOT_USERNAME)"
    r"|PG(?:DATABASE|USER)"
)


def shared(service: Service) -> Iterator[Fault]:
    """Find databases, users and secrets whose names are not this service's."""
    for name, value, place in variables(service):
        for what, found in names_of_a_database(name, value):
            if not carries(found, service.name):
                yield Fault(place, f"{name} names the {what} {found!r}")
    for found, place in secrets(service):
        if not carries(found, service.name):
            yield Fault(place, f"the secret is named {found!r}")


def carries(name: str, service: str) -> bool:
    """Say whether a name has the service's name in it, in whole words."""
    words = re.escape(service.lower()).replace(r"\-", "[-_]?")
    return bool(re.search(rf"(?<![a-z0-9]){words}(?![a-z0-9])", name.lower()))


def variables(service: Service) -> Iterator[tuple[str, str, Place]]:
    """Yield every variable that Compose and the environments set."""
    for project in service.projects:
        for one in project.services:
            yield from one.variables("environment")
    for file in service.variable_files:
        yield from service.variables(file)
    for workload in service.workloads:
        for container in workload.containers:
            for entry in container.listed("env"):
                name, value = entry.get("name"), entry.get("value")
                if name and value:
                    yield name.text, value.text, value.at
    for resource in service.manifests:
        yield from literals(resource, "configMapGenerator")
        kind = resource.get("kind")
        if kind and kind.text == "ConfigMap" and (data := resource.get("data")):
            for key, value in data.entries.items():
                yield key, value.text, value.at


def literals(resource: Value, generator: str) -> Iterator[tuple[str, str, Place]]:
    """Yield what a generator of a kustomization writes out: name, value and place."""
    for entry in resource.listed(generator):
        for literal in entry.listed("literals"):
            name, _, value = literal.text.partition("=")
            yield name, value.strip("\"'"), literal.at


def names_of_a_database(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield what a variable names: a database, a user."""
    if "$" in value:
        return
    if NAMES.fullmatch(name) and value:
        yield ("user" if "USER" in name else "database"), value
    elif DATABASE.match(value):
        try:
            parts = urlsplit(value.removeprefix("jdbc:"))
        except ValueError:
            return
        if parts.username:
            yield "user", parts.username
        if parts.path.strip("/"):
            yield "database", parts.path.strip("/")


def secrets(service: Service) -> Iterator[tuple[str, Place]]:
    """Yield the names of the secrets that pods use."""
    for workload in service.workloads:
        pod = workload.pod
        for volume in pod.listed("volumes") if pod else []:
            sources = volume.get("projected", "sources")
            for one in (volume, *(sources.items if sources else [])):
                name = one.get("secret", "secretName") or one.get("secret", "name")
                if name:
                    yield name.text, name.at
        for container in workload.containers:
            for key, path in (
                ("env", ("valueFrom", "secretKeyRef", "name")),
                ("envFrom", ("secretRef", "name")),
            ):
                for entry in container.listed(key):
                    if found := entry.get(*path):
                        yield found.text, found.at


GATES = (
    Gate(
        "store-not-shared",
        "Databases, their users and secrets belong to this service alone",
        "database addresses and names in Compose files, `*.env` files and pods, and the names of"
        " the secrets that pods use",
        "Use a database, a user and a secret of this service's own, with its name in theirs",
        shared,
    ),
)
