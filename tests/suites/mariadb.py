"""A fresh MariaDB for a driver's tests, reached directly or through a gateway that observes it.

The tests know two databases, by name; each is a target, opened by the same person.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_fixture import House
from mariadb_server import MariaDB, mariadb_server
from mysql_house import root
from observed import observing

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres, find_binaries

LOGIN = "alice"
DATABASES = ("test1", "test2")
POLICY = """\
target: {name}
dialect: mariadb
schemas: [{name}]
mode: observe
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open]}}
  auto_approve: masked_reads
  duration: {{default: 8h, max: 8h}}
tables:
  {name}.kept_for_the_policy:
    scope: none
    columns: {{id: clear}}
"""


@contextlib.contextmanager
def place(*, through: bool) -> Iterator[tuple[list[dict[str, Any]], House | None]]:
    """How PyMySQL connects to each of the databases of a fresh server, and the gateway, where that is between."""
    with tempfile.TemporaryDirectory(prefix="gateway-suites-") as name:
        directory = Path(name)
        with mariadb_server(directory / "server") as server:
            password = secrets.token_hex(16)
            prepare(server, password)
            if not through:
                yield [reached(server.port, name, LOGIN, password) for name in DATABASES], None
                return
            with observed_server(directory, server, password) as (house, port):
                opened = {name: house.actor(LOGIN).open(TICKET, "", name) for name in DATABASES}
                yield [reached(port, name, one["user"], one["password"]) for name, one in opened.items()], house


def prepare(server: MariaDB, password: str) -> None:
    """The databases, and an account that may do everything, called like the person who comes through the gateway."""
    for host in ("localhost", "127.0.0.1", "%"):
        root(server, f"create user {LOGIN}@'{host}' identified by '{password}'", "")
        root(server, f"grant all on *.* to {LOGIN}@'{host}' with grant option", "")
    for name in DATABASES:
        root(server, f"create database {name} default character set utf8mb4", "")
        root(server, f"create table {name}.kept_for_the_policy (id int)", "")


def reached(port: int, database: str, user: str, password: str) -> dict[str, Any]:
    """What PyMySQL's tests read from `databases.json`."""
    where = {"host": "localhost", "port": port, "user": user, "password": password, "database": database}
    return where | {"use_unicode": True, "local_infile": True}


@contextlib.contextmanager
def observed_server(directory: Path, server: MariaDB, password: str) -> Iterator[tuple[House, int]]:
    """A gateway whose targets are the databases, and its port."""
    secret = directory / "mariadb.password"
    secret.touch(0o600)
    secret.write_text(password)
    port = free_port()
    target = {
        "engine": "mysql", "host": "localhost", "port": server.port, "user": LOGIN,
        "password": {"file": str(secret)}, "ca": str(server.ca),
    }  # fmt: skip
    targets = {name: (POLICY.format(name=name), target | {"database": name}) for name in DATABASES}
    settings = {
        "listen": {"mysql": {"port": port, "max_connections_per_person": 100}},
        "limits": {"message": "64MiB"},
    }
    # only what its files would say of it is asked for
    postgres = EmbeddedPostgres(directory, find_binaries(tls=True))
    with observing(directory, postgres, targets, settings) as house:
        yield house, port


def configured(source: Path, databases: list[dict[str, Any]]) -> None:
    """Tell PyMySQL's tests where their databases are."""
    (source / "pymysql" / "tests" / "databases.json").write_text(json.dumps(databases))
