"""What strange bytes on the wire come to: an answer or a closed connection, never a 500."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from app import telemetry
from app.api import Service, create_app
from app.server import Protocol
from app.server import Server as Service_
from support import Process, free_port

BODY = b'{"email":"ada@example.com"}'
POST = b"POST /signups HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\n"


def exchange(server: Process, request: bytes, seconds: float = 5) -> tuple[int, dict[str, object]]:
    """Send bytes as they are; the status and the JSON of the first answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    return answer.status, json.loads(body) if body.startswith(b"{") else {}


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def test_a_chunked_body_is_read(server: Process) -> None:
    assert exchange(server, chunked(BODY[:5], BODY[5:]))[0] == 201


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 65537\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n",
        chunked(*[b" " * 1024] * 65),
    ],
)
def test_a_body_over_the_limit_is_413_however_it_comes(server: Process, request_: bytes) -> None:
    status, body = exchange(server, request_)

    assert (status, body) == (413, {"error": "content too large"})


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /signups/%00 HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET /signups/%ff%fe HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET /signups/%2e%2e%2fetc HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET /?%ff&a=%zz HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET //livez HTTP/1.1\r\nHost: demo/livez?\r\n\r\n",
        b"GET http://other/nothing HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo:port\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\nUser-Agent: \xff\\x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\nTraceparent: 00-x\r\nTraceparent: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_strange_but_lawful_requests_are_404(server: Process, request_: bytes) -> None:
    assert exchange(server, request_) == (404, {"error": "not found"})


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\nHost: other\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: demo\r\n" + b"A: b\r\n" * 5000,
        b"GET /" + b"a" * 20_000,
        POST + b"Content-Length: 5\r\nContent-Length: 27\r\n\r\n" + BODY,
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 27\r\nTransfer-Encoding: identity\r\n\r\n" + BODY,
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"ema\r\nzz\r\n',
    ],
)
def test_requests_that_break_http_are_refused(server: Process, request_: bytes) -> None:
    assert exchange(server, request_)[0] == 400


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(server: Process) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")

    assert exchange(server, chunked(BODY))[0] == 201


def test_the_second_request_of_a_connection_has_a_trace_of_its_own(server: Process) -> None:
    one = b"GET /nothing HTTP/1.1\r\nHost: demo\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(one + one)
        answers = b""
        while answers.count(b"not found") < 2:
            answers += connection.recv(65536)

    traces = {line.split(b"-")[1] for line in answers.splitlines() if b"traceresponse" in line}
    assert len(traces) == 2


def test_none_of_it_is_an_error_of_the_service(server: Process) -> None:
    assert [line for line in server.lines if line["severity"] == "error"] == []
    assert server.stderr == ""


@asynccontextmanager
async def in_process(service: Service) -> AsyncIterator[int]:
    """The server inside this process, so that its limits can be shortened."""
    port = free_port()
    config = uvicorn.Config(
        telemetry.instrument(create_app(service)), port=port, http=Protocol, log_config=None
    )
    server = Service_(config, service)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await task


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: demo\r\n"])
async def test_a_client_that_does_not_finish_its_request_is_left(
    service: Service, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("app.server.REQUEST_HEAD_SECONDS", 0.1)
    async with in_process(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)

        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_client_that_does_not_finish_its_body_is_told_408(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.limits.BODY_SECONDS", 0.1)
    async with in_process(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 27\r\n\r\n{")

        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"request timeout"}' in answer


async def test_a_request_that_takes_long_is_not_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.REQUEST_HEAD_SECONDS", 0.05)

    async def slow(_: object) -> None:
        await asyncio.sleep(0.2)

    monkeypatch.setattr(service.store, "add", slow)
    async with in_process(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Connection: close\r\nContent-Length: 27\r\n\r\n" + BODY)

        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 201 ")
        writer.close()
