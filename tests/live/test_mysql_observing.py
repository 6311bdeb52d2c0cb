"""A MariaDB that is observed, with real clients: all passes as it would directly, is on record, and says what it is."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from mysql_house import MysqlHouse, payroll_server
from mysql_observed import open_mysql_observed, recorded

from gateway.demo import data
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live
SEED = 2026


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-observed")
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_observed(directory / "house", postgres, server) as house,
    ):
        yield house


def test_what_is_there_is_seen_and_written(mysql: MysqlHouse) -> None:
    with mysql.connect(program_name="seen") as connection, connection.cursor() as cursor:
        cursor.execute(f"select nir from employees where company_id <> {CUSTOMER} order by id limit 1")
        assert list(cursor.fetchall()) == mysql.truth(
            f"select nir from employees where company_id <> {CUSTOMER} order by id limit 1"
        )
        cursor.execute("create table written (a int primary key, b text)")
        assert cursor.execute("insert into written values (41114111, 'x4111'), (2, 'y')") == 2
        with pytest.raises(pymysql.err.IntegrityError, match="Duplicate entry '2' for key 'PRIMARY'"):
            cursor.execute("insert into written values (2, 'x4111')")
        with pytest.raises(pymysql.err.ProgrammingError, match="nowhere"):
            cursor.execute("select * from nowhere where a = '4111'")
        cursor.execute("drop table written")
    made = [one for one in recorded(mysql, "seen") if "employees" in one["sql"] or "w" in one["sql"]]
    assert [(one["verb"], one["would"], one["status"]) for one in made] == [
        ("SELECT", "permit", "ok"), ("CREATE TABLE", "deny", "ok"), ("INSERT", "deny", "ok"), ("INSERT", "deny", "error"),
        ("SELECT", "deny", "error"), ("DROP TABLE", "deny", "ok"),
    ]  # fmt: skip
    assert "4111" not in str(made)
