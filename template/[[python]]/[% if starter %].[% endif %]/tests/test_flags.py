import json
import time
from collections.abc import Callable

import pytest

from app.flags import Flags
from support import Server, free_port


def flag_server(values: dict[str, object]) -> Callable[[str, bytes], tuple[int, bytes]]:
    def answer(path: str, _body: bytes) -> tuple[int, bytes]:
        key = path.rpartition("/")[2]
        if key not in values:
            return 404, json.dumps({"key": key, "errorCode": "FLAG_NOT_FOUND"}).encode()
        value = {"key": key, "value": values[key], "reason": "STATIC", "variant": "x"}
        return 200, json.dumps(value).encode()

    return answer


async def test_without_a_server_the_defaults_hold() -> None:
    flags = Flags(None)

    assert await flags.enabled("signups-open", default=True)
    assert not await flags.enabled("welcome", default=False)


async def test_a_server_decides() -> None:
    with Server(flag_server({"signups-open": False, "welcome": True})) as server:
        flags = Flags(server.url)

        assert not await flags.enabled("signups-open", default=True)
        assert await flags.enabled("welcome", default=False, targeting_key="an-id")

    assert json.loads(server.requests[1][2])["context"]["targetingKey"] == "an-id"


async def test_a_flag_that_the_server_does_not_know_has_its_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Server(flag_server({"welcome": True})) as server:
        flags = Flags(server.url)

        assert await flags.enabled("signups-open", default=True)
        assert await flags.enabled("welcome", default=False)

    assert [vars(record)["error.type"] for record in caplog.records] == ["FLAG_NOT_FOUND"]


async def test_when_the_server_is_gone_the_defaults_hold_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flags = Flags(f"http://127.0.0.1:{free_port()}")

    answers = [await flags.enabled("signups-open", default=True) for _ in range(20)]

    assert all(answers)
    assert [record.message for record in caplog.records] == [
        "a flag cannot be evaluated: its default holds"
    ]


async def test_a_slow_server_costs_half_a_second_once() -> None:
    def slow(_path: str, _body: bytes) -> tuple[int, bytes]:
        time.sleep(3)
        return 200, b"{}"

    with Server(slow) as server:
        flags = Flags(server.url)
        started = time.monotonic()
        answers = [await flags.enabled("signups-open", default=True) for _ in range(20)]
        took = time.monotonic() - started

    assert all(answers)
    assert took < 2.5  # half a second on an idle machine
