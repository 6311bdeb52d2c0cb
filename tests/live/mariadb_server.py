"""Debian's mariadb-server as a company has it, for one test or one module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.mariadb import MariaDB

__all__ = ["MariaDB", "mariadb_server"]


@contextlib.contextmanager
def mariadb_server(directory: Path, *, tls: bool = True, options: Sequence[str] = ()) -> Iterator[MariaDB]:
    """A new, empty server in `directory`; `options` are further ones of `mariadbd`."""
    server = MariaDB(directory, tls, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
