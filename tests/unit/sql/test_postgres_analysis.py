"""One door for all texts: limits, faults, records, and what a plan says about itself."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlviews import CATALOG, POLICY, view

from gateway.errors import Refusal
from gateway.policy.schema import Scope, TableRule
from gateway.sql.postgres import analyse, normalise
from gateway.sql.postgres.names import output_name
from gateway.sql.postgres.parse import expression
from gateway.sql.statement import Kind, Limits, Plan

WORDS = [
    *("select", "from", "where", "employees", "e", "secrets", "(", ")", ",", "*", ".", "id", "email", "=", "'x'", "$1"),
    *(
        "and",
        "or",
        "not",
        "with",
        "as",
        "recursive",
        "union",
        "join",
        "on",
        "lateral",
        "regclass",
        "::",
        "case",
        "when",
    ),
    *(
        "then",
        "else",
        "end",
        "limit",
        "offset",
        "0",
        "1",
        "in",
        "any",
        "array",
        "[",
        "]",
        "(e)",
        ".id",
        "pg_class",
        "exists",
    ),
]


def plan(text: str) -> Plan:
    answer = analyse(text, view())
    assert isinstance(answer, Plan), answer
    return answer


def refusal(text: str) -> Refusal:
    answer = analyse(text, view())
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize("text", ["", " ", ";", "-- nothing", "/* nothing */ ;;"])
def test_an_empty_text_is_a_plan_without_parts(text: str) -> None:
    assert plan(text).parts == 0


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("select 1", [Kind.READ]),
        ("begin; select 1; commit", [Kind.TRANSACTION, Kind.READ, Kind.TRANSACTION]),
        ("set application_name = 'x'; show server_version", [Kind.SETTING, Kind.SETTING]),
        ("declare c cursor for select 1; fetch c", [Kind.CURSOR, Kind.CURSOR]),
        ("explain select 1; copy (select 1) to stdout; execute p", [Kind.READ, Kind.READ, Kind.READ]),
    ],
)
def test_a_plan_has_a_kind_for_each_statement(text: str, kinds: list[Kind]) -> None:
    assert list(plan(text).kinds) == kinds


def test_a_plan_names_what_it_reads_and_how() -> None:
    made = analyse("select id, salary, email from employees", view(reveal=frozenset({("public.employees", "salary")})))

    assert isinstance(made, Plan)
    assert made.relations == ("public.employees",)
    assert made.columns_clear == ("public.employees.id",)
    assert made.columns_masked == ("public.employees.email",)
    assert made.columns_revealed == ("public.employees.salary",)
    assert made.scope == ("public.employees.company_id",)
    assert "t.salary AS salary" in made.rewritten


def test_a_column_that_the_policy_does_not_let_approvals_reveal_stays_masked() -> None:
    made = analyse("select email from employees", view(reveal=frozenset({("public.employees", "email")})))

    assert isinstance(made, Plan)
    assert made.columns_masked == ("public.employees.email",)


def test_cursors_and_prepared_statements_are_named() -> None:
    assert plan("declare c cursor for select 1").defines == (("cursor", "c"),)
    assert plan("fetch c").uses == (("cursor", "c"),)
    assert plan("prepare p as select 1").defines == (("statement", "p"),)
    assert plan("execute p").uses == (("statement", "p"),)


@pytest.mark.parametrize("text", ["reset all", "discard all", "reset application_name"])
def test_what_reverts_settings_asks_for_the_pins_again(text: str) -> None:
    assert plan(text).repin


@pytest.mark.parametrize(
    ("customers", "condition"),
    [(("42",), "= '42'::int"), (("42", "7"), "= ANY(ARRAY['42'::int, '7'::int])"), (("42", "42"), "= '42'::int")],
)
def test_the_customers_of_the_ticket_are_the_scope(customers: tuple[str, ...], condition: str) -> None:
    made = analyse("select id from companies", view(customers=customers))

    assert isinstance(made, Plan)
    assert condition.replace("=", "OPERATOR(pg_catalog.=)", 1) in made.rewritten


@pytest.mark.parametrize("customers", [(), ("",), ("42 or true",), ("9999999999",), ("4'2",), ("42", "x")])
def test_a_customer_that_does_not_fit_its_column_is_refused(customers: tuple[str, ...]) -> None:
    answer = analyse("select id from companies", view(customers=customers))

    assert isinstance(answer, Refusal)
    assert answer.code == "customer-invalid"


def test_scopes_that_follow_each_other_in_a_circle_are_refused() -> None:
    tables = dict(POLICY.tables)
    scope = Scope("follows", "company_id", "public.payslips", "employee_id")
    tables["public.employees"] = TableRule("public.employees", scope, tables["public.employees"].columns)
    circle = type(POLICY)(target="payroll", digest="circle", access=POLICY.access, tables=tables, limits=POLICY.limits)

    answer = analyse("select id from payslips", view(policy=circle))

    assert isinstance(answer, Refusal)
    assert answer.code == "policy-invalid"


def test_unknown_and_hidden_relations_answer_alike() -> None:
    hidden, unknown = refusal("select * from secrets"), refusal("select * from nothing")

    assert hidden.message.replace("secrets", "nothing") == unknown.message
    assert (hidden.code, hidden.hint, hidden.position) == (unknown.code, unknown.hint, unknown.position)


def test_a_position_counts_characters_of_the_users_text() -> None:
    assert refusal("select 'é', * from secrets").position == len("select 'é', * from ") + 1


def test_an_unknown_operator_of_the_target_is_named_with_a_way_out() -> None:
    answer = refusal("select 1 ### 2")

    assert "OPERATOR(pg_catalog.###)" in answer.hint


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("select '" + "x" * 300_000 + "'", "statement-too-long"),
        ("select 1\0", "syntax-error"),
        ("select '\ud800'", "syntax-error"),
        ("select " + "(" * 10_000 + "1" + ")" * 10_000, "statement-too-complex"),
        ("select " + "(" * 10_000, "statement-too-complex"),
        ("select " + "[" * 10_000, "statement-too-complex"),
        ("select " + "(select " * 1_500 + "1" + ")" * 1_500, "statement-too-complex"),
        ("select " + "||".join(["a"] * 20_000), "statement-too-complex"),
        ("select " + "not " * 20_000 + "true", "statement-too-complex"),
        ("select 1" + "::int" * 20_000, "statement-too-complex"),
        ("select a" + " is null" * 20_000, "statement-too-complex"),
        (" union ".join(["select 1, 2"] * 5_000), "statement-too-complex"),
        ("select 1 from a" + " join a on true and f(1, 2)" * 4_000, "statement-too-complex"),
        ("select " + "case when true then " * 3_000 + "1" + " end" * 3_000, "statement-too-complex"),
        ("select 1;" * 65, "statement-too-complex"),
        ("select " + ",".join("1" * 1 for _ in range(40_000)), "statement-too-complex"),
    ],
    ids=lambda value: value[:25],
)
def test_what_is_too_much_is_refused_in_time(text: str, code: str) -> None:
    began = time.process_time()

    assert refusal(text).code == code

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "select id from employees where id in (" + ",".join(map(str, range(5_000))) + ")",
        "select id from employees where " + " or ".join(f"id = {n}" for n in range(2_000)),
        "select " + "(" * 150 + "1" + ")" * 150,
        "select '" + "(" * 10_000 + "'",
        "select 1 /* " + "(" * 10_000 + " */",
        "select " + "||".join(["'a'"] * 250),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_only_long_is_not(text: str) -> None:
    plan(text)


def test_limits_come_from_the_view() -> None:
    answer = analyse("select 1, 2, 3", view(limits=Limits(text=10)))

    assert isinstance(answer, Refusal)
    assert answer.code == "statement-too-long"


def test_a_fault_of_ours_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("sensitive detail")

    monkeypatch.setattr("gateway.sql.postgres.analysis.settle", fail)
    answer = refusal("select 1")

    assert answer.code == "internal-error"
    assert "sensitive" not in answer.message + answer.hint
    assert "sensitive" in answer.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 'a', 1, 1.5, E'\\n', $$x$$, b'1', x'ff', U&'\\0041', $1", "select $2, $3, $4, $5, $6, $7, $8, $9, $1"),
        ("select a from b where c in ('x', 'y') -- 'z'", "select a from b where c in ($1, $2)"),
        ("select interval '1 day', date '2026-01-01' /* '2' */", "select interval $1, date $2"),
        ("set application_name = secretword", "SET application_name TO $1"),
        ("set local time zone 'Secret/Word'; select 5", "SET LOCAL timezone TO $1; select $2"),
        ("explain (format json) select 'x'", "explain (format json) select $1"),
        ("copy (select 'x') to stdout (delimiter ',')", "copy (select $1) to stdout (delimiter $2)"),
        ("declare c cursor for select 'x'", "declare c cursor for select $1"),
        ("delete from employees where name = 'x'", "delete from employees where name = $1"),
        ("select 'unfinished", ""),
        ("select 1\0", ""),
    ],
)
def test_a_record_has_no_literals(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters="'\0\\"), min_size=3))
@settings(max_examples=50, deadline=None)
def test_no_text_between_quotes_reaches_a_record(text: str) -> None:
    marked = f"canary{text}canary"

    made = plan(f"select '{marked}', id from employees where status = '{marked}'")

    assert "canary" not in made.normalised + made.rewritten_normalised


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(analyse(text, view()), (Plan, Refusal))


@given(st.lists(st.sampled_from(WORDS), max_size=25))
@settings(max_examples=300, deadline=None)
def test_what_runs_names_no_hidden_relation(words: list[str]) -> None:
    answer = analyse("select " + " ".join(words), view())

    if isinstance(answer, Plan):
        # names inside literals are the guards' lists of what the view shows
        bare = re.sub(r"'(?:[^']|'')*'", "''", answer.rewritten)
        assert "public.secrets" not in bare
        assert bare.count("public.employees") == bare.count("t.company_id OPERATOR(pg_catalog.=) ''")
    else:
        assert answer.code not in {"internal-error", "scope-not-provable"}, answer


def test_the_same_text_and_view_give_the_same_plan() -> None:
    text = "select * from employees e join payslips p on p.employee_id = e.id where e.email = 'x'"

    assert plan(text) == plan(text)


def test_another_catalog_is_another_view() -> None:
    moved = type(CATALOG)(relations={k: v for k, v in CATALOG.relations.items() if k != "public.companies"})

    assert isinstance(analyse("select id from companies", view()), Plan)
    answer = analyse("select id from companies", view(catalog=moved))
    assert isinstance(answer, Refusal)
    assert answer.code == "relation-not-available"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("c.oid::regclass", "oid"),
        ("c.oid::regclass::text", "oid"),
        ("'x'::regclass", "regclass"),
        ("pg_catalog.pg_get_indexdef(1)", "pg_get_indexdef"),
        ("case when true then 1 end", "case"),
        ("case when true then 1 else c.oid::regclass end", "oid"),
        ("(e).status", "status"),
        ("(array[1])[1]", "array"),
        ("1 + 1", "?column?"),
        ("coalesce(1)", "coalesce"),
    ],
)
def test_an_output_column_is_named_as_postgresql_names_it(sql: str, name: str) -> None:
    assert output_name(expression(sql)) == name


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (
            "select (select public.companies.id from employees as companies) from companies",
            "a nearer item of that name",
        ),
        ("with companies as (select 1 as id) select public.companies.id from companies", "a WITH item has no schema"),
        ("select public.companies.id from (companies cross join countries) as j", "hidden by the alias of a join"),
        ("select (select 1 from (select public.companies.id) x, companies) from countries", "not LATERAL"),
    ],
)
def test_a_reference_keeps_its_schema_where_its_relation_is_not_the_nearest_of_that_name(sql: str, why: str) -> None:
    answer = analyse(sql, view())

    assert isinstance(answer, Plan)
    assert "public.companies.id" in answer.rewritten, why
