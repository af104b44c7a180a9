from uuid import uuid4

import httpx
import pytest

from app.api import Service
from app.signups import Signup, StoreUnreachableError
from app.store_memory import MemoryStore
from conftest import Signals
from support import ADA


class BrokenStore(MemoryStore):
    """A store that fails in one way."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    async def check(self) -> None:
        if self.error:
            raise self.error

    async def add(self, signup: Signup) -> None:
        if self.error:
            raise self.error


async def test_a_new_signup_is_answered_with_its_place(client: httpx.AsyncClient) -> None:
    answer = await client.post("/signups", json={"email": "ada@example.com"})

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/signups/{body['id']}"
    assert body == {
        "id": body["id"],
        "email": "ada@example.com",
        "plan": "free",
        "converted": False,
        "welcome": False,
    }


async def test_a_signup_can_be_read_again(client: httpx.AsyncClient) -> None:
    created = (await client.post("/signups", json=ADA)).json()

    answer = await client.get(f"/signups/{created['id']}")

    assert answer.status_code == 200
    assert answer.json() == {**ADA, "id": created["id"], "converted": False}


async def test_a_conversion_is_counted_once(client: httpx.AsyncClient, signals: Signals) -> None:
    created = (await client.post("/signups", json=ADA)).json()
    before = signals.value("app.conversions")

    answers = [await client.post(f"/signups/{created['id']}/conversion") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].json() == {**ADA, "id": created["id"], "converted": True}
    assert signals.value("app.conversions") == before + 1


async def test_only_accepted_signups_are_counted(
    client: httpx.AsyncClient, signals: Signals
) -> None:
    before = signals.value("app.signups")

    await client.post("/signups", json=ADA)
    await client.post("/signups", json={"email": "nobody"})

    assert signals.value("app.signups") == before + 1


async def test_who_signs_up_or_is_read_is_active(
    client: httpx.AsyncClient, service: Service
) -> None:
    created = (await client.post("/signups", json=ADA)).json()
    await client.get(f"/signups/{created['id']}")
    await client.get(f"/signups/{uuid4()}")

    assert service.active_users.count() == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/signups/{uuid4()}"),
        ("POST", f"/signups/{uuid4()}/conversion"),
        ("GET", "/signups/7"),
        ("GET", f"/signups/{uuid4().hex}"),
        ("GET", f"/signups/{str(uuid4()).upper()}"),
        ("GET", "/signups/"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    ],
)
async def test_what_does_not_exist_is_404(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == 404
    assert answer.json() == {"error": "not found"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/signups", "POST"),
        ("DELETE", f"/signups/{uuid4()}", "GET"),
        ("GET", f"/signups/{uuid4()}/conversion", "POST"),
        ("POST", "/livez", "GET"),
    ],
)
async def test_a_wrong_method_is_405_with_the_right_one(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json() == {"error": "method not allowed"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{}", "invalid email"),
        ("[]", "invalid body"),
        ("null", "invalid body"),
        ('"text"', "invalid body"),
        ("", "invalid body"),
        ('{"email": null}', "invalid email"),
        ('{"email": "nobody"}', "invalid email"),
        ('{"email": "a b@example.com"}', "invalid email"),
        ('{"email": "a\\u0000@example.com"}', "invalid email"),
        ('{"email": "a@example.com\\n"}', "invalid email"),
        ('{"email": "a@exam\\u2028ple.com"}', "invalid email"),
        ('{"email": "\\ud800@example.com"}', "invalid email"),
        ('{"email": "%s@example.com"}' % ("a" * 300), "invalid email"),
        ('{"email": NaN}', "invalid email"),
        ('{"email": "a@example.com", "plan": "gold"}', "invalid plan"),
        ('{"email": 1, "plan": 2}', "invalid email and plan"),
        ('{"email": "a@example.com", "canary": 1}', "invalid body"),
    ],
)
async def test_an_invalid_body_is_422_and_not_quoted(
    client: httpx.AsyncClient, body: str, error: str
) -> None:
    answer = await client.post(
        "/signups", content=body, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()) == (422, {"error": error})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"email": }',
        b"\xff\xfe\xfd",
        b'{"email": "\xff@example.com"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"9" * 60_000,
        b"-",
        b"\x00",
    ],
)
async def test_a_malformed_body_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(
        "/signups", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "\xff"],
)
async def test_a_body_that_is_not_json_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    headers = {b"content-type": content_type.encode("latin-1")}

    answer = await client.post("/signups", content=b'{"email":"a@b.c"}', headers=headers)

    assert answer.status_code == 415
    assert answer.json() == {"error": "unsupported media type"}


async def test_a_charset_does_not_matter(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}

    answer = await client.post("/signups", content=b'{"email":"a@b.co"}', headers=headers)

    assert answer.status_code == 201


async def test_a_body_of_the_largest_size_is_read(client: httpx.AsyncClient) -> None:
    body = b'{"email":"a@b.co"}'.ljust(64 * 1024)

    answer = await client.post(
        "/signups", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 201


async def test_health_is_answered(client: httpx.AsyncClient) -> None:
    for path in ("/livez", "/readyz", "/startupz"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_draining_service_is_alive_but_not_ready(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.draining = True

    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200
    answer = await client.post("/signups", json=ADA)
    assert answer.status_code == 201
    assert answer.headers["connection"] == "close"


async def test_an_unreachable_store_is_503_and_not_ready(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.store = BrokenStore(StoreUnreachableError("canary"))

    answer = await client.post("/signups", json=ADA)

    assert (answer.status_code, answer.json()) == (503, {"error": "the store is unreachable"})
    assert answer.headers["retry-after"] == "5"
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_readiness_comes_back_with_the_store(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.READINESS_SECONDS", 0)
    broken = service.store = BrokenStore(StoreUnreachableError())
    assert (await client.get("/readyz")).status_code == 503

    broken.error = None

    assert (await client.get("/readyz")).status_code == 200


async def test_an_unexpected_error_is_500_without_a_word(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.store = BrokenStore(RuntimeError("canary"))

    answer = await client.post("/signups", json=ADA)

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert "traceresponse" in answer.headers
