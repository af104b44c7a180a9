"""What people do to their services before an update, and how to see what became of it.

A recipe is one habit, made of parts; a part is one edit of one file that can be found again.
"""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.update.next_release import ROLLBACK
from tests.update.project import Project, git

ENVIRONMENTS = "deploy/environments"
OWN = "the service's own"


class Outcome(StrEnum):
    """What an update made of an edit, best first."""

    KEPT = "kept"
    CONFLICT = "conflict"
    MISSED = "missed"
    MISPLACED = "misplaced"
    LOST = "lost"

    @property
    def told(self) -> str:
        """The word on the page; what hurts stands out."""
        return self.value if self in (Outcome.KEPT, Outcome.CONFLICT) else f"**{self.value}**"


KEPT, CONFLICT, MISSED, MISPLACED, LOST = Outcome
WORST_LAST = list(Outcome)


@dataclass(frozen=True)
class Updated:
    """A service after an update."""

    folder: Path

    @cached_property
    def conflicts(self) -> list[str]:
        return Project(self.folder).conflicts()

    def lines(self, path: str) -> list[str]:
        """Return a file's lines with their ends; none where there is no file."""
        file = self.folder / path
        return file.read_bytes().decode().splitlines(keepends=True) if file.is_file() else []


class Part(Protocol):
    """One edit.

    `undone` and `elsewhere` are for the negative controls: they take an edit out of an updated
    service, or put it somewhere else.
    """

    @property
    def path(self) -> str: ...

    def edit(self, service: Path) -> None: ...

    def outcome(self, updated: Updated) -> Outcome: ...

    def undone(self, service: Path) -> None: ...

    def elsewhere(self, service: Path) -> bool:
        """Return whether there is another place."""
        ...


# -- parts -----------------------------------------------------------------------------------------


def holds(lines: Sequence[str], block: Sequence[str]) -> bool:
    """Say whether lines stand in a text one after the other."""
    size = len(block)
    return any(list(lines[at : at + size]) == list(block) for at in range(len(lines) - size + 1))


@dataclass(frozen=True)
class Lines:
    """Some lines of a file become others; the first of them may be there to say where that is.

    Attributes:
        path: the file.
        old: what stands there, with a line beside it that says where; empty for the file's end.
        new: what the service's owner writes instead.
        at: where the file is after the update, if the template or an answer moves it.
        end: how lines end after the edit.

    """

    path: str
    old: str
    new: str
    at: str = ""
    end: str = "\n"

    @property
    def place(self) -> str:
        return self.at or self.path

    @property
    def block(self) -> list[str]:
        return [line.replace("\n", self.end) for line in self.new.splitlines(keepends=True)]

    @property
    def own(self) -> list[str]:
        """The lines that only the service has."""
        before = self.old.splitlines()
        return [line for line in self.block if line.rstrip("\r\n") not in before]

    def edit(self, service: Path) -> None:
        file = service / self.path
        text = file.read_text()
        if self.old:
            assert text.count(self.old) == 1, f"{self.path}: adapt the recipe: {self.old!r}"
            text = text.replace(self.old, self.new)
        else:
            text += self.new
        file.write_bytes(text.replace("\n", self.end).encode())

    def outcome(self, updated: Updated) -> Outcome:
        lines = updated.lines(self.place)
        if all(line in lines for line in self.own):
            if self.place in updated.conflicts:
                return CONFLICT
            if any(line.endswith(self.end) is False for line in lines[:-1]):
                return LOST
            if holds(lines if self.old else lines[-len(self.block) :], self.block):
                return KEPT
            return MISPLACED if self.own else LOST
        left_behind = self.at and all(line in updated.lines(self.path) for line in self.own)
        return MISPLACED if left_behind else LOST

    def undone(self, service: Path) -> None:
        file = service / self.place
        lines = Updated(service).lines(self.place)
        if self.own:
            lines = [line for line in lines if line not in self.own]
        else:
            lines.insert(lines.index(self.block[-1]), "between\n")
        file.write_bytes("".join(lines).encode())

    def elsewhere(self, service: Path) -> bool:
        lines = Updated(service).lines(self.place)
        rest = [line for line in lines if line not in self.own]
        moved = [*rest, *self.own] if self.old else [*self.own, *rest]
        (service / self.place).write_bytes("".join(moved).encode())
        return bool(self.own)


