"""Who acts in whose name, for which time, as rows: ended, never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class Delegation:
    """That `delegate` may decide in the name of `delegator` (both directory ids) from `starts_at` on.

    It is over at `ends_at`, or at `ended_at` when somebody ended it before.
    """

    id: str
    delegator: str
    delegate: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None

    @property
    def over_at(self) -> datetime:
        """When it is over, or was."""
        return self.ends_at if self.ended_at is None else min(self.ended_at, self.ends_at)

    def live(self, now: datetime) -> bool:
        """Whether it counts now."""
        return self.starts_at <= now < self.over_at


def insert(connection: Connection, new: Delegation) -> str:
    """Keep it unless it meets another one; returns "" or why not.

    A delegator has one delegate at a time, and nobody is both at once: there are no chains.
    """
    for one in within(connection, new.starts_at, new.ends_at):
        if one.delegator == new.delegator:
            return "you have a delegate for a part of that time"
        if one.delegate == new.delegator:
            return "you are somebody's delegate in that time, and what was lent is not lent on"
        if one.delegator == new.delegate:
            return "he has a delegate of his own in that time"
    connection.execute(
        schema.delegations.insert().values(
            id=new.id, delegator=new.delegator, delegate=new.delegate, reason=new.reason, starts_at=new.starts_at,
            ends_at=new.ends_at,
        )
    )  # fmt: skip
    return ""


def find(connection: Connection, delegation_id: str) -> Delegation | None:
    """The delegation of that id."""
    row = connection.execute(sa.select(schema.delegations).where(schema.delegations.c.id == delegation_id)).first()
    return None if row is None else _delegation(row)


def within(connection: Connection, since: datetime, until: datetime) -> list[Delegation]:
    """What counts, or counted, at any moment from `since` to `until`; oldest first."""
    table = schema.delegations
    over = sa.func.coalesce(table.c.ended_at, table.c.ends_at)
    met = sa.and_(table.c.starts_at <= until, table.c.ends_at > since, over > since)
    return [_delegation(row) for row in connection.execute(sa.select(table).where(met).order_by(table.c.starts_at))]


def newest(connection: Connection, limit: int = 500) -> list[Delegation]:
    """All, those that begin last first."""
    table = schema.delegations
    found = connection.execute(sa.select(table).order_by(table.c.starts_at.desc(), table.c.id).limit(limit))
    return [_delegation(row) for row in found]


def end(connection: Connection, delegation_id: str, at: datetime) -> bool:
    """End one that is not over; False when it is."""
    table = schema.delegations
    ended = connection.execute(
        table.update()
        .where(table.c.id == delegation_id, table.c.ended_at.is_(None), table.c.ends_at > at)
        .values(ended_at=at)
    )
    return ended.rowcount == 1


def _delegation(row: Any) -> Delegation:
    return Delegation(row.id, row.delegator, row.delegate, row.reason, row.starts_at, row.ends_at, row.ended_at)
