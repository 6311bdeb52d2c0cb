"""Every refusal teaches: a stable code, the name at fault, what to write instead or whom to ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from postgast import pg_query_pb2 as pb
from sqlviews import CATALOG, cases, view

from gateway.errors import Refusal
from gateway.sql.postgres import analyse, statements
from gateway.sql.postgres.tree import Refused
from gateway.sql.postgres.versions import SINCE
from gateway.sql.statement import Plan

REFUSED = [
    case for folder in ("sql", "attacks") for case in cases(folder) if isinstance(analyse(case["sql"], view()), Refusal)
]


def refused(sql: str, **changes: Any) -> Refusal:
    answer = analyse(sql, view(**changes))
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize("case", cases("refusals"), ids=lambda case: case["sql"][:60])
def test_a_refusal_has_its_code_names_what_is_at_fault_and_says_what_to_do(case: dict[str, Any]) -> None:
    answer = refused(case["sql"])

    assert answer.code == case["code"]
    assert answer.name == case.get("name", answer.name)
    assert not answer.name or f"`{answer.name}`" in answer.message
    assert case.get("told", "") in answer.hint
    assert answer.hint or answer.code == "syntax-error"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["sql"][:60])
def test_no_refusal_of_the_corpora_leaves_the_person_without_advice(case: dict[str, Any]) -> None:
    answer = refused(case["sql"])

    assert answer.hint or answer.code == "syntax-error", answer
    assert answer.code not in {"scope-not-provable", "internal-error"}, answer


@pytest.mark.parametrize(
    "asked",
    [
        "select * from {}", "select * from public.{}", "select 1 from {} x", "copy {} to stdout", "table {}",
        "select '{}'::regclass", "explain select * from {}", "select (select count(*) from {})",
        "prepare p as select * from {}", "declare c cursor for select * from {}", "select * from employees, {}",
        "select 'x'::public.{}", "select public.{}('x')", "select {}('x')",
    ],
)  # fmt: skip
@pytest.mark.parametrize("hidden", ["secrets", "secret_fn"])
def test_what_is_hidden_and_what_never_was_get_the_same_answer(asked: str, hidden: str) -> None:
    never = "never_was"[: len(hidden)]

    one, other = refused(asked.format(hidden)), refused(asked.format(never))

    spoken = (one.message.replace(hidden, never), one.name.replace(hidden, never), one.hint.replace(hidden, never))
    assert (one.code, one.position, *spoken) == (other.code, other.position, other.message, other.name, other.hint)


INSIDE_OTHERS = {"RawStmt", "ReturnStmt", "PLAssignStmt", "SetOperationStmt"}
KINDS = sorted(name for name in dir(pb) if name.endswith("Stmt") and name not in INSIDE_OTHERS)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_statement_of_the_grammar_is_handled_or_refused_with_advice(name: str) -> None:
    kind = getattr(pb, name)
    if kind in statements._HANDLERS:
        return

    with pytest.raises(Refused) as caught:
        statements._refuse_kind(kind())

    assert caught.value.refusal.code in {"read-only", "statement-not-allowed"}
    assert caught.value.refusal.hint


NEWER = {
    "select json_array(1, 'a'), json_object('a': id) from employees": 16,
    "select json_arrayagg(id order by id returning jsonb), json_objectagg(id value status) from employees": 16,
    "select json_array(select id from employees)": 16,
    "select status is json, status is not json array from employees": 16,
    "select json_value(to_jsonb(e), '$.id' returning int default 0 on empty) from employees e": 17,
    "select json_query('{}', '$.a' passing id as x with wrapper), json_exists('{}', '$.a') from employees": 17,
    "select json(status), json_scalar(id), json_serialize('{}' returning bytea) from employees": 17,
    "select e.id, j.a from employees e, json_table(to_jsonb(e), '$' columns (a text path '$.status')) j": 17,
}


@pytest.mark.parametrize(("sql", "first"), NEWER.items())
def test_a_form_that_an_older_server_would_call_as_a_function_is_refused_there(sql: str, first: int) -> None:
    older = replace(CATALOG, server_version=first * 10_000 - 1)
    newer = replace(CATALOG, server_version=first * 10_000)

    assert refused(sql, catalog=older).code == "statement-not-supported"
    assert refused(sql, catalog=replace(CATALOG, server_version=0)).code == "statement-not-supported"
    assert isinstance(analyse(sql, view(catalog=newer)), Plan)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select json_value('{}', '$.a' returning public.secrets)", "type-not-allowed"),
        ("select json_value('{}', '$.a' default pg_sleep(1) on empty)", "function-not-allowed"),
        ("select json_query('{}', '$.a' passing (select word from secrets) as x)", "relation-not-available"),
        ("select json_array(select word from secrets)", "relation-not-available"),
        ("select * from json_table('[]', '$[*]' columns (a regclass path '$'))", "type-not-allowed"),
        ("select * from json_table((select word from secrets), '$[*]' columns (a int))", "relation-not-available"),
        ("select json_objectagg(id value pg_sleep(1)) from employees", "function-not-allowed"),
        ("select json_arrayagg(id order by pg_sleep(1)) from employees", "function-not-allowed"),
        ("select json_arrayagg(id) filter (where pg_sleep(1) is null) from employees", "function-not-allowed"),
    ],
)
def test_what_stands_inside_a_form_of_json_is_judged_like_all_else(sql: str, code: str) -> None:
    assert refused(sql, catalog=replace(CATALOG, server_version=180000)).code == code


def test_every_form_with_a_first_version_is_known_to_the_grammar() -> None:
    assert {16, 17} == {first for first, _ in SINCE.values()}
