"""Brings the database to the newest of migrations/*.sql, forward only."""

import logging
from pathlib import Path

import psycopg

from app.settings import Environment, read_secret
from app.store_postgres import CONNECT_SECONDS, connection_settings

_logger = logging.getLogger(__name__)

MIGRATIONS = Path("migrations")  # below the working directory, in the image as in the repository


def migrate(env: Environment, migrations: Path = MIGRATIONS) -> int:
    """Apply what is not applied yet, each file in a transaction of its own; the exit code."""
    database_url, password_file = connection_settings(env)
    files = sorted(migrations.glob("*.sql"))
    if not files:
        _logger.error("no migrations found below the working directory")
        return 1
    try:
        with psycopg.connect(
            database_url,
            password=read_secret(password_file),
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="migrate",
            # Rather give up than make every request wait behind a lock that is not to be had.
            options="-c lock_timeout=30s",
        ) as connection:
            # Two at once wait for each other: the key is the same in every instance.
            connection.execute("SELECT pg_advisory_lock(hashtext('schema_migrations'))")
            return _apply(connection, files)
    except psycopg.OperationalError as error:
        _logger.error(
            "the database cannot be migrated now", extra={"error.type": type(error).__name__}
        )
        return 1


def _apply(connection: psycopg.Connection, files: list[Path]) -> int:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (version text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {row[0] for row in connection.execute("SELECT version FROM schema_migrations")}
    pending = [file for file in files if file.stem not in applied]
    for file in pending:
        try:
            with connection.transaction():
                connection.execute(file.read_bytes())
                connection.execute(
                    "INSERT INTO schema_migrations (version) VALUES (%s)", (file.stem,)
                )
        except psycopg.Error as error:
            problem = {"migration": file.stem, "error.type": type(error).__name__}
            _logger.error("a migration failed and was rolled back", extra=problem)
            return 1
        _logger.info("migration applied", extra={"migration": file.stem})
    _logger.info("the database is up to date", extra={"applied": len(pending)})
    return 0