@dataclass(frozen=True)
class Probe:
    """One of a container's probes is tuned; others of the file have the same lines."""

    path: str = "deploy/base/deployment.yaml"
    container: str = "app"
    probe: str = "readinessProbe"
    setting: str = "periodSeconds"
    value: int = 7

    def edit(self, service: Path) -> None:
        self._tune(service / self.path, self.container, self.value)

    def _tune(self, file: Path, container: str, value: int) -> None:
        lines = file.read_text().splitlines(keepends=True)
        start = lines.index(f"        - name: {container}\n")
        probe = lines.index(f"          {self.probe}:\n", start)
        at = next(n for n in range(probe, len(lines)) if f" {self.setting}: " in lines[n])
        indent = lines[at].partition(self.setting)[0]
        lines[at] = f"{indent}{self.setting}: {value}\n"
        file.write_text("".join(lines))

    def outcome(self, updated: Updated) -> Outcome:
        if self.path in updated.conflicts:
            tuned = any(f"{self.setting}: {self.value}\n" in x for x in updated.lines(self.path))
            return CONFLICT if tuned else LOST
        whole = yaml.safe_load((updated.folder / self.path).read_text())
        found = [
            (container["name"], name)
            for container in whole["spec"]["template"]["spec"]["containers"]
            for name, probe in container.items()
            if name.endswith("Probe") and probe[self.setting] == self.value
        ]
        if (self.container, self.probe) in found:
            return KEPT
        return MISPLACED if found else LOST

    def undone(self, service: Path) -> None:
        self._tune(service / self.path, self.container, 2)

    def elsewhere(self, service: Path) -> bool:
        self.undone(service)
        other = Probe(probe="livenessProbe")
        other._tune(service / self.path, self.container, self.value)
        return True


@dataclass(frozen=True)
class Whole:
    """A file that is all the service's own: its content stays as it is.

    Attributes:
        path: the file.
        content: what is in it; empty to keep what the starter put there, with a line added.
        comment: how a line of that file is made a comment.
        at: where the file is after the update.

    """

    path: str
    content: str = ""
    comment: str = "#"
    at: str = ""

    @property
    def place(self) -> str:
        return self.at or self.path

    @property
    def line(self) -> str:
        return self.content or f"{self.comment} {OWN} line\n"

    def edit(self, service: Path) -> None:
        file = service / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        seeded = file.read_text() if file.exists() and not self.content else ""
        file.write_text(seeded + self.line)

    def outcome(self, updated: Updated) -> Outcome:
        lines = updated.lines(self.place)
        if self.place in updated.conflicts:
            own = self.line.splitlines(keepends=True)
            return CONFLICT if all(line in lines for line in own) else LOST
        text = "".join(lines)
        if text == self.line or (not self.content and text.endswith(self.line)):
            return KEPT
        left_behind = self.at and self.line in "".join(updated.lines(self.path))
        return MISPLACED if left_behind else LOST

    def undone(self, service: Path) -> None:
        own = self.line.splitlines(keepends=True)
        rest = [line for line in Updated(service).lines(self.place) if line not in own]
        (service / self.place).write_text("".join(rest))

    def elsewhere(self, service: Path) -> bool:
        (service / self.path).parent.mkdir(parents=True, exist_ok=True)
        (service / self.place).rename(service / self.path)
        return self.place != self.path


