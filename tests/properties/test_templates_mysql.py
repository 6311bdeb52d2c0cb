"""The same of MySQL's: a filled template is what the analysis of the text gives, searches and their number included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.policy.load import load_policy
from gateway.sql.cache import Judgement, PlanCache, plan_fields
from gateway.sql.declared import declared
from gateway.sql.rooms import analyse, free_literals
from gateway.sql.statement import View

_READ = load_policy(Path(__file__).parents[1] / "corpus" / "dialects" / "shop.yaml")
_SOUGHT = {"email", "last_name", "iban", "salary", "birth_date", "phone", "net"}
_TABLES = {
    name: replace(
        table, columns={one: replace(rule, search="exact" * (one in _SOUGHT)) for one, rule in table.columns.items()}
    )
    for name, table in _READ.tables.items()
}
POLICY = replace(_READ, dialect="mariadb", tables=_TABLES)
VIEW = View(POLICY, declared(POLICY), ("42",), search_path=("shop",))

STATEMENTS = [
    "select id from employees where id = {}",
    "select id from employees where {} = status",
    "select id from employees where id = -{}",
    "select id from employees where status <> {} and id >= {} or id < {}",
    "select id from employees where id in ({}, {}, {})",
    "select id from employees where email = {}",
    "select id from employees where email in ({}, {}) and status = {}",
    "select id from employees where salary = {} and id = {}",
    "select id from employees where birth_date = {} or birth_date > {}",
    "select id from employees where birth_date in ({}, {})",
    "select id from employees where phone = {} and iban = {}",
    "select id from employees where birth_date between {} and {}",
    "select e.id from employees e join payslips p on p.employee_id = e.id and p.net = {} where e.last_name = {}",
    "select id, status = {} from employees where id = {}",
    "select (select count(*) from notes where id = {}) from employees where id = {}",
    "select status = {} as x, count(*) from employees group by status = {}",
    "select x.a from (select id, status = {} as a from employees) as x where x.id = {}",
    "with w as (select id from employees where status = {}) select id from w where id > {}",
    "select {}, id from employees where id = {} order by {}",
    "select id from employees where status like {} and id = {}",
    "select id from employees where (id, status) = ({}, {})",
    "select id from employees where id = {} limit {} offset {}",
    "select id from employees where status = {} {}",
    "select id from employees where status = {}{}",
    "select id from employees where status = {} # {}\n and id = {}",
    "select `id` from employees where `status` = {} and `id`={}and 1 = 1",
    "select id as `a'b` from employees where status = {} and id = {}",
    'select id as "a\'b" from employees where status = {} and id = {}',
    "select id from employees where status = {} having id > {}",
    "select id from employees where status = {} union select id from companies where id = {}",
    "select table_name from information_schema.tables where table_name = {}",
    "select id from employees where date_add(birth_date, interval {} day) > {}",
    "select avg(salary) from employees where status = {}",
    "explain select id from employees where id = {}",
    "show tables like {}",
]
STRINGS = st.sampled_from([
    "'a'", "'it''s'", "'a\\'b'", "'back`tick'", "'2024-02-29'", "'2024-02-30'", "'5'", "'51234'", "'-3'", "'5x'", "''",
    "'information_schema'", "'columns'", '"a"', "'a' 'b'", "'stand-in 5d2e9c1f 0 '", "'918273000'", "'é'", "'#'",
    "'--'",
])  # fmt: skip
NUMBERS = st.sampled_from(["0", "5", "51234", "918273000", "918273001", "1e3", "5.5", "007", "99999999999"])
LITERALS = st.one_of(STRINGS, NUMBERS, st.sampled_from(["null", "?", "-1", "true"]))
FILLINGS = st.lists(st.sampled_from([STRINGS, NUMBERS, LITERALS]), min_size=3, max_size=3).flatmap(
    lambda kinds: st.lists(st.tuples(*kinds).map(list), min_size=2, max_size=5)
)


def fill(statement: str, literals: list[str]) -> str:
    for literal in literals:
        statement = statement.replace("{}", literal, 1)
    return statement


def shown(judged: Judgement | Refusal) -> object:
    if isinstance(judged, Refusal):
        return judged
    return judged.text, judged.fields, judged.plan.raw_uses, judged.plan.parameters, judged.plan.notices


def whole(text: str) -> object:
    plan = analyse(text, VIEW)
    if isinstance(plan, Refusal):
        return plan
    return plan.rewritten, plan_fields(plan, str), plan.raw_uses, plan.parameters, plan.notices


@pytest.mark.parametrize("statement", STATEMENTS)
@settings(max_examples=30, deadline=None)
@given(FILLINGS)
@example([["1", "2", "3"], ["4", "5", "6"]])
@example([["'a'", "'b'", "'c'"], ["'2024-02-29'", "'51234'", "'back`tick'"]])
@example([["'2024-02-30'", "'2024-02-29'", "'c'"], ["'2024-02-29'", "'2024-02-30'", "'d'"]])
def test_what_a_template_gives_is_what_the_analysis_gives(statement: str, fillings: list[list[str]]) -> None:
    cache = PlanCache(analyse, free_literals, str)
    number = cache.view_number(VIEW)

    for literals in fillings:
        text = fill(statement, literals)

        assert shown(cache.judge(VIEW, number, text)) == whole(text), text


def test_the_table_has_statements_that_are_filled() -> None:
    cache = PlanCache(analyse, free_literals, str)
    number = cache.view_number(VIEW)
    for literals in (["1", "2", "3"], ["4", "5", "6"], ["'a'", "'b'", "'c'"], ["'d'", "'e'", "'f'"]):
        for statement in STATEMENTS:
            cache.judge(VIEW, number, fill(statement, literals))

    assert cache.hits > len(STATEMENTS) // 3
