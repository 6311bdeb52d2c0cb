"""The tables of the index, in SQLite or PostgreSQL: the little in which the two differ, and what is the same.

All queries of the index are written once. What they may use is what both databases mean alike; `Tables` has the rest.
Texts compare by their bytes in both, and words are cut from texts here, so that both give the same answers.

INVARIANT: a text that is indexed has no NUL, no half of a surrogate pair and a bounded length (`key`): no record can be
made that one of the databases refuses, which would end the following of the log.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

_KEY_BYTES = 400
_KEPT = 80
_UNHELD = re.compile("[\0\ud800-\udfff]")
GONE = "\N{REPLACEMENT CHARACTER}"
_WORD = re.compile(r"\w+")
_WORD_LENGTH = 64

Rows = Iterable[Sequence[Any]]


class Tables(Protocol):
    """One log's tables, in a transaction or between two."""

    free: str
    """Written before a column, keeps the planner from choosing an index for it."""
    driving: str
    """Joins so that the left table is walked, and not the right one."""

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; `?` stands for a value."""
        ...

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change rows; how many."""
        ...

    def many(self, sql: str, rows: Rows) -> None:
        """Change rows by one statement for each of `rows`."""
        ...

    def fill(self, table: str, rows: Rows) -> None:
        """Add rows that are not there."""
        ...

    def spell(self, rows: Iterable[tuple[int, str]]) -> None:
        """Add the words of records (`words_of`)."""
        ...

    def spelled(self, text: str) -> tuple[str, list[Any]]:
        """The condition that a record `r` has those words; in that order, for those in one word of `text`."""
        ...

    def keep(self, index: int, leaf: bytes) -> None:
        """Take a leaf that others may want to read here."""
        ...

    def joined(self, column: str) -> str:
        """The different values of a group, with commas between."""
        ...


def key(value: Any) -> str | None:
    """The value as it is indexed and asked for: itself, or its beginning and a digest if no database holds it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= _KEY_BYTES and not _UNHELD.search(text):
        return text
    return f"{_UNHELD.sub(GONE, text[:_KEPT])}…sha256:{hashlib.sha256(data).hexdigest()}"


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters, digits and underscores, without case and accents; long ones as digests."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in plain if not unicodedata.combining(one)).casefold()
    return [
        word if len(word) <= _WORD_LENGTH else hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()
        for run in _WORD.findall(text.lower())
        for word in run.split("_")
        if word
    ]


class SqliteTables:
    """Over a connection in autocommit."""

    free = "+"
    driving = "CROSS JOIN"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Tables`."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See `Tables`."""
        found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return found

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """See `Tables`."""
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Rows) -> None:
        """See `Tables`."""
        self._connection.executemany(sql, rows)

    def fill(self, table: str, rows: Rows) -> None:
        """See `Tables`."""
        rows = list(rows)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608

    def spell(self, rows: Iterable[tuple[int, str]]) -> None:
        """See `Tables`."""
        self._connection.executemany(
            "INSERT INTO words (rowid, sql) VALUES (?, ?)", [(index, " ".join(words_of(text))) for index, text in rows]
        )

    def spelled(self, text: str) -> tuple[str, list[Any]]:
        """See `Tables`."""
        phrases = [" ".join(words) for one in text.split() if (words := words_of(one))]
        if not phrases:
            return "r.idx < 0", []
        match = " ".join(f'"{phrase}"' for phrase in phrases)
        return "r.idx IN (SELECT rowid FROM words WHERE words MATCH ?)", [match]

    def keep(self, index: int, leaf: bytes) -> None:
        """Nothing: who reads this index has the log."""

    def joined(self, column: str) -> str:
        """See `Tables`."""
        return f"group_concat(DISTINCT {column})"
