"""MariaDB behind the gateway, with PyMySQL and MariaDB's own command line in front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from mysql_house import MysqlHouse, open_mysql_house, payroll_server

from gateway.demo import data
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live
SEED = 2026


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql")
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_house(directory / "house", postgres, server) as house,
    ):
        yield house


def rows(house: MysqlHouse, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with house.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return list(cursor.fetchall())


def test_only_the_ticket_s_customer_is_there(mysql: MysqlHouse) -> None:
    assert rows(mysql, "select distinct company_id from employees") == [(CUSTOMER,)]
    assert rows(mysql, "select count(*) from employees") == mysql.truth(
        f"select count(*) from employees where company_id = {CUSTOMER}"
    )
