"""One summary of what was used of the budgets, as `ledger.py` lays it out; the last one replaces the one before."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


def keep(connection: Connection, data: bytes) -> None:
    """Put a summary in the place of the last one."""
    connection.execute(schema.budget_summary.delete())
    connection.execute(schema.budget_summary.insert().values(data=data))


def find(connection: Connection) -> bytes | None:
    """The summary, if one was ever kept."""
    found = connection.execute(sa.select(schema.budget_summary.c.data)).scalar()
    return None if found is None else bytes(found)
