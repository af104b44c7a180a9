"""The programs that keep telemetry, decide on alerts, and read rules, dashboards and queries."""

from pathlib import Path

from tests.engines.golang import GoProgram

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
PINT = GoProgram("pint", FOLDER / "pint", "github.com/cloudflare/pint/cmd/pint")
SLOTH = GoProgram("sloth", FOLDER / "sloth", "github.com/slok/sloth/cmd/sloth")
DASHBOARD_LINTER = GoProgram(
    "dashboard-linter", FOLDER / "dashboard_linter", "github.com/grafana/dashboard-linter"
)
TELEMETRYGEN = GoProgram("telemetrygen", FOLDER / "telemetrygen", f"{CONTRIB}/cmd/telemetrygen")
