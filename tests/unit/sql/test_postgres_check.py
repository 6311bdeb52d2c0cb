# ruff: noqa: E501 - a mutation reads best on one line
"""The check catches a rewriting that is wrong, whatever made it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlviews import cases, view

from gateway.errors import Refusal
from gateway.sql.postgres import analyse, check, lens, rewrite, rewrite_calls, rewrite_nodes
from gateway.sql.postgres.evidence import evidence
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Plan

EMPLOYEES = "select id, email, status from employees where email = 'a@x.fr' and status = 'x'"
JOINED = "select e.id, p.net from employees e join payslips p on p.employee_id = e.id where p.id > 5"
LEFT = "select p.id from payslips p left join employees e on e.id = p.employee_id where e.email = 'a@x.fr'"
NESTED = "with x as (select id from employees) select id from x where id in (select id from companies)"
CATALOG = "select c.oid::regclass, pg_get_indexdef(c.oid), format_type(c.reltype, null), pg_typeof(1) from pg_class c"
OID = "select id from payslips where id = 5::oid"
CAST = "select id from payslips where id = $1::int8"
COMPOSED = "select ('public.' || status)::regclass from employees"
PRIVILEGE = "select has_table_privilege('secrets', 'insert')"
LISTING = "select name, sourceline from pg_show_all_settings()"
RENAMED = "select b from (employees e cross join companies c) as j(a, b)"
STAR = "select * from employees"
NEARER = "select (select public.companies.id from employees as companies) from companies"
AGE = "select age(period), id from payslips"
COLLATED = 'select status collate "C" from employees'

WRONG = [
    ("an age is that of one argument", AGE, "current_date, ", ""),
    ("an age is counted from another day", AGE, "current_date, ", "pg_catalog.now(), "),
    ("an age is of something else", AGE, "current_date, period", "current_date, id"),
    ("a collation is not qualified", COLLATED, 'COLLATE pg_catalog."C"', 'COLLATE "C"'),
    ("a collation is another schema's", COLLATED, 'COLLATE pg_catalog."C"', 'COLLATE other."C"'),
    ("a collation is another", COLLATED, 'COLLATE pg_catalog."C"', 'COLLATE pg_catalog."POSIX"'),
    ("the scope is dropped", STAR, "WHERE t.company_id OPERATOR(pg_catalog.=) '42'::int ", ""),
    ("the scope is another customer's", STAR, "'42'::int", "'7'::int"),
    ("the scope has one customer more", STAR, "= ) '42'::int", None),
    ("the scope is on another column", STAR, "t.company_id OPERATOR", "t.id OPERATOR"),
    ("the scope is negated", STAR, "pg_catalog.=", "pg_catalog.<>"),
    ("the scope's operator is not qualified", STAR, "OPERATOR(pg_catalog.=)", "="),
    ("the scope is an alternative", STAR, "'42'::int OFFSET", "'42'::int OR true OFFSET"),
    ("the scope is weakened inside", STAR, "t.company_id OPERATOR", "true OR t.company_id OPERATOR"),
    ("the fence is dropped", STAR, " OFFSET 0", ""),
    ("the fence is a skip", STAR, "OFFSET 0", "OFFSET 1"),
    ("a limit is added", STAR, "OFFSET 0", "LIMIT 1 OFFSET 0"),
    ("a condition that can fail is inside", OID, "OFFSET 0", "AND t.id = 5::pg_catalog.oid OFFSET 0"),
    ("a cast that can fail is inside", CAST, "OFFSET 0", "AND t.id = $1::bigint OFFSET 0"),
    ("a mask is dropped", STAR, "NULL::pg_catalog.text AS email", "t.email AS email"),
    ("a mask is another's", STAR, "NULL::int AS salary", "t.id AS salary"),
    ("a mask has a way around it", STAR, "NULL::int AS salary", "COALESCE(NULL::int, t.salary) AS salary"),
    ("a hidden column is added", STAR, "t.status AS status", "t.status AS status, t.notes AS notes"),
    ("a hidden column goes under another name", STAR, "t.status AS status", "t.notes AS status"),
    ("a star is in a derived table", STAR, "t.status AS status", "t.*"),
    ("a column is missing", STAR, "t.status AS status, ", ""),
    ("columns of a renamed join shift", RENAMED, "t.status AS status, ", ""),
    ("columns change places", STAR, "t.id AS id, NULL::pg_catalog.text AS name", "NULL::pg_catalog.text AS name, t.id AS id"),
    ("the relation is another", STAR, "public.employees t", "other.employees t"),
    ("the relation is hidden", STAR, "public.employees t", "public.secrets t"),
    ("the relation is not qualified", STAR, "public.employees t", "employees t"),
    ("the relation is not in a derived table", STAR, "FROM (SELECT", None),
    ("ONLY is added", STAR, "FROM public.employees", "FROM ONLY public.employees"),
    ("a relation is added inside", STAR, "public.employees t WHERE", "public.employees t, public.secrets s WHERE"),
    ("a relation is joined inside", STAR, "public.employees t WHERE", "public.employees t CROSS JOIN public.secrets s WHERE"),
    ("a union is added inside", STAR, "OFFSET 0)", "UNION ALL SELECT 1, '', '', 1, '', NULL OFFSET 0)"),
    ("DISTINCT is added inside", STAR, "(SELECT t.id", "(SELECT DISTINCT t.id"),
    ("grouping is added inside", STAR, "OFFSET 0)", "GROUP BY t.id OFFSET 0)"),
    ("a lock is added inside", STAR, "OFFSET 0)", "OFFSET 0 FOR UPDATE)"),
    ("a WITH is added inside", STAR, "FROM (SELECT", "FROM (WITH employees AS (SELECT 1) SELECT"),
    ("LATERAL is added", STAR, "FROM (SELECT", "FROM LATERAL (SELECT"),
    ("the alias changes", STAR, "OFFSET 0) employees", "OFFSET 0) other"),
    ("the alias gains columns", STAR, "OFFSET 0) employees", "OFFSET 0) employees(a)"),
    ("the inner alias changes", STAR, "public.employees t WHERE", "public.employees u WHERE"),
    ("a relation is added outside", STAR, "OFFSET 0) employees", "OFFSET 0) employees, public.secrets"),
    ("a statement is added", STAR, "OFFSET 0) employees", "OFFSET 0) employees; SELECT 1"),
    ("the statement is another", STAR, "SELECT * FROM", "TABLE public.secrets; SELECT * FROM"),
    ("INTO is added", STAR, "SELECT * FROM", "SELECT * INTO x FROM"),
    ("a lock is added outside", STAR, "OFFSET 0) employees", "OFFSET 0) employees FOR UPDATE"),
    ("the user's part changes", EMPLOYEES, "status = 'x'", "status = 'y'"),
    ("a user's column changes", EMPLOYEES, "SELECT id, email, status", "SELECT id, email, id"),
    ("a column reference loses a schema that it needs", NEARER, "SELECT public.companies.id", "SELECT companies.id"),
    ("an output column gets another name", EMPLOYEES, "SELECT id, email", "SELECT id AS x, email"),
    ("a condition vanishes without having moved", EMPLOYEES, "status = 'x' OFFSET 0) employees WHERE true AND status = 'x'", "status = 'x' OFFSET 0) employees WHERE true AND true"),
    ("a moved condition is lost", EMPLOYEES, " AND t.email = 'a@x.fr'", ""),
    ("a moved condition has another value", EMPLOYEES, "t.email = 'a@x.fr'", "t.email = 'b@x.fr'"),
    ("a moved condition has another operator", EMPLOYEES, "t.email = 'a@x.fr'", "t.email > 'a@x.fr'"),
    ("a moved condition is a pattern", EMPLOYEES, "t.email = 'a@x.fr'", "t.email LIKE 'a@x.fr'"),
    ("a moved condition is on another column", EMPLOYEES, "t.email = 'a@x.fr'", "t.notes = 'a@x.fr'"),
    ("a copied condition is on a masked column", EMPLOYEES, "t.status = 'x'", "t.salary = 5"),
    ("a condition of nobody's is inside", EMPLOYEES, "t.status = 'x'", "t.status = 'x' AND t.notes LIKE 'z%'"),
    ("a sub-query is inside", EMPLOYEES, "t.status = 'x'", "t.status = (SELECT word FROM public.secrets)"),
    ("a call is inside", EMPLOYEES, "t.status = 'x'", "t.status = pg_catalog.current_setting('gateway.mask_inner')"),
    ("a condition moved from the optional side", LEFT, "'42'::int OFFSET 0) e ON e.id = p.employee_id WHERE e.email = 'a@x.fr'", "'42'::int AND t.email = 'a@x.fr' OFFSET 0) e ON e.id = p.employee_id WHERE true"),
    ("a copied condition is in the other relation", JOINED, "'42'::int OFFSET 0) e", "'42'::int AND t.id > 5 OFFSET 0) e"),
    ("the scope that follows is wider", JOINED, " WHERE t1.company_id OPERATOR(pg_catalog.=) '42'::int", ""),
    ("the scope follows another column", JOINED, "SELECT t1.id FROM public.employees t1", "SELECT t1.company_id FROM public.employees t1"),
    ("the scope follows another relation", JOINED, "FROM public.employees t1", "FROM other.employees t1"),
    ("the join changes its kind", JOINED, ") e JOIN", ") e LEFT JOIN"),
    ("the WITH item changes its name", NESTED, "WITH x AS", "WITH companies AS"),
    ("the WITH becomes recursive", NESTED, "WITH x AS", "WITH RECURSIVE x AS"),
    ("a WITH item is added", NESTED, "WITH x AS", "WITH y AS (SELECT 1), x AS"),
    ("a WITH item is taken for a relation", NESTED, "FROM x", "FROM companies"),
    ("a relation is taken for a WITH item", NESTED, "(SELECT t.id AS id FROM public.companies t WHERE t.id OPERATOR(pg_catalog.=) '42'::int OFFSET 0) companies", "companies"),
    ("a guard is dropped", CATALOG, "END, CASE WHEN", None),
    ("a guarded value keeps its type", CATALOG, "pg_catalog.regclass::pg_catalog.text", "pg_catalog.regclass"),
    ("a guard has a way around it", CATALOG, "pg_catalog.regclass::pg_catalog.text END", "pg_catalog.regclass::pg_catalog.text ELSE 'x' END"),
    ("a guard lets more pass", CATALOG, "CASE WHEN c.oid::pg_catalog.oid", "CASE WHEN true OR c.oid::pg_catalog.oid"),
    ("a type's name keeps its type", CATALOG, "pg_catalog.pg_typeof(1)::pg_catalog.text", "pg_catalog.pg_typeof(1)"),
    ("a catalog's rows are wider", CATALOG, "t.oid OPERATOR(pg_catalog.<) '16384'", "t.oid OPERATOR(pg_catalog.<) '99999'"),
    ("a catalog's fence is dropped", CATALOG, " OFFSET 0) c", ") c"),
    ("a function is not qualified", "select lower(status) from employees", "pg_catalog.lower", "lower"),
    ("a function is another", "select lower(status) from employees", "pg_catalog.lower", "pg_catalog.upper"),
    ("a function is the target's", "select lower(status) from employees", "pg_catalog.lower", "public.lower"),
    ("a type is not qualified", "select status::text from employees", "status::pg_catalog.text", "status::text"),
    ("a type is the target's", "select status::text from employees", "status::pg_catalog.text", "status::public.text"),
    ("the bound of an array changes", "select '{}'::int[]", "int[]", "int[3]"),
    ("the name that a guard hides is another", "select c.oid::regclass from pg_class c", "END AS oid", "END AS relname"),
    ("an operator changes its schema", "select 1 + id from employees", "1 + id", "1 OPERATOR(public.+) id"),
    ("EXPLAIN shows costs", "explain select 1", "COSTS OFF", "COSTS ON"),
    ("EXPLAIN runs", "explain select 1", "COSTS OFF", "COSTS OFF, ANALYZE"),
    ("EXPLAIN has another format", "explain (format json) select 1", 'FORMAT "json"', "FORMAT xml"),
    ("EXPLAIN prints expressions", "explain select 1", "COSTS OFF", "COSTS OFF, VERBOSE"),
    ("COPY goes to a file", "copy companies to stdout", "TO STDOUT", "TO '/tmp/x'"),
    ("COPY goes to a program", "copy companies to stdout", "TO STDOUT", "TO PROGRAM 'x'"),
    ("COPY reads the relation itself", "copy companies to stdout", "COPY (SELECT * FROM (SELECT t.id AS id, t.name AS name, t.plan AS plan FROM public.companies t WHERE t.id OPERATOR(pg_catalog.=) '42'::int OFFSET 0) companies)", "COPY public.companies"),
    ("a setting is another", "set application_name = 'x'", "application_name", "work_mem"),
    ("a transaction may write", "begin read only", "READ ONLY", "READ WRITE"),
    ("the cursor is another", "fetch 5 from c", "FORWARD 5 c", "FORWARD 6 c"),
    ("a name that is put together is looked up", COMPOSED, "CASE WHEN", None),
    ("a name that is put together keeps its type", COMPOSED, "pg_catalog.regclass::pg_catalog.oid", "pg_catalog.regclass"),
    ("a privilege is looked up", PRIVILEGE, "false::boolean", "pg_catalog.has_table_privilege('secrets', 'insert')"),
    ("a privilege is given", PRIVILEGE, "false::boolean", "true::boolean"),
    ("a listing is the server's own", LISTING, "FROM (SELECT", None),
    ("a listing shows another column", LISTING, "'0'::int AS sourceline", "t.sourceline AS sourceline"),
    ("a listing has more rows", LISTING, " OFFSET 0)", " OR true OFFSET 0)"),
    ("SET CONSTRAINTS names one", "set constraints all deferred", "ALL", "public.x"),
    ("COPY loses its header", "copy companies to stdout with csv header quote 'x'", "HEADER TRUE", "HEADER FALSE"),
]  # fmt: skip


def rewritten(sql: str) -> str:
    answer = analyse(sql, view())
    assert isinstance(answer, Plan), answer
    return answer.rewritten


@pytest.mark.parametrize(("why", "sql", "right", "wrong"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wrong_rewriting_is_unproven(why: str, sql: str, right: str, wrong: str | None) -> None:
    text = rewritten(sql)
    mutated = SPECIAL[why](text) if wrong is None else text.replace(right, wrong, 1)
    assert mutated != text, f"the mutation does not apply to {text}"

    with pytest.raises(Refused) as caught:
        check.prove(sql, mutated, view())

    assert caught.value.refusal.code == "scope-not-provable"


SPECIAL: dict[str, Callable[[str], str]] = {
    "the scope has one customer more": lambda text: text.replace(
        "OPERATOR(pg_catalog.=) '42'::int", "OPERATOR(pg_catalog.=) ANY(ARRAY['42'::int, '7'::int])"
    ),
    "the relation is not in a derived table": lambda _text: "SELECT * FROM public.employees",
    "a name that is put together is looked up": lambda _text: (
        "SELECT ('public.' || status)::pg_catalog.regclass::pg_catalog.oid AS regclass FROM (SELECT t.status AS status"
        " FROM public.employees t WHERE t.company_id OPERATOR(pg_catalog.=) '42'::int OFFSET 0) employees"
    ),
    "a listing is the server's own": lambda _text: "SELECT name, sourceline FROM pg_catalog.pg_show_all_settings()",
    "a guard is dropped": lambda text: text.replace(
        text[text.index("CASE WHEN") : text.index("THEN", text.index("CASE WHEN")) + 5], "", 1
    ).replace(" END", "", 1),
}


@pytest.mark.parametrize("sql", [case["sql"] for case in cases("sql") if "FROM public." in case.get("rewritten", "")])
def test_the_users_own_text_is_unproven_when_it_names_a_relation(sql: str) -> None:
    with pytest.raises(Refused):
        check.prove(sql, sql, view())


@pytest.mark.parametrize(
    "sql",
    ["SELECT JSON_ARRAY(1)", "SELECT JSON_VALUE('{}', '$.a')", "SELECT 1 FROM JSON_TABLE('[]', '$' COLUMNS (a int)) j"],
)
def test_a_form_that_the_server_would_call_as_a_function_is_unproven(sql: str) -> None:
    with pytest.raises(Refused) as caught:
        check.prove(sql, sql.replace("int)", "pg_catalog.int4)"), view())

    assert "call" in caught.value.refusal.detail


def unscoped(*_: Any) -> str:
    return ""


def unmasked(mask: Any, expression: str, column: Any) -> str:
    return expression


MUTANTS: list[tuple[str, Any, str, Any]] = [
    ("forgets the scope", lens, "scope_sql", unscoped),
    ("reveals what nobody approved", lens, "revealed", lambda *_: True),
    ("leaves relations alone", rewrite, "settle_from", lambda *_: None),
    ("sees WITH items everywhere", rewrite, "_with", lambda clause, env, stack: env),
    ("judges no function", rewrite_calls, "_resolve_function", lambda self, names: ("pg_catalog", names[-1])),
    ("judges no operator", rewrite_nodes, "_judge_operator", lambda *_: None),
    ("judges no field", rewrite_calls, "may_call", lambda *_: False),
    ("judges no result of a function", rewrite_calls, "may_call", lambda *_: False),
]
QUERIES = {
    "forgets the scope": "select id from employees",
    "reveals what nobody approved": "select salary from employees",
    "leaves relations alone": "select id from employees",
    "sees WITH items everywhere": "with employees as (select 1 as id) select id from employees",
    "judges no function": "select pg_sleep(1)",
    "judges no operator": "select 1 ### 2",
    "judges no field": "select e.secret_fn from employees e",
    "judges no result of a function": "select g.current_setting from unnest(array['gateway.mask_inner']) g",
}


@pytest.mark.parametrize(("name", "module", "attribute", "replacement"), MUTANTS, ids=[case[0] for case in MUTANTS])
def test_a_rewriter_with_a_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, name: str, module: Any, attribute: str, replacement: Any
) -> None:
    monkeypatch.setattr(lens, "_lenses", type(lens._lenses)())
    monkeypatch.setattr(module, attribute, replacement)

    answer = analyse(QUERIES[name], view())

    assert isinstance(answer, Refusal), answer.rewritten
    assert answer.code in {"scope-not-provable", "statement-not-supported"}


def test_a_proof_is_not_remembered_for_another_view() -> None:
    text = rewritten(STAR)
    check.prove(STAR, text, view())

    with pytest.raises(Refused):
        check.prove(STAR, text, view(customers=("7",)))


def test_what_was_proven_once_is_compared_again_when_its_text_differs() -> None:
    text = rewritten(STAR)
    known = evidence("", "employees", view())
    assert known is not None
    assert any(b"status" in proven for proven in known.proven)

    with pytest.raises(Refused):
        check.prove(STAR, text.replace("t.status AS status", "t.notes AS status"), view())
