"""The store in PostgreSQL, which several gateways share: see `database.py`, and REFERENCE.md for what the role needs.

Theory of operation. Transactions are SERIALIZABLE; one that the server gives up because it could not have been run
alone (40001, 40P01), or because another one made the same row first (23505), is begun anew, and so is one whose
connection was lost before its commit was asked for. What became of a commit without an answer is not known: it is an
error, and the caller refuses. Each transaction has a deadline of our own, counted from when it was asked for: the
server's timeouts are worth nothing where it is frozen, so the connection is cut from our side (a second descriptor of
its socket is shut down), which wakes whoever waits on it. Of several hosts, the driver takes the one that is writable.

A thread of its own listens for notifications. What it hears is a hint to look into the store, and nothing else.

INVARIANT: nothing here waits on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo

from gateway.errors import GatewayError
from gateway.store import changes, schema
from gateway.store.database import Connection, Database, T, Work, unusable
from gateway.store.migrate import migrate, standing
from gateway.store_settings import Store

SCHEMA = "gateway_store"
_AGAIN = frozenset({"40001", "40P01", "23505"})
_CLASHES = 3
"""How often the same key may be there already before it is no accident."""
_WORKERS = 4
_LISTEN_S = 0.5
_MIGRATION_LOCK = 0x67_77_73_74_6F_72_65_31
_MIGRATE_S = 120.0
_LONG_S = 60
_SECRETIVE = (
    schema.sealing_keys, schema.requests, schema.grants, schema.factors, schema.invitations, schema.acts,
    schema.master_root,
)  # fmt: skip
"""Where something secret is deleted, or sealed anew."""


class _Line(psycopg.Connection[Any]):
    """A connection that another thread can cut."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # a descriptor of ours: the driver's may be closed, and its number be another socket's, when we cut
        self._ours = socket.socket(fileno=os.dup(self.pgconn.socket))

    def cut(self) -> None:
        """Let whoever waits for an answer wait no more."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See `psycopg.Connection`."""
        super().close()
        self._ours.close()


class _Lost(Exception):
    """A commit was asked for, and what became of it is not known."""


