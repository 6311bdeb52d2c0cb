"""A text that is filled into a remembered template is the text that its own analysis gives, whatever the literals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "sql"))

from sqlviews import view

from gateway.errors import Refusal
from gateway.sql.cache import Judgement, PlanCache, plan_fields
from gateway.sql.rooms import analyse, free_literals

VIEW = view()
OTHER = view(customers=("918273000",))

STATEMENTS = [
    "select id from employees where id = {}",
    "select id from employees where {} = id",
    "select id from employees where id = -{}",
    "select id from employees where id = - {}",
    "select id from employees where id={}and status={}",
    "select id from employees where id <> {} or status >= {}",
    "select id from employees where id in ({}, {}, {})",
    "select id from employees where id not in ({}, {})",
    "select id from employees where email = {}",
    "select id from employees where email in ({}, {})",
    "select id from employees where email = {} and id = {} and email <> {}",
    "select id, email = {} from employees",
    "select id = {} as x, count(*) from employees group by id = {}",
    "select id from employees where status like {}",
    "select id from employees where status = {}\n{}",
    "select id from employees where status = {} {}",
    "select id from employees where status = {}{}",
    "select id from employees where status = {}--\n{}",
    "select id from employees where status = {}/**/",
    "select id from employees where status = date {}",
    "select id from employees where status = E{}",
    "select id from employees where status = b{}",
    "select id from employees where status = U&{}",
    "select id from employees where status = U&{} uescape {}",
    "select id from employees where status = {}::text",
    "select id from employees where id = cast({} as int)",
    "select id from employees where id = {} limit {}",
    "select id from employees where id = {} offset {} rows fetch first {} rows only",
    "select id from employees where id between {} and {}",
    "select id from employees where (id, status) = ({}, {})",
    "select id from employees where id = any(array[{}, {}])",
    "select id, {} from employees where id = {} order by {}",
    "select {}, {}",
    "select (array[1, 2])[{}] from employees where id = {}",
    "select status::varchar({}) from employees where id = {}",
    "select interval {} day from employees where id = {}",
    "select current_setting({}) from employees where id = {}",
    "select {}::regclass from employees where id = {}",
    "select 1 from companies c join employees e on c.id = {} and e.email = {} where c.plan = {}",
    "select 1 from companies c left join employees e on e.email = {} where e.id = {}",
    "select (select id from employees where email = {} limit {}) from companies where id = {}",
    "with x as (select id from employees where email = {}) select * from x where id = {}",
    "select 1 from employees where status = {} union select 1 from employees where status = {}",
    "select relname from pg_class where relname = {} and oid = {}",
    "select table_name from information_schema.tables where table_name = {}",
    'select id as "a {} b" from employees where id = {}',
    'select id as "x", {} as "y" from employees where "id" = {}',
    "select id from employees where id = {};",
    "select id from employees where id = {}; select {}",
    "explain select id from employees where id = {}",
    "prepare p as select id from employees where id = {}",
    "select case when id = {} then {} else {} end from employees",
    "select json_build_object({}, id) from employees where id = {}",
    "select id from employees where id = {} group by grouping sets ((id), ()) having id = {}",
    "select sum(id) filter (where id = {}) over (order by id rows between {} preceding and current row) from employees",
    "values ({}, {})",
]

DIGITS = st.from_regex(r"[0-9]{1,11}", fullmatch=True)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126, blacklist_characters="'\\$"), max_size=12)
NUMBERS = st.one_of(
    DIGITS, st.sampled_from(["0", "00", "007", "1e5", "1.5", ".5", "5.", "0x1F", "0b1", "0o7", "1_000", "2147483648"])
)
STRINGS = st.one_of(
    PLAIN.map(lambda text: f"'{text}'"),
    st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=8).map(
        lambda text: "'" + text.replace("'", "''") + "'"
    ),
    st.sampled_from(
        ["''", "'it''s'", "'\\'", "'\\\\'", "'a\nb'", "'\t'", "'--'", "'/*'", "'$$'", "'\"'", "'stand-in 5d2e9c1f 0 '"]
    ),
    st.sampled_from(
        ["'gateway.mask_inner'", "'jit'", "'secrets'", "'employees'", "'on'", "'a'\n'b'", "$$a$$", "E'\\n'"]
    ),
)
PLAIN_NUMBERS = st.integers(0, 999_999_999).map(str)
PLAIN_STRINGS = PLAIN.map(lambda text: f"'{text}'")
LITERALS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "918273000", "918273001", "$1", "-1"]))
# Texts of one shape follow each other: each place keeps its kind of literal.
FILLINGS = st.lists(st.sampled_from([PLAIN_NUMBERS, PLAIN_STRINGS, LITERALS]), min_size=3, max_size=3).flatmap(
    lambda kinds: st.lists(st.tuples(*kinds).map(list), min_size=2, max_size=4)
)


def fill(statement: str, literals: list[str]) -> str:
    return statement.format(*literals[: statement.count("{}")])


def whole(text: str) -> tuple[str, dict[str, object]] | Refusal:
    """What the analysis of the very text gives."""
    plan = analyse(text, VIEW)
    return plan if isinstance(plan, Refusal) else (plan.rewritten, plan_fields(plan, str))


def shown(judged: Judgement | Refusal) -> tuple[str, dict[str, object]] | Refusal:
    return judged if isinstance(judged, Refusal) else (judged.text, judged.fields)


@pytest.mark.parametrize("statement", STATEMENTS)
@settings(max_examples=30, deadline=None)
@given(FILLINGS)
@example([["1", "2", "3"], ["4", "5", "6"]])
@example([["'a'", "'b'", "'c'"], ["'d'", "'e'", "'f'"]])
@example([["918273000", "918273001", "918273002"], ["1", "2", "3"]])
@example([["'stand-in 5d2e9c1f 0 '", "'x'", "'y'"], ["'q'", "'stand-in 5d2e9c1f 0 '", "'z'"]])
def test_what_a_template_gives_is_what_the_analysis_gives(statement: str, fillings: list[list[str]]) -> None:
    cache = PlanCache(analyse, free_literals, str)
    number = cache.view_number(VIEW)

    for literals in fillings:
        text = fill(statement, literals)

        assert shown(cache.judge(VIEW, number, text)) == whole(text), text


@pytest.mark.parametrize("statement", STATEMENTS)
@settings(max_examples=5, deadline=None)
@given(FILLINGS)
def test_a_template_of_one_customer_never_serves_another(statement: str, fillings: list[list[str]]) -> None:
    cache = PlanCache(analyse, free_literals, str)
    mine, theirs = cache.view_number(VIEW), cache.view_number(OTHER)

    for literals in fillings:
        text = fill(statement, literals)
        cache.judge(VIEW, mine, text)
        judged = cache.judge(OTHER, theirs, text)
        plan = analyse(text, OTHER)

        assert (judged if isinstance(judged, Refusal) else judged.text) == (
            plan if isinstance(plan, Refusal) else plan.rewritten
        )


def test_the_table_has_statements_that_are_filled() -> None:
    cache = PlanCache(analyse, free_literals, str)
    number = cache.view_number(VIEW)
    for literals in (["1", "2", "3"], ["4", "5", "6"], ["'a'", "'b'", "'c'"], ["'d'", "'e'", "'f'"]):
        for statement in STATEMENTS:
            cache.judge(VIEW, number, fill(statement, literals))

    assert cache.hits > len(STATEMENTS) // 4
