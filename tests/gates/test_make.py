"""`make gates` and its neighbours run the command as the answers file says."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from slipway.answers import ANSWERS_FILE
from slipway.gates import GATES
from slipway.rendering import repository_root, snapshot

from tests.gates.conftest import Mutated
from tests.gates.mutations import Mutation
from tests.update.project import commit

# `uv run` says where it is itself; uvx is the same program's `tool run`.
UV = os.environ.get("UV") or shutil.which("uv")
SLIPWAY = f"{sys.executable} -m slipway"
PROGRAMS = ("dirname", "echo", "git", "mkdir", "od", "realpath", "sed", "sh", "tr")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a folder for programs, with a Docker that says what it is asked and no uvx."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name}"))
    program(programs, "docker", 'echo "docker $*" >&2')
    return programs


def program(path: Path, name: str, script: str) -> None:
    file = path / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def make(service: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=service,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            "PATH": str(path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture
def good(services_everything: Path, tmp_path: Path) -> Path:
    return shutil.copytree(services_everything, tmp_path / "service")


def test_gates_checks_the_files_then_starts_the_image(good: Path, path: Path) -> None:
    done = make(good, path, "gates", f"SLIPWAY={SLIPWAY}")

    assert done.returncode == 0, done.stderr
    assert f"{len(GATES)} of {len(GATES)} gates passed" in done.stdout
    assert "docker compose up --build --detach --wait" in done.stderr
    assert done.stdout.splitlines()[-1] == "the production image passes its own health check"


def test_a_finding_stops_before_anything_starts(mutated: Mutated, path: Path) -> None:
    spoilt = mutated(
        Mutation("", "", {".env": {"": "X=1\n"}, ".gitignore": {".env\n": ""}}, "", "", "")
    )

    done = make(spoilt, path, "gates", f"SLIPWAY={SLIPWAY}")

    assert done.returncode != 0
    assert "[secret-file]" in done.stdout
    assert "docker" not in done.stderr


def test_an_image_that_is_not_healthy_fails(good: Path, path: Path) -> None:
    program(path, "docker", 'case "$*" in *--wait*) exit 1;; esac')

    done = make(good, path, "gates", f"SLIPWAY={SLIPWAY}")

    assert done.returncode != 0
    assert "health check" not in done.stdout


@pytest.mark.parametrize("target", ["gates", "preview", "update", "drift"])
def test_a_missing_uvx_is_one_line_that_says_what_to_install(
    good: Path, path: Path, target: str
) -> None:
    done = make(good, path, target)

    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "uvx is not on the PATH: install uv" in line


@pytest.mark.parametrize(
    ("source", "version", "address"),
    [
        ("https://git.example.org/a/slipway.git", "v1.2.3", "https://git.example.org/a/slipway.git@v1.2.3"),
        ("git+https://git.example.org/a/slipway", "1.2.3", "https://git.example.org/a/slipway@1.2.3"),
        ("gh:a/slipway", "v1.2.3", "https://github.com/a/slipway@v1.2.3"),
        ("gl:a/b/slipway", "v1.2.3", "https://gitlab.com/a/b/slipway@v1.2.3"),
        ("git@git.example.org:a/slipway.git", "v1", "ssh://git@git.example.org/a/slipway.git@v1"),
        ("ssh://git@git.example.org:22/a", "v1", "ssh://git@git.example.org:22/a@v1"),
        ("'/srv/slipway'", "'1.0'", "file:///srv/slipway@1.0"),
        ("/srv/slipway", "v1.2.3-4-g0123abc", "file:///srv/slipway@0123abc"),
        ("/srv/slipway", None, "file:///srv/slipway"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["gates", "drift", "preview", "update"])
def test_the_command_comes_from_where_the_answers_say(
    good: Path, path: Path, target: str, source: str, version: str | None, address: str
) -> None:
    signature = f"_src_path: {source}\n" + (f"_commit: {version}\n" if version else "")
    (good / ANSWERS_FILE).write_text(f"# Written by Copier\n{signature}service_name: signups\n")
    program(path, "uvx", "")

    done = make(good, path, "--dry-run", target)

    newest = target in ("preview", "update")
    if newest and version:
        address = address.rpartition("@")[0]
    assert done.stdout.splitlines()[0] == f'{path}/uvx --from "git+{address}" slipway {target}'


def test_the_makefile_names_no_version(good: Path) -> None:
    text = (good / "Makefile").read_text()
    assert "SLIPWAY ?=" in text
    pyproject = tomllib.loads((repository_root() / "pyproject.toml").read_text())
    assert pyproject["project"]["version"] not in text


@pytest.mark.skipif(not UV, reason="uv is not on the PATH")
def test_uvx_runs_the_gates_from_a_clone_of_the_template(
    good: Path, path: Path, tmp_path: Path
) -> None:
    template = snapshot(repository_root(), tmp_path / "template", parts=())
    commit(template, "As it is", tag="v9.9.9")
    answers = (good / ANSWERS_FILE).read_text()
    signature = f"_commit: v9.9.9\n_src_path: {template}\n"
    (good / ANSWERS_FILE).write_text(re.sub(r"(?m)^_src_path:.*\n", signature, answers))
    program(path, "uvx", f'exec {UV} tool run --python {sys.executable} "$@"')

    done = make(good, path, "gates")

    if "Failed to fetch" in done.stderr:
        pytest.skip("the package index does not answer")
    assert done.returncode == 0, done.stderr
    assert f'--from "git+file://{template}@v9.9.9" slipway gates' in done.stdout
    assert f"{len(GATES)} of {len(GATES)} gates passed" in done.stdout
