"""Reviews of break-glass access, as rows: one for each grant, changed by compare-and-swap, never deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway.model import AccessRequest, Grant
from gateway.store import access, schema
from gateway.store.database import Connection


class ReviewState(StrEnum):
    """Where a review stands."""

    DUE = "due"
    OVERDUE = "overdue"
    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"
    SETTLED = "settled"


SUSPENDING = (ReviewState.OVERDUE, ReviewState.UNJUSTIFIED)
"""While one of a person's stands so, nothing is approved for him at once."""


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody (`person`, a directory id) did without approval, and what another one found of it."""

    grant_id: str
    person: str
    target: str
    ticket_id: str
    reason: str
    state: ReviewState
    opened_at: datetime
    due_at: datetime
    reviewed_by: str = ""
    reviewed_at: datetime | None = None
    note: str = ""


def insert(connection: Connection, request: AccessRequest, grant: Grant, review: Review) -> None:
    """Keep a grant with its request and the review that it needs."""
    access.insert_request(connection, request, grant)
    connection.execute(
        schema.reviews.insert().values(
            grant_id=review.grant_id,
            person=review.person,
            target=review.target,
            ticket_id=review.ticket_id,
            reason=review.reason,
            state=review.state.value,
            opened_at=review.opened_at,
            due_at=review.due_at,
        )
    )


def find(connection: Connection, grant_id: str) -> Review | None:
    """The review of that grant."""
    row = connection.execute(sa.select(schema.reviews).where(schema.reviews.c.grant_id == grant_id)).first()
    return None if row is None else _review(row)


def newest(connection: Connection, *, states: Iterable[ReviewState] = ReviewState, limit: int = 500) -> list[Review]:
    """Reviews in those states, newest first."""
    table = schema.reviews
    wanted = table.c.state.in_([state.value for state in states])
    rows = connection.execute(sa.select(table).where(wanted).order_by(table.c.opened_at.desc()).limit(limit))
    return [_review(row) for row in rows]


def suspends(connection: Connection, person: str, now: datetime) -> bool:
    """Whether a review of that person stands so, or is late, that nothing may be approved for him at once."""
    table = schema.reviews
    late = sa.and_(table.c.state == ReviewState.DUE.value, table.c.due_at <= now)
    bad = table.c.state.in_([state.value for state in SUSPENDING])
    found = connection.execute(sa.select(table.c.grant_id).where(table.c.person == person, sa.or_(late, bad)).limit(1))
    return found.first() is not None


def move(
    connection: Connection, grant_id: str, source: ReviewState, to: ReviewState,
    by: str = "", note: str = "", at: datetime | None = None,
) -> bool:  # fmt: skip
    """Compare-and-swap the state."""
    table = schema.reviews
    moved = connection.execute(
        table.update()
        .where(table.c.grant_id == grant_id, table.c.state == source.value)
        .values(state=to.value, reviewed_by=by, reviewed_at=at, note=note)
    )
    return moved.rowcount == 1


def _review(row: Any) -> Review:
    return Review(
        row.grant_id, row.person, row.target, row.ticket_id, row.reason, ReviewState(row.state), row.opened_at,
        row.due_at, row.reviewed_by, row.reviewed_at, row.note,
    )  # fmt: skip
