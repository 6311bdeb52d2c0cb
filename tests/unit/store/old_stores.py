"""Stores of every version, made and filled by the programs of their time, and what there is to be seen of a store.

`shape_of` and `rows_of` look into the catalogs with SQL of their own, since neither SQLAlchemy nor alembic sees all.
The order of columns is left out: those that came later stand last in a store that was there before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

CORPUS = Path(__file__).parents[2] / "corpus" / "store"
ALEMBICS = "alembic_version"


@dataclass(frozen=True)
class Old:
    """A store as text; `12a` and the like are other shapes that stores of a version had."""

    path: Path

    @property
    def version(self) -> int:
        return int(self.path.stem.split("-")[1].rstrip("a"))

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Alice's: the secret of her codes, and a pass with its user name."""
        found: dict[str, str] = json.loads(self.text.splitlines()[1].removeprefix("-- "))
        return found


def old_stores(kind: str) -> list[Old]:
    return [Old(path) for path in sorted(CORPUS.glob(f"{kind}-*.sql"))]


def named(old: Old) -> str:
    return old.path.stem


def lay_down(old: Old, path: Path) -> None:
    """The file of that store."""
    connection = sqlite3.connect(path)
    connection.executescript(old.text)
    connection.close()
    path.chmod(0o600)


def sqlite_shape(path: Path) -> dict[str, Any]:
    """Everything in the file but rows: tables with columns, keys and indexes; and the text of all that is no table."""
    connection = sqlite3.connect(path)
    try:
        found: dict[str, Any] = {
            f"{kind} {name}": " ".join(text.split())
            for kind, name, text in connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL")
            if kind != "table"
        }
        for _, table, kind, _, without_rowid, strict in connection.execute("PRAGMA table_list").fetchall():
            if table not in ("sqlite_schema", "sqlite_temp_schema"):
                found[f"table {table}"] = (kind, without_rowid, strict, *_of_table(connection, table))
        return found
    finally:
        connection.close()


def _of_table(connection: sqlite3.Connection, table: str) -> Iterable[Any]:
    def said(pragma: str, of: str = table) -> list[tuple[Any, ...]]:
        return connection.execute(f"PRAGMA {pragma}({of})").fetchall()

    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    yield sorted(row[1:] for row in said("table_xinfo"))
    yield sorted((row[3:5], row[2], row[5:]) for row in said("foreign_key_list"))
    yield sorted(
        (unique, origin, partial, [row[1:] if origin == "c" else row[2:] for row in said("index_xinfo", name)])
        for _, name, unique, origin, partial in said("index_list")
    )
    # what no pragma tells: checks, collations, how conflicts end
    yield sorted(word for word in ("AUTOINCREMENT", "CHECK", "COLLATE", "CONFLICT", "DEFERR") if word in text.upper())


def sqlite_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table."""
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY 1")]
            for name in names
            if name != "sqlite_sequence"
        }
    finally:
        connection.close()


_CATALOGS = {
    "columns": """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        a.attgenerated, a.attcollation, pg_get_expr(d.adbin, d.adrelid), a.attacl::text FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = %(s)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0
        AND NOT a.attisdropped""",
    "relations": """SELECT relname, relkind, relpersistence, relowner::regrole::text, relacl::text, relrowsecurity,
        relforcerowsecurity, reloptions::text, CASE relkind WHEN 'i' THEN pg_get_indexdef(oid) END
        FROM pg_class WHERE relnamespace = %(s)s::regnamespace""",
    "constraints": """SELECT conrelid::regclass::text, conname, contype::text, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = %(s)s::regnamespace AND contype <> 'n'""",
    "sequences": """SELECT d.objid::regclass::text, d.refobjid::regclass::text, a.attname, d.deptype::text,
        format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqcycle FROM pg_sequence s
        JOIN pg_depend d ON d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE s.seqrelid::regclass::text LIKE %(s)s || '.%%'""",
    "triggers": """SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal""",
    "rules": "SELECT tablename, definition FROM pg_rules WHERE schemaname = %(s)s",
    "policies": "SELECT tablename, policyname, qual, with_check FROM pg_policies WHERE schemaname = %(s)s",
    "functions": """SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = %(s)s::regnamespace""",
    "types": """SELECT typname, typtype::text FROM pg_type WHERE typnamespace = %(s)s::regnamespace
        AND typtype <> 'c' AND typcategory <> 'A'""",
}


def postgres_shape(connection: psycopg.Connection[Any], schema: str = "gateway_store") -> dict[str, list[Any]]:
    """Everything in the schema but rows: columns, relations, constraints, sequences, triggers and the like."""
    connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
    return {
        what: sorted(connection.execute(asked, {"s": schema}).fetchall(), key=str)
        for what, asked in _CATALOGS.items()
    }  # fmt: skip


def postgres_rows(
    connection: psycopg.Connection[Any], schema: str = "gateway_store"
) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    found = {}
    for (name,) in names:
        cursor = connection.execute(sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(schema, name)))
        heads = [column.name for column in cursor.description or ()]
        found[name] = [dict(zip(heads, row, strict=True)) for row in cursor]
    return found


def without_alembics(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape without the table that says which revision it has, which steps did not know."""
    kept = {}
    for what, of in shape.items():
        if not (what.startswith("table ") and ALEMBICS in what):
            kept[what] = [one for one in of if ALEMBICS not in str(one)] if isinstance(of, list) else of
    return kept


def kept_in(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether the rows of before are those of after, as far as they had columns; but for those about the version."""
    for table, rows in before.items():
        if table in ("schema_version", ALEMBICS):
            continue
        columns = set(rows[0]) if rows else set()
        if [{name: row[name] for name in columns} for row in after[table]] != rows:
            return False
    return True
