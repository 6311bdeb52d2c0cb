"""A gateway in front of a MariaDB that is observed, reached with an account that may write: what an application has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mariadb_server import MariaDB
from mysql_house import DATABASE, TARGET, MysqlHouse, open_mysql_house, root
from mysql_wire import Client

from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql import handshake
from gateway.wire.mysql.answers import Part, Passing
from gateway.wire.mysql.commands import SILENT, Command, encode_text

APPLICATION = ("application", "application-secret")
OBSERVING = {"dialect: mariadb\n": "dialect: mariadb\nmode: observe\n"}


@contextlib.contextmanager
def open_mysql_observed(
    directory: Path,
    postgres: EmbeddedPostgres,
    server: MariaDB,
    *,
    settings: Mapping[str, Any] | None = None,
    at: int = 0,
) -> Iterator[MysqlHouse]:
    """Open a house whose MariaDB is observed, reached in clear at the port `at` where that is given."""
    name, password = APPLICATION
    root(server, f"create or replace user {name}@'%' identified by '{password}'")
    root(server, f"grant all on {DATABASE}.* to {name}@'%'")
    with open_mysql_house(
        directory, postgres, server, change=OBSERVING, account=APPLICATION, settings=settings, at=at
    ) as house:
        yield house


def client(house: MysqlHouse, wanted: int = handshake.OBSERVED, opened: Mapping[str, Any] | None = None) -> Client:
    """A client on the bare wire through the gateway, which wants all that there is unless it says what."""
    opened = opened or house.opened()
    ca = house.house.company.tls.ca
    return Client(
        ("localhost", house.port), str(opened["user"]), str(opened["password"]), ca=ca, database=TARGET, wanted=wanted
    )


def client_directly(house: MysqlHouse, wanted: int = handshake.OBSERVED) -> Client:
    """The same past the gateway, with the account that the gateway has."""
    name, password = APPLICATION
    return Client(
        (house.server.host, house.server.port), name, password, ca=house.server.ca, database=DATABASE, wanted=wanted
    )


def said(client: Client, payload: bytes, files: Sequence[bytes] = ()) -> list[bytes]:
    """What is said to a command, packet by packet; a file that is asked for is sent in these packets."""
    command = Command(payload[0])
    client.command(payload)
    if command in SILENT:
        return []
    answer = Passing(command, client.capabilities)
    heard: list[bytes] = []
    while not answer.over:
        packet = client.read()
        if not packet:
            heard.append(b"closed")
            break
        heard.append(packet)
        if answer.take(packet) == Part.FILE:
            for piece in (*files, b""):
                client.send(piece)
    return heard


def query(text: str | bytes) -> bytes:
    """COM_QUERY."""
    return encode_text(Command.QUERY, text.encode() if isinstance(text, str) else text)


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
