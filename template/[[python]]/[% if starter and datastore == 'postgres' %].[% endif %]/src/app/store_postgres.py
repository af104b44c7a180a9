"""Sign-ups in PostgreSQL."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from app import telemetry
from app.settings import EmptySecretError, Environment, read_secret, secret_file, url
from app.signups import Signup, StoreUnreachableError

_logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2
STATEMENT_SECONDS = 5
_UNREACHABLE = (
    OSError,
    TimeoutError,
    EmptySecretError,
    PoolClosed,
    PoolTimeout,
    TooManyRequests,
    psycopg.OperationalError,
    psycopg.errors.UndefinedTable,  # not migrated yet
)


def from_environment(env: Environment) -> "PostgresStore":
    """The store that DATABASE_URL and DATABASE_PASSWORD_FILE describe."""
    return PostgresStore(*connection_settings(env))


def connection_settings(env: Environment) -> tuple[str, Path]:
    """The URL and the file that holds the password."""
    database_url = url(env, "DATABASE_URL", ("postgresql",))
    return database_url, secret_file(env, "DATABASE_PASSWORD_FILE")


class PostgresStore:
    """Keeps sign-ups in the table that `migrations/` describes."""

    def __init__(self, database_url: str, password_file: Path) -> None:
        async def connect_arguments() -> dict[str, Any]:
            # Read for each new connection, so that a password can be rotated without a restart.
            return {
                "password": await asyncio.to_thread(read_secret, password_file),
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                "tcp_user_timeout": STATEMENT_SECONDS * 1000,
                "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
                "application_name": "app",
            }

        self._host = urlsplit(database_url).hostname or ""
        self._reachable = True
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]] = AsyncConnectionPool(
            database_url,
            kwargs=connect_arguments,
            min_size=1,
            max_size=10,
            max_waiting=100,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=10,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        # The pool's own warnings name hosts and repeat for each attempt.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)

    async def open(self) -> None:
        """Start to connect, without waiting for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close(timeout=1)

    async def check(self) -> None:
        """Ask for the table, so that a database without migrations is not ready either."""
        async with self._connection(seconds=1) as connection:
            await connection.execute("SELECT FROM signups LIMIT 0")

    async def add(self, signup: Signup) -> None:
        """Insert a new sign-up."""
        async with self._connection("INSERT") as connection:
            await connection.execute(
                "INSERT INTO signups (id, email, plan, converted) VALUES (%s, %s, %s, %s)",
                (signup.id, signup.email, signup.plan, signup.converted),
            )

    async def get(self, signup_id: UUID) -> Signup | None:
        """Select one sign-up."""
        async with self._connection("SELECT") as connection:
            cursor = await connection.execute(
                "SELECT id, email, plan, converted FROM signups WHERE id = %s", (signup_id,)
            )
            row = await cursor.fetchone()
        return _signup(row) if row else None

    async def convert(self, signup_id: UUID) -> tuple[Signup, bool] | None:
        """Update one sign-up; of two clients at once only one is the first."""
        async with self._connection("UPDATE") as connection:
            cursor = await connection.execute(
                "UPDATE signups SET converted = true WHERE id = %s AND NOT converted"
                " RETURNING id, email, plan, converted",
                (signup_id,),
            )
            row = await cursor.fetchone()
        if row:
            return _signup(row), True
        signup = await self.get(signup_id)
        return (signup, False) if signup else None

    @asynccontextmanager
    async def _connection(
        self, operation: str = "", seconds: float = CONNECT_SECONDS + STATEMENT_SECONDS
    ) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """Lend a connection, in a span when it is for an operation of a request."""
        attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.collection.name": "signups",
            "server.address": self._host,
        }
        span = telemetry.span(f"{operation} signups", attributes) if operation else nullcontext()
        try:
            with span:
                async with asyncio.timeout(seconds), self._pool.connection() as connection:
                    yield connection
        except _UNREACHABLE as error:
            if self._reachable:
                kind = type(error).__name__
                _logger.warning("the store is unreachable", extra={"error.type": kind})
            self._reachable = False
            raise StoreUnreachableError from error
        if not self._reachable:
            _logger.info("the store is reachable again")
        self._reachable = True


def _signup(row: TupleRow) -> Signup:
    return Signup(id=row[0], email=row[1], plan=row[2], converted=row[3])
