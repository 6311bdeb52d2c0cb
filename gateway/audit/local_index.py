"""The index as a file of SQLite's, beside the trail: the gateway's own, which no other process needs.

INVARIANT: derived data. A crash may cost a rebuild, never a record.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.audit.encode import record_of
from gateway.audit.following import Index, Place, follow, minimum_of
from gateway.audit.index import SCHEMA, VERSION
from gateway.audit.segment import read_leaf, segment_path
from gateway.audit.tables import SqliteTables, Tables
from gateway.errors import GatewayError


class SqliteIndex:
    """See `Index`."""

    def __init__(self, path: Path, directory: Path, origin: str) -> None:
        self.closing = False
        self.first, self.pruned = 0, b""
        self._path, self._directory, self._origin = path, directory, origin
        self._connection: sqlite3.Connection | None = None
        self._written = 0

    def upto(self, limit: int) -> Tables:
        """See `Index`."""
        for attempt in range(2):
            try:
                if self._connection is not None and _written(self._connection) != self._written:
                    self.forget()
                connection = self._connected()
                tables = SqliteTables(connection)
                follow(
                    tables, self._directory, _place(connection), limit,
                    lambda: _transaction(connection),  # noqa: B023 - it is used before the next attempt
                    lambda _, after: _note(connection, after),  # noqa: B023 - as above
                    lambda: self.closing,
                )  # fmt: skip
                return tables
            except sqlite3.DatabaseError as error:
                if attempt or isinstance(error, sqlite3.OperationalError):
                    raise GatewayError("internal-error", "the audit index cannot be used", detail=str(error)) from error
                self.forget()
        raise AssertionError("unreachable")

    def forget(self) -> None:
        """See `Index`."""
        self.close()
        self._delete()

    def close(self) -> None:
        """See `Index`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def beside(self) -> SqliteIndex:
        """See `Index`."""
        return SqliteIndex(self._path.with_name(self._path.name + ".new"), self._directory, self._origin)

    def take_over(self, fresh: Index) -> None:
        """See `Index`."""
        assert isinstance(fresh, SqliteIndex)
        self.forget()
        # closed by its last reader, it is one file
        os.replace(fresh._path, self._path)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            return self._looked_through(connection)
        except BaseException:
            # a file that is no index may be any file
            connection.close()
            raise

    def _looked_through(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        first, pruned = minimum_of(self._directory, self._origin)
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and not self._usable(connection, first):
            connection.close()
            self._delete()
            return self._connected()
        if not tables:
            connection.executescript(SCHEMA)
            start = Place(first, first)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [("version", VERSION), ("origin", self._origin), ("first", first), ("pruned", pruned),
                 ("next", start.size), ("segment", start.segment),
                 ("at", start.at)],
            )  # fmt: skip
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        self.first, self.pruned = int(meta["first"]), bytes(meta["pruned"])
        self._connection, self._written = connection, _written(connection)
        return connection

    def _usable(self, connection: sqlite3.Connection, first: int) -> bool:
        """Whether the index is whole, of this version and of this trail: its last record is where it says."""
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        if meta.get("version") != VERSION or meta.get("origin") != self._origin:
            return False
        row = connection.execute("SELECT id, segment, at, length FROM records ORDER BY idx DESC LIMIT 1").fetchone()
        held, end = connection.execute("SELECT count(*), coalesce(max(idx) + 1, ?) FROM records", (first,)).fetchone()
        if meta.get("first") != first or held != end - first or end != meta.get("next"):
            return False
        if row is None:
            return True
        try:
            leaf = read_leaf(segment_path(self._directory, row[1]), row[2], row[3])
        except (OSError, ValueError):
            return False
        return bool(record_of(leaf).get("id") == row[0])

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _written(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has changed the index (SQLite, `PRAGMA data_version`)."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _place(connection: sqlite3.Connection) -> Place:
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    return Place(int(meta["next"]), int(meta["segment"]), int(meta["at"]))


def _note(connection: sqlite3.Connection, place: Place) -> None:
    connection.executemany(
        "UPDATE meta SET value = ? WHERE name = ?",
        [(place.size, "next"), (place.segment, "segment"), (place.at, "at")],
    )
