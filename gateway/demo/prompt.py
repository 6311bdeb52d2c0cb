"""A prompt for machines without `psql`: `python -m gateway.demo.prompt CONNINFO`, then SQL that ends in `;`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_MOST_ROWS = 50
_ENDLESS = 1_000_000


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
    names = [column.name for column in cursor.description]
    rows = [["" if value is None else str(value) for value in row] for row in cursor.fetchall()]
    for part in _laid_out(names, rows[:_MOST_ROWS], console):
        console.print(part)
    shown = f" (the first {_MOST_ROWS} shown)" if len(rows) > _MOST_ROWS else ""
    console.print(f"({len(rows)} row{'' if len(rows) == 1 else 's'}){shown}", markup=False)


def _laid_out(names: list[str], rows: list[list[str]], console: Console) -> Iterator[Table]:
    """One table, or one of names and values for each row where it would have to cut values (psql's `\\x auto`)."""
    table = Table(*(Column(Text(name)) for name in names))
    for row in rows:
        table.add_row(*map(Text, row))
    wanted = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    if not rows or wanted <= console.width:
        yield table
        return
    for number, row in enumerate(rows, 1):
        record = Table(title=f"row {number}", title_justify="left", show_header=False)
        for name, value in zip(names, row, strict=True):
            record.add_row(Text(name), Text(value))
        yield record


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
