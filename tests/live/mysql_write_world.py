"""A MariaDB with a truth and a copy of the customer's rows of it, and what a statement that writes does to either."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from mariadb_server import MariaDB, mariadb_server

from gateway.sql import mysql
from gateway.sql.catalog import Catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View
from gateway.sql.tree.write_values import write_refusal

sys.path.append(str(Path(__file__).parents[1] / "unit" / "sql"))
from mysql_write_view import SCHEMA, write_view

TRUTH, COPY = "writes_truth", "writes_copy"
TABLES = ("companies", "departments", "countries", "employees", "payslips")
MINE = {
    "companies": "id = 42",
    "departments": "company_id = 42",
    "countries": "true",
    "employees": "company_id = 42",
    "payslips": "employee_id in (select id from employees where company_id = 42) or employee_id >= 1000",
}
FIRST_NEW = 1000


@dataclass(slots=True)
class Outcome:
    """What came of one statement: the rows that it says it wrote, or a code; the state after it, of mine and others."""

    rows: int = -1
    code: str = ""
    state: dict[str, list[tuple[Any, ...]]] | None = None
    others: dict[str, list[tuple[Any, ...]]] | None = None


@dataclass(slots=True)
class World:
    """The server, one connection as the gateway pins it, and the view with the truth's own catalog."""

    server: MariaDB
    connection: pymysql.Connection[Any]
    view: View

    def plan(self, sql: str) -> Plan:
        """The plan of a statement that is allowed."""
        plan = mysql.analyse(sql, self.view)
        assert isinstance(plan, Plan), (sql, plan)
        return plan

    def rewritten(self, sql: str) -> str:
        """What runs for a statement, on the truth."""
        return in_truth(self.plan(sql).rewritten)

    def run(self, database: str, text: str, plan: Plan | None = None) -> Outcome:
        """Run a statement in a transaction that is rolled back after a look at what it did."""
        made = Outcome()
        with self.connection.cursor() as cursor:
            cursor.execute(f"USE {database}")
            cursor.execute("START TRANSACTION")
            try:
                made.rows = cursor.execute(text)
                made.state = {table: self.look(table, MINE[table]) for table in TABLES}
                made.others = {table: self.look(table, f"NOT ({MINE[table]})") for table in TABLES}
            except pymysql.MySQLError as error:
                bound = write_refusal(error.args[0], error.args[1], plan.write) if plan is not None else None
                made.code = bound.code if bound is not None else str(error.args[0])
            self.connection.rollback()
        return made

    def look(self, table: str, where: str) -> list[tuple[Any, ...]]:
        """Rows of a table, those that are new by their order."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY 1")
            rows = list(cursor.fetchall())
        first = next((at for at, row in enumerate(rows) if isinstance(row[0], int) and row[0] >= FIRST_NEW), len(rows))
        return rows[:first] + sorted((tuple(row[1:]) for row in rows[first:]), key=repr)


def in_truth(text: str) -> str:
    return text.replace("`shop`.", f"`{TRUTH}`.")


def catalog(server: MariaDB, user: str = "root", password: str = "") -> Catalog:
    """The catalog that an account sees, with the truth under the name that policies have for it."""
    with contextlib.closing(
        pymysql.connect(host=server.host, port=server.port, user=user, password=password or server.root_password)
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        rows = {}
        for name, query in mysql.catalog_queries(mariadb=True).items():
            cursor.execute(query)
            rows[name] = [
                tuple(None if one is None else str(one).replace(TRUTH, "shop") for one in row)
                for row in cursor.fetchall()
            ]  # fmt: skip
    return mysql.catalog_from_rows(rows)


@contextlib.contextmanager
def write_world(directory: Path) -> Iterator[World]:
    """A server of its own with both in it."""
    with mariadb_server(directory, tls=False) as server:
        connection = pymysql.connect(
            host=server.host, port=server.port, user="root", password=server.root_password, charset="utf8mb4",
            autocommit=True, client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            for name in (TRUTH, COPY):
                cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
                cursor.execute(f"USE {name}")
                for statement in SCHEMA.split(";\n"):
                    if statement.strip():
                        cursor.execute(statement)
                for table in ("employees", "payslips"):
                    cursor.execute(f"ALTER TABLE {table} AUTO_INCREMENT = {FIRST_NEW}")
            # the gateway names the customer where the statement does not
            cursor.execute("ALTER TABLE employees ALTER company_id SET DEFAULT 42")
            for table in ("payslips", "employees", "departments", "companies"):
                cursor.execute(f"DELETE FROM {table} WHERE NOT ({MINE[table]})")
            view = write_view(catalog(server))
            keys = mask_settings(bytes(range(32)))
            for one in mysql.session_statements(view, b""):
                cursor.execute(one)
            cursor.execute(
                f"SET @gateway_inner = '{keys['gateway.mask_inner']}', @gateway_outer = '{keys['gateway.mask_outer']}'"
            )
            yield World(server, connection, view)
