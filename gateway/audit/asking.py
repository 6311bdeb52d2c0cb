"""How a question is put to the index: its scope, what narrows it, and the answer with what it covers.

A question is answered from the records `first` up to `end` of the log (`Scope`), and from nothing else: neither what
came before nor what came after, nor the directory, nor the tickets of today. So the same question over the same leaves
has the same answer for the gateway and for whoever was given the leaves (`export.py`).

INVARIANT: a filter reaches the database as a bound value, never as text of the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from gateway.audit.encode import record_of
from gateway.audit.index import utc_text
from gateway.audit.tables import Tables, key
from gateway.errors import GatewayError

Leaf = Callable[[int, int, int, int], bytes]
"""Reads the leaf of that index, segment, offset and length. Raises `GatewayError("audit-damaged")`."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Narrow:
    """What narrows a question; empty does not. `person` is an id or a login, `relation` may leave the schema out.

    `value` is one that tells who somebody is, as records have it: its tokens, with spaces between, or `-` for none.
    """

    person: str = ""
    ticket: str = ""
    customer: str = ""
    target: str = ""
    code: str = ""
    relation: str = ""
    column: str = ""
    value: str = ""
    recipient: str = ""

    def given(self) -> dict[str, str]:
        """The filters that narrow, by name."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}


@dataclass(frozen=True, slots=True)
class Scope:
    """The records that a question is about.

    `since` and `until` are the times asked for, as records spell them; `at` is the moment for questions about a state.
    `people` are the stable ids behind the person asked for. The records before `minimum` were pruned.
    """

    first: int
    end: int
    at: str
    since: str = ""
    until: str = ""
    people: tuple[str, ...] = ()
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The signed log that an answer is about: its name, how many records are under the signature, and their root."""

    origin: str
    size: int
    root: str


@dataclass(slots=True)
class Found:
    """What was found: how many rows there are in all, those of the page, and what must be said of them."""

    total: int
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question under way."""

    tables: Tables
    leaf: Leaf
    head: Head
    scope: Scope
    narrow: Narrow
    limit: int
    offset: int

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.tables.all(sql, values)

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.tables.row(sql, values)
        return row[0] if row else None

    def page(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of the page that was asked for."""
        return self.all(f"{sql} LIMIT ? OFFSET ?", (*values, self.limit, self.offset))

    def record(self, index: int | None) -> dict[str, Any]:
        """The record of that index, with whose it is when only its session says so; empty for None."""
        if index is None:
            return {}
        sql = "SELECT segment, at, length, person, login, ticket, target FROM records WHERE idx = ?"
        row = self.tables.row(sql, (index,))
        if row is None:
            raise GatewayError("audit-damaged", f"record {index} is not in the index", "run `gateway audit reindex`")
        whose = dict(zip(("person", "login", "ticket", "target"), row[3:], strict=True))
        return {**{k: v for k, v in whose.items() if v}, **record_of(self.leaf(index, *row[:3]))}

    def row(self, index: int, names: Iterable[str]) -> Row:
        """A row of the answer: the record's number and time, and those fields of it that it has."""
        record = self.record(index)
        return {"record": index, "time": record["time"], **{name: record[name] for name in names if name in record}}

    def listed(self, names: Sequence[str], where: str, values: Sequence[Any], *, newest: bool = False) -> Found:
        """Records `r` that fit, in their order, each as a row with those fields."""
        total = int(self.one(f"SELECT count(*) FROM records AS r WHERE {where}", values))  # noqa: S608
        order = "DESC" if newest else "ASC"
        # not by the index of that column, or the planner walks the whole log in order when few records fit
        sql = f"SELECT r.idx FROM records AS r WHERE {where} ORDER BY +r.idx {order}"  # noqa: S608
        return Found(total, [self.row(index, names) for (index,) in self.page(sql, values)])

    def narrowed(self, *kinds: str, people: bool = True) -> tuple[str, list[Any]]:
        """The condition that a record `r` is in scope, of one of those kinds, and fits what narrows the question."""
        given, free, parts = self.narrow, self.tables.free, ["r.idx >= ?", "r.idx < ?"]
        values: list[Any] = [self.scope.first, self.scope.end]
        chosen = bool(given.ticket or given.customer or (given.person and people))
        if kinds:
            parts.append(f"{free if chosen else ''}r.kind IN ({', '.join('?' * len(kinds))})")
            values += kinds
        if given.person and people:
            known = self.scope.people
            parts.append(f"(r.person IN ({', '.join('?' * len(known))}) OR (r.login = ? AND r.person IS NULL))")
            values += [*known, key(given.person)]
        for name in ("ticket", "target", "code"):
            if value := getattr(given, name):
                parts.append(f"{'' if name == 'ticket' else free}r.{name} = ?")
                values.append(key(value))
        if given.customer:
            parts.append("r.idx IN (SELECT idx FROM customers WHERE customer = ?)")
            values.append(key(given.customer))
        if given.relation:
            condition, more = named(given.relation)
            parts.append(condition)
            values += more
        return " AND ".join(parts), values

    def tagged(self, *tags: str, value: str | None = None) -> tuple[str, list[Any]]:
        """The further condition that the record has one of those tags, with that value if one is given."""
        marks = ", ".join("?" * len(tags))
        sql = f"r.idx IN (SELECT idx FROM tags WHERE tag IN ({marks}){' AND value = ?' if value is not None else ''})"  # noqa: S608
        return sql, [*tags, *([] if value is None else [value])]


