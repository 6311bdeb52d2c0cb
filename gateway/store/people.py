"""Factors, invitations, recovery codes, sign-ins and lock-outs as rows. Secrets arrive here sealed or hashed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from gateway.store import changes, schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class FactorRow:
    """A person's enrolled factor. `last_step` is the newest accepted time step."""

    person: str
    kind: str
    sealed: bytes = field(repr=False)
    enrolled_at: datetime
    last_step: int


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation. `sealed` is the secret that waits for its first code, None before enrolment began."""

    person: str
    expires_at: datetime
    sealed: bytes | None = field(repr=False)
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A sign-in, by the hash of its token."""

    hash: bytes = field(repr=False)
    id: str
    person: str
    factor: str
    factor_at: datetime
    created_at: datetime
    expires_at: datetime


def find_factor(connection: Connection, person: str) -> FactorRow | None:
    """The person's factor."""
    row = connection.execute(sa.select(schema.factors).where(schema.factors.c.person == person)).first()
    return None if row is None else FactorRow(**row._mapping)


def use_step(connection: Connection, person: str, step: int) -> bool:
    """Accept a time step once: True for the one caller that moved `last_step` forward to it."""
    table = schema.factors
    moved = connection.execute(
        table.update().where(table.c.person == person, table.c.last_step < step).values(last_step=step)
    )
    return moved.rowcount == 1


def use_recovery_code(connection: Connection, person: str, digest: bytes, at: datetime) -> bool:
    """Accept a recovery code once."""
    table = schema.recovery_codes
    used = connection.execute(
        table.update()
        .where(table.c.hash == digest, table.c.person == person, table.c.used_at.is_(None))
        .values(used_at=at)
    )
    return used.rowcount == 1


def insert_invitation(
    connection: Connection, digest: bytes, person: str, by: str, created_at: datetime, expires_at: datetime
) -> None:
    """Keep an invitation; the person's older unused ones go."""
    table = schema.invitations
    connection.execute(table.delete().where(table.c.person == person, table.c.used_at.is_(None)))
    connection.execute(
        table.insert().values(hash=digest, person=person, created_by=by, created_at=created_at, expires_at=expires_at)
    )


def find_invitation(connection: Connection, digest: bytes) -> InvitationRow | None:
    """The invitation of that hash."""
    table = schema.invitations
    row = connection.execute(
        sa.select(table.c.person, table.c.expires_at, table.c.sealed, table.c.used_at).where(table.c.hash == digest)
    ).first()
    return None if row is None else InvitationRow(**row._mapping)


def begin_enrolment(connection: Connection, digest: bytes, sealed: bytes) -> bool:
    """Put a waiting secret beside an unused invitation."""
    table = schema.invitations
    put = connection.execute(
        table.update().where(table.c.hash == digest, table.c.used_at.is_(None)).values(sealed=sealed)
    )
    return put.rowcount == 1


def finish_enrolment(connection: Connection, digest: bytes, factor: FactorRow, codes: Sequence[bytes]) -> bool:
    """Use up the invitation and keep the factor with its recovery codes; False when either was there before."""
    table = schema.invitations
    if find_factor(connection, factor.person) is not None:
        return False
    used = connection.execute(
        table.update()
        .where(table.c.hash == digest, table.c.used_at.is_(None), table.c.sealed == factor.sealed)
        .values(used_at=factor.enrolled_at, sealed=None)
    )
    if used.rowcount != 1:
        return False
    connection.execute(
        schema.factors.insert().values(
            person=factor.person,
            kind=factor.kind,
            sealed=factor.sealed,
            enrolled_at=factor.enrolled_at,
            last_step=factor.last_step,
        )
    )
    connection.execute(schema.recovery_codes.delete().where(schema.recovery_codes.c.person == factor.person))
    connection.execute(schema.recovery_codes.insert(), [{"hash": digest, "person": factor.person} for digest in codes])
    return True


def remove_factor(connection: Connection, person: str) -> bool:
    """Take away the factors, recovery codes, open invitations and sign-ins; False when there was no factor."""
    removed = connection.execute(schema.factors.delete().where(schema.factors.c.person == person)).rowcount
    for table in (schema.security_keys, schema.ceremonies):
        gone = connection.execute(table.delete().where(table.c.person == person)).rowcount
        removed += gone if table is schema.security_keys else 0
    connection.execute(schema.recovery_codes.delete().where(schema.recovery_codes.c.person == person))
    connection.execute(
        schema.invitations.delete().where(schema.invitations.c.person == person, schema.invitations.c.used_at.is_(None))
    )
    connection.execute(schema.tokens.delete().where(schema.tokens.c.person == person))
    changes.tell(connection, changes.PERSON, person)
    return removed > 0


def remove_old_factor(connection: Connection, person: str, before: datetime) -> bool:
    """Take away a factor that was enrolled before that moment, as `remove_factor` does; False when there is none."""
    factor, keys = find_factor(connection, person), schema.security_keys
    oldest = connection.execute(sa.select(sa.func.min(keys.c.created_at)).where(keys.c.person == person)).scalar()
    enrolled = [at for at in (factor.enrolled_at if factor is not None else None, oldest) if at is not None]
    return bool(enrolled) and min(enrolled) <= before and remove_factor(connection, person)


def insert_token(connection: Connection, row: TokenRow) -> None:
    """Keep a sign-in; those that ran out before it began go."""
    connection.execute(schema.tokens.delete().where(schema.tokens.c.expires_at <= row.created_at))
    connection.execute(
        schema.tokens.insert().values(
            hash=row.hash,
            id=row.id,
            person=row.person,
            factor=row.factor,
            factor_at=row.factor_at,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
    )
    changes.tell(connection, changes.PERSON, row.person)


def remove_token(connection: Connection, digest: bytes, person: str) -> bool:
    """Forget one sign-in of that person's."""
    changes.tell(connection, changes.PERSON, person)
    return connection.execute(schema.tokens.delete().where(schema.tokens.c.hash == digest)).rowcount == 1


def tokens_of(connection: Connection, persons: Collection[str], now: datetime) -> list[TokenRow]:
    """The live sign-ins of those people."""
    table = schema.tokens
    rows = connection.execute(sa.select(table).where(table.c.person.in_(persons), table.c.expires_at > now))
    return [TokenRow(**row._mapping) for row in rows]


def put_lockout(connection: Connection, lane: str, failures: int, failed_at: datetime) -> None:
    """Keep a count of failures; 0 removes it."""
    table = schema.lockouts
    connection.execute(table.delete().where(table.c.lane == lane))
    if failures:
        connection.execute(table.insert().values(lane=lane, failures=failures, failed_at=failed_at))


def load(connection: Connection, now: datetime) -> tuple[list[TokenRow], list[tuple[str, int, datetime]]]:
    """Live sign-ins, and every lock-out as (lane, failures, moment of the last one)."""
    tokens = connection.execute(sa.select(schema.tokens).where(schema.tokens.c.expires_at > now))
    locks = connection.execute(sa.select(schema.lockouts))
    return [TokenRow(**row._mapping) for row in tokens], [(row.lane, row.failures, row.failed_at) for row in locks]