class PostgresDatabase(Database):
    """See the module. Raises `GatewayError` where the store cannot be opened."""

    shared = True

    def __init__(self, settings: Store) -> None:
        self._settings, self.deadline_s = settings, settings.deadline
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None
        self._hears: _Line | None = None
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=self._connect, isolation_level="SERIALIZABLE", use_native_hstore=False,
            pool_size=_WORKERS, max_overflow=2, pool_timeout=settings.deadline,
        )  # fmt: skip
        self._open(engine, workers=_WORKERS)

    async def news(self, within_s: float) -> None:
        """See `Database`."""
        if self._listener is None:
            self._loop = asyncio.get_running_loop()
            self._listener = threading.Thread(target=self._listen, name="store-news", daemon=True)
            self._listener.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within_s)
        self._changed.clear()

    def close(self) -> None:
        """See `Database`."""
        self._closing.set()
        super().close()
        if self._listener is not None:
            if self._hears is not None:
                self._hears.cut()
            # it only hears: one that a frozen server holds up keeps nobody from ending
            self._listener.join(self.deadline_s)

    def _connect(self) -> _Line:
        return _connected(self._settings, self._settings.places())

    def _migrate(self) -> None:
        """Bring the schema up to this program; of several that start at once one does, and the others wait."""

        def alone(connection: Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(_MIGRATE_S * 1_000)}")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(_MIGRATE_S * 1_000)}")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            if connection.execute(sa.select(sa.func.to_regnamespace(SCHEMA))).scalar() is None:
                connection.execute(sa.schema.CreateSchema(SCHEMA))
            migrate(connection)

        # what others did while this one waited has to be seen
        self._run(alone, time.monotonic() + _MIGRATE_S, isolation_level="READ COMMITTED")

    def _look(self, work: Work[T], until: float) -> T:
        return self._run(work, until, isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _run(self, work: Work[T], until: float, **options: Any) -> T:
        clashes = lost = 0
        while True:
            if time.monotonic() >= until:
                raise unusable(TimeoutError())
            try:
                return self._once(work, until, options)
            except _Lost as error:
                raise unusable(error) from error
            except sa.exc.DataError as error:
                raise GatewayError(
                    "request-invalid", "the store cannot hold a character of that text", "leave it out"
                ) from error
            except sa.exc.DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                lost += error.connection_invalidated
                clashes += state == "23505"
                again = lost == 1 if error.connection_invalidated else state in _AGAIN and clashes < _CLASHES
                if not again:
                    raise unusable(error) from error
            except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
                raise unusable(error) from error
            time.sleep(random.uniform(0.0, 0.02))  # noqa: S311 - so that two do not meet again

    def _once(self, work: Work[T], until: float, options: dict[str, Any]) -> T:
        with self._engine.connect() as connection, self._cut_after(connection, until):
            if options:
                connection.execution_options(**options)
            with connection.begin() as transaction:
                changes.forget(connection)
                result = work(connection)
                mark = changes.put(connection, datetime.now(UTC))
                try:
                    transaction.commit()
                except sa.exc.DBAPIError as error:
                    if error.connection_invalidated:
                        raise _Lost from error
                    raise
        self._made(mark)
        return result

    @contextmanager
    def _cut_after(self, connection: Connection, until: float) -> Iterator[None]:
        line = connection.connection.driver_connection
        assert isinstance(line, _Line)
        timer = threading.Timer(max(0.0, until - time.monotonic()), line.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _settle(self) -> None:
        """Write the tables that something secret was deleted from anew. What archives and backups hold, they hold."""
        try:
            with self._engine.connect() as connection, self._cut_after(connection, time.monotonic() + _LONG_S):
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"SET statement_timeout = '{_LONG_S}s'")
                for table in _SECRETIVE:
                    connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")
                connection.invalidate()
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            raise unusable(error) from error

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                line = self._hears = self._connect()
                with contextlib.closing(line):
                    line.autocommit = True
                    line.execute(f"LISTEN {changes.CHANNEL}")
                    self._tell()
                    while not self._closing.is_set():
                        for _ in line.notifies(timeout=_LISTEN_S, stop_after=1):
                            self._tell()
            except (psycopg.Error, OSError, GatewayError):
                # whoever waits looks all the same, only not at once
                self._closing.wait(_LISTEN_S)

    def _tell(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed.set)


@dataclass(frozen=True, slots=True)
class Server:
    """What one of the servers says of itself. `version` is the revision of the tables, 0 where there are none."""

    writable: bool
    version: int
    safe: bool
    standbys: str
    superuser: bool


def look_at(settings: Store, place: tuple[str, int]) -> Server:
    """Ask one server, whether it takes writes or not; changes nothing.

    Raises `psycopg.Error`, and `GatewayError` for tables that this program does not know.
    """
    with contextlib.closing(_connected(settings, [place])) as line:
        facts = line.execute(
            "SELECT NOT pg_is_in_recovery(), current_setting('fsync') = 'on' AND current_setting('full_page_writes') = "
            "'on', current_setting('synchronous_standby_names'), rolsuper, to_regclass('schema_version'), "
            "to_regclass('alembic_version') FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert facts is not None
        writable, safe, standbys, superuser, steps, stamps = facts
        stamped = line.execute("SELECT version_num FROM alembic_version").fetchall() if stamps else None
        stepped = line.execute("SELECT max(version) FROM schema_version").fetchone() if steps else None
        version = standing(
            None if stamped is None else [row[0] for row in stamped], (stepped[0] or 0) if stepped else None
        )
        return Server(writable, version, safe, standbys, superuser)


def _connected(settings: Store, places: Sequence[tuple[str, int]]) -> _Line:
    assert settings.password is not None
    hosts, ports = zip(*places, strict=True)
    trust = {"sslmode": "verify-full", "sslrootcert": str(settings.ca) if settings.ca else "system"}
    milliseconds = round(settings.deadline * 1_000)
    target = make_conninfo(
        "", host=",".join(hosts), port=",".join(map(str, ports)), dbname=settings.database, user=settings.user,
        password=settings.password.read().decode(), application_name="gateway-store",
        connect_timeout=max(2, round(settings.deadline / len(hosts))), keepalives_idle=10,
        target_session_attrs="read-write" if len(hosts) > 1 else "any",
        options=f"-c search_path={SCHEMA} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
        f"-c idle_in_transaction_session_timeout={2 * milliseconds} -c synchronous_commit=on -c jit=off",
        **(trust if settings.tls == "verify-full" else {"sslmode": "disable"}),
    )  # fmt: skip
    return _Line.connect(target, prepare_threshold=None)
