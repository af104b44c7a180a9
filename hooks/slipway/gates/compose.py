"""Reads Compose files as `docker compose` merges them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from slipway.gates.findings import Place
from slipway.gates.located import Value, merge
from slipway.gates.paths import beside

MAIN = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
OVERRIDE = tuple(name.replace(".y", ".override.y") for name in MAIN)
FURTHER = re.compile(r"(?:docker-)?compose\.[\w.-]+\.ya?ml")
NAME = re.compile(r"\w+")

# Gives the first document of a file, or nothing when there is no such file.
Read = Callable[[str], Value | None]


@dataclass(frozen=True)
class ComposeService:
    """One service of a project, everything merged into it."""

    name: str
    value: Value

    def get(self, *path: str) -> Value | None:
        """Return the value at a path of keys."""
        return self.value.get(*path)

    @property
    def image(self) -> str:
        """Return the image's name, the defaults of variables put in."""
        image = self.get("image")
        return interpolated(image.text) if image else ""

    @property
    def build(self) -> Value | None:
        """Return how the image is built; nothing when it is pulled."""
        return self.get("build")

    @property
    def context(self) -> str:
        """Return the folder that is built, relative to the service; `.` is the service."""
        build = self.build
        if build is None:
            return ""
        named = build.entries.get("context", build)
        folder = interpolated(named.text) or "."
        return beside(named.at.file, folder)

    @property
    def dockerfile(self) -> str:
        """Return the path of the Dockerfile, relative to the service."""
        named = self.get("build", "dockerfile")
        return str(PurePosixPath(self.context, interpolated(named.text) if named else "Dockerfile"))

    @property
    def target(self) -> str:
        """Return the stage that is built; empty for the last."""
        named = self.get("build", "target")
        return interpolated(named.text) if named else ""

    def variables(self, *path: str) -> Iterator[tuple[str, str, Place]]:
        """Yield the variables of a mapping or of a list of `NAME=value`."""
        value = self.get(*path)
        if value is None:
            return
        for name, one in value.entries.items():
            yield name, interpolated(one.text), one.at
        for one in value.items:
            name, _, text = one.text.partition("=")
            yield name, interpolated(text), one.at


@dataclass(frozen=True)
class Project:
    """What one `docker compose` command would run."""

    file: str
    value: Value

    @property
    def services(self) -> list[ComposeService]:
        """Return the services by name."""
        found = self.value.get("services")
        entries = found.entries if found else {}
        return [ComposeService(name, value) for name, value in entries.items() if value.entries]

    @property
    def built(self) -> set[str]:
        """Return the names of the images that are built here, and pulled from nowhere."""
        return {service.image for service in self.services if service.build}

    @property
    def short_lived(self) -> set[str]:
        """Return the services that others wait for until they have ended."""
        return {
            name
            for service in self.services
            for name, wait in service.value.mapping("depends_on").items()
            if (condition := wait.get("condition"))
            and condition.text == "service_completed_successfully"
        }


def projects(files: list[str], read: Read) -> list[Project]:
    """Return the project that `docker compose` finds by itself, then one for each further file.

    Args:
        files: the files of the service.
        read: reads one of them.

    """
    main = next((name for name in MAIN if name in files), None)
    if main is None:
        return []
    value = _loaded(main, read, ())
    if override := next((name for name in OVERRIDE if name in files), None):
        value = merge(value, _loaded(override, read, ()))
    further = [name for name in files if FURTHER.fullmatch(name) and name not in OVERRIDE]
    return [
        Project(main, value),
        *(Project(name, merge(value, _loaded(name, read, ()))) for name in further),
    ]


def _loaded(file: str, read: Read, above: tuple[str, ...]) -> Value:
    """Read a file with everything it includes and extends."""
    value = read(file)
    if value is None or file in above:
        return Value(Place(file, 1), {})
    for included in value.listed("include"):
        paths = included.entries.get("path", included)
        for path in paths.items or [paths]:
            below = _loaded(beside(file, interpolated(path.text)), read, (*above, file))
            value = merge(below, value)
    services = value.get("services")
    if services is None:
        return value
    extended = {
        name: _extended(service, value, read, (*above, file))
        for name, service in services.entries.items()
    }
    return replace(
        value, content={**value.entries, "services": replace(services, content=extended)}
    )


def _extended(service: Value, project: Value, read: Read, above: tuple[str, ...]) -> Value:
    """Put what a service extends below it."""
    extends = service.get("extends")
    if extends is None:
        return service
    named = extends.entries.get("service", extends)
    if "file" in extends.entries:
        project = _loaded(beside(above[-1], extends.entries["file"].text), read, above)
    own = replace(
        service, content={key: one for key, one in service.entries.items() if key != "extends"}
    )
    base = project.get("services", named.text)
    return merge(_extended(base, project, read, above), own) if base and base != service else own


def interpolated(text: str) -> str:
    """Put the defaults of variables in their place; a variable without a default is empty."""
    found = ""
    position = 0
    while position < len(text):
        if text.startswith("$$", position):
            found += "$"
            position += 2
        elif text.startswith("${", position):
            end = _closing(text, position)
            found += _default(text[position + 2 : end])
            position = end + 1
        elif text[position] == "$" and (name := NAME.match(text, position + 1)):
            position = name.end()
        else:
            found += text[position]
            position += 1
    return found


def _closing(text: str, start: int) -> int:
    """Return where the brace closes that opens after `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if text[position] == "}" and depth == 0:
            return position
    return len(text)


def _default(variable: str) -> str:
    """Return the value of `NAME`, `NAME:-default` or `NAME-default` when nothing sets it."""
    name = NAME.match(variable)
    rest = variable[name.end() :] if name else ""
    for sign in (":-", "-"):
        if rest.startswith(sign):
            return interpolated(rest.removeprefix(sign))
    return ""
