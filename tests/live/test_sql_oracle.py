"""Two properties of every query that may run, over thousands of them from a grammar that knows the schema.

*Two-database oracle*: on a copy that physically holds only masked, scoped data, the query as written says what the
rewritten one says on the truth. *Non-interference*: the rewritten query says the same about two truths that differ in
everything the view hides.

CI repeats the same queries in every run. `SQL_ORACLE_EXAMPLES=50000 SQL_ORACLE_SEED=7` looks further; what it finds
belongs in `tests/corpus/oracle`, which is append-only.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sql_answers import TIMED_OUT, Answer, answer
from sql_grammar.statements import Statement, statement
from sql_world import World, masked_email, open_world

from gateway.demo.postgres import EmbeddedPostgres
from gateway.sql.postgres import analyse, search
from gateway.sql.statement import Plan

EXAMPLES = int(os.environ.get("SQL_ORACLE_EXAMPLES", "4000"))
SEED = os.environ.get("SQL_ORACLE_SEED", "")
CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "oracle").glob("*.yaml"))
# Data exceptions and a sub-query of several rows: what a query meets at run time.
_RUNTIME = ("22", "21")


@dataclass(slots=True)
class Tally:
    """What the generated queries reached."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    yield from open_world(postgres)


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


def agree(world: World, made: Statement, plan: Plan, mine: Answer) -> str:
    """What the oracle has against an answer of the truth's, nothing when the copy says the same."""
    theirs = answer(world.copy, made.on_copy)
    if TIMED_OUT in {mine.error, theirs.error}:
        return ""
    if mine.error and theirs.error:
        return "" if _alike(mine.error, theirs.error) else f"{mine.error} is not {theirs.error}"
    if mine.error or theirs.error:
        open_to_choice = (mine.error or theirs.error)[:2] in _RUNTIME and _either_way(world, made, plan)
        return (
            "" if open_to_choice else f"the truth says {mine.error or 'rows'}, the copy says {theirs.error or 'rows'}"
        )
    same = mine.comparable(ordered=made.ordered) == theirs.comparable(ordered=made.ordered)
    return "" if same else "the rows differ"


def _alike(one: str, other: str) -> bool:
    """Whether two errors are of a kind; an internal one is the server's own fault, and it gives way to any."""
    kinds = {"22" if state[:2] in _RUNTIME else state[:2] for state in (one, other)}
    return len(kinds) == 1 or "XX" in kinds


def _either_way(world: World, made: Statement, plan: Plan) -> bool:
    """Whether some plan of the truth's and some plan of the copy's agree about failing.

    Which rows meet an expression that can fail, and whether any does, is the planner's choice. A condition that is
    copied inside, or a fence, takes choices away and no more; so the truth is asked without copies too, and the copy
    behind fences.
    """
    ours = {bool(answer(world.truth, text).error) for text in _planned(plan.rewritten, _uncopied(world, made))}
    theirs = {
        bool(answer(connection, text).error)
        for connection in (world.copy, world.fenced)
        for text in _planned(made.on_copy)
    }
    return bool(ours & theirs)


def _planned(*texts: str) -> list[str]:
    """The texts under several ways of planning."""
    switches = ("geqo", "enable_nestloop", "enable_hashjoin", "enable_mergejoin", "enable_material", "enable_hashagg")
    ways = [f"set local {switch} = off" for switch in switches] + ["set local join_collapse_limit = 1"]
    inner = [text.removeprefix("begin; ").removeprefix("BEGIN; ") for text in texts]
    return [f"begin; {way}; {text}; commit" for text in inner for way in ways]


def _uncopied(world: World, made: Statement) -> str:
    """The rewriting without copies of conditions inside."""
    plain, search._PLAIN_TYPES = search._PLAIN_TYPES, frozenset()
    try:
        plan = analyse(made.user, world.view)
    finally:
        search._PLAIN_TYPES = plain
    assert isinstance(plan, Plan)
    return plan.rewritten


def interferes(mine: Answer, other: Answer) -> str:
    """What differs between two truths that the view cannot tell apart."""
    if TIMED_OUT in {mine.error, other.error}:
        return ""
    return "" if mine == other else "hidden cells show"


