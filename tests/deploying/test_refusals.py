"""Commands for a cluster refuse what cannot work: one line, exit code 2, nothing changed."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploying.conftest import kubeconfig
from tests.deploying.scripts import FOLDER
from tests.kubectl import needs_kubectl

DIGEST = f"sha256:{'a' * 64}"
EVERY = ("deploy", "diff", "status", "doctor", "rollback", "rollback-drill", "secret")
# What a command needs to get as far as the cluster.
NEEDS = {"deploy": (f"DIGEST={DIGEST}",), "diff": (f"DIGEST={DIGEST}",)}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def run(
    service: Path, command: str, *variables: str, environment: Mapping[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the script as the Makefile does; a variable stands on make's command line."""
    set_by_make = dict(one.split("=", 1) for one in variables)
    return subprocess.run(
        [
            *(sys.executable, "-B", "scripts/deploy.py", "--service=signups", "--oldest=v1.34"),
            *(command, set_by_make.pop("ENV", "dev")),
        ],
        cwd=service,
        env={**environment, **set_by_make},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def refusal(
    service: Path, command: str, *variables: str, environment: Mapping[str, str], given: str = ""
) -> str:
    """Run a command, see it refuse and leave every file as it was; return its one line."""
    before = contents(service)
    done = run(service, command, *variables, environment=environment, given=given)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert contents(service) == before
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("name", ["prod", "..", "", "dev/changes", "$(x)"])
def test_a_wrong_environment_is_refused(
    own: Path, nowhere: Mapping[str, str], command: str, name: str
) -> None:
    line = refusal(own, command, f"ENV={name}", *NEEDS.get(command, ()), environment=nowhere)
    assert line == f"deploy: {name!r} is not an environment; take one of: dev production staging"


@pytest.mark.parametrize("command", ["deploy", "diff"])
def test_an_image_that_was_never_built_is_refused(
    own: Path, nowhere: Mapping[str, str], command: str
) -> None:
    line = refusal(own, command, environment=nowhere)
    assert "nothing has been released to dev yet: push an image, then give its digest" in line


@pytest.mark.parametrize(
    ("command", "variable", "says"),
    [
        ("deploy", "DIGEST=1.2.3", "'1.2.3' is not a digest"),
        ("deploy", f"DIGEST={DIGEST}0", "is not a digest"),
        ("deploy", f"DIGEST={DIGEST.upper()}", "is not a digest"),
        ("diff", "DIGEST=latest", "'latest' is not a digest"),
        ("deploy", "IMAGE=ghcr.io/example/signups:1.2.3", "does not name an image by its digest"),
        ("deploy", "IMAGE=ghcr.io/example/signups@sha256:1", "'sha256:1' is not a digest"),
        ("deploy", f"IMAGE=@{DIGEST}", "does not name an image by its digest"),
        ("rollback", "TO=previous", "'previous' is not a digest"),
        ("rollback", "TO=sha256:$(x)", "is not a digest"),
        ("status", "TIMEOUT=soon", "TIMEOUT=soon is not a number of seconds"),
    ],
)
def test_a_malformed_value_is_refused(
    own: Path, nowhere: Mapping[str, str], command: str, variable: str, says: str
) -> None:
    assert says in refusal(own, command, variable, environment=nowhere)


def test_two_digests_are_refused(own: Path, nowhere: Mapping[str, str]) -> None:
    image = f"IMAGE=ghcr.io/example/signups@sha256:{'b' * 64}"
    line = refusal(own, "deploy", f"DIGEST={DIGEST}", image, environment=nowhere)
    assert "DIGEST= and IMAGE= name two digests" in line


@pytest.mark.parametrize("command", EVERY)
def test_a_missing_kubectl_is_refused(own: Path, tmp_path: Path, command: str) -> None:
    needs = NEEDS.get(command, ())
    line = refusal(own, command, *needs, environment={"PATH": str(tmp_path)})
    assert line == "deploy: kubectl is not on the PATH: install it"


@needs_kubectl
@pytest.mark.parametrize("command", EVERY)
def test_a_missing_context_is_refused_and_those_there_are_named(
    own: Path, nowhere: Mapping[str, str], command: str
) -> None:
    needs = NEEDS.get(command, ())
    line = refusal(own, command, *needs, "CONTEXT=there", environment=nowhere)
    assert line == "deploy: 'there' is no context of kubectl; choose one with CONTEXT=: here"


@needs_kubectl
def test_without_a_current_context_it_says_how_to_choose(
    own: Path, nowhere: Mapping[str, str]
) -> None:
    text = yaml.safe_dump(kubeconfig("http://127.0.0.1:9", current=""))
    Path(nowhere["KUBECONFIG"]).write_text(text)
    line = refusal(own, "status", environment=nowhere)
    assert line == "deploy: kubectl has no current context; choose one with CONTEXT=: here"


@needs_kubectl
@pytest.mark.parametrize("text", [None, "{not yaml"])
def test_a_kubeconfig_that_is_missing_or_broken_is_refused(
    own: Path, nowhere: Mapping[str, str], text: str | None
) -> None:
    file = Path(nowhere["KUBECONFIG"])
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    line = refusal(own, "status", environment=nowhere)
    assert re.search(r"kubectl knows none|error loading config file", line)


@needs_kubectl
@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("context", ["", "here"])
def test_a_cluster_that_does_not_answer_is_refused(
    own: Path, nowhere: Mapping[str, str], command: str, context: str
) -> None:
    needs = NEEDS.get(command, ())
    line = refusal(own, command, *needs, f"CONTEXT={context}", environment=nowhere)
    assert line.startswith("deploy: the cluster of context here does not answer: ")
    assert "refused" in line


def test_a_password_is_neither_printed_nor_written(own: Path, nowhere: Mapping[str, str]) -> None:
    line = refusal(own, "secret", environment=nowhere, given="kX9-secret\n")
    assert "kX9" not in line
    assert not any(b"kX9" in content for content in contents(own).values())


# -- through make ----------------------------------------------------------------------------------


def make(service: Path, *arguments: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=service,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    return done.stderr


@needs_kubectl
def test_make_hands_over_what_stands_on_its_command_line(
    own: Path, nowhere: Mapping[str, str]
) -> None:
    assert "'x y' is not a digest" in make(
        own, "deploy", "ENV=dev", "DIGEST=x y", environment=nowhere
    )
    assert "'it' is no context" in make(own, "status", "ENV=dev", "CONTEXT=it", environment=nowhere)
    said = make(own, "rollback", "ENV=dev", "TO=$$(touch made; echo x)", environment=nowhere)
    assert "'$(touch made; echo x)' is not a digest" in said
    assert not (own / "made").exists()


def test_secret_is_a_command_only_where_there_is_a_database(service: Path, own: Path) -> None:
    assert "\nsecret:" in (own / "Makefile").read_text()
    assert "\nsecret:" not in (service / "Makefile").read_text()


# -- what the scripts are --------------------------------------------------------------------------


def imports() -> Iterator[tuple[str, str]]:
    for file in FOLDER.glob("*.py"):
        for name in re.findall(r"(?m)^(?:from|import) (\w+)", file.read_text()):
            yield file.name, name


def test_the_scripts_need_nothing_installed() -> None:
    own = {file.stem for file in FOLDER.glob("*.py")}
    foreign = {
        (file, name)
        for file, name in imports()
        if name not in own | {"__future__"} | sys.stdlib_module_names
    }
    assert foreign == set()


def test_no_script_is_named_like_a_module_that_they_import() -> None:
    own = {file.stem for file in FOLDER.glob("*.py")}
    assert own & sys.stdlib_module_names == set()


def test_the_oldest_promised_python_can_read_them() -> None:
    for file in FOLDER.glob("*.py"):
        text = file.read_text()
        ast.parse(text, file.name, feature_version=(3, 9))
        # 3.9 reads types like `str | None` only as text.
        assert "from __future__ import annotations" in text, file.name
    with pytest.raises(SyntaxError):
        ast.parse("match x:\n    case 1: pass\n", feature_version=(3, 9))


def test_the_tests_run_the_script_as_the_makefile_does(own: Path) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "deploy", "ENV=dev"],
        cwd=own,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].endswith(
        "python3 -B scripts/deploy.py --service signups --oldest v1.34 deploy dev"
    )
