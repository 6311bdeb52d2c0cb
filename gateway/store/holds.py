"""Legal holds, as rows: never deleted; one that was lifted says when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class Hold:
    """Records that fit `subject` are kept until it is lifted; set by the two people of the act that it is named after.

    `subject` has some of customer, person, ticket, target, since, until; all of them must fit.
    """

    id: str
    subject: Mapping[str, str]
    reason: str
    asked_by: str
    confirmed_by: str
    set_at: datetime
    lifted_at: datetime | None = None


def insert(connection: Connection, hold: Hold) -> None:
    """Keep a new hold; one of the same act is it already."""
    if find(connection, hold.id) is None:
        connection.execute(
            schema.holds.insert().values(
                id=hold.id,
                subject=dict(hold.subject),
                reason=hold.reason,
                asked_by=hold.asked_by,
                confirmed_by=hold.confirmed_by,
                set_at=hold.set_at,
            )
        )


def find(connection: Connection, hold_id: str) -> Hold | None:
    """The hold of that id."""
    row = connection.execute(sa.select(schema.holds).where(schema.holds.c.id == hold_id)).first()
    return None if row is None else _hold(row)


def listed(connection: Connection, *, live: bool = True) -> list[Hold]:
    """Holds, newest first; `live` leaves out those that were lifted."""
    query = sa.select(schema.holds).order_by(schema.holds.c.set_at.desc(), schema.holds.c.id)
    if live:
        query = query.where(schema.holds.c.lifted_at.is_(None))
    return [_hold(row) for row in connection.execute(query)]


def lift(connection: Connection, hold_id: str, at: datetime) -> None:
    """Note that the hold is no more."""
    table = schema.holds
    connection.execute(table.update().where(table.c.id == hold_id, table.c.lifted_at.is_(None)).values(lifted_at=at))


def _hold(row: Any) -> Hold:
    return Hold(row.id, row.subject, row.reason, row.asked_by, row.confirmed_by, row.set_at, row.lifted_at)
