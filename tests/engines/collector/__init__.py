"""The OpenTelemetry Collector, built with its own builder from the committed pins."""

import hashlib
import shutil
from pathlib import Path

from tests.engines import cache, commands, golang
from tests.engines.progress import Progress
from tests.engines.versions import version

FOLDER = Path(__file__).parent
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
PARTS = ("builder.yaml", "go.mod", "go.sum")


def parts() -> str:
    """Return a short name of what the collector is made of beside its version."""
    content = b"".join((FOLDER / name).read_bytes() for name in PARTS)
    return hashlib.sha256(content).hexdigest()[:8]


class Collector:
    """Recipe: the builder writes the program, the committed go.mod and go.sum pin the rest."""

    @property
    def path(self) -> Path:
        """Where the program is, once it is built."""
        return cache.binary("otelcol", f"{version('collector')}-{parts()}")

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.path.exists()

    def install(self, progress: Progress) -> None:
        """Build it: about six minutes of one processor, and 1.1 GB of modules meanwhile."""
        go = golang.executable(progress)
        with cache.scratch() as folder:
            with progress.step("collector", "build its builder"):
                commands.run(
                    [go, "install", f"{BUILDER}@v{version('collector')}"],
                    engine="collector",
                    environment={**golang.environment(), "GOBIN": str(folder)},
                    hint=golang.HINT,
                )
            module = folder / "module"
            module.mkdir()
            shutil.copy(FOLDER / "builder.yaml", folder)
            commands.run(
                [
                    folder / "builder",
                    "--config=builder.yaml",
                    "--skip-compilation",
                    "--skip-get-modules",
                    "--skip-strict-versioning",
                ],
                engine="collector",
                cwd=folder,
                environment=golang.environment(),
                hint=golang.HINT,
            )
            for name in PARTS[1:]:
                shutil.copy(FOLDER / name, module)
            golang.build("collector", module, ".", self.path, progress)

    def version(self) -> str:
        """Return the pinned version."""
        return version("collector")

    def where(self) -> str:
        """Return the path for people."""
        return str(self.path)
