"""Budgets run out, slide and start anew when they should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from dialogue import policy, session

from gateway.budgets import Budgets
from gateway.errors import Refusal
from gateway.sql.statement import Kind, Plan, RawUse

DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 20_000 * DAY

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def plan(searches: int = 0) -> Plan:
    found = tuple(RawUse("public.employees", f"c{n}") for n in range(searches))
    return Plan("", (Kind.READ,), ("SELECT",), "", "", "", raw_uses=found)


def code(answer: Any) -> str:
    assert isinstance(answer, Refusal)
    return answer.code


def test_without_limits_nothing_is_refused(clock: Clock) -> None:
    budgets = Budgets(clock)
    budgets.spend(session(), policy(), "s", 10**9, 10**12)
    assert budgets.admit(session(), policy(), plan(100)) is None
    assert budgets.window(session(), policy(), "s", 1000, 5000) == (1000, 5000)
    assert budgets.extend(session(), policy(), "s", (1001, 5001), (2000, 9999)) == (2000, 9999)
    assert budgets.warnings == []


def test_the_first_window_is_no_larger_than_a_statement_or_the_rest_of_the_day(clock: Clock) -> None:
    budgets = Budgets(clock)
    assert budgets.window(session(), policy(rows_per_statement=10), "s", 1000, 5000) == (10, 5000)
    assert budgets.window(session(), policy(bytes_per_statement=10), "s", 1000, 5000) == (1000, 10)
    budgets.spend(session(), policy(), "s", 95, 80)
    assert budgets.window(session(), policy(rows_per_day=100), "t", 1000, 5000) == (5, 5000)
    assert budgets.window(session(), policy(bytes_per_day=100), "t", 1000, 5000) == (1000, 20)


def test_a_person_is_told_what_is_left_and_what_runs_is_not_left(clock: Clock) -> None:
    budgets, mine = Budgets(clock), session()
    rules = policy(rows_per_day=100, bytes_per_day=0, exact_searches_per_hour=3)
    who = mine.principal.id, mine.grant.target
    assert budgets.spent(*who, rules) == [("rows_per_day", 0, 100, 100), ("exact_searches_per_hour", 0, 3, 3)]
    budgets.spend(mine, rules, "s", 30, 0)
    budgets.window(mine, rules, "t", 50, 0)
    assert budgets.admit(mine, rules, plan(2)) is None
    assert budgets.spent(*who, rules) == [("rows_per_day", 30, 20, 100), ("exact_searches_per_hour", 2, 1, 3)]
    assert budgets.spent("somebody else", who[1], rules)[0] == ("rows_per_day", 0, 100, 100)
    clock.now += DAY
    assert budgets.spent(*who, rules)[1] == ("exact_searches_per_hour", 0, 3, 3)


@pytest.mark.parametrize("kind", ["row", "byte"])
def test_a_statement_that_returns_too_much_is_stopped(clock: Clock, kind: str) -> None:
    budgets, rule = Budgets(clock), policy(**{f"{kind}s_per_statement": 10})
    assert budgets.extend(session(), rule, "s", (10, 10), (20, 20)) in ((10, 20), (20, 10))
    assert code(budgets.extend(session(), rule, "s", (11, 11), (20, 20))) == f"{kind}-budget-exhausted"


@pytest.mark.parametrize("kind", ["row", "byte"])
def test_a_day_that_is_used_up_refuses_and_the_next_one_does_not(clock: Clock, kind: str) -> None:
    budgets, rule = Budgets(clock), policy(**{f"{kind}s_per_day": 100})
    budgets.spend(session(), rule, "s", 99, 99)
    assert budgets.admit(session(), rule, plan()) is None
    assert min(budgets.extend(session(), rule, "t", (1, 1), (2, 2))) == 1
    assert code(budgets.extend(session(), rule, "t", (2, 2), (4, 4))) == f"{kind}-budget-exhausted"
    budgets.spend(session(), rule, "s", 1, 1)
    assert code(budgets.admit(session(), rule, plan())) == f"{kind}-budget-exhausted"
    clock.now -= DAY
    assert code(budgets.admit(session(), rule, plan())) == f"{kind}-budget-exhausted"
    clock.now += 2 * DAY
    assert budgets.admit(session(), rule, plan()) is None


def test_four_fifths_of_a_budget_are_told_once(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=100, bytes_per_day=1000, exact_searches_per_hour=5)
    told = []
    for _ in range(50):
        budgets.spend(session(), rule, "s", 2, 19)
        told += [(one.budget, one.used, one.limit) for one in budgets.warnings]
        budgets.warnings.clear()
    assert told == [("rows_per_day", 80, 100), ("bytes_per_day", 817, 1000)]
    clock.now += DAY
    budgets.spend(session(), rule, "s", 100, 1000)
    assert [one.budget for one in budgets.warnings] == ["rows_per_day", "bytes_per_day"]
    budgets.warnings.clear()
    for _ in range(5):
        budgets.admit(session(), policy(exact_searches_per_hour=5), plan(1))
    assert [(one.budget, one.used) for one in budgets.warnings] == [("exact_searches_per_hour", 4)]


def sums(count: int, searches: int = 0) -> Plan:
    found = (RawUse("public.employees", "salary", summed=True),) * count
    return replace(plan(searches), raw_uses=found + plan(searches).raw_uses)


def test_aggregations_are_counted_by_the_sliding_hour_and_apart_from_searches(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(aggregates_per_hour=3, exact_searches_per_hour=1)
    assert budgets.admit(session(), rule, sums(2)) is None
    assert code(budgets.admit(session(), rule, sums(2))) == "aggregate-budget-exhausted"
    assert budgets.admit(session(), rule, plan(1)) is None
    assert budgets.admit(session(), rule, sums(1)) is None
    assert code(budgets.admit(session(), rule, sums(1))) == "aggregate-budget-exhausted"
    assert [(one.budget, one.used) for one in budgets.warnings][-1] == ("aggregates_per_hour", 3)
    clock.now += 3600
    assert budgets.admit(session(), rule, sums(3)) is None


def test_a_statement_that_is_refused_for_one_budget_counts_for_none(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(aggregates_per_hour=1, exact_searches_per_hour=1)
    assert code(budgets.admit(session(), rule, sums(2, searches=1))) == "aggregate-budget-exhausted"
    assert code(budgets.admit(session(), rule, sums(1, searches=2))) == "search-budget-exhausted"
    assert budgets.admit(session(), rule, sums(1, searches=1)) is None


def test_searches_are_counted_by_the_sliding_hour(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(exact_searches_per_hour=3)
    assert budgets.admit(session(), rule, plan(2)) is None
    assert code(budgets.admit(session(), rule, plan(2))) == "search-budget-exhausted"
    assert budgets.admit(session(), rule, plan(1)) is None
    assert code(budgets.admit(session(), rule, plan(1))) == "search-budget-exhausted"
    clock.now += 3601
    assert budgets.admit(session(), rule, plan(3)) is None


def test_old_days_are_forgotten_before_they_pile_up(clock: Clock) -> None:
    budgets = Budgets(clock)
    for _ in range(10_050):
        clock.now += DAY
        budgets.spend(session(), policy(), "s", 1, 1)
    assert len(budgets._rows.used) == len(budgets._bytes.used) == 1


def test_statements_at_the_same_time_share_the_day(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500)
    windows = [budgets.window(session(), rule, f"s.{number}", 1000, 1)[0] for number in range(5)]
    assert windows == [1000, 1000, 500, 0, 0]
    assert code(budgets.extend(session(), rule, "s.3", (1, 1), (2, 2))) == "row-budget-exhausted"


def test_what_was_announced_and_not_read_is_given_back(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500)
    for number in range(4):
        budgets.window(session(), rule, f"s.{number}", 1000, 1)
    for number in range(3):
        budgets.spend(session(), rule, f"s.{number}", 10, 1)
    assert budgets.extend(session(), rule, "s.3", (1, 1), (4000, 9)) == (2470, 9)
    assert code(budgets.extend(session(), rule, "s.3", (2471, 1), (5000, 9))) == "row-budget-exhausted"
    budgets.spend(session(), rule, "s.3", 2470, 1)
    assert code(budgets.admit(session(), rule, plan())) == "row-budget-exhausted"


def test_statements_that_ended_leave_no_trace_but_what_they_returned(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500, bytes_per_day=2500)
    for number in range(100):
        budgets.window(session(), rule, f"s.{number}", 20, 20)
        budgets.spend(session(), rule, f"s.{number}", 0, 0)
    for day in (budgets._rows, budgets._bytes):
        assert (day.held, day.held_by, day.used) == ({}, {}, {})


@pytest.mark.parametrize("kind", ["row", "byte"])
def test_what_was_used_and_is_held_elsewhere_counts_here(clock: Clock, kind: str) -> None:
    here, there, rule = Budgets(clock), Budgets(clock), policy(**{f"{kind}s_per_day": 100})
    there.spend(session(), rule, "s", 60, 60)
    there.window(session(), rule, "t", 30, 30)
    here.reckon_with([there.share()])
    assert min(here.window(session(), rule, "a", 1000, 1000)) == 10
    assert code(here.extend(session(), rule, "a", (11, 11), (20, 20))) == f"{kind}-budget-exhausted"
    # what was announced there, and not used, is free again
    there.spend(session(), rule, "t", 0, 0)
    here.reckon_with([there.share()])
    assert min(here.window(session(), rule, "a", 1000, 1000)) == 40
    there.spend(session(), rule, "u", 40, 40)
    here.reckon_with([there.share()])
    assert code(here.admit(session(), rule, plan())) == f"{kind}-budget-exhausted"
    clock.now += DAY
    assert here.admit(session(), rule, plan()) is None
    # yesterday's share says nothing about today
    here.reckon_with([(20_000.0, there.used()[1])])
    assert here.admit(session(), rule, plan()) is None


def test_searches_elsewhere_count_within_their_hour(clock: Clock) -> None:
    here, there, rule = Budgets(clock), Budgets(clock), policy(exact_searches_per_hour=3)
    assert there.admit(session(), rule, plan(2)) is None
    here.reckon_with([there.share()])
    assert code(here.admit(session(), rule, plan(2))) == "search-budget-exhausted"
    assert here.admit(session(), rule, plan(1)) is None
    clock.now += 3601
    assert here.admit(session(), rule, plan(3)) is None


def test_what_others_say_takes_the_place_of_what_they_said_before(clock: Clock) -> None:
    here, there, rule = Budgets(clock), Budgets(clock), policy(rows_per_day=100)
    there.spend(session(), rule, "s", 40, 0)
    for _ in range(5):
        here.reckon_with([there.share()])
    assert here.window(session(), rule, "a", 1000, 0)[0] == 60
    here.reckon_with([])
    assert here.window(session(), rule, "a", 1000, 0)[0] == 100
