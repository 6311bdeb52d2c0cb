"""Sums over hidden columns in MySQL's SQL: which calls take true values, what they cost, and that the check agrees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Refusal
from gateway.policy.load import load_policy
from gateway.policy.schema import AggregateRule, Policy
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.statement import Limits, Plan, View
from gateway.sql.tree.check import prove
from gateway.sql.tree.grammar import MARIADB
from gateway.sql.tree.reading import read

_READ = load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml")
_SUMMED = {
    ("shop.employees", "salary"): AggregateRule(5, "id"),
    ("shop.payslips", "net"): AggregateRule(3, "employee_id", extremes=True),
}
PAY, NET = "shop.employees.salary", "shop.payslips.net"


def policy() -> Policy:
    tables = {
        name: replace(
            table,
            columns={
                one: replace(rule, aggregate=_SUMMED.get((name, one))) for one, rule in table.columns.items()
            },
        )
        for name, table in _READ.tables.items()
    }  # fmt: skip
    return replace(_READ, dialect="mariadb", tables=tables)


VIEW = View(policy(), declared(policy()), ("42",), search_path=("shop",))


def plan(sql: str, view: View = VIEW) -> Plan:
    found = mysql.analyse(sql, view)
    assert isinstance(found, Plan), found
    return found


@pytest.mark.parametrize(
    ("sql", "uses"),
    [
        ("select avg(salary) from employees", [PAY]),
        ("select AVG((salary)), Sum(e.Salary), count(salary), std(salary) from employees e", [PAY]),
        ("select status, avg(salary) from employees where id > 1 group by status having sum(salary) > 5", [PAY]),
        ("select status s, variance(salary) v from employees group by s order by v desc, avg(salary) limit 3", [PAY]),
        ("select year(birth_date) as y, var_samp(salary) from employees group by y having y > 1980", [PAY]),
        ("select round(avg(salary) / 12, 2), ifnull(count(salary), 0), count(*) from employees", [PAY]),
        ("select case when status = 'open' then 1 else 0 end as c, avg(salary) from employees group by 1", [PAY]),
        ("select max(net), min(net), sum(net), count(net) from payslips", [NET, NET, NET]),
        ("select max(net) from payslips where employee_id in (1, ?) and period between '2024-01-01' and now()", [NET]),
        ("select distinct sum(net) from shop.payslips group by period", [NET]),
        ("select * from (select avg(salary) as a from employees) x join companies c on x.a > c.id", [PAY]),
        ("with w as (select status, avg(salary) as a from employees group by status) select max(a) from w", [PAY]),
        ("select avg(salary) from employees where id = 1 union all select avg(net) from payslips", [PAY, NET]),
        ("select c.id, (select avg(salary) from employees) from companies c", [PAY]),
        ("select avg(salary) from employees where email = 'a'", [PAY]),
        ("select max(salary), avg(salary) from employees", [PAY]),
    ],
)
def test_a_closed_select_sums_true_values(sql: str, uses: list[str]) -> None:
    found = plan(sql)

    assert [f"{one.relation}.{one.column}" for one in found.aggregations] == uses
    assert set(found.columns_aggregated) == set(uses)
    assert any("aggregated over its real values" in one.message for one in found.notices)
    assert found.rewritten.count("gateway_whose_") >= 3


@pytest.mark.parametrize(
    "sql",
    [
        "select max(salary), min(salary) from employees",
        "select avg(salary) from employees e join companies c on c.id = e.company_id",
        "select avg(salary) from employees, companies",
        "select avg(e.salary) from employees e left join payslips p on true",
        "select *, avg(salary) from employees",
        "select e.*, avg(salary) from employees e",
        "select sum(distinct salary), count(distinct salary) from employees",
        "select avg(salary + 0), sum(-salary), sum(if(id = 1, salary, 0)) from employees",
        "select sum(case when id = 1 then salary end) from employees",
        "select count(salary > 51000), count(salary, id) from employees",
        "select avg(salary) over () from employees",
        "select avg(salary), row_number() over (order by id) from employees",
        "select avg(salary) from employees where rand() > 0.5",
        "select avg(salary) from employees group by floor(rand() * 3)",
        "select avg(salary) from employees where id in (select employee_id from payslips)",
        "select avg(salary) from employees where exists (select 1)",
        "select avg(salary), (select 1) from employees",
        "select avg(salary) from (select * from employees) as e",
        "with w as (select * from employees) select avg(salary) from w",
        "select c.id, (select avg(salary) from employees where company_id = c.id) from companies c",
        "select group_concat(salary), bit_xor(salary), json_arrayagg(salary) from employees",
        "select sum(cast(salary as signed)), sum(salary & 1) from employees",
        "select avg(salary) from employees where (id, status) in ((1, 'open'))",
        "select sum(birth_date) from employees",
        "select salary from employees group by salary",
        "select sleep(1), avg(salary) from employees",
        "select version(), avg(salary) from employees",
    ],
)
def test_everything_else_sums_masks(sql: str) -> None:
    found = mysql.analyse(sql, VIEW)

    if isinstance(found, Refusal):
        assert found.code in {"function-not-allowed", "statement-not-supported"}
        return
    assert not found.aggregations
    assert "gateway_raw_" not in found.rewritten


@pytest.mark.parametrize("name", ["gateway_raw_7", "Gateway_Whose_7", "gateway_q", "gateway_t"])
@pytest.mark.parametrize("form", [
    "select {0} from employees", "select avg(salary) from employees group by {0}",
    "select avg(salary) as {0} from employees", "select avg(salary) from employees as {0}",
    "select avg(salary) from employees order by `{0}`", "select avg({0}.salary) from employees",
    "select avg(salary) from employees having max({0}) > 5",
])  # fmt: skip
def test_nobody_can_name_a_true_value(form: str, name: str) -> None:
    assert isinstance(mysql.analyse(form.format(name), VIEW), Refusal)


def test_what_saw_masks_is_said_in_the_words_of_postgresql() -> None:
    (notice,) = plan("select max(salary), avg(salary + 1) from employees").notices

    assert notice.message == "`shop.employees.salary` is masked: an aggregate saw the masked values"
    assert "count, sum, avg, stddev, variance of the column alone" in notice.hint


def test_a_revealed_column_is_summed_like_any_other() -> None:
    found = plan("select avg(salary) from employees", replace(VIEW, reveal=frozenset({("shop.employees", "salary")})))

    assert not found.aggregations
    assert not found.notices
    assert "gateway_raw" not in found.rewritten


def _mutants(text: str) -> Iterator[str]:
    others = {
        ">=": [">", "<", "="], "5": ["4", "0"], "3": ["2"], "COUNT": ["SUM"], "DISTINCT": [""], "avg": ["max", "sum"],
        "max": ["min"], "THEN": ["IS NULL THEN"], "NULL": ["TRUE"],
        "`gateway_raw_7`": ["`gateway_whose_7`", "`salary`", "`gateway_raw_4`"],
        "`gateway_whose_7`": ["`gateway_raw_7`", "`id`", "`gateway_whose_4`"], "`id`": ["`salary`", "`company_id`"],
        "`salary`": ["`id`", "`notes`", "`gateway_raw_7`"], "`net`": ["`id`"], "`employee_id`": ["`id`"],
        "`e`": ["`f`"], "`status`": ["`gateway_raw_7`", "`salary`"], "CASE": ["", "CASE 1"], "END": ["ELSE 1 END"],
    }  # fmt: skip
    for match in re.finditer(r"`[^`]*`|>=|\w+", text):
        for other in others.get(match[0], []):
            yield text[: match.start()] + other + text[match.end() :]
    guarded = re.compile(r"CASE WHEN COUNT\(DISTINCT [^)]*\) >= \d THEN (\w+\([^)]*\)) END")
    for match in guarded.finditer(text):
        yield text[: match.start()] + match[1] + text[match.end() :]
        yield text[: match.end()] + f" + {match[1]}" + text[match.end() :]


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("select status, avg(salary) from employees e group by status",
         {"shop.employees": ("salary", "status")}),
        ("select max(net) as m from payslips", {"shop.payslips": ("net",)}),
        ("select max(salary), avg(salary) from employees e", {"shop.employees": ("salary",)}),
    ],
)  # fmt: skip
def test_every_single_change_of_a_sum_is_found(sql: str, shown: dict[str, tuple[str, ...]]) -> None:
    asked = read(sql, MARIADB, Limits())

    def proven(text: str) -> bool:
        try:
            prove(text, asked, VIEW, MARIADB, shown)
        except GatewayError:
            return False
        return True

    text = plan(sql).rewritten
    assert proven(text)
    assert [one for one in dict.fromkeys(_mutants(text)) if one != text and proven(one)] == []
