"""Reviews of who may ask for what, as rows: a review, its lines, and what came of it; never deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import schema, standing
from gateway.store.database import Connection
from gateway.store.standing import Withdrawal

OPEN, CLOSED = "open", "closed"
KEEP, REVOKE = "keep", "revoke"


@dataclass(frozen=True, slots=True)
class Line:
    """One right of one person: on a target, or at the gateway itself (`target` empty), with the teams that give it.

    `last_use` and `uses` are what the trail says of it when the review began; `withdrawn`, that it was withdrawn then.
    `decision` is `keep`, `revoke`, or empty while nobody has answered.
    """

    number: int
    person: str
    login: str
    name: str
    target: str
    what: str
    teams: tuple[str, ...]
    last_use: datetime | None
    uses: int
    withdrawn: bool
    decision: str = ""
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recertification:
    """A review. `document` is the signed-for result and `record` the index of the record that has its digest."""

    id: str
    state: str
    started_by: str
    started_at: datetime
    due_at: datetime
    reminded_at: datetime | None = None
    closed_by: str = ""
    closed_at: datetime | None = None
    document: bytes | None = None
    record: int | None = None


def insert(connection: Connection, new: Recertification, lines: Iterable[Line]) -> bool:
    """Keep a review with its lines; False when another one is open."""
    table = schema.recertifications
    if connection.execute(sa.select(table.c.id).where(table.c.state == OPEN)).first() is not None:
        return False
    connection.execute(
        table.insert().values(
            id=new.id, state=new.state, started_by=new.started_by, started_at=new.started_at, due_at=new.due_at,
            reminded_at=new.reminded_at,
        )
    )  # fmt: skip
    rows = [
        {
            "review_id": new.id, "number": one.number, "person": one.person, "login": one.login, "name": one.name,
            "target": one.target, "what": one.what, "teams": list(one.teams), "last_use": one.last_use,
            "uses": one.uses, "withdrawn": one.withdrawn,
        }
        for one in lines
    ]  # fmt: skip
    if rows:
        connection.execute(schema.recertification_lines.insert(), rows)
    return True


def find(connection: Connection, review_id: str) -> tuple[Recertification, list[Line]] | None:
    """The review of that id, with its lines."""
    table, lines = schema.recertifications, schema.recertification_lines
    row = connection.execute(sa.select(table).where(table.c.id == review_id)).first()
    if row is None:
        return None
    found = connection.execute(sa.select(lines).where(lines.c.review_id == review_id).order_by(lines.c.number))
    return Recertification(**row._mapping), [_line(one) for one in found]


def newest(connection: Connection, *, live: bool = False, limit: int = 200) -> list[Recertification]:
    """Reviews, newest first; `live` leaves out those that are closed."""
    table = schema.recertifications
    query = sa.select(table).order_by(table.c.started_at.desc()).limit(limit)
    if live:
        query = query.where(table.c.state == OPEN)
    return [Recertification(**row._mapping) for row in connection.execute(query)]


def decide(
    connection: Connection, review_id: str, numbers: Sequence[int], decision: str, by: str, at: datetime, reason: str
) -> bool:
    """Answer lines of a review that is open; a later answer takes the place of an earlier one."""
    table, lines = schema.recertifications, schema.recertification_lines
    still = sa.select(table.c.id).where(table.c.id == review_id, table.c.state == OPEN, table.c.due_at > at)
    if connection.execute(still).first() is None:
        return False
    answered = connection.execute(
        lines.update()
        .where(lines.c.review_id == review_id, lines.c.number.in_(list(numbers)))
        .values(decision=decision, decided_by=by, decided_at=at, reason=reason)
    )
    return answered.rowcount == len(numbers)


def remind(connection: Connection, review_id: str, before: datetime | None, at: datetime) -> bool:
    """Note that it was reminded of; False when somebody else just did."""
    table = schema.recertifications
    same = table.c.reminded_at.is_(None) if before is None else table.c.reminded_at == before
    waits = sa.and_(table.c.id == review_id, table.c.state == OPEN, same)
    return connection.execute(table.update().where(waits).values(reminded_at=at)).rowcount == 1


def answers(connection: Connection, review_id: str) -> list[Line]:
    """The lines as they are answered now."""
    lines = schema.recertification_lines
    found = connection.execute(sa.select(lines).where(lines.c.review_id == review_id).order_by(lines.c.number))
    return [_line(one) for one in found]


def close(
    connection: Connection, review_id: str, by: str, at: datetime, document: bytes, record: int,
    answered: Sequence[Line], taken: Sequence[Withdrawal], restored: Sequence[tuple[str, str, str]],
) -> bool:  # fmt: skip
    """Close an open review and take away, and give back, what came of it; False when any answer has changed."""
    table = schema.recertifications
    if answers(connection, review_id) != list(answered):
        return False
    closed = {"state": CLOSED, "closed_by": by, "closed_at": at, "document": document, "record": record}
    waits = sa.and_(table.c.id == review_id, table.c.state == OPEN)
    if connection.execute(table.update().where(waits).values(**closed)).rowcount != 1:
        return False
    standing.withdraw(connection, taken)
    for person, target, what in restored:
        standing.restore(connection, person, target, what)
    return True


def _line(row: Any) -> Line:
    return Line(
        row.number, row.person, row.login, row.name, row.target, row.what, tuple(row.teams), row.last_use, row.uses,
        row.withdrawn, row.decision, row.decided_by, row.decided_at, row.reason,
    )  # fmt: skip