@dataclass(frozen=True)
class Executable:
    """A file is made executable."""

    path: str

    def edit(self, service: Path) -> None:
        (service / self.path).chmod(0o755)

    def outcome(self, updated: Updated) -> Outcome:
        file = updated.folder / self.path
        return KEPT if file.is_file() and file.stat().st_mode & stat.S_IXUSR else LOST

    def undone(self, service: Path) -> None:
        (service / self.path).chmod(0o644)

    def elsewhere(self, service: Path) -> bool:  # noqa: ARG002 - a mode is here or gone
        return False


@dataclass(frozen=True)
class Unended:
    """The last line of a file loses its end."""

    path: str

    def edit(self, service: Path) -> None:
        file = service / self.path
        file.write_text(file.read_text().rstrip("\n"))

    def outcome(self, updated: Updated) -> Outcome:
        if self.path in updated.conflicts:
            return CONFLICT
        lines = updated.lines(self.path)
        return KEPT if lines and not lines[-1].endswith("\n") else LOST

    def undone(self, service: Path) -> None:
        with (service / self.path).open("a") as file:
            file.write("\n")

    def elsewhere(self, service: Path) -> bool:  # noqa: ARG002 - there is one end
        return False


@dataclass(frozen=True)
class Deleted:
    """A file is deleted, under whatever name the template knows it later."""

    path: str
    at: str = ""

    def edit(self, service: Path) -> None:
        (service / self.path).unlink()

    def outcome(self, updated: Updated) -> Outcome:
        if {self.path, self.at} & set(updated.conflicts):
            return CONFLICT
        there = [path for path in (self.path, self.at) if (updated.folder / path).is_file()]
        return LOST if there else KEPT

    def undone(self, service: Path) -> None:
        (service / self.path).write_text("it is back\n")

    def elsewhere(self, service: Path) -> bool:  # noqa: ARG002 - a file is gone or there
        return False


@dataclass(frozen=True)
class Renamed:
    """A file gets another name, under which the template's change has to reach it.

    Attributes:
        path: its name.
        to: its new one.
        brings: text of the template's change, if it makes one.

    """

    path: str
    to: str
    brings: str = ""

    def edit(self, service: Path) -> None:
        git(service, "mv", self.path, self.to)

    def outcome(self, updated: Updated) -> Outcome:
        text = "".join(updated.lines(self.to))
        if self.to in updated.conflicts:
            return CONFLICT
        if not text:
            return LOST
        if (updated.folder / self.path).exists():
            return MISPLACED
        return KEPT if self.brings in text else MISSED

    def undone(self, service: Path) -> None:
        (service / self.to).unlink()

    def elsewhere(self, service: Path) -> bool:
        (service / self.path).write_text((service / self.to).read_text())
        return True


