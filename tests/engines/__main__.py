"""The command line of the engines: `python -m tests.engines install`."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from slipway.errors import SlipwayError

from tests.engines import cache, catalogue
from tests.engines.docker import daemon as docker_daemon
from tests.engines.progress import Progress


def install(names: Sequence[str]) -> None:
    """Install what is not there, then throw the Go caches away if nothing is left to build."""
    progress = Progress()
    with cache.building(lambda: all(one.recipe.installed() for one in catalogue.chosen(()))):
        for engine in catalogue.chosen(names):
            _install(engine, progress)


def _install(engine: catalogue.Engine, progress: Progress) -> None:
    def wait() -> None:
        progress.say(engine.name, "another make engines installs it: waiting")

    with cache.alone(engine.name, wait):
        if engine.recipe.installed():
            progress.say(engine.name, f"here: {engine.recipe.version()}")
            return
        engine.recipe.install(progress)
        progress.say(engine.name, f"installed: {engine.recipe.version()}")


def status() -> None:
    """Print every engine: its version, its place and what it proves."""
    rows = [("engine", "version", "where", "proves")]
    for engine in catalogue.ENGINES:
        recipe = engine.recipe
        found = ("missing", "run make engines")
        if recipe.installed():
            found = (recipe.version(), recipe.where())
        rows.append((engine.name, *found, engine.proves))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[3]]) + "\n")


def daemons(names: Sequence[str]) -> list[tuple[str, catalogue.Daemon]]:
    """Return the engines that run, or the named ones of them."""
    wanted = [catalogue.engine(name) for name in names] if names else catalogue.ENGINES
    return [
        (engine.name, engine.recipe)
        for engine in wanted
        if isinstance(engine.recipe, catalogue.Daemon)
    ]


def start(names: Sequence[str]) -> None:
    """Start them and leave them running."""
    for name, daemon in daemons(names):
        started = daemon.start()
        docker_daemon.MARK.unlink(missing_ok=True)
        sys.stdout.write(f"{name}: {'started' if started else 'runs already'}\n")


def stop(names: Sequence[str]) -> None:
    """Stop those that were started here."""
    for name, daemon in reversed(daemons(names)):
        stopped = daemon.stop()
        sys.stdout.write(f"{name}: {'stopped' if stopped else 'was not started here'}\n")


def environment() -> None:
    """Print shell lines for: eval "$(python -m tests.engines environment)"."""
    for _, daemon in daemons([]):
        for name, value in daemon.environment().items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def main() -> int:
    """Run one command; an error is one line."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "install": "install engines (all without a name); what is there is left alone",
        "start": "start the engines that run, and leave them running",
        "stop": "stop those that were started here",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("status", help="list the engines")
    commands.add_parser("environment", help="print what a shell needs to use them")
    asked = parser.parse_args()
    try:
        match asked.command:
            case "install":
                install(asked.names)
            case "start":
                start(asked.names)
            case "stop":
                stop(asked.names)
            case "status":
                status()
            case _:
                environment()
    except SlipwayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'the cache'}: {error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run make engines again to go on\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
