"""Exact searches and sums over hidden columns through the gateway to MariaDB: true, counted, and on record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import DATABASE, SEED, MysqlHouse, open_mysql_house, payroll_server

from gateway.demo import data
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql import commands as wire
from gateway.wire.mysql.base import Type

pytestmark = pytest.mark.live
MINE = f"company_id = {CUSTOMER} and email is not null"
BUDGET, SUMS = 12, 4


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-searching")
    plain = "{mask: bucket, size: 10000}"
    change = {
        "exact_searches_per_hour: 60": f"exact_searches_per_hour: {BUDGET}\n  aggregates_per_hour: {SUMS}",
        plain: plain.replace("}", ", aggregate: {min_group: 5, subject: id}}"),
    }
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_house(directory / "house", postgres, server, change=change) as opened,
    ):
        yield opened


def rows(connection: pymysql.Connection[Any], text: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


class _Prepared:
    """A statement that is prepared in the protocol, which PyMySQL itself does not do."""

    def __init__(self, connection: Any, text: str) -> None:
        self._connection = connection
        connection._execute_command(0x16, text.encode())
        head = connection._read_packet().get_all_data()
        self._number = int.from_bytes(head[1:5], "little")
        for count in (head[7:9], head[5:7]):
            for _ in range(int.from_bytes(count, "little") + bool(any(count))):
                connection._read_packet()

    def ahead(self, parameter: int, value: bytes) -> None:
        """Send a piece of a value before the statement runs."""
        piece = wire.encode_long_data(wire.LongData(self._number, parameter, value))
        self._connection._execute_command(piece[0], piece[1:])

    def numbers(self, *values: Any, long: frozenset[int] = frozenset()) -> list[int]:
        """Run it; the one column that it answers with, of whole numbers."""
        given = tuple(one.encode() if isinstance(one, str) else one for one in values)
        kinds = (Type.LONGLONG if isinstance(one, int) else Type.VAR_STRING for one in given)
        types = tuple(wire.Parameter(kind, False) for kind in kinds)
        sent = wire.encode_execute(self._number, 0, wire.Bound(types, given), long)
        self._connection._execute_command(sent[0], sent[1:])
        for _ in range(3):
            self._connection._read_packet()
        found = []
        while (packet := self._connection._read_packet().get_all_data())[0] != 0xFE:
            found.append(int.from_bytes(packet[2:], "little"))
        return found


def test_a_person_is_found_by_the_true_address_and_nobody_else_s(house: MysqlHouse) -> None:
    (number, email), *_ = house.truth(f"select id, email from employees where {MINE} order by id")
    ((other,),) = house.truth(f"select email from employees where company_id <> {CUSTOMER} order by id limit 1")
    trail = house.house.follow()
    with house.connect() as connection:
        found = rows(connection, f"select id, email from employees where email = '{email}'")
        assert [one[0] for one in found] == [number]
        assert found[0][1] != email
        assert rows(connection, f"select id from employees where email = '{other}'") == []
        begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "email" in one["sql"])
        assert begun["searches"] == [f"{DATABASE}.employees.email"]
        assert email not in str(begun)
        told = {"kind": "search.exact", "statement": begun["statement"], "relation": f"{DATABASE}.employees",
                "column": "email"}  # fmt: skip
        eventually(lambda: any(told.items() <= one.items() for one in house.house.records()))
        # a mask is compared everywhere else, and that is said
        assert rows(connection, f"select id from employees where email like '{email}'") == []
        ((level, _code, words),) = rows(connection, "show warnings")
        assert level == "Note"
        assert "`payroll.employees.email` is masked: this comparison saw the masked values" in words
        assert rows(connection, "show errors") == []
        rows(connection, "select 1")
        assert rows(connection, "show warnings") == []


def test_parameters_reach_the_places_that_they_were_written_for(house: MysqlHouse) -> None:
    (number, email), *_ = house.truth(f"select id, email from employees where {MINE} order by id")
    text = "select id from employees where id >= ? and email in (?, ?) and id < ?"
    with house.connect() as connection:
        prepared = _Prepared(connection, text)
        assert prepared.numbers(number, email, "x", number + 1) == [number]
        assert prepared.numbers(number, "x", 0, number + 1) == []
        prepared = _Prepared(connection, text)
        prepared.ahead(2, email[:3].encode())
        prepared.ahead(2, email[3:].encode())
        assert prepared.numbers(number, "y", "", number + 1, long=frozenset({2})) == [number]


def test_each_run_is_counted_until_the_hour_s_budget_is_used_up(house: MysqlHouse) -> None:
    with house.connect() as connection:
        prepared = _Prepared(connection, "select id from employees where email = ?")
        codes = []
        for number in range(BUDGET + 1):
            try:
                assert prepared.numbers(f"nobody{number}@example.com") == []
            except pymysql.Error as error:
                codes.append(str(error))
        assert codes
        assert all("search-budget-exhausted" in one for one in codes)
        with pytest.raises(pymysql.Error, match="search-budget-exhausted"):
            rows(connection, "select count(*) from employees where email = 'x' and id in (select id from employees)")
        assert rows(connection, "select count(*) > 0 from employees where id > 0") == [(1,)]


def test_sums_of_many_are_true_and_counted(house: MysqlHouse) -> None:
    sums = "select avg(salary), count(salary) from employees"
    trail = house.house.follow()
    with house.connect() as connection:
        assert rows(connection, sums) == house.truth(f"{sums} where company_id = {CUSTOMER}")
        ((_level, _code, words),) = rows(connection, "show warnings")
        assert words.startswith(f"`{DATABASE}.employees.salary` is aggregated over its real values; groups with fewer")
        begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "avg" in one["sql"])
        assert begun["columns_aggregated"] == [f"{DATABASE}.employees.salary"]
        alone = (
            f"select avg(salary) from employees where id = {rows(connection, 'select min(id) from employees')[0][0]}"
        )
        for _ in range(SUMS - 1):
            assert rows(connection, alone) == [(None,)]
        with pytest.raises(pymysql.Error, match="aggregate-budget-exhausted"):
            rows(connection, alone)
        assert rows(connection, "select max(salary) % 10000 from employees") == [(0,)]
