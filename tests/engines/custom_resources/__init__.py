"""The definitions of the custom resources that services use, from the modules of their makers."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.engines import cache, golang
from tests.engines.progress import Progress
from tests.engines.versions import version

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Source:
    """Where definitions are: module, the name of its pin, and files in it."""

    module: str
    pin: str
    files: str

    @property
    def pinned(self) -> str:
        """Return the module with its version."""
        return f"{self.module}@v{version(self.pin)}"


SOURCES = (
    Source(
        "sigs.k8s.io/gateway-api",
        "gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_*routes.yaml",
    ),
    Source(
        "github.com/prometheus-operator/prometheus-operator",
        "prometheus-operator",
        "example/prometheus-operator-crd/*_prometheusrules.yaml",
    ),
    Source(
        "github.com/external-secrets/external-secrets",
        "external-secrets",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
    Source("github.com/argoproj/argo-rollouts", "argo-rollouts", "manifests/crds/*-crd.yaml"),
)


class CustomResources:
    """Recipe of a folder of definitions, for an API server to be given."""

    @property
    def folder(self) -> Path:
        """Where they are; what they are made of is part of the name."""
        pins = "\n".join(f"{one.pinned} {one.files}" for one in SOURCES)
        return cache.root() / "custom-resources" / hashlib.sha256(pins.encode()).hexdigest()[:8]

    def installed(self) -> bool:
        """Say whether they are there."""
        return self.folder.exists()

    def install(self, progress: Progress) -> None:
        """Take them out of the modules, which go.sum holds to their content."""
        with cache.scratch() as scratch:
            made = scratch / "made"
            made.mkdir()
            for source in SOURCES:
                module = scratch / source.pin
                golang.unpack("custom-resources", FOLDER, source.pinned, module, progress)
                for file in module.glob(source.files):
                    shutil.copy(file, made)
            cache.put(made, self.folder)

    def version(self) -> str:
        """Return the pinned versions."""
        return ", ".join(f"{one.pin} {version(one.pin)}" for one in SOURCES)

    def where(self) -> str:
        """Return the path for people."""
        return str(self.folder)
