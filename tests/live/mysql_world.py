"""A MariaDB with something of everything in it, for the tests of the MySQL wire; and how clients come to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
from mariadb_server import MariaDB, mariadb_server
from mysql_relay import Relay
from mysql_wire import Client

from gateway.wire.mysql import handshake
from gateway.wire.mysql.base import Capability

OLD = handshake.OFFERED & ~(Capability.DEPRECATE_EOF | Capability.SESSION_TRACK)
"""What a client or a server of before 5.7 has."""

KINDS = """
id INT PRIMARY KEY, tiny TINYINT, utiny TINYINT UNSIGNED, small SMALLINT, usmall SMALLINT UNSIGNED, medium MEDIUMINT,
umedium MEDIUMINT UNSIGNED, number INT, unumber INT UNSIGNED, big BIGINT, ubig BIGINT UNSIGNED, fl FLOAT, db DOUBLE,
dc DECIMAL(30,10), yr YEAR, dt DATE, tm TIME(6), dtm DATETIME(6), ts TIMESTAMP(3) NULL, bits BIT(20), ch CHAR(5),
vc VARCHAR(40), bn BINARY(4), vb VARBINARY(40), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, bl BLOB, js JSON,
en ENUM('a','b'), st SET('x','y','z'), ge GEOMETRY, ip INET6, uu UUID
"""
ROWS = [
    "(1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,"
    " 18446744073709551615, 1.5, 0.1, -12345678901234567890.0123456789, 2024, '2024-02-29', '-838:59:59.999999',"
    " '2024-12-31 23:59:59.000001', '2024-07-01 12:00:00.250', b'10101010101010101010', 'é', 'ünï', x'00ff', x'0001fe',"
    " 't', 'text', 'medium', REPEAT('l', 70000), x'fffefdfc', '{\"a\": [1, null]}', 'b', 'x,z',"
    " ST_GeomFromText('POINT(1 2)'), '::1', '123e4567-e89b-12d3-a456-426655440000')",
    "(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1901, '0001-01-01', '00:00:00', '1000-01-01 00:00:00',"
    " '1970-01-02 00:00:00', b'0', '', '', '', '', '', '', '', '', '', '0', 'a', '',"
    " ST_GeomFromText('LINESTRING(0 0,1 1)'), '::', '00000000-0000-0000-0000-000000000001')",
    f"(3{', NULL' * 34})",
]


@contextlib.contextmanager
def shop(directory: Path) -> Iterator[MariaDB]:
    """A server with the database `shop`, and accounts of several plugins."""
    with mariadb_server(directory, options=["--plugin-load-add=auth_ed25519"]) as made:
        client = Client(made.socket, "root", made.root_password)
        for statement in (
            "CREATE DATABASE shop CHARACTER SET utf8mb4",
            "CREATE USER app@'%' IDENTIFIED BY 'app-secret' REQUIRE SSL",
            "CREATE USER curved@'%' IDENTIFIED VIA ed25519 USING PASSWORD('curve')",
            "CREATE USER open@'%'",
            "GRANT ALL ON shop.* TO app@'%'",
            "USE shop",
            f"CREATE TABLE kinds ({KINDS})",
            f"INSERT INTO kinds VALUES {', '.join(ROWS)}",
            "CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, body LONGTEXT)",
            "CREATE TABLE many (id INT PRIMARY KEY, body VARCHAR(300))",
            "INSERT INTO many SELECT seq, REPEAT('m', seq % 300) FROM seq_1_to_20000",
            "CREATE PROCEDURE two_results() BEGIN SELECT 1 AS a; SELECT 'b' AS b, NULL AS c; END",
        ):
            client.query(statement)
        client.close()
        yield made


def connect(server: MariaDB, **given: Any) -> Client:
    return Client((server.host, server.port), "app", "app-secret", ca=server.ca, database="shop", **given)


@contextlib.contextmanager
def relay(server: MariaDB, directory: Path, **given: Any) -> Iterator[Relay]:
    """A relay; what went wrong in it fails the test."""
    address = server.host, server.port
    with Relay(address, ("app", "app-secret"), directory, ca=server.ca, **given) as made:
        yield made
    assert made.problems == []


def by_pymysql(server: MariaDB | Relay, **given: Any) -> Any:
    """A connection of PyMySQL's, as `app` to the server or as `alice` to the relay."""
    user, password = (server.user, server.password) if isinstance(server, Relay) else ("app", "app-secret")
    options = {
        "user": user,
        "password": password,
        "database": "shop",
        "ssl_ca": str(server.ca),
        "ssl_verify_cert": True,
        "charset": "utf8mb4",
        **given,
    }
    return pymysql.connect(host="localhost", port=server.port, **options)
