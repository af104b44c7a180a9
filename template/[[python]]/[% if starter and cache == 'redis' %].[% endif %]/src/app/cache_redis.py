"""A read-through cache in Redis before the store. A broken cache costs time, never an answer."""

import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from app import telemetry
from app.settings import Environment, read_secret, secret_file, url
from app.signups import Signup, Store

_logger = logging.getLogger(__name__)

TTL_SECONDS = 60  # how long a stale answer may live when an update could not reach Redis
TIMEOUT_SECONDS = 0.2
PAUSE_SECONDS = 5  # after a failure reads go straight to the store for so long
_BROKEN = (RedisError, OSError, TimeoutError, ValueError)


def from_environment(env: Environment, store: Store) -> "CachedStore":
    """The cache that CACHE_URL and CACHE_PASSWORD_FILE describe, before a store."""
    cache_url = url(env, "CACHE_URL", ("redis", "rediss"))
    name = "CACHE_PASSWORD_FILE"
    return CachedStore(store, cache_url, secret_file(env, name) if env.get(name) else None)


class _PasswordFile(CredentialProvider):
    """Reads the password for each new connection, so that it can be rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_credentials(self) -> tuple[str]:
        return (read_secret(self._path),)


class CachedStore:
    """Answers reads from Redis where it can, else from the store."""

    def __init__(self, store: Store, cache_url: str, password_file: Path | None = None) -> None:
        self._store = store
        self._host = urlsplit(cache_url).hostname or ""
        self._redis = Redis.from_url(
            cache_url,
            credential_provider=_PasswordFile(password_file) if password_file else None,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=50,
        )
        self._paused_until = 0.0
        self._warned_at = float("-inf")

    async def open(self) -> None:
        """Open the store; Redis is asked when it is needed."""
        await self._store.open()

    async def close(self) -> None:
        """Close both."""
        await self._redis.aclose()
        await self._store.close()

    async def check(self) -> None:
        """Ask the store alone: the service can do without the cache."""
        await self._store.check()

    async def add(self, signup: Signup) -> None:
        """Keep a new sign-up; it is cached when it is first read."""
        await self._store.add(signup)

    async def get(self, signup_id: UUID) -> Signup | None:
        """Read through the cache."""
        if (cached := await self._cached(signup_id)) is not None:
            return cached
        signup = await self._store.get(signup_id)
        if signup is not None and not self._paused():
            # Only if absent: a slow reader must not put back what a conversion has replaced.
            await self._keep(signup, only_if_absent=True)
        return signup

    async def convert(self, signup_id: UUID) -> tuple[Signup, bool] | None:
        """Convert in the store, then replace what is cached, even while reads are paused."""
        result = await self._store.convert(signup_id)
        if result is not None:
            await self._keep(result[0], only_if_absent=False)
        return result

    async def _cached(self, signup_id: UUID) -> Signup | None:
        if self._paused():
            return None
        try:
            with self._span("GET"):
                value = await self._redis.get(_key(signup_id))
            return Signup.model_validate_json(value) if value is not None else None
        except ValidationError:  # written by another version of the service
            return None
        except _BROKEN as error:
            self._broken(error)
            return None

    async def _keep(self, signup: Signup, *, only_if_absent: bool) -> None:
        try:
            with self._span("SET"):
                await self._redis.set(
                    _key(signup.id), signup.model_dump_json(), ex=TTL_SECONDS, nx=only_if_absent
                )
        except _BROKEN as error:
            self._broken(error)

    def _span(self, operation: str) -> AbstractContextManager[None]:
        attributes = {
            "db.system.name": "redis",
            "db.operation.name": operation,
            "server.address": self._host,
        }
        return telemetry.span(operation, attributes)

    def _paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _broken(self, error: Exception) -> None:
        now = time.monotonic()
        self._paused_until = now + PAUSE_SECONDS
        if now - self._warned_at >= 60:
            self._warned_at = now
            kind = type(error).__name__
            _logger.warning("the cache is unreachable", extra={"error.type": kind})


def _key(signup_id: UUID) -> str:
    return f"signup:{signup_id}"
