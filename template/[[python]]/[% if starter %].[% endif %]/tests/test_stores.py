"""What every store promises, asked of each store that this service can use."""

import asyncio
import os
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from uuid import uuid4

import pytest

from app.signups import ActiveUsers, Signup, Store
from app.store_memory import MemoryStore
from app.stores import choose_store

REAL_STORES = {"app.store_postgres": "DATABASE_URL", "app.cache_redis": "CACHE_URL"}


@pytest.fixture(params=["memory", "the service's own"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store: Store = MemoryStore()
    if request.param != "memory":
        for module, variable in REAL_STORES.items():
            if find_spec(module) and not os.environ.get(variable):
                pytest.skip(f"{variable} is not set: no real store to test with")
        if find_spec("app.migrate"):
            assert import_module("app.migrate").migrate(os.environ) == 0
        store = choose_store(os.environ)
    await store.open()
    yield store
    await store.close()


def signup(email: str = "ada@example.com") -> Signup:
    return Signup(id=uuid4(), email=email, plan="free")


async def test_a_signup_is_kept(store: Store) -> None:
    ada = signup()

    await store.add(ada)

    assert await store.get(ada.id) == ada
    assert await store.get(ada.id) == ada
    assert await store.get(uuid4()) is None


async def test_a_conversion_is_kept_and_the_first_is_told_from_the_second(store: Store) -> None:
    ada = signup()
    await store.add(ada)
    assert await store.get(ada.id) == ada
    converted = ada.model_copy(update={"converted": True})

    assert await store.convert(ada.id) == (converted, True)
    assert await store.convert(ada.id) == (converted, False)
    assert await store.get(ada.id) == converted
    assert await store.convert(uuid4()) is None


async def test_of_many_conversions_at_once_one_is_the_first(store: Store) -> None:
    ada = signup()
    await store.add(ada)

    results = await asyncio.gather(*(store.convert(ada.id) for _ in range(10)))

    assert [result[1] for result in results if result].count(True) == 1


async def test_text_comes_back_as_it_was(store: Store) -> None:
    odd = signup("o'brien\"; DROP TABLE signups --%s\u00e9\U0001f600@example.com".replace(" ", "_"))

    await store.add(odd)

    assert await store.get(odd.id) == odd


async def test_the_store_can_be_used(store: Store) -> None:
    await store.check()


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "LIMIT", 2)
    store = MemoryStore()
    oldest, *newer = [signup() for _ in range(3)]

    for one in (oldest, *newer):
        await store.add(one)

    assert await store.get(oldest.id) is None
    assert [await store.get(one.id) for one in newer] == newer


def test_active_users_are_those_of_the_last_quarter_of_an_hour() -> None:
    now = 0.0
    active = ActiveUsers(lambda: now)
    ada, bob = uuid4(), uuid4()

    active.saw(ada)
    now = 800.0
    active.saw(bob)
    assert active.count() == 2
    now = 901.0
    assert active.count() == 1
    active.saw(ada)
    active.saw(ada)
    assert active.count() == 2


def test_active_users_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActiveUsers, "LIMIT", 2)
    active = ActiveUsers()

    for _ in range(5):
        active.saw(uuid4())

    assert active.count() == 2
