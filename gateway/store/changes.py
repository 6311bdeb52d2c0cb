"""What changed in the store, in the order of the commits.

Each transaction that changes something that matters for access leaves a row with the next number and a random token.
Processes on one store read behind the number that they know, and so hear of each other's moves; a notification is
only a hint to look now. Number and token together are a mark: a store that does not have a mark that was seen in it is
not the store that it was, but a backup of it, or a standby that had not got everything.

INVARIANT: numbers are in the order of the commits, so that whoever has seen one has missed none before it. SQLite has
one writer; in PostgreSQL the number is drawn under a lock that lasts until the commit, as the transaction's last act.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.store import schema

GRANT, PERSON, RESTORED = "grant", "person", "restored"
"""What a change can be of: a grant with its passes, a person's sign-ins, all that there was before."""
CHANNEL = "gateway_store"
_LOCK = 0x67_77_73_74_6F_72_65
_AT_ONCE = 1_000
_QUIET = frozenset(
    {
        "alembic_version", "alert_memory", "budget_shares", "budget_summary", "cases", "changes", "lockouts", "notices",
        "previews", "schema_version", "sealing_keys", "ticket_comments",
    }
)  # fmt: skip
"""Tables whose rows decide about nobody's access. Any other counts, also one that was added later."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the history of a store. Number 0 is before all changes."""

    number: int = 0
    token: str = ""

    def __str__(self) -> str:
        return f"{self.number}.{self.token}" if self.number else ""


class Change(NamedTuple):
    """One change."""

    number: int
    what: str
    row: str


def mark_of(text: str) -> Mark:
    """The mark that `text` spells. Raises `ValueError`."""
    number, _, token = text.partition(".")
    if not number.isdecimal() or not token.isalnum():
        raise ValueError(f"{text!r} is no mark")
    return Mark(int(number), token)


def tell(connection: sa.Connection, what: str, row: str) -> None:
    """Have the running transaction tell the others that this has changed."""
    told: list[tuple[str, str]] = connection.info.setdefault("told", [])
    if (what, row) not in told:
        told.append((what, row))


def forget(connection: sa.Connection) -> None:
    """Begin anew: what a transaction that was given up had to tell was not done."""
    connection.info["told"], connection.info["touched"] = [], set()


def watch(engine: sa.Engine) -> None:
    """Note which tables each transaction changes."""
    sa.event.listen(engine, "after_cursor_execute", _touched)


def put(connection: sa.Connection, at: datetime) -> Mark | None:
    """Give the transaction's changes their numbers; its last act. None when nothing changed that counts."""
    told: list[tuple[str, str]] = connection.info["told"]
    if not told:
        told = [("", table) for table in sorted(connection.info["touched"] - _QUIET)]
    if not told:
        return None
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK), sa.func.pg_notify(CHANNEL, "")))
    mark = Mark()
    for what, row in told:
        mark = _insert(connection, what, row, at)
    forget(connection)
    return mark


def newest(connection: sa.Connection) -> Mark:
    """The mark of the last change."""
    table = schema.changes
    row = connection.execute(sa.select(table).order_by(table.c.number.desc()).limit(1)).first()
    return Mark() if row is None else Mark(row.number, row.token)


def knows(connection: sa.Connection, mark: Mark) -> bool:
    """Whether the store has had that mark, as far as it remembers."""
    table = schema.changes
    if not mark.number:
        return True
    token = connection.execute(sa.select(table.c.token).where(table.c.number == mark.number)).scalar()
    if token is not None:
        return bool(token == mark.token)
    first = connection.execute(sa.select(sa.func.min(table.c.number))).scalar()
    return first is not None and mark.number < first


def since(connection: sa.Connection, mark: Mark) -> list[Change]:
    """The changes behind the mark, oldest first; a bounded number of them."""
    table = schema.changes
    rows = connection.execute(
        sa.select(table.c.number, table.c.what, table.c.row)
        .where(table.c.number > mark.number)
        .order_by(table.c.number)
        .limit(_AT_ONCE)
    )
    return [Change(*row) for row in rows]


def mark_at(connection: sa.Connection, number: int) -> Mark:
    """The mark of the change of that number, which is there."""
    table = schema.changes
    return Mark(number, connection.execute(sa.select(table.c.token).where(table.c.number == number)).scalar_one())


def restored_after(connection: sa.Connection, at: datetime) -> bool:
    """Whether somebody has dealt with a store that went back since then."""
    table = schema.changes
    found = sa.select(table.c.number).where(table.c.what == RESTORED, table.c.at > at).limit(1)
    return connection.execute(found).first() is not None


def prune(connection: sa.Connection, before: datetime) -> None:
    """Forget changes older than that, but for the newest one."""
    table = schema.changes
    last = sa.select(sa.func.max(table.c.number)).scalar_subquery()
    connection.execute(table.delete().where(table.c.at < before, table.c.number < last))


def _insert(connection: sa.Connection, what: str, row: str, at: datetime) -> Mark:
    token = secrets.token_hex(6)
    values = {"token": token, "what": what, "row": row, "at": at}
    inserted = connection.execute(schema.changes.insert().values(**values).returning(schema.changes.c.number))
    return Mark(inserted.scalar_one(), token)


def _touched(connection: sa.Connection, cursor: Any, _: str, __: Any, context: Any, ___: bool) -> None:
    if context is not None and context.compiled is not None and cursor.rowcount:
        table = getattr(context.compiled.statement, "table", None)
        if table is not None and (context.isinsert or context.isupdate or context.isdelete):
            connection.info.setdefault("touched", set()).add(table.name)
