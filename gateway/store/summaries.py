"""What each gateway has used of the budgets, as `ledger.py` lays it out: for its next start, and for the others."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


def keep(connection: Connection, origin: str, data: bytes) -> None:
    """Put a gateway's summary in the place of its last one."""
    table = schema.budget_summary
    connection.execute(table.delete().where(table.c.origin.in_((origin, ""))))
    connection.execute(table.insert().values(origin=origin, data=data))


def find(connection: Connection, origin: str, *, others: bool) -> list[bytes]:
    """The gateway's summary; where it has none, and `others` says so, those of all others."""
    table = schema.budget_summary
    rows = [(row.origin, bytes(row.data)) for row in connection.execute(sa.select(table).order_by(table.c.origin))]
    own = [data for whose, data in rows if whose in (origin, "")]
    return own or ([data for _, data in rows] if others else [])


def share(connection: Connection, origin: str, data: bytes) -> None:
    """Let the others know what a gateway has used, and holds for what runs, in the place of what it said before."""
    table = schema.budget_shares
    connection.execute(table.delete().where(table.c.origin == origin))
    connection.execute(table.insert().values(origin=origin, data=data))


def shared(connection: Connection, origin: str) -> list[bytes]:
    """What all the others have said."""
    table = schema.budget_shares
    return [bytes(row.data) for row in connection.execute(sa.select(table).where(table.c.origin != origin))]
