"""Migrations: the release before must be able to live with the schema of the next one.

While a release replaces another, both run on one schema, and a rollback leaves the schema as it
is. PostgreSQL's own parser reads the files; what stands in texts of functions is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pglast import parse_sql
from pglast.enums import AlterTableType, ConstrType, ObjectType, TransactionStmtKind
from pglast.parser import ParseError

from slipway.answers import ANSWERS_FILE
from slipway.gates.findings import Fault, Gate, Place
from slipway.gates.service import Service

# A node of the tree: its grammar says which fields it has; in the library's types all may miss.
Node: TypeAlias = Any

MIGRATION = re.compile(r"migrations/[^/]+\.sql")
# What a file may say about itself, in a line of comment.
CONTRACT = re.compile(r"(?m)^\s*-- contract: .*\bsince v?\d[\w.+-]*\s*$")
LOCKS = re.compile(r"(?m)^\s*-- locks: \S.*$")
# Blanks and comments stand before a statement.
BEFORE = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)

USED = {
    ObjectType.OBJECT_TABLE: "table",
    ObjectType.OBJECT_COLUMN: "column",
    ObjectType.OBJECT_VIEW: "view",
    ObjectType.OBJECT_MATVIEW: "materialized view",
    ObjectType.OBJECT_FOREIGN_TABLE: "foreign table",
    ObjectType.OBJECT_SCHEMA: "schema",
    ObjectType.OBJECT_SEQUENCE: "sequence",
    ObjectType.OBJECT_TYPE: "type",
    ObjectType.OBJECT_ATTRIBUTE: "attribute",
    ObjectType.OBJECT_DOMAIN: "domain",
    ObjectType.OBJECT_FUNCTION: "function",
}
EXCUSED = "under the line `-- locks: done by hand before`"
# Parts of a transaction, which stay in it.
WITHIN = {
    TransactionStmtKind.TRANS_STMT_SAVEPOINT,
    TransactionStmtKind.TRANS_STMT_RELEASE,
    TransactionStmtKind.TRANS_STMT_ROLLBACK_TO,
}
REWRITES = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}
CHECKED = {
    ConstrType.CONSTR_CHECK: "check",
    ConstrType.CONSTR_FOREIGN: "foreign key",
    ConstrType.CONSTR_NOTNULL: "not-null constraint",
}
INDEXED = {
    ConstrType.CONSTR_UNIQUE: "unique constraint",
    ConstrType.CONSTR_PRIMARY: "primary key",
    ConstrType.CONSTR_EXCLUSION: "exclusion constraint",
}


@dataclass(frozen=True)
class Harm:
    """What a statement does to the release before.

    Attributes:
        what: in words.
        locks: it only makes others wait; otherwise it takes away what they use.
        fails: it cannot run in a migration, whatever a comment says.

    """

    what: str
    locks: bool = False
    fails: bool = False


@dataclass
class Tables:
    """The tables that a file makes itself: nobody uses them before."""

    made: set[tuple[str, str]] = field(default_factory=set)

    def add(self, relation: Node) -> None:
        """Note a table that is made."""
        self.made.add(self._key(relation))

    def __contains__(self, relation: Node) -> bool:
        """Say whether a table was made before in the same file."""
        return relation is not None and self._key(relation) in self.made

    @staticmethod
    def _key(relation: Node) -> tuple[str, str]:
        return (relation.schemaname or "public", relation.relname)


def incompatible(service: Service) -> Iterator[Fault]:
    """Find migrations that the release before could not live with."""
    answers = service.document(ANSWERS_FILE)
    datastore = answers.get("datastore") if answers else None
    if datastore is None or datastore.text != "postgres":
        return
    for file in service.files:
        if MIGRATION.fullmatch(file):
            yield from faults(file, service.text(file) or "")


def faults(file: str, text: str) -> Iterator[Fault]:
    """Find what is wrong with one migration."""
    contract, may_lock = CONTRACT.search(text), LOCKS.search(text)
    try:
        statements = parse_sql(text)
    except ParseError as error:
        location = error.args[1] if len(error.args) > 1 else 0
        yield Fault(place(file, text, location or 0), f"PostgreSQL cannot read it: {error.args[0]}")
        return
    tables = Tables()
    for raw in statements:
        offset = raw.stmt_location or 0
        start = BEFORE.match(text, offset)
        where = place(file, text, start.end() if start else offset)
        for harm in harms(raw.stmt, tables):
            if harm.fails or not (may_lock if harm.locks else contract):
                yield Fault(where, harm.what)


def place(file: str, text: str, offset: int) -> Place:
    """Return the line of a character."""
    return Place(file, text.count("\n", 0, offset) + 1)


def harms(statement: Node, tables: Tables) -> Iterator[Harm]:
    """Yield what a statement does to the release before."""
    match kind := type(statement).__name__:
        case "CreateStmt":
            tables.add(statement.relation)
        case "CreateTableAsStmt":
            tables.add(statement.into.rel)
        case "AlterTableStmt" if statement.relation not in tables:
            for command in statement.cmds:
                yield from of_alter(command, statement.relation.relname)
        case "RenameStmt" if statement.relation not in tables:
            if what := USED.get(statement.renameType):
                name = statement.subname or (statement.relation and statement.relation.relname)
                yield Harm(f"it renames the {what} {name or 'named there'}, which is in use")
        case "AlterObjectSchemaStmt" if statement.relation not in tables:
            yield Harm("it moves what is in use into another schema")
        case "AlterEnumStmt" if statement.oldVal:
            yield Harm(f"it renames the value {statement.oldVal}, which is in use")
        case "DropStmt" if statement.concurrent:
            yield outside("DROP INDEX CONCURRENTLY", "DROP INDEX IF EXISTS")
        case "DropStmt":
            if what := USED.get(statement.removeType):
                yield Harm(f"it drops a {what} that is in use")
        case "IndexStmt" if statement.concurrent:
            yield outside("CREATE INDEX CONCURRENTLY", "CREATE INDEX IF NOT EXISTS")
        case "IndexStmt" if statement.relation not in tables:
            yield of_index(statement)
        case "TransactionStmt" if statement.kind not in WITHIN:
            yield Harm("it begins or ends a transaction; a migration runs in one", fails=True)
        case "LockStmt" | "TruncateStmt":
            relations = [one for one in statement.relations if one not in tables]
            verb = "locks" if kind == "LockStmt" else "empties and locks"
            yield from (Harm(f"it {verb} the table {one.relname}", True) for one in relations)
        case "VacuumStmt" if not statement.is_vacuumcmd:
            pass  # ANALYZE only reads
        case "VacuumStmt" | "CreatedbStmt" | "DropdbStmt" | "AlterSystemStmt":
            yield Harm(
                "it fails in the transaction of a migration; that is for the database's owner",
                fails=True,
            )
        case "ReindexStmt" if "concurrently" in {one.defname for one in statement.params or ()}:
            yield Harm(
                "REINDEX CONCURRENTLY does not run in a transaction: run it by hand", fails=True
            )
        case "ClusterStmt" | "ReindexStmt":
            yield Harm("it locks what it reorders; that is for the database's owner", True)
        case "RefreshMatViewStmt" if not statement.concurrent:
            yield Harm(f"it locks the view {statement.relation.relname} while it is filled", True)


def outside(statement: str, repeated: str) -> Harm:
    """Return what a statement does that PostgreSQL refuses within a transaction."""
    return Harm(
        f"{statement} fails in the transaction of a migration: run it by hand in each environment"
        f" before the release, then write {repeated} here, {EXCUSED}",
        fails=True,
    )


def of_index(index: Node) -> Harm:
    """Return what making an index on a table in use does."""
    return Harm(
        f"the index locks the table {index.relation.relname} against writing until it is made: run"
        " CREATE INDEX CONCURRENTLY by hand in each environment before the release, then write"
        f" CREATE INDEX IF NOT EXISTS here, {EXCUSED}",
        locks=True,
    )


def of_alter(command: Node, table: str) -> Iterator[Harm]:
    """Yield what a change of a table in use does."""
    match command.subtype:
        case AlterTableType.AT_DropColumn:
            yield Harm(f"it drops the column {table}.{command.name}, which is in use")
        case AlterTableType.AT_AlterColumnType:
            yield Harm(f"it changes the type of the column {table}.{command.name}, which is in use")
        case AlterTableType.AT_SetNotNull:
            yield Harm(f"{table}.{command.name} becomes NOT NULL, and may still be written empty")
        case AlterTableType.AT_ColumnDefault if command.def_ is None:
            yield Harm(f"it drops the default of {table}.{command.name}, which may be relied on")
        case AlterTableType.AT_AddColumn:
            yield from of_new_column(command.def_, table)
        case AlterTableType.AT_DetachPartition if command.def_.concurrent:
            yield Harm(f"a partition of {table} is detached by hand: it fails here", fails=True)
        case AlterTableType.AT_AddConstraint:
            yield from of_constraint(command.def_, table)


def of_new_column(column: Node, table: str) -> Iterator[Harm]:
    """Yield what a new column of a table in use does."""
    constraints = {one.contype: one for one in column.constraints or ()}
    filled = {ConstrType.CONSTR_DEFAULT, ConstrType.CONSTR_IDENTITY, ConstrType.CONSTR_GENERATED}
    rewrites = column.typeName.names[-1].sval in REWRITES
    if rewrites or constraints.keys() & {ConstrType.CONSTR_IDENTITY, ConstrType.CONSTR_GENERATED}:
        yield Harm(f"the values of {table}.{column.colname} make every row be written anew", True)
    elif ConstrType.CONSTR_NOTNULL in constraints and not constraints.keys() & filled:
        yield Harm(f"{table}.{column.colname} is NOT NULL without a default: nobody writes it yet")
    for kind in constraints.keys() & INDEXED.keys():
        yield Harm(f"the {INDEXED[kind]} locks the table {table} until its index is made", True)


def of_constraint(constraint: Node, table: str) -> Iterator[Harm]:
    """Yield what a new constraint on a table in use does."""
    kind = constraint.contype
    if kind in CHECKED and not constraint.skip_validation:
        yield Harm(
            f"the {CHECKED[kind]} locks the table {table} until every row is checked: add it NOT"
            " VALID, and VALIDATE it in a later migration",
            locks=True,
        )
    if kind in INDEXED and not constraint.indexname:
        yield Harm(
            f"the {INDEXED[kind]} locks the table {table} until its index is made: make a unique"
            " index by hand, then add it USING INDEX",
            locks=True,
        )


GATES = (
    Gate(
        "migration-compatible",
        "The release before can live with every migration",
        "`migrations/*.sql`, with PostgreSQL's own parser",
        "Expand first and contract later (docs/how-to/change-the-database.md); a second step says"
        " `-- contract: unused since VERSION`, a short lock `-- locks: WHY IT IS SHORT`",
        incompatible,
    ),
)
