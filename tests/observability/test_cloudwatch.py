"""Log records reach CloudWatch's endpoint signed: here one that checks the signature stands in."""

import contextlib
import gzip
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.engines.collector import Collector
from tests.engines.fixtures.backends import free_ports
from tests.engines.fixtures.process import Program
from tests.observability.collector_files import CREDENTIALS, production
from tests.services import Services

KEY, SECRET = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
REGION = "eu-central-1"
MESSAGE = "a sign-up was taken"


def signature(secret: str, request: "Request", signed: list[str], scope: str, moment: str) -> str:
    """Return the signature that AWS Signature Version 4 asks for, written from its description.

    Args:
        secret: the secret access key.
        request: what was sent.
        signed: the names of the headers that the signature covers.
        scope: date, region, service and `aws4_request`.
        moment: the time of `x-amz-date`.

    """
    canonical = "\n".join(
        [
            "POST",
            request.path,
            "",
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashed])
    return hmac.digest(key, text.encode(), "sha256").hex()


@dataclass(frozen=True)
class Request:
    """One request; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def refusal(self, secret: str) -> str:
        """Return why an endpoint that knows this secret refuses it; nothing when it takes it."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return "not signed"
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, _, scope = given["Credential"].partition("/")
        signed = given["SignedHeaders"].split(";")
        moment = self.headers["x-amz-date"]
        if (key, scope) != (KEY, f"{moment[:8]}/{REGION}/logs/aws4_request"):
            return f"signed for {given['Credential']}"
        if not {"host", "x-amz-date", "x-aws-log-group", "x-aws-log-stream"} <= set(signed):
            return f"only {signed} are signed"
        expected = signature(secret, self, signed, scope, moment)
        return "" if hmac.compare_digest(expected, given["Signature"]) else "wrong signature"

    @property
    def content(self) -> bytes:
        """Return the body as it was before compression."""
        zipped = self.headers.get("content-encoding") == "gzip"
        return gzip.decompress(self.body) if zipped else self.body


@dataclass
class Endpoint:
    """What CloudWatch Logs is from outside: it takes what is signed with the secret it knows."""

    secret: str
    taken: list[Request] = field(default_factory=list)
    refused: dict[str, Request] = field(default_factory=dict)
    url: str = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator["Endpoint"]:
        """Listen on a free port of loopback."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, body)
                if why := request.refusal(endpoint.secret):
                    endpoint.refused[why] = request
                else:
                    endpoint.taken.append(request)
                self.send_response(403 if why else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def send_through(service: Path, folder: Path, endpoint: Endpoint) -> None:
    """Send a record through the service's own collector, and wait for an answer to it."""
    folder.mkdir()
    http, grpc, health, telemetry = free_ports(4)
    environment = {
        "OTLP_HTTP_ADDRESS": f"127.0.0.1:{http}",
        "OTLP_GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "HEALTH_ADDRESS": f"127.0.0.1:{health}",
        "TELEMETRY_HOST": "127.0.0.1",
        "TELEMETRY_PORT": str(telemetry),
        "QUEUE_DIRECTORY": str(folder / "queue"),
        "CLOUDWATCH_URL": endpoint.url,
        "AWS_REGION": REGION,
        **CREDENTIALS,
    }
    command: list[str | Path] = [
        Collector().path,
        *(f"--config={file}" for file in production(service)),
    ]
    program = Program("collector", command, f"http://127.0.0.1:{health}", folder, environment)
    record = {"body": {"stringValue": MESSAGE}, "timeUnixNano": str(time.time_ns())}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    program.start()
    try:
        sent = httpx.post(f"http://127.0.0.1:{http}/v1/logs", json=body, trust_env=False)
        sent.raise_for_status()
        until = time.monotonic() + 30
        while not (endpoint.taken or endpoint.refused) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        program.stop()


@pytest.mark.engine("collector")
def test_records_arrive_signed_with_their_group_and_stream(
    services: Services, tmp_path: Path
) -> None:
    with Endpoint(SECRET).listening() as endpoint:
        send_through(services({"logs": "cloudwatch"}), tmp_path / "collector", endpoint)
    assert not endpoint.refused
    [request] = endpoint.taken
    assert request.path == "/v1/logs"
    assert request.headers["x-aws-log-group"] == "/example/signups"
    assert request.headers["x-aws-log-stream"] == "collector"
    assert MESSAGE.encode() in request.content


@pytest.mark.engine("collector")
def test_a_record_signed_with_another_secret_is_refused(services: Services, tmp_path: Path) -> None:
    with Endpoint("another secret").listening() as endpoint:
        send_through(services({"logs": "cloudwatch"}), tmp_path / "collector", endpoint)
    assert set(endpoint.refused) == {"wrong signature"}
    assert not endpoint.taken


def test_the_check_of_signatures_agrees_with_amazon_s_own_example() -> None:
    """The vector `post-vanilla` of the test suite that AWS publishes for Signature Version 4."""
    request = Request("/", {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}, b"")
    signed = signature(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        request,
        ["host", "x-amz-date"],
        "20150830/us-east-1/service/aws4_request",
        "20150830T123600Z",
    )
    assert signed == "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
