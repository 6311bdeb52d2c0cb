"""Security keys, and the ceremonies in which browsers use them, as rows: every step is a compare-and-swap."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from gateway.store import changes, schema
from gateway.store.database import Connection

MOST = 2_000
"""Ceremonies at a time: each lasts minutes."""


@dataclass(frozen=True, slots=True)
class SecurityKey:
    """A person's key. `sign_count` is the newest that it told."""

    credential: bytes
    person: str
    public_key: bytes = field(repr=False)
    sign_count: int
    name: str
    created_at: datetime
    used_at: datetime | None = None

    @property
    def id(self) -> str:
        """What tells it from the person's others, whatever they are called: eight hexadecimal digits."""
        return hashlib.sha256(self.credential).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Ceremony:
    """One use of a key, from the command that asked for it (`collect`) to the page that a browser shows (`page`).

    Both are hashes. `kind` is `login` or `enrol`; `person` is "" where the password was wrong, which nothing outside
    may learn. `state` goes from `waiting` to `proved` or `refused`.
    """

    page: bytes = field(repr=False)
    collect: bytes = field(repr=False)
    kind: str
    login: str
    person: str
    code: bytes = field(repr=False)
    tries: int
    address: str
    expires_at: datetime
    invitation: bytes | None = field(default=None, repr=False)
    name: str = ""
    challenge: bytes | None = field(default=None, repr=False)
    state: str = "waiting"
    credential: bytes | None = None
    public_key: bytes | None = field(default=None, repr=False)
    sign_count: int = 0


def insert(connection: Connection, row: Ceremony, now: datetime) -> bool:
    """Keep a ceremony; those that ran out go. False when there are too many."""
    table = schema.ceremonies
    connection.execute(table.delete().where(table.c.expires_at <= now))
    if (connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0) >= MOST:
        return False
    connection.execute(table.insert().values({name: getattr(row, name) for name in Ceremony.__dataclass_fields__}))
    return True


def find(connection: Connection, *, page: bytes = b"", collect: bytes = b"") -> Ceremony | None:
    """The ceremony of that page, or of that command."""
    table = schema.ceremonies
    where = table.c.page == page if page else table.c.collect == collect
    row = connection.execute(sa.select(table).where(where)).first()
    return None if row is None else Ceremony(**row._mapping)


def spend_try(connection: Connection, page: bytes) -> bool:
    """Use up one try of the code: False when none is left."""
    table = schema.ceremonies
    spent = connection.execute(
        table.update().where(table.c.page == page, table.c.tries > 0).values(tries=table.c.tries - 1)
    )
    return spent.rowcount == 1


def put_challenge(connection: Connection, page: bytes, challenge: bytes) -> bool:
    """Let the page's key be asked that; what was asked before is not good any more."""
    table = schema.ceremonies
    put = connection.execute(
        table.update().where(table.c.page == page, table.c.state == "waiting").values(challenge=challenge)
    )
    return put.rowcount == 1


def take_challenge(connection: Connection, page: bytes, challenge: bytes) -> bool:
    """Use up what was asked: True for one answer only."""
    table = schema.ceremonies
    taken = connection.execute(
        table.update()
        .where(table.c.page == page, table.c.state == "waiting", table.c.challenge == challenge)
        .values(challenge=None)
    )
    return taken.rowcount == 1


def settle(
    connection: Connection, page: bytes, state: str, credential: bytes | None = None,
    public_key: bytes | None = None, sign_count: int = 0,
) -> bool:  # fmt: skip
    """Say how the ceremony ended, once."""
    table = schema.ceremonies
    settled = connection.execute(
        table.update()
        .where(table.c.page == page, table.c.state == "waiting")
        .values(state=state, credential=credential, public_key=public_key, sign_count=sign_count)
    )
    return settled.rowcount == 1


def remove(connection: Connection, collect: bytes, state: str) -> bool:
    """Take a ceremony away that stands so: True for one command only."""
    table = schema.ceremonies
    return connection.execute(table.delete().where(table.c.collect == collect, table.c.state == state)).rowcount == 1


def find_key(connection: Connection, credential: bytes) -> SecurityKey | None:
    """The key of that credential, whoever's it is."""
    table = schema.security_keys
    row = connection.execute(sa.select(table).where(table.c.credential == credential)).first()
    return None if row is None else SecurityKey(**row._mapping)


def keys_of(connection: Connection, person: str) -> list[SecurityKey]:
    """A person's keys, oldest first."""
    table = schema.security_keys
    rows = connection.execute(sa.select(table).where(table.c.person == person).order_by(table.c.created_at))
    return [SecurityKey(**row._mapping) for row in rows]


def has_key(connection: Connection, person: str) -> bool:
    """Whether the person has a key."""
    return bool(keys_of(connection, person))


def remove_key(connection: Connection, key: SecurityKey) -> bool:
    """Take a key away, and the sign-ins of its person; False when it is gone already or the last of all factors."""
    table, factors = schema.security_keys, schema.factors
    others = [one for one in keys_of(connection, key.person) if one.credential != key.credential]
    coded = connection.execute(sa.select(factors.c.person).where(factors.c.person == key.person)).first()
    if not others and coded is None:
        return False
    if connection.execute(table.delete().where(table.c.credential == key.credential)).rowcount != 1:
        return False
    # what the key may be proving at this moment
    connection.execute(schema.ceremonies.delete().where(schema.ceremonies.c.person == key.person))
    connection.execute(schema.tokens.delete().where(schema.tokens.c.person == key.person))
    changes.tell(connection, changes.PERSON, key.person)
    return True


def use_key(connection: Connection, key: SecurityKey, sign_count: int, at: datetime) -> bool:
    """Move the key's counter, unless another use moved it meanwhile."""
    table = schema.security_keys
    moved = connection.execute(
        table.update()
        .where(table.c.credential == key.credential, table.c.sign_count == key.sign_count)
        .values(sign_count=sign_count, used_at=at)
    )
    return moved.rowcount == 1


def enrol(connection: Connection, key: SecurityKey, invitation: bytes | None, codes: Sequence[bytes]) -> bool:
    """Keep a key, using up the invitation that it came by, with recovery codes for a first factor; or nothing."""
    if find_key(connection, key.credential) is not None:
        return False
    if invitation is not None:
        table = schema.invitations
        used = connection.execute(
            table.update()
            .where(table.c.hash == invitation, table.c.used_at.is_(None))
            .values(used_at=key.created_at, sealed=None)
        )
        if used.rowcount != 1:
            return False
        connection.execute(schema.recovery_codes.delete().where(schema.recovery_codes.c.person == key.person))
        connection.execute(schema.recovery_codes.insert(), [{"hash": digest, "person": key.person} for digest in codes])
    connection.execute(
        schema.security_keys.insert().values({name: getattr(key, name) for name in SecurityKey.__dataclass_fields__})
    )
    return True
