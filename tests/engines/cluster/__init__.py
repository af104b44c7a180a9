"""A Kubernetes of two nodes: upstream's programs, containerd, and the harness's own policies."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.engines import cache, debian, golang
from tests.engines.cluster import images
from tests.engines.golang import GoProgram
from tests.engines.progress import Progress
from tests.engines.versions import version

FOLDER = Path(__file__).parent
# What runs on a node and in no container; of Debian's newer release, see docker.
RUNTIME = ("containerd", "containernetworking-plugins")
# The same of the machine's own release, because a newer one wants a newer C library.
OWN = (
    "runc",
    *("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libxtables12"),
    *("libedit2", "libbsd0", "libmd0", "libgmp10", "libtinfo6"),
    *("conntrack", "libnetfilter-conntrack3", "libnfnetlink0"),
)
# The names that the one program of Kubernetes answers to.
NAMES = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    *("kubectl", "etcd"),
)


@dataclass(frozen=True)
class ClusterProgram(GoProgram):
    """Recipe of one program of the cluster's Go module; `own` is the folder of one written here."""

    own: str = ""

    @property
    def path(self) -> Path:
        """Where the program is; what it is made of is part of the name."""
        return cache.binary(self.name, f"{self.version()}-{self._parts()}")

    def _parts(self) -> str:
        files = [self.module / "go.mod", self.module / "go.sum"]
        files += sorted((self.module / self.own).glob("*.go")) if self.own else []
        content = b"".join(file.read_bytes() for file in files)
        return hashlib.sha256(content).hexdigest()[:8]

    def install(self, progress: Progress) -> None:
        """Build it."""
        golang.build(
            self.name, self.module, self.package, self.path, progress, linker=self._stamps()
        )

    def _stamps(self) -> list[str]:
        if self.name != "kube":
            return []
        major, minor, _ = self.version().split(".")
        stamps = {
            "gitVersion": f"v{self.version()}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        return [f"-X k8s.io/component-base/version.{name}={text}" for name, text in stamps.items()]


def _own(name: str, pin: str = "kubernetes") -> ClusterProgram:
    return ClusterProgram(name, FOLDER, f"./{name}", pin=pin, own=name)


KUBE = _own("kube")
COREDNS = _own("coredns", "coredns")
METRICS_SERVER = ClusterProgram(
    "metrics-server", FOLDER, "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
POLICIES = _own("policies")
PAUSE = _own("pause")
LOAD = _own("load")
PROBE = _own("probe")
PROGRAMS = (KUBE, COREDNS, METRICS_SERVER, POLICIES, PAUSE, LOAD, PROBE)
IMAGES = {
    PAUSE: "registry.k8s.io/pause:3.10",
    COREDNS: "localhost/coredns:test",
    METRICS_SERVER: "localhost/metrics-server:test",
    LOAD: "localhost/load:test",
    PROBE: "localhost/probe:test",
}


class Cluster:
    """Recipe of everything that the cluster runs, in one folder with links to it."""

    @property
    def folder(self) -> Path:
        """Where it is; what it is made of is part of the name."""
        pins = [version("docker-suite"), *RUNTIME, *OWN, *(one.path.name for one in PROGRAMS)]
        made = hashlib.sha256("\n".join(pins).encode() + Path(images.__file__).read_bytes())
        return cache.root() / "cluster" / made.hexdigest()[:8]

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.folder.exists()

    def install(self, progress: Progress) -> None:
        """Build it: about 800 seconds of one processor, and 700 MB of modules meanwhile."""
        for one in PROGRAMS:
            if not one.installed():
                one.install(progress)
        with cache.scratch() as scratch:
            made = scratch / "cluster"
            with progress.step("cluster", "download and unpack containerd"):
                newer = debian.Archive(version("docker-suite"))
                own = debian.Archive(debian.codename())
                for archive, packages in ((newer, RUNTIME), (own, OWN)):
                    archive.update()
                    archive.unpack(packages, made / "debian")
            with progress.step("cluster", "make the images of its own pods"):
                for program, name in IMAGES.items():
                    plain = scratch / program.name
                    plain.symlink_to(program.path)
                    images.archive(plain, name, made / "images" / f"{program.name}.tar")
            links = dict.fromkeys(NAMES, KUBE) | {one.name: one for one in (POLICIES, LOAD)}
            (made / "bin").mkdir()
            for name, program in links.items():
                (made / "bin" / name).symlink_to(program.path)
            for name in ("nft", "conntrack"):
                _with_its_libraries(made, name)
            cache.put(made, self.folder)

    def version(self) -> str:
        """Return the version of Kubernetes."""
        return version("kubernetes")

    def where(self) -> str:
        """Return the path for people."""
        return str(self.folder)


def _with_its_libraries(made: Path, program: str) -> None:
    """Put a program where the path finds it, with the libraries that were unpacked beside it."""
    script = made / "bin" / program
    script.write_text(
        "#!/bin/sh\n"
        'root=$(dirname "$(dirname "$(readlink -f "$0")")")/debian\n'
        f"libraries={debian.multiarch()}\n"
        'export LD_LIBRARY_PATH="$root/usr/lib/$libraries:$root/lib/$libraries"\n'
        f'exec "$root/usr/sbin/{program}" "$@"\n'
    )
    script.chmod(0o755)
