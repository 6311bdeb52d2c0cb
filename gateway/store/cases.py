"""Cases of security events, what has to be sent about them, and what the rules remember, as rows.

A case is changed by compare-and-swap of its version; cases and what was sent are never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


class CaseState(StrEnum):
    """Where a case stands."""

    NEW = "new"
    INVESTIGATING = "investigating"
    RESOLVED = "resolved"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SignOff:
    """That somebody (a directory id) agreed for a department to what the case then rested on (`evidence`, a root)."""

    department: str
    person: str
    at: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Case:
    """Events of one rule about one thing. `people` are ids of those it is about, `evidence` (index, leaf hash)."""

    id: str
    rule: str
    about: str
    severity: str
    title: str
    people: tuple[str, ...]
    state: CaseState
    opened_at: datetime
    changed_at: datetime
    evidence: tuple[tuple[int, str], ...]
    version: int = 0
    investigator: str = ""
    finding: str = ""
    closed_by: str = ""
    sign_offs: tuple[SignOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to send to a sink, and how often that was tried."""

    id: str
    sink: str
    body: dict[str, Any] = field(repr=False)
    made_at: datetime
    next_at: datetime
    state: str = "waiting"
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the rules remember of a log, as of its first `size` records."""

    origin: str
    size: int
    data: bytes


def find(connection: Connection, case_id: str) -> Case | None:
    """The case of that id."""
    row = connection.execute(sa.select(schema.cases).where(schema.cases.c.id == case_id)).first()
    return None if row is None else _case(row)


def about(connection: Connection, rule: str, about_: str) -> Case | None:
    """The newest case of that rule about that."""
    table = schema.cases
    query = sa.select(table).where(table.c.rule == rule, table.c.about == about_).order_by(table.c.opened_at.desc())
    row = connection.execute(query.limit(1)).first()
    return None if row is None else _case(row)


def newest(connection: Connection, *, states: Iterable[CaseState] = CaseState, limit: int = 500) -> list[Case]:
    """Cases in those states, those that changed last first."""
    table = schema.cases
    wanted = table.c.state.in_([state.value for state in states])
    rows = connection.execute(sa.select(table).where(wanted).order_by(table.c.changed_at.desc()).limit(limit))
    return [_case(row) for row in rows]


def put(connection: Connection, case: Case, notices: Iterable[Notice] = ()) -> bool:
    """Insert the case (version 0), or swap in its next version for the one before; False when that is not there.

    Its notices are kept in the same transaction.
    """
    table = schema.cases
    values = _values(case)
    if case.version == 0:
        connection.execute(table.insert().values(id=case.id, **values))
    else:
        before = sa.and_(table.c.id == case.id, table.c.version == case.version - 1)
        if connection.execute(table.update().where(before).values(**values)).rowcount != 1:
            return False
    put_notices(connection, notices)
    return True


def put_notices(connection: Connection, notices: Iterable[Notice]) -> None:
    """Keep what has to be sent."""
    for notice in notices:
        connection.execute(
            schema.notices.insert().values(
                id=notice.id, sink=notice.sink, body=notice.body, state=notice.state, made_at=notice.made_at,
                next_at=notice.next_at, tries=notice.tries,
            )
        )  # fmt: skip


def due(connection: Connection, now: datetime, limit: int = 50) -> list[Notice]:
    """Notices whose turn it is, oldest first."""
    table = schema.notices
    query = sa.select(table).where(table.c.state == "waiting", table.c.next_at <= now).order_by(table.c.made_at)
    return [
        Notice(row.id, row.sink, row.body, row.made_at, row.next_at, row.state, row.tries)
        for row in connection.execute(query.limit(limit))
    ]


def claim(connection: Connection, notice: Notice, until: datetime) -> bool:
    """Have a notice to oneself until then; False when somebody else was quicker."""
    table = schema.notices
    same = table.c.id == notice.id, table.c.state == "waiting", table.c.next_at == notice.next_at
    return connection.execute(table.update().where(*same).values(next_at=until)).rowcount == 1


def waiting(connection: Connection) -> int:
    """How many notices wait."""
    table = schema.notices
    query = sa.select(sa.func.count()).select_from(table).where(table.c.state == "waiting")
    return int(connection.execute(query).scalar_one())


def tried(connection: Connection, notice: Notice, state: str, next_at: datetime) -> None:
    """What became of a try."""
    table = schema.notices
    changes = {"state": state, "tries": notice.tries + 1, "next_at": next_at}
    connection.execute(table.update().where(table.c.id == notice.id).values(**changes))


def memory(connection: Connection, origin: str) -> Memory | None:
    """What the rules remembered of that log."""
    table = schema.alert_memory
    row = connection.execute(sa.select(table).where(table.c.origin == origin)).first()
    return None if row is None else Memory(row.origin, row.size, row.data)


def remember(connection: Connection, kept: Memory) -> None:
    """Keep what the rules remember, in place of what was kept before."""
    table = schema.alert_memory
    connection.execute(table.delete().where(table.c.origin == kept.origin))
    connection.execute(table.insert().values(origin=kept.origin, size=kept.size, data=kept.data))


def _values(case: Case) -> dict[str, Any]:
    return {
        "rule": case.rule, "about": case.about, "severity": case.severity, "title": case.title,
        "people": list(case.people), "state": case.state.value, "version": case.version, "opened_at": case.opened_at,
        "changed_at": case.changed_at, "investigator": case.investigator, "finding": case.finding,
        "closed_by": case.closed_by, "evidence": [list(one) for one in case.evidence],
        "sign_offs": [[one.department, one.person, one.at, one.evidence] for one in case.sign_offs],
    }  # fmt: skip


def _case(row: Any) -> Case:
    return Case(
        row.id, row.rule, row.about, row.severity, row.title, tuple(row.people), CaseState(row.state), row.opened_at,
        row.changed_at, tuple((index, digest) for index, digest in row.evidence), row.version, row.investigator,
        row.finding, row.closed_by, tuple(SignOff(*one) for one in row.sign_offs),
    )  # fmt: skip
