"""The Makefile finds uv or brings it, on a machine with Python, git and make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from slipway.rendering import repository_root

ROOT = repository_root()
TARGETS = re.findall(r"(?m)^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"))
VERSIONS = yaml.safe_load((ROOT / "tests/engines/versions.yaml").read_text(encoding="utf-8"))
# A python3 that has what it is told to have; "installs" a uv that is an empty program.
PYTHON = """#!{python} -IS
import pathlib, shutil, sys
has, version = {has}, {version!r}
match sys.argv[1:]:
    case ["-c", _]:
        sys.exit(version < "3.11")
    case ["--version"]:
        print("Python", version)
    case ["-m", "venv", folder] if "venv" in has:
        (pathlib.Path(folder) / "bin").mkdir(parents=True)
        shutil.copy(sys.argv[0], pathlib.Path(folder) / "bin" / "python")
    case ["-m", "pip", *arguments] if "pip" in has or sys.argv[0].endswith("/python"):
        if "install" in arguments:
            if "network" not in has:
                sys.exit("WARNING: trying again\\nERROR: no network\\n")
            assert "uv==1.2.3" in arguments
            root = pathlib.Path(sys.argv[0]).parents[1]
            if "--target" in arguments:
                root = pathlib.Path(arguments[-1])
            (root / "bin").mkdir(parents=True, exist_ok=True)
            (root / "bin" / "uv").touch(0o755)
    case _:
        sys.exit(1)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a folder for programs, with those of the system but neither uv nor Python."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (
        "awk", "cat", "chmod", "dirname", "env", "git", "grep", "make", "mkdir", "mktemp", "mv",
        "rm", "sed", "sh", "tail",
    ):  # fmt: skip
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name}"))
    return programs


def program(path: Path, name: str, script: str) -> None:
    file = path / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def python(path: Path, *has: str, version: str = "3.13.1") -> None:
    """Put a python3 on the path that has some of venv, pip and network."""
    file = path / "python3"
    file.write_text(
        PYTHON.format(python=sys.executable, has=has, version=version), encoding="utf-8"
    )
    file.chmod(0o755)


def make(*arguments: str, path: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=cwd,
        env={"PATH": str(path), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def install(path: Path, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", ROOT / "hooks/install-uv.sh", "1.2.3", file, "python3"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_make_alone_lists_every_command(path: Path) -> None:
    listed = make(path=path)
    assert re.findall(r"(?m)^  make ([a-z-]+) +\S", listed.stdout) == TARGETS
    phony = re.search(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert phony is not None
    assert phony[1].split() == TARGETS
    assert TARGETS[0] == "help"


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "help"])
def test_every_command_takes_uv_from_the_path(target: str, path: Path) -> None:
    program(path, "uv", "")
    done = make("--dry-run", target, path=path)
    assert done.returncode == 0
    assert f"{path}/uv run --locked " in done.stdout
    assert "install-uv" not in done.stdout


def test_without_uv_the_pinned_one_is_installed_first(path: Path, tmp_path: Path) -> None:
    for name in ("Makefile", "hooks/install-uv.sh", "tests/engines/versions.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    first, second = make("--dry-run", "demo", path=path, cwd=tmp_path).stdout.splitlines()
    pinned = f".tools/uv-{VERSIONS['uv']}"
    assert first == f"sh hooks/install-uv.sh {VERSIONS['uv']} {pinned} 'python3'"
    assert second.endswith(f" {pinned} run --locked python -m slipway.maintainers demo")


def test_a_command_does_not_know_that_make_runs_it(path: Path) -> None:
    program(path, "uv", "env")
    said = make("--no-print-directory", "test", path=path).stdout
    assert "HOME=" in said
    assert "MAKE" not in said


def test_the_version_of_uv_stands_once() -> None:
    for name in ("Makefile", "hooks/install-uv.sh", ".ci/run", "pyproject.toml"):
        file = ROOT / name
        assert not file.exists() or VERSIONS["uv"] not in file.read_text(encoding="utf-8"), name


@pytest.mark.parametrize("has", ["venv", "pip"])
def test_uv_comes_from_pypi_with_venv_or_with_pip(has: str, path: Path, tmp_path: Path) -> None:
    python(path, has, "network")
    done = install(path, tmp_path / "tools/uv")
    assert (done.returncode, done.stderr) == (0, "")
    assert [entry.name for entry in (tmp_path / "tools").iterdir()] == ["uv"]


@pytest.mark.parametrize(
    ("has", "version", "says"),
    [
        (None, "", "python3 is missing: install Python 3.11 or newer"),
        (["venv"], "3.10.9", "Python 3.10.9 is too old: name Python 3.11 or newer"),
        ([], "3.13.1", "neither venv nor pip: install one (Debian: apt-get install python3-venv)"),
        (["venv"], "3.13.1", "uv 1.2.3 does not come from PyPI: ERROR: no network"),
        (["pip"], "3.13.1", "uv 1.2.3 does not come from PyPI: ERROR: no network"),
    ],
)
def test_what_hinders_is_one_line_and_leaves_nothing(
    has: list[str] | None, version: str, says: str, path: Path, tmp_path: Path
) -> None:
    if has is not None:
        python(path, *has, version=version)
    done = install(path, tmp_path / "tools/uv")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert not list((tmp_path / "tools").glob("*"))


def test_a_ref_reaches_the_program_as_one_argument(path: Path) -> None:
    program(path, "uv", 'for argument; do echo "<$argument>"; done')
    done = make("render-diff", "BASE=it's $(HOME); echo x", path=path)
    assert done.stdout.splitlines()[-1].startswith("<it's ")
    assert done.stdout.splitlines()[-1].endswith("; echo x>")
