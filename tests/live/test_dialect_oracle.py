"""SQL on sqlglot's tree against real servers: ClickHouse's engine, MariaDB, and Trino's functions on DuckDB.

An attack that runs learns nothing: two truths that differ only in what is hidden give the same answer, and no canary is
in it. What people ask says the same of the truth, rewritten, as it says, as written, of a copy that holds only what the
policy shows.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from clickhouse_http import clickhouse
from dialect_grammar import Statements, searching
from dialect_world import CANARIES, KEY, copied, entries, keys, statements, truth, view
from mariadb_server import mariadb_cursor
from trino_engine import Engine, Failed

from gateway.engines.sql_clickhouse import SETTINGS
from gateway.sql import tree, trino
from gateway.sql.statement import Plan

Ask = Callable[[str, str], Any]
"""Names and rows of a statement in one database, or the one word `error`."""
STATEMENTS = int(os.environ.get("SQL_ORACLE_EXAMPLES", "0")) or 40
DATABASES = {
    "truth_a": truth(False),
    "truth_b": truth(True),
    "copy": copied(truth(False)),
    "sought": copied(truth(False), sought=True),
}


@pytest.fixture(scope="module")
def ask_clickhouse() -> Iterator[Ask]:
    with clickhouse() as server:
        for name, tables in DATABASES.items():
            server.run(list(statements(name, tables, "clickhouse")))
        parameters = {f"param_{name}": value for name, value in keys().items()} | dict(SETTINGS)

        def ask(database: str, text: str) -> Any:
            return server.rows(_in(database, text), **parameters)

        yield ask


@pytest.fixture(scope="module")
def ask_mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    directory: Path = tmp_path_factory.mktemp("mariadb")
    with mariadb_cursor(directory) as cursor:
        for name, tables in DATABASES.items():
            for one in statements(name, tables, "mariadb"):
                cursor.execute(one)
        for name, value in keys().items():
            cursor.execute(f"SET @{name} = '{value}'")

        def ask(database: str, text: str) -> Any:
            try:
                cursor.execute(f"USE {database}")
                cursor.execute(_in(database, text))
                rows = [[None if one is None else str(one) for one in row] for row in cursor.fetchall()]
                return [column[0] for column in cursor.description], rows
            except pymysql.MySQLError:
                return "error"

        yield ask


@pytest.fixture(scope="module")
def ask_trino() -> Iterator[Ask]:
    engine = Engine()
    for name, tables in DATABASES.items():
        for one in statements(name, tables, "trino"):
            engine.connection.execute(one)

    def ask(database: str, text: str) -> Any:
        try:
            names, _, rows = engine.run(trino.bound(_in(database, text), KEY))
            return names, rows
        except Failed:
            return "error"

    yield ask
    engine.close()


@pytest.fixture
def ask(request: pytest.FixtureRequest, dialect: str) -> Ask:
    found: Ask = request.getfixturevalue(f"ask_{dialect}")
    return found


def _in(database: str, text: str) -> str:
    """The statement on another database than `shop`: qualified names are, and plain ones are made so."""
    text = text.replace("`shop`.", f"`{database}`.").replace('"shop".', f'"{database}".')
    text = text.replace("shop.", f"{database}.")
    names = "companies|employees|payslips|accounts|notes|countries"
    if f"`{database}`" in text or f'"{database}"' in text:
        return text
    return re.sub(rf"(?i)\b(from|join|,)(\s+)(\"?)({names})\b(?!\.)", rf"\1\2{database}.\3\4", text)


def _plan(sql: str, dialect: str) -> Plan:
    room = trino if dialect == "trino" else tree
    plan = room.analyse(sql, view("mariadb" if dialect == "mysql" else dialect))
    assert isinstance(plan, Plan), plan
    return plan


def _cases(name: str) -> list[Any]:
    return [
        pytest.param(dialect, one["sql"], id=f"{dialect}-{number}")
        for dialect in ("clickhouse", "mysql", "trino")
        for number, one in enumerate(entries(name, dialect))
    ]


@pytest.mark.parametrize(("dialect", "sql"), _cases("blind"))
def test_an_attack_that_runs_learns_nothing(ask: Ask, dialect: str, sql: str) -> None:
    rewritten = _plan(sql, dialect).rewritten

    answers = [ask(name, rewritten) for name in ("truth_a", "truth_b")]

    assert _unordered(answers[0]) == _unordered(answers[1])
    assert not [one for one in CANARIES if one in repr(answers) and one not in sql]


@pytest.mark.parametrize(("dialect", "sql"), _cases("legitimate"))
def test_what_people_ask_says_the_same_as_on_a_copy_of_what_they_may_see(ask: Ask, dialect: str, sql: str) -> None:
    plan = _plan(sql, dialect)

    got, wanted = ask("truth_a", plan.rewritten), ask("sought" if plan.exact_searches else "copy", sql)

    assert wanted != "error", "the statement is wrong by itself"
    assert got[0] == wanted[0]
    if "order by" in sql.lower():
        assert got == wanted
    assert _unordered(got) == _unordered(wanted)


@pytest.mark.parametrize("dialect", ["clickhouse", "mysql", "trino"])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_says_the_same_of_both_truths_and_of_the_copy(ask: Ask, dialect: str, seed: int) -> None:
    made = Statements(seed, dialect)
    errors = 0
    for _ in range(STATEMENTS):
        sql = made.statement()
        plan = _plan(sql, dialect)
        first, second, wanted = ask("truth_a", plan.rewritten), ask("truth_b", plan.rewritten), ask("copy", sql)

        assert _unordered(first) == _unordered(second), sql
        if plan.exact_searches:
            continue
        assert _unordered(first) == _unordered(wanted), sql
        errors += wanted == "error"
    assert errors < STATEMENTS // 3


@pytest.mark.parametrize("dialect", ["clickhouse", "mysql"])
def test_searches_find_who_is_there_and_nobody_else_s(ask: Ask, dialect: str) -> None:
    chosen, found = random.Random(2026), 0
    for _ in range(2 * STATEMENTS):
        sql = searching(chosen)
        plan = _plan(sql, dialect)
        assert plan.exact_searches, sql
        first, second, wanted = ask("truth_a", plan.rewritten), ask("truth_b", plan.rewritten), ask("sought", sql)

        assert wanted != "error", sql
        assert _unordered(first) == _unordered(second) == _unordered(wanted), sql
        found += bool(first[1])
    assert found > STATEMENTS // 4


def _unordered(answer: Any) -> Any:
    return answer if answer == "error" else (answer[0], sorted(map(repr, answer[1])))
