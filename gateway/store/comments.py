"""Comments that tickets are to get, as rows: kept until they are there, so that a crash forgets none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class Comment:
    """What a ticket gets to hear of a grant: `what` is `begin` or `end`. `tries` counts those that failed."""

    grant_id: str
    what: str
    system: str
    ticket_id: str
    text: str
    created_at: datetime
    tries: int = 0
    next_at: datetime | None = None


def insert(connection: Connection, comment: Comment) -> None:
    """Keep a comment that has to be made; the same one a second time is the first."""
    table = schema.ticket_comments
    there = sa.select(table.c.grant_id).where(table.c.grant_id == comment.grant_id, table.c.what == comment.what)
    if connection.execute(there).first() is None:
        connection.execute(
            table.insert().values(
                grant_id=comment.grant_id, what=comment.what, system=comment.system, ticket_id=comment.ticket_id,
                text=comment.text, created_at=comment.created_at, tries=comment.tries, next_at=comment.created_at,
            )
        )  # fmt: skip


def due(connection: Connection, now: datetime, limit: int = 50) -> list[Comment]:
    """The comments to be made now, oldest first."""
    table = schema.ticket_comments
    rows = connection.execute(
        sa.select(table)
        .where(table.c.done_at.is_(None), table.c.next_at <= now)
        .order_by(table.c.created_at, table.c.what)
        .limit(limit)
    )
    return [
        Comment(
            row.grant_id, row.what, row.system, row.ticket_id, row.text, row.created_at, row.tries, row.next_at
        )
        for row in rows
    ]  # fmt: skip


def tried(connection: Connection, comment: Comment, next_at: datetime) -> bool:
    """Count a try, before it is made; False when another gateway has begun it."""
    table = schema.ticket_comments
    this = table.c.grant_id == comment.grant_id, table.c.what == comment.what, table.c.tries == comment.tries
    counted = connection.execute(table.update().where(*this).values(tries=comment.tries + 1, next_at=next_at))
    return counted.rowcount == 1


def done(connection: Connection, comment: Comment, at: datetime) -> None:
    """No more to be made: it is there, or it was given up."""
    table = schema.ticket_comments
    connection.execute(
        table.update().where(table.c.grant_id == comment.grant_id, table.c.what == comment.what).values(done_at=at)
    )
