"""Each run of a prepared statement spends the searches of what its name may stand for."""

from __future__ import annotations

import pytest
from aggregate_view import aggregate_view
from sqlviews import CATALOG, view

from gateway.errors import Refusal
from gateway.sql.cache import Judgement, plan_fields, union
from gateway.sql.named import SqlNames
from gateway.sql.postgres import analyse
from gateway.sql.statement import Plan

ONE = "prepare one(text) as select id from employees where email = $1"
LIST = "prepare list(text) as select id from employees where email in ($1, 'a', 'b')"
NONE = "prepare none as select id from employees"


def judged(text: str) -> Judgement:
    plan = analyse(text, view())
    assert isinstance(plan, Plan), plan
    return Judgement(plan, plan_fields(plan, str), plan.rewritten)


def searches(names: SqlNames, text: str) -> int:
    answer = names.resolve(judged(text))
    assert isinstance(answer, Judgement), answer
    return len(answer.plan.raw_uses)


@pytest.fixture
def names() -> SqlNames:
    names = SqlNames()
    for text in (ONE, LIST, NONE):
        made = judged(text)
        names.define(made.plan.defines[0], made)
    return names


@pytest.mark.parametrize(
    ("text", "spent"),
    [
        ("execute none", 0),
        ("execute one('x')", 1),
        ("execute list('x')", 3),
        ("execute one('x'); execute one('y')", 2),
        (";".join(["execute list('x')"] * 60), 180),
        ("explain execute one('x')", 1),
        ("execute one('x'); select 1 from employees where email = 'y'", 2),
        ("prepare new(text) as select 1 from employees where email = $1; execute new('x'); execute new('y')", 3),
        ("deallocate none; prepare none(text) as select 1 from employees where email = $1; execute none('x')", 2),
    ],
)
def test_each_run_of_a_prepared_statement_spends_its_searches(names: SqlNames, text: str, spent: int) -> None:
    assert searches(names, text) == spent


def test_a_name_that_may_stand_for_two_statements_spends_as_the_greedier(names: SqlNames) -> None:
    again = judged(NONE.replace("none", "list"))
    names.define(("statement", "list"), again)

    assert searches(names, "execute list('x'); execute list('y')") == 6


def test_a_name_of_the_protocols_spends_as_one_of_sqls(names: SqlNames) -> None:
    made = judged("select id from employees where email in ($1, $2)")
    names.wire_name = lambda name: made if name == ("statement", "wired") else None

    assert searches(names, "execute wired('x', 'y'); execute wired('x', 'y'); execute one('x')") == 5


def test_a_cursor_spends_its_searches_when_it_is_declared(names: SqlNames) -> None:
    made = judged("declare c cursor for select id from employees where email = 'x'")
    names.define(("cursor", "c"), made)

    assert len(made.plan.raw_uses) == 1
    assert searches(names, "fetch c; fetch all c") == 0


def test_either_of_two_judgements_keeps_every_search_of_a_list() -> None:
    first, second = judged(LIST), judged(ONE)

    assert len(union(first, second).plan.raw_uses) == len(union(second, first).plan.raw_uses) == 3


def test_a_name_that_nobody_made_is_refused(names: SqlNames) -> None:
    assert isinstance(names.resolve(judged("execute other")), Refusal)


def test_each_run_of_a_prepared_sum_is_counted_and_named() -> None:
    def summing(text: str) -> Judgement:
        plan = analyse(text, aggregate_view(CATALOG))
        assert isinstance(plan, Plan), plan
        return Judgement(plan, plan_fields(plan, str), plan.rewritten)

    names, made = SqlNames(), summing("prepare p(int) as select avg(salary) from employees where id > $1")
    names.define(made.plan.defines[0], made)
    answer = names.resolve(summing("execute p(1); execute p(2)"))

    assert isinstance(answer, Judgement)
    assert len(answer.plan.aggregations) == 2
    assert answer.plan.exact_searches == ()
    assert answer.fields["columns_aggregated"] == ["public.employees.salary"]


def test_what_is_fetched_was_counted_when_its_cursor_was_declared() -> None:
    plan = analyse("declare c cursor for select avg(salary) from employees", aggregate_view(CATALOG))
    assert isinstance(plan, Plan)
    names = SqlNames()
    names.define(plan.defines[0], Judgement(plan, plan_fields(plan, str), plan.rewritten))
    answer = names.resolve(judged("fetch c"))

    assert isinstance(answer, Judgement)
    assert answer.plan.aggregations == ()
    assert answer.fields["columns_aggregated"] == ["public.employees.salary"]
