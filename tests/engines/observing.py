"""The programs that keep telemetry, decide on alerts, and read rules, dashboards and queries."""

from pathlib import Path

from tests.engines.golang import GoProgram
from tests.engines.progress import Progress
from tests.engines.standins import OBSERVERS, Images, StandIn, template_pins
from tests.engines.versions import version

FOLDER = Path(__file__).parent
ALERTMANAGER = "github.com/prometheus/alertmanager"
CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
LOKI = "github.com/grafana/loki/v3"
PROMETHEUS = "github.com/prometheus/prometheus"
COMMON_VERSION = "github.com/prometheus/common/version.Version"
# The server embeds its web interface, which is no part of the module.
NO_INTERFACE = {"ui/app/dist/index.html": "<!doctype html>\n"}


def _prometheus(name: str) -> GoProgram:
    return GoProgram(
        name,
        FOLDER / "prometheus",
        f"{PROMETHEUS}/cmd/{name}",
        pin="prometheus",
        stamp=COMMON_VERSION,
    )


def _alertmanager(name: str) -> GoProgram:
    return GoProgram(
        name,
        FOLDER / "alertmanager",
        f"{ALERTMANAGER}/cmd/{name}",
        pin="alertmanager",
        stamp=COMMON_VERSION,
        copied="am-src",
        added=NO_INTERFACE,
    )


def _loki(name: str) -> GoProgram:
    return GoProgram(
        name,
        FOLDER / "loki",
        f"{LOKI}/cmd/{name}",
        pin="loki",
        stamp=f"{LOKI}/pkg/util/build.Version",
    )


PROMETHEUS_SERVER = _prometheus("prometheus")
PROMTOOL = _prometheus("promtool")
ALERTMANAGER_SERVER = _alertmanager("alertmanager")
AMTOOL = _alertmanager("amtool")
LOKI_SERVER = _loki("loki")
LOGCLI = _loki("logcli")
PINT = GoProgram(
    "pint", FOLDER / "pint", "github.com/cloudflare/pint/cmd/pint", stamp="main.version"
)
SLOTH = GoProgram(
    "sloth",
    FOLDER / "sloth",
    "github.com/slok/sloth/cmd/sloth",
    stamp="github.com/slok/sloth/internal/info.Version",
)
DASHBOARD_LINTER = GoProgram(
    "dashboard-linter", FOLDER / "dashboard_linter", "github.com/grafana/dashboard-linter"
)
TELEMETRYGEN = GoProgram("telemetrygen", FOLDER / "telemetrygen", f"{CONTRIB}/cmd/telemetrygen")
PROGRAMS = {
    "prometheus": (PROMETHEUS_SERVER, PROMTOOL),
    "alertmanager": (ALERTMANAGER_SERVER, AMTOOL),
    "loki": (LOKI_SERVER, LOGCLI),
}


class ObserverImages(Images):
    """Recipe of the images that watch a service on a developer's machine."""

    name = "observers"
    folder = OBSERVERS
    named = ("prometheus", "alertmanager", "loki")

    def images(self) -> tuple[StandIn, ...]:
        """Return every image; the versions in their names are those of the template."""
        pins = template_pins()
        names = {
            "prometheus": "prom/prometheus",
            "alertmanager": "prom/alertmanager",
            "loki": "grafana/loki",
            "tempo": "grafana/tempo",
            "grafana": "grafana/grafana",
            "elasticsearch": "docker.elastic.co/elasticsearch/elasticsearch",
        }
        return tuple(
            StandIn(f"{image}:{pins[target]}", target, "observers")
            for target, image in names.items()
        )

    def held(self) -> list[str]:
        """Return the versions of the real programs inside."""
        return [version(name) for name in PROGRAMS]

    def gather(self, targets: set[str], context: Path, progress: Progress) -> None:
        """Put the real programs into the context."""
        for target in targets & set(PROGRAMS):
            for program in PROGRAMS[target]:
                progress.say(self.name, f"takes {program.name} {program.version()}")
                self.link(program.path, context / program.name)
