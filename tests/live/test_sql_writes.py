"""What statements that write do to a real database: the oracle of reading, for writing.

On a copy that holds only the customer's rows, the statement as written changes what the rewritten one changes on the
truth; nothing of another customer and no column that the policy does not let be written changes at all; and what would
do more than the policy allows fails before it does anything.

CI repeats the same statements in every run; `SQL_WRITES_EXAMPLES=20000 SQL_WRITES_SEED=7` looks further, and what it
finds belongs in `tests/corpus/writes`.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.demo.postgres import EmbeddedPostgres
from gateway.sql.catalog import Unique
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.postgres.write_values import MARKS
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

sys.path.append(str(Path(__file__).parents[1] / "unit" / "sql"))
from sqlviews import cases
from write_view import CATALOG, SCHEMA, write_view

EXAMPLES = int(os.environ.get("SQL_WRITES_EXAMPLES", "1500"))
SEED = int(os.environ.get("SQL_WRITES_SEED", "2026"))
TABLES = ("companies", "departments", "countries", "employees", "payslips")
MINE = {
    "companies": "id = 42",
    "departments": "company_id = 42",
    "countries": "true",
    "employees": "company_id = 42",
    "payslips": "employee_id in (select id from employees where company_id = 42) or employee_id >= 1000",
}
WRITABLE = {
    "companies": {"plan"},
    "departments": set(),
    "countries": {"label"},
    "employees": {"status", "phone", "department_id", "country", "since", "visits"},
    "payslips": {"period"},
}
HIDDEN = ("n1", "n2", "n3", "n4", "n5", "Secret", "99000", "41000", "ann@x.fr", "eve@y.fr")


@dataclass(slots=True)
class Outcome:
    """What came of one statement: the rows that it says it wrote, or a code; what it returned; the state after it."""

    rows: int = -1
    code: str = ""
    returned: tuple[Any, ...] = ()
    state: dict[str, list[tuple[Any, ...]]] | None = None
    others: dict[str, list[tuple[Any, ...]]] | None = None


@dataclass(slots=True)
class World:
    """The truth, the copy, and the view with the truth's own catalog."""

    view: View
    truth: psycopg.Connection[Any]
    copy: psycopg.Connection[Any]


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    for name in ("writes_truth", "writes_copy"):
        postgres.sql(f"drop database if exists {name}")
        postgres.sql(f"create database {name}")
        with postgres.connect(database=name) as owner:
            owner.execute(SCHEMA)  # type: ignore[arg-type]
    with postgres.connect(database="writes_copy") as owner:
        for table in ("payslips", "employees", "departments", "companies"):
            # the gateway names the customer where the statement does not
            owner.execute("alter table employees alter company_id set default 42")
            owner.execute(f"delete from {table} where not ({MINE[table]})")  # type: ignore[arg-type]
    options = " ".join(
        f"-c {name}={value}" for name, value in {**mask_settings(bytes(range(32))), "jit": "off"}.items()
    )
    with (
        postgres.connect(database="writes_truth", options=options) as truth,
        postgres.connect(database="writes_copy", options=options) as copy,
    ):
        truth.autocommit = copy.autocommit = False
        view = write_view(load_catalog(lambda sql: truth.execute(sql).fetchall()))  # type: ignore[arg-type]
        truth.rollback()
        yield World(view, truth, copy)


def test_the_catalog_knows_what_a_written_value_is_compared_with(world: World) -> None:
    assert world.view.catalog.uniques == CATALOG.uniques | {Unique("public.projects", ("id",), ("id",))}
    assert world.view.catalog.references == CATALOG.references
    assert world.view.catalog.checks == CATALOG.checks


def run(connection: psycopg.Connection[Any], text: str) -> Outcome:
    """Run a statement in a transaction that is rolled back after a look at what it did."""
    made = Outcome()
    for table in ("employees", "payslips"):
        connection.execute(f"alter table {table} alter id restart with {1000 if table == 'employees' else 5000}")  # type: ignore[arg-type]
    try:
        cursor = connection.execute(text)  # type: ignore[arg-type]
        made.rows = cursor.rowcount
        made.returned = tuple(cursor.fetchall()) if cursor.description else ()
        made.state = {table: look(connection, table, MINE[table]) for table in TABLES}
        made.others = {table: look(connection, table, f"not ({MINE[table]})") for table in TABLES}
    except psycopg.Error as error:
        made.code = code_of(error)
    connection.rollback()
    return made


def look(connection: psycopg.Connection[Any], table: str, where: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"select * from {table} where {where} order by 1").fetchall()  # type: ignore[arg-type]


def code_of(error: psycopg.Error) -> str:
    message = str(error)
    if error.sqlstate == "22P02" and f'"{MARKS["rows"]}' in message:
        return "write-too-large"
    if error.sqlstate == "22P02" and f'"{MARKS["scope"]}' in message:
        return "row-out-of-scope"
    return error.sqlstate or ""


def plan_of(world: World, sql: str) -> Plan:
    plan = analyse(sql, world.view)
    assert isinstance(plan, Plan), (sql, plan)
    return plan


