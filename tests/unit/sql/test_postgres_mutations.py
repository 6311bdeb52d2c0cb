"""The check catches every single change of what goes out: all kinds of change, over the corpora and generated queries.

`SQL_MUTANTS=50` tries more of each kind than CI does.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from contextlib import suppress
from functools import cache

import postgast
import pytest
from mutations import Mutation, harmless, mutated, mutations
from sql_grammar import schema
from sql_grammar.statements import statement
from sqlviews import cases, view
from write_view import write_view

from gateway.policy.load import parse_policy
from gateway.sql.postgres import analyse, check
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Plan, View

OF_EACH_KIND = int(os.environ.get("SQL_MUTANTS", "2"))
GENERATED = 120
ACTIONS = ("put", "clause", "drop", "double", "exchange", "flip", "enum", "number", "word")


@cache
def generated_view() -> View:
    return View(parse_policy(schema.policy_text()), schema.catalog(), ("42",))


@cache
def plans() -> dict[str, tuple[str, View]]:
    """Permitted texts with what goes out for them."""
    chance = random.Random(2026)
    tapes = [bytes(chance.randrange(256) for _ in range(chance.choice((30, 60, 100)))) for _ in range(GENERATED)]
    asked = [(case["sql"], view()) for case in cases("sql") + cases("attacks")]
    asked += [(case["sql"], generated_view()) for case in cases("oracle")]
    asked += [(case["sql"], write_view()) for case in cases("writes") if "code" not in case]
    asked += [(statement(tape, lambda address: address).user, generated_view()) for tape in tapes]
    found = {}
    for sql, seen in asked:
        answer = analyse(sql, seen)
        if isinstance(answer, Plan) and answer.rewritten:
            found[sql] = (answer.rewritten, seen)
    return found


@cache
def by_kind() -> dict[tuple[str, str, str], list[tuple[str, Mutation]]]:
    found = defaultdict(list)
    for sql, (rewritten, _) in plans().items():
        for one in mutations(postgast.parse(rewritten)):
            found[one.kind, one.action, one.detail].append((sql, one))
    return found


def clear(seen: View) -> frozenset[str]:
    rules = seen.policy.tables.values()
    return frozenset(name for rule in rules for name, column in rule.columns.items() if column.mask.kind == "clear")


def proven(sql: str, outgoing: str, seen: View) -> bool:
    with suppress(Refused):
        check.prove(sql, outgoing, seen)
        return True
    return False


@pytest.mark.parametrize("action", ACTIONS)
def test_a_changed_rewriting_is_unproven(action: str) -> None:
    chance = random.Random(action)
    wanted = [
        (sql, one)
        for kind, found in by_kind().items()
        if kind[1] == action
        for sql, one in chance.sample(found, min(OF_EACH_KIND, len(found)))
    ]
    changed = mutated([(plans()[sql][0], one) for sql, one in wanted])

    tried, passed = 0, []
    for (sql, one), text in zip(wanted, changed, strict=True):
        rewritten, seen = plans()[sql]
        tried += bool(text)
        if text and proven(sql, text, seen) and not harmless(rewritten, text, clear(seen)):
            passed.append((one, sql, text))

    assert not passed, repr(passed[0])
    assert tried >= len(wanted) // 2


def test_what_goes_out_unchanged_is_proven() -> None:
    for sql, (rewritten, seen) in plans().items():
        check.prove(sql, rewritten, seen)


def test_changes_of_many_kinds_are_tried() -> None:
    assert len(plans()) > 350
    assert len(by_kind()) > 900
    assert {kind[1] for kind in by_kind()} == set(ACTIONS)
