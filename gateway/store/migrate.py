"""Brings a store up to this program: which revision it has, and the revisions behind that one, run by alembic.

Revisions are numbered without a gap, so that of two programs each knows whether a store is too new for it. The caller
holds the lock and the transaction (`database.py`, `postgres.py`), in which all of it happens or nothing. Alembic is
imported only where there is something to do.

INVARIANT: a revision that was released is never edited, nor does it know of the tables as they are now; a change is a
new revision. A store with a newer one than this program knows is refused: an older program must not write rows that it
does not understand.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import sqlalchemy as sa

from gateway.errors import GatewayError

HEAD = 15
"""The newest revision."""
STAMPS = sa.table("alembic_version", sa.column("version_num", sa.Text))
STEPS = sa.table("schema_version", sa.column("version", sa.Integer))
"""What told the version, up to `_LAST_STEP`, before alembic's table did."""
_LAST_STEP = 14
_alone = threading.Lock()


def migrate(connection: sa.Connection, to: int = HEAD) -> int:
    """Bring the store to the newest revision and return its number. `to` stops earlier (tests).

    Raises `GatewayError("configuration-invalid")` when the store is newer than this program, or no store of it.
    """
    tables = set(sa.inspect(connection).get_table_names())
    found = standing(
        list(connection.execute(sa.select(STAMPS)).scalars()) if STAMPS.name in tables else None,
        connection.execute(sa.select(sa.func.max(STEPS.c.version))).scalar() or 0 if STEPS.name in tables else None,
    )
    if found < to:
        _run(connection, found if STAMPS.name not in tables else 0, to)
    return max(found, to)


def standing(stamps: Sequence[str] | None, step: int | None) -> int:
    """The number of a store's revision by what its tables say, None for a table that is not there; 0 for a new store.

    Raises `GatewayError("configuration-invalid")` for what this program does not know.
    """
    if stamps is None and step is None:
        return 0
    # a file holds whatever was put into it, of whatever kind
    said = str(step) if stamps is None else " and ".join(sorted(map(str, stamps)))
    known = map(str, range(1, _LAST_STEP + 1)) if stamps is None else map(_name, range(1, HEAD + 1))
    for number, name in enumerate(known, start=1):
        if said == name:
            return number
    raise GatewayError(
        "configuration-invalid",
        f"the store has revision {said[:32] or 'none'}; this program knows revisions up to {HEAD}",
        "start the version of the gateway that wrote it, or a newer one",
    )


def _name(number: int) -> str:
    return f"{number:04}"


def _run(connection: sa.Connection, taken_over: int, to: int) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "gateway.store:migrations")
    # alembic keeps what it is doing in module globals
    with _alone:
        if taken_over:
            command.stamp(config, _name(taken_over))
        command.upgrade(config, _name(to))
