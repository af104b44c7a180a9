"""The quality gates that files can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.gates import (
    alerts,
    health,
    images,
    logs,
    migrations,
    panels,
    parity,
    resources,
    rollback,
    secrets,
    stores,
    users,
)
from slipway.gates.findings import Finding, Gate
from slipway.gates.service import Service

GATES: tuple[Gate, ...] = (
    *images.GATES,
    *users.GATES,
    *health.GATES,
    *resources.GATES,
    *secrets.GATES,
    *logs.GATES,
    *rollback.GATES,
    *stores.GATES,
    *migrations.GATES,
    *parity.GATES,
    *alerts.GATES,
    *panels.GATES,
)


@dataclass(frozen=True)
class Report:
    """What the gates say about a service."""

    service: str
    gates: Sequence[Gate]
    findings: Sequence[Finding]

    @property
    def passed(self) -> list[Gate]:
        """Return the gates that found nothing."""
        failed = {finding.gate for finding in self.findings}
        return [gate for gate in self.gates if gate.id not in failed]


def check(folder: Path, gates: Sequence[Gate] = GATES) -> list[Finding]:
    """Hold a service against the gates.

    Args:
        folder: the service.
        gates: the gates to hold it against.

    Returns:
        What they found, in the order of the gates, then by file and line; each once.

    Raises:
        SlipwayError: the folder is no rendered service, or one of its files cannot be read.

    """
    return list(inspect(folder, gates).findings)


def inspect(folder: Path, gates: Sequence[Gate] = GATES) -> Report:
    """Hold a service against the gates, and say which passed too."""
    service = Service(folder)
    findings = [
        Finding(gate.id, fault.place.file, fault.place.line, fault.problem, gate.remedy)
        for gate in gates
        for fault in sorted(set(gate.check(service)), key=lambda one: (one.place, one.problem))
    ]
    return Report(service.name, gates, findings)
