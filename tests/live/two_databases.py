"""The two-database oracle: a truth, and a copy that holds nothing but what a view shows of it.

A statement must say the same about both: rewritten on the truth, as it was written on the copy. The copy is made
without the rewriting: rows are chosen by hand-written conditions, and values masked in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq, sql
from ruamel.yaml import YAML

from gateway.policy import masks
from gateway.sql.statement import View

CORPUS = Path(__file__).parents[1] / "corpus"
FIRST_NORMAL_OID, RECORD = 16384, 2249


def cases(folder: str) -> list[Any]:
    """Every case of a corpus, in the order of the files."""
    found: list[Any] = []
    for path in sorted((CORPUS / folder).glob("*.yaml")):
        found += YAML(typ="safe").load(path)
    return found


def fill(
    copy: psycopg.Connection[Any],
    truth: psycopg.Connection[Any],
    view: View,
    key: bytes,
    conditions: Mapping[str, str],
) -> None:
    """Create the tables of `conditions` in the copy, with the rows that fulfil them, masked."""
    for name, condition in conditions.items():
        relation = view.catalog.relations[f"public.{name}"]
        rules = view.policy.tables[relation.qualified].columns
        columns = [column for column in relation.columns if column.name in rules]
        listed = ", ".join(f"{column.name} {column.type}" for column in columns)
        copy.execute(f"create table public.{name} ({listed})")
        wanted = ", ".join(f"{column.name}::text" for column in columns)
        for row in truth.execute(f"select {wanted} from public.{name} where {condition}").fetchall():
            values = [
                value
                if rules[column.name].mask.kind == "clear"
                else masks.render(rules[column.name].mask, value, key, column.type)
                for column, value in zip(columns, row, strict=True)
            ]
            places = sql.SQL(", ").join([sql.Placeholder()] * len(values))
            copy.execute(sql.SQL("insert into public.{} values ({})").format(sql.Identifier(name), places), values)


def results(connection: psycopg.Connection[Any], text: str) -> list[tuple[Any, ...]]:
    """Every result of a text in the simple protocol: what a client sees of it, errors by their SQLSTATE alone."""
    raw = connection.pgconn
    raw.send_query(text.encode())
    seen: list[tuple[Any, ...]] = []
    while (result := raw.get_result()) is not None:
        if result.status == pq.ExecStatus.COPY_OUT:
            lines = []
            while (answer := raw.get_copy_data(0))[0] > 0:
                lines.append(bytes(answer[1]))
            seen.append(("COPY", lines))
        elif result.status == pq.ExecStatus.FATAL_ERROR:
            seen.append(("ERROR", result.error_field(pq.DiagnosticField.SQLSTATE)))
        else:
            columns = [(result.fname(n), _built_in(result.ftype(n)), result.fformat(n)) for n in range(result.nfields)]
            rows = [tuple(result.get_value(row, n) for n in range(result.nfields)) for row in range(result.ntuples)]
            seen.append((result.command_status, columns, rows))
    return seen


def restore(connection: psycopg.Connection[Any]) -> None:
    """Leave a transaction, and forget what the session was told."""
    if connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
        connection.pgconn.exec_(b"rollback")
    connection.pgconn.exec_(b"discard all")


def _built_in(oid: int) -> int:
    """A built-in type's number, 0 for the others: databases number their own, and a derived table has no row type."""
    return oid if oid < FIRST_NORMAL_OID and oid != RECORD else 0
