"""What `migrate` does to a database, tried in a schema of its own."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from app.migrate import MIGRATIONS, migrate
from app.settings import read_secret
from support import Process, free_port, wait_for

needs_database = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL"), reason="DATABASE_URL is not set: no database to test with"
)


@pytest.fixture
def database() -> Iterator[psycopg.Connection]:
    """A connection to an empty schema, which `migrate` uses too."""
    password = read_secret(Path(os.environ["DATABASE_PASSWORD_FILE"]))
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, password=password, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS migrate_test CASCADE")
        connection.execute("CREATE SCHEMA migrate_test")
        connection.execute("ALTER ROLE CURRENT_USER SET search_path = migrate_test")
        connection.execute("SET search_path = migrate_test")
        try:
            yield connection
        finally:
            connection.execute("ALTER ROLE CURRENT_USER RESET search_path")
            connection.execute("DROP SCHEMA migrate_test CASCADE")


def versions(database: psycopg.Connection) -> list[str]:
    rows = database.execute("SELECT version FROM schema_migrations ORDER BY version")
    return [row[0] for row in rows]


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int); INSERT INTO one VALUES (1);")
    (tmp_path / "0002_two.sql").write_text("ALTER TABLE one ADD COLUMN two text;")
    return tmp_path


@needs_database
def test_migrations_are_applied_once_and_in_order(
    database: psycopg.Connection, migrations: Path
) -> None:
    assert migrate(os.environ, migrations) == 0
    assert migrate(os.environ, migrations) == 0

    assert versions(database) == ["0001_one", "0002_two"]
    assert database.execute("SELECT count(*) FROM one").fetchone() == (1,)


@needs_database
def test_only_what_is_new_is_applied(database: psycopg.Connection, migrations: Path) -> None:
    assert migrate(os.environ, migrations) == 0
    (migrations / "0003_three.sql").write_text("INSERT INTO one VALUES (3, '100%');")

    assert migrate(os.environ, migrations) == 0

    assert versions(database) == ["0001_one", "0002_two", "0003_three"]
    assert database.execute("SELECT two FROM one WHERE id = 3").fetchone() == ("100%",)


@needs_database
def test_a_migration_that_fails_leaves_nothing_behind(
    database: psycopg.Connection, migrations: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (migrations / "0002_two.sql").write_text("INSERT INTO one VALUES (2); SELECT canary;")

    assert migrate(os.environ, migrations) == 1

    assert versions(database) == ["0001_one"]
    assert database.execute("SELECT count(*) FROM one").fetchone() == (1,)
    failure = caplog.records[-1]
    assert vars(failure)["migration"] == "0002_two"
    assert vars(failure)["error.type"] == "UndefinedColumn"
    assert "canary" not in failure.message


@needs_database
def test_of_two_at_once_one_waits(database: psycopg.Connection, migrations: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: migrate(os.environ, migrations), range(4)))

    assert results == [0, 0, 0, 0]
    assert versions(database) == ["0001_one", "0002_two"]


@needs_database
def test_a_migration_that_is_interrupted_is_no_success(
    database: psycopg.Connection, tmp_path: Path
) -> None:
    database.execute("SELECT pg_advisory_lock(hashtext('schema_migrations'))")
    program = Process(tmp_path, {}, ("-m", "app", "migrate"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrate'"
    wait_for(lambda: database.execute(waiting).fetchone() == (1,))

    assert program.terminate() == 128 + signal.SIGTERM
    assert database.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)


def test_a_database_that_is_gone_is_one_line(
    tmp_path: Path, migrations: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("canary")
    environment = {
        "DATABASE_URL": f"postgresql://canary@127.0.0.1:{free_port()}/canary",
        "DATABASE_PASSWORD_FILE": str(password_file),
    }

    assert migrate(environment, migrations) == 1

    (record,) = caplog.records
    assert record.message == "the database cannot be migrated now"
    assert "canary" not in str(vars(record))


def test_the_migrations_of_the_service_are_where_the_image_looks_for_them() -> None:
    assert (MIGRATIONS / "0001_signups.sql").is_file()
