"""Every engine the tests can use. A further one is one entry here and one recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from slipway.errors import SlipwayError

from tests.engines import cluster, observing
from tests.engines.collector import Collector
from tests.engines.custom_resources import CustomResources
from tests.engines.docker import Docker
from tests.engines.golang import GoProgram
from tests.engines.progress import Progress
from tests.engines.queries import Queries
from tests.engines.standins import Images
from tests.engines.wheels import PythonProgram


class Recipe(Protocol):
    """How one engine comes onto a machine."""

    def installed(self) -> bool:
        """Say whether it is there, in the pinned version."""
        ...

    def install(self, progress: Progress) -> None:
        """Put it there whole, or raise a SlipwayError and leave nothing half-written."""
        ...

    def version(self) -> str:
        """Return what the report shows as its version."""
        ...

    def where(self) -> str:
        """Return what the report shows as its place."""
        ...


@runtime_checkable
class Program(Protocol):
    """What a recipe offers besides when its engine is one program that tests run themselves."""

    @property
    def path(self) -> Path:
        """Return the program's file."""
        ...


@runtime_checkable
class Daemon(Protocol):
    """What a recipe offers besides when its engine has to run before tests can use it."""

    def start(self) -> bool:
        """Start it unless it runs; say whether this call did."""
        ...

    def stop(self) -> bool:
        """Stop it if it was started by `start`; say whether there was something to stop."""
        ...

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which its clients reach it."""
        ...


@dataclass(frozen=True)
class Engine:
    """One entry of the catalogue.

    Attributes:
        name: under which it is asked for.
        proves: what it is there for.
        recipe: how it comes onto a machine.
        needs: the engines without which it is no use.
        on_demand: whether only who names it gets it, because a target of its own needs it.

    """

    name: str
    proves: str
    recipe: Recipe
    needs: tuple[str, ...] = ()
    on_demand: bool = False


FOLDER = Path(__file__).parent
DOCKER = Docker()
IMAGES = Images(DOCKER)
OBSERVERS = observing.ObserverImages(DOCKER)
QUERIES = Queries()
CLUSTER = cluster.Cluster()
CUSTOM_RESOURCES = CustomResources()

ENGINES: tuple[Engine, ...] = (
    Engine("docker", "images build, containers and compose run", DOCKER),
    Engine("collector", "telemetry arrives, its configuration loads", Collector()),
    Engine("images", "the bases a service stands on", IMAGES, needs=("docker", "collector")),
    Engine(
        "kustomize",
        "every environment's manifests build",
        GoProgram("kustomize", FOLDER / "kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
    ),
    Engine(
        "kube-score",
        "manifests keep the rules of operation",
        GoProgram("kube-score", FOLDER / "kube_score", "github.com/zegl/kube-score/cmd/kube-score"),
    ),
    Engine(
        "hey",
        "how many requests a service answers",
        GoProgram("hey", FOLDER / "hey", "github.com/rakyll/hey"),
    ),
    Engine(
        "checkov",
        "manifests and Dockerfile keep the rules of security",
        PythonProgram("checkov", FOLDER / "checkov"),
    ),
    Engine(
        "trivy",
        "the same, by the rules of others",
        PythonProgram("trivy", FOLDER / "trivy"),
    ),
    Engine("prometheus", "metrics are kept, rules evaluated", observing.PROMETHEUS_SERVER),
    Engine("promtool", "rules are valid and fire when they should", observing.PROMTOOL),
    Engine("alertmanager", "alerts reach their receivers", observing.ALERTMANAGER_SERVER),
    Engine("amtool", "the routes of alerts are valid", observing.AMTOOL),
    Engine("pint", "rules keep the rules of rules", observing.PINT),
    Engine("sloth", "the burn rates are those of another generator", observing.SLOTH),
    Engine("dashboard-linter", "dashboards keep the rules", observing.DASHBOARD_LINTER),
    Engine("loki", "logs are kept and found", observing.LOKI_SERVER),
    Engine("logcli", "queries of logs are valid", observing.LOGCLI),
    Engine(
        "observers",
        "what watches a service runs beside it",
        OBSERVERS,
        needs=("docker", *(one.name for pair in observing.PROGRAMS.values() for one in pair)),
    ),
    Engine("queries", "queries of traces and logs are well formed", QUERIES),
    Engine("telemetrygen", "telemetry of no service arrives", observing.TELEMETRYGEN),
    Engine("cluster", "manifests run on a Kubernetes of two nodes", CLUSTER),
    Engine(
        "custom-resources",
        "a cluster knows the kinds of others that services use",
        CUSTOM_RESOURCES,
        needs=("cluster",),
    ),
    Engine(
        "argo-rollouts",
        "canaries and blue-green releases are judged",
        GoProgram(
            "argo-rollouts",
            FOLDER / "argo_rollouts",
            "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
        ),
        needs=("custom-resources",),
        on_demand=True,
    ),
)


def engine(name: str) -> Engine:
    """Return one engine by its name."""
    for candidate in ENGINES:
        if candidate.name == name:
            return candidate
    raise SlipwayError(
        f"there is no engine named {name!r}; there are {', '.join(one.name for one in ENGINES)}"
    )


def chosen(names: Sequence[str]) -> list[Engine]:
    """Return the named engines and what they need, needs first; without a name the usual ones."""
    ordered: list[Engine] = []

    def add(name: str) -> None:
        one = engine(name)
        for need in one.needs:
            add(need)
        if one not in ordered:
            ordered.append(one)

    for name in names or [one.name for one in ENGINES if not one.on_demand]:
        add(name)
    return ordered
