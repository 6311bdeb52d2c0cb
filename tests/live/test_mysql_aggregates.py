"""Sums over hidden columns in MySQL's SQL, on a real MariaDB: large groups are told the truth, small ones nothing.

Two databases differ in the hidden values of one person among many, and of all people of a customer who has four. What
is said of those four is the same in both, whatever is asked; of the one, whatever is asked but for the sums that
everybody is part of.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from dialect_world import KEY, POLICY, statements
from mariadb_server import mariadb_cursor
from mysql_grammar import question, summing
from test_mysql_oracle import _cases, _in, _unordered

from gateway.errors import Refusal
from gateway.policy.schema import AggregateRule, ColumnRule, Mask, Scope, TableRule
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

pytestmark = pytest.mark.live

Ask = Callable[..., Any]
QUESTIONS, SEED, VICTIM = 2000, 2026, 1
RULES = {
    ("shop.employees", "salary"): AggregateRule(5, "id"),
    ("shop.payslips", "net"): AggregateRule(5, "employee_id", extremes=True),
}
_OF = "employee_id in (select id from {0}.employees where company_id = 42)"


def _policy() -> Any:
    tables = {
        name: replace(
            table, columns={one: replace(r, aggregate=RULES.get((name, one))) for one, r in table.columns.items()}
        )
        for name, table in POLICY.tables.items()
    }  # fmt: skip
    huge = {
        "id": ColumnRule("id", Mask("clear"), type="bigint"),
        "big": ColumnRule("big", Mask("null"), aggregate=AggregateRule(3, "id"), type="numeric(65,20)"),
        "wide": ColumnRule("wide", Mask("null"), aggregate=AggregateRule(3, "id"), type="double precision"),
    }
    tables["shop.huge"] = TableRule("shop.huge", Scope("none"), huge)
    return replace(POLICY, dialect="mariadb", tables=tables)


def _view(customer: str) -> View:
    policy = _policy()
    return View(policy, declared(policy), (customer,), search_path=("shop",))


def _world(other: bool) -> dict[str, dict[str, list[Any]]]:
    people = []
    for number in range(1, 25):
        group = "c" if number <= 4 else "a" if number <= 12 else "b" if number <= 17 else "e" if number <= 23 else "d"
        pay = 60000 + 7 * number * number % 9000 if number not in (18, 19) else None
        people.append((number, 42, group, 61234 if other and number == VICTIM else pay))
    people += [(100 + n, 7, "a", 39000 - n if other else 31000 + 7 * n) for n in range(1, 5)]
    employees = {
        "id": [one[0] for one in people], "company_id": [one[1] for one in people],
        "first_name": ["x"] * 28, "last_name": [f"name{one[0]}" for one in people],
        "email": [f"p{one[0]}@x.example" for one in people], "iban": ["FR7612345678901890"] * 28,
        "salary": [one[3] for one in people], "birth_date": [f"19{70 + one[0] % 3}-01-01" for one in people],
        "phone": ["06"] * 28, "status": [one[2] for one in people], "notes": ["CANARY"] * 28,
    }  # fmt: skip
    nets = [(id_, month) for id_ in employees["id"] for month in range(1, 4)]
    changed = {VICTIM, 101, 102, 103, 104} if other else set()
    return {
        "companies": {"id": [42, 7], "name": ["Acme", "Small"], "secret": ["x", "y"]},
        "employees": employees,
        "payslips": {
            "id": [id_ * 100 + month for id_, month in nets], "employee_id": [id_ for id_, _ in nets],
            "period": [f"2026-0{month}-01" for _, month in nets],
            "net": [2_000_000_000 if id_ in changed else 1000 + id_ * month for id_, month in nets],
        },
        "accounts": {"id": [1], "company": ["Acme"], "balance": ["1.50"]},
        "notes": {"id": [1], "customer": ["42"], "note": ["x"]},
        "countries": {"code": ["FR"], "name": ["France"]},
    }  # fmt: skip


HUGE = (
    "CREATE TABLE sums_one.huge (id BIGINT, big DECIMAL(65,20), wide DOUBLE)",
    "INSERT INTO sums_one.huge VALUES (1, 1, 1), (2, 2.5, 2e99), (3, 3, -3), (4, 4e44, 1.7e308), (5, -4e44, 1.7e308),"
    " (6, 4e44, -1.7e308), (7, 4e44, 1e100)",
)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    directory: Path = tmp_path_factory.mktemp("mariadb")
    with mariadb_cursor(directory) as cursor:
        for name, tables in (("sums_one", _world(other=False)), ("sums_two", _world(other=True))):
            for one in statements(name, tables, "mariadb"):
                cursor.execute(one)
        for one in (*HUGE, *mysql.session_statements(_view("42"), b"")):
            cursor.execute(one)
        keys = mask_settings(KEY)
        cursor.execute(
            f"SET @gateway_inner = '{keys['gateway.mask_inner']}', @gateway_outer = '{keys['gateway.mask_outer']}'"
        )

        def asked(text: str, database: str = "sums_one") -> Any:
            try:
                cursor.execute(f"USE {database}")
                cursor.execute(_in(database, text))
                names = [column[0] for column in cursor.description or ()]
                return names, [list(row) for row in cursor.fetchall()]
            except pymysql.MySQLError as error:
                return error.args[0]

        yield asked


def _plan(sql: str, customer: str = "42") -> Plan:
    plan = mysql.analyse(sql, _view(customer))
    assert isinstance(plan, Plan), plan
    return plan


def test_large_groups_are_told_the_truth_and_small_ones_nothing(ask: Ask) -> None:
    sums = "count(salary), sum(salary), avg(salary), stddev(salary), stddev_pop(salary), var_samp(salary)"
    sql = f"select status, {sums}, count(*) from employees e where {{}} group by status order by status"
    mine, truth = ask(_plan(sql.format("true")).rewritten), ask(sql.format("company_id = 42"))

    # a: eight people, b: five, c: four, d: one, e: six of whom four have a salary
    assert mine[0] == truth[0]
    assert [row[0] for row in mine[1]] == ["a", "b", "c", "d", "e"]
    assert mine[1][:2] == truth[1][:2]
    assert all(row[1:7] == [None] * 6 for row in mine[1][2:])
    assert [row[7] for row in mine[1]] == [8, 5, 4, 1, 6]


def test_subjects_are_counted_and_not_rows(ask: Ask) -> None:
    four, five = "in (1, 2, 3, 4)", "in (1, 2, 3, 4, 5)"
    sql = "select count(net) as a, sum(net) as b, max(net) as c, min(net) as d from payslips where employee_id "

    assert ask(_plan(sql + four).rewritten)[1] == [[None] * 4]
    assert ask(_plan(sql + five).rewritten) == ask(sql + five)
    assert ask(_plan(sql + five, "7").rewritten)[1] == [[None] * 4]


def test_values_that_could_make_a_sum_fail_are_left_out(ask: Ask) -> None:
    names, rows = ask(_plan("select count(big), sum(big), count(wide), sum(wide), std(wide) from huge").rewritten)

    assert names == ["count(big)", "sum(big)", "count(wide)", "sum(wide)", "std(wide)"]
    assert [float(one) for one in rows[0][:4]] == [3, 6.5, 3, 2e99 - 2]
    assert 0 < rows[0][4] < 1e100


def test_conditions_and_names_see_what_they_saw(ask: Ask) -> None:
    sql = "select salary, count(salary) as n, min(salary) from employees group by salary order by 1 desc"
    assert ask(_plan(sql).rewritten)[1] == [[60000, 22, 60000], [None, None, None]]
    having = "select status from employees group by status having avg(salary) > 0 order by 1"
    assert ask(_plan(having).rewritten)[1] == [["a"], ["b"]]


@pytest.mark.parametrize("sql", _cases("sums"))
def test_an_attack_on_one_person_learns_nothing(ask: Ask, sql: str) -> None:
    plan = mysql.analyse(sql, _view("42"))
    if isinstance(plan, Refusal):
        assert plan.code in {"statement-not-supported", "function-not-allowed"}
        return

    first, second = (ask(plan.rewritten, name) for name in ("sums_one", "sums_two"))

    assert _unordered(first) == _unordered(second)


def test_questions_made_up_say_nothing_of_few_people(ask: Ask) -> None:
    chosen = random.Random(SEED)
    summed = ran = 0
    for number in range(QUESTIONS):
        sql = summing(chosen) if number % 2 else question(chosen)
        plan = mysql.analyse(sql, _view("7"))
        if isinstance(plan, Refusal):
            assert plan.code != "scope-not-provable", (number, sql)
            continue
        first, second = (ask(plan.rewritten, name) for name in ("sums_one", "sums_two"))
        assert _unordered(first) == _unordered(second), (number, sql)
        summed, ran = summed + bool(plan.aggregations), ran + 1
    assert summed > QUESTIONS // 5
    assert ran > QUESTIONS // 2


def test_questions_made_up_that_sum_nothing_say_nothing_of_one_among_many(ask: Ask) -> None:
    chosen = random.Random(SEED + 1)
    for number in range(QUESTIONS // 2):
        sql = summing(chosen)
        plan = mysql.analyse(sql, _view("42"))
        if isinstance(plan, Refusal) or plan.aggregations:
            continue
        first, second = (ask(plan.rewritten, name) for name in ("sums_one", "sums_two"))
        assert _unordered(first) == _unordered(second), (number, sql)
