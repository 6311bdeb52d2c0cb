"""MySQL's texts that differ only in free literals share one analysis, and get what each would have got by itself."""

from __future__ import annotations

import pytest
from test_mysql_corpus import corpus, view

from gateway.errors import Refusal
from gateway.sql import mysql, tree
from gateway.sql.cache import PlanCache
from gateway.sql.statement import View
from gateway.sql.template import shape_of

ODD = ["other", "a`b", "x` , 1 AS `y", "# ", "a;b", "a\nb", 'a"b', "?", "%", " ", "", "x" * 300, "NULL", "1",
       "shop.notes", "information_schema.TABLES", "SELECT", "stand-in 5d2e9c1f 1 "]  # fmt: skip


def cache(asked: list[str]) -> PlanCache:
    def analysed(text: str, given: View) -> object:
        asked.append(text)
        return mysql.analyse(text, given)

    return PlanCache(analysed, tree.free_literals, lambda text: text)  # type: ignore[arg-type]


def variants(text: str) -> list[str]:
    """The text with other values in each of the places that are free, one by one and all together."""
    shape = shape_of(text)
    free = tree.free_literals(text, view().policy)
    if shape is None or not free:
        return []
    places = [
        (offset, value) for offset, value in zip(shape.offsets, shape.values, strict=True) if offset in free
    ]  # fmt: skip
    found = []
    for turn, chosen in enumerate([places, *[[one] for one in places]]):
        for number, odd in enumerate(ODD):
            if turn and number % 4 != turn % 4:
                continue
            other = text
            for offset, value in reversed(chosen):
                new = f"'{odd}'" if value[0] == "'" else str(number * 7_654_321)
                other = other[:offset] + new + other[offset + len(value) :]
            found.append(other)
    return found


@pytest.mark.parametrize("kind", ["legitimate", "clients", "attacks", "blind"])
def test_a_text_that_a_template_serves_gets_what_its_own_analysis_gives(kind: str) -> None:
    given, asked = view(), []  # type: ignore[var-annotated]
    served = 0
    for text in map(str, corpus(kind)):
        plans = cache(asked)
        number = plans.view_number(given)
        if isinstance(plans.judge(given, number, text), Refusal):
            continue
        for other in variants(text):
            asked.clear()
            found, own = plans.judge(given, number, other), mysql.analyse(other, given)
            if asked:
                continue
            served += 1
            assert not isinstance(own, Refusal), other
            assert not isinstance(found, Refusal)
            assert found.text == own.rewritten
            assert (found.plan.normalised, found.plan.relations) == (own.normalised, own.relations)
            assert found.plan.columns_clear == own.columns_clear
            assert found.plan.columns_masked == own.columns_masked
            assert (found.plan.exact_searches, found.plan.raw_uses) == (own.exact_searches, own.raw_uses)
            assert (found.plan.counted, found.plan.notices, found.plan.conceals) == (
                own.counted, own.notices, own.conceals
            )  # fmt: skip
            assert found.said.subjects == own.subjects
    if kind == "legitimate":
        assert served > 300


def test_a_second_text_with_another_key_is_not_analysed() -> None:
    asked: list[str] = []
    plans, given = cache(asked), view()
    number = plans.view_number(given)
    for key in range(3, 9):
        asked.clear()
        judged = plans.judge(given, number, f"SELECT email FROM employees WHERE id = {key}")
        assert not isinstance(judged, Refusal)
        assert f" {key}" in judged.text
    assert asked == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id = 5 FROM employees",
        "SELECT (id = 5) AS x, (SELECT count(*) FROM employees AS q WHERE q.id = 7) FROM employees",
        "SELECT x FROM (SELECT id = 5 AS x FROM employees) AS t",
        "SELECT id FROM employees LIMIT 5",
        "SELECT id FROM employees WHERE id + 1 = 5",
        "SELECT id FROM employees WHERE email LIKE 'a%'",
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'",
        "SHOW TABLES LIKE 'employees'",
        "SELECT id FROM employees WHERE id = 5 AND (",
        "SELECT id FROM employees WHERE email = _latin1 'a'",
    ],
)
def test_what_is_shown_or_more_than_compared_is_not_free(text: str) -> None:
    assert tree.free_literals(text, view().policy) == frozenset()


def test_what_is_compared_with_a_column_is_free() -> None:
    text = "SELECT id FROM employees WHERE 3 < id AND email IN ('a', 'b') AND id BETWEEN 7 AND 9 ORDER BY id LIMIT 8"
    found = tree.free_literals(text, view().policy)
    assert {text[at] for at in found} == {"3", "'", "7", "9"}
    assert len(found) == 5
