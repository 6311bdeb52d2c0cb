"""Who is suspended and which rights were withdrawn, as rows; and who is known here at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.store import changes, schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class Suspension:
    """That a person (a directory id) may do nothing here until an administrator lifts it."""

    person: str
    suspended_by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """That a recertification took a right from a person: on a target, or at the gateway itself (`target` empty)."""

    person: str
    target: str
    what: str
    review_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """A person of whom this store has something: kinds of factors with when they were enrolled, a live invitation."""

    person: str
    factors: tuple[tuple[str, datetime], ...]
    invited_until: datetime | None


def load(connection: Connection) -> tuple[list[Suspension], list[Withdrawal]]:
    """All that counts now."""
    suspended = connection.execute(sa.select(schema.suspensions))
    withdrawn = connection.execute(sa.select(schema.withdrawals))
    return [Suspension(**row._mapping) for row in suspended], [Withdrawal(**row._mapping) for row in withdrawn]


def suspend(connection: Connection, new: Suspension) -> bool:
    """Suspend a person and take his sign-ins away; False when he is suspended already."""
    table = schema.suspensions
    if connection.execute(sa.select(table.c.person).where(table.c.person == new.person)).first() is not None:
        return False
    connection.execute(
        table.insert().values(person=new.person, suspended_by=new.suspended_by, reason=new.reason, at=new.at)
    )
    connection.execute(schema.tokens.delete().where(schema.tokens.c.person == new.person))
    changes.tell(connection, changes.PERSON, new.person)
    return True


def lift(connection: Connection, person: str) -> bool:
    """Lift a suspension; False when there is none."""
    return connection.execute(schema.suspensions.delete().where(schema.suspensions.c.person == person)).rowcount == 1


def withdraw(connection: Connection, taken: Iterable[Withdrawal]) -> None:
    """Take rights away; one that is gone already keeps the review that it went with."""
    table = schema.withdrawals
    gone = {(row.person, row.target, row.what) for row in connection.execute(sa.select(table))}
    for one in taken:
        if (one.person, one.target, one.what) not in gone:
            connection.execute(
                table.insert().values(
                    person=one.person, target=one.target, what=one.what, review_id=one.review_id, at=one.at
                )
            )


def restore(connection: Connection, person: str, target: str, what: str) -> bool:
    """Give a right back; False when it was not withdrawn."""
    table = schema.withdrawals
    mine = sa.and_(table.c.person == person, table.c.target == target, table.c.what == what)
    return connection.execute(table.delete().where(mine)).rowcount == 1


def known(connection: Connection, now: datetime, limit: int = 10_000) -> list[Known]:
    """Everybody of whom there is a factor, an invitation, a request, a delegation or a loss; by id."""
    factors, invitations = schema.factors, schema.invitations
    held: dict[str, list[tuple[str, datetime]]] = {}
    keys = schema.security_keys
    keyed = sa.select(keys.c.person, sa.literal("webauthn").label("kind"), sa.func.min(keys.c.created_at)).group_by(
        keys.c.person
    )
    enrolled = sa.select(factors.c.person, factors.c.kind, factors.c.enrolled_at)
    for row in connection.execute(sa.union_all(enrolled, keyed)):
        held.setdefault(row.person, []).append((row.kind, row.enrolled_at))
    waiting = sa.select(invitations.c.person, invitations.c.expires_at).where(
        invitations.c.used_at.is_(None), invitations.c.expires_at > now
    )
    invited: dict[str, datetime] = {row.person: row.expires_at for row in connection.execute(waiting)}
    others = sa.union(
        sa.select(schema.requests.c.person),
        sa.select(schema.suspensions.c.person),
        sa.select(schema.withdrawals.c.person),
        sa.select(schema.delegations.c.delegator),
        sa.select(schema.delegations.c.delegate),
        sa.select(schema.tokens.c.person),
    )
    people = {*held, *invited, *(row[0] for row in connection.execute(others))}
    return [Known(one, tuple(sorted(held.get(one, ()))), invited.get(one)) for one in sorted(people)[:limit]]
