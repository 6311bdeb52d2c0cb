"""Exact searches in MySQL's SQL: which conditions reach true values, what they cost, and that the check agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Refusal
from gateway.policy.load import load_policy
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.statement import Limits, Plan, View
from gateway.sql.tree.check import prove
from gateway.sql.tree.grammar import MARIADB
from gateway.sql.tree.reading import read

_READ = load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml")
_SOUGHT = {
    "shop.employees": ("last_name", "email", "iban", "salary", "birth_date"),
    "shop.payslips": ("net",),
    "shop.notes": ("customer",),
}
_TABLES = {
    name: replace(
        table,
        columns={
            one: replace(rule, search="exact") if one in _SOUGHT.get(name, ()) else rule
            for one, rule in table.columns.items()
        },
    )
    for name, table in _READ.tables.items()
}
POLICY = replace(_READ, dialect="mariadb", tables=_TABLES)
VIEW = View(POLICY, declared(POLICY), ("42",), search_path=("shop",))
E = "from employees e"


def plan(sql: str, view: View = VIEW) -> Plan:
    found = mysql.analyse(sql, view)
    assert isinstance(found, Plan), found
    return found


def sought_in(text: str) -> list[str]:
    """What is compared with true values in an outgoing text, beside scopes."""
    found = []
    for part in text.split("AS `gateway_t` WHERE ")[1:]:
        conditions = part.split(" LIMIT ")[0]
        tests = conditions.partition(") AND `gateway_t`.")[2] or conditions.partition("TRUE AND `gateway_t`.")[2]
        found += tests.split(" AND `gateway_t`.") if tests else []
    return found


@pytest.mark.parametrize(
    ("sql", "tests"),
    [
        ("select id from employees where email = 'a@b.c'", ["`email` = 'a@b.c'"]),
        ("select id from employees where 'a@b.c' = EMAIL", ["`email` = 'a@b.c'"]),
        ("select id from shop.employees where ((email) = (('a''b\\\\c')))", ["`email` = 'a''b\\\\c'"]),
        (f"select e.id {E} where e.email in ('a', 'b') and e.status = 'open'", ["`email` IN ('a', 'b')"]),
        (f"select e.id {E} where (e.id = 1 and (e.email = 'a')) and salary = -5", ["`email` = 'a'", "`salary` = -5"]),
        (f"select e.id {E} where salary = '51234'", ["`salary` = 51234"]),
        (f"select e.id {E} where birth_date = '1984-02-29'", ["`birth_date` = '1984-02-29'"]),
        (f"select e.id {E} where birth_date in (?, ?)", ["`birth_date` IN (CAST(? AS DATE), CAST(? AS DATE))"]),
        (f"select e.id {E} where email = ? and salary = ?",
         ["`email` = CONCAT(?)", "`salary` = CAST(? AS DECIMAL(65, 30))"]),
        (f"select p.id {E} join payslips p on p.employee_id = e.id and e.email = 'a' where net = 3",
         ["`email` = 'a'", "`net` = 3"]),
        (f"select e.id {E}, payslips p where e.email = 'a' and p.employee_id = e.id", ["`email` = 'a'"]),
        (f"select e.id {E} left join payslips p on p.employee_id = e.id and p.net = 3 where e.email = 'a'",
         ["`email` = 'a'", "`net` = 3"]),
        (f"select e.id {E} right join payslips p on p.employee_id = e.id and e.email = 'a' where p.net = 3",
         ["`email` = 'a'", "`net` = 3"]),
        ("select id from payslips where employee_id in (select id from employees where email = 'a')",
         ["`email` = 'a'"]),
        ("with w as (select id from employees where email = 'a') select * from w", ["`email` = 'a'"]),
        (f"select id {E} where email = 'a' union all select id from employees where iban = 'b'",
         ["`email` = 'a'", "`iban` = 'b'"]),
        (f"select x.id from employees x where exists (select 1 {E} where e.id = x.id and e.email = 'a')",
         ["`email` = 'a'"]),
        (f"select p.id {E} join companies c on e.email = 'a' right join payslips p on p.id = e.id", ["`email` = 'a'"]),
        ("select email as x, id as email from employees where email = 'a'", ["`email` = 'a'"]),
        ("select a.id from employees a join employees b on a.id = b.id where a.email = 'a' and b.email = 'b'",
         ["`email` = 'a'", "`email` = 'b'"]),
    ],
)  # fmt: skip
def test_a_condition_of_its_own_is_asked_of_true_values(sql: str, tests: list[str]) -> None:
    found = plan(sql)

    assert sought_in(found.rewritten) == tests
    assert not found.notices
    assert sum(one.count("?") or one.count(",") + 1 for one in tests) == len(found.exact_searches)


@pytest.mark.parametrize(
    "sql",
    [
        f"select id {E} where email = 'a' or id = 1",
        f"select id {E} where not (email = 'a')",
        f"select id {E} where email not in ('a')",
        f"select id {E} where (email = 'a') = true",
        f"select id {E} where (email = 'a') + 1 > 1",
        f"select id {E} where email <> 'a'",
        f"select id {E} where email like 'a'",
        f"select id {E} where email > 'a'",
        f"select id {E} where email <=> 'a'",
        f"select id {E} where email between 'a' and 'a'",
        f"select id {E} where email regexp 'a'",
        f"select id {E} where email = concat('a', 'b')",
        f"select id {E} where email = first_name",
        f"select id {E} where email = (select 'a')",
        f"select id {E} where email in (select 'a')",
        f"select id {E} where upper(email) = 'a'",
        f"select id {E} where email collate utf8mb4_bin = 'a'",
        f"select id {E} where binary email = 'a'",
        f"select id {E} where email = binary 'a'",
        f"select id {E} where (email, id) = ('a', 1)",
        f"select id {E} where (email, id) in (('a', 1))",
        f"select id {E} where email = null",
        f"select id {E} where email = true",
        # MySQL would take the text for a number: nearly every address is 0
        f"select id {E} where email = 0",
        f"select id {E} where email in ('a', 0)",
        f"select id {E} where email = -1",
        f"select id {E} where salary = 'abc'",
        f"select id {E} where salary = '5x'",
        f"select id {E} where salary = 5e0",
        f"select id {E} where salary = 5.0",
        f"select id {E} where birth_date = 19840229",
        f"select id {E} where birth_date = '1984-02-30'",
        f"select id {E} where birth_date = '84-2-29'",
        f"select id {E} where email in ({', '.join(map(repr, map(str, range(21))))})",
        # not searchable, or clear
        f"select id {E} where first_name = 'a'",
        f"select id {E} where phone = '06'",
        f"select id {E} where status = 'open'",
        f"select if(email = 'a', 1, 0) {E}",
        f"select email = 'a' {E}",
        f"select id {E} having email = 'a'",
        f"select id, email {E} group by id having email = 'a'",
        f"select id {E} order by email = 'a'",
        f"select id, case when email = 'a' then 1 end {E}",
        # where rows would come back
        "select p.id from payslips p left join employees e on p.employee_id = e.id where e.email = 'a'",
        f"select e.id {E} left join payslips p on p.employee_id = e.id and e.email = 'a'",
        f"select e.id {E} right join payslips p on p.employee_id = e.id where e.email = 'a'",
        f"select e.id {E} right join payslips p on p.employee_id = e.id and p.net = 3",
        "select p.id from payslips p left join employees e on e.id = p.id join companies c on e.email = 'a'",
        # not one relation's own
        f"select e.id {E} join employees f using (id) where email = 'a'",
        "select x.id from (select id, email from employees) as x where x.email = 'a'",
        f"select e.id {E} join (select id as i, email as m from employees) as x on true where email = 'a'",
        "with w as (select id, email from employees) select id from w where email = 'a'",
        f"select id {E} where exists (select 1 from payslips p where e.email = 'a')",
        f"select e.id {E} where exists (select 1 from payslips p where email = 'a')",
    ],
)  # fmt: skip
def test_everything_else_sees_the_mask(sql: str) -> None:
    found = mysql.analyse(sql, VIEW)

    if isinstance(found, Refusal):
        assert found.code in {"operator-not-allowed", "statement-not-supported", "syntax-error"}, found
        return
    assert sought_in(found.rewritten) == []
    assert not found.exact_searches


def test_what_was_compared_as_a_mask_is_said() -> None:
    said = plan(f"select id {E} where email like 'a%' and phone = '06' and status = 'open'").notices

    assert [one.message for one in said] == [
        "`shop.employees.email` is masked: this comparison saw the masked values",
        "`shop.employees.phone` is masked: this comparison saw the masked values",
    ]
    assert "searches the real values" in said[0].hint
    assert "access request" in said[1].hint


def test_a_revealed_column_is_no_search() -> None:
    seen = replace(VIEW, reveal=frozenset({("shop.employees", "email")}))

    found = plan("select id from employees where email = 'a'", seen)

    assert not found.exact_searches
    assert not found.notices
    assert sought_in(found.rewritten) == []


def test_parameters_are_given_in_the_order_of_what_goes_out() -> None:
    assert plan(f"select id {E} where email = ? and status = ?").parameters == ()
    assert plan(f"select ?, id {E} where status = ? and email = ? limit ?").parameters == (1, 3, 2, 4)
    assert plan(
        f"select p.id {E} join payslips p on p.id = ? and p.net = ? where status = ? and salary in (?, ?) and email = ?"
    ).parameters == (6, 4, 5, 2, 1, 3)


@pytest.mark.parametrize("sql", [
    f"select ?, id {E} where status = ? and email = ? and email = ?",
    f"select p.id {E} join payslips p on p.employee_id = e.id and e.email = 'a' where net = 3",
])  # fmt: skip
def test_a_changed_search_is_found(sql: str) -> None:
    found = plan(sql)
    shown = {"shop.employees": ("id", "email", "status"), "shop.payslips": ("employee_id", "net", "id")}
    shown = {name: tuple(one for one in POLICY.tables[name].columns if one in few) for name, few in shown.items()}
    if "payslips" in sql:
        shown["shop.employees"] = ("id", "email")
    asked = read(sql, MARIADB, Limits())

    def proven(text: str, order: tuple[int, ...]) -> bool:
        try:
            prove(text, asked, VIEW, MARIADB, shown, order)
        except GatewayError:
            return False
        return True

    text, order = found.rewritten, found.parameters
    assert proven(text, order)
    changes = [
        text.replace("`gateway_t`.`email` =", "`gateway_t`.`iban` ="),
        text.replace("`gateway_t`.`email` =", "`gateway_t`.`email` <>"),
        text.replace("`gateway_t`.`email` =", "`gateway_t`.`notes` ="),
        text.replace("TRUE", "FALSE"),
        text.replace(" AND `gateway_t`.`email` = ", " OR `gateway_t`.`email` = "),
        text.replace("'a'", "'b'").replace("`net` = 3", "`net` = 4"),
        text.replace("CONCAT(?)", "?").replace("`net` = 3", "`net` >= 3"),
    ]
    assert not [one for one in changes if one != text and proven(one, order)]
    for wrong in ((1, 2, 3, 4), (1, 4, 3, 2), (1, 3, 3, 2), (1, 3, 2), ()):
        assert not order or not proven(text, wrong)
