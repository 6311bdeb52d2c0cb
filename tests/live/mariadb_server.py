"""Debian's mariadb-server as a company has it, for one test or one module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql

from gateway.demo.mariadb import MariaDB

__all__ = ["MariaDB", "mariadb_cursor", "mariadb_server"]


@contextlib.contextmanager
def mariadb_server(directory: Path, *, tls: bool = True, options: Sequence[str] = ()) -> Iterator[MariaDB]:
    """A new, empty server in `directory`; `options` are further ones of `mariadbd`."""
    server = MariaDB(directory, tls, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def mariadb_cursor(directory: Path) -> Iterator[Any]:
    """A cursor of the owner's on a new server, in autocommit."""
    with mariadb_server(directory, tls=False) as server:
        connection = pymysql.connect(
            host=server.host, port=server.port, user="root", password=server.root_password, charset="utf8mb4",
            autocommit=True,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            yield cursor
