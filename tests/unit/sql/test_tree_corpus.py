"""SQL on sqlglot's tree: what is refused and how, what is recorded, how columns are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.errors import Refusal
from gateway.policy.http_dialects import route
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy
from gateway.sql import tree, trino
from gateway.sql.declared import declared
from gateway.sql.statement import Plan, View
from gateway.sql.tree.formats import without_format

CORPUS = Path(__file__).parents[2] / "corpus" / "dialects"
POLICY = load_policy(CORPUS / "shop.yaml")
DIALECTS = ("clickhouse", "mysql", "trino")


def view(dialect: str, **more: Any) -> View:
    policy = replace(POLICY, dialect="mariadb" if dialect == "mysql" else dialect)
    if dialect == "trino":
        policy = replace(policy, http=HttpRules((route("statement", "POST", ("v1", "statement"), dialect, "memory"),)))
    return View(policy, declared(policy), **({"customers": ("42",), "search_path": ("shop",)} | more))


def room(dialect: str) -> Any:
    """What reads the statements of a dialect, without what MySQL's room has in front of it."""
    return trino if dialect == "trino" else tree


def cases(name: str) -> list[Any]:
    read = YAML(typ="safe").load(CORPUS / f"{name}.yaml")
    return [
        pytest.param(dialect, one, id=f"{dialect}-{number}")
        for dialect in DIALECTS
        for number, one in enumerate(read)
        if dialect in one["dialects"]
    ]


def plan(sql: str, dialect: str = "clickhouse", **more: Any) -> Plan:
    found = room(dialect).analyse(sql, view(dialect, **more))
    assert isinstance(found, Plan), found
    return found


def refused(sql: str, dialect: str = "clickhouse", **more: Any) -> Refusal:
    found = room(dialect).analyse(sql, view(dialect, **more))
    assert isinstance(found, Refusal), found
    return found


@pytest.mark.parametrize(("dialect", "one"), cases("attacks"))
def test_an_attack_is_refused_with_its_code(dialect: str, one: dict[str, str]) -> None:
    refusal = refused(one["sql"], dialect)

    assert refusal.code == one["code"], refusal
    assert refusal.hint


@pytest.mark.parametrize(("dialect", "one"), [*cases("blind"), *cases("legitimate")])
def test_what_runs_names_no_relation_outside_of_its_derived_table(dialect: str, one: dict[str, str]) -> None:
    outgoing = plan(one["sql"], dialect).rewritten

    outgoing = outgoing.replace('"', "`") if dialect == "trino" else outgoing
    assert outgoing.count("`shop`.") == outgoing.count(" AS `gateway_t`") + outgoing.count(" AS `gateway_s")
    assert "notes`.`notes" not in outgoing
    assert "secret" not in outgoing


def test_a_relation_becomes_a_derived_table_of_the_columns_that_are_read() -> None:
    assert plan("select id, status from employees as e").rewritten == (
        "SELECT `id`, `status` FROM (SELECT `gateway_q`.`gateway_1` AS `id`, `gateway_q`.`gateway_2` AS `status`"
        " FROM (SELECT `gateway_t`.`id` AS `gateway_1`, `gateway_t`.`status` AS `gateway_2`"
        " FROM `shop`.`employees` AS `gateway_t` WHERE (`gateway_t`.`company_id` = 42) LIMIT 18446744073709551615)"
        " AS `gateway_q`) AS `e`"
    )


def test_the_record_has_no_literal_and_all_that_is_read() -> None:
    found = plan("select email, count(*) from employees where last_name = 'Martin' and salary > 50000 group by email")

    assert found.normalised == (
        "SELECT `email`, count(*) FROM `shop`.`employees` WHERE ((`last_name` = ?) AND (`salary` > ?)) GROUP BY `email`"
    )
    assert "Martin" not in found.rewritten_normalised
    assert "42" not in found.rewritten_normalised
    assert found.relations == ("shop.employees",)
    assert found.columns_masked == (
        "shop.employees.last_name", "shop.employees.email", "shop.employees.salary",
    )  # fmt: skip
    assert found.scope == ("shop.employees: company_id = ticket.customer",)
    assert found.subjects == ("Martin",)
    assert found.conceals


