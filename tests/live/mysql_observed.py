"""A gateway in front of a MariaDB that is observed, reached with an account that may write: what an application has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql
from mariadb_server import MariaDB
from mysql_house import DATABASE, MysqlHouse, open_mysql_house, root

from gateway.demo.postgres import EmbeddedPostgres

APPLICATION = ("application", "application-secret")
OBSERVING = {"dialect: mariadb\n": "dialect: mariadb\nmode: observe\n"}


@contextlib.contextmanager
def open_mysql_observed(
    directory: Path, postgres: EmbeddedPostgres, server: MariaDB, *, settings: Mapping[str, Any] | None = None
) -> Iterator[MysqlHouse]:
    """Open a house whose MariaDB is observed."""
    name, password = APPLICATION
    root(server, f"create or replace user {name}@'%' identified by '{password}'")
    root(server, f"grant all on {DATABASE}.* to {name}@'%'")
    with open_mysql_house(
        directory, postgres, server, change=OBSERVING, account=APPLICATION, settings=settings
    ) as house:
        yield house


def direct(server: MariaDB, **more: Any) -> pymysql.Connection[Any]:
    """A connection past the gateway, with the account that the gateway has."""
    name, password = APPLICATION
    given: dict[str, Any] = {
        "host": server.host, "port": server.port, "user": name, "password": password, "database": DATABASE,
        "charset": "utf8mb4", "autocommit": True, "ssl": {"ca": str(server.ca)},
    }  # fmt: skip
    return pymysql.connect(**(given | more))


def recorded(house: MysqlHouse, application: str) -> list[dict[str, Any]]:
    """The begin records of the last session of that application, each with the fields of its end."""
    house.house.settled()
    records = house.house.records()
    sessions = [
        one["session"] for one in records if one["kind"] == "session.begin" and one.get("application") == application
    ]
    made: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.get("session") != sessions[-1]:
            continue
        if record["kind"] == "statement.begin":
            made[record["statement"]] = dict(record)
        elif record["kind"] in ("statement.end", "statement.unknown"):
            made[record["statement"]] |= record
    return list(made.values())
