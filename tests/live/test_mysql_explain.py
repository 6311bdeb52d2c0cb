"""EXPLAIN on MariaDB: a plan's shape, without counts of rows, names of indexes and what was found by reading rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from dialect_world import CANARIES, statements, truth, view
from gateway_fixture import awaited
from mariadb_server import mariadb_cursor
from mysql_grammar import question
from mysql_house import DATABASE, SEED, MysqlHouse, open_mysql_house, payroll_server, root
from test_mysql_oracle import _in

from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import Refusal
from gateway.sql import mysql
from gateway.sql.mysql.explain import scrubbed
from gateway.sql.statement import Plan

pytestmark = pytest.mark.live
HIDDEN = "fires_over_100k"
INDEXES = (
    f"create index {HIDDEN} on {{0}}employees (company_id, notes(9))",
    "create {1} index whose on {0}employees (email)",
)
QUESTIONS = 400

Told = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """What is shown of a plan, in one of two truths; or an error's number."""
    directory: Path = tmp_path_factory.mktemp("mariadb")
    with mariadb_cursor(directory) as cursor:
        for name in ("truth_a", "truth_b"):
            for one in (
                *statements(name, truth(name == "truth_b"), "mariadb"),
                f"alter table {name}.employees add primary key (id)",
                *(index.format(f"{name}.", "unique" if name == "truth_a" else "") for index in INDEXES),
            ):
                cursor.execute(one)

        def asked(database: str, text: str, *, raw: bool = False) -> Any:
            cursor.execute(f"use {database}")
            try:
                cursor.execute(_in(database, text))
            except pymysql.MySQLError as error:
                return error.args[0]
            names = [column[0].encode() for column in cursor.description]
            rows = [[None if one is None else str(one).encode() for one in row] for row in cursor.fetchall()]
            return rows if raw else [scrubbed(names, row) for row in rows]

        yield asked


def test_what_is_found_by_reading_rows_is_not_told(told: Told) -> None:
    plans = []
    for value in ("CANARY@other.inc", "nobody"):
        asked = f"select id from employees where email = '{value}'"
        plan = mysql.analyse(asked, view("mariadb"))
        assert isinstance(plan, Plan)
        plans.append(told("truth_a", f"explain {plan.rewritten}", raw=True))
        refused = mysql.analyse(f"explain {asked}", view("mariadb"))
        assert isinstance(refused, Refusal)
        assert refused.code == "statement-not-allowed"
    # this is why: the server says whether anybody has the address
    assert plans[0] != plans[1]


def test_plans_of_questions_made_up_name_nothing_that_is_hidden(told: Told) -> None:
    chosen = random.Random(SEED)
    ran = 0
    for number in range(QUESTIONS):
        sql = question(chosen)
        plan = mysql.analyse(f"explain {sql}", view("mariadb"))
        if isinstance(plan, Refusal):
            continue
        for name in ("truth_a", "truth_b"):
            rows = told(name, plan.rewritten)
            assert not [word for word in (*CANARIES, HIDDEN, "whose") if word in repr(rows) and word not in sql]
            assert isinstance(rows, int) or all(row[8] is None for row in rows), (number, sql)
        ran += 1
    assert ran > QUESTIONS // 2


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-explain")
    with payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server:
        for one in INDEXES:
            root(server, one.format("", "unique"))
        with open_mysql_house(directory / "house", postgres, server) as opened:
            yield opened


@pytest.mark.parametrize(
    "text",
    [
        "explain select id from employees where status = 'x'",
        "EXPLAIN FORMAT = traditional select e.id from employees e join payslips p on p.employee_id = e.id",
        "desc select distinct department, count(*) from employees group by department order by 2",
        "describe with w as (select id from employees) select * from w union select 1",
        "explain (select id from employees) union all (select 2)",
        "explain /* why */ select 1",
    ],
)
def test_a_plan_has_no_counts_and_no_names_of_indexes(house: MysqlHouse, text: str) -> None:
    trail = house.house.follow()
    with house.connect() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(text)
        rows = cursor.fetchall()
        begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and one["verb"] == "EXPLAIN")
        assert "gateway" in begun["rewritten"] or "employees" not in text
        assert rows
        for row in rows:
            assert row["rows"] is None
            assert row["select_type"]
            assert HIDDEN not in repr(row)
        cursor.execute("select 1")


def test_a_plan_still_says_what_is_sorted_and_which_way_is_taken(house: MysqlHouse) -> None:
    with house.connect() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("explain select department, count(*) from employees where id > 1 group by department order by 2")
        rows = cursor.fetchall()
        assert any("filesort" in (row["Extra"] or "") for row in rows)
        assert any(row["possible_keys"] == "(hidden)" for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        "explain analyze select 1",
        "analyze select 1",
        "explain format=json select id from employees",
        "explain extended select id from employees",
        f"explain select id from {DATABASE}.employees where email = 'x'",
        "show explain for 1",
    ],
)
def test_what_would_tell_more_is_refused(house: MysqlHouse, text: str) -> None:
    with house.connect() as connection, connection.cursor() as cursor, pytest.raises(pymysql.Error) as said:
        cursor.execute(text)
    assert any(code in str(said.value) for code in ("statement-not-allowed", "statement-not-supported"))


def test_an_explain_is_not_prepared(house: MysqlHouse) -> None:
    with house.connect() as connection:
        connection._execute_command(0x16, b"explain select id from employees")  # type: ignore[attr-defined]
        with pytest.raises(pymysql.Error, match="feature-not-supported"):
            connection._read_packet()  # type: ignore[attr-defined]
