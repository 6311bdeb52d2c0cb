"""The proof of what goes out, against a rewriting that was changed: each single change is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.policy.load import load_policy
from gateway.sql.declared import declared
from gateway.sql.statement import Limits, Plan, View
from gateway.sql.tree import analyse
from gateway.sql.tree.check import prove
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.reading import read

POLICY = load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml")
ASKED = [
    "select id, email, status from employees as e where e.status = 'open' order by e.id limit 3",
    "with x as (select id from companies)"
    " select x.id, count(*) as n from x join employees as e on e.company_id = x.id group by x.id",
    "select customer, note from notes where id in (select id from payslips) and note like '%a%'",
    "select sum(balance) as s, 'x' as t from accounts union all select 1, case when 1 < 2 then 'a' else 'b' end",
]
SHOWN = {name: tuple(table.columns) for name, table in POLICY.tables.items()}


def view(dialect: str) -> View:
    policy = replace(POLICY, dialect=dialect)
    return View(policy, declared(policy), ("42",), search_path=("shop",))


def outgoing(sql: str, dialect: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    found = analyse(sql, view(dialect))
    assert isinstance(found, Plan)
    shown: dict[str, list[str]] = {}
    for one in (*found.columns_clear, *found.columns_masked):
        relation, _, column = one.rpartition(".")
        shown.setdefault(relation, []).append(column)
    columns = {name: tuple(c for c in SHOWN[name] if c in shown.get(name, ())) for name in found.relations}
    return found.rewritten, {name: few or SHOWN[name][:1] for name, few in columns.items()}


def proven(text: str, sql: str, dialect: str, shown: dict[str, tuple[str, ...]]) -> bool:
    grammar = GRAMMARS[dialect]
    try:
        prove(text, read(sql, grammar, Limits()), view(dialect), grammar, shown)
    except GatewayError:
        return False
    return True


def mutants(text: str) -> Iterator[str]:
    """The text with one word left out, said twice, or otherwise."""
    words = list(re.finditer(r"`[^`]*`|\"[^\"]*\"|'(?:[^']|'')*'|\w+|[^\w\s]", text))
    others = {"42": "7", "=": "<>", "AND": "OR", "OR": "AND", "ALL": "DISTINCT", "LIMIT": "OFFSET", "count": "max"}
    for match in words:
        word, start, end = match[0], match.start(), match.end()
        yield text[:start] + text[end:]
        if word in others:
            yield text[:start] + others[word] + text[end:]
        if word[0] in '`"':
            for name in ("notes", "secret", "employees", "gateway_t", "id", "hidden"):
                other = word[0] + name + word[0]
                if other != word:
                    yield text[:start] + other + text[end:]
        if word[0] == "'":
            yield text[:start] + "'y'" + text[end:]
        if word.isdigit():
            yield text[:start] + str(int(word) + 1) + text[end:]
    yield text + "; SELECT 1"
    mark = "`" if "`" in text else '"'
    stored = f"{mark}shop{mark}.{mark}employees{mark}"
    yield f"{text} UNION ALL SELECT * FROM {stored}"
    yield f"SELECT * FROM ({text}) AS q, {stored} AS e"


SAME = re.compile(r"\s+|[()]|INNER|CROSS|THEN|\bAS\b|DISTINCT|[`\"](?=\w)|(?<=\w)[`\"]", re.IGNORECASE)


@pytest.mark.parametrize("dialect", ["clickhouse", "mariadb", "trino"])
@pytest.mark.parametrize("sql", ASKED, ids=range(len(ASKED)))
def test_every_single_change_of_what_goes_out_is_found(sql: str, dialect: str) -> None:
    text, shown = outgoing(sql, dialect)
    assert proven(text, sql, dialect, shown)

    missed = [
        mutant
        for mutant in dict.fromkeys(mutants(text))
        # quotes, parentheses and AS around the person's own parts change nothing
        if SAME.sub("", mutant) != SAME.sub("", text) and proven(mutant, sql, dialect, shown)
    ]

    assert missed == []


def test_what_the_rewriting_says_of_its_columns_is_not_believed() -> None:
    sql = "select id from employees"
    text, _ = outgoing(sql, "clickhouse")
    raw = text.replace("`id`", "`notes`")

    assert not proven(raw, sql, "clickhouse", {"shop.employees": ("notes",)})
    assert not proven(text, sql, "clickhouse", {})
    assert not proven("SELECT `id` FROM `shop`.`employees` AS `employees`", sql, "clickhouse", {"shop.employees": ()})


def test_a_derived_table_of_another_relation_is_found() -> None:
    text, shown = outgoing("select id from companies", "clickhouse")

    assert not proven(text, "select id from countries", "clickhouse", shown)
    assert not proven(text, "select id from shop.companies as c", "clickhouse", shown)
    assert proven(text, "select id from shop.companies", "clickhouse", shown)


@pytest.mark.parametrize("dialect", ["clickhouse", "mariadb"])
def test_a_cte_under_a_name_that_a_hidden_relation_may_have_is_found(dialect: str) -> None:
    sql = "with secrets as (select 1 as id) select id from secrets"
    text, shown = outgoing(sql, dialect)

    assert proven(text, sql, dialect, shown)
    assert not proven(text.replace("gateway_with_1", "secrets"), sql, dialect, shown)
