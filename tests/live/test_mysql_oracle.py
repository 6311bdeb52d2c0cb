"""MySQL's SQL, rewritten, on a real MariaDB whose sessions are pinned as the gateway pins them.

What people ask says the same of the truth, rewritten, as it says, as written, of a copy that holds only what the policy
shows. An attack that runs learns nothing: two truths that differ only in what is hidden give the same answer, and no
canary is in it. What clients send by themselves runs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from dialect_world import CANARIES, CORPUS, KEY, copied, statements, truth, view
from mariadb_server import mariadb_cursor
from mysql_grammar import joined_search, question, searching
from ruamel.yaml import YAML

from gateway.errors import Refusal
from gateway.policy.schema import ColumnRule, Mask, Scope, TableRule
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.render import mask_settings
from gateway.sql.statement import Kind, Plan

pytestmark = pytest.mark.live

Ask = Callable[[str, str], Any]
"""Names and rows of a statement in one database, or the number of an error."""
DATABASES = {
    "truth_a": truth(False),
    "truth_b": truth(True),
    "copy": copied(truth(False)),
    "sought": copied(truth(False), sought=True),
}
OTHERS = (
    "SET time_zone = '+00:00'",
    "CREATE TABLE truth_a.moments (id BIGINT, at TIMESTAMP NULL)",
    "INSERT INTO truth_a.moments VALUES (1, '2023-12-31 23:30:00'), (2, '2024-01-01 00:30:00'), (3, NULL)",
    "SET time_zone = 'SYSTEM'",
    "CREATE TABLE truth_a.spelled (bin VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,"
    " unicode VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci,"
    " latin VARCHAR(9) CHARACTER SET latin1, utf8 VARCHAR(9) CHARACTER SET utf8mb3)",
    "INSERT INTO truth_a.spelled VALUES ('Chloé', 'Chloé', 'Chloé', 'Chloé')",
)
SECRETS = tuple(
    f"CREATE TABLE {truth}.secrets AS SELECT 1 AS id, 'CANARY {truth}' AS note" for truth in ("truth_a", "truth_b")
)
QUESTIONS = 3000
SEARCHES = 1000
SEED = 2026
_NAMES = "moments|companies|employees|payslips|accounts|notes|countries"


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    directory: Path = tmp_path_factory.mktemp("mariadb")
    with mariadb_cursor(directory) as cursor:
        for name, tables in DATABASES.items():
            for one in statements(name, tables, "mariadb"):
                cursor.execute(one)
        for one in (*OTHERS, *SECRETS):
            cursor.execute(one)
        for one in mysql.session_statements(view("mariadb"), b""):
            cursor.execute(one)
        keys = mask_settings(KEY)
        cursor.execute(
            f"SET @gateway_inner = '{keys['gateway.mask_inner']}', @gateway_outer = '{keys['gateway.mask_outer']}'"
        )

        def asked(database: str, text: str) -> Any:
            try:
                cursor.execute(f"USE {database}")
                cursor.execute(_in(database, text))
                rows = [
                    [None if one is None else str(one).replace(database, "shop") for one in row]
                    for row in cursor.fetchall()
                ]
                return [column[0] for column in cursor.description or ()], rows
            except pymysql.MySQLError as error:
                return error.args[0]

        yield asked


def _in(database: str, text: str) -> str:
    """The statement on another database than `shop`: qualified names are, and plain ones are made so."""
    text = text.replace("`shop`.", f"`{database}`.").replace("USE `shop`", f"USE `{database}`")
    if f"`{database}`" in text:
        return text
    text = re.sub(rf"(?i)\bshop\.({_NAMES})\b", rf"{database}.\1", text)
    return re.sub(rf"(?i)\b(from|join|,)(\s+)({_NAMES})\b(?!\.)", rf"\1\2{database}.\3", text)


def _plan(sql: str) -> Plan:
    plan = mysql.analyse(sql, view("mariadb"))
    assert isinstance(plan, Plan), plan
    return plan


def _cases(name: str) -> list[Any]:
    read = YAML(typ="safe").load(CORPUS.parent / "mysql" / f"{name}.yaml")
    found = read if isinstance(read, list) else [one for several in read.values() for one in several]
    return [pytest.param(sql, id=f"{name}-{number}") for number, sql in enumerate(found)]


@pytest.mark.parametrize("sql", _cases("legitimate"))
def test_what_people_ask_says_the_same_as_on_a_copy_of_what_they_may_see(ask: Ask, sql: str) -> None:
    plan = _plan(sql)
    got, wanted = ask("truth_a", plan.rewritten), ask("sought" if plan.exact_searches else "copy", sql)

    assert not isinstance(wanted, int), f"the statement is wrong by itself: {wanted}"
    assert got == wanted if "order by" in sql.lower() else _unordered(got) == _unordered(wanted)


@pytest.mark.parametrize("sql", _cases("blind"))
def test_an_attack_that_runs_learns_nothing(ask: Ask, sql: str) -> None:
    rewritten = _plan(sql).rewritten

    answers = [ask(name, rewritten) for name in ("truth_a", "truth_b")]

    assert _unordered(answers[0]) == _unordered(answers[1])
    assert not [one for one in CANARIES if one in repr(answers) and one not in sql]


@pytest.mark.parametrize("sql", _cases("clients"))
def test_what_clients_send_runs(ask: Ask, sql: str) -> None:
    plan = _plan(sql)
    begun = ("START TRANSACTION", "SAVEPOINT sa_savepoint_1", "SAVEPOINT sp") if "SAVEPOINT" in sql else ()
    for before in ("ROLLBACK", *begun):
        ask("truth_a", before)

    answer = ask("truth_a", plan.rewritten)

    assert not isinstance(answer, int), answer
    if plan.kinds == (Kind.READ,):
        assert answer[0]


def test_questions_made_up_by_a_grammar_say_the_same_of_both_truths_and_of_the_copy(ask: Ask) -> None:
    chosen = random.Random(SEED)
    ran = agreed = 0
    for number in range(QUESTIONS):
        sql = question(chosen)
        plan = mysql.analyse(sql, view("mariadb"))
        if isinstance(plan, Refusal):
            continue
        ran += 1
        first, second = (ask(name, plan.rewritten) for name in ("truth_a", "truth_b"))
        assert _unordered(first) == _unordered(second), (number, sql)
        assert not [one for one in CANARIES if one in repr(first) and one not in sql], (number, sql)
        if plan.exact_searches:
            # what is searched for may be shown beside, masked: no copy says the same
            continue
        wanted = ask("copy", sql)
        if not isinstance(wanted, int):
            assert _unordered(first) == _unordered(wanted), (number, sql)
            agreed += 1
    assert ran > QUESTIONS // 2
    assert agreed > QUESTIONS // 3


def test_searches_made_up_find_who_is_there_and_nobody_else_s(ask: Ask) -> None:
    chosen = random.Random(SEED)
    found = 0
    for number in range(SEARCHES):
        sql = searching(chosen)
        plan = _plan(sql)
        assert plan.exact_searches, (number, sql)
        first, second, wanted = (
            ask(name, text)
            for name, text in (("truth_a", plan.rewritten), ("truth_b", plan.rewritten), ("sought", sql))
        )
        assert not isinstance(wanted, int), (number, sql, wanted)
        assert _unordered(first) == _unordered(second) == _unordered(wanted), (number, sql)
        found += bool(first[1])
    assert found > SEARCHES // 6


def test_a_search_in_a_join_takes_the_rows_away_that_it_would_outside(ask: Ask) -> None:
    chosen = random.Random(SEED)
    whole = partly = 0
    for number in range(SEARCHES):
        sql, count = joined_search(chosen)
        plan = _plan(sql)
        first, second = (ask(name, plan.rewritten) for name in ("truth_a", "truth_b"))
        assert _unordered(first) == _unordered(second), (number, sql)
        if len(plan.exact_searches) in (0, count):
            wanted = ask("sought" if plan.exact_searches else "copy", sql)
            assert _unordered(first) == _unordered(wanted), (number, sql)
            whole += bool(plan.exact_searches)
        else:
            partly += 1
    assert whole > SEARCHES // 5
    assert partly > SEARCHES // 20


def _given(ask: Ask, plan: Plan, *values: str) -> Any:
    """The answer to a statement that was prepared, with values for the parameters that the person wrote."""
    given = [values[number - 1] for number in plan.parameters or range(1, len(values) + 1)]
    names = [f"@p{number}" for number in range(len(given))]
    assert ask("truth_a", "SET " + ", ".join(map(" = ".join, zip(names, given, strict=True)))) == ([], [])
    text = plan.rewritten.replace("\\", "\\\\").replace("'", "''")
    assert ask("truth_a", f"PREPARE s FROM '{text}'") == ([], [])
    return ask("truth_a", f"EXECUTE s USING {', '.join(names)}")


def test_parameters_find_whatever_their_type_is(ask: Ask) -> None:
    plan = _plan("select id from employees where status = ? and email in (?, ?) and last_name = ?")
    assert plan.parameters == (2, 3, 4, 1)

    assert _given(ask, plan, "'open'", "'alice@example.com'", "'x'", "'Martin'") == (["id"], [["1"]])
    assert _given(ask, plan, "'open'", "'x'", "'ALICE@example.com'", "'MARTIN'") == (["id"], [["1"]])
    assert _given(ask, plan, "'closed'", "'alice@example.com'", "'x'", "'Martin'") == (["id"], [])
    # a number is no address, though MySQL takes the text of one for it
    assert _given(ask, plan, "'open'", "0", "0e0", "0") == (["id"], [])
    assert _given(ask, plan, "'open'", "NULL", "x'00'", "DATE '2024-01-01'") == (["id"], [])


@pytest.mark.parametrize(("column", "loose"), [("bin", 0), ("unicode", 1), ("latin", 1), ("utf8", 1)])
def test_a_text_is_found_as_its_column_compares(ask: Ask, column: str, loose: int) -> None:
    seen = view("mariadb")
    rule = ColumnRule(column, Mask("redact"), search="exact", type="text")
    policy = replace(seen.policy, tables={"shop.spelled": TableRule("shop.spelled", Scope("none"), {column: rule})})
    seen = replace(seen, policy=policy, catalog=declared(policy))
    prepared = mysql.analyse(f"select count(*) from spelled where `{column}` = ?", seen)
    assert isinstance(prepared, Plan)

    for text, count in (("Chloé", 1), ("CHLOÉ", loose), ("Chloe", loose), ("Chlo", 0), ("0", 0)):
        plan = mysql.analyse(f"select count(*) from spelled where `{column}` = '{text}'", seen)
        assert isinstance(plan, Plan)
        assert plan.exact_searches
        assert ask("truth_a", plan.rewritten)[1] == [[str(count)]], text
        assert _given(ask, prepared, f"'{text}'")[1] == [[str(count)]], text


def test_a_recursion_without_an_end_ends_with_an_error(ask: Ask) -> None:
    endless = _plan("with recursive w as (select 1 as n union all select n + 1 from w) select count(*) from w")
    many = _plan(
        "with recursive w (n) as (select 1 union all select n + 1 from w where n < 5000) select count(*) from w"
    )
    try:
        assert ask("truth_a", many.rewritten) == (["count(*)"], [["5000"]])
        ask("truth_a", "SET SESSION max_statement_time = 0.5")
        assert ask("truth_a", endless.rewritten) == 1969
    finally:
        ask("truth_a", "SET SESSION max_statement_time = 30")


def test_without_its_key_a_keyed_mask_shows_nothing(ask: Ask) -> None:
    assert ask("truth_a", "SET @kept_inner = @gateway_inner, @gateway_inner = ''") == ([], [])
    try:
        names, rows = ask("truth_a", _plan("select email, last_name from employees").rewritten)
    finally:
        ask("truth_a", "SET @gateway_inner = @kept_inner")
    assert names == ["email", "last_name"]
    assert {cell for row in rows for cell in row} == {None}


def test_a_column_s_name_is_told_for_every_reveal(ask: Ask) -> None:
    seen = replace(view("mariadb"), reveal=frozenset({("shop.employees", "email")}))
    plan = mysql.analyse("select email from employees where id = 1", seen)
    assert isinstance(plan, Plan)
    assert ask("truth_a", plan.rewritten) == (["email"], [["alice@example.com"]])
    assert plan.columns_revealed == ("shop.employees.email",)


def test_a_session_s_time_zone_tells_nothing_of_a_masked_moment(ask: Ask) -> None:
    columns = {
        "id": ColumnRule("id", Mask("clear"), type="bigint"),
        "at": ColumnRule("at", Mask("year"), type="timestamptz"),
    }
    seen = view("mariadb")
    policy = replace(seen.policy, tables={"shop.moments": TableRule("shop.moments", Scope("none"), columns)})
    plan = mysql.analyse(
        "select id, at from moments order by id", replace(seen, policy=policy, catalog=declared(policy))
    )
    assert isinstance(plan, Plan)
    try:
        for zone in ("+00:00", "+05:00", "-05:00"):
            ask("truth_a", f"SET time_zone = '{zone}'")
            assert ask("truth_a", plan.rewritten)[1] == [
                ["1", "2023-01-01 00:00:00"], ["2", "2024-01-01 00:00:00"], ["3", None],
            ]  # fmt: skip
    finally:
        ask("truth_a", "SET time_zone = 'SYSTEM'")


def _unordered(answer: Any) -> Any:
    return answer if isinstance(answer, int) else (answer[0], sorted(map(repr, answer[1])))
