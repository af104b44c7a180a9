"""A stand-in for flagd: its command line, its OFREP answers, the project's own evaluator.

Not in it: gRPC (8013, 8015), Prometheus metrics, ETags, event streams, sources other than files.
"""

# mypy: disable-error-code="import-not-found"

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, OpenFeatureError, ParseError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason

LOOK_EVERY = 0.25
EVALUATE = "/ofrep/v1/evaluate/flags"
Answer = tuple[int, dict[str, Any]]


class Flags:
    """The flags of some files, later files over earlier ones, read again when they change."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.evaluator = FlagdCore()
        self.definitions: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.texts: list[str] = []

    def read(self) -> bool:
        """Read the files if they changed; say whether they did."""
        texts = [file.read_text() for file in self.files]
        if texts == self.texts:
            return False
        merged: dict[str, Any] = {"flags": {}, "metadata": {}, "$evaluators": {}}
        for text in texts:
            document = json.loads(text)
            for part, found in merged.items():
                found.update(document.get(part, {}))
        # The evaluator changes what it is given, so it gets a copy of its own.
        self.evaluator.set_flags(json.dumps(merged))
        self.definitions, self.metadata, self.texts = merged["flags"], merged["metadata"], texts
        return True

    def watch(self, ended: threading.Event) -> None:
        """Read again and again; what cannot be read leaves the flags as they are."""
        while not ended.wait(LOOK_EVERY):
            try:
                if self.read():
                    say("info", "flags changed")
            except (OSError, ValueError, AttributeError, OpenFeatureError) as error:
                say("error", f"flags kept as they were: {error}")

    def resolve(self, key: str, context: EvaluationContext) -> FlagResolutionDetails[Any]:
        """Evaluate one flag by the type of its variants."""
        if key not in self.definitions:
            raise FlagNotFoundError
        variants = self.definitions[key].get("variants") or {"": None}
        resolve: Callable[..., FlagResolutionDetails[Any]]
        match next(iter(variants.values())):
            case bool():
                resolve = self.evaluator.resolve_boolean_value
            case str():
                resolve = self.evaluator.resolve_string_value
            case int() | float():
                resolve = self.evaluator.resolve_float_value
            case _:
                resolve = self.evaluator.resolve_object_value
        return resolve(key, None, context)

    def one(self, key: str, context: EvaluationContext) -> Answer:
        """Answer for one flag, in flagd's words."""
        try:
            result = self.resolve(key, context)
        except FlagNotFoundError:
            return refusal(404, key, "FLAG_NOT_FOUND", f"flag `{key}` does not exist")
        except ParseError:
            return refusal(400, key, "PARSE_ERROR", f"error parsing the flag `{key}`")
        except OpenFeatureError:
            return refusal(400, key, "GENERAL", "error processing the flag for evaluation")
        if result.reason == Reason.DISABLED:
            return refusal(404, key, "FLAG_NOT_FOUND", f"flag `{key}` is disabled")
        body: dict[str, Any] = {"key": key, "reason": str(result.reason)}
        if result.variant is not None:
            body |= {"value": result.value, "variant": result.variant}
        return 200, {**body, "metadata": dict(result.flag_metadata)}

    def every(self, context: EvaluationContext) -> Answer:
        """Answer for all flags but the disabled ones."""
        keys = [key for key, flag in self.definitions.items() if flag.get("state") == "ENABLED"]
        flags = [self.one(key, context)[1] for key in keys]
        return 200, {"flags": flags, "metadata": self.metadata}


def refusal(status: int, key: str, code: str, details: str) -> Answer:
    return status, {"key": key, "errorCode": code, "errorDetails": details, "metadata": {}}


def say(level: str, message: str) -> None:
    """Write one log line, as flagd does with --log-format json."""
    sys.stdout.write(json.dumps({"level": level, "msg": message}) + "\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    """What both ports share."""

    protocol_version = "HTTP/1.1"
    flags: Flags

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: flagd logs no requests."""


class Evaluation(Handler):
    """Port 8016."""

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.rstrip("/") != EVALUATE and not path.startswith(f"{EVALUATE}/"):
            self.answer(404, {})
            return
        key = unquote(path.removeprefix(EVALUATE).strip("/"))
        try:
            asked = json.loads(body or "{}")
            attributes = dict(asked.get("context") or {})
        except (ValueError, AttributeError, TypeError):
            self.answer(*refusal(400, key, "INVALID_CONTEXT", "Provider context is not valid"))
            return
        context = EvaluationContext(attributes.pop("targetingKey", None), attributes)
        self.answer(*(self.flags.one(key, context) if key else self.flags.every(context)))


class Management(Handler):
    """Port 8014: it answers only once the flags are read."""

    def do_GET(self) -> None:
        self.answer(200 if urlsplit(self.path).path in {"/healthz", "/readyz"} else 404, {})


def arguments() -> argparse.Namespace:
    """Read flagd's command line, as far as a service's files use it."""
    parser = argparse.ArgumentParser(prog="flagd", allow_abbrev=False)
    start = parser.add_subparsers(required=True).add_parser("start", allow_abbrev=False)
    start.add_argument("-f", "--uri", action="append", required=True)
    start.add_argument("-m", "--management-port", type=int, default=8014)
    start.add_argument("-r", "--ofrep-port", type=int, default=8016)
    start.add_argument("-p", "--port", type=int, help="accepted; gRPC is not in the stand-in")
    start.add_argument("-g", "--sync-port", type=int, help="accepted; gRPC is not in it")
    start.add_argument("-z", "--log-format", choices=["console", "json"])
    start.add_argument("-C", "--cors-origin", action="append")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    files = [Path(uri.removeprefix("file:")) for uri in asked.uri]
    Handler.flags = flags = Flags(files)
    try:
        flags.read()
    except (OSError, ValueError, AttributeError, OpenFeatureError) as error:
        say("fatal", f"cannot read the flags: {error}")
        return 1
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    for port, handler in {asked.ofrep_port: Evaluation, asked.management_port: Management}.items():
        server = ThreadingHTTPServer(("", port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    say("info", "stand-in for flagd is ready")
    flags.watch(ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())
