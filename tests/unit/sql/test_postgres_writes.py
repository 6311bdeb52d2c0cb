"""Statements that write: which may, what goes out, what an approver is shown, and what the check catches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlviews import cases
from write_view import CATALOG, POLICY, write_view

from gateway.errors import Refusal
from gateway.policy.load import parse_policy
from gateway.policy.schema import Scope
from gateway.sql.catalog import Reference, Unique
from gateway.sql.postgres import analyse, check
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Kind, Plan, View

PERMITTED = [case for case in cases("writes") if "code" not in case]
REFUSED = [case for case in cases("writes") if "code" in case]


def permitted(sql: str, view: View | None = None) -> Plan:
    answer = analyse(sql, view or write_view())
    assert isinstance(answer, Plan), answer
    return answer


def refused(sql: str, view: View | None = None) -> Refusal:
    answer = analyse(sql, view or write_view())
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize("case", PERMITTED, ids=lambda case: case["name"])
def test_what_the_policy_allows_goes_out(case: dict[str, str]) -> None:
    plan = permitted(case["sql"])

    assert plan.kinds == (Kind.WRITE,)
    assert plan.writes
    assert plan.write is not None
    check.prove(case["sql"], plan.rewritten, write_view())


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_what_it_does_not_allow_is_refused_with_its_code(case: dict[str, str]) -> None:
    answer = refused(case["sql"])

    assert answer.code == case["code"], answer
    assert answer.hint or answer.code in {"syntax-error", "column-not-writable", "read-only", "row-out-of-scope"}


@pytest.mark.parametrize("case", PERMITTED, ids=lambda case: case["name"])
def test_a_grant_for_reading_runs_none_of_them(case: dict[str, str]) -> None:
    answer = refused(case["sql"], write_view(write=False))

    assert answer.code in {"read-only", "column-masked"}
    if answer.code == "read-only":
        assert "gateway open TICKET" in answer.hint


def test_a_policy_without_write_refuses_each_of_them() -> None:
    policy = parse_policy(POLICY[: POLICY.index("write:")])

    for case in PERMITTED:
        assert refused(case["sql"], write_view(policy=policy)).code == "read-only"


def test_what_is_written_is_said() -> None:
    write = permitted("update employees e set status = 'x', visits = visits + 1 where e.id = 1").write

    assert write is not None
    assert (write.verb, write.relation, write.columns) == ("UPDATE", "public.employees", ("status", "visits"))
    assert (write.rows, write.approval, write.parameters) == (2, "statement", False)
    assert write.preview == (
        'SELECT \'x\' AS "new status", visits + 1 AS "new visits", e.* FROM employees e WHERE e.id = 1 LIMIT 3'
    )
    inserted = permitted("insert into payslips (employee_id, period) values ($1, $2)").write
    assert inserted is not None
    assert (inserted.preview, inserted.approval, inserted.parameters) == ("", "request", True)


@pytest.mark.parametrize("case", PERMITTED, ids=lambda case: case["name"])
def test_a_preview_is_a_select_that_the_requester_may_send(case: dict[str, str]) -> None:
    write = permitted(case["sql"]).write
    assert write is not None
    if write.preview:
        plan = permitted(write.preview, write_view(write=False))
        assert plan.kinds == (Kind.READ,)


SAME = [
    ("update employees set status = 'x' where id = 1", "UPDATE  employees\nSET status='x' -- why\nWHERE (id) = 1;"),
    ("update employees set status = 'x' where id = 1", 'update "employees" set "status" = $$x$$ where "id" = 1'),
    ("delete from employees where id = 3", "/* a */ DELETE FROM Employees WHERE ID=3"),
]
DIFFERENT = [
    ("update employees set status = 'x' where id = 1", "update employees set status = 'x' where id = 2"),
    ("update employees set status = 'x' where id = 1", "update employees set status = 'X' where id = 1"),
    ("update employees set status = 'x' where id = 1", "update employees set status = 'x' where id = 1 or true"),
    ("update employees set status = 'x' where id = 1", "update only employees set status = 'x' where id = 1"),
    (
        "delete from employees where (id = 3 or id = 1) and id = 1",
        "delete from employees where id = 3 or id = 1 and id = 1",
    ),
    (
        "update employees set status = 'x' where (id = 1 and visits = 0) is null",
        "update employees set status = 'x' where id = 1 and visits = 0 is null",
    ),
    ("update employees set status = 'a' where id = 1", "update employees set status = '\u0430' where id = 1"),
    ("insert into employees (status) values ('x')", "insert into employees (status) values (null)"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_statement_has_one_digest_however_it_is_written(one: str, other: str) -> None:
    assert permitted(one).write.digest == permitted(other).write.digest  # type: ignore[union-attr]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_statement_has_another_digest(one: str, other: str) -> None:
    assert permitted(one).write.digest != permitted(other).write.digest  # type: ignore[union-attr]


def test_a_revealed_column_may_be_read() -> None:
    sql = "update employees set status = email where id = 1"

    assert refused(sql).code == "column-masked"
    plan = permitted(sql, write_view(reveal=frozenset({("public.employees", "email")})))
    assert "public.employees.email" in plan.columns_revealed


def test_a_ticket_of_two_customers_has_to_say_whose_a_row_is() -> None:
    view = write_view(customers=("42", "7"))

    assert refused("insert into employees (status) values ('x')", view).code == "row-out-of-scope"
    assert permitted("insert into employees (company_id, status) values (7, 'x')", view)


CONSTRAINTS = [
    ({"uniques": {Unique("public.employees", ("company_id", "status"), ("company_id", "status"))}}, True),
    ({"uniques": {Unique("public.employees", ("status",), ("status",))}}, False),
    ({"uniques": {Unique("public.employees", ("company_id", "email", "status"), ("company_id", "email"))}}, False),
    ({"checks": {("public.employees", ("status", "visits"))}}, True),
    ({"checks": {("public.employees", ("salary", "status"))}}, False),
    ({"references": {Reference("public.employees", ("status",), "public.hidden", ("id",))}}, False),
    ({"references": {Reference("public.employees", ("status", "id"), "public.countries", ("code", "label"))}}, False),
    ({"references": {Reference("public.payslips", ("period",), "public.employees", ("status",))}}, False),
    ({"references": {Reference("public.employees", ("status",), "public.hidden", ("id",), partly=True)}}, True),
    ({"references": {Reference("public.employees", ("status",), "public.companies", ("plan",))}}, True),
    ({"references": {Reference("public.employees", ("status",), "public.companies", ("margin",))}}, False),
    ({"references": {Reference("public.employees", ("status",), "public.employees", ("email",))}}, False),
    ({"generated": {("public.employees", "made", ("status", "visits"))}}, True),
    ({"generated": {("public.employees", "made", ("status", "salary"))}}, False),
    ({"generated": {("public.employees", "visits", ("status", "notes"))}}, False),
    ({"generated": {("public.employees", "name", ("status",))}}, False),
    ({"generated": {("public.employees", "salary", ("status",))}}, True),
    ({"generated": {("public.employees", "company_id", ("status",))}}, False),
    ({"generated": {("public.employees", "id", ("status",))}}, False),
    ({"generated": {("public.employees", "badge", ("status",))}}, False),
    ({"generated": {("public.employees", "department_id", ("status",))}}, False),
    (
        {
            "generated": {("public.employees", "made", ("status", "visits"))},
            "checks": {("public.employees", ("made", "notes"))},
        },
        False,
    ),
    (
        {
            "generated": {("public.employees", "made", ("status", "visits"))},
            "checks": {("public.employees", ("made", "badge"))},
        },
        True,
    ),
    ({"ruled": {"public.employees"}}, False),
]


@pytest.mark.parametrize(("added", "allowed"), CONSTRAINTS)
def test_a_column_whose_failure_would_tell_is_not_written(added: dict[str, set[object]], allowed: bool) -> None:
    changes = {name: getattr(CATALOG, name) | frozenset(more) for name, more in added.items()}

    sql = "update employees set status = 'x' where id = 1"
    outgoing = permitted(sql).rewritten
    view = write_view(replace(CATALOG, **changes))

    assert isinstance(analyse(sql, view), Plan) == allowed
    if not allowed:
        with pytest.raises(Refused):
            check.prove(sql, outgoing, view)


def test_a_constraint_of_a_masked_column_alone_tells_nothing_of_others() -> None:
    catalog = replace(CATALOG, checks=CATALOG.checks | {("public.employees", ("phone",))})

    assert permitted("update employees set phone = '06' where id = 1", write_view(catalog))


def test_a_column_that_says_whose_other_rows_are_is_not_written() -> None:
    policy = parse_policy(POLICY)
    followed = replace(policy.tables["public.countries"], scope=Scope("follows", "code", "public.employees", "country"))
    tables = {**policy.tables, "public.countries": followed}
    view = write_view(policy=replace(policy, digest="followed", tables=tables))
    for sql in ("update employees set country = 'BE' where id = 1", "insert into employees (country) values ('BE')"):
        assert refused(sql, view).code == "column-not-writable"
        with pytest.raises(Refused):
            check.prove(sql, permitted(sql).rewritten, view)


DELETIONS = [
    ("public.hidden", "a", False),
    ("public.departments", "c", False),
    ("public.departments", "n", False),
    ("public.departments", "r", True),
    ("public.employees", "a", True),
    ("public.employees", "c", False),
    ("public.employees", "n", False),
]


@pytest.mark.parametrize(("relation", "on_delete", "allowed"), DELETIONS)
def test_rows_that_others_refer_to_are_deleted_within_the_policy_only(
    relation: str, on_delete: str, allowed: bool
) -> None:
    more = Reference(relation, ("id",), "public.employees", ("id",), on_delete)
    catalog = replace(CATALOG, references=CATALOG.references | {more})

    answer = analyse("delete from employees where id = 3", write_view(catalog))

    assert isinstance(answer, Plan) == allowed


GOING_ON = [
    (Reference("public.payslips", ("employee_id",), "public.employees", ("id",), "c"), True),
    (Reference("public.payslips", ("id",), "public.employees", ("id",), "c"), False),
    (Reference("public.hidden", ("payslip_id",), "public.payslips", ("id",), "c"), False),
    (Reference("public.hidden", ("payslip_id",), "public.payslips", ("id",), "a"), False),
    (Reference("public.payslips", ("period",), "public.payslips", ("id",), "c"), False),
    (Reference("public.employees", ("company_id", "status"), "public.employees", ("company_id", "id"), "c"), True),
    (Reference("public.employees", ("company_id", "status"), "public.employees", ("id", "company_id"), "c"), False),
    (Reference("public.countries", ("label",), "public.employees", ("id",), "n"), True),
    (Reference("public.countries", ("code",), "public.employees", ("id",), "n"), False),
]


@pytest.mark.parametrize(("more", "allowed"), GOING_ON)
def test_a_deletion_goes_on_to_rows_of_the_customer_only(more: Reference, allowed: bool) -> None:
    sql = "delete from employees where id = 3"
    outgoing = permitted(sql).rewritten
    view = write_view(replace(CATALOG, references=CATALOG.references | {more}))

    assert isinstance(analyse(sql, view), Plan) == allowed
    if not allowed:
        with pytest.raises(Refused):
            check.prove(sql, outgoing, view)


WRONG = [
    ("the scope is dropped", "WHERE t.company_id OPERATOR(pg_catalog.=) '42'::int AND", "WHERE"),
    ("the bound is higher", "<=) 2 THEN", "<=) 3 THEN"),
    ("the bound has a way around it", "THEN true ELSE", "THEN true WHEN true THEN true ELSE"),
    ("rows are not told apart", 't.ctid OPERATOR(pg_catalog.=) "gateway write"."gateway row"', "true"),
    ("the table is not told", 't.tableoid OPERATOR(pg_catalog.=) "gateway write"."gateway table"', "true"),
    ("another row is meant", 't.ctid AS "gateway row"', "'(0,1)'::tid AS \"gateway row\""),
    ("another relation is written", "UPDATE public.employees t", "UPDATE public.secrets t"),
    ("another column is set", "SET status =", "SET salary ="),
    ("one column more is set", "SET status =", "SET salary = 1, status ="),
    ("another value is set", "SET status = 'x'", "SET status = 'y'"),
    ("a hidden column is returned", "t.status AS status", "t.notes AS status"),
    ("a masked column is returned", "t.status AS status", "t.status AS status, t.salary AS salary"),
    ("the fence is dropped", ' OFFSET 0) "gateway write"', ') "gateway write"'),
    ("a condition is dropped", " WHERE employees.id = 1 OFFSET", " OFFSET"),
]


@pytest.mark.parametrize(("name", "old", "new"), WRONG, ids=[one[0] for one in WRONG])
def test_a_wrong_rewriting_is_caught(name: str, old: str, new: str) -> None:
    sql = "update employees set status = 'x' where employees.id = 1 returning status"
    outgoing = permitted(sql).rewritten
    assert old in outgoing, (name, outgoing)

    with pytest.raises(Refused) as caught:
        check.prove(sql, outgoing.replace(old, new), write_view())

    assert caught.value.refusal.code == "scope-not-provable"


def test_a_value_without_its_conditions_is_caught() -> None:
    for sql, value in (
        ("update employees set department_id = 3 where id = 1", "3"),
        ("insert into employees (department_id) values (3)", "3"),
        ("insert into employees (company_id) values (7)", "7"),
    ):
        outgoing = permitted(sql).rewritten
        start = outgoing.index("(SELECT t.")
        depth, end = 0, start
        while True:
            depth += {"(": 1, ")": -1}.get(outgoing[end], 0)
            end += 1
            if not depth:
                break
        with pytest.raises(Refused):
            check.prove(sql, outgoing[:start] + value + outgoing[end:], write_view())
        with pytest.raises(Refused):
            check.prove(sql, outgoing.replace("THEN true", "THEN true OR true"), write_view())
        with pytest.raises(Refused):
            check.prove(sql, outgoing.replace("'42'::int", "'7'::int"), write_view())


def test_a_value_of_an_insert_that_could_be_several_is_caught() -> None:
    sql = "insert into employees (visits) values (generate_series(1, 5))"
    outgoing = permitted(sql).rewritten
    assert "COALESCE(" in outgoing

    with pytest.raises(Refused):
        check.prove(sql, outgoing.replace("COALESCE(", "("), write_view())


def test_a_grant_for_reading_is_caught_by_the_check_too() -> None:
    sql = "update employees set status = 'x' where id = 1"

    with pytest.raises(Refused):
        check.prove(sql, permitted(sql).rewritten, write_view(write=False))


@pytest.mark.parametrize(
    ("sql", "free"),
    [
        ("set datestyle = 'SQL, DMY'", False),
        ("set datestyle to iso, dmy", False),
        ("set datestyle = 'German'", False),
        ("set datestyle = 'ISO'", True),
        ("set datestyle to default", True),
        ("reset datestyle", True),
        ("set time zone 'UTC'", False),
        ("set local timezone = 'Asia/Tokyo'", False),
        ("set timezone to 3", False),
        ("set intervalstyle = 'sql_standard'", False),
        ("set intervalstyle = 'postgres'", True),
        ("set bytea_output = 'escape'", False),
        ("select set_config('DateStyle', 'ISO, DMY', false)", False),
        ("select set_config('bytea_output', 'hex', false)", True),
        ("set application_name = 'x'", True),
        ("set extra_float_digits = 3", True),
    ],
)
def test_a_session_of_one_statement_keeps_what_its_text_means(sql: str, free: bool) -> None:
    assert permitted(sql)
    answer = analyse(sql, write_view(fixed=True))

    assert isinstance(answer, Plan) == free
    if isinstance(answer, Refusal):
        assert "must mean what it meant when it was approved" in answer.hint
