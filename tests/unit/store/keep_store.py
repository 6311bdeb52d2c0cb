"""Keeps a store of the newest revision in the corpus, filled by the program as it is now:

    python -m tests.unit.store.keep_store

with `tests/unit/access` in `PYTHONPATH`. Run once for each new revision, before it is released; never again.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from access_world import PEER, START, World

from gateway.errors import Refusal
from gateway.store import schema
from gateway.store.migrate import HEAD
from tests.unit.store.old_stores import CORPUS

STATES = {
    "acts": "done", "cases": "closed", "notices": "sent", "reviews": "justified", "recertifications": "closed",
    "ceremonies": "waiting",
}  # fmt: skip


async def story(world: World) -> dict[str, str]:
    """Alice has a factor, a grant with a pass, and a request that waits; returned are her secrets."""
    alice = await world.sign_in("alice")
    opened = await world.access.open(alice, target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal), opened
    reveal = frozenset({("public.employees", "email")})
    waits = await world.access.open(
        alice, target="payroll", ticket="SUP-1424", reveal=reveal, reason="a call", peer=PEER
    )
    assert isinstance(waits, Refusal), waits
    assert waits.code == "approval-required"
    return {"totp": world.secrets["alice"], "user": opened.user, "pass": opened.secret}


def fill(connection: sa.Connection) -> None:
    """Leave a row in each table that has none."""
    for table in schema.metadata.sorted_tables:
        if connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0:
            connection.execute(table.insert().values({one.name: value(connection, one) for one in table.columns}))


def value(connection: sa.Connection, column: sa.Column[Any]) -> Any:
    """Something that the column takes, and that means nothing to the program."""
    if column.name == "state":
        return STATES[column.table.name]
    for key in column.foreign_keys:
        return connection.execute(sa.select(key.column).limit(1)).scalar_one()
    kinds: list[tuple[Any, Any]] = [
        (schema.Moment, START), (sa.Boolean, False), (sa.Integer, 1), (sa.JSON, []),
        (sa.LargeBinary, f"{column.name} of old".encode()),
    ]  # fmt: skip
    return next((found for kind, found in kinds if isinstance(column.type, kind)), f"{column.name} of old")


def main() -> None:
    target = CORPUS / f"sqlite-{HEAD:02}.sql"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.sqlite"
        world = World(path)
        secrets = asyncio.run(story(world))
        world.database.run_now(fill)
        world.close()
        connection = sqlite3.connect(path)
        head = f"-- A store of revision {HEAD}, made and filled by the program of its time. Never edited."
        lines = "\n".join([head, f"-- {json.dumps(secrets)}", *connection.iterdump()]).splitlines()
        connection.close()
    with target.open("x") as file:
        file.writelines(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    main()
