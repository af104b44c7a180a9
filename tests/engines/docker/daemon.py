"""The Docker daemon of the cache: started, found again, stopped, and cleaned up after."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slipway.errors import SlipwayError

from tests.engines import debian
from tests.engines.commands import last_words

# One daemon for each machine, because docker0 and its firewall chains are names of the machine;
# and a short path, because that of a socket ends at 108 bytes.
RUN = Path("/run/slipway-engines")
SOCKET = RUN / "docker.sock"
PID = RUN / "docker.pid"
MARK = RUN / "started-by-tests"
READY_WITHIN = 60
STOPPED_WITHIN = 40


def log(folder: Path) -> Path:
    """Return the daemon's log."""
    return folder / "dockerd.log"


def pid() -> int | None:
    """Return the process of the daemon we started, if it lives."""
    try:
        number = int(PID.read_text())
        name, state = re.findall(r"\((.+)\) (\S)", Path(f"/proc/{number}/stat").read_text())[0]
    except (OSError, ValueError):
        return None
    return number if name == "dockerd" and state != "Z" else None


def alive() -> bool:
    """Say whether the daemon we started lives."""
    return pid() is not None


def start(folder: Path) -> bool:
    """Start the daemon and wait until it answers; say whether it was started now."""
    if os.geteuid() != 0:
        raise SlipwayError("docker: starting the engine needs root; run this again with sudo -E")
    with _alone():
        if alive():
            return False
        MARK.unlink(missing_ok=True)
        _settings(folder)
        shutil.rmtree(RUN / "x", ignore_errors=True)
        with log(folder).open("ab") as output:
            process = subprocess.Popen(
                [
                    folder / "engine/usr/sbin/dockerd",
                    f"--data-root={folder / 'data'}",
                    f"--exec-root={RUN / 'x'}",
                    f"--pidfile={PID}",
                    f"--host=unix://{SOCKET}",
                    f"--config-file={folder / 'daemon.json'}",
                    "--feature=containerd-snapshotter",
                    # Other bridges of the machine, such as a test cluster's, keep their traffic.
                    "--ip-forward-no-drop",
                ],
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
            )
        until = time.monotonic() + READY_WITHIN
        while not _answers(folder):
            if process.poll() is not None:
                reason = last_words(log(folder).read_text(errors="replace"))
                raise SlipwayError(f"docker: the engine did not start: {reason} ({log(folder)})")
            if time.monotonic() > until:
                process.terminate()
                raise SlipwayError(
                    f"docker: the engine was not ready in {READY_WITHIN} s; see {log(folder)}"
                )
            time.sleep(0.1)
        return True


def stop(folder: Path) -> bool:
    """Stop the daemon and remove what it leaves; say whether there was one to stop."""
    with _alone():
        number = pid()
        if number is None:
            return False
        os.kill(number, signal.SIGTERM)
        until = time.monotonic() + STOPPED_WITHIN
        while alive() and not _reaped(number):
            if time.monotonic() > until:
                raise SlipwayError(
                    f"docker: the engine (process {number}) did not stop; see {log(folder)}"
                )
            time.sleep(0.1)
        _clean(folder)
        MARK.unlink(missing_ok=True)
        shutil.rmtree(RUN / "x", ignore_errors=True)
        return True


def _reaped(number: int) -> bool:
    """Collect the daemon if it is a child of this very process."""
    try:
        return os.waitpid(number, os.WNOHANG)[0] == number
    except ChildProcessError:
        return False


class Session:
    """One run of the tests: the last to end stops a daemon that tests have started."""

    def __init__(self) -> None:
        self._users: IO[str] | None = None
        if os.geteuid() == 0:  # nobody else can start one
            RUN.mkdir(mode=0o755, exist_ok=True)
            self._users = (RUN / "users").open("w")
            fcntl.flock(self._users, fcntl.LOCK_SH)

    @staticmethod
    def mark() -> None:
        """Note that the daemon was started by a test."""
        MARK.touch()

    def end(self, stop: Callable[[], bool]) -> None:
        """Stop the daemon if tests started it and no other run of the tests is left."""
        if self._users is None:
            return
        with self._users:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if MARK.exists():
                stop()


@contextmanager
def _alone() -> Iterator[None]:
    RUN.mkdir(mode=0o755, exist_ok=True)
    with (RUN / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _settings(folder: Path) -> None:
    """Write a file of our own, so that the machine's /etc/docker is not read."""
    (folder / "daemon.json").write_text("{}\n")


def _environment(folder: Path) -> dict[str, str]:
    tree = folder / "engine/usr"
    libraries = tree / "lib" / debian.multiarch()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")},
        "PATH": os.pathsep.join([f"{tree}/sbin", f"{tree}/bin", os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
    }


def _answers(folder: Path) -> bool:
    done = subprocess.run(
        [folder / "bin/docker", "--host", f"unix://{SOCKET}", "info"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


def _clean(folder: Path) -> None:
    """Remove the bridges and firewall rules that a stopped daemon leaves behind."""

    def lines(*command: str) -> list[str]:
        done = subprocess.run(
            command, env=_environment(folder), capture_output=True, text=True, check=False
        )
        return done.stdout.splitlines()

    bridge = r"(?:docker0|br-[0-9a-f]{12})"
    for program in ("iptables", "ip6tables"):
        for table in ("filter", "nat"):
            rules = lines(program, "-t", table, "-S")
            for rule in rules:
                if re.match(r"-A (?!DOCKER)\S+ .*-j DOCKER", rule) or re.match(
                    rf"-A POSTROUTING .*{bridge} .*MASQUERADE", rule
                ):
                    lines(program, "-t", table, "-D", *rule.split()[1:])
            chains = [rule.split()[1] for rule in rules if rule.startswith("-N DOCKER")]
            for operation in ("-F", "-X"):
                for chain in chains:
                    lines(program, "-t", table, operation, chain)
    names = re.findall(rf"{bridge}", "\n".join(lines("ip", "-o", "link", "show", "type", "bridge")))
    for name in sorted(set(names)):
        lines("ip", "link", "delete", name)