def judged(world: World, made: Statement, tally: Tally) -> None:
    plan = analyse(made.user, world.view)
    if not isinstance(plan, Plan):
        tally.outcomes["refused"] += 1
        tally.refusals[f"{plan.code}: {plan.message} {plan.detail}: {made.user}"] += 1
        return
    # A constant that is nobody's address may be searched for as well.
    assert len(plan.raw_uses) >= made.searches, made.user
    mine = answer(world.truth, plan.rewritten)
    tally.outcomes["rows" if mine.rows else "failed" if mine.error else "no rows"] += 1
    tally.states[mine.error] += 1
    if not mine.error:
        tally.answered.update(made.used)
    wrong = interferes(mine, answer(world.other, plan.rewritten)) or agree(world, made, plan, mine)
    assert not wrong, f"{wrong}\n{made.user}\n{made.on_copy}"


def test_generated_queries_say_what_the_view_shows_and_nothing_else(world: World, tally: Tally) -> None:
    @settings(settings(), max_examples=EXAMPLES)
    @given(st.binary(min_size=60, max_size=400))
    def each(data: bytes) -> None:
        made = statement(data, masked_email)
        tally.features.update(made.used)
        judged(world, made, tally)

    (seed(int(SEED))(each) if SEED else each)()


def test_the_generated_queries_were_worth_asking(tally: Tally) -> None:
    """A generator most of whose queries are refused, fail or yield nothing proves nothing."""
    total = sum(tally.outcomes.values())
    if not total:
        pytest.skip("nothing was generated in this run")
    unreached = sorted(feature for feature in tally.features if not tally.answered[feature])
    print(f"\n{total} queries: {dict(tally.outcomes)}; refused: {tally.refusals.most_common(9)}")
    print(f"SQLSTATEs: {tally.states.most_common(20)}")
    print(f"{len(tally.features)} features, without an answer: {unreached}")

    assert tally.outcomes["refused"] <= 0.02 * total
    assert tally.outcomes["rows"] >= 0.5 * total
    assert tally.outcomes["failed"] <= 0.15 * total
    assert tally.states[TIMED_OUT] <= 0.01 * total
    assert len(tally.features) >= min(400, total // 4)
    assert len(unreached) <= 0.03 * len(tally.features)


FAULTS = {
    "the fence is missing": (" OFFSET 0)", ")"),
    "another customer's rows are in scope": ("'43'::int]", "'43'::int, '7'::int]"),
    "a date keeps its month": ("date_trunc('year',", "date_trunc('month',"),
    "a name keeps its words": (r"E'\\1.'", r"E'\\&'"),
    "an outer join is an inner one": (" LEFT JOIN ", " JOIN "),
    "a set operation keeps doubles": (" UNION ", " UNION ALL "),
    "a search is not made": (" = ANY(", " <> ALL("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rewriting_with_a_fault_is_told_from_a_right_one(world: World, fault: str) -> None:
    """What the properties are worth: each of these is found within some hundred queries."""
    right, wrong = FAULTS[fault]
    chance = random.Random(fault)
    for _ in range(3000):
        made = statement(chance.randbytes(100), masked_email)
        plan = analyse(made.user, world.view)
        if not isinstance(plan, Plan) or right not in plan.rewritten:
            continue
        text = plan.rewritten.replace(right, wrong)
        mine = answer(world.truth, text)
        if interferes(mine, answer(world.other, text)) or agree(world, made, replace(plan, rewritten=text), mine):
            return
    pytest.fail("nothing told them apart")


def counterexamples() -> list[dict[str, Any]]:
    return [case for path in CORPUS for case in YAML(typ="safe").load(path)]


@pytest.mark.parametrize("case", counterexamples(), ids=lambda case: case["id"])
def test_what_was_a_counterexample_once_is_none_any_more(world: World, case: dict[str, Any]) -> None:
    made = Statement(
        case["sql"], case.get("on_copy", case["sql"]), case.get("searches", 0), case.get("ordered", False), True, {}
    )
    tally = Tally()

    judged(world, made, tally)

    assert tally.outcomes["refused"] == case.get("refused", 0), tally.refusals
