# ruff: noqa: E501 - a query reads best on one line
"""Sums over hidden columns against a real server: large groups are told the truth, small ones nothing at all.

*Truth*: what is answered for a group of five subjects or more is what the owner of the data computes from the raw rows.
*Non-interference*: of a customer with four people no statement of any corpus, and no generated query, says anything that
the hidden values decide. Of a larger customer, no attack on one
person says anything that this person's value decides, but for the sums that everybody is part of.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aggregate_view import POLICY as SUMMING
from test_sql_leaks import TYPES, cases, everything

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.policy.load import parse_policy
from gateway.sql.fit import check_against
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

KEY = bytes(range(32))
NAMES = ("sums_one", "sums_two")
GENERATED = 1200
VICTIM = 42001
MOOD = "      mood: clear\n"
HIDDEN = "".join(
    f"      {name}: {{mask: 'null', aggregate: {{min_group: 5, subject: id}}}}\n" for name in ("bonus", "ratio")
)
POLICY = SUMMING.replace("target: payroll", "target: sums").replace(MOOD, MOOD + HIDDEN)
assert "ratio: {mask" in POLICY
TRUTH = f"""
create table companies (id int primary key, name text, plan text);
create table employees (id int primary key, company_id int references companies, name text, email text unique, salary int,
    status text, notes text, mood public.mood, bonus numeric, ratio double precision);
create table payslips (id bigint primary key, employee_id int references employees, net int, period date);
create table countries (code text primary key, label text);
insert into companies values (7, 'Small', 'gold'), (42, 'Acme', 'gold');
insert into countries values ('FR', 'France'), ('DE', 'Germany');
insert into employees select 42000 + n, 42, 'name-' || n, 'p' || n || '@x.example', 60000 + 7 * n * n % 9000,
    case when n <= 4 then 'c' when n <= 12 then 'a' when n <= 17 then 'b' when n <= 23 then 'e' else 'd' end, '',
    case when n % 3 = 0 then 'sad' else 'happy' end::mood, 100.25 * n, 1e99 * n from generate_series(1, 24) n;
update employees set salary = null where id in (42018, 42019);
update employees set bonus = 'NaN' where id = 42006;
insert into employees select 7000 + n, 7, 'name-' || n, 's' || n || '@x.example', 31000 + 7 * n, 'a', '', 'sad', n, n
    from generate_series(1, 4) n;
insert into payslips select e.id * 100 + m, e.id, 1000 + e.id % 1000 * m, date '2026-01-01' + 31 * m from employees e, generate_series(0, 9) m;
grant usage on schema public to {BACKEND_ROLE};
grant select on all tables in schema public to {BACKEND_ROLE};
analyze;
"""
OTHERWISE = f"""
update employees set salary = 61234 + id % 3, bonus = 1e90 + id, ratio = 1e300 where id = {VICTIM};
update payslips set net = net * 7 + 5 where employee_id = {VICTIM};
update employees set salary = 39000 - id % 100, bonus = bonus * 1e80, ratio = -1e308 where company_id = 7;
update payslips set net = 2000000000 where employee_id in (select id from employees where company_id = 7);
"""
# Rows in the order of their keys in both, for what nothing orders.
IN_ORDER = "cluster employees using employees_pkey; cluster payslips using payslips_pkey; analyze"
_VARIES = re.compile(
    r"\bexplain\b|\bnow\b|localtime|current_time|timestamp\(|\bage\b|random|pg_backend_pid", re.IGNORECASE
)
_SOME_ROWS = re.compile(r"(?!.*order by).*\blimit\b.*", re.IGNORECASE | re.DOTALL)

Pair = list[psycopg.Connection[Any]]


@pytest.fixture(scope="module")
def pair(postgres: EmbeddedPostgres) -> Iterator[Pair]:
    """The backend role's connections to two databases that differ in hidden values of the same mask."""
    for name in NAMES:
        postgres.sql(f"drop database if exists {name}")
    postgres.sql(f"create database {NAMES[0]}")
    with postgres.connect(database=NAMES[0]) as owner:
        owner.execute(TYPES)
        owner.execute(TRUTH)
        owner.execute(IN_ORDER)
    postgres.sql(f"create database {NAMES[1]} template {NAMES[0]}")
    with postgres.connect(database=NAMES[1]) as owner:
        owner.execute(OTHERWISE)
        owner.execute(IN_ORDER)
    options = {**mask_settings(KEY), "default_transaction_read_only": "on", "statement_timeout": "10s", "jit": "off"}
    pins = " ".join(f"-c {name}={value}" for name, value in options.items())
    found = [postgres.connect(BACKEND_ROLE, database=name, options=pins) for name in NAMES]
    for connection in found:
        connection.prepare_threshold = None
    yield found
    for connection in found:
        connection.close()


