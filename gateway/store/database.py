"""The embedded store: SQLite through SQLAlchemy Core, used from one worker thread.

The functions over it are in `access.py` and `people.py` of this package. Each takes a connection inside a transaction
that `Database.run` opened, and either does all it says or nothing. Changes of state are compare-and-swap: they name the
state they come from and return whether they took place.

INVARIANT: a commit that returned is on stable storage (WAL with `synchronous=FULL`, https://sqlite.org/pragma.html).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from gateway.errors import GatewayError
from gateway.store import schema

P = ParamSpec("P")
T = TypeVar("T")
Connection = sa.Connection


class Database:
    """One SQLite file and the thread that works on it. `path` "" keeps everything in memory (tests)."""

    def __init__(self, path: Path | str) -> None:
        url = sa.URL.create("sqlite", database=str(path) or ":memory:")
        if str(path):
            _private(Path(path))
        # INVARIANT: one connection, used by one thread at a time.
        self._turn = threading.Lock()
        self._engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
        sa.event.listen(self._engine, "connect", _pragmas)
        sa.event.listen(self._engine, "begin", _begin)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            self.run_now(schema.migrate)
        except BaseException:
            self.close()
            raise

    def run_now(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, in one transaction, blocking. Raises `GatewayError("store-unavailable")`."""
        try:
            with self._turn, self._engine.begin() as connection:
                return function(connection, *args, **kwargs)
        except sa.exc.SQLAlchemyError as error:
            raise GatewayError(
                "store-unavailable", "the gateway's store cannot be used", "tell an operator", type(error).__name__
            ) from error

    async def run(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run_now`, in the store's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: self.run_now(function, *args, **kwargs))

    async def settle(self) -> None:
        """See to it that what was deleted is not in the file's log any more either (`secure_delete` is on).

        Raises `GatewayError("store-unavailable")`.
        """
        await asyncio.get_running_loop().run_in_executor(self._worker, self._settle)

    def _settle(self) -> None:
        with self._turn:
            connection = self._engine.raw_connection()
            try:
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise GatewayError(
                        "store-unavailable", "another process is reading the store", "end it, and do it again"
                    )
            except sqlite3.Error as error:
                raise GatewayError(
                    "store-unavailable", "the gateway's store cannot be used", "tell an operator", type(error).__name__
                ) from error
            finally:
                connection.close()

    def close(self) -> None:
        """Wait for what was begun, then close the file."""
        self._worker.shutdown(wait=True)
        self._engine.dispose()


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
