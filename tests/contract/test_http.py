"""What every route answers, good and bad, in every stack."""

import re

import pytest

from tests.contract.recording import Recording

EXPECTED = {
    "/livez": 200,
    "/readyz": 200,
    "/startupz": 200,
    "sign-up": 201,
    "read": 200,
    "convert": 200,
    "convert again": 200,
    "traced": 200,
    "unknown sign-up": 404,
    "malformed id": 404,
    "unknown conversion": 404,
    "unknown route": 404,
    "wrong method": 405,
    "malformed body": 400,
    "not an object": 422,
    "invalid mail": 422,
    "unknown field": 422,
    "unknown plan": 422,
    "not JSON": 415,
    "too large": 413,
    "too large, in chunks": 413,
}
# A stack may call these malformed or invalid.
REFUSED = {"nested", "binary", "not a number"}


def test_every_request_gets_the_status_that_the_contract_names(recording: Recording) -> None:
    statuses = {one.name: one.status for one in recording.exchanges if one.name in EXPECTED}
    assert statuses == EXPECTED


def test_bodies_that_no_parser_likes_are_refused_not_failed(recording: Recording) -> None:
    statuses = {one.name: one.status for one in recording.exchanges if one.name in REFUSED}
    assert set(statuses) == REFUSED
    assert set(statuses.values()) <= {400, 422}, statuses


def test_an_error_is_a_small_json_object_that_quotes_nothing(recording: Recording) -> None:
    errors = [one for one in recording.exchanges if one.status >= 400]
    assert len(errors) > 10
    for one in errors:
        assert one.headers["content-type"].startswith("application/json"), one.name
        assert list(one.body) == ["error"], one.name
        assert len(one.text) < 200, one.name
        assert "Traceback" not in one.text, one.name


def test_a_sign_up_is_created_read_and_converted(recording: Recording) -> None:
    created, read, converted = (recording.one(name) for name in ("sign-up", "read", "convert"))
    identifier = created.body["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier)
    assert created.headers["location"] == f"/signups/{identifier}"
    expected = {"id": identifier, "email": "ada@example.com", "plan": "free", "converted": False}
    assert created.body == expected | {"welcome": False}
    assert read.body == expected
    assert converted.body == expected | {"converted": True}
    assert recording.one("convert again").body == converted.body


def test_a_wrong_method_says_which_are_right(recording: Recording) -> None:
    assert "POST" in recording.one("wrong method").headers["allow"]


def test_every_answer_names_its_trace_and_health_does_not(recording: Recording) -> None:
    for one in recording.exchanges:
        if one.name in {"/livez", "/readyz", "/startupz"}:
            assert "traceresponse" not in one.headers, one.name
        else:
            assert re.fullmatch(
                r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", one.headers.get("traceresponse", "")
            ), f"{one.name} has no traceresponse"


def test_a_trace_that_comes_in_is_continued(recording: Recording) -> None:
    assert recording.one("traced").trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("header", ["server", "x-powered-by"])
def test_no_answer_says_what_serves_it(recording: Recording, header: str) -> None:
    assert not [one.name for one in recording.exchanges if header in one.headers]
