"""A rendered service, its files read once for all gates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from slipway.answers import ANSWERS_FILE
from slipway.errors import SlipwayError
from slipway.gates.compose import FURTHER, MAIN, Project, projects
from slipway.gates.dockerfile import Dockerfile, read_dockerfile
from slipway.gates.files import known_files, read_text
from slipway.gates.findings import Place
from slipway.gates.kustomize import Kustomize, Workload, unlisted, workloads
from slipway.gates.located import Value, read_documents

DOCKERFILE = re.compile(
    r"(?:.*/)?(?:(?:Dockerfile|Containerfile)(?:\.[\w.-]+)?|[\w.-]+\.Dockerfile)"
)
YAML = re.compile(r".*\.ya?ml")
# Long, made by programs, and nothing in them is a manifest.
LOCK_FILE = re.compile(r"(?:.*/)?(?:pnpm-lock\.yaml|[\w.-]*\.lock|[\w.-]+-lock\.json|go\.sum)")
ENVIRONMENTS = re.compile(r"deploy/environments/[^/]+")


@dataclass(frozen=True)
class Built:
    """What Kustomize makes of a folder: the folder's own file, and all that were read for it."""

    file: str
    workloads: list[Workload]
    reached: set[str]


class Service:
    """A rendered service.

    Attributes:
        folder: where it stands.
        files: its files, relative to the folder.

    """

    def __init__(self, folder: Path) -> None:
        answers = folder / ANSWERS_FILE
        if not answers.is_file():
            raise SlipwayError(f"{folder} is no rendered service: it has no {ANSWERS_FILE}")
        self.folder = folder
        self.name = _service_name(answers)
        self.files = known_files(folder)
        self._texts: dict[str, str | None] = {}
        self._documents: dict[str, list[Value]] = {}

    def text(self, file: str) -> str | None:
        """Return a file's text; nothing when it is binary or missing."""
        if file not in self._texts:
            self._texts[file] = read_text(self.folder / file) if file in self.files else None
        return self._texts[file]

    def documents(self, file: str) -> list[Value]:
        """Return the documents of a YAML file; none when it is missing."""
        if file not in self._documents:
            text = self.text(file)
            self._documents[file] = read_documents(text, file) if text else []
        return self._documents[file]

    def document(self, file: str) -> Value | None:
        """Return the first document of a YAML file."""
        return next(iter(self.documents(file)), None)

    @cached_property
    def dockerfiles(self) -> list[Dockerfile]:
        """Return every Dockerfile."""
        return [
            read_dockerfile(text, file)
            for file in self.files
            if DOCKERFILE.fullmatch(file) and (text := self.text(file))
        ]

    @property
    def dockerfile(self) -> Dockerfile | None:
        """Return the Dockerfile of the image that ships."""
        return next((one for one in self.dockerfiles if one.file == "Dockerfile"), None)

    @cached_property
    def projects(self) -> list[Project]:
        """Return what `docker compose` would run."""
        return projects(self.files, self.document)

    @cached_property
    def kustomizations(self) -> dict[str, Built]:
        """Return what is built of every folder with a kustomization."""
        found: dict[str, Built] = {}
        for folder in sorted({file.rpartition("/")[0] or "." for file in self.files}):
            kustomize = Kustomize(self.files, self.documents)
            if file := kustomize.kustomization(folder):
                resources = kustomize.build(folder)
                found[folder] = Built(file, workloads(resources), kustomize.reached)
        return found

    @property
    def environments(self) -> dict[str, list[Workload]]:
        """Return the workloads of each environment as Kustomize builds them, by folder."""
        return {
            folder: built.workloads
            for folder, built in self.kustomizations.items()
            if ENVIRONMENTS.fullmatch(folder)
        }

    @cached_property
    def loose_workloads(self) -> list[Workload]:
        """Return the workloads that no environment uses, as other folders build them."""
        found: list[Workload] = []
        every = list(self.kustomizations.values())
        for folder, built in self.kustomizations.items():
            used = any(built.file in one.reached for one in every if one is not built)
            if not used and not ENVIRONMENTS.fullmatch(folder):
                found += built.workloads
        reached = {file for one in every for file in one.reached}
        for file, resources in self._manifests:
            if file not in reached:
                found += workloads(resources)
        return found

    @property
    def workloads(self) -> Iterator[Workload]:
        """Yield every workload, those of environments as they are built."""
        for found in self.environments.values():
            yield from found
        yield from self.loose_workloads

    @property
    def manifests(self) -> Iterator[Value]:
        """Yield every Kubernetes resource as its file writes it, kustomizations included."""
        for _, resources in self._manifests:
            yield from resources

    @cached_property
    def _manifests(self) -> list[tuple[str, list[Value]]]:
        found = []
        for file in self.files:
            if not YAML.fullmatch(file) or LOCK_FILE.fullmatch(file) or is_compose(file):
                continue
            try:
                documents = self.documents(file)
            except SlipwayError:
                if file.startswith("deploy/"):
                    raise
                continue  # a template of something else, or broken on purpose in a test
            resources = [one for one in unlisted(documents) if one.get("apiVersion")]
            found.append((file, resources))
        return found

    def variables(self, file: str) -> Iterator[tuple[str, str, Place]]:
        """Yield the variables of a file of `NAME=value` lines."""
        for number, line in enumerate((self.text(file) or "").splitlines(), start=1):
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                yield name.removeprefix("export ").strip(), value.strip("\"' "), Place(file, number)

    @property
    def variable_files(self) -> Iterable[str]:
        """Return the files of `NAME=value` lines that configure environments."""
        return (file for file in self.files if file.startswith("deploy/") and file.endswith(".env"))


def is_compose(file: str) -> bool:
    """Say whether a file is Compose's, by its name."""
    name = file.rpartition("/")[2]
    return name in MAIN or bool(FURTHER.fullmatch(name))


def _service_name(answers: Path) -> str:
    try:
        content = yaml.safe_load(answers.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SlipwayError(f"{answers} is no YAML: take it from an earlier commit") from error
    name = content.get("service_name") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name:
        raise SlipwayError(f"{answers} names no service_name: take it from an earlier commit")
    return name
