"""What a migration may do although a release runs that does not know of it."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.answers import ANSWERS_FILE
from slipway.gates import check, migrations
from slipway.maintainers.answer_sets import EVERYTHING

from tests.services import Services

FINE = (
    "CREATE TABLE a (id int PRIMARY KEY, b text NOT NULL); CREATE INDEX ON a (b);"
    " ALTER TABLE a ADD c int NOT NULL; ALTER TABLE a RENAME c TO d; ALTER TABLE a DROP d;",
    "CREATE TABLE public.a (); ALTER TABLE a ADD c int NOT NULL;",
    "ALTER TABLE signups ADD COLUMN age int;",
    "ALTER TABLE signups ADD COLUMN age int NOT NULL DEFAULT 0;",
    "ALTER TABLE signups ADD CONSTRAINT c CHECK (plan <> '') NOT VALID;",
    "ALTER TABLE signups VALIDATE CONSTRAINT c;",
    "ALTER TABLE signups ADD CONSTRAINT u UNIQUE USING INDEX i;",
    "ALTER TABLE signups ALTER plan DROP NOT NULL, ALTER plan SET DEFAULT 'free';",
    "ALTER TYPE plan ADD VALUE 'team';",
    "DROP INDEX i; ALTER INDEX j RENAME TO k;",
    "UPDATE signups SET plan = 'DROP TABLE signups; LOCK TABLE signups';",
    "-- DROP TABLE signups;\n/* LOCK TABLE signups; */ SELECT 1;",
    "ANALYZE signups;",
    "",
    "-- nothing yet",
    "-- contract: plan is unused since 1.4.0\nALTER TABLE signups DROP COLUMN plan;",
    "-- contract: always written since v1.4.0\nALTER TABLE signups ALTER plan SET NOT NULL;",
    "-- locks: done by hand before\nCREATE INDEX IF NOT EXISTS i ON signups (email);",
    "SAVEPOINT a; INSERT INTO signups VALUES ('x'); ROLLBACK TO a; RELEASE a;",
)
# What PostgreSQL refuses in a transaction, and what takes the migration out of its own.
NEVER = (
    "CREATE INDEX CONCURRENTLY i ON signups (email);",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON signups (email);",
    "CREATE TABLE a (b int); CREATE INDEX CONCURRENTLY i ON a (b);",
    "DROP INDEX CONCURRENTLY i;",
    "REINDEX INDEX CONCURRENTLY i;",
    "REINDEX (CONCURRENTLY) TABLE signups;",
    "VACUUM signups;",
    "ALTER TABLE signups DETACH PARTITION old CONCURRENTLY;",
    "CREATE DATABASE other;",
    "INSERT INTO signups VALUES ('x'); COMMIT;",
)


@pytest.mark.parametrize("text", FINE)
def test_what_the_release_before_can_live_with_passes(text: str) -> None:
    assert list(migrations.faults("migrations/0002.sql", text)) == []


@pytest.mark.parametrize("text", [text for text in FINE if text.startswith("-- ") and ":" in text])
def test_without_its_comment_the_same_is_refused(text: str) -> None:
    comment, _, statement = text.partition("\n")
    if comment.startswith(("-- contract", "-- locks")):
        assert len(list(migrations.faults("migrations/0002.sql", statement))) == 1


@pytest.mark.parametrize("comment", ["", "-- locks: short\n-- contract: unused since 1.4.0\n"])
@pytest.mark.parametrize("text", NEVER)
def test_what_fails_in_a_transaction_is_refused_whatever_a_comment_says(
    text: str, comment: str
) -> None:
    assert len(list(migrations.faults("migrations/0002.sql", comment + text))) == 1


@pytest.mark.parametrize("concurrently", ["", "CONCURRENTLY "])
def test_an_index_on_a_table_in_use_is_refused_with_what_to_do(concurrently: str) -> None:
    text = f"CREATE INDEX {concurrently}i ON signups (email);"
    [fault] = migrations.faults("migrations/0002.sql", text)
    for part in ("by hand in each", "CREATE INDEX IF NOT EXISTS", "`-- locks: done by hand"):
        assert part in fault.problem
    # Done as it says, it passes.
    done = "-- locks: done by hand before\nCREATE INDEX IF NOT EXISTS i ON signups (email);"
    assert list(migrations.faults("migrations/0002.sql", done)) == []


def test_every_change_of_one_statement_is_told() -> None:
    text = "ALTER TABLE t DROP a, ALTER b TYPE int, ADD UNIQUE (c), ADD d int NOT NULL;"
    found = list(migrations.faults("migrations/0002.sql", text))
    assert len(found) == 4


def test_a_table_of_another_schema_is_another_table() -> None:
    text = "CREATE TABLE own.t (a int);\nALTER TABLE t DROP a;"
    [fault] = migrations.faults("migrations/0002.sql", text)
    assert fault.place.line == 2


@given(st.text(max_size=60))
def test_no_text_stops_the_gate(text: str) -> None:
    for fault in migrations.faults("migrations/0002.sql", text):
        assert fault.place.line >= 1


@pytest.mark.parametrize(("datastore", "found"), [("postgres", 1), ("none", 0)])
def test_only_what_runs_on_postgresql_is_read(
    services: Services, tmp_path: Path, datastore: str, found: int
) -> None:
    service = shutil.copytree(services(EVERYTHING), tmp_path / "service")
    (service / "migrations/0002.sql").write_text("DROP TABLE signups;\n")
    answers = service / ANSWERS_FILE
    text = answers.read_text()
    assert "datastore: postgres" in text
    answers.write_text(text.replace("datastore: postgres", f"datastore: {datastore}"))

    assert len(check(service, migrations.GATES)) == found
