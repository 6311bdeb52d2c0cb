"""What statements that write do to a real MariaDB: the oracle of `test_sql_writes.py`, for MySQL's SQL.

On a copy that holds only the customer's rows, the statement as written changes what the rewritten one changes on the
truth; nothing of another customer and no column that the policy does not let be written changes at all; and what would
do more than the policy allows fails before it does anything.

`MYSQL_WRITES_EXAMPLES=20000 MYSQL_WRITES_SEED=7` looks further than CI; what it finds belongs in
`tests/corpus/mysql/writes.yaml`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from mysql_write_grammar import statement
from mysql_write_world import COPY, MINE, TABLES, TRUTH, Outcome, World, catalog, write_world
from ruamel.yaml import YAML

from gateway.sql import mysql
from gateway.sql.catalog import Reference, Unique
from gateway.sql.statement import Plan

pytestmark = pytest.mark.live

EXAMPLES = int(os.environ.get("MYSQL_WRITES_EXAMPLES", "1500"))
SEED = int(os.environ.get("MYSQL_WRITES_SEED", "2026"))
WRITABLE = {
    "companies": {"plan"},
    "departments": set(),
    "countries": {"label"},
    "employees": {"status", "phone", "department_id", "country", "since", "visits"},
    "payslips": {"period"},
}
_FAULTS = {"1048", "1062", "1264", "1292", "1364", "1366", "1406", "1452", "4025", "1690", "3819", "1265"}
"""What a value can do wrong: which of several comes first is the server's business."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with write_world(tmp_path_factory.mktemp("mariadb")) as made:
        yield made


def unharmed(world: World, sql: str, plan: Plan, done: Outcome) -> None:
    """Nothing of others changed, and nothing but what may be written did."""
    assert done.state is not None
    assert plan.write is not None
    with world.connection.cursor() as cursor:
        cursor.execute(f"USE {TRUTH}")
    before = {table: world.look(table, MINE[table]) for table in TABLES}
    assert done.others == {table: world.look(table, f"NOT ({MINE[table]})") for table in TABLES}, sql
    assert done.rows <= plan.write.rows, sql
    for table in TABLES:
        columns = [column.name for column in world.view.catalog.relations[f"shop.{table}"].columns]
        after = {row[0]: row for row in done.state[table] if len(row) == len(columns)}
        for row in before[table]:
            changed = {name for name, a, b in zip(columns, row, after.get(row[0], row), strict=True) if a != b}
            assert changed <= WRITABLE[table], (sql, table, changed)


def agrees(world: World, sql: str, tally: Counter[str]) -> str:
    """What the oracle has against a statement; nothing when truth and copy agree."""
    plan = world.plan(sql)
    done, meant = world.run(TRUTH, world.rewritten(sql), plan), world.run(COPY, sql)
    tally[done.code or ("rows" if done.rows else "none")] += 1
    assert plan.write is not None
    if not done.code:
        unharmed(world, sql, plan, done)
    if done.code == "write-too-large":
        return "" if meant.code or meant.rows > plan.write.rows else f"the copy writes {meant.rows} rows only"
    if done.code == "row-out-of-scope":
        # a row that would be another customer's refers to nothing there; another fault may come first
        return "" if meant.code in _FAULTS else f"the copy says {meant.code or meant.rows}"
    if done.code or meant.code:
        alike = done.code == meant.code or {done.code, meant.code} <= _FAULTS
        return "" if alike else f"{done.code or done.rows} is not {meant.code or meant.rows}"
    if done.rows != meant.rows:
        return f"{done.rows} rows are not {meant.rows}"
    return "" if done.state == meant.state else "the states differ"


def test_generated_statements_do_what_they_say_and_nothing_else(world: World) -> None:
    tally: Counter[str] = Counter()
    chance = random.Random(SEED)
    refused = 0
    for _ in range(EXAMPLES):
        sql = statement(chance)
        if not allowed(world, sql):
            refused += 1
            continue
        problem = agrees(world, sql, tally)
        assert not problem, (problem, sql, world.rewritten(sql))
    assert refused < EXAMPLES // 4
    assert min(tally[kind] for kind in ("rows", "none", "write-too-large", "row-out-of-scope")) > EXAMPLES // 60, tally


def allowed(world: World, sql: str) -> bool:
    """Whether the statement is allowed; what is not may only be so because SET uses what it set."""
    plan = mysql.analyse(sql, world.view)
    if isinstance(plan, Plan):
        return True
    assert "set before it" in plan.message or "two comparisons" in plan.message, (sql, plan)
    return False


