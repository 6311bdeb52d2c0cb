"""What is on record of a statement that runs whatever the policy says: its verdict, and its words without values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlviews import view

from gateway.errors import Refusal
from gateway.sql.cache import PlanCache, plan_fields, union
from gateway.sql.observed import denied, unread, verdict_of
from gateway.sql.postgres import may_copy
from gateway.sql.rooms import free_literals, judged
from gateway.sql.statement import Plan, View

PROTECTED = view()
OBSERVED = replace(PROTECTED, policy=replace(PROTECTED.policy, mode="observe"))


def seen(text: str, through: View = OBSERVED) -> Plan:
    plan = judged(text, through)
    assert isinstance(plan, Plan)
    return plan


def test_only_an_observed_view_has_plans_for_what_is_refused() -> None:
    text = "insert into employees values (4111)"
    assert isinstance(judged(text, PROTECTED), Refusal)
    assert seen(text).would == judged(text, PROTECTED)


@pytest.mark.parametrize(
    "text", ["select id, email from employees where id = 4111", "select 1", "begin", "show datestyle", "fetch 4111 c"]
)
def test_what_is_permitted_has_the_ordinary_plan_without_what_does_not_happen(text: str) -> None:
    ordinary, plan = judged(text, PROTECTED), seen(text)
    assert isinstance(ordinary, Plan)
    assert plan.would is None
    assert (plan.normalised, plan.columns_masked, plan.scope) == (
        ordinary.normalised, ordinary.columns_masked, ordinary.scope,
    )  # fmt: skip
    assert (plan.rewritten_normalised, plan.notices, plan.raw_uses) == ("", (), ())


@pytest.mark.parametrize(
    ("text", "verb", "words", "relations"),
    [
        ("insert into people (id) values (4111)", "INSERT", "insert into people (id) values ($1)", ("people",)),
        ("update a.b set c = 'x4111' where d = 4111", "UPDATE", "update a.b set c = $1 where d = $2", ("a.b",)),
        ("create function f() returns int language sql as 'select 4111'", "CREATE FUNCTION",
         "create function f() returns int language sql as $1", ()),
        ("do $x$ begin perform '4111'; end $x$", "DO", "do $1", ()),
        ("create role r password '4111'", "CREATE ROLE", "create role r password $1", ()),
        ("copy t from stdin", "COPY", "copy t from stdin", ("t",)),
        ("notify c, '4111'", "NOTIFY", "notify c, $1", ()),
        ("comment on table t is '4111'", "COMMENT", "comment on table t is $1", ()),
        ("alter role r set search_path to x4111", "ALTER ROLE SET", "ALTER ROLE SET", ()),
        ("alter system set work_mem = x4111", "ALTER SYSTEM", "ALTER SYSTEM", ()),
        ("create function f() returns int language sql set work_mem = x4111 as ''", "CREATE FUNCTION",
         "CREATE FUNCTION", ()),
        ("insert into a select 4111 from b; delete from c", "INSERT; DELETE",
         "insert into a select $1 from b; delete from c", ("a", "b", "c")),
    ],
)  # fmt: skip
def test_what_would_be_refused_is_described_by_its_text_alone(
    text: str, verb: str, words: str, relations: tuple[str, ...]
) -> None:
    plan = seen(text)
    assert plan.would is not None
    assert ("; ".join(plan.verbs), plan.normalised) == (verb, words)
    assert sorted(plan.relations) == sorted(relations)
    assert plan.rewritten == ""
    assert "4111" not in str(plan_fields(plan, str))


@pytest.mark.parametrize("text", ["selec 'x4111'", "select '4111", "/* 4111"])
def test_of_a_text_that_cannot_be_read_no_word_is_kept(text: str) -> None:
    fields = plan_fields(seen(text), str)
    assert fields["would_codes"] == ["syntax-error"]
    assert "sql" not in fields
    assert "4111" not in str(fields)


def test_names_that_refused_statements_make_and_use_are_known() -> None:
    assert seen("prepare p as delete from t").defines == (("statement", "p"),)
    assert seen("declare c cursor for select * from nowhere").defines == (("cursor", "c"),)
    assert seen("execute p(f())").uses == (("statement", "p"),)


@pytest.mark.parametrize(
    ("text", "may"),
    [("COPY t FROM STDIN", True), ("/**/cOpY t from stdin", True), ("select photocopy", True), ("select 1", False)],
)
def test_a_copy_is_seen_in_every_spelling(text: str, may: bool) -> None:
    assert may_copy(text) is may
    assert seen(text).copies is may


def test_what_may_be_several_statements_would_be_refused_when_one_of_them_would() -> None:
    cache = PlanCache(judged, free_literals, str)
    number = cache.view_number(OBSERVED)
    good, bad = cache.judge(OBSERVED, number, "select 1"), cache.judge(OBSERVED, number, "delete from t")
    assert not isinstance(good, Refusal)
    assert not isinstance(bad, Refusal)
    for both in (union(good, bad), union(bad, good)):
        assert verdict_of(both) == {"protection": "none", "would": "deny"}
        assert both.plan.would is not None
    assert verdict_of(good)["would"] == "permit"


def test_the_first_reason_counts() -> None:
    first, second = Refusal("read-only", "a", name="t"), Refusal("row-budget-exhausted", "b")
    assert denied(unread(first), second).fields["would_codes"] == ["read-only"]
    plain = PlanCache(judged, free_literals, str).judge(OBSERVED, 0, "select 1")
    assert not isinstance(plain, Refusal)
    assert denied(plain, second).fields["would_codes"] == ["row-budget-exhausted"]


def test_a_plan_of_an_observed_view_is_never_found_for_a_protected_one() -> None:
    cache = PlanCache(judged, free_literals, str)
    text = "select id from employees where id = 7"
    observed = replace(OBSERVED, policy=replace(OBSERVED.policy, digest="another"))
    cache.judge(observed, cache.view_number(observed), "delete from t")
    assert cache.view_number(observed) != cache.view_number(PROTECTED)
    assert isinstance(cache.judge(PROTECTED, cache.view_number(PROTECTED), "delete from t"), Refusal)
    assert not isinstance(cache.judge(PROTECTED, cache.view_number(PROTECTED), text), Refusal)