# -- answers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """What differs between stacks.

    Attributes:
        code: a file of the starter.
        telemetry: the template's telemetry module.
        comment: how a comment begins at the end of a formatted file.
        manifest: an edit of the manifest that no lock file notices.

    """

    code: str
    telemetry: str
    comment: str
    manifest: Lines


ROOMS: Mapping[str, Room] = {
    "python": Room(
        code="src/app/api.py",
        telemetry="src/app/telemetry.py",
        comment="\n\n#",
        manifest=Lines(
            "pyproject.toml",
            'version = "0.1.0"\ndescription = "The signups service"\n',
            f'version = "0.1.0"\ndescription = "{OWN}"\n',
        ),
    ),
    "node": Room(
        code="src/api.ts",
        telemetry="src/telemetry.ts",
        comment="\n//",
        manifest=Lines(
            "package.json",
            '  "private": true,\n  "description": "The signups service",\n',
            f'  "private": true,\n  "description": "{OWN}",\n',
        ),
    ),
    "go": Room(
        code="internal/api/api.go",
        telemetry="internal/telemetry/telemetry.go",
        comment="\n//",
        manifest=Lines("go.mod", "module app\n\n", f"module app // {OWN}\n\n"),
    ),
}


@dataclass(frozen=True)
class AnswerSet:
    """A service: what was answered, and what is answered anew with the update.

    Attributes:
        name: for people.
        answers: those that are not the default.
        change: those that the update gives.
        moves: folders that the change gives another name.

    """

    name: str
    answers: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    moves: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def stack(self) -> str:
        return str(self.answers.get("stack", "python"))

    @property
    def environments(self) -> list[str]:
        found = self.answers.get("environments", ["dev", "staging", "production"])
        return [str(name) for name in found]

    @property
    def environments_after(self) -> list[str]:
        return [str(name) for name in self.change.get("environments", self.environments)]

    @property
    def gone(self) -> list[str]:
        """The environments that the change takes away."""
        after = {*self.environments_after, *self.moves}
        return [name for name in self.environments if name not in after]

    def place(self, path: str) -> str:
        """Return where a file of an environment is after the update."""
        for old, new in self.moves.items():
            if path.startswith(f"{ENVIRONMENTS}/{old}/"):
                return path.replace(f"/{old}/", f"/{new}/", 1)
        return path


DEFAULTS = AnswerSet("defaults")
OWN_CODE = AnswerSet(
    "own-code",
    {"starter": False, "datastore": "postgres", "cache": "redis"},
    change={"environments": ["dev", "qa", "staging", "production"]},
)
EVERYTHING = AnswerSet(
    "everything",
    {"stack": "go", "datastore": "postgres", "cache": "redis"},
    change={"environments": ["dev", "qa", "production"]},
    moves={"staging": "qa"},
)
MANY = AnswerSet(
    "many-environments",
    {"stack": "node", "cache": "redis", "environments": ["dev", "qa", "staging", "production"]},
    change={"environments": ["dev", "qa", "production"]},
)
ANSWER_SETS = (DEFAULTS, OWN_CODE, EVERYTHING, MANY)


# -- recipes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """One habit of people, and what each tool makes of it.

    Attributes:
        name: what they do.
        parts: the edits.
        slipway: the outcome of `slipway update` to a release that touches the same files.
        copier: the outcome of `copier update`.
        anyway: whether that is so with every release, whatever it changes.

    """

    name: str
    parts: Sequence[Part]
    slipway: Outcome = KEPT
    copier: Outcome = KEPT
    anyway: bool = False

    def edit(self, service: Path) -> None:
        for part in self.parts:
            part.edit(service)

    @property
    def paths(self) -> list[str]:
        """The files that it edits, by the names they have before the update."""
        return [part.path for part in self.parts]

    def outcome(self, updated: Updated) -> Outcome:
        """Return the worst that happened to a part."""
        return max((part.outcome(updated) for part in self.parts), key=WORST_LAST.index)

    def expected(self, tool: str, *, touched: bool) -> Outcome:
        """Return the outcome of a tool, with a release that touches the same files or without."""
        outcome = self.slipway if tool == "slipway" else self.copier
        return outcome if touched or self.anyway else KEPT


RECEIVERS = """\
receivers:
{indent}otlp:
{indent}{indent}protocols:
{indent}{indent}{indent}grpc:
{indent}{indent}{indent}{indent}endpoint: ${{env:OTLP_GRPC_ADDRESS:-0.0.0.0:4317}}
{indent}{indent}{indent}http:
{indent}{indent}{indent}{indent}endpoint: ${{env:OTLP_HTTP_ADDRESS:-0.0.0.0:4318}}
"""


def recipes(answers: AnswerSet, *, renamed: bool = True) -> list[Recipe]:
    """Return what is done to a service. Two recipes never edit the same file.

    Args:
        answers: the service.
        renamed: whether the release that it is updated to gives files another name.

    """
    return [
        *beside_the_template(),
        *with_whole_files(renamed=renamed),
        *in_code(ROOMS[answers.stack], starter=answers.answers.get("starter") is not False),
        *in_environments(answers),
    ]


def beside_the_template() -> list[Recipe]:
    """Return edits of lines, by where the template changes some."""
    base = "deploy/base"
    return [
        Recipe("edits one of several alike blocks", [Probe()], copier=MISPLACED),
        Recipe(
            "edits a line, the template adds lines above it",
            [
                Lines(
                    "Dockerfile",
                    "ARG VERSION=0.0.0-dev\nARG REVISION=unknown\n",
                    "ARG VERSION=0.0.0-own\nARG REVISION=unknown\n",
                )
            ],
        ),
        Recipe(
            "edits the line after the next one that the template changes",
            [
                Lines(
                    "compose.yaml",
                    "      UPSTREAM_URL: ${UPSTREAM_URL:-}\n"
                    "      OTEL_EXPORTER_OTLP_ENDPOINT: ${OTEL_EXPORTER_OTLP_ENDPOINT:-}\n",
                    "      UPSTREAM_URL: ${UPSTREAM_URL:-}\n"
                    "      OTEL_EXPORTER_OTLP_ENDPOINT: http://own.example.com:4318\n",
                )
            ],
        ),
        Recipe(
            "edits the line next to one that the template changes",
            [
                Lines(
                    f"{base}/configuration.env",
                    "OTEL_TRACES_SAMPLER=parentbased_traceidratio\n",
                    "OTEL_TRACES_SAMPLER=parentbased_always_on\n",
                )
            ],
            slipway=CONFLICT,
            copier=CONFLICT,
        ),
        Recipe(
            "edits the line that the template changes",
            [Lines(f"{base}/service.yaml", "      port: 80\n", "      port: 8081\n")],
            slipway=CONFLICT,
            copier=CONFLICT,
        ),
        Recipe(
            "appends lines, the template changes others",
            [Lines(".gitignore", "", "\n# Ours\n/notes/\n")],
        ),
        Recipe(
            "appends lines where the template appends some",
            [Lines("Makefile", "", "\nnotes: ## open the team's notes\n\tcat NOTES\n")],
            slipway=CONFLICT,
            copier=CONFLICT,
        ),
        Recipe(
            "reformats lines, the template changes others",
            [
                Lines(
                    "observability/collector.yaml",
                    RECEIVERS.format(indent="  "),
                    RECEIVERS.format(indent="    "),
                )
            ],
        ),
        Recipe(
            "reformats lines, one of which the template changes",
            [
                Lines(
                    "catalog-info.yaml",
                    "spec:\n  type: service\n  lifecycle: production\n  owner: example\n",
                    "spec:\n    type: service\n    lifecycle: production\n    owner: example\n",
                )
            ],
            slipway=CONFLICT,
            copier=CONFLICT,
        ),
        Recipe(
            "edits a file and gives it Windows line ends, the template changes another line",
            [
                Lines(
                    f"{base}/kustomization.yaml",
                    "labels:\n  - includeTemplates: true\n",
                    "labels:\n  - includeTemplates: false\n",
                    end="\r\n",
                )
            ],
            copier=CONFLICT,
        ),
    ]


def with_whole_files(*, renamed: bool) -> list[Recipe]:
    """Return what is done to files as such, by what the template does to them."""
    base, local = "deploy/base", "observability/local"
    return [
        Recipe(
            "edits a file that the template renames",
            [
                Lines(
                    f"{base}/service-account.yaml",
                    "",
                    "imagePullSecrets:\n  - name: registry\n",
                    at=f"{base}/identity.yaml" if renamed else "",
                )
            ],
            copier=MISPLACED,
        ),
        Recipe(
            "edits a file that the template removes",
            [
                Lines(
                    "renovate.json",
                    '  "extends": ["config:best-practices"],\n',
                    '  "extends": ["config:best-practices"],\n  "timezone": "Etc/UTC",\n',
                )
            ],
        ),
        Recipe(
            "renames a file that the template changes",
            [
                Renamed(
                    f"{local}/compose.yaml",
                    f"{local}/stack.yaml",
                    brings="stop_grace_period: 20s" if renamed else "",
                )
            ],
            copier=MISSED,
        ),
        Recipe(
            "deletes a file that the template changes",
            [
                Deleted(f"{ENVIRONMENTS}/dev/namespace.yaml"),
                Lines(
                    f"{ENVIRONMENTS}/dev/kustomization.yaml",
                    "  - ../../base\n  - namespace.yaml\nconfigMapGenerator:\n",
                    "  - ../../base\nconfigMapGenerator:\n",
                ),
            ],
        ),
        Recipe(
            "deletes a file that the template renames",
            [Deleted(".dockerignore", at="Dockerfile.dockerignore")],
            copier=LOST,
        ),
        Recipe(
            "makes a file executable, the template changes it",
            [Executable(f"{ENVIRONMENTS}/production/namespace.yaml")],
        ),
        Recipe(
            "adds a file that the template adds later, with other content",
            [Whole("scripts/deploy.sh", "#!/bin/sh\n# ours\necho deploying\n")],
            slipway=CONFLICT,
            copier=CONFLICT,
        ),
        Recipe(
            "adds a file that the template adds later, with the same content",
            [Whole("scripts/rollback.sh", ROLLBACK)],
        ),
        Recipe("adds a file", [Whole("docs/notes.md", "# Notes\n")]),
    ]


def in_code(room: Room, *, starter: bool) -> list[Recipe]:
    """Return edits of code and manifest."""
    own_code = Whole(
        room.code if starter else "src/app/main.py",
        "" if starter else 'print("ours")\n',
        comment=room.comment,
    )
    return [
        Recipe("edits the manifest", [room.manifest]),
        Recipe(
            "edits the telemetry module",
            [Lines(room.telemetry, "", f"{room.comment} {OWN} line\n")],
        ),
        Recipe("edits its own code and README", [own_code, Whole("README.md", comment="\n")]),
    ]


def in_environments(answers: AnswerSet) -> list[Recipe]:
    """Return edits below deploy/environments, and of what is seeded when missing."""
    staging, production = f"{ENVIRONMENTS}/staging", f"{ENVIRONMENTS}/production"
    last = "  - changes\n  - release\n"
    own = [
        Whole(f"{staging}/{path}", at=answers.place(f"{staging}/{path}"))
        for path in ("changes/configuration.env", "release/kustomization.yaml")
    ]
    further = Whole(
        f"{staging}/changes/patch.yaml",
        "# ours\n",
        at=answers.place(f"{staging}/changes/patch.yaml"),
    )
    of_the_template = Lines(
        f"{staging}/kustomization.yaml",
        last,
        last.replace("  - release", "  # ours\n  - release"),
        at=answers.place(f"{staging}/kustomization.yaml"),
    )
    if "staging" in answers.moves:
        whose, template, seeds = "an environment that gets another name", LOST, MISPLACED
    elif "staging" in answers.gone:
        whose, template, seeds = "an environment that is given up", LOST, KEPT
    else:
        whose, template, seeds = "an environment", KEPT, KEPT
    return [
        Recipe(f"edits what {whose} runs with", [of_the_template], copier=template, anyway=True),
        Recipe(
            f"edits `changes/` and `release/` of {whose}",
            [*own, further],
            copier=seeds,
            anyway=True,
        ),
        Recipe(
            "edits a file that has Windows line ends, the template leaves it alone",
            [
                Lines(
                    f"{production}/kustomization.yaml",
                    last,
                    last.replace("  - release", "  # ours\n  - release"),
                    end="\r\n",
                )
            ],
        ),
        Recipe(
            "strips the last line end of a file, the template changes another line",
            [Unended(f"{production}/configuration.env")],
        ),
        Recipe(
            "deletes a file of its own",
            [Deleted("deploy/flags/flags.json")],
            copier=LOST,
            anyway=True,
        ),
    ]


def all_recipes() -> Mapping[str, Recipe]:
    """Return every recipe by its name."""
    return {recipe.name: recipe for answers in ANSWER_SETS for recipe in recipes(answers)}
