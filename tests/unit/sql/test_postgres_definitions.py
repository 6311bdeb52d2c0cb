"""What a target's own objects could say or do behind a statement: views in plans, operators that nobody wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlviews import CATALOG, view

from gateway.errors import Refusal
from gateway.sql.postgres import analyse, check, statements
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Plan, View

EXPLAINED = [
    "explain select id from employees",
    "explain (format json) with x as (select * from employees) select 1 from companies where id in (select id from x)",
    "explain execute p",
    "explain declare c cursor for select id from public.employees",
]


def of_kind(kind: str) -> View:
    if kind == "parent":
        return view(catalog=replace(CATALOG, parents=frozenset({"public.employees"})))
    changed = replace(CATALOG.relations["public.employees"], kind=kind)
    return view(catalog=replace(CATALOG, relations={**CATALOG.relations, "public.employees": changed}))


@pytest.mark.parametrize("text", EXPLAINED)
@pytest.mark.parametrize("kind", ["v", "p", "parent"])
def test_a_plan_does_not_show_what_a_view_or_a_partitioned_table_is_made_of(text: str, kind: str) -> None:
    answer = analyse(text, of_kind(kind))

    assert isinstance(answer, Refusal)
    assert answer.code == "statement-not-allowed"


@pytest.mark.parametrize("text", EXPLAINED)
@pytest.mark.parametrize("kind", ["v", "p", "parent"])
def test_the_check_refuses_such_a_plan_by_itself(monkeypatch: pytest.MonkeyPatch, text: str, kind: str) -> None:
    monkeypatch.setattr(statements, "_refuse_definitions", lambda *_, **__: None)
    rewritten = analyse(text, view())
    assert isinstance(rewritten, Plan)

    with pytest.raises(Refused, match="could not be proven"):
        check.prove(text, rewritten.rewritten, of_kind(kind))


@pytest.mark.parametrize("text", EXPLAINED)
@pytest.mark.parametrize("kind", ["r", "m", "f"])
def test_other_plans_are_shown(text: str, kind: str) -> None:
    assert isinstance(analyse(text, of_kind(kind)), Plan)


@pytest.mark.parametrize(
    "text",
    [
        "select 1 in (select 2)",
        "select 1 = any (select 2)",
        "select 1 in (2)",
        "select (1, 2) in (select 3, 4)",
        "select case 1 when 2 then 3 end",
        "select nullif(1, 2)",
        "select 1 from employees a join employees b using (id)",
        "select 1 from employees natural join payslips",
        "select 1 is distinct from 2",
    ],
)
def test_an_equals_that_the_target_redefines_is_not_used_unsaid(text: str) -> None:
    answer = analyse(text, view(catalog=replace(CATALOG, operators=frozenset({"="}))))

    assert isinstance(answer, Refusal)
    assert answer.code == "operator-not-allowed"