def unharmed(world: World, sql: str, plan: Plan, done: Outcome) -> None:
    """Nothing of others changed, nothing but what may be written did, and nothing hidden came back."""
    assert done.state is not None
    assert plan.write is not None
    before = {table: look(world.truth, table, MINE[table]) for table in TABLES}
    others = {table: look(world.truth, table, f"not ({MINE[table]})") for table in TABLES}
    world.truth.rollback()
    assert done.others == others, sql
    assert done.rows <= plan.write.rows, sql
    for table in TABLES:
        columns = [column.name for column in world.view.catalog.relations[f"public.{table}"].columns]
        after = {row[0]: row for row in done.state[table]}
        for row in before[table]:
            changed = {name for name, a, b in zip(columns, row, after.get(row[0], row), strict=True) if a != b}
            assert changed <= WRITABLE[table], (sql, table, changed)
    text = repr(done.returned)
    assert not any(one in text for one in HIDDEN), (sql, text)


def agrees(world: World, sql: str, tally: Counter[str]) -> str:
    """What the oracle has against a statement; nothing when truth and copy agree."""
    plan = plan_of(world, sql)
    done, meant = run(world.truth, plan.rewritten), run(world.copy, sql)
    tally[done.code or ("rows" if done.rows else "none")] += 1
    assert plan.write is not None
    if not done.code:
        unharmed(world, sql, plan, done)
    if done.code == "write-too-large":
        return "" if meant.code or meant.rows > plan.write.rows else f"the copy writes {meant.rows} rows only"
    if done.code == "row-out-of-scope":
        # a row that would be another customer's refers to nothing there; another fault may come first
        return "" if meant.code[:2] in {"22", "23"} else f"the copy says {meant.code or meant.rows}"
    if done.code or meant.code:
        alike = done.code == meant.code or {done.code[:2], meant.code[:2]} <= {"22", "23"}
        return "" if alike else f"{done.code or done.rows} is not {meant.code or meant.rows}"
    if done.rows != meant.rows:
        return f"{done.rows} rows are not {meant.rows}"
    return "" if done.state == meant.state else "the states differ"


@pytest.mark.parametrize("case", [one for one in cases("writes") if "code" not in one], ids=lambda case: case["name"])
def test_a_statement_does_what_it_says_and_nothing_else(world: World, case: dict[str, Any]) -> None:
    done = run(world.truth, plan_of(world, case["sql"]).rewritten)

    if "fails" in case:
        assert done.code == case["fails"]
        return
    assert (done.code, done.rows) == ("", case["rows"])
    if case["name"] != "too many rows of FROM":
        assert agrees(world, case["sql"], Counter()) == ""


def test_the_same_is_so_of_generated_statements(world: World) -> None:
    tally: Counter[str] = Counter()
    chance = random.Random(SEED)
    for _ in range(EXAMPLES):
        sql = statement(chance)
        problem = agrees(world, sql, tally)
        assert not problem, (problem, sql, plan_of(world, sql).rewritten)
    assert min(tally[kind] for kind in ("rows", "none", "write-too-large", "row-out-of-scope")) > EXAMPLES // 60, tally


def test_a_row_that_somebody_else_changes_is_left_alone(world: World, postgres: EmbeddedPostgres) -> None:
    plan = plan_of(
        world, "update employees set visits = visits + 1, status = 'mine' where status = 'active' and id = 1"
    )
    with postgres.connect(database="writes_truth") as other:
        other.autocommit = False
        other.execute("update employees set status = 'theirs' where id = 1")
        with postgres.connect(database="writes_truth") as mine:
            pid = mine.info.backend_pid
            rows: list[int] = []
            thread = threading.Thread(target=lambda: rows.append(mine.execute(plan.rewritten).rowcount))  # type: ignore[arg-type]
            thread.start()
            while not world.truth.execute(
                "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'", (pid,)
            ).fetchall():
                assert thread.is_alive()
                world.truth.rollback()
            world.truth.rollback()
            other.commit()
            thread.join()
        assert rows == [0]
        assert other.execute("select status, visits from employees where id = 1").fetchall() == [("theirs", 3)]
        other.execute("update employees set status = 'active' where id = 1")
        other.commit()


# a grammar of statements that the policy allows, deep enough for its rules to meet each other

_WORDS = ("active", "left", "x", "IT", "Sales", "often")


