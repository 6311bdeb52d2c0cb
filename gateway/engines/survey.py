"""A look at a target before it has a policy: its catalog, its keys, and a sample of rows of each relation.

INVARIANT: it reads only, as the backend role, within a time and a number of cells; a relation that cannot be read in
that is reported with a SQLSTATE and sampled no further. Values are handed to the caller and go nowhere else: no log,
no error text, which could quote one.

Specification: PostgreSQL manual, SELECT (TABLESAMPLE), pg_constraint, pg_class.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from gateway.engines.targets import connection_settings
from gateway.errors import GatewayError
from gateway.policy.contents import LONGEST
from gateway.policy.paths import Reference
from gateway.sql.catalog import Catalog
from gateway.sql.postgres import load_catalog
from gateway.target_settings import Target

MOST_CELLS = 100_000
MOST_SECONDS = 600.0
STATEMENT_MS = 5_000
_SAMPLED_PAGES = "rpm"

_KEYS = """
select n.nspname || '.' || c.relname, a.attname
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = any (k.conkey)
where k.contype = 'p'
"""
# Of all columns of a key with several, none says alone what the row belongs to.
_REFERENCES = """
select n.nspname || '.' || c.relname, a.attname, fn.nspname || '.' || f.relname, fa.attname, not a.attnotnull
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
join pg_catalog.pg_attribute fa on fa.attrelid = f.oid and fa.attnum = k.confkey[1]
where k.contype = 'f' and k.convalidated and pg_catalog.array_length(k.conkey, 1) = 1
"""
_PARTS = """
select n.nspname || '.' || c.relname, pn.nspname || '.' || p.relname
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_inherits i on i.inhrelid = c.oid
join pg_catalog.pg_class p on p.oid = i.inhparent
join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
where c.relispartition
"""
_READABLE = """
select n.nspname || '.' || c.relname, a.attname
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  and pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows of one relation. `values` has what is not NULL, by column; `problem` is why there are none."""

    rows: int = 0
    whole: bool = False
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Structure:
    """What the catalog says: `keys` by relation, foreign keys of one column, partitions by their parent."""

    catalog: Catalog
    keys: Mapping[str, frozenset[str]]
    references: tuple[Reference, ...]
    partitions: Mapping[str, str]
    readable: frozenset[tuple[str, str]]


class Survey:
    """One visit to a target; a context manager. Blocks. Raises `GatewayError("target-unavailable")`."""

    def __init__(self, target: Target) -> None:
        settings = connection_settings(target)
        settings["options"] += f" -c search_path=pg_catalog -c lock_timeout={STATEMENT_MS} -c DateStyle=ISO,YMD"
        settings["options"] += " -c row_security=on -c client_min_messages=error"
        try:
            self._connection: psycopg.Connection[Any] = psycopg.connect(**settings, autocommit=True)
        except psycopg.Error as error:
            raise GatewayError(
                "target-unavailable", "the target cannot be reached", detail=str(error).strip()
            ) from error
        self._connection.read_only = True
        self._deadline = time.monotonic() + MOST_SECONDS

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def structure(self, schemas: tuple[str, ...]) -> Structure:
        """The catalog and what constrains it; `readable` is about the relations of `schemas`."""
        try:
            catalog = load_catalog(self._rows)
            keys: dict[str, set[str]] = {}
            for relation, column in self._rows(_KEYS):
                keys.setdefault(relation, set()).add(column)
            return Structure(
                catalog,
                {relation: frozenset(columns) for relation, columns in keys.items()},
                tuple(Reference(*row) for row in self._rows(_REFERENCES)),
                dict(self._rows(_PARTS)),
                frozenset((row[0], row[1]) for row in self._rows(_READABLE, list(schemas))),
            )
        except psycopg.Error as error:
            raise GatewayError(
                "target-unavailable", "the target's catalog cannot be read", detail=f"SQLSTATE {error.sqlstate}"
            ) from None

    def sample(self, schema: str, relation: str, kind: str, columns: tuple[str, ...], rows: int) -> Sample:
        """At most `rows` rows of those columns, from pages all over a large table; fewer when the columns are many."""
        if time.monotonic() > self._deadline:
            return Sample(problem="not sampled: the time was up")
        rows = max(1, min(rows, MOST_CELLS // max(1, len(columns))))
        try:
            with self._connection.transaction():
                self._connection.execute(f"set local statement_timeout = {STATEMENT_MS}".encode())
                found = self._spread(schema, relation, kind, columns, rows)
                if found is None:
                    found = self._first(schema, relation, columns, rows, sql.SQL(""))
        except psycopg.Error as error:
            # The text of the error may quote a value.
            return Sample(problem=f"could not be sampled: SQLSTATE {error.sqlstate or 'unknown'}")
        values = {
            column: tuple(row[place] for row in found if row[place] is not None) for place, column in enumerate(columns)
        }
        return Sample(len(found), len(found) < rows, values)

    def _spread(
        self, schema: str, relation: str, kind: str, columns: tuple[str, ...], rows: int
    ) -> list[tuple[Any, ...]] | None:
        """Rows from pages chosen at random; None where that gives too few or is not possible."""
        if kind not in _SAMPLED_PAGES:
            return None
        estimate = self._rows(
            "select pg_catalog.sum(greatest(c.reltuples, 0))::pg_catalog.float8"
            " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relname = %s",
            schema,
            relation,
        )[0][0]
        if not estimate or estimate < 20 * rows:
            return None
        percent = min(100.0, 300.0 * rows / estimate)
        spread = sql.SQL(" tablesample system ({})").format(sql.Literal(round(percent, 6)))
        found = self._first(schema, relation, columns, rows, spread)
        return found if len(found) >= rows // 2 else None

    def _first(
        self, schema: str, relation: str, columns: tuple[str, ...], rows: int, spread: sql.Composable
    ) -> list[tuple[Any, ...]]:
        shown: list[sql.Composable] = [
            sql.SQL("pg_catalog.left({}::pg_catalog.text, {})").format(sql.Identifier(column), sql.Literal(LONGEST))
            for column in columns
        ]
        query = sql.SQL("select {} from {}{} limit {}").format(
            sql.SQL(", ").join(shown or [sql.SQL("1")]),
            sql.Identifier(schema, relation),
            spread,
            sql.Literal(rows),
        )
        return self._connection.execute(query).fetchall()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values or None).fetchall()
