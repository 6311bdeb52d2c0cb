"""What was tried on MariaDB behind the gateway by who may come in: names, and more than has a place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from mysql_house import DATABASE, TARGET, MysqlHouse, payroll_house
from mysql_wire import Client, Refused

from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql.commands import LongData, encode_long_data

pytestmark = pytest.mark.live
PIECE = b"x" * 1_000_000


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql"), postgres) as house:
        house.truth("create table secrets as select 1 as id, 'CANARY' as note")
        yield house


def rows(house: MysqlHouse, text: str) -> list[tuple[Any, ...]]:
    with house.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def raw(house: MysqlHouse) -> contextlib.closing[Client]:
    opened = house.opened()
    address, ca = ("localhost", house.port), house.house.company.tls.ca
    return contextlib.closing(Client(address, opened["user"], opened["password"], ca=ca, database=TARGET))


def test_a_hidden_table_is_not_read_through_a_cte_of_its_name(mysql: MysqlHouse) -> None:
    cte = "with secrets as (select 1 as id, 'x' as note) "

    assert rows(mysql, f"{cte} select * from secrets") == [(1, "x")]
    assert rows(mysql, f"{cte} select (select max(note) from secrets) as note") == [("x",)]
    for nested in (
        "select * from (with t as (select * from secrets) select * from t) as q",
        "select (with t as (select * from secrets) select max(note) from t) as note",
    ):
        with pytest.raises(pymysql.Error, match="statement-not-supported"):
            rows(mysql, cte + nested)


def test_a_database_is_known_by_the_name_of_its_target(mysql: MysqlHouse) -> None:
    with mysql.connect() as connection, connection.cursor() as cursor:
        connection.select_db(TARGET)
        cursor.execute(f"use {TARGET}")
        cursor.execute("select database()")
        assert cursor.fetchone() == (DATABASE,)


def test_values_sent_ahead_are_bounded_for_all_parameters_together(mysql: MysqlHouse) -> None:
    with raw(mysql) as client:
        prepared = client.prepare("select length(?), length(?), length(?)").prepared
        assert prepared is not None
        for number in (0, 1, 2):
            client.command(encode_long_data(LongData(prepared.statement, number, PIECE)))
        assert client.rows("select 1") == [(b"1",)]
        with contextlib.suppress(OSError):
            for number in (0, 1, 2) * 7:
                client.command(encode_long_data(LongData(prepared.statement, number, PIECE)))
        with pytest.raises((Refused, OSError, AssertionError)):
            client.query("select 1")


def test_a_statement_that_would_take_the_reader_minutes_is_refused_at_once(mysql: MysqlHouse) -> None:
    with pytest.raises(pymysql.Error, match="statement-too-complex"):
        rows(mysql, f"select 1 from employees as a {'join employees ' * 30}")


def test_what_has_no_statement_in_it_is_said_to_be_empty(mysql: MysqlHouse) -> None:
    with pytest.raises(pymysql.Error, match="the statement is empty"):
        rows(mysql, "-- nothing")
