"""Which store this service uses: the one it has a file for."""

from importlib import import_module
from importlib.util import find_spec

from app.settings import Environment
from app.signups import Store
from app.store_memory import MemoryStore


def choose_store(env: Environment) -> Store:
    """PostgreSQL where `store_postgres.py` is, else memory; behind Redis where `cache_redis.py` is.

    Raises `ConfigurationError` when what the store needs is missing or malformed.
    """
    store: Store = MemoryStore()
    if find_spec("app.store_postgres"):
        store = import_module("app.store_postgres").from_environment(env)
    if find_spec("app.cache_redis"):
        store = import_module("app.cache_redis").from_environment(env, store)
    return store
