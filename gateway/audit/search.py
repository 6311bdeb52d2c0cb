"""Finding records again: an index in SQLite, derived from the segments, that catches up before each question.

The index holds what can be asked for and where each leaf lies; the records themselves are read from the segments, so
an answer is what the trail says. It may be deleted at any time: the next question builds it anew. Records that name
only their session (the end of a statement) are found by the person, ticket, target and customers of that session.

INVARIANT: an index that somebody else has written to is built anew, and a record that is not the one which the index
promises is an error; but an index that was edited while nobody looked can leave records out of an answer. An export
(`export.py`) is made from the records themselves and finds that; `verify.py` says that none of those is missing.
INVARIANT: nothing beyond the durable records is indexed: `durable` says how many those are when the writer is in this
process, and the checkpoint says it otherwise.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.asking import Head, Narrow, Scope, pruned_note, scope_of
from gateway.audit.checkpoint import Checkpoint, Verifier, open_checkpoint
from gateway.audit.encode import record_of
from gateway.audit.export import export_chunks, first_line
from gateway.audit.index import SCHEMA, VERSION, Intake, utc_text
from gateway.audit.pruning import kept_pruning
from gateway.audit.questions import LIMIT, ask
from gateway.audit.rotation import kept_rotations
from gateway.audit.segment import HEADER_BYTES, Damaged, read_batches, read_leaf, segment_path, segments_of
from gateway.audit.tiles import WIDTH, TileReader, entry_bundle
from gateway.audit.tree import inclusion_proof, leaf_hash, verify_inclusion
from gateway.audit.verify import PROOF_FORMAT
from gateway.errors import GatewayError

_EQUAL = ("kind", "login", "ticket", "target", "session", "statement", "decision", "code")
_COMMIT_EVERY = 5_000
_PART = 500


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; what is empty does not narrow. All conditions must hold.

    `person` is a stable id or a login. `relation` may leave the schema out. `text` is words of the normalised SQL, in
    that order for those in one quoted or dotted name. Times are UTC; `until` is exclusive.
    """

    person: str = ""
    login: str = ""
    ticket: str = ""
    customer: str = ""
    target: str = ""
    kind: str = ""
    code: str = ""
    decision: str = ""
    relation: str = ""
    session: str = ""
    statement: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    offset: int = 0
    newest_first: bool = True


