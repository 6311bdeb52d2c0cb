"""What the index holds, and how a leaf becomes rows of it. Pure towards the trail: nothing here reads a segment.

The same intake serves the gateway's own index, which follows the trail, and the passing one over a range of leaves
from which an export is answered and checked: so what both say about the same leaves is the same.

INVARIANT: a row says nothing that its leaf, or an earlier leaf of its session, does not say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from gateway.audit.encode import record_of

VERSION = "5"
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    idx INTEGER PRIMARY KEY, id TEXT NOT NULL, time TEXT NOT NULL, kind TEXT NOT NULL, person TEXT, login TEXT,
    ticket TEXT, target TEXT, session TEXT, statement TEXT, decision TEXT, code TEXT,
    segment INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL
);
CREATE UNIQUE INDEX records_id ON records (id);
CREATE INDEX records_time ON records (time);
CREATE INDEX records_kind ON records (kind, idx);
CREATE INDEX records_person ON records (person, idx);
CREATE INDEX records_login ON records (login, idx);
CREATE INDEX records_ticket ON records (ticket, idx);
CREATE INDEX records_session ON records (session, idx);
CREATE INDEX records_statement ON records (statement, idx);
CREATE INDEX records_code ON records (code, idx) WHERE code IS NOT NULL;
CREATE INDEX records_denied ON records (idx, person, login, target, code) WHERE decision = 'deny';
CREATE TABLE customers (customer TEXT, idx INTEGER, PRIMARY KEY (customer, idx)) WITHOUT ROWID;
CREATE TABLE relations (relation TEXT, idx INTEGER, PRIMARY KEY (relation, idx)) WITHOUT ROWID;
CREATE TABLE relation_names (relation TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE sessions (
    session TEXT PRIMARY KEY, person TEXT, login TEXT, ticket TEXT, target TEXT, customers TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE people (login TEXT, person TEXT, PRIMARY KEY (login, person)) WITHOUT ROWID;
CREATE TABLE tags (tag TEXT, value TEXT, idx INTEGER, PRIMARY KEY (tag, value, idx)) WITHOUT ROWID;
CREATE TABLE statements (idx INTEGER PRIMARY KEY, end INTEGER, rows INTEGER, bytes INTEGER, status TEXT);
CREATE INDEX statements_rows ON statements (rows, bytes) WHERE rows > 0;
CREATE INDEX statements_open ON statements (idx) WHERE end IS NULL;
CREATE TABLE grants (grant_id TEXT PRIMARY KEY, began INTEGER, ended INTEGER, expires TEXT) WITHOUT ROWID;
CREATE TABLE policies (idx INTEGER PRIMARY KEY, target TEXT NOT NULL, policy TEXT NOT NULL);
CREATE INDEX policies_target ON policies (target, idx);
CREATE VIRTUAL TABLE words USING fts5 (sql, content = '');
"""
_COLUMNS = ("id", "time", "kind", "person", "login", "ticket", "target", "session", "statement", "decision", "code")
_INHERITED = ("person", "login", "ticket", "target")
_WORDS = ("sql", "rewritten", "reason", "name", "query")
_SESSIONS_KEPT = 10_000
_FILED = frozenset({"request", "request.preview", "grant", "write.claimed", "write.released"})
_WRONG_FACTOR = frozenset(
    {"wrong code", "replayed code", "wrong or used recovery code", "no second factor is enrolled"}
)
_GONE = "access has ended: "


