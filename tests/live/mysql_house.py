"""A gateway with a MariaDB behind it, which holds the same payroll data as the PostgreSQL beside it."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from gateway_fixture import House, open_house
from mariadb_server import MariaDB, mariadb_server

from gateway.demo import data, mysql_data
from gateway.demo.company import TICKET
from gateway.demo.mysql_data import DATABASE, ROLE
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres

TARGET, SECRET = "ledger", "gateway-secret"
SEED = 2026


@dataclass
class MysqlHouse:
    """The gateway, and what stands behind it."""

    house: House
    server: MariaDB
    port: int

    def opened(self, login: str = "alice", ticket: str = TICKET, **more: Any) -> dict[str, Any]:
        """What `POST /open` answers."""
        found: dict[str, Any] = self.house.actor(login).open(ticket, "", TARGET, **more)
        return found

    def connect(self, opened: Mapping[str, Any] | None = None, **more: Any) -> pymysql.Connection[Any]:
        """An autocommit connection of PyMySQL's through the gateway."""
        opened = opened or self.opened()
        context = ssl.create_default_context(cafile=str(self.house.company.tls.ca))
        given: dict[str, Any] = {
            "host": "localhost", "port": self.port, "user": opened["user"], "password": opened["password"],
            "database": TARGET, "ssl": context, "charset": "utf8mb4", "autocommit": True, "read_timeout": 60,
        }  # fmt: skip
        return pymysql.connect(**(given | more))

    def truth(self, text: str) -> list[tuple[Any, ...]]:
        """What the database really holds, asked past the gateway as its owner."""
        return root(self.server, text)

    def client(self, *arguments: str, opened: Mapping[str, Any], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run MariaDB's own command line."""
        command = [
            "mariadb", "--no-defaults", "--host=localhost", "--protocol=tcp", f"--port={self.port}",
            f"--user={opened['user']}", f"--ssl-ca={self.house.company.tls.ca}", "--ssl-verify-server-cert",
            "--default-character-set=utf8mb4", *arguments, TARGET,
        ]  # fmt: skip
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False,
            env={"MYSQL_PWD": str(opened["password"]), "PATH": "/usr/bin:/bin", "HOME": "/none", "LANG": "C.UTF-8"},
        )  # fmt: skip


def root(server: MariaDB, text: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
    """Run statements as the owner; the rows of the last."""
    with (
        contextlib.closing(
            pymysql.connect(
                unix_socket=str(server.socket),
                user="root",
                password=server.root_password,
                database=database,
                charset="utf8mb4",
                autocommit=True,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(text)
        return list(cursor.fetchall())


def load(server: MariaDB, dataset: data.Dataset) -> None:
    """Make the database, and the account that may read it and do nothing else."""
    server.run(mysql_data.everything(dataset, SECRET))


def policy_of(text: str) -> str:
    """The demonstration's policy, for the same tables in MariaDB."""
    text = text.replace("target: payroll", f"target: {TARGET}\ndialect: mariadb\nschemas: [{DATABASE}]", 1)
    head, _, _ = text.partition("\nreveal:")
    head = head.replace("public.", f"{DATABASE}.")
    return head + f"\nreveal:\n  {DATABASE}.employees: [email, phone]\n"


@contextlib.contextmanager
def open_mysql_house(
    directory: Path, postgres: EmbeddedPostgres, server: MariaDB, *, settings: Mapping[str, Any] | None = None,
    change: Mapping[str, str] | None = None, account: tuple[str, str] = (ROLE, SECRET),
    at: int = 0,
) -> Iterator[MysqlHouse]:  # fmt: skip
    """Start the gateway in `directory`; `change` are replacements in the policy's text, `account` is the gateway's.

    With `at`, the target is reached in clear at that port.
    """
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    secret = directory / "mysql.password"
    secret.touch(0o600)
    secret.write_text(account[1])
    target = {
        "engine": "mysql", "host": "localhost", "port": server.port, "database": DATABASE, "user": account[0],
        "password": {"file": str(secret)}, "ca": str(server.ca),
        "pseudonyms_of": "payroll",
    }  # fmt: skip
    if at:
        target |= {"port": at, "tls": "off"}
        del target["ca"]
    own = {"targets": {TARGET: target}, "listen": {"mysql": {"port": port}}, **(settings or {})}
    with open_house(directory, postgres, settings=own, start=False) as house:
        policies = house.company.directory / "policies"
        text = policy_of((policies / "payroll.yaml").read_text())
        for old, new in (change or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = policies / f"{TARGET}.yaml"
        path.write_text(text)
        path.chmod(0o644)
        house.gateway.start()
        yield MysqlHouse(house, server, port)


@contextlib.contextmanager
def payroll_server(directory: Path, dataset: data.Dataset) -> Iterator[MariaDB]:
    """MariaDB with the data set in it."""
    with mariadb_server(directory) as server:
        load(server, dataset)
        yield server


@contextlib.contextmanager
def payroll_house(directory: Path, postgres: EmbeddedPostgres) -> Iterator[MysqlHouse]:
    """A gateway in front of a MariaDB with the small data set in it, as it is left alone."""
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_house(directory / "house", postgres, server) as house,
    ):
        yield house
