"""Finding records again: an index, derived from the segments, that catches up before each question.

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
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.asking import Head, Narrow, Scope, named, pruned_note, scope_of
from gateway.audit.checkpoint import Checkpoint, Verifier, open_checkpoint
from gateway.audit.elsewhere import Elsewhere, Log
from gateway.audit.encode import record_of
from gateway.audit.export import export_chunks, first_line
from gateway.audit.following import Index, damaged, minimum_of
from gateway.audit.index import utc_text
from gateway.audit.local_index import SqliteIndex
from gateway.audit.questions import LIMIT, ask
from gateway.audit.rotation import kept_rotations
from gateway.audit.segment import Damaged, read_leaf, segment_path
from gateway.audit.tables import Tables, key
from gateway.audit.tiles import WIDTH, TileReader, entry_bundle
from gateway.audit.tree import inclusion_proof, leaf_hash, verify_inclusion
from gateway.audit.verify import PROOF_FORMAT
from gateway.errors import GatewayError

_EQUAL = ("kind", "login", "ticket", "target", "session", "statement", "decision", "code")
_PART = 500
_INDEXES = range(1 << 62)
_TAGGED = "tags AS t JOIN records AS r ON r.idx = t.idx WHERE t.tag ="
_USES = {
    "read": ("r.person", "r.target", "records AS r WHERE r.kind = 'session.begin'"),
    "write": ("r.person", "r.target", f"{_TAGGED} 'write' AND r.kind = 'statement.begin'"),
    "reveal": ("r.person", "r.target", f"{_TAGGED} 'reveal' AND r.kind = 'statement.begin'"),
    "break-glass": ("r.person", "r.target", "records AS r WHERE r.kind = 'break_glass.opened'"),
    "approve": ("t.value", "r.target", f"{_TAGGED} 'by' AND r.kind = 'request' AND t.value <> r.person"),
    "administer": (
        "t.value", "''",
        f"{_TAGGED} 'by' AND r.kind IN ('enrolment', 'factor.reset', 'person.suspension') AND t.value <> r.person",
    ),
    "audit": ("r.person", "''", "records AS r WHERE r.kind = 'audit.read'"),
    "custody": ("r.person", "''", "records AS r WHERE r.kind = 'audit.act'"),
}  # fmt: skip
"""Who used a right, on which target, in which records."""


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
        index: Index | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """The index is a file, which lies beside the trail unless it is given, or `index`. Opens nothing yet."""
        self._directory = Path(directory)
        self._verifier = verifier
        path = Path(database) if database else self._directory.with_name(self._directory.name + "-index.sqlite")
        self._index: Index = index or SqliteIndex(path, self._directory, verifier.name)
        self._durable = durable
        self._elsewhere = elsewhere
        self._mutex = threading.Lock()
        self._renewed: Index | None = None

    def search(self, query: Query) -> list[dict[str, Any]]:
        """The records that fit, as the trail holds them. Raises `GatewayError`."""
        order = "DESC" if query.newest_first else "ASC"
        limits = (max(0, min(query.limit, LIMIT)), max(0, query.offset))
        with self._mutex:
            tables = self._caught_up()
            where, values = _conditions(query, tables)
            sql = f"SELECT idx, segment, at, length FROM records AS r {where} ORDER BY idx {order} LIMIT ? OFFSET ?"  # noqa: S608
            rows = tables.all(sql, (*values, *limits))
        return [record_of(self._leaf(*row)) for row in rows]

    def count(self, query: Query) -> int:
        """How many records fit, limit and offset apart. Raises `GatewayError`."""
        with self._mutex:
            tables = self._caught_up()
            where, values = _conditions(query, tables)
            ((count,),) = tables.all(f"SELECT count(*) FROM records AS r {where}", values)  # noqa: S608
        return int(count)

    def notes(self, query: Query) -> list[str]:
        """What must be said of an answer to it: that records of that time were pruned. Raises `GatewayError`."""
        with self._mutex:
            tables = self._caught_up()
            since = utc_text(query.since) if query.since else ""
            row = tables.row("SELECT idx FROM records WHERE time >= ? ORDER BY time LIMIT 1", (since,))
            first = self._index.first
        return pruned_note(Scope(int(row[0]) if row else first, 0, "", minimum=first))

    def show(self, which: str | int) -> dict[str, Any]:
        """The record of that id or index. Raises `GatewayError("not-found")`."""
        place = self._place(which)
        record = record_of(self._leaf(*place))
        if str(which) not in (str(record["index"]), record["id"]):
            raise damaged(place[0], "the index has another record in its place")
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
                    raise damaged(index, str(error)) from error
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
            places = self._caught_up().all(sql, (first, first + width))
        if len(places) != width:
            raise GatewayError("not-found", "that part of the log was pruned")
        return entry_bundle(self._leaf(*place) for place in places)

    def ask(
        self, name: str, narrow: Narrow, *, now: datetime, since: datetime | None = None,
        until: datetime | None = None, limit: int = 100, offset: int = 0, upto: int | None = None, origin: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """The answer to one of `questions.QUESTIONS`, with what it covers: the records that are durable.

        `upto` leaves out what was recorded since another page of the answer. `origin` names the log of another gateway,
        which a shared index may have. Raises `GatewayError`.
        """
        if origin not in ("", self._verifier.name):
            return self._others().ask(
                origin, name, narrow, now=now, since=since, until=until, limit=limit, offset=offset, upto=upto
            )
        _, head = self._checkpoint()
        signed = Head(head.origin, head.size, head.root.hex())
        with self._mutex:
            tables = self._caught_up()
            ((held,),) = tables.all("SELECT coalesce(max(idx) + 1, 0) FROM records")
            size = held if upto is None else min(upto, held)
            scope = scope_of(tables, size, narrow, since, until, now, self._index.first)
            return ask(name, tables, self._leaf, signed, scope, narrow, limit, offset)

    def tagged(self, tag: str, values: Sequence[str]) -> list[tuple[int, str]]:
        """The records with one of those values of a tag (`index.py`), each with the value. Raises `GatewayError`."""
        found: list[tuple[int, str]] = []
        with self._mutex:
            tables = self._caught_up()
            for start in range(0, len(values), _PART):
                part = values[start : start + _PART]
                marks = ", ".join("?" * len(part))
                sql = f"SELECT idx, value FROM tags WHERE tag = ? AND value IN ({marks})"  # noqa: S608
                found += [(index, value) for index, value in tables.all(sql, (tag, *map(key, part)))]
        return sorted(found)

    def last_seen(self) -> dict[str, datetime]:
        """When each person (a directory id) was last let in, by whatever way. Raises `GatewayError`."""
        with self._mutex:
            rows = self._caught_up().all(
                "SELECT person, max(time) FROM records WHERE kind = 'login' AND decision = 'permit' "
                "AND person IS NOT NULL GROUP BY person"
            )
        return {person: datetime.fromisoformat(time) for person, time in rows}

    def usage(self, since: datetime) -> dict[tuple[str, str, str], tuple[datetime, int]]:
        """The last use of each right by person and target, and how often since then. Raises `GatewayError`.

        Rights are those of `policy/rights.py`; the target is empty for one at the gateway itself.
        """
        found: dict[tuple[str, str, str], tuple[datetime, int]] = {}
        with self._mutex:
            tables = self._caught_up()
            for right, (who, target, source) in _USES.items():
                sql = (
                    f"SELECT {who}, {target}, max(r.time), count(DISTINCT CASE WHEN r.time >= ? THEN r.idx END) "  # noqa: S608
                    f"FROM {source} GROUP BY 1, 2"
                )
                for person, where, last, count in tables.all(sql, (utc_text(since),)):
                    if person:
                        found[right, person, where or ""] = datetime.fromisoformat(last), int(count)
        return found

    def logs(self) -> list[Log]:
        """The logs that can be asked about here, the own one caught up. Raises `GatewayError`."""
        self.catch_up()
        return self._others().logs()

    def _others(self) -> Elsewhere:
        if self._elsewhere is None:
            raise GatewayError(
                "not-found", "this gateway knows its own log only", "share an index with `audit.index` in gateway.yaml"
            )
        return self._elsewhere

    def export(
        self, name: str, narrow: Narrow, *, now: datetime, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[dict[str, Any], Generator[bytes, None, None]]:
        """The answer by the index, and an export of it (`export.py`) in pieces. Raises `GatewayError`."""
        for attempt in range(3):
            note, head = self._checkpoint()
            signed = Head(head.origin, head.size, head.root.hex())
            with self._mutex:
                tables = self._caught_up()
                minimum, leaf = self._index.first, self._index.pruned
                scope = scope_of(tables, signed.size, narrow, since, until, now, minimum)
                begins = scope.first if scope.first == minimum else 0
                indexed = ask(name, tables, self._leaf, signed, scope, narrow, LIMIT, 0)
                fence = [index for index in (scope.first - 1, scope.end) if begins <= index < head.size]
                sql = "SELECT idx, segment, at, length FROM records WHERE idx = ?"
                leaves = [(one, self._leaf(*place)) for one in fence for place in tables.all(sql, (one,))]
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
                    raise damaged(scope.first, str(error)) from error
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
                self._index.forget()
            raise

    def catch_up(self) -> None:
        """Take in what is new, so that the next question need not. Raises `GatewayError`."""
        with self._mutex:
            self._caught_up()

    def rebuild(self) -> int:
        """Forget the index and build it anew; how many records it holds."""
        with self._mutex:
            self._index.forget()
            ((count,),) = self._caught_up().all("SELECT count(*) FROM records")
        return int(count)

    def renew(self) -> None:
        """Build the index anew, beside the one in use where that can be; for when records are to be pruned.

        Raises `GatewayError`.
        """
        fresh = self._index.beside()
        if fresh is None:
            self.rebuild()
            return
        self._renewed = fresh
        try:
            fresh.forget()
            fresh.upto(self._limit())
            fresh.close()
            with self._mutex:
                self._index.take_over(fresh)
        finally:
            self._renewed = None
            fresh.forget()

    def close(self) -> None:
        """Let go of the index; what is being taken in is broken off."""
        self._index.closing = True
        if (renewed := self._renewed) is not None:
            renewed.closing = True
        with self._mutex:
            self._index.closing = False
            self._index.close()

    def _place(self, which: str | int) -> tuple[int, int, int, int]:
        column = "idx" if isinstance(which, int) or which.isdecimal() else "id"
        value = key(which) if column == "id" else int(which)
        with self._mutex:
            sql = f"SELECT idx, segment, at, length FROM records WHERE {column} = ?"  # noqa: S608
            row = self._caught_up().row(sql, (value,)) if column == "id" or value in _INDEXES else None
            first = self._index.first
        if row is None and column == "idx" and int(which) < first:
            raise GatewayError("not-found", f"record {which} was pruned", f"the log begins at record {first}")
        if row is None:
            raise GatewayError(
                "not-found", f"there is no record `{which}`", "search for it with `gateway audit search`"
            )
        return row[0], row[1], row[2], row[3]

    def _caught_up(self) -> Tables:
        return self._index.upto(self._limit())

    def _limit(self) -> int:
        """How many records the index has to hold."""
        return self._durable() if self._durable is not None else self._checkpoint()[1].size

    def _leaf(self, index: int, segment: int, at: int, length: int) -> bytes:
        try:
            leaf = read_leaf(segment_path(self._directory, segment), at, length)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and index < minimum_of(self._directory, self._verifier.name)[0]:
                raise GatewayError("not-found", f"record {index} was pruned", "ask again") from error
            raise damaged(index, str(error)) from error
        if record_of(leaf).get("index") != index:
            raise damaged(index, "the index has another record in its place")
        return leaf

    def _checkpoint(self) -> tuple[str, Checkpoint]:
        try:
            note = (self._directory / "checkpoint").read_bytes().decode()
            return note, open_checkpoint(note, self._verifier)
        except (OSError, ValueError) as error:
            raise damaged(0, f"checkpoint: {error}") from error


def _entry(index: int, leaf: bytes, path: list[bytes], head: Checkpoint) -> dict[str, Any]:
    """A leaf with its way to the root. Raises `GatewayError` when it does not lead there."""
    if not verify_inclusion(index, head.size, leaf_hash(leaf), path, head.root):
        raise damaged(index, "the proof does not lead to the signed root")
    return {"index": index, "leaf": leaf.decode(), "path": [base64.b64encode(digest).decode() for digest in path]}


def _conditions(query: Query, tables: Tables) -> tuple[str, tuple[Any, ...]]:
    parts: list[str] = []
    values: list[Any] = []
    for name in _EQUAL:
        if value := getattr(query, name):
            parts.append(f"r.{name} = ?")
            values.append(key(value))
    if query.person:
        parts.append("(r.person = ? OR r.login = ?)")
        values += [key(query.person)] * 2
    if query.customer:
        parts.append("r.idx IN (SELECT idx FROM customers WHERE customer = ?)")
        values.append(key(query.customer))
    wanted = [named(query.relation)] if query.relation else []
    wanted += [tables.spelled(query.text)] if query.text.strip() else []
    for condition, more in wanted:
        parts.append(condition)
        values += more
    if query.since:
        parts.append("r.time >= ?")
        values.append(utc_text(query.since))
    if query.until:
        parts.append("r.time < ?")
        values.append(utc_text(query.until))
    return ("WHERE " + " AND ".join(parts) if parts else ""), tuple(values)