class Intake:
    """Turns leaves into rows. Remembers the last sessions, so that few need to be looked up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sessions: dict[str, tuple[Any, ...]] = {}
        self._policies: dict[str, str] = {}
        self._people: set[tuple[str, str]] = set()

    def take(self, segment: int, first: int, leaves: Iterable[bytes], offsets: Iterable[int]) -> None:
        """Index leaves that follow one another; `offsets` say where each lies in its segment."""
        records: list[tuple[Any, ...]] = []
        customers: list[tuple[str, int]] = []
        relations: list[tuple[str, int]] = []
        words: list[tuple[int, str]] = []
        tags: list[tuple[str, str, int]] = []
        begun: list[tuple[int]] = []
        later: list[tuple[int, dict[str, Any]]] = []
        for index, (leaf, at) in enumerate(zip(leaves, offsets, strict=True), first):
            record = record_of(leaf)
            kind, whose = record.get("kind"), self._whose(record)
            fields = [whose[_INHERITED.index(name)] if name in _INHERITED else record.get(name) for name in _COLUMNS]
            records.append((index, *fields, segment, at, len(leaf)))
            customers += [(customer, index) for customer in whose[-1].split("\n") if customer]
            relations += [(relation, index) for relation in record.get("relations", ())]
            if "relation" in record:
                relations.append((record["relation"], index))
            if text := " ".join(str(record[name]) for name in _WORDS if name in record):
                words.append((index, text))
            tags += [(tag, value, index) for tag, value in _tags(record, whose)]
            if kind == "statement.begin":
                begun.append((index,))
            if kind in ("statement.end", "statement.unknown", "grant", "session.begin", "policy.change"):
                later.append((index, record))
        insert = self._connection.executemany
        insert(f"INSERT INTO records VALUES ({', '.join('?' * 15)})", records)  # noqa: S608
        insert("INSERT OR IGNORE INTO customers VALUES (?, ?)", customers)
        insert("INSERT OR IGNORE INTO relations VALUES (?, ?)", relations)
        insert("INSERT OR IGNORE INTO relation_names VALUES (?)", [(name,) for name in {name for name, _ in relations}])
        insert("INSERT INTO words (rowid, sql) VALUES (?, ?)", words)
        insert("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
        insert("INSERT INTO statements (idx) VALUES (?)", begun)
        for index, record in later:
            self._state(index, record)

    def _state(self, index: int, record: dict[str, Any]) -> None:
        """What a record changes in the rows of earlier ones."""
        kind, execute = record["kind"], self._connection.execute
        if kind in ("statement.end", "statement.unknown"):
            begin = record.get("begin")
            if begin is None:
                row = execute(
                    "SELECT max(idx) FROM records WHERE statement = ? AND session = ? AND kind = 'statement.begin'",
                    (record.get("statement"), record.get("session")),
                ).fetchone()
                begin = row[0]
            status = "unknown" if kind == "statement.unknown" else record.get("status")
            execute(
                "UPDATE statements SET end = ?, rows = ?, bytes = ?, status = ? WHERE idx = ? AND end IS NULL",
                (index, record.get("rows", 0), record.get("bytes", 0), status, begin),
            )
        elif kind == "grant":
            self._grant(index, record)
        elif record.get("policy") and record.get("target"):
            target, policy = record["target"], record["policy"]
            if target not in self._policies:
                row = execute("SELECT policy FROM policies WHERE target = ? ORDER BY idx DESC", (target,)).fetchone()
                self._policies[target] = row[0] if row else ""
            if self._policies[target] != policy or kind == "policy.change":
                execute("INSERT INTO policies VALUES (?, ?, ?)", (index, target, policy))
                self._policies[target] = policy

    def _grant(self, index: int, record: dict[str, Any]) -> None:
        grant = record.get("grant")
        if not grant:
            return
        if record.get("state") == "active":
            values = (grant, index, _moment(record.get("expires_at")))
            self._connection.execute("INSERT OR IGNORE INTO grants VALUES (?, ?, NULL, ?)", values)
        else:
            self._connection.execute("UPDATE grants SET ended = ? WHERE grant_id = ? AND ended IS NULL", (index, grant))

    def _whose(self, record: dict[str, Any]) -> tuple[Any, ...]:
        """Person, login, ticket, target and customers (one a line): the record's own, or its session's."""
        own = (*(record.get(name) for name in _INHERITED), "\n".join(record.get("customers", ())))
        if own[0] and own[1] and (own[1], own[0]) not in self._people:
            if len(self._people) >= _SESSIONS_KEPT:
                self._people.clear()
            self._people.add((own[1], own[0]))
            self._connection.execute("INSERT OR IGNORE INTO people VALUES (?, ?)", (own[1], own[0]))
        session = record.get("session")
        if not session:
            return own
        known = self._sessions.get(session)
        if known is None:
            known = self._connection.execute(
                "SELECT person, login, ticket, target, customers FROM sessions WHERE session = ?", (session,)
            ).fetchone()
        merged = tuple(mine or theirs for mine, theirs in zip(own, known or own, strict=True))
        if record.get("login") and merged != known:
            self._connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)", (session, *merged))
            known = merged
        if known is not None:
            if len(self._sessions) >= _SESSIONS_KEPT:
                self._sessions.clear()
            self._sessions[session] = known
        return merged


def _tags(record: dict[str, Any], whose: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """What a record can be found by beyond its columns: pairs of a tag and a value, `""` where there is none."""
    kind, get = record.get("kind"), record.get
    ticket, reason, code = whose[2], str(get("reason", "")), get("code")
    if kind == "statement.begin":
        yield from (("reveal", column) for column in get("columns_revealed", ()))
        if get("columns_written"):
            yield "write", ""
        if get("protection") == "none":
            yield "observed", str(get("would", ""))
    elif kind == "search.exact":
        yield "searched", f"{get('relation', '')}.{get('column', '')}"
    elif kind in _FILED:
        yield from ((name, str(record[name])) for name in ("request", "grant", "digest") if get(name))
    if get("subjects") and kind in ("statement.begin", "statement.refused"):
        # the last one may be how many were left out
        yield from (("subject", token) for token in record["subjects"].split(" ") if token[:1] != "+")
    if get("by"):
        yield "by", str(record["by"])
    if kind == "request" and get("by") not in (None, "gateway") and (
        get("by") != whose[0] or get("decision") == "deny" or get("state") == "approved"
    ):  # fmt: skip
        yield "decided", ""
    if kind == "request" and whose[0] and (
        whose[0] in get("approvers", ()) or (get("by") == whose[0] and get("decision") == "deny" and get("request"))
    ):  # fmt: skip
        yield "self", ""
    if "clock_behind_us" in record or kind == "clock.step":
        yield "clock", ""
    if get("truncated"):
        yield "cut", ""
    if get("decision") == "deny" and (code == "second-factor-required" or reason in _WRONG_FACTOR):
        yield "factor", reason if reason in _WRONG_FACTOR else str(code)
    if code == "person-inactive" or reason == "person is not active" or (
        code == "access-ended" and reason.startswith(f"{_GONE}the directory says")
    ):  # fmt: skip
        yield "leaver", ""
    if ticket and (code in ("ticket-closed", "ticket-not-found") or _is_of_ticket(ticket, reason)):
        yield "closed", ticket
    elif ticket and kind in ("session.begin", "pass.minted") and code is None:
        yield "open", ticket


def _is_of_ticket(ticket: str, reason: str) -> bool:
    """Whether the reason is that this ticket justifies nothing any more: its state, or that it is gone."""
    if not reason.startswith(_GONE):
        return False
    rest = reason.removeprefix(_GONE)
    return rest.startswith(f"ticket `{ticket}` is `") or rest == f"the ticket `{ticket}` does not exist any more"


def utc_text(moment: datetime) -> str:
    """The moment as records spell it, so that texts compare as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _moment(text: Any) -> str:
    try:
        return utc_text(datetime.fromisoformat(str(text)))
    except ValueError:
        # unknown: it counts as one that never runs out, so that the holder is shown
        return "9999"
