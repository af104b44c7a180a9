#!/usr/bin/python3
"""A stand-in for Tempo, Grafana or Elasticsearch: it answers their health paths and keeps nothing.

Every answer carries the header `X-Stand-In`, so that nobody takes it for the real one.
"""

import json
import signal
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

# By name: the ports it listens on, and what it answers at its health path.
KNOWN = {
    "tempo": ((3200, 4318), "/ready", b"ready\n"),
    "grafana": ((3000,), "/api/health", b'{"database": "ok"}\n'),
    "elasticsearch": ((9200,), "/_cluster/health", b'{"status": "green", "timed_out": false}\n'),
}


class Handler(BaseHTTPRequestHandler):
    """Says that it is well at one path, takes whatever is posted, knows nothing else."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        _, path, healthy = KNOWN[self.name]
        if self.path.partition("?")[0] == path:
            self._answer(200, healthy)
        else:
            self._answer(501, json.dumps({"stand-in": self.name}).encode() + b"\n")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        protobuf = "protobuf" in self.headers.get("Content-Type", "")
        self._answer(200, b"" if protobuf else b"{}")

    do_PUT = do_POST  # noqa: N815

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Stand-In", self.name)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: health checks would fill the log."""


def main() -> int:
    """Listen until told to stop; with -health, as Tempo has it, ask the one that listens."""
    name, *options = sys.argv[1:]
    ports, path, _ = KNOWN[name]
    if "-health" in options:
        with urllib.request.urlopen(f"http://localhost:{ports[0]}{path}", timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    Handler.name = name
    stopped = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for port in ports:
        server = ThreadingHTTPServer(("", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"a stand-in for {name}: it answers {path} and keeps nothing", flush=True)
    stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
