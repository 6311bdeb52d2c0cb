"""Failed attempts counted for all gateways on one store: lanes as `access/lockout.py` has them, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection

Until = Callable[[str, int, datetime], datetime]
"""Takes a lane, its failures and the moment of the last one; until when it is locked."""


def charge(
    connection: Connection, lanes: tuple[str, ...], now: datetime, until: Until, forget: datetime
) -> tuple[datetime, ...] | datetime:
    """Count an attempt in each lane, and tell when each had failed before; or until when one of them is locked.

    A count whose last failure was before `forget` begins anew.
    """
    table = schema.lockouts
    rows = connection.execute(sa.select(table).where(table.c.lane.in_(lanes)))
    kept = {row.lane: (row.failures, row.failed_at) for row in rows if row.failed_at >= forget}
    locked = [end for lane, (failures, at) in kept.items() if (end := until(lane, failures, at)) > now]
    if locked:
        return max(locked)
    connection.execute(table.delete().where(table.c.lane.in_(lanes)))
    counted = [{"lane": lane, "failures": kept.get(lane, (0, now))[0] + 1, "failed_at": now} for lane in lanes]
    connection.execute(table.insert(), counted)
    return tuple(kept.get(lane, (0, now))[1] for lane in lanes)


def give_back(connection: Connection, lanes: Iterable[str], before: Iterable[datetime], at: datetime) -> None:
    """Undo the charge of that moment: what it had to do with the secret is not known, or it was right."""
    table = schema.lockouts
    for lane, failed_at in zip(lanes, before, strict=True):
        last = sa.case(
            (table.c.failed_at == at, sa.literal(failed_at, table.c.failed_at.type)), else_=table.c.failed_at
        )
        fewer = table.c.lane == lane, table.c.failures > 0
        connection.execute(table.update().where(*fewer).values(failures=table.c.failures - 1, failed_at=last))


def proved(connection: Connection, lanes: tuple[str, ...], before: tuple[datetime, ...], at: datetime) -> None:
    """Forget the first lane, whose person has proved who he is, and give back the charges of the others."""
    connection.execute(schema.lockouts.delete().where(schema.lockouts.c.lane == lanes[0]))
    give_back(connection, lanes[1:], before[1:], at)


def keep(connection: Connection, counted: Sequence[tuple[str, int, datetime]]) -> None:
    """Take over what was counted elsewhere: lane, failures (none clears it) and moment; the latest counts."""
    table = schema.lockouts
    for lane, _, failed_at in counted:
        connection.execute(table.delete().where(table.c.lane == lane, table.c.failed_at <= failed_at))
    names = [lane for lane, _, _ in counted]
    later = set(connection.execute(sa.select(table.c.lane).where(table.c.lane.in_(names))).scalars())
    rows = [
        {"lane": lane, "failures": failures, "failed_at": failed_at}
        for lane, failures, failed_at in counted
        if failures and lane not in later
    ]
    if rows:
        connection.execute(table.insert(), rows)


def since(connection: Connection, moment: datetime) -> list[tuple[str, int, datetime]]:
    """Lane, failures and moment of the last one, of all that failed since then."""
    table = schema.lockouts
    rows = connection.execute(sa.select(table).where(table.c.failed_at >= moment))
    return [(row.lane, row.failures, row.failed_at) for row in rows]


def prune(connection: Connection, before: datetime) -> None:
    """Forget lanes whose last failure was before that."""
    connection.execute(schema.lockouts.delete().where(schema.lockouts.c.failed_at < before))
