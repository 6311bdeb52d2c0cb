"""The store's transactions: functions over a connection, run apart from the event loop, in SQLite or PostgreSQL.

The functions are in the other modules of this package. Each takes a connection inside a transaction that
`Database.run` opened, and either does all it says or nothing. Changes of state are compare-and-swap: they name the
state they come from and return whether they took place.

INVARIANT: transactions have the effect of being run one after the other, whichever process they come from, so that a
function may look first and change after. In SQLite one is run at a time; PostgreSQL's are serializable, and begun anew
when they would not have been (`postgres.py`). So a function has no effect but on its connection.
INVARIANT: a commit that returned is on stable storage (WAL with `synchronous=FULL`, https://sqlite.org/pragma.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from gateway.errors import GatewayError
from gateway.store import changes
from gateway.store.changes import Mark
from gateway.store.migrate import migrate, standing

P = ParamSpec("P")
T = TypeVar("T")
Connection = sa.Connection
Work = Callable[[Connection], T]


class Database:
    """One SQLite file and the thread that works on it. `path` "" keeps everything in memory (tests).

    `shared` says that other gateways may work on the same store, `newest` is the last change that is known here to
    have been committed, `made` the last one from here. `deadline_s` is the longest that a transaction may take.
    """

    shared = False
    deadline_s = float("inf")

    def __init__(self, path: Path | str) -> None:
        url = sa.URL.create("sqlite", database=str(path) or ":memory:")
        if str(path):
            _private(Path(path))
        # INVARIANT: one connection, used by one thread at a time.
        self._turn = threading.Lock()
        engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
        sa.event.listen(engine, "connect", _pragmas)
        sa.event.listen(engine, "begin", _begin)
        self._open(engine, workers=1)

    def _open(self, engine: sa.Engine, workers: int) -> None:
        self._engine = engine
        self._learning = threading.Lock()
        self.newest = self.made = Mark()
        changes.watch(engine)
        self._worker = ThreadPoolExecutor(workers, thread_name_prefix="store")
        try:
            self._migrate()
            self.newest = self.run_now(changes.newest)
        except BaseException:
            self.close()
            raise

    def run_now(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, in one transaction, blocking. Raises `GatewayError("store-unavailable")`."""
        return self._run(lambda connection: function(connection, *args, **kwargs), time.monotonic() + self.deadline_s)

    async def run(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run_now`, in one of the store's threads; the time that it waits for one counts."""
        until = time.monotonic() + self.deadline_s
        work = asyncio.get_running_loop().run_in_executor(
            self._worker, lambda: self._run(lambda connection: function(connection, *args, **kwargs), until)
        )
        return await work

    async def look(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for a function that only reads: it sees one moment, and nobody is begun anew because of it."""
        until = time.monotonic() + self.deadline_s
        work = asyncio.get_running_loop().run_in_executor(
            self._worker, lambda: self._look(lambda connection: function(connection, *args, **kwargs), until)
        )
        return await work

    async def news(self, within_s: float) -> None:
        """Wait until another process may have changed something, that long at most."""
        await asyncio.sleep(within_s)

    def learn(self, mark: Mark) -> None:
        """Take note of a change that was committed, here or elsewhere."""
        with self._learning:
            self.newest = max(self.newest, mark)

    def rewind(self, mark: Mark) -> None:
        """The store went back, and this is its newest change now."""
        with self._learning:
            self.newest = self.made = mark

    async def settle(self) -> None:
        """See to it that what was deleted is not in the store's files any more either.

        Raises `GatewayError("store-unavailable")`.
        """
        await asyncio.get_running_loop().run_in_executor(self._worker, self._settle)

    def close(self) -> None:
        """Wait for what was begun, then close the file."""
        self._worker.shutdown(wait=True)
        self._engine.dispose()

    def _migrate(self) -> None:
        self._run(migrate, time.monotonic() + self.deadline_s)

    def _run(self, work: Work[T], until: float) -> T:  # noqa: ARG002 - a file answers
        try:
            with self._turn, self._engine.begin() as connection:
                changes.forget(connection)
                result = work(connection)
                mark = changes.put(connection, datetime.now(UTC))
        except sa.exc.SQLAlchemyError as error:
            raise unusable(error) from error
        self._made(mark)
        return result

    def _look(self, work: Work[T], until: float) -> T:
        return self._run(work, until)

    def _made(self, mark: Mark | None) -> None:
        """Take note of a change from here, which was committed."""
        if mark is not None:
            with self._learning:
                self.made = max(self.made, mark)
            self.learn(mark)

    def _settle(self) -> None:
        """Empty the file's log (`secure_delete` is on)."""
        with self._turn:
            connection = self._engine.raw_connection()
            try:
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise GatewayError(
                        "store-unavailable", "another process is reading the store", "end it, and do it again"
                    )
            except sqlite3.Error as error:
                raise unusable(error) from error
            finally:
                connection.close()


def unusable(error: Exception) -> GatewayError:
    """That the store cannot be used, because of that."""
    cause = getattr(error, "orig", None) or error
    return GatewayError(
        "store-unavailable", "the gateway's store cannot be used", "tell an operator", type(cause).__name__
    )


def revision_in(path: Path) -> int:
    """The revision of the file's tables, 0 where there are none or no file; changes neither the file nor its log.

    Raises `GatewayError` where it cannot be read, and for tables that this program does not know.
    """
    try:
        path.stat()
        # without a log nobody has the file open, and who only looks must not make one
        way = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            stamps, step = None, None
            if "alembic_version" in tables:
                stamps = [one for (one,) in connection.execute("SELECT version_num FROM alembic_version")]
            if "schema_version" in tables:
                step = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0] or 0
    except FileNotFoundError:
        return 0
    except (OSError, sqlite3.Error) as error:
        raise unusable(error) from error
    return standing(stamps, step)


def _private(path: Path) -> None:
    """Make the file before SQLite does, so that it never exists with wider rights; -wal and -shm take its mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise GatewayError(
            "store-unavailable",
            "the gateway's store cannot be opened",
            "check the directory and its rights",
            str(error),
        ) from error


def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's guess
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
