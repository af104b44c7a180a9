"""The programs of the image: serve (without an argument), healthcheck, migrate, dev.

What takes time to import is imported by the program that needs it: a health check that runs
every few seconds must cost next to nothing.
"""

import os
import signal
import sys

from app.settings import ConfigurationError, Settings, port

USAGE = "usage: python -m app [healthcheck | migrate | dev]"


def main(arguments: list[str]) -> int:
    """Run one program; the exit code."""
    try:
        match arguments:
            case []:
                return _serve()
            case ["healthcheck"]:
                return _healthcheck()
            case ["migrate"]:
                return _migrate()
            case ["dev"]:
                return _develop()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    print(USAGE, file=sys.stderr)
    return 2


def _end_on_signal(exit_code: int) -> None:
    """End at once on SIGTERM, which the first process of a container ignores otherwise."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(exit_code))


def _serve() -> int:
    _end_on_signal(0)  # until the server listens for it: nothing has begun that could be lost
    settings = Settings.read(os.environ)
    from app.server import serve

    serve(settings, os.environ)
    os._exit(0)  # everything is sent; taking the interpreter apart would cost a fifth of a second


def _develop() -> int:
    settings = Settings.read(os.environ)
    from app.server import develop

    develop(settings)
    return 0


def _healthcheck() -> int:
    from app.healthcheck import alive

    return 0 if alive(port(os.environ)) else 1


def _migrate() -> int:
    from importlib import import_module
    from importlib.util import find_spec

    if not find_spec("app.migrate"):
        print("this service has no database to migrate", file=sys.stderr)
        return 2
    _end_on_signal(128 + signal.SIGTERM)  # not applied is not a success
    settings = Settings.read(os.environ)
    from app.telemetry import start_logs

    start_logs(settings.service_name, settings.log_level)
    exit_code: int = import_module("app.migrate").migrate(os.environ)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
