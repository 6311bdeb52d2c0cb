"""The index in PostgreSQL, which the gateways of several logs share: each log has a schema of its own in it.

A gateway follows its own log into its own schema, and reads the others'. Beside what the file of SQLite's has, a schema
holds each leaf, for those who have not got that log, and how far it is, so that an answer can say what it covers.

What is read at another gateway is what this database holds: nothing here proves it. The leaf's hash beside it tells
accidents; a proof is made where the log is.

INVARIANT: rows that anybody else has changed are found and the schema is built anew: a trigger counts every statement
that does not come from the following. Who may switch triggers off in that database can leave records out of an answer;
what an answer does show of the own log is read from the log.
INVARIANT: `progress` moves from the place that was read under its lock, or the transaction fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from gateway.audit.encode import record_of
from gateway.audit.following import Index, Place, damaged, follow, minimum_of
from gateway.audit.index import SCHEMA, VERSION
from gateway.audit.segment import read_leaf, segment_path
from gateway.audit.tables import Rows, Tables, words_of
from gateway.audit.tree import leaf_hash
from gateway.errors import GatewayError

Connect = Callable[[], "psycopg.Connection[Any]"]
_LOCK = 0x67617465_696E6478
"""The advisory lock under which schemas are made: "gateindx"."""
_MANY = 20_000
_DATA = ("records", "customers", "relations", "relation_names", "sessions", "people", "tags", "statements", "grants",
         "policies", "words", "leaves")  # fmt: skip


def _schema() -> str:
    """The tables of `index.SCHEMA` as PostgreSQL spells them, and those that only this index has."""
    text = re.sub(r"CREATE (VIRTUAL )?TABLE (meta|words)\b[^;]*;", "", SCHEMA)
    text = text.replace(" WITHOUT ROWID", "").replace("INTEGER", "BIGINT")
    # texts compare by their bytes, as in SQLite
    text = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', text)
    return (
        text
        + """