def test_a_revealed_column_is_shown_and_said_to_be() -> None:
    found = plan("select email from employees", reveal=frozenset({("shop.employees", "email")}))

    assert found.columns_revealed == ("shop.employees.email",)
    assert "SHA256" not in found.rewritten


def test_several_customers_are_all_in_the_condition() -> None:
    assert (
        "(`gateway_t`.`id` = 42) OR (`gateway_t`.`id` = 7)"
        in plan("select id from companies", customers=("42", "7")).rewritten
    )


@pytest.mark.parametrize("customer", ["", "42 or 1=1", "042", "4.2", "' or ''='", "9223372036854775808"])
def test_a_customer_that_is_none_of_the_column_is_refused(customer: str) -> None:
    assert refused("select id from companies", customers=(customer,)).code == "customer-invalid"


def test_without_a_customer_nothing_runs() -> None:
    assert refused("select id from companies", customers=()).code == "customer-invalid"


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select id, count(*) from employees group by id", "count(*) AS `count(*)`"),
        ("select  upper( status ) ,1 from employees", "upper(`status`) AS `upper( status )`, 1 AS `1`"),
        ("select distinct upper(status) from employees", "upper(`status`) AS `upper(status)`"),
        ("select Status from employees", "`Status` AS `Status`"),
        ("with x as (select id from companies) select id + 1 from x", "(`id` + 1) AS `id + 1`"),
        ("select if(id = 1, 'a', 'b') x, id + 1 from employees", "AS `x`, (`id` + 1) AS `id + 1`"),
        ("select id + 1 union all select 2", "(`id` + 1) AS `id + 1`"),
    ],
)
def test_mysql_names_columns_by_the_text_that_was_written(sql: str, names: str) -> None:
    sql = sql.replace("select id + 1 union", "select id + 1 from companies union")

    assert names in plan(sql, "mysql").rewritten


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "(" * 30 + "1" + ")" * 30,
        "select " + "abs(" * 30 + "1" + ")" * 30,
        "select " + "case when 1 = 1 then " * 30 + "1" + " end" * 30,
        "select " + "not " * 1500 + "1 = 1",
        "select " + " + ".join(["1"] * 1200),
        "select " + "- " * 1900 + "1",
        "select id from employees where " + " and ".join(["id = 1"] * 700),
    ],
    ids=["parentheses", "calls", "cases", "nots", "words", "signs", "conditions"],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_too_deep_or_too_long_is_refused(sql: str, dialect: str) -> None:
    assert refused(sql, dialect).code in {"statement-too-complex", "statement-not-supported"}


def test_a_text_beyond_the_limit_is_not_even_cut_into_words() -> None:
    assert refused("select 1" + " " * 300_000).code == "statement-too-long"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_conditions_side_by_side_are_no_nesting(dialect: str) -> None:
    sql = "select id from employees where " + " and ".join(f"id <> {n}" for n in range(100))

    assert plan(sql, dialect)


def test_what_cannot_be_read_leaves_nothing_in_a_record() -> None:
    left = tree.normalise("select 'x' from hidden where a = 'secret'", POLICY)
    assert left == "SELECT ? FROM `hidden` WHERE (`a` = ?)"
    assert tree.normalise("selekt 'secret'", POLICY) == ""
    assert tree.telling("select id from hidden where email = 'a@b.c' or last_name in ('x', 'y')", POLICY) == (
        "a@b.c",
        "x",
        "y",
    )
    assert tree.telling("selekt 'secret'", POLICY) == ()


@pytest.mark.parametrize(
    ("text", "left", "output"),
    [
        ("select id from employees FORMAT JSONEachRow", "select id from employees", "JSONEachRow"),
        ("select id from employees format JSON;", "select id from employees", "JSON"),
        ("select id from employees", "select id from employees", ""),
        ("select 'x FORMAT JSON'", "select 'x FORMAT JSON'", ""),
        ("select id from employees format 'JSON'", "select id from employees format 'JSON'", ""),
        ("select 1 as informat json", "select 1 as informat json", ""),
    ],
)
def test_the_clause_format_is_cut_off(text: str, left: str, output: str) -> None:
    assert without_format(text) == (left, output)
