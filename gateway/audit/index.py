"""What the index holds, and how a leaf becomes rows of it. Pure towards the trail: nothing here reads a segment.

The same intake serves the gateway's own index, which follows the trail, and the passing one over a range of leaves
from which an export is answered and checked: so what both say about the same leaves is the same.

INVARIANT: a row says nothing that its leaf, or an earlier leaf of its session, does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from gateway.audit.encode import record_of
from gateway.audit.tables import Tables, key

VERSION = "8"
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
CREATE TABLE statements (idx INTEGER PRIMARY KEY, ended INTEGER, rows INTEGER, bytes INTEGER, status TEXT);
CREATE INDEX statements_rows ON statements (rows, bytes) WHERE rows > 0;
CREATE INDEX statements_open ON statements (idx) WHERE ended IS NULL;
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
    """Turns leaves into rows, which `flush` writes. Remembers the last sessions, so that few need to be looked up."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sessions: dict[str, tuple[Any, ...]] = {}
        self._policies: dict[str, str] = {}
        self._people: set[tuple[str, str]] = set()
        self._forget()

    def _forget(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {
            name: [] for name in ("records", "customers", "relations", "tags")
        }
        self._words: list[tuple[int, str]] = []
        self._begun: dict[int, tuple[Any, ...]] = {}
        self._names: dict[tuple[str | None, str | None], int] = {}
        self._new_sessions: dict[str, tuple[Any, ...]] = {}
        self._new_people: set[tuple[str, str]] = set()
        self._later: list[tuple[int, dict[str, Any]]] = []

    def take(self, segment: int, first: int, leaves: Iterable[bytes], offsets: Iterable[int]) -> None:
        """Take leaves that follow one another; `offsets` say where each lies in its segment."""
        rows = self._rows
        for index, (leaf, at) in enumerate(zip(leaves, offsets, strict=True), first):
            record = record_of(leaf)
            kind, whose = record.get("kind"), self._whose(record)
            fields = [
                whose[_INHERITED.index(name)] if name in _INHERITED else key(record.get(name)) for name in _COLUMNS
            ]
            rows["records"].append((index, *fields, segment, at, len(leaf)))
            customers = {customer: None for customer in whose[-1].split("\n") if customer}
            rows["customers"] += [(customer, index) for customer in customers]
            relations = {key(relation): None for relation in record.get("relations", ())}
            if "relation" in record:
                relations[key(record["relation"])] = None
            rows["relations"] += [(relation, index) for relation in relations]
            if text := " ".join(str(record[name]) for name in _WORDS if name in record):
                self._words.append((index, text))
            rows["tags"] += [
                (tag, value, index) for tag, value in {(tag, key(v)): None for tag, v in _tags(record, whose)}
            ]
            if kind == "statement.begin":
                self._begun[index] = (index, None, None, None, None)
                self._names[key(record.get("statement")), key(record.get("session"))] = index
            if kind in ("statement.end", "statement.unknown", "grant", "session.begin", "policy.change"):
                self._later.append((index, record))
            self._tables.keep(index, leaf)

    def flush(self) -> None:
        """Write what was taken."""
        tables, ends = self._tables, list[tuple[Any, ...]]()
        for index, record in self._later:
            if record["kind"] in ("statement.end", "statement.unknown"):
                ends += self._end(index, record)
        for table, rows in self._rows.items():
            tables.fill(table, rows)
        tables.many(
            "INSERT INTO relation_names VALUES (?) ON CONFLICT DO NOTHING",
            [(name,) for name in sorted({name for name, _ in self._rows["relations"]})],
        )
        tables.many("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(self._new_people))
        tables.many(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (session) DO UPDATE "
            "SET person = excluded.person, login = excluded.login, ticket = excluded.ticket, "
            "target = excluded.target, customers = excluded.customers",
            [(session, *whose) for session, whose in self._new_sessions.items()],
        )
        tables.spell(self._words)
        tables.fill("statements", self._begun.values())
        tables.many(
            "UPDATE statements SET ended = ?, rows = ?, bytes = ?, status = ? WHERE idx = ? AND ended IS NULL", ends
        )
        for index, record in self._later:
            if record["kind"] == "grant":
                self._grant(index, record)
            elif record["kind"] in ("session.begin", "policy.change"):
                self._policy(index, record)
        self._forget()

    def _end(self, index: int, record: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        """How a statement ended: noted where it was taken, or to be written in the row that it has."""
        begin = record.get("begin")
        if begin is None:
            names = (key(record.get("statement")), key(record.get("session")))
            begin = self._names.get(names)
            if begin is None:
                row = self._tables.row(
                    "SELECT max(idx) FROM records WHERE statement = ? AND session = ? AND kind = 'statement.begin'",
                    names,
                )
                begin = row[0] if row else None
        status = "unknown" if record["kind"] == "statement.unknown" else record.get("status")
        values = (index, record.get("rows", 0), record.get("bytes", 0), key(status))
        if not isinstance(begin, int):
            return
        taken = self._begun.get(begin)
        if taken is None:
            yield (*values, begin)
        elif taken[1] is None and begin < index:
            self._begun[begin] = (begin, *values)

    def _policy(self, index: int, record: dict[str, Any]) -> None:
        """That another policy was seen in force."""
        target, policy = key(record.get("target")), key(record.get("policy"))
        if not target or not policy:
            return
        if target not in self._policies:
            row = self._tables.row("SELECT policy FROM policies WHERE target = ? ORDER BY idx DESC LIMIT 1", (target,))
            self._policies[target] = row[0] if row else ""
        if self._policies[target] != policy or record["kind"] == "policy.change":
            self._tables.run("INSERT INTO policies VALUES (?, ?, ?)", (index, target, policy))
            self._policies[target] = policy

    def _grant(self, index: int, record: dict[str, Any]) -> None:
        grant = key(record.get("grant"))
        if not grant:
            return
        if record.get("state") == "active":
            values = (grant, index, _moment(record.get("expires_at")))
            self._tables.run("INSERT INTO grants VALUES (?, ?, NULL, ?) ON CONFLICT DO NOTHING", values)
        elif record.get("state") == "extended":
            until = _moment(record.get("expires_at"))
            self._tables.run("UPDATE grants SET expires = ? WHERE grant_id = ? AND ended IS NULL", (until, grant))
        else:
            self._tables.run("UPDATE grants SET ended = ? WHERE grant_id = ? AND ended IS NULL", (index, grant))

    def _whose(self, record: dict[str, Any]) -> tuple[Any, ...]:
        """Person, login, ticket, target and customers (one a line): the record's own, or its session's."""
        customers = "\n".join(str(key(one)) for one in record.get("customers", ()))
        own = (*(key(record.get(name)) for name in _INHERITED), customers)
        if own[0] and own[1] and (own[1], own[0]) not in self._people:
            if len(self._people) >= _SESSIONS_KEPT:
                self._people.clear()
            self._people.add((own[1], own[0]))
            self._new_people.add((own[1], own[0]))
        session = key(record.get("session"))
        if not session:
            return own
        known = self._sessions.get(session) or self._new_sessions.get(session)
        if known is None:
            known = self._tables.row(
                "SELECT person, login, ticket, target, customers FROM sessions WHERE session = ?", (session,)
            )
        merged = tuple(mine or theirs for mine, theirs in zip(own, known or own, strict=True))
        if record.get("login") and merged != known:
            self._new_sessions[session] = known = merged
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
        if get("recipient"):
            yield "recipient", str(record["recipient"])
            # what names nobody may be about any of the ticket's customers
            yield from (("sent", str(customer)) for customer in get("sent_for") or [""])
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
    if kind == "engine.process" and get("state") != "started":
        yield "down", ""
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
