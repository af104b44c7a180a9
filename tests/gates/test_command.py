"""The command as people and machines run it: exit codes, lines, a table, JSON."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from slipway.gates import GATES

from tests.gates.conftest import Mutated
from tests.gates.mutations import MUTATIONS, Mutation


def slipway(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slipway", "gates", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def the(name: str) -> Mutation:
    return next(mutation for mutation in MUTATIONS if str(mutation) == name)


@pytest.fixture
def spoilt(mutated: Mutated) -> Path:
    return mutated(the("image-pinned-latest"))


def test_a_good_service_is_0_and_says_what_was_checked(service: Path) -> None:
    done = slipway(service)

    assert (done.returncode, done.stderr) == (0, "")
    checked, summary = done.stdout.splitlines()
    assert checked == f"passed: {', '.join(gate.id for gate in GATES)}"
    assert summary == f"signups: {len(GATES)} of {len(GATES)} gates passed"


def test_a_finding_is_1_and_one_line_with_its_place_and_the_remedy(spoilt: Path) -> None:
    done = slipway(cwd=spoilt)

    assert (done.returncode, done.stderr) == (1, "")
    finding, checked, summary = done.stdout.splitlines()
    line = the("image-pinned-latest").number(spoilt)
    assert finding == (
        f"Dockerfile:{line}: [image-pinned] 'python:latest' is whatever is latest. "
        "Name a version in the tag, or a digest"
    )
    assert "image-pinned" not in checked
    assert summary == f"signups: {len(GATES) - 1} of {len(GATES)} gates passed"


@pytest.mark.parametrize("where", ["an empty folder", "a missing folder", "a file"])
def test_what_is_no_service_is_2_and_one_line(tmp_path: Path, where: str) -> None:
    place = tmp_path / "gone" if where == "a missing folder" else tmp_path
    if where == "a file":
        place = tmp_path / "file"
        place.touch()

    done = slipway(place)

    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line == f"slipway: {place} is no rendered service: it has no .copier-answers.yml"


def test_yaml_that_cannot_be_read_is_2_and_one_line_with_its_place(spoilt: Path) -> None:
    (spoilt / "compose.yaml").write_text("services:\n  app: [\n")

    done = slipway(spoilt, "--json")

    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("slipway: compose.yaml:3: this is no YAML: ")


def test_json_has_every_gate_and_every_finding(spoilt: Path) -> None:
    done = slipway(spoilt, "--json")

    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert said["service"] == "signups"
    assert {gate["id"]: gate["passed"] for gate in said["gates"]} == {
        gate.id: gate.id != "image-pinned" for gate in GATES
    }
    assert said["findings"] == [
        {
            "gate": "image-pinned",
            "file": "Dockerfile",
            "line": the("image-pinned-latest").number(spoilt),
            "problem": "'python:latest' is whatever is latest",
            "remedy": "Name a version in the tag, or a digest",
        }
    ]


def test_a_terminal_gets_a_table_and_no_cell_is_cut_off(mutated: Mutated) -> None:
    spoilt = mutated(the("image-by-digest-tag"))
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "slipway", "gates"],
        cwd=spoilt,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        stdout=child,
    ) as running:
        os.close(child)
        said = b""
        try:
            while piece := os.read(parent, 4096):
                said += piece
        except OSError:  # the other end has closed
            pass
        os.close(parent)

    assert running.returncode == 1
    text = said.decode()
    assert "what to do" in text
    assert "│" in text
    assert "…" not in text
    assert f"{len(GATES) - 1} of {len(GATES)} gates passed" in text
