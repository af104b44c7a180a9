"""A container runs as hardened as the harness says, and what is wrong is seen."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engines import catalogue, standins
from tests.engines import docker as recipe
from tests.engines.fixtures.docker import CommandError, Docker

pytestmark = pytest.mark.engine("images")

SERVICE = """\
import http.server, pathlib, sys, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
if sys.argv[1:] == ["health"]:
    urllib.request.urlopen("http://127.0.0.1:8080", timeout=2)
else:
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    print("serving", flush=True)
    http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
DOCKERFILE = """\
FROM gcr.io/distroless/python3-debian13:nonroot
COPY service.py /
HEALTHCHECK --interval=1s --timeout=2s --start-period=5s --start-interval=1s --retries=1 \\
    CMD ["/usr/bin/python3.13", "/service.py", "health"]
ENTRYPOINT ["/usr/bin/python3.13", "/service.py"]
"""


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("image")
    (folder / "service.py").write_text(SERVICE)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    tag = docker.build(folder)
    yield tag
    docker.run("image", "rm", tag)


def test_a_container_serves_and_stops(docker: Docker, image: str) -> None:
    with docker.container(image) as container:
        assert container.healthy() < 10
        assert httpx.get(container.url, trust_env=False).text == "here"
        assert "serving" in container.logs()
        assert container.exit_code is None
        assert container.stop() == 7
    assert docker.run("inspect", container.name, check=False).returncode != 0


def test_it_is_hardened(docker: Docker, image: str) -> None:
    with docker.container(image) as container:

        def python(code: str) -> tuple[int, str]:
            done = container.execute("/usr/bin/python3.13", "-c", code, check=False)
            return done.returncode, done.stdout + done.stderr

        assert "Read-only file system" in python("open('/home/nonroot/x', 'w')")[1]
        assert python("open('/tmp/x', 'w')")[0] == 0
        status = python("print(open('/proc/1/status').read())")[1]
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "Uid:\t65532" in status


def test_a_health_check_that_fails_is_seen(docker: Docker, image: str) -> None:
    options = ["--health-cmd=false", "--health-interval=1s", "--health-start-period=1ms"]
    seen = pytest.raises(CommandError, match="unhealthy")
    with docker.container(image, options=options) as container, seen:
        container.healthy(within=5)


def test_a_build_that_fails_shows_its_output(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\nRUN echo a reason >&2; exit 3\n")
    with pytest.raises(CommandError, match="a reason"):
        docker.build(tmp_path)


def test_an_internal_network_has_no_way_out(docker: Docker) -> None:
    code = (
        "import socket,sys\n"
        "try: socket.create_connection((sys.argv[1], 53), timeout=3)\n"
        "except OSError as error: print(error)"
    )
    answers = {}
    for internal in (True, False):
        with docker.network(internal=internal) as network:
            answers[internal] = docker.run(
                *("run", "--rm", f"--network={network}", "python:3.13-slim-trixie", "python3"),
                *("-c", code, docker.gateway()),
            ).stdout
    assert "Network is unreachable" in answers[True]
    assert "Network is unreachable" not in answers[False]


@pytest.mark.engine("observers")
@pytest.mark.parametrize(
    ("made", "image"),
    [
        pytest.param(recipe, image, id=image.image)
        for recipe in (catalogue.IMAGES, catalogue.OBSERVERS)
        for image in recipe.images()
    ],
)
def test_a_stand_in_says_that_it_is_one(
    docker: Docker, made: standins.Images, image: standins.StandIn
) -> None:
    labels = docker.inspect(image.image)["Config"].get("Labels") or {}
    if standins.LABEL in labels:
        assert labels[standins.LABEL] == made.digest()


def test_compose_and_buildx_are_there(docker: Docker) -> None:
    assert docker.run("compose", "version", "--short").stdout
    assert docker.run("buildx", "version").stdout


def test_images_of_tests_go_and_others_stay(docker: Docker, image: str) -> None:
    engine = recipe.Docker()
    for repository in ("slipway-left", "slipway-kept"):
        docker.run("tag", image, f"{repository}:1")

    engine.remove_images("slipway-left")

    assert docker.run("images", "--quiet", "slipway-left").stdout == ""
    assert docker.run("images", "--quiet", "slipway-kept").stdout != ""
    docker.run("image", "rm", "slipway-kept:1")
