"""Debian packages for the cache: a second apt configuration, so the machine's own is untouched."""

import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError

from tests.engines import cache, commands

SOURCES = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
HINT = "check that this machine reaches its Debian mirror, then run make engines again"
CONFIGURATION = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{folder}/state";
Dir::State::Lists "{folder}/lists";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
"""


def codename() -> str:
    """Return the name of the machine's Debian release."""
    said = platform.freedesktop_os_release()
    if said.get("ID") != "debian" or "VERSION_CODENAME" not in said:
        raise SlipwayError(
            f"docker: make engines installs Docker on Debian 12 or newer, and this is"
            f" {said.get('PRETTY_NAME', 'something else')}; install Docker Engine with buildx and"
            " compose yourself, and start it"
        )
    return said["VERSION_CODENAME"]


def mirror(sources: Path = SOURCES, suite: str | None = None) -> str:
    """Return the Debian mirror of the machine's own apt, in either of its two formats."""
    suite = suite or codename()
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    for file in files:
        if file.suffix not in {".list", ".sources"} or not file.is_file():
            continue
        entries = _one_line if file.suffix == ".list" else _stanzas
        for uri, suites, components in entries(file.read_text()):
            if suite in suites and "main" in components and uri.startswith(("http", "file:")):
                return uri
    raise SlipwayError(
        f"docker: no mirror of Debian {suite} in {sources}; add the line"
        f" 'deb http://deb.debian.org/debian {suite} main' to {sources}/sources.list"
    )


def _one_line(text: str) -> Iterable[tuple[str, list[str], list[str]]]:
    for line in text.splitlines():
        if found := re.match(r"\s*deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)\s+(.+)", line):
            yield found[1], [found[2]], found[3].split("#")[0].split()


def _stanzas(text: str) -> Iterable[tuple[str, list[str], list[str]]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields.setdefault(name, []).extend(line.split())
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.lower()
                fields[name] = value.split()
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", []), fields.get("components", [])


@dataclass(frozen=True)
class Archive:
    """One release of Debian, read from the machine's mirror."""

    suite: str

    @property
    def _folder(self) -> Path:
        return cache.root() / "apt" / self.suite

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        return commands.run(
            ["apt-get", "--quiet", *arguments],
            engine="docker",
            cwd=cwd,
            environment={"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"},
            hint=HINT,
        )

    def update(self) -> None:
        """Fetch the lists of packages."""
        for name in ("state", "lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "state" / "status").touch()
        (self._folder / "apt.conf").write_text(CONFIGURATION.format(folder=self._folder))
        (self._folder / "sources.list").write_text(
            f"deb [signed-by={KEYRING}] {mirror()} {self.suite} main\n"
        )
        self._apt("--error-on=any", "update")

    def unpack(self, packages: Sequence[str], target: Path) -> None:
        """Download packages and unpack them into a folder; nothing of theirs is run."""
        target.mkdir(parents=True, exist_ok=True)
        with cache.scratch() as folder:
            self._apt("download", *packages, cwd=folder)
            for package in sorted(folder.glob("*.deb")):
                commands.run(["dpkg", "-x", package, target], engine="docker", hint=HINT)


def architecture() -> str:
    """Return the machine's architecture as Debian and images call it, such as amd64."""
    said = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def multiarch() -> str:
    """Return the folder name of the machine's libraries, such as x86_64-linux-gnu."""
    return {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[architecture()]
