"""What the service makes of a database that is gone, comes back, or is not migrated."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from app.migrate import migrate
from app.settings import ConfigurationError, read_secret
from app.signups import Signup, StoreUnreachableError
from app.store_postgres import PostgresStore, from_environment
from support import ADA, free_port, running, wait_for

SECRET = "canary-5d1c"  # noqa: S105
needs_database = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL"), reason="DATABASE_URL is not set: no database to test with"
)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(SECRET + "\n")
    return path


def nowhere() -> str:
    return f"postgresql://canary-user@127.0.0.1:{free_port()}/canary-name"


@contextmanager
def connection() -> Iterator[psycopg.Connection]:
    password = read_secret(Path(os.environ["DATABASE_PASSWORD_FILE"]))
    with psycopg.connect(
        os.environ["DATABASE_URL"], password=password, autocommit=True
    ) as connection:
        yield connection


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://canary@host/name"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://user:canary@host/name"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://user@host/name"}, "DATABASE_PASSWORD_FILE"),
    ],
)
def test_what_is_missing_or_malformed_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^configuration: {name}: ") as caught:
        from_environment(environment)

    assert "canary" not in str(caught.value)


def test_without_its_database_the_service_lives_and_is_not_ready(
    tmp_path: Path, password_file: Path
) -> None:
    environment = {
        "DATABASE_URL": nowhere(),
        "DATABASE_PASSWORD_FILE": str(password_file),
        "CACHE_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    with running(tmp_path, environment, "-m", "app") as service:
        assert service.client.get("/livez").status_code == 200
        assert service.client.get("/startupz").status_code == 200
        assert service.client.get("/readyz").status_code == 503
        answer = service.client.post("/signups", json=ADA)
        assert service.client.get("/readyz").status_code == 503

        assert (answer.status_code, answer.json()) == (503, {"error": "the store is unreachable"})
        (line,) = service.messages("the store is unreachable")
        assert line["severity"] == "warn"
        assert {one["message"] for one in service.lines} <= {
            "listening", "the store is unreachable", "the cache is unreachable", "request",
        }  # fmt: skip
        assert "canary" not in service.stdout + service.stderr
        assert service.terminate() == 0


async def test_a_database_that_does_not_answer_does_not_hold_up_requests_for_long(
    password_file: Path,
) -> None:
    store = PostgresStore(nowhere(), password_file)
    await store.open()
    started = time.monotonic()
    with pytest.raises(StoreUnreachableError):
        await store.check()
    checked = time.monotonic()
    with pytest.raises(StoreUnreachableError):
        await store.get(uuid4())
    read = time.monotonic()
    await store.close()

    assert checked - started < 4  # 1 s on an idle machine, and the pool tries for 10 s
    assert read - checked < 6  # 2 s


async def test_an_empty_password_file_is_no_reason_to_fail(
    password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PostgresStore(nowhere(), password_file)
    password_file.write_text("")
    await store.open()
    with pytest.raises(StoreUnreachableError):
        await store.check()
    await store.close()

    assert [record.message for record in caplog.records] == ["the store is unreachable"]


@needs_database
async def test_a_database_that_comes_back_is_used_again(
    caplog: pytest.LogCaptureFixture, password_file: Path
) -> None:
    assert migrate(os.environ) == 0
    store = PostgresStore(os.environ["DATABASE_URL"], password_file)
    await store.open()
    with pytest.raises(StoreUnreachableError):
        await store.check()
    caplog.clear()

    password_file.write_text(read_secret(Path(os.environ["DATABASE_PASSWORD_FILE"])))
    deadline = time.monotonic() + 15
    while True:
        try:
            await store.check()
            break
        except StoreUnreachableError:
            assert time.monotonic() < deadline
    await store.close()

    assert [record.message for record in caplog.records] == ["the store is reachable again"]


@needs_database
async def test_connections_that_were_cut_are_replaced_without_an_error() -> None:
    assert migrate(os.environ) == 0
    store = from_environment(os.environ)
    await store.open()
    ada = Signup(id=uuid4(), email="ada@example.com", plan="free")
    await store.add(ada)
    with connection() as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'app' AND usename = current_user"
        )

    assert await store.get(ada.id) == ada
    await store.close()


@needs_database
async def test_a_password_is_read_for_each_new_connection(password_file: Path) -> None:
    assert migrate(os.environ) == 0
    old = read_secret(Path(os.environ["DATABASE_PASSWORD_FILE"]))
    password_file.write_text(old)
    store = PostgresStore(os.environ["DATABASE_URL"], password_file)
    await store.open()
    await store.check()
    try:
        with connection() as other:
            other.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{SECRET}'")
            password_file.write_text(SECRET)
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'app' AND usename = current_user"
            )
        assert await store.get(uuid4()) is None
    finally:
        with psycopg.connect(os.environ["DATABASE_URL"], password=SECRET, autocommit=True) as other:
            other.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{old}'")
        await store.close()


@needs_database
async def test_a_database_that_is_not_migrated_is_not_ready() -> None:
    assert migrate(os.environ) == 0
    store = from_environment(os.environ)
    await store.open()
    with connection() as other:
        other.execute("ALTER TABLE signups RENAME TO elsewhere")
    try:
        with pytest.raises(StoreUnreachableError):
            await store.check()
    finally:
        with connection() as other:
            other.execute("ALTER TABLE elsewhere RENAME TO signups")
    await store.check()
    await store.close()


@needs_database
def test_the_service_works_with_its_database(tmp_path: Path) -> None:
    assert migrate(os.environ) == 0
    environment = {"CACHE_URL": os.environ.get("CACHE_URL") or f"redis://127.0.0.1:{free_port()}/0"}
    with running(tmp_path, environment, "-m", "app") as service:
        wait_for(lambda: service.client.get("/readyz").status_code == 200)
        created = service.client.post("/signups", json=ADA).json()
        path = f"/signups/{created['id']}"
        converted = {**ADA, "id": created["id"], "converted": True}

        assert service.client.get(path).json()["converted"] is False
        assert service.client.post(f"{path}/conversion").json() == converted
        assert service.client.get(path).json() == converted
        assert service.terminate() == 0
        assert not [line for line in service.lines if line["severity"] in ("error", "warn")]
