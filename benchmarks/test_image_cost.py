"""What an image costs: to build anew, to build after an edit, and over its base."""

import re
import time
from pathlib import Path

import pytest
from slipway.rendering import render

from benchmarks.conftest import Report
from tests.contract.stacks import STACKS, Stack
from tests.engines.fixtures.docker import Docker

REBUILD_BOUND = 0.35
SIZE_BOUND = 1.1

pytestmark = pytest.mark.engine("docker", "images")


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_an_edit_builds_in_a_third_of_the_time_and_installs_nothing_again(
    docker: Docker, template: Path, tmp_path: Path, report: Report, stack: Stack
) -> None:
    folder = render(template, tmp_path, {"service_name": "signups", "stack": stack.name})
    tag = f"slipway-test:cost-{stack}"
    started = time.perf_counter()
    docker.build(folder, target="production", tag=tag, options=["--no-cache"])
    cold = time.perf_counter() - started

    stack.edit.apply(folder)
    started = time.perf_counter()
    done = docker.run(
        "build", "--progress=plain", f"--tag={tag}", "--target=production", folder, timeout=300
    )
    warm = time.perf_counter() - started

    report(f"{stack}: cold build", f"{cold:.1f} s", "")
    report(f"{stack}: build after an edit", f"{warm:.1f} s", "")
    report(f"{stack}: ratio", f"{warm / cold:.2f}", f"at most {REBUILD_BOUND}")
    for step in stack.dependency_steps:
        assert cached(done.stderr + done.stdout, step), f"the edit ran `{step}` again"
    assert warm / cold <= REBUILD_BOUND


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_an_image_holds_its_dependencies_and_the_application_and_little_more(
    docker: Docker, template: Path, tmp_path: Path, report: Report, stack: Stack
) -> None:
    folder = render(template, tmp_path, {"service_name": "signups", "stack": stack.name})
    production = docker.build(folder, target="production")
    build = docker.build(folder, target="build")
    sizes = docker.run("run", "--rm", "--entrypoint=du", build, "-sb", *stack.shipped).stdout
    needed = sum(int(line.split()[0]) for line in sizes.splitlines())
    base = re.findall(r"^FROM (\S+)", (folder / "Dockerfile").read_text(), re.M)[-1]
    added = image_size(docker, production, tmp_path) - image_size(docker, base, tmp_path)
    report(f"{stack}: over its base", f"{added / 1e6:.1f} MB", "")
    report(f"{stack}: of what it needs", f"{added / needed:.2f}", f"at most {SIZE_BOUND}")
    assert added <= SIZE_BOUND * needed


def image_size(docker: Docker, image: str, folder: Path) -> int:
    """Return the bytes of an image's files, as `du` counts them: blocks are the disk's affair."""
    return sum(member.size for member in docker.files(image, folder))


def cached(output: str, command: str) -> bool:
    """Say whether BuildKit took a step that runs a command from its cache."""
    steps = re.findall(rf"^#(\d+) \[[^\]]*\] RUN .*{re.escape(command)}", output, re.M)
    return bool(steps) and all(f"#{number} CACHED" in output for number in steps)
