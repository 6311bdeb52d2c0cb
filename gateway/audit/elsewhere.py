"""Questions about the logs of other gateways, answered from the index that all share.

INVARIANT: an answer says how far it knows that log, until when, and that nothing here proves it: what the shared
database holds is what its gateway put there, or whoever may write to that database. Completeness is proven by an export
that is made where the log is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from gateway.audit.asking import Head, Narrow, scope_of
from gateway.audit.index import VERSION
from gateway.audit.questions import ask
from gateway.audit.shared_index import Connect, PostgresTables, held_leaf, schema_of, untouched, unusable
from gateway.errors import GatewayError

SILENT_S = 10.0
"""A log that nobody has followed for so long is said to be silent."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log in the shared index. `covered` records of it are held, the last of `until`; `signed` are under its newest
    head that was shown, which is not verified here."""

    origin: str
    covered: int
    until: str
    signed: int
    root: str
    idle_s: float

    @property
    def silent(self) -> bool:
        """Whether its gateway has not been heard of."""
        return self.idle_s > SILENT_S


class Elsewhere:
    """Reads what other gateways put into the shared index. Each call has a connection of its own."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def logs(self) -> list[Log]:
        """All logs of the shared index. Raises `GatewayError`."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname ~ '^log_[0-9a-f]{24}$' "
                "AND to_regclass(nspname || '.progress') IS NOT NULL ORDER BY nspname"
            ).fetchall()
            found = []
            for (schema,) in rows:
                connection.execute(f"SET LOCAL search_path = {schema}")
                log = _log(connection)
                if log is not None and schema_of(log.origin) == schema:
                    found.append(log)
        return sorted(found, key=lambda log: log.origin)

    def ask(
        self, origin: str, name: str, narrow: Narrow, *, now: datetime, since: datetime | None, until: datetime | None,
        limit: int, offset: int, upto: int | None,
    ) -> dict[str, Any]:  # fmt: skip
        """As `Search.ask`, of the log of that name. Raises `GatewayError`."""
        with self._reading() as connection:
            schema = schema_of(origin)
            connection.execute(f"SET LOCAL search_path = {schema}")
            there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{schema}.progress",)).fetchone()
            log = _log(connection) if there and there[0] else None
            if log is None or log.origin != origin:
                raise GatewayError("not-found", "the index has no log of that name", "see `gateway audit logs`")
            if not untouched(connection):
                # FAIL CLOSED: only its own gateway can build it anew
                raise GatewayError(
                    "audit-damaged", f"the index of `{origin}` was changed by others",
                    "its gateway builds it anew with its next look; until then ask there",
                )  # fmt: skip
            tables = PostgresTables(connection)
            size = log.covered if upto is None else min(upto, log.covered)
            scope = scope_of(tables, size, narrow, since, until, now)
            head = Head(origin, log.signed, log.root)
            answer = ask(name, tables, lambda index, *_: held_leaf(tables, index), head, scope, narrow, limit, offset)
        answer["notes"].append(
            f"from the shared index, which holds {log.covered} records of this log, up to {log.until or 'none'}; its "
            "head is not verified here: an export that is made at its own gateway proves what is in it"
        )
        if log.silent:
            answer["notes"].append(
                f"its gateway has not been heard of for {log.idle_s:.0f} s: what it recorded since is not in here"
            )
        elif log.signed > log.covered:
            answer["notes"].append(f"{log.signed - log.covered} signed records are not in the index yet")
        answer["log"]["covered"] = asdict(log) | {"silent": log.silent}
        return answer

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with self._connect() as connection, connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection
        except psycopg.Error as error:
            raise unusable(error) from error


def _log(connection: psycopg.Connection[Any]) -> Log | None:
    row = connection.execute(
        "SELECT origin, size, time, checkpoint, extract(epoch FROM clock_timestamp() - alive)::float8 "
        "FROM progress WHERE version = %s",
        (VERSION,),
    ).fetchone()
    if row is None:
        return None
    origin, size, time, note, idle = row
    lines = note.split("\n")
    signed, root = (int(lines[1]), lines[2]) if len(lines) > 3 and lines[1].isdecimal() else (0, "")
    return Log(origin, size, time, signed, root, max(0.0, idle))
