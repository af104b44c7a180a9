"""Linters of every language find nothing, whatever the answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway.rendering import render

from tests.engines.fixtures.docker import Docker
from tests.render import programs
from tests.render.combinations import PAIRWISE, name
from tests.services import Services, mutated

LARGEST: dict[str, Any] = {"datastore": "postgres", "cache": "redis"}


def all_services(services: Services) -> Iterator[tuple[str, Path]]:
    for answers in PAIRWISE:
        yield name(answers), services(answers)


def test_hadolint_finds_nothing_in_the_dockerfile(services: Services) -> None:
    problems = [
        f"{place}: {problem}"
        for place, service in all_services(services)
        for problem in programs.hadolint((service / "Dockerfile").read_text())
    ]

    assert problems == []


def test_hadolint_finds_an_image_without_a_tag() -> None:
    assert programs.hadolint("FROM docker.io/library/debian\nUSER 65532\n")


def test_yamllint_finds_nothing(services: Services) -> None:
    problems = [
        f"{place}: {problem}"
        for place, service in all_services(services)
        for file in sorted({*service.rglob("*.yaml"), *service.rglob("*.yml")})
        for problem in programs.yamllint(file.read_text(), file.relative_to(service).as_posix())
    ]

    assert problems == []


@pytest.mark.parametrize("text", ["a:  b\n", "a: yes\n", "a: b\na: c\n", "a:\n    - b\n", "a: b"])
def test_yamllint_finds_slips(text: str) -> None:
    assert programs.yamllint(text, "a.yaml")


def test_shellcheck_finds_nothing(services: Services) -> None:
    scripts = {
        script.read_bytes(): script
        for _, service in all_services(services)
        for script in service.rglob("*.sh")
    }

    assert programs.shellcheck(list(scripts.values())) == []


def test_shellcheck_finds_an_unquoted_variable(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("#!/bin/sh\nrm -r $1/x\n")

    assert programs.shellcheck([tmp_path / "a.sh"])


def broken_makefile(service: Path) -> list[str]:
    """Return what make cannot do of its own list of commands, and what the list leaves out."""
    listed = programs.run(["make"], cwd=service)
    if listed.returncode or listed.stderr:
        return [listed.stderr]
    problems = []
    for line in listed.stdout.splitlines():
        target = line.split()[1]
        options = ["docker=docker", "uvx=uvx"]  # to list the commands nothing needs to be there
        options += ["ENV=production"] if target == "manifests" else []
        tried = programs.run(["make", "--dry-run", target, *options], cwd=service)
        if "No rule" in tried.stderr or "***" in tried.stderr:
            problems.append(tried.stderr)
    phony = programs.run(["make", "--print-data-base", "--question"], cwd=service).stdout
    declared = next(line for line in phony.splitlines() if line.startswith(".PHONY:"))
    undocumented = set(declared.split()[1:]) - {
        line.split()[1] for line in listed.stdout.splitlines()
    }
    return problems + [f"make {target} has no line in make help" for target in undocumented]


def test_make_lists_and_can_run_every_command(services: Services) -> None:
    assert broken_makefile(services({**LARGEST, "environments": ["dev", "production"]})) == []


@pytest.mark.parametrize("broken", ["up", "help"])
def test_a_makefile_without_a_rule_or_a_description_is_noticed(
    services: Services, tmp_path: Path, broken: str
) -> None:
    text = (services(LARGEST) / "Makefile").read_text()
    if broken == "up":
        spoilt = text.replace("up: .local/database-password", "up: missing-file")
    else:
        spoilt = text.replace("down: ## ", "down: # ")
    assert spoilt != text
    (tmp_path / "Makefile").write_text(spoilt)

    assert broken_makefile(tmp_path)


# -- with Docker -----------------------------------------------------------------------------------


def compose_problems(docker: Docker, service: Path) -> list[str]:
    """Return what Compose says about its files: nothing when it takes them."""
    done = docker.run(
        *("compose", "--profile", "*", "--project-directory", service, "config", "--quiet"),
        check=False,
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


@pytest.mark.engine("docker")
def test_compose_takes_its_files(docker: Docker, services: Services) -> None:
    problems = [
        f"{place}: {problem}"
        for place, service in all_services(services)
        for problem in compose_problems(docker, service)
    ]

    assert problems == []


@pytest.mark.engine("docker")
def test_compose_refuses_an_unknown_key(docker: Docker, template: Path, tmp_path: Path) -> None:
    spoilt = mutated(
        template,
        tmp_path / "template",
        {"template/compose.yaml.jinja": {"  app: &app\n": "  app: &app\n    prots: []\n"}},
    )
    made = render(spoilt, tmp_path / "service", {"service_name": "signups", "starter": False})

    assert any("prots" in problem for problem in compose_problems(docker, made))


def build_problems(docker: Docker, service: Path, target: str) -> list[str]:
    """Return what BuildKit's own checks say about a stage."""
    done = docker.run("build", "--check", f"--target={target}", service, check=False, timeout=300)
    return [] if done.returncode == 0 else [*done.stdout.splitlines(), *done.stderr.splitlines()]


@pytest.mark.engine("images")
def test_buildkit_checks_find_nothing(docker: Docker, services: Services) -> None:
    seen: dict[str, Path] = {}
    for answers in ({}, {"datastore": "postgres"}, {"cache": "redis"}, LARGEST, {"starter": False}):
        service = services(answers)
        seen.setdefault((service / "Dockerfile").read_text(), service)
    problems = [
        problem
        for service in seen.values()
        for target in ("production", "test", "dev", "lock")
        for problem in build_problems(docker, service, target)
    ]

    assert problems == []


@pytest.mark.engine("images")
def test_buildkit_checks_find_a_shell_form(docker: Docker, template: Path, tmp_path: Path) -> None:
    spoilt = mutated(
        template,
        tmp_path / "template",
        {"template/[[python]]/Dockerfile.jinja": {'CMD ["dev"]': "CMD dev"}},
    )
    made = render(spoilt, tmp_path / "service", {"service_name": "signups", "starter": False})

    assert any("JSONArgs" in problem for problem in build_problems(docker, made, "dev"))
