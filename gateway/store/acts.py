"""Acts that need two people, as rows: never deleted; what was sealed in one goes when the act ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


class ActState(StrEnum):
    """Where an act stands."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    DONE = "done"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody asked for (`person`) and another one decided about (`decided_by`); both are directory ids.

    `subject` is what it is about, in words that may be shown and recorded; `sealed` is what of it may not, under a key.
    """

    id: str
    does: str
    subject: Mapping[str, str]
    reason: str
    person: str
    state: ActState
    filed_at: datetime
    sealed: bytes | None = field(default=None, repr=False)
    decided_by: str = ""
    decided_at: datetime | None = None
    decision_reason: str = ""
    done_at: datetime | None = None


def insert(connection: Connection, act: Act) -> None:
    """Keep a new act."""
    connection.execute(
        schema.acts.insert().values(
            id=act.id,
            does=act.does,
            subject=dict(act.subject),
            sealed=act.sealed,
            reason=act.reason,
            person=act.person,
            state=act.state.value,
            filed_at=act.filed_at,
        )
    )


def find(connection: Connection, act_id: str) -> Act | None:
    """The act as it stands."""
    row = connection.execute(sa.select(schema.acts).where(schema.acts.c.id == act_id)).first()
    return None if row is None else _act(row)


def newest(connection: Connection, *, states: Iterable[ActState] = ActState, limit: int = 500) -> list[Act]:
    """Acts in those states, newest first."""
    table = schema.acts
    wanted = table.c.state.in_([state.value for state in states])
    rows = connection.execute(sa.select(table).where(wanted).order_by(table.c.filed_at.desc()).limit(limit))
    return [_act(row) for row in rows]


def decide(
    connection: Connection, act_id: str, source: ActState, to: ActState, by: str, reason: str, at: datetime
) -> bool:
    """Compare-and-swap the state, with who decided so."""
    changes: dict[str, Any] = {"state": to.value, "decided_by": by, "decided_at": at, "decision_reason": reason}
    return _move(connection, act_id, source, to, changes)


def end(connection: Connection, act_id: str, source: ActState, to: ActState, at: datetime) -> bool:
    """Compare-and-swap the state; who decided stays on it."""
    return _move(connection, act_id, source, to, {"state": to.value, "done_at": at})


def _move(connection: Connection, act_id: str, source: ActState, to: ActState, changes: dict[str, Any]) -> bool:
    table = schema.acts
    if to is not ActState.CONFIRMED:
        changes["sealed"] = None
    moved = connection.execute(
        table.update().where(table.c.id == act_id, table.c.state == source.value).values(**changes)
    )
    return moved.rowcount == 1


def _act(row: Any) -> Act:
    return Act(
        row.id, row.does, row.subject, row.reason, row.person, ActState(row.state), row.filed_at, row.sealed,
        row.decided_by, row.decided_at, row.decision_reason, row.done_at,
    )  # fmt: skip