CREATE TABLE words (idx BIGINT PRIMARY KEY, spelled TEXT COLLATE "C" NOT NULL);
CREATE INDEX words_spelled ON words USING gin (string_to_array(spelled, ' '));
CREATE TABLE leaves (idx BIGINT PRIMARY KEY, hash BYTEA NOT NULL, leaf BYTEA NOT NULL);
CREATE TABLE progress (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one), version TEXT NOT NULL, origin TEXT NOT NULL, size BIGINT NOT NULL,
    segment BIGINT NOT NULL, at BIGINT NOT NULL, first BIGINT NOT NULL, pruned BYTEA NOT NULL,
    time TEXT NOT NULL DEFAULT '', checkpoint TEXT NOT NULL DEFAULT '',
    alive TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), shape TEXT
);
CREATE SEQUENCE touches;
"""
    )


_SHAPE = """
SELECT md5(string_agg(part, ' ' ORDER BY part COLLATE "C")) FROM (
    SELECT concat(c.relname, '.', a.attname, ' ', a.atttypid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat(c.relname, ' ', t.tgname, t.tgenabled) FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid
    WHERE c.relnamespace = current_schema()::regnamespace
) AS parts (part)
"""
"""Tables, indexes, their columns, and whether the triggers are on."""


class PostgresTables:
    """Over a connection in autocommit whose search path is the log's schema."""

    free = "+"
    driving = "JOIN"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._leaves: list[tuple[int, bytes, bytes]] = []

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Tables`."""
        return self._connection.execute(_spelled(sql), values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See `Tables`."""
        found: tuple[Any, ...] | None = self._connection.execute(_spelled(sql), values).fetchone()
        return found

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """See `Tables`."""
        return self._connection.execute(_spelled(sql), values).rowcount

    def many(self, sql: str, rows: Rows) -> None:
        """See `Tables`."""
        rows = list(rows)
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(_spelled(sql), rows)

    def fill(self, table: str, rows: Rows) -> None:
        """See `Tables`."""
        rows = list(rows)
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def spell(self, rows: Iterable[tuple[int, str]]) -> None:
        """See `Tables`."""
        self.fill("words", [(index, f" {' '.join(words_of(text))} ") for index, text in rows])
        leaves, self._leaves = self._leaves, []
        self.fill("leaves", leaves)

    def spelled(self, text: str) -> tuple[str, list[Any]]:
        """See `Tables`."""
        phrases = [words for one in text.split() if (words := words_of(one))]
        if not phrases:
            return "r.idx < 0", []
        condition = "string_to_array(spelled, ' ') @> ?" + " AND strpos(spelled, ?) > 0" * len(phrases)
        values = [sorted({word for words in phrases for word in words}), *(f" {' '.join(words)} " for words in phrases)]
        return f"r.idx IN (SELECT idx FROM words WHERE {condition})", values  # noqa: S608

    def keep(self, index: int, leaf: bytes) -> None:
        """See `Tables`."""
        self._leaves.append((index, leaf_hash(leaf), leaf))

    def joined(self, column: str) -> str:
        """See `Tables`."""
        return f"string_agg(DISTINCT {column}, ',')"


class _Answering(PostgresTables):
    """Tables that hold what was asked for: what fails now is told to whoever asked."""

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Tables`."""
        try:
            return super().all(sql, values)
        except psycopg.Error as error:
            raise unusable(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See `Tables`."""
        try:
            return super().row(sql, values)
        except psycopg.Error as error:
            raise unusable(error) from error


def _spelled(sql: str) -> str:
    """`?` as the driver spells it, and no plus before what is no number."""
    return re.sub(r"\+(r\.(?!idx\b))", r"\1", sql.replace("%", "%%").replace("?", "%s"))


def schema_of(origin: str) -> str:
    """The schema of that log."""
    return f"log_{hashlib.sha256(origin.encode()).hexdigest()[:24]}"


def connector(
    *, host: str, port: int, database: str, user: str, password: Callable[[], str], tls: bool, ca: Path | None,
    timeout_s: float,
) -> Connect:  # fmt: skip
    """How to reach the database of the index; a statement there takes a minute at the most."""

    def connect() -> psycopg.Connection[Any]:
        trust = {"sslmode": "verify-full", "sslrootcert": str(ca) if ca else "system"}
        target = make_conninfo(
            "", host=host, port=port, dbname=database, user=user, password=password(),
            connect_timeout=max(2, round(timeout_s)), application_name="gateway-audit-index", keepalives_idle=10,
            options="-c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
            "-c jit=off",
            **(trust if tls else {"sslmode": "disable"}),
        )  # fmt: skip
        return psycopg.connect(target, autocommit=True)

    return connect


class PostgresIndex:
    """See `Index`. `checkpoint` says the newest signed head, which others are shown."""

    def __init__(self, connect: Connect, directory: Path, origin: str, checkpoint: Callable[[], str] = str) -> None:
        self.closing = False
        self.first, self.pruned = 0, b""
        self._connect, self._directory, self._origin, self._checkpoint = connect, directory, origin, checkpoint
        self._schema = schema_of(origin)
        self._connection: psycopg.Connection[Any] | None = None

    def upto(self, limit: int) -> Tables:
        """See `Index`."""
        for attempt in range(2):
            try:
                return self._followed(limit)
            except psycopg.Error as error:
                # the server or the way to it, or what somebody made of the tables
                lost = isinstance(error, psycopg.OperationalError)
                if self._connection is not None and lost:
                    self.close()
                elif not lost and not attempt:
                    self.forget()
                    continue
                if attempt or self.closing:
                    raise unusable(error) from error
        raise AssertionError("unreachable")

    def forget(self) -> None:
        """See `Index`."""
        try:
            connection = self._connected(make=False)
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                connection.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
        except psycopg.Error as error:
            raise unusable(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """See `Index`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def beside(self) -> None:
        """See `Index`: there is one schema for each log."""
        return

    def take_over(self, fresh: Index) -> None:  # noqa: ARG002 - see `beside`
        """See `Index`."""
        raise AssertionError("nothing is beside it")

    def _followed(self, limit: int) -> Tables:
        for _ in range(2):
            connection = self._connected()
            if untouched(connection):
                break
            self.forget()
        else:
            raise GatewayError("internal-error", "the audit index is changed by others", "see who may write to it")
        tables = PostgresTables(connection)
        place = _place(connection)
        reached = follow(
            tables, self._directory, place, limit, lambda: _writing(connection),
            lambda before, after: self._note(connection, before, after), lambda: self.closing,
        )  # fmt: skip
        if reached.size - place.size >= _MANY:
            connection.execute("SET statement_timeout = 0")
            connection.execute(f"VACUUM (ANALYZE) {', '.join(_DATA)}")
            connection.execute("SET statement_timeout = '60s'")
        self._show(connection, reached)
        return _Answering(connection)

    def _note(self, connection: psycopg.Connection[Any], before: Place, after: Place) -> None:
        """Compare-and-swap how far the index is."""
        moved = connection.execute(
            "UPDATE progress SET size = %s, segment = %s, at = %s WHERE size = %s AND segment = %s AND at = %s",
            (after.size, after.segment, after.at, before.size, before.segment, before.at),
        )
        if moved.rowcount != 1:
            raise psycopg.OperationalError("another process follows this log into the index")

    def _show(self, connection: psycopg.Connection[Any], place: Place) -> None:
        """Tell the others how far this log is followed, and that somebody does; at most each second if all is quiet."""
        note = self._checkpoint()
        stale = connection.execute(
            "SELECT FROM progress WHERE size = %s "
            "AND (checkpoint <> %s OR alive < clock_timestamp() - interval '0.9 s')",
            (place.size, note),
        )
        if stale.rowcount:
            with _writing(connection):
                connection.execute(
                    "UPDATE progress SET checkpoint = %s, alive = clock_timestamp(), "
                    "time = coalesce((SELECT time FROM records WHERE idx = size - 1), '')",
                    (note,),
                )

    def _connected(self, *, make: bool = True) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = self._connect()
        try:
            connection.execute(f"SET search_path = {self._schema}")
            if make:
                self._build(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _build(self, connection: psycopg.Connection[Any]) -> None:
        """Make the schema, or take the one that is there if it is whole, of this version and of this trail."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            first, pruned = minimum_of(self._directory, self._origin)
            self.first, self.pruned = first, pruned
            if self._usable(connection, first):
                return
            connection.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
            connection.execute(f"CREATE SCHEMA {self._schema}")
            connection.execute(_schema())
            connection.execute(
                "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"PERFORM nextval('{self._schema}.touches'); RETURN NULL; END $$"
            )
            for table in (*_DATA, "progress"):
                connection.execute(
                    f"CREATE TRIGGER touched AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
                    "FOR EACH STATEMENT WHEN (current_setting('gateway.following', true) IS DISTINCT FROM 'yes') "
                    "EXECUTE FUNCTION touched()"
                )
            start = Place(first, first)
            connection.execute("SET LOCAL gateway.following = 'yes'")
            insert = (
                "INSERT INTO progress (version, origin, size, segment, at, first, pruned, shape) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, "
            )
            connection.execute(
                f"{insert} ({_SHAPE}))",
                (VERSION, self._origin, start.size, start.segment, start.at, first, pruned),
            )

    def _usable(self, connection: psycopg.Connection[Any], first: int) -> bool:
        there = connection.execute("SELECT to_regclass(%s)", (f"{self._schema}.touches",)).fetchone()
        if there is None or there[0] is None:
            return False
        known = connection.execute("SELECT version, origin, first, size FROM progress").fetchone()
        if not untouched(connection) or known is None or known[:3] != (VERSION, self._origin, first):
            return False
        counts = connection.execute("SELECT count(*), coalesce(max(idx) + 1, %s) FROM records", (first,)).fetchone()
        if counts is None or counts[0] != counts[1] - first or counts[1] != known[3]:
            return False
        last = connection.execute("SELECT id, segment, at, length FROM records ORDER BY idx DESC LIMIT 1").fetchone()
        if last is None:
            return True
        try:
            leaf = read_leaf(segment_path(self._directory, last[1]), last[2], last[3])
        except (OSError, ValueError):
            return False
        return bool(record_of(leaf).get("id") == last[0])


def untouched(connection: psycopg.Connection[Any]) -> bool:
    """Whether nobody but the following has changed rows or tables of the schema since it was made."""
    sql = f"SELECT is_called OR shape IS DISTINCT FROM ({_SHAPE}) FROM touches, progress"  # noqa: S608
    row = connection.execute(sql).fetchone()
    return row is not None and not row[0]


def held_leaf(tables: Tables, index: int) -> bytes:
    """The leaf of another log as the index holds it. Raises `GatewayError("audit-damaged")`."""
    row = tables.row("SELECT hash, leaf FROM leaves WHERE idx = ?", (index,))
    if row is None or leaf_hash(row[1]) != row[0] or record_of(row[1]).get("index") != index:
        raise damaged(index, "the index does not hold it")
    return bytes(row[1])


def _place(connection: psycopg.Connection[Any]) -> Place:
    row = connection.execute("SELECT size, segment, at FROM progress").fetchone()
    if row is None:
        raise psycopg.DataError("the index does not say how far it is")
    return Place(*row)


@contextmanager
def _writing(connection: psycopg.Connection[Any]) -> Iterator[None]:
    with connection.transaction():
        connection.execute("SET LOCAL gateway.following = 'yes'")
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("SELECT FROM progress FOR UPDATE")
        yield


def unusable(error: psycopg.Error) -> GatewayError:
    """That the database of the index cannot be used."""
    return GatewayError(
        "internal-error", "the audit index cannot be used", "see that its PostgreSQL server runs", type(error).__name__
    )