def view(connection: psycopg.Connection[Any], customer: str = "42") -> View:
    return View(parse_policy(POLICY), load_catalog(lambda sql: connection.execute(sql).fetchall()), (customer,))


def asked(connection: psycopg.Connection[Any], sql: str, customer: str = "42") -> list[tuple[Any, ...]]:
    plan = analyse(sql, view(connection, customer))
    assert isinstance(plan, Plan), plan
    assert plan.aggregations, plan.notices
    return connection.execute(plan.rewritten).fetchall()


def true(postgres: EmbeddedPostgres, sql: str) -> list[tuple[Any, ...]]:
    with postgres.connect(database=NAMES[0]) as owner:
        return owner.execute(sql).fetchall()


def test_the_policy_fits(pair: Pair) -> None:
    seen = view(pair[0])

    assert [one.message for one in check_against(seen.policy, seen.catalog) if one.severity == "error"] == []


def test_large_groups_are_told_the_truth_and_small_ones_nothing(pair: Pair, postgres: EmbeddedPostgres) -> None:
    sums = "count(salary), sum(salary), avg(salary), stddev(salary), stddev_pop(salary), var_samp(salary)"
    sql = f"select status, {sums}, count(*) from employees e where {{}} group by status order by status"
    mine = asked(pair[0], sql.format("true"))
    truth = true(postgres, sql.format("company_id = 42"))

    # a: eight people, b: five, c: four, d: one, e: six of whom four have a salary
    assert [row[0] for row in mine] == ["a", "b", "c", "d", "e"]
    assert mine[:2] == truth[:2]
    assert all(row[1:7] == (None,) * 6 for row in mine[2:])
    assert [row[7] for row in mine] == [8, 5, 4, 1, 6]


def test_extremes_of_large_groups_are_true_where_the_policy_tells_them(pair: Pair, postgres: EmbeddedPostgres) -> None:
    policy = parse_policy(POLICY.replace("min_group: 5, subject: id}", "min_group: 5, subject: id, extremes: true}"))
    tells = "min(salary), max(salary), percentile_cont(0.5) within group (order by salary), max(bonus)"
    more = "percentile_disc(0.25) within group (order by salary desc)"
    sql = f"select status, {tells}, {more} from employees e where {{}} group by status order by status"

    plan = analyse(sql.format("id <> 42006"), replace(view(pair[0]), policy=policy))
    assert isinstance(plan, Plan), plan
    mine, truth = (
        pair[0].execute(plan.rewritten).fetchall(),
        true(postgres, sql.format("id <> 42006 and company_id = 42")),
    )

    assert mine[:2] == truth[:2]
    assert all(row[1:4] + row[5:] == (None,) * 4 for row in mine[2:])
    assert len(plan.aggregations) == 5


def test_the_types_are_those_of_the_sums(pair: Pair, postgres: EmbeddedPostgres) -> None:
    sql = "select count(salary), sum(salary), avg(ratio), sum(bonus), avg(salary)::int from employees"
    plan = analyse(sql, view(pair[0]))
    assert isinstance(plan, Plan)

    with postgres.connect(database=NAMES[0]) as owner:
        mine, truth = (
            [(column.name, column.type_code) for column in cursor.description or ()]
            for cursor in (pair[0].execute(plan.rewritten), owner.execute(sql))
        )
    assert mine == truth


