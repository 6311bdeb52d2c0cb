"""What a client sees of a text, as a value that can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import pq

_NUMERIC = 1700
_RECORD = 2249
_FIRST_NORMAL = 16384
TIMED_OUT = "57014"


@dataclass(slots=True)
class Result:
    """One result: its command tag, the names and types of its columns, and its rows as text.

    A type that a database made itself, which has another number elsewhere, is 0.
    """

    tag: str
    names: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """Everything that comes back for a text: results, the SQLSTATE that ended it, the SQLSTATEs of notices."""

    results: list[Result] = field(default_factory=list)
    error: str = ""
    notices: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows came, those of COPY included."""
        return sum(len(result.rows) for result in self.results)

    def comparable(self, *, ordered: bool) -> list[Any]:
        """What another database must say as well: rows as a multiset unless they are in a certain order.

        A derived table has no row type. A numeric counts by its value, because equal ones of different scales may stand
        for one another in a group.
        """
        made = []
        for result in self.results:
            numeric = [kind == _NUMERIC for kind in result.types]
            rows = [
                tuple(_plain(value) if n else value for value, n in zip(row, numeric, strict=True))
                for row in result.rows
            ]
            types = tuple(kind if kind != _RECORD else 0 for kind in result.types)
            made.append((result.tag, result.names, types, rows if ordered else sorted(rows, key=repr)))
        return made


def answer(connection: psycopg.Connection[Any], text: str) -> Answer:
    """Run a text in the simple protocol, from a session without a transaction to one without."""
    raw, made = connection.pgconn, Answer()
    raw.notice_handler = lambda notice: made.notices.append(_state(notice))
    raw.send_query(text.encode())
    while (result := raw.get_result()) is not None:
        if result.status == pq.ExecStatus.COPY_OUT:
            copied = Result("COPY", (), ())
            while True:
                size, data = raw.get_copy_data(0)
                if size <= 0:
                    break
                copied.rows.append((bytes(data),))
            copied.types = (0,)
            made.results.append(copied)
        elif result.status == pq.ExecStatus.FATAL_ERROR:
            made.error = _state(result)
        else:
            columns = range(result.nfields)
            made.results.append(
                Result(
                    (result.command_status or b"").decode(),
                    tuple((result.fname(column) or b"").decode() for column in columns),
                    tuple(kind if (kind := result.ftype(column)) < _FIRST_NORMAL else 0 for column in columns),
                    [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)],
                )
            )
    if raw.transaction_status != pq.TransactionStatus.IDLE:
        raw.exec_(b"rollback")
    return made


def _state(result: Any) -> str:
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def _plain(value: bytes | None) -> bytes | None:
    if value is None or value.strip(b"-0123456789.") != b"":
        return value
    return format(Decimal(value.decode()).normalize(), "f").encode()