def statement(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.55:
        return _update(chance)
    return _delete(chance) if kind < 0.75 else _insert(chance)


def _update(chance: random.Random) -> str:
    alias = chance.choice(("", "e", '"E e"'))
    name = alias or "employees"
    source, joined = _source(chance, name)
    columns = chance.sample(
        ("status", "visits", "since", "department_id", "country", "phone"), chance.choice((1, 1, 2, 3))
    )
    sets = ", ".join(f"{one} = {_value(chance, one, name)}" for one in columns)
    where = " and ".join([*joined, _condition(chance, name, 2)])
    back = chance.choice(("", "", f" returning {name}.id, {name}.status", f" returning {name}.*"))
    with_item = "with w as (select id from departments where label = 'IT') " if chance.random() < 0.1 else ""
    if with_item:
        where += f" and {name}.department_id in (select id from w)"
    return f"{with_item}update employees {alias} set {sets}{' from ' + source if source else ''} where {where}{back}"


def _delete(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return f"delete from payslips p where p.employee_id {chance.choice(('=', '>', '<>'))} {chance.randrange(6)}"
    source, joined = _source(chance, "e")
    where = " and ".join([*joined, _condition(chance, "e", 2)])
    return f"delete from employees e{' using ' + source if source else ''} where {where}"


def _insert(chance: random.Random) -> str:
    if chance.random() < 0.4:
        rows = ", ".join(
            f"({chance.choice(('1', '2', '3', '4', '99', 'null', '(select max(id) from employees)'))},"
            f" '20{chance.randrange(10, 30)}-01-01', {chance.randrange(9)})"
            for _ in range(chance.choice((1, 1, 2)))
        )
        return f"insert into payslips (employee_id, period, net) values {rows}"
    columns = chance.sample(
        ("status", "visits", "since", "department_id", "country", "phone"), chance.choice((1, 2, 3))
    )
    if chance.random() < 0.3:
        columns.append("company_id")
    rows = ", ".join(
        "("
        + ", ".join(
            "default" if one in {"status", "since"} and chance.random() < 0.2 else _plain(chance, one)
            for one in columns
        )
        + ")"
        for _ in range(chance.choice((1, 1, 2)))
    )
    return f"insert into employees ({', '.join(columns)}) values {rows}"


def _plain(chance: random.Random, column: str) -> str:
    return {
        "status": lambda: f"'{chance.choice(_WORDS)}'",
        "visits": lambda: str(chance.randrange(9)),
        "since": lambda: f"'20{chance.randrange(10, 30)}-03-01'",
        "department_id": lambda: chance.choice(("1", "2", "3", "null", "77", "(select min(id) from departments)")),
        "country": lambda: chance.choice(("'FR'", "'BE'", "null", "'XX'")),
        "phone": lambda: chance.choice(("'0612'", "null")),
        "company_id": lambda: chance.choice(("42", "42", "7", "21 * 2")),
    }[column]()


def _value(chance: random.Random, column: str, name: str) -> str:
    if chance.random() < 0.5:
        return _plain(chance, column)
    return {
        "status": lambda: chance.choice((
            f"lower({name}.status)", "status || '-' || visits", f"coalesce({name}.badge, 'none')", "default",
            f"(select max(d.label) from departments d where d.id = {name}.department_id)",
            f"case when {name}.visits > 1 then 'often' else {name}.status end",
        )),
        "visits": lambda: chance.choice((
            "visits + 1", f"{name}.visits * 2 - 1",
            f"(select count(*) from payslips p where p.employee_id = {name}.id)",
            "length(status)", "1 / visits", "default",
        )),
        "since": lambda: chance.choice(("since + 1", f"coalesce({name}.since, '2020-01-01')", "'2020-01-01'::date")),
        "department_id": lambda: chance.choice(("department_id", "department_id + 1", "3 - department_id")),
        "country": lambda: chance.choice(("country", "upper(country)", "(select min(code) from countries)")),
        "phone": lambda: chance.choice(("'06' || visits", "badge")),
    }[column]()  # fmt: skip


def _source(chance: random.Random, name: str) -> tuple[str, list[str]]:
    pick = chance.random()
    if pick < 0.7:
        return "", []
    if pick < 0.85:
        return "departments d", [f"d.id = {name}.department_id"]
    return "departments d join companies c on c.id = d.company_id", [f"d.id = {name}.department_id", "c.plan = 'gold'"]


def _condition(chance: random.Random, name: str, depth: int) -> str:
    if depth and chance.random() < 0.5:
        one, other = _condition(chance, name, depth - 1), _condition(chance, name, depth - 1)
        form = chance.choice(("{} and {}", "({} or {})", "not ({} and {})", "({} and {}) is not null"))
        if "email" in one + other and not form.startswith("{} and"):
            form = "{} and {}"
        return form.format(one, other)
    plain = [
        f"{name}.id = {chance.randrange(1, 6)}",
        f"{name}.id in ({chance.randrange(1, 6)}, {chance.randrange(1, 6)})",
        f"{name}.visits {chance.choice(('>', '<', '=', '<>'))} {chance.randrange(4)}",
        f"{name}.status = '{chance.choice(_WORDS)}'",
        f"{name}.status like '{chance.choice(('a%', '%t', 'x_'))}'",
        f"{name}.since between '2019-06-01' and '202{chance.randrange(3)}-06-01'",
        f"{name}.company_id = {chance.choice((42, 7))}",
        f"exists (select from payslips p where p.employee_id = {name}.id)",
        f"{name}.id in (select employee_id from payslips where period > '2023-01-01')",
        f"{name}.department_id = (select min(id) from departments)",
        f"{name}.country is {chance.choice(('', 'not '))}null",
        f"{name}.visits = any (array[0, 3])",
    ]
    if depth == 2:
        plain.append(f"{name}.email = '{chance.choice(('ann@x.fr', 'bob@x.fr', 'eve@y.fr', 'nobody'))}'")
    return chance.choice(plain)
