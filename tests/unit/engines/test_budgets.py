"""Budgets run out, slide and start anew when they should."""

from __future__ import annotations

from typing import Any

import pytest
from dialogue import policy, session

from gateway.budgets import Budgets
from gateway.errors import Refusal
from gateway.sql.statement import ExactSearch, Kind, Plan

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
    found = tuple(ExactSearch("public.employees", f"c{n}") for n in range(searches))
    return Plan("", (Kind.READ,), ("SELECT",), "", "", "", searches=found)


def code(answer: Any) -> str:
    assert isinstance(answer, Refusal)
    return answer.code


def test_without_limits_nothing_is_refused(clock: Clock) -> None:
    budgets = Budgets(clock)
    budgets.spend(session(), "s", 10**9)
    assert budgets.admit(session(), policy(), plan(100)) is None
    assert budgets.window(session(), policy(), "s", 1000) == 1000


def test_the_first_window_is_no_larger_than_a_statement_or_the_rest_of_the_day(clock: Clock) -> None:
    budgets = Budgets(clock)
    assert budgets.window(session(), policy(rows_per_statement=10), "s", 1000) == 10
    budgets.spend(session(), "s", 95)
    assert budgets.window(session(), policy(rows_per_day=100), "t", 1000) == 5


def test_a_day_that_is_used_up_refuses_and_the_next_one_does_not(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=100)
    budgets.spend(session(), "s", 99)
    assert budgets.admit(session(), rule, plan()) is None
    assert budgets.extend(session(), rule, "t", 1, 2) == 1
    assert code(budgets.extend(session(), rule, "t", 2, 4)) == "row-budget-exhausted"
    budgets.spend(session(), "s", 1)
    assert code(budgets.admit(session(), rule, plan())) == "row-budget-exhausted"
    clock.now += DAY
    assert budgets.admit(session(), rule, plan()) is None


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
        budgets.spend(session(), "s", 1)
    assert len(budgets._rows) <= 10_001


def test_statements_at_the_same_time_share_the_day(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500)
    assert [budgets.window(session(), rule, f"s.{number}", 1000) for number in range(5)] == [1000, 1000, 500, 0, 0]
    assert code(budgets.extend(session(), rule, "s.3", 1, 2)) == "row-budget-exhausted"


def test_what_was_announced_and_not_read_is_given_back(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500)
    for number in range(4):
        budgets.window(session(), rule, f"s.{number}", 1000)
    for number in range(3):
        budgets.spend(session(), f"s.{number}", 10)
    assert budgets.extend(session(), rule, "s.3", 1, 4000) == 2470
    assert code(budgets.extend(session(), rule, "s.3", 2471, 5000)) == "row-budget-exhausted"
    budgets.spend(session(), "s.3", 2470)
    assert code(budgets.admit(session(), rule, plan())) == "row-budget-exhausted"


def test_statements_that_ended_leave_no_trace_but_their_rows(clock: Clock) -> None:
    budgets, rule = Budgets(clock), policy(rows_per_day=2500)
    for number in range(100):
        budgets.window(session(), rule, f"s.{number}", 20)
        budgets.spend(session(), f"s.{number}", 0)
    assert (budgets._held, budgets._held_by, budgets._rows) == ({}, {}, {})
