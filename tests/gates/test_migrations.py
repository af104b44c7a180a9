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
    "-- locks: made by hand before\nCREATE INDEX IF NOT EXISTS i ON signups (email);",
)


@pytest.mark.parametrize("text", FINE)
def test_what_the_release_before_can_live_with_passes(text: str) -> None:
    assert list(migrations.faults("migrations/0002.sql", text)) == []


@pytest.mark.parametrize("text", [text for text in FINE if text.startswith("-- ") and ":" in text])
def test_without_its_comment_the_same_is_refused(text: str) -> None:
    comment, _, statement = text.partition("\n")
    if comment.startswith(("-- contract", "-- locks")):
        assert len(list(migrations.faults("migrations/0002.sql", statement))) == 1


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
