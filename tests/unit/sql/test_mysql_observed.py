"""What is on record of MySQL's statements that run whatever the policy says: their verdict, their words, no values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.errors import Refusal
from gateway.policy.load import load_policy
from gateway.sql.cache import PlanCache
from gateway.sql.declared import declared
from gateway.sql.mysql import Reader, judged, may_load
from gateway.sql.mysql.pieces import pieces
from gateway.sql.rooms import free_literals
from gateway.sql.statement import Kind, Plan, View

CORPUS = Path(__file__).parents[2] / "corpus"
POLICY = load_policy(CORPUS / "dialects" / "shop.yaml")
PROTECTED = View(replace(POLICY, dialect="mariadb"), declared(POLICY), ("42",), search_path=("shop",))
OBSERVED = replace(PROTECTED, policy=replace(PROTECTED.policy, mode="observe"))
CASES: list[dict[str, Any]] = YAML(typ="safe").load(CORPUS / "mysql" / "observed.yaml")
UTF8 = 45


def seen(text: str, through: View = OBSERVED) -> Plan:
    plan = judged(text, through)
    assert isinstance(plan, Plan)
    return plan


def read(case: dict[str, Any]) -> str | None:
    reader = Reader(UTF8)
    for text in case.get("set", ()):
        reader.text(text.encode())
    reader.reported(escapes=case.get("escapes", True))
    return reader.text(case["text"].encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40])
def test_a_record_has_the_words_and_none_of_the_values(case: dict[str, Any]) -> None:
    text = read(case)
    plan = seen(text) if text is not None else None
    assert (plan.normalised if plan is not None else "") == case["sql"]
    if plan is not None:
        assert "; ".join(plan.verbs) == case.get("verb", "")
        assert "4111" not in plan.normalised
        assert case.get("named") or "--secret" in case["sql"] or "secret" not in plan.normalised
        assert plan.rewritten == plan.rewritten_normalised == ""
        assert plan.conceals or "?" not in plan.normalised


def test_only_an_observed_view_has_plans_for_what_is_refused() -> None:
    text = "insert into employees values (4111)"
    assert isinstance(judged(text, PROTECTED), Refusal)
    assert seen(text).would == judged(text, PROTECTED)
    assert isinstance(judged("select id from employees", PROTECTED), Plan)


def test_what_would_be_permitted_names_what_it_reads_and_what_would_be_masked() -> None:
    ordinary, plan = judged("select id, email from employees", PROTECTED), seen("select id, email from employees")
    assert isinstance(ordinary, Plan)
    assert plan.would is None
    assert (plan.relations, plan.columns_masked, plan.scope) == (
        ordinary.relations, ordinary.columns_masked, ordinary.scope,
    )  # fmt: skip
    assert (plan.notices, plan.raw_uses, plan.kinds) == ((), (), (Kind.READ,))


def test_of_several_statements_each_is_judged_and_the_first_reason_counts() -> None:
    plan = seen("select id from employees; drop table employees; insert into nowhere select 1")
    assert plan.would is not None
    assert plan.would.code == "statement-not-allowed"
    assert plan.relations == ("shop.employees", "nowhere")
    assert plan.write is None
    many = "select 1; " * 100 + "delete from employees"
    assert seen(many).relations == ("shop.employees",)
    assert seen(many).verbs[-1] == "DELETE"
    long = f"select {', '.join('a' for _ in range(5000))}; delete from employees"
    assert len(seen(long).normalised) < 10_000
    assert seen(long).normalised.endswith("; delete from employees")


def test_relations_are_found_wherever_they_are_named() -> None:
    for text, relations in (
        ("delete `P` from `shop` . `employees` as `P`", ("shop.employees",)),
        ("load data infile 'x' into table employees", ("shop.employees",)),
        ("prepare s from 'select * from employees'", ("shop.employees",)),
        ("create view v as select 1 from other.t join employees", ("v", "other.t", "shop.employees")),
        ("call p('employees')", ("p",)),
        ("/*!50000 delete from employees */", ("shop.employees",)),
    ):
        assert set(seen(text).relations) == set(relations), text


def test_what_names_stand_for_is_made_and_used() -> None:
    assert seen("prepare `S` from 'select 1'").defines == (("statement", "s"),)
    assert seen("execute s using @a").uses == (("statement", "s"),)
    assert seen("execute immediate 'select 1'").uses == ()


def test_values_that_may_tell_who_somebody_is_are_found_and_remembered_apart() -> None:
    plan = seen("insert into employees values (41114111, 'ann@example.org', ?, 7)")
    assert plan.subjects == ("41114111", "ann@example.org", 1)
    assert seen("insert into nowhere values ('ann@example.org')").subjects == ()
    cache = PlanCache(judged, lambda text, view: free_literals(text, view.policy), str)
    verdict = cache.judge(OBSERVED, 0, "delete from employees where email = 'ann@example.org'")
    assert not isinstance(verdict, Refusal)
    assert verdict.said.subjects == ("ann@example.org",)
    assert "ann" not in str(verdict.fields)


def test_only_a_text_that_may_load_is_given_a_file() -> None:
    for text in (b"LOAD DATA LOCAL INFILE 'x' INTO TABLE t", b"load /*!*/ xml local infile 'x'", b"execute s"):
        assert may_load(text)
    for text in (b"select 1", b"load data infile 'x' into table t", b"call p()"):
        assert not may_load(text)


def test_an_error_leaves_open_whether_backslashes_escape_where_that_may_have_changed() -> None:
    reader, quoted = Reader(UTF8), b"select 'it\\'s'"
    assert reader.text(quoted)
    reader.failed()
    assert reader.text(quoted)
    reader.text(b"set sql_mode = 'NO_BACKSLASH_ESCAPES', nothing = 1")
    reader.failed()
    assert reader.text(quoted) is None
    reader.reported(escapes=True)
    assert reader.text(quoted)


def test_the_beginning_of_a_text_that_is_too_long_is_on_record_where_it_can_be_told() -> None:
    reader = Reader(UTF8)
    outlined = reader.outline(b"insert into t values (1, 'secret'), (2, 'sec")
    assert outlined == {"verb": "INSERT", "sql": "insert into t values (?, ?), (?,"}
    assert reader.outline(b"insert into t values ('\\', secret") == {}


PARTS = st.sampled_from([
    "'", '"', "`", "\\", "''", "\\'", "/*", "*/", "/*!", "/*M!", "-- ", "--", "#", "\n", ";", " ", "select", "1", ",",
    "\u00e9", "x'", "50000", "(", ")",
])  # fmt: skip


@given(st.lists(PARTS, max_size=14), st.lists(PARTS, max_size=8))
def test_what_every_reader_takes_for_a_literal_is_never_shown(before: list[str], after: list[str]) -> None:
    """A text whose pieces both readings agree on, with a value put into one of its strings, shows nothing of it."""
    raw = "".join(before).encode()
    found = pieces(raw)
    if found is None:
        assert seen("".join(before)).normalised == ""
        return
    text = "".join(before) + " 'secret' " + "".join(after)
    shown = seen(text).normalised
    escaping, plain = pieces(text.encode()), pieces(text.encode(), escapes=False)
    if escaping == plain and escaping is not None and any(one.raw == b"'secret'" for one in escaping):
        assert "secret" not in shown