def test_values_that_could_make_a_sum_fail_are_left_out(pair: Pair) -> None:
    # NaN of one person is no number, and 1e99 * n is beyond 1e100 from the tenth person on
    assert asked(pair[0], "select count(bonus), sum(bonus) from employees") == [(23, Decimal("100.25") * (300 - 6))]
    assert asked(pair[0], "select count(ratio) from employees") == [(9,)]
    assert asked(pair[1], "select count(ratio), variance(ratio) is null from employees") == [(8, False)]


def test_only_the_customers_people_make_a_group(pair: Pair) -> None:
    assert asked(pair[0], "select count(salary), sum(salary) from employees", "7") == [(None, None)]
    assert asked(pair[0], "select count(salary) from employees") == [(22,)]


def test_subjects_are_counted_and_not_rows(pair: Pair, postgres: EmbeddedPostgres) -> None:
    four, five = "in (42001, 42002, 42003, 42004)", "in (42001, 42002, 42003, 42004, 42005)"
    sql = "select count(net), sum(net) from payslips where employee_id "

    assert asked(pair[0], sql + four) == [(None, None)]
    assert asked(pair[0], sql + five) == true(postgres, sql + five)


def test_conditions_and_names_see_what_they_saw(pair: Pair) -> None:
    rows = asked(pair[0], "select salary, count(salary) as n, min(salary) from employees group by salary order by 1")

    assert rows == [(60000, 22, 60000), (None, None, None)]
    assert asked(pair[0], "select status from employees group by status having avg(salary) > 0 order by 1") == [
        ("a",),
        ("b",),
    ]


def test_prepared_statements_and_cursors_are_tested_at_each_run(pair: Pair) -> None:
    seen = view(pair[0])
    text = (
        "prepare p(int) as select sum(salary) is null from employees where id <= $1; execute p(42004); execute p(42005)"
    )
    held = "begin; declare c cursor for select sum(salary) is null from employees where id < 42005; fetch c; rollback"
    plans = [analyse(sql, seen) for sql in (text, held)]
    found = [everything(pair[0], plan.rewritten) for plan in plans if isinstance(plan, Plan)]
    everything(pair[0], "deallocate all")

    assert [one.replace(b"?column?", b"").split() for one in found] == [[b"t", b"f"], [b"t"]]


def said(connection: psycopg.Connection[Any], seen: View, name: str, text: str) -> object:
    answer_ = analyse(text, seen)
    if not isinstance(answer_, Plan):
        return answer_.code, answer_.message, answer_.hint, answer_.position
    found = everything(connection, answer_.rewritten).replace(name.encode(), b"here")
    everything(connection, "rollback; deallocate all; close all; reset all")
    return sorted(found.split(b"\n"))


def different(pair: Pair, customer: str, texts: list[str]) -> list[str]:
    seen = [view(connection, customer) for connection in pair]
    return [text for text in texts if said(pair[0], seen[0], NAMES[0], text) != said(pair[1], seen[1], NAMES[1], text)]


def repeatable(found: list[Any]) -> list[str]:
    texts = [case if isinstance(case, str) else case["sql"] for case in found]
    own = [text for text in texts if "database" not in text and "pg_" not in text and "information_schema" not in text]
    return [text for text in own if not _VARIES.search(text) and not _SOME_ROWS.fullmatch(text)]


def test_of_a_customer_with_fewer_people_nothing_shows(pair: Pair) -> None:
    texts, seen = repeatable(cases("attacks") + cases("sql") + cases("support")), view(pair[0], "7")
    summed = [text for text in texts if isinstance(plan := analyse(text, seen), Plan) and plan.aggregations]

    assert len(summed) > 20
    assert different(pair, "7", [text.replace("42001", "7001") for text in texts]) == []


def attacks(*, everybody: bool) -> list[str]:
    found = [case for case in cases("attacks") if case["id"].startswith("aggregate-")]
    return [case["sql"] for case in found if case.get("everybody", False) is everybody]


def test_of_one_person_no_attack_learns_anything(pair: Pair) -> None:
    texts = attacks(everybody=False)

    assert len(texts) >= 40
    assert different(pair, "42", texts) == []


