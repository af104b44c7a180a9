import time

import pytest

from app.signups import NewSignup
from app.upstream import Upstream
from conftest import Signals
from support import ADA, Server, free_port


async def test_a_signup_is_sent_on_under_the_same_trace(signals: Signals) -> None:
    with Server(lambda _path, _body: (201, b"{}")) as server:
        upstream = Upstream(f"{server.url}/base")
        await upstream.tell(NewSignup(email="ada@example.com"))
        await upstream.close()

    (path, headers, body) = server.requests[0]
    (span,) = signals.spans
    assert path == "/base/signups"
    assert NewSignup.model_validate_json(body) == NewSignup.model_validate(ADA)
    assert headers["traceparent"].split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]
    assert "baggage" not in headers


async def test_a_call_is_measured_without_its_url(signals: Signals) -> None:
    with Server(lambda _path, _body: (201, b"{}")) as server:
        upstream = Upstream(server.url)
        await upstream.tell(NewSignup(email="ada@example.com"))
        await upstream.close()

    (span,) = signals.spans
    (duration,) = [m for m in signals.metrics() if m.name == "http.client.request.duration"]
    assert span.name == "POST"
    for attributes in (span.attributes or {}, *(p.attributes for p in duration.data.data_points)):
        assert {"http.request.method", "http.response.status_code"} <= set(attributes)
        assert not any("url.full" in name or "path" in name for name in attributes)


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_a_refusal_is_logged_and_goes_no_further(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(lambda _path, _body: (status, b"canary")) as server:
        upstream = Upstream(server.url)
        await upstream.tell(NewSignup(email="ada@example.com"))
        await upstream.close()

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert vars(record)["error.type"] == str(status)


async def test_an_upstream_that_is_gone_is_logged_and_recorded(
    signals: Signals, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream(f"http://127.0.0.1:{free_port()}")
    await upstream.tell(NewSignup(email="ada@example.com"))
    await upstream.close()

    (span,) = signals.spans
    assert not span.status.is_ok
    assert (span.attributes or {})["error.type"] == "ConnectError"
    assert [vars(record)["error.type"] for record in caplog.records] == ["ConnectError"]


async def test_an_upstream_that_is_slow_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.upstream.TIMEOUT_SECONDS", 0.1)

    def slow(_path: str, _body: bytes) -> tuple[int, bytes]:
        time.sleep(3)
        return 201, b"{}"

    with Server(slow) as server:
        upstream = Upstream(server.url)
        started = time.monotonic()
        await upstream.tell(NewSignup(email="ada@example.com"))
        took = time.monotonic() - started
        await upstream.close()

    assert took < 2.5  # a tenth of a second on an idle machine
    assert "Timeout" in vars(caplog.records[0])["error.type"]