def test_a_row_that_somebody_else_changes_is_seen_as_it_became(world: World) -> None:
    text = world.rewritten(
        "update employees set visits = visits + 1, status = 'mine' where status = 'active' and id = 1"
    )
    for isolation in ("REPEATABLE READ", "READ COMMITTED"):
        other, mine = _open(world), _open(world)
        with other, mine:
            other.cursor().execute(f"update {TRUTH}.employees set status = 'theirs' where id = 1")
            with mine.cursor() as cursor:
                cursor.execute(f"set session transaction isolation level {isolation}")
                cursor.execute(f"select count(*) from {TRUTH}.employees")
                rows: list[int] = []
                thread = threading.Thread(target=lambda: rows.append(cursor.execute(text)))  # noqa: B023 (joined below)
                thread.start()
                while "LOCK WAIT" not in _waits(world):
                    assert thread.is_alive()
                    # InnoDB renews what it tells here once nobody has asked for a tenth of a second
                    time.sleep(0.25)
                other.commit()
                thread.join()
            assert rows == [0], isolation
            mine.rollback()
            with other.cursor() as cursor:
                cursor.execute(f"update {TRUTH}.employees set status = 'active' where id = 1")
            other.commit()


def _open(world: World) -> pymysql.Connection[Any]:
    return pymysql.connect(
        host=world.server.host, port=world.server.port, user="root", password=world.server.root_password,
        charset="utf8mb4", client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
    )  # fmt: skip


def _waits(world: World) -> str:
    with world.connection.cursor() as cursor:
        cursor.execute("SELECT trx_state FROM information_schema.INNODB_TRX")
        return repr(cursor.fetchall())


def _cases() -> list[Any]:
    read = YAML(typ="safe").load(Path(__file__).parents[1] / "corpus" / "mysql" / "writes.yaml")
    return [pytest.param(case, id=case["name"]) for case in read]


@pytest.mark.parametrize("case", _cases())
def test_a_statement_does_what_it_says_and_nothing_else(world: World, case: dict[str, Any]) -> None:
    plan = world.plan(case["sql"])
    done = world.run(TRUTH, world.rewritten(case["sql"]), plan)

    if "fails" in case:
        assert done.code == case["fails"]
        return
    assert (done.code, done.rows) == ("", case["rows"])
    unharmed(world, case["sql"], plan, done)
    if case.get("only") != "gateway":
        assert agrees(world, case["sql"].replace("shop.", ""), Counter()) == ""


ODD = """
CREATE DATABASE odd; USE odd;
CREATE TABLE plain (id INT PRIMARY KEY, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    secret INT, half INT AS (secret DIV 2) STORED, copy INT DEFAULT (secret + 1), word VARCHAR(9) DEFAULT 'secret',
    state VARCHAR(9), CHECK (state <> 'x' OR secret > 0), UNIQUE (state, secret));
CREATE TABLE child (id INT PRIMARY KEY, plain INT, FOREIGN KEY (plain) REFERENCES plain (id) ON DELETE SET NULL);
CREATE TABLE begun (word VARCHAR(200), PRIMARY KEY (word(10)));
CREATE TABLE keyless (id INT); CREATE TABLE loose (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE TABLE kept (id INT PRIMARY KEY) WITH SYSTEM VERSIONING;
CREATE TABLE parted (id INT, part INT, PRIMARY KEY (id, part)) PARTITION BY HASH (part) PARTITIONS 2;
CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY);
CREATE USER whole@'%' IDENTIFIED BY 'w'; GRANT SELECT ON odd.* TO whole@'%';
CREATE USER one@'%' IDENTIFIED BY 'o'; GRANT SELECT ON odd.plain TO one@'%';
CREATE USER part@'%' IDENTIFIED BY 'p'; GRANT SELECT (id, state), UPDATE (state) ON odd.plain TO part@'%'
"""


def test_the_catalog_knows_what_a_written_value_is_compared_with(world: World) -> None:
    with _open(world) as owner, owner.cursor() as cursor:
        for statement in ODD.split(";"):
            cursor.execute(statement)
    seen = catalog(world.server, "whole", "w")

    assert {name: seen.keys.get(f"odd.{name}") for name in ("plain", "begun", "keyless", "parted")} == {
        "plain": ("id",), "begun": None, "keyless": None, "parted": ("id", "part"),
    }  # fmt: skip
    assert "MyISAM" in seen.held["odd.loose"]
    assert "history" in seen.held["odd.kept"]
    assert "odd.plain" not in seen.held
    assert ("odd.plain", "at") in seen.stamped
    assert ("odd.counted", "id") in seen.numbered
    assert {column for table, column in seen.defaulted if table == "odd.plain"} == {"copy"}
    assert ("odd.plain", "half", ("secret",)) in seen.generated
    assert ("odd.plain", ("secret", "state")) in seen.checks
    assert ("odd.parted", ("part",)) in seen.checks
    # a collation takes texts for one another, so `state` alone tells no customers apart
    assert Unique("odd.plain", ("state", "secret"), ("secret",)) in seen.uniques
    # what a deletion does to a row that refers is told to accounts that may do more than read there
    assert Reference("odd.child", ("plain",), "odd.plain", ("id",), "c") in seen.references
    assert Reference("odd.child", ("plain",), "odd.plain", ("id",), "n") in catalog(world.server).references
    assert not [one for one in seen.references if one.relation == "?.?"]


def test_what_an_account_cannot_see_counts_as_there(world: World) -> None:
    one, part = catalog(world.server, "one", "o"), catalog(world.server, "part", "p")
    assert Reference("?.?", ("?",), "odd.plain", ("?",), "c") in one.references
    assert "odd.plain" not in one.held
    assert "may not read all" in part.held["odd.plain"]
