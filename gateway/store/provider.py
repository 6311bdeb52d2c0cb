"""People of an identity provider as rows, as their last login or refresh stated them, and whose a login is.

INVARIANT: a login belongs to the person who had it first, also when he has another one by now, or is gone, until it is
released. So nobody takes a colleague's name, and with it what names him elsewhere (a ticket's assignee), by renaming
himself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person. `login_at` is the last login, `confirmed_at` when the provider last spoke for the person.

    `sealed` is the refresh token; None where there is none. `gone` is that the provider knows the person no more.
    """

    person: str
    issuer: str
    subject: str
    login: str
    name: str
    email: str
    teams: tuple[str, ...]
    gone: bool
    login_at: datetime
    confirmed_at: datetime
    sealed: bytes | None = field(repr=False, default=None)


_COLUMNS = tuple(column for column in schema.provider_people.c if column.name != "turn_until")


def load(connection: Connection, issuer: str) -> list[PersonRow]:
    """Everybody whom that issuer ever proved."""
    found = connection.execute(sa.select(*_COLUMNS).where(schema.provider_people.c.issuer == issuer))
    return [_row(one) for one in found]


def find(connection: Connection, issuer: str, *, person: str = "", login: str = "") -> PersonRow | None:
    """The issuer's person of that id, or who has that login now."""
    table = schema.provider_people
    which = table.c.person == person if person else table.c.login == login
    owned = (
        table.c.person
        == sa.select(schema.provider_logins.c.person)
        .where(schema.provider_logins.c.login == table.c.login)
        .scalar_subquery()
    )
    wanted = sa.select(*_COLUMNS).where(table.c.issuer == issuer, which)
    found = connection.execute(wanted if person else wanted.where(owned)).first()
    return None if found is None else _row(found)


def take_turn(connection: Connection, person: str, now: datetime, until: datetime) -> PersonRow | None:
    """The person as he stands, for the one caller that may use his refresh token until that moment; else None.

    A refresh token that two processes use is one that the provider takes for stolen.
    """
    table = schema.provider_people
    taken = connection.execute(
        table.update()
        .where(
            table.c.person == person, table.c.sealed.is_not(None), table.c.gone.is_(False),
            table.c.turn_until.is_(None) | (table.c.turn_until <= now),
        )
        .values(turn_until=until)
    )  # fmt: skip
    if taken.rowcount != 1:
        return None
    return _row(connection.execute(sa.select(*_COLUMNS).where(table.c.person == person)).one())


def end_turn(connection: Connection, person: str) -> None:
    """Give a turn back that came to nothing."""
    table = schema.provider_people
    connection.execute(table.update().where(table.c.person == person).values(turn_until=None))


def put(connection: Connection, row: PersonRow) -> str | None:
    """Keep the person, and the login as his; None when done, else the person whose login that is."""
    logins, people = schema.provider_logins, schema.provider_people
    owner = owner_of(connection, row.login)
    if owner is not None and owner != row.person:
        return owner
    if owner is None:
        connection.execute(logins.insert().values(login=row.login, person=row.person))
    connection.execute(people.delete().where(people.c.person == row.person))
    connection.execute(
        people.insert().values(
            person=row.person, issuer=row.issuer, subject=row.subject, login=row.login, name=row.name,
            email=row.email, teams=list(row.teams), gone=row.gone, login_at=row.login_at,
            confirmed_at=row.confirmed_at, sealed=row.sealed,
        )
    )  # fmt: skip
    return None


def owner_of(connection: Connection, login: str) -> str | None:
    """The person whose login that is."""
    table = schema.provider_logins
    found = connection.execute(sa.select(table.c.person).where(table.c.login == login)).scalar()
    return None if found is None else str(found)


def release(connection: Connection, login: str, person: str) -> bool:
    """Let the login be somebody else's; False when it was not that person's."""
    table = schema.provider_logins
    return connection.execute(table.delete().where(table.c.login == login, table.c.person == person)).rowcount == 1


def put_token(connection: Connection, person: str, sealed: bytes | None) -> None:
    """Keep a person's refresh token, or forget it."""
    table = schema.provider_people
    connection.execute(table.update().where(table.c.person == person).values(sealed=sealed))


def _row(found: sa.Row[Any]) -> PersonRow:
    return PersonRow(**{**found._mapping, "teams": tuple(found.teams)})