def with_counts(asked: Asked, found: Found) -> Found:
    """Adds how many rows and bytes left, and how it ended, where that is in scope."""
    for row in found.rows:
        add_counts(asked, row)
    return found


def add_counts(asked: Asked, row: Row) -> None:
    """Adds it to one row."""
    sql = "SELECT ended, rows, bytes, status FROM statements WHERE idx = ?"
    ((end, size, length, status),) = asked.all(sql, (row["record"],))
    if end is None or end >= asked.scope.end:
        row["status"] = "not ended"
    else:
        row |= {"rows": size, "bytes": length, "status": status}


def named(relation: str) -> tuple[str, list[Any]]:
    """The condition that a record `r` is of that relation, with or without its schema's name."""
    bare = relation.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    sql = (
        "r.idx IN (SELECT idx FROM relations WHERE relation IN "
        "(SELECT relation FROM relation_names WHERE relation = ? OR lower(relation) LIKE ? ESCAPE '!'))"
    )
    # both databases lower ASCII only here
    return sql, [key(relation), str(key("%." + "".join(one.lower() if one.isascii() else one for one in bare)))]


def people_of(tables: Tables, person: str) -> tuple[str, ...]:
    """The stable ids behind a name: the name itself, and every id that had it as its login."""
    if not person:
        return ()
    person = str(key(person))
    rows = tables.all("SELECT person FROM people WHERE login IN (?, ?)", (person, key(person.casefold())))
    return tuple(sorted({person, *(row[0] for row in rows)}))


def logins_of(asked: Asked) -> list[str]:
    """What must be said of a name that several people had, or a person who had several."""
    people = [one for one in asked.scope.people if one != asked.narrow.person]
    notes = []
    if len(people) > 1:
        notes.append(
            f"`{asked.narrow.person}` was the login of several people: {', '.join(people)}; name one by his id"
        )
    marks = ", ".join("?" * len(asked.scope.people))
    logins = asked.all(f"SELECT DISTINCT login FROM people WHERE person IN ({marks})", asked.scope.people)  # noqa: S608
    if len(logins) > 1:
        notes.append(f"the person had several logins: {', '.join(sorted(row[0] for row in logins))}")
    return notes


def pruned_note(scope: Scope) -> list[str]:
    """What must be said where records of the time asked for may have been pruned."""
    if not scope.minimum or scope.first > scope.minimum:
        return []
    return [f"the log begins at record {scope.minimum}: what was recorded before was pruned, and is not counted here"]


def scope_of(
    tables: Tables, size: int, narrow: Narrow, since: datetime | None, until: datetime | None,
    now: datetime, minimum: int = 0,
) -> Scope:  # fmt: skip
    """The records of that time among the first `size`: times of records only grow, so they are one stretch."""
    if since is not None and until is not None and since >= until:
        raise GatewayError("request-invalid", "the time asked for ends before it begins", "see --from and --to")
    try:
        begins, ends = (utc_text(one) if one else "" for one in (since, until))
    except OverflowError as error:
        raise GatewayError("request-invalid", "that is no time in UTC", "see --from and --to") from error

    def index_of(time: str, otherwise: int) -> int:
        if not time:
            return otherwise
        # the first by time is the first by number, which spares looking at all of them
        row = tables.row("SELECT idx FROM records WHERE time >= ? ORDER BY time, idx LIMIT 1", (time,))
        return size if row is None else min(row[0], size)

    first, end = index_of(begins, minimum), index_of(ends, size)
    at = utc_text(until if until is not None and until < now else now)
    return Scope(
        first, max(first, end), at, begins, ends, people_of(tables, narrow.person), minimum,
    )  # fmt: skip
