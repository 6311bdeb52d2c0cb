"""A prompt for machines without `psql`: `python -m gateway.demo.prompt CONNINFO`, then SQL that ends in `;`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_MOST_ROWS = 50


def main(arguments: list[str]) -> int:
    """Connect, read statements, show answers, until the input or the session ends."""
    if len(arguments) != 1:
        print("usage: python -m gateway.demo.prompt CONNINFO", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    try:
        connection = _connected(arguments[0])
    except psycopg.OperationalError as error:
        console.print(str(error), markup=False)
        return 1
    connection.add_notice_handler(lambda notice: console.print(f"NOTICE: {notice.message_primary}", markup=False))
    with connection:
        for statement in _statements(sys.stdin):
            try:
                _show(console, connection.execute(statement.encode()))
            except psycopg.Error as error:
                console.print(f"ERROR: {error.sqlstate}: {error.diag.message_primary or error}", markup=False)
                if error.diag.message_hint:
                    console.print(f"HINT: {error.diag.message_hint}", markup=False)
            if connection.closed:
                return 1
    return 0


def _connected(conninfo: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        if "no password supplied" not in str(error):
            raise
    return psycopg.connect(conninfo, autocommit=True, password=getpass.getpass("Password: "))


def _statements(lines: Any) -> Iterator[str]:
    collected = ""
    _prompt("=> ")
    for line in lines:
        if line.strip() in ("\\q", "quit", "exit"):
            return
        collected += line
        if collected.rstrip().endswith(";"):
            yield collected
            collected = ""
        _prompt("-> " if collected.strip() else "=> ")


def _prompt(text: str) -> None:
    if sys.stdin.isatty():
        print(text, end="", flush=True)


def _show(console: Console, cursor: psycopg.Cursor[Any]) -> None:
    if cursor.description is None:
        console.print(cursor.statusmessage or "", markup=False)
        return
    table = Table(*(Column(Text(column.name)) for column in cursor.description))
    rows = cursor.fetchall()
    for row in rows[:_MOST_ROWS]:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)
    shown = f" (the first {_MOST_ROWS} shown)" if len(rows) > _MOST_ROWS else ""
    console.print(f"({len(rows)} rows){shown}", markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
