"""Keys of sealed literals and of tokens, as rows: a key is destroyed by deleting its row (`secure_delete` is on)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import schema
from gateway.store.database import Connection

SEAL, TOKEN = "seal", "token"
ERASED = "(erased)"
"""What stands in the place of a statement that was erased."""
_PART = 500


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One key under the master key. `month` is empty for a token key, which has none."""

    id: str
    use: str
    customer: str
    month: str
    created_at: datetime
    wrapped: bytes = field(repr=False)


def obtain(connection: Connection, key: WrappedKey) -> WrappedKey:
    """The key of that use, customer and month: the one that is there, else this one, kept from now on."""
    found = find(connection, key.use, key.customer, key.month)
    if found is not None:
        return found
    connection.execute(
        schema.sealing_keys.insert().values(
            id=key.id, use=key.use, customer=key.customer, month=key.month,
            wrapped=key.wrapped, created_at=key.created_at,
        )
    )  # fmt: skip
    return key


def find(connection: Connection, use: str, customer: str, month: str = "") -> WrappedKey | None:
    """That key, unless it was never made or was destroyed."""
    table = schema.sealing_keys
    row = connection.execute(
        sa.select(table).where(table.c.use == use, table.c.customer == customer, table.c.month == month)
    ).first()
    return None if row is None else _key(row)


def every(connection: Connection, *, use: str = "", customer: str | None = None) -> list[WrappedKey]:
    """All keys, of that use and customer where they are given."""
    table = schema.sealing_keys
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    if use:
        query = query.where(table.c.use == use)
    if customer is not None:
        query = query.where(table.c.customer == customer)
    return [_key(row) for row in connection.execute(query)]


def destroy(connection: Connection, ids: Iterable[str]) -> int:
    """Delete those keys; how many were there."""
    wanted, count = list(ids), 0
    for start in range(0, len(wanted), _PART):
        part = wanted[start : start + _PART]
        count += connection.execute(schema.sealing_keys.delete().where(schema.sealing_keys.c.id.in_(part))).rowcount
    return count


def scrub(connection: Connection, requests: Iterable[str], *, customer: str = "", holding: str = "") -> int:
    """Take the statements out of ended requests and of their grants; how many requests had one.

    They are those of `requests`, of grants for `customer`, and those whose text holds `holding` in whatever case.
    """
    chosen, grants = set(requests), list(connection.execute(sa.select(schema.grants)))
    live = {row.request_id for row in grants if row.state == "active"}
    if customer:
        chosen |= {row.request_id for row in grants if customer in row.customers}
    scrubbed = 0
    rows = connection.execute(
        sa.select(schema.requests).where(
            schema.requests.c.state != "pending",
            sa.or_(schema.requests.c.statement != "", schema.requests.c.digest != ""),
        )
    ).all()
    for row in rows:
        held = bool(holding) and holding.casefold() in row.statement.casefold()
        if row.id in live or row.statement == ERASED or not (row.id in chosen or held):
            continue
        connection.execute(
            schema.requests.update().where(schema.requests.c.id == row.id).values(statement=ERASED, digest="")
        )
        # a digest without a key lets literals be tried against it
        connection.execute(schema.grants.update().where(schema.grants.c.request_id == row.id).values(statement=ERASED))
        scrubbed += 1
    return scrubbed


def _key(row: Any) -> WrappedKey:
    return WrappedKey(row.id, row.use, row.customer, row.month, row.created_at, row.wrapped)
