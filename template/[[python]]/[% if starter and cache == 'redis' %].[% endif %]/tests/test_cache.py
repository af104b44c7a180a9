"""The cache makes reads cheaper, and never an answer wrong for long or impossible."""

import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from app.cache_redis import TTL_SECONDS, CachedStore, from_environment
from app.settings import ConfigurationError
from app.signups import Signup
from app.store_memory import MemoryStore
from conftest import Signals
from support import free_port

needs_cache = pytest.mark.skipif(
    not os.environ.get("CACHE_URL"), reason="CACHE_URL is not set: no cache to test with"
)


class CountingStore(MemoryStore):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def get(self, signup_id: UUID) -> Signup | None:
        self.reads += 1
        return await super().get(signup_id)


@pytest.fixture
def ada() -> Signup:
    return Signup(id=uuid4(), email="ada@example.com", plan="free")


@pytest.fixture
async def store(ada: Signup) -> CountingStore:
    store = CountingStore()
    await store.add(ada)
    return store


@pytest.fixture
async def cached(store: CountingStore) -> AsyncIterator[CachedStore]:
    cached = from_environment(os.environ, store)
    await cached.open()
    yield cached
    await cached.close()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with Redis.from_url(os.environ["CACHE_URL"]) as redis:
        yield redis


@needs_cache
async def test_a_second_read_does_not_reach_the_store(
    cached: CachedStore, store: CountingStore, ada: Signup
) -> None:
    assert [await cached.get(ada.id) for _ in range(3)] == [ada, ada, ada]

    assert store.reads == 1


@needs_cache
async def test_what_is_cached_is_forgotten_after_a_while(
    cached: CachedStore, redis: Redis, ada: Signup
) -> None:
    await cached.get(ada.id)

    assert 0 < await redis.ttl(f"signup:{ada.id}") <= TTL_SECONDS


@needs_cache
async def test_a_conversion_replaces_what_is_cached(cached: CachedStore, ada: Signup) -> None:
    await cached.get(ada.id)
    await cached.convert(ada.id)

    read = await cached.get(ada.id)
    assert read is not None
    assert read.converted


@needs_cache
async def test_a_slow_reader_does_not_put_back_what_a_conversion_replaced(
    cached: CachedStore, store: CountingStore, ada: Signup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_then_somebody_converts(signup_id: UUID) -> Signup | None:
        old = await MemoryStore.get(store, signup_id)
        await cached.convert(signup_id)
        return old

    monkeypatch.setattr(store, "get", read_then_somebody_converts)
    await cached.get(ada.id)

    read = await cached.get(ada.id)
    assert read is not None
    assert read.converted


@needs_cache
async def test_what_another_version_has_written_is_not_believed(
    cached: CachedStore, redis: Redis, ada: Signup
) -> None:
    await redis.set(f"signup:{ada.id}", '{"surprise": true}', ex=60)

    assert await cached.get(ada.id) == ada


@needs_cache
async def test_the_calls_are_traced_without_keys(
    cached: CachedStore, ada: Signup, signals: Signals
) -> None:
    await cached.get(ada.id)

    assert [span.name for span in signals.spans] == ["GET", "SET"]
    assert str(ada.id) not in "".join(span.to_json() for span in signals.spans)


async def test_a_cache_that_is_gone_is_one_warning_and_no_error(
    store: CountingStore, ada: Signup, signals: Signals, caplog: pytest.LogCaptureFixture
) -> None:
    cached = CachedStore(store, f"redis://127.0.0.1:{free_port()}/0")

    assert [await cached.get(ada.id) for _ in range(5)] == [ada] * 5
    assert (await cached.convert(ada.id) or (None, None))[1] is True
    await cached.check()
    await cached.close()

    assert [record.message for record in caplog.records] == ["the cache is unreachable"]
    assert not any(span.status.is_ok for span in signals.spans)
    assert "127.0.0.1" not in caplog.text


async def test_a_cache_that_hangs_costs_little(store: CountingStore, ada: Signup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cached = CachedStore(store, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        assert [await cached.get(ada.id) for _ in range(20)] == [ada] * 20
        took = time.monotonic() - started
        await cached.close()

    assert took < 2.5  # a fifth of a second on an idle machine, and not twenty times that


def test_what_is_missing_or_malformed_is_named(tmp_path: Path) -> None:
    for environment, name in (
        ({}, "CACHE_URL"),
        ({"CACHE_URL": "http://host"}, "CACHE_URL"),
        ({"CACHE_URL": "redis://:canary@host/0"}, "CACHE_URL"),
        (
            {"CACHE_URL": "redis://host/0", "CACHE_PASSWORD_FILE": str(tmp_path / "none")},
            "CACHE_PASSWORD_FILE",
        ),
    ):
        with pytest.raises(ConfigurationError, match=f"^configuration: {name}: ") as caught:
            from_environment(environment, MemoryStore())
        assert "canary" not in str(caught.value)