class Search:
    """Answers questions about one trail. Safe to call from any thread; each call may read files."""

    def __init__(
        self,
        directory: str | Path,
        verifier: Verifier,
        *,
        database: str | Path | None = None,
        durable: Callable[[], int] | None = None,
    ) -> None:
        """`database` lies beside the trail unless it is given. Opens nothing yet."""
        self._directory = Path(directory)
        self._verifier = verifier
        self._path = Path(database) if database else self._directory.with_name(self._directory.name + "-index.sqlite")
        self._durable = durable
        self._mutex = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._written = 0
        self._closing = False
        self._renewed: Search | None = None

    def search(self, query: Query) -> list[dict[str, Any]]:
        """The records that fit, as the trail holds them. Raises `GatewayError`."""
        where, values = _conditions(query)
        order = "DESC" if query.newest_first else "ASC"
        sql = f"SELECT idx, segment, at, length FROM records AS r {where} ORDER BY idx {order} LIMIT ? OFFSET ?"  # noqa: S608
        limits = (max(0, min(query.limit, LIMIT)), max(0, query.offset))
        with self._mutex:
            rows = self._caught_up().execute(sql, (*values, *limits)).fetchall()
        return [record_of(self._leaf(*row)) for row in rows]

    def count(self, query: Query) -> int:
        """How many records fit, limit and offset apart. Raises `GatewayError`."""
        where, values = _conditions(query)
        with self._mutex:
            row = self._caught_up().execute(f"SELECT count(*) FROM records AS r {where}", values).fetchone()  # noqa: S608
        return int(row[0])

    def notes(self, query: Query) -> list[str]:
        """What must be said of an answer to it: that records of that time were pruned. Raises `GatewayError`."""
        with self._mutex:
            connection = self._caught_up()
            since = utc_text(query.since) if query.since else ""
            row = connection.execute(
                "SELECT idx FROM records WHERE time >= ? ORDER BY time LIMIT 1", (since,)
            ).fetchone()
            first = _meta(connection, "first")
        return pruned_note(Scope(int(row[0]) if row else first, 0, "", minimum=first))

    def show(self, which: str | int) -> dict[str, Any]:
        """The record of that id or index. Raises `GatewayError("not-found")`."""
        place = self._place(which)
        record = record_of(self._leaf(*place))
        if str(which) not in (str(record["index"]), record["id"]):
            raise _damaged(place[0], "the index has another record in its place")
        return record

    def prove(self, which: str | int) -> dict[str, Any]:
        """A proof document for the record of that id or index: leaf, place, path and signed checkpoint.

        Raises `GatewayError("not-found")` for an unknown record and for one that is not signed yet.
        """
        index, segment, at, length = self._place(which)
        leaf = self._leaf(index, segment, at, length)
        for attempt in range(3):
            note, head = self._checkpoint()
            if index >= head.size:
                raise GatewayError("not-found", f"record {index} is not signed yet", "try again in a second")
            nodes = TileReader(self._directory, head.size).node
            try:
                rotations = [one for one in kept_rotations(self._directory, head.origin) if one.index < head.size]
                leaves = [(one.index, one.leaf) for one in rotations] + [(index, leaf)]
                entries = [_entry(i, leaf, inclusion_proof(i, head.size, nodes), head) for i, leaf in leaves]
            except (ValueError, Damaged) as error:
                # the writer may have replaced the partial tiles of the checkpoint that was read a moment ago
                if attempt == 2:
                    raise _damaged(index, str(error)) from error
                continue
            break
        proof = {"format": PROOF_FORMAT, "checkpoint": note, **entries.pop()}
        if entries:
            # who has an earlier key follows them to the one that signed this head
            proof["rotations"] = entries
        return proof

    def bundle(self, number: int, width: int) -> bytes:
        """The entry bundle of that number (c2sp.org/tlog-tiles): the `width` leaves from `number` * 256 on.

        Raises `GatewayError("not-found")` unless all of them are signed.
        """
        first = number * WIDTH
        if first + width > self._checkpoint()[1].size:
            raise GatewayError("not-found", "there is no such part of the log")
        sql = "SELECT idx, segment, at, length FROM records WHERE idx >= ? AND idx < ? ORDER BY idx"
        with self._mutex:
            places = self._caught_up().execute(sql, (first, first + width)).fetchall()
        if len(places) != width:
            raise GatewayError("not-found", "that part of the log was pruned")
        return entry_bundle(self._leaf(*place) for place in places)

    def ask(
        self, name: str, narrow: Narrow, *, now: datetime, since: datetime | None = None,
        until: datetime | None = None, limit: int = 100, offset: int = 0, upto: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """The answer to one of `questions.QUESTIONS`, with what it covers: the records that are durable.

        `upto` leaves out what was recorded since another page of the answer. Raises `GatewayError`.
        """
        _, head = self._checkpoint()
        signed = Head(head.origin, head.size, head.root.hex())
        with self._mutex:
            connection = self._caught_up()
            held = int(connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM records").fetchone()[0])
            size = held if upto is None else min(upto, held)
            scope = scope_of(connection, size, narrow, since, until, now, _meta(connection, "first"))
            return ask(name, connection, self._leaf, signed, scope, narrow, limit, offset)

    def tagged(self, tag: str, values: Sequence[str]) -> list[tuple[int, str]]:
        """The records with one of those values of a tag (`index.py`), each with the value. Raises `GatewayError`."""
        found: list[tuple[int, str]] = []
        with self._mutex:
            connection = self._caught_up()
            for start in range(0, len(values), _PART):
                part = values[start : start + _PART]
                marks = ", ".join("?" * len(part))
                sql = f"SELECT idx, value FROM tags WHERE tag = ? AND value IN ({marks})"  # noqa: S608
                found += connection.execute(sql, (tag, *part))
        return sorted(found)

    def export(
        self, name: str, narrow: Narrow, *, now: datetime, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[dict[str, Any], Generator[bytes, None, None]]:
        """The answer by the index, and an export of it (`export.py`) in pieces. Raises `GatewayError`."""
        for attempt in range(3):
            note, head = self._checkpoint()
            signed = Head(head.origin, head.size, head.root.hex())
            with self._mutex:
                connection = self._caught_up()
                minimum = _meta(connection, "first")
                scope = scope_of(connection, signed.size, narrow, since, until, now, minimum)
                leaf = connection.execute("SELECT value FROM meta WHERE name = 'pruned'").fetchone()[0]
                begins = scope.first if scope.first == minimum else 0
                indexed = ask(name, connection, self._leaf, signed, scope, narrow, LIMIT, 0)
                fence = [index for index in (scope.first - 1, scope.end) if begins <= index < head.size]
                sql = "SELECT idx, segment, at, length FROM records WHERE idx = ?"
                leaves = [(one, self._leaf(*connection.execute(sql, (one,)).fetchone())) for one in fence]
            nodes = TileReader(self._directory, head.size).node
            try:
                kept = [one for one in kept_rotations(self._directory, head.origin) if one.index < head.size]
                pruned = [(int(record_of(leaf)["index"]), leaf)] if begins else []
                entries = [[_entry(i, leaf, inclusion_proof(i, head.size, nodes), head) for i, leaf in some]
                           for some in ([(one.index, one.leaf) for one in kept], leaves, pruned)]  # fmt: skip
                line = first_line(name, narrow, scope, note, head.size, nodes, *entries)
            except (ValueError, Damaged) as error:
                # as in `prove`
                if attempt == 2:
                    raise _damaged(scope.first, str(error)) from error
                continue
            break
        return indexed, self._exported(line, signed, scope, narrow, indexed)

    def _exported(
        self, line: dict[str, Any], head: Head, scope: Scope, narrow: Narrow, indexed: dict[str, Any]
    ) -> Generator[bytes, None, None]:
        try:
            yield from export_chunks(self._directory, line, head, scope, narrow, self._leaf, indexed)
        except FileNotFoundError as error:
            raise GatewayError("not-found", "records were pruned while they were exported", "ask again") from error
        except GatewayError:
            # an index that leaves something out was edited
            with self._mutex:
                self._forget()
            raise

    def catch_up(self) -> None:
        """Take in what is new, so that the next question need not. Raises `GatewayError`."""
        with self._mutex:
            self._caught_up()

    def rebuild(self) -> int:
        """Forget the index and build it anew; how many records it holds."""
        with self._mutex:
            self._forget()
            row = self._caught_up().execute("SELECT count(*) FROM records").fetchone()
        return int(row[0])

    def renew(self) -> None:
        """Build the index anew beside the one in use, which answers until then; for when records are to be pruned.

        Raises `GatewayError`.
        """
        path = self._path.with_name(self._path.name + ".new")
        fresh = Search(self._directory, self._verifier, database=path, durable=self._durable)
        self._renewed = fresh
        try:
            fresh._delete()
            fresh.catch_up()
            fresh.close()
            with self._mutex:
                self._forget()
                # closed by its last reader, it is one file
                os.replace(path, self._path)
        finally:
            self._renewed = None
            fresh.close()
            fresh._delete()

    def close(self) -> None:
        """Let go of the index; what is being taken in is broken off."""
        self._closing = True
        if (renewed := self._renewed) is not None:
            renewed._closing = True
        with self._mutex:
            self._closing = False
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _place(self, which: str | int) -> tuple[int, int, int, int]:
        column = "idx" if isinstance(which, int) or which.isdecimal() else "id"
        with self._mutex:
            row = (
                self._caught_up()
                .execute(f"SELECT idx, segment, at, length FROM records WHERE {column} = ?", (which,))  # noqa: S608
                .fetchone()
            )
            first = _meta(self._caught_up(), "first")
        if row is None and column == "idx" and int(which) < first:
            raise GatewayError("not-found", f"record {which} was pruned", f"the log begins at record {first}")
        if row is None:
            raise GatewayError(
                "not-found", f"there is no record `{which}`", "search for it with `gateway audit search`"
            )
        return row[0], row[1], row[2], row[3]

    def _leaf(self, index: int, segment: int, at: int, length: int) -> bytes:
        try:
            leaf = read_leaf(segment_path(self._directory, segment), at, length)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and index < self._minimum()[0]:
                raise GatewayError("not-found", f"record {index} was pruned", "ask again") from error
            raise _damaged(index, str(error)) from error
        if record_of(leaf).get("index") != index:
            raise _damaged(index, "the index has another record in its place")
        return leaf

    def _checkpoint(self) -> tuple[str, Checkpoint]:
        try:
            note = (self._directory / "checkpoint").read_bytes().decode()
            return note, open_checkpoint(note, self._verifier)
        except (OSError, ValueError) as error:
            raise _damaged(0, f"checkpoint: {error}") from error

    def _minimum(self) -> tuple[int, bytes]:
        """The index of the first record that there has to be, and the leaf that says so."""
        try:
            pruning = kept_pruning(self._directory, self._verifier.name)
        except (Damaged, OSError) as error:
            raise _damaged(0, f"pruned: {error}") from error
        return (0, b"") if pruning is None else (pruning.to, pruning.leaf)

    # -- the index

    def _caught_up(self) -> sqlite3.Connection:
        limit = self._durable() if self._durable is not None else self._checkpoint()[1].size
        for attempt in range(2):
            try:
                if self._connection is not None and _written(self._connection) != self._written:
                    self._forget()
                connection = self._connected()
                self._follow(connection, limit)
                return connection
            except sqlite3.DatabaseError as error:
                if attempt or isinstance(error, sqlite3.OperationalError):
                    raise GatewayError("internal-error", "the audit index cannot be used", detail=str(error)) from error
                self._forget()
        raise AssertionError("unreachable")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        # derived data: a crash may cost a rebuild, never a record
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        first, pruned = self._minimum()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and not self._usable(connection, first):
            connection.close()
            self._delete()
            return self._connected()
        if not tables:
            connection.executescript(SCHEMA)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [
                    ("version", VERSION),
                    ("origin", self._verifier.name),
                    ("first", first),
                    ("pruned", pruned),
                    ("next", first),
                    ("segment", first),
                    ("at", HEADER_BYTES),
                ],
            )
        self._connection, self._written = connection, _written(connection)
        return connection

    def _usable(self, connection: sqlite3.Connection, first: int) -> bool:
        """Whether the index is whole, of this version and of this trail: its last record is where it says."""
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        if meta.get("version") != VERSION or meta.get("origin") != self._verifier.name:
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

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._delete()

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _follow(self, connection: sqlite3.Connection, limit: int) -> None:
        """Take in the records up to `limit`, from where the last time ended."""
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        upto, segment, at = int(meta["next"]), int(meta["segment"]), int(meta["at"])
        if upto >= limit:
            return
        segments = [(first, path) for first, path in segments_of(self._directory) if first >= segment]
        intake, taken = Intake(connection), 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for first, path in segments:
                if first != segment:
                    if first != upto:
                        break
                    segment, at = first, HEADER_BYTES
                for batch in read_batches(path, upto, offset=at, limit=limit):
                    intake.take(segment, batch.first, batch.leaves, batch.offsets)
                    upto, at = batch.size, batch.end
                    taken += len(batch.leaves)
                    if taken >= _COMMIT_EVERY:
                        if self._closing:
                            raise GatewayError("shutting-down", "the gateway is stopping")
                        _note(connection, upto, segment, at)
                        connection.execute("COMMIT")
                        connection.execute("BEGIN IMMEDIATE")
                        taken = 0
            _note(connection, upto, segment, at)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        if upto < limit:
            # FAIL CLOSED: an answer without the rest would look whole
            raise _damaged(upto, f"{limit} records are durable, {upto} can be read")


def _entry(index: int, leaf: bytes, path: list[bytes], head: Checkpoint) -> dict[str, Any]:
    """A leaf with its way to the root. Raises `GatewayError` when it does not lead there."""
    if not verify_inclusion(index, head.size, leaf_hash(leaf), path, head.root):
        raise _damaged(index, "the proof does not lead to the signed root")
    return {"index": index, "leaf": leaf.decode(), "path": [base64.b64encode(digest).decode() for digest in path]}


def _meta(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


def _written(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has changed the index (SQLite, `PRAGMA data_version`)."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _note(connection: sqlite3.Connection, upto: int, segment: int, at: int) -> None:
    connection.executemany(
        "UPDATE meta SET value = ? WHERE name = ?", [(upto, "next"), (segment, "segment"), (at, "at")]
    )


def _conditions(query: Query) -> tuple[str, tuple[Any, ...]]:
    parts: list[str] = []
    values: list[Any] = []
    for name in _EQUAL:
        if value := getattr(query, name):
            parts.append(f"r.{name} = ?")
            values.append(value)
    if query.person:
        parts.append("(r.person = ? OR r.login = ?)")
        values += [query.person, query.person]
    if query.customer:
        parts.append("r.idx IN (SELECT idx FROM customers WHERE customer = ?)")
        values.append(query.customer)
    if query.relation:
        parts.append("r.idx IN (SELECT idx FROM relations WHERE relation = ? OR relation LIKE ? ESCAPE '!')")
        bare = query.relation.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values += [query.relation, f"%.{bare}"]
    if query.text.strip():
        parts.append("r.idx IN (SELECT rowid FROM words WHERE words MATCH ?)")
        values.append(" ".join('"' + word.replace('"', '""') + '"' for word in query.text.split()))
    if query.since:
        parts.append("r.time >= ?")
        values.append(utc_text(query.since))
    if query.until:
        parts.append("r.time < ?")
        values.append(utc_text(query.until))
    return ("WHERE " + " AND ".join(parts) if parts else ""), tuple(values)


def _damaged(index: int, detail: str) -> GatewayError:
    return GatewayError(
        "audit-damaged", f"record {index} cannot be read as it was written", "run `gateway audit verify`", detail
    )
