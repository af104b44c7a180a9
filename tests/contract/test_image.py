"""What the images hold and what the Dockerfile refuses."""

import json
import re
from pathlib import Path

import pytest

from tests.contract.conftest import VERSION, Render
from tests.contract.recording import environment
from tests.contract.stacks import Mutation, Stack
from tests.engines.fixtures.docker import CommandError, Docker

SHELLS = re.compile(r"(^|/)(sh|bash|dash|ash|busybox|apt|apt-get|dpkg|apk|pip|pip3|npm|uv|pnpm)$")


@pytest.fixture(scope="session")
def files(docker: Docker, image: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths of all files and links in the production image."""
    members = docker.files(image, tmp_path_factory.mktemp("image"))
    return [member.name for member in members if not member.isdir()]


def test_production_holds_no_shell_and_no_package_manager(files: list[str]) -> None:
    assert len(files) > 20
    assert not [path for path in files if SHELLS.search(path)]


def test_production_holds_no_tests_and_no_tools(files: list[str], stack: Stack) -> None:
    found = [path for path in files if any(name in path.split("/") for name in stack.not_shipped)]
    assert not found, found[:10]


def test_production_runs_as_nobody_with_a_health_check_and_says_what_it_is(
    docker: Docker, image: str
) -> None:
    configuration = docker.inspect(image)["Config"]
    assert configuration["User"] == "65532:65532"
    assert configuration["Healthcheck"]["Test"][0] == "CMD", "a shell is needed for CMD-SHELL"
    assert configuration["Healthcheck"]["Test"][-1] == "healthcheck"
    assert "/bin/sh" not in json.dumps(configuration)
    labels = configuration["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == "signups"
    assert labels[f"{prefix}version"] == VERSION
    assert labels[f"{prefix}revision"] == "0" * 40
    assert labels[f"{prefix}source"] == "https://github.com/example/signups"


def test_it_is_healthy_in_seconds_with_nothing_writable_and_no_rights(
    docker: Docker, image: str
) -> None:
    with docker.container(image, environment=environment("")) as container:
        assert container.healthy() < 10
        pid = container.inspect()["State"]["Pid"]
        status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^CapBnd:\s+0+$", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^Seccomp:\s+2$", status, re.M)
    assert re.search(r"^Uid:\s+65532\s", status, re.M)


def test_the_health_check_fails_when_nobody_answers(docker: Docker, image: str) -> None:
    """The negative control: the same program, asked about a port where nobody listens."""
    with docker.container(image, environment=environment("")) as container:
        container.healthy()
        entry = container.inspect()["Config"]["Entrypoint"]
        assert container.execute(*entry, "healthcheck").returncode == 0
        elsewhere = docker.run(
            "exec", "--env=PORT=9", container.name, *entry, "healthcheck", check=False
        )
        assert elsewhere.returncode == 1


def test_a_wrong_argument_is_refused(docker: Docker, image: str) -> None:
    done = docker.run("run", "--rm", "--env=LOG_LEVEL=info", image, "serve-me", check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"datastore": "postgres"},
        {"cache": "redis"},
        {"datastore": "postgres", "cache": "redis"},
    ],
    ids=["memory", "postgres", "redis", "postgres and redis"],
)
def test_the_test_stage_passes(
    docker: Docker, rendered: Render, stack: Stack, answers: dict[str, str]
) -> None:
    docker.build(rendered(stack, None, **answers), target="test")


def test_a_broken_unit_test_fails_the_build(docker: Docker, rendered: Render, stack: Stack) -> None:
    folder = rendered(stack, stack.broken_test)
    with pytest.raises(CommandError):
        docker.build(folder, target="test")


def test_a_stray_file_does_not_reach_the_build(
    docker: Docker, rendered: Render, stack: Stack
) -> None:
    folder = rendered(stack)
    for name in (".env", "secret.key", ".local/database-password", "node_modules/x", "docs/x.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("must not travel")
    listing = folder / "list.Dockerfile"
    listing.write_text("FROM scratch\nCOPY . /\n")
    out = folder.parent / f"{folder.name}-context"
    docker.run(
        "build", "--file", listing, "--output", f"type=local,dest={out}", folder, timeout=120
    )
    reached = {path.relative_to(out).parts[0] for path in out.rglob("*") if path.is_file()}
    assert reached <= stack.context, reached - stack.context


def test_the_lock_stage_writes_the_lock_that_is_there(
    docker: Docker, rendered: Render, stack: Stack
) -> None:
    folder = rendered(stack)
    before = (folder / stack.lock).read_bytes()
    docker.command("make", "lock", cwd=folder, timeout=300)
    assert (folder / stack.lock).read_bytes() == before


def test_a_dockerfile_that_builds_draws_no_warning(
    docker: Docker, rendered: Render, stack: Stack
) -> None:
    folder = rendered(stack, None, datastore="postgres", cache="redis")
    docker.run("build", "--check", folder)
    fault = Mutation("Dockerfile", "AS production", "as production")
    fault.apply(folder)
    with pytest.raises(CommandError):
        docker.run("build", "--check", folder)