def test_a_value_shows_in_the_sum_of_a_group_that_is_large_enough(pair: Pair) -> None:
    """What the comparisons above are worth: the two databases do differ."""
    assert different(pair, "42", ["select avg(salary) from employees"]) != []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(">=) 5", ">=) 1"), ("count(DISTINCT ", "count(")],
    ids=["the least group is one", "rows are counted"],
)
def test_a_rewriting_that_tests_too_little_is_told_from_a_right_one(pair: Pair, right: str, wrong: str) -> None:
    seen = [view(connection) for connection in pair]
    found = []
    for text in attacks(everybody=False):
        plans = [analyse(text, one) for one in seen]
        if all(isinstance(plan, Plan) for plan in plans):
            answers = [
                everything(connection, plan.rewritten.replace(right, wrong))
                for connection, plan in zip(pair, plans, strict=True)
                if isinstance(plan, Plan)
            ]
            found += [text] if answers[0] != answers[1] else []
            for connection in pair:
                everything(connection, "rollback; deallocate all")

    assert found


def generated(chance: random.Random) -> str:
    """A query about one relation, most of which sum a hidden column, and many of which try to do more."""
    column = chance.choice(["salary", "e.salary", "bonus", "ratio"])
    sums = [f"{chance.choice(FUNCTIONS)}({column})" for _ in range(chance.randint(1, 3))]
    extra = chance.choice(["", "", f", {chance.choice(OTHERS).replace('salary', column)}"])
    keys = chance.sample(KEYS, chance.randint(0, 2))
    listed = ", ".join([*keys, *sums]) + extra
    sql = f"select {listed} from employees e{chance.choice(SOURCES)}"
    sql += f" where {chance.choice(CONDITIONS)}" if chance.random() < 0.6 else ""
    sql += f" group by {', '.join(keys)}" if keys else ""
    sql += (
        f" having {chance.choice(sums)} {chance.choice(['> 31000', 'is not null', '<> 4'])}"
        if chance.random() < 0.3
        else ""
    )
    if chance.random() < 0.3:
        sql += f" order by {chance.choice(sums)}"
    wrapped = [
        "{}",
        "{}",
        "select * from ({}) x",
        "with x as ({}) select count(*), max(x::text) from x",
        "({}) union ({})",
    ]
    return chance.choice(wrapped).replace("{}", sql)


FUNCTIONS = ("count", "sum", "avg", "stddev", "stddev_pop", "variance", "var_samp", "var_pop", "pg_catalog.sum")
OTHERS = (
    "min(salary)", "max(salary)", "sum(distinct salary)", "sum(salary) filter (where id % 2 = 0)", "count(*)", "sum(salary + 1)",
    "percentile_cont(0.5) within group (order by salary)", "array_agg(salary)", "sum(sum(salary)) over ()", "max(id)",
    "sum(abs(salary))", "count(nullif(salary, 31007))", "string_agg(salary::text, ',' order by e.id)",
)  # fmt: skip
KEYS = ("id", "status", "mood", "salary", "id % 2", "e.id", "coalesce(salary, 3)", "name")
SOURCES = ("", "", "", "", ", countries", " join companies c on c.id > 0", " cross join generate_series(1, 9)")
CONDITIONS = (
    "e.id > 7001", "status = 'a'", "salary > 5", "salary = 31007", "bonus is not null", "e.id in (select min(id) from employees)",
    "email = 's1@x.example'", "e.id between 1 and 99999", "e.id = 7001 or ratio > 3", "not (salary is null)",
)  # fmt: skip


def test_generated_queries_learn_nothing_of_groups_that_are_too_small(pair: Pair) -> None:
    chance = random.Random(11)
    texts = [generated(chance) for _ in range(GENERATED)]
    seen = view(pair[0], "7")
    plans = [plan for text in texts if isinstance(plan := analyse(text, seen), Plan)]

    assert different(pair, "7", texts) == []
    assert len(plans) > GENERATED * 9 // 10
    assert sum(bool(plan.aggregations) for plan in plans) > GENERATED // 4


def test_every_attack_is_written_for_this_test() -> None:
    path = Path(__file__).parents[1] / "corpus" / "attacks" / "sql_aggregates.yaml"

    assert str(VICTIM) in path.read_text(encoding="utf-8")
