"""Everything in the store that is sealed under a master key: where it is, and its sealing anew, part by part.

INVARIANT: whatever of the store is sealed under a master key has its place in `PLACES`: a place that is missing there
would lose its secrets with the old key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection

FACTOR, LITERALS = "factor", "literals"
"""What a key that derives from the master key seals."""

PROVIDER_OWNER = "provider refresh token\0"
"""What the seal of a token of an identity provider is bound to, before the person."""

Open = Callable[[bytes, str, str], tuple[bytes | None, bool]]
"""Given what is sealed, its owner and its use: the same under the master key in force, None when nothing opens it, and
whether a former key was needed.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One column of sealed values; `owner` tells from a row what its seal is bound to."""

    key: sa.Column[Any]
    sealed: sa.Column[bytes]
    use: str
    owner: Callable[[Any], str]


def key_owner(name: str, use: str, customer: str, month: str) -> str:
    """What the seal of a key of literals is bound to."""
    return "\0".join((name, use, month, customer))


PLACES: tuple[Place, ...] = (
    Place(schema.factors.c.person, schema.factors.c.sealed, FACTOR, lambda row: str(row.person)),
    Place(schema.invitations.c.hash, schema.invitations.c.sealed, FACTOR, lambda row: str(row.person)),
    Place(schema.acts.c.id, schema.acts.c.sealed, FACTOR, lambda row: str(row.id)),
    Place(
        schema.provider_people.c.person, schema.provider_people.c.sealed, FACTOR,
        lambda row: PROVIDER_OWNER + str(row.person),
    ),
    Place(
        schema.sealing_keys.c.id, schema.sealing_keys.c.wrapped, LITERALS,
        lambda row: key_owner(row.id, row.use, row.customer, row.month),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Root:
    """The root that digests and pseudonyms derive from, sealed under the master key of that id."""

    master: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was met: the last key, None when there is nothing more; how much a former key seals, and none at all."""

    last: Any = None
    former: int = 0
    unreadable: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together, up to where the other one came."""
        return Tally(other.last, self.former + other.former, self.unreadable + other.unreadable)


def obtain_root(connection: Connection, root: Root) -> Root:
    """The root that is kept: the one that is there, else this one, kept from now on."""
    found = find_root(connection)
    if found is not None:
        return found
    connection.execute(schema.master_root.insert().values(id=1, master=root.master, sealed=root.sealed))
    return root


def find_root(connection: Connection) -> Root | None:
    """The root, unless the store is older than that."""
    row = connection.execute(sa.select(schema.master_root)).first()
    return None if row is None else Root(row.master, row.sealed)


def put_root(connection: Connection, old: Root, new: Root) -> bool:
    """Put the root in another seal, unless it was put in one meanwhile."""
    table = schema.master_root
    moved = connection.execute(
        table.update().where(table.c.sealed == old.sealed).values(master=new.master, sealed=new.sealed)
    )
    return moved.rowcount == 1


def pass_over(connection: Connection, place: int, after: Any, count: int, opened: Open, *, change: bool) -> Tally:
    """Look at the next `count` values of a place and with `change` seal anew those that a former key seals.

    One transaction: a part is done, or it is not.
    """
    where = PLACES[place]
    query = sa.select(where.key.table).where(where.sealed.is_not(None)).order_by(where.key).limit(count)
    if after is not None:
        query = query.where(where.key > after)
    tally = Tally()
    for row in connection.execute(query).all():
        last = row._mapping[where.key.name]
        sealed = row._mapping[where.sealed.name]
        anew, former = opened(sealed, where.owner(row), where.use)
        tally = tally.plus(Tally(last, int(former), int(anew is None)))
        if former and change:
            # what somebody else put there meanwhile stays
            mine = sa.and_(where.key == last, where.sealed == sealed)
            connection.execute(where.key.table.update().where(mine).values({where.sealed.name: anew}))
    return tally
