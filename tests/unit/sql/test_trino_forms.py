"""Trino's EXECUTE IMMEDIATE and SHOW: what they stand for, and how a key goes on as a parameter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Refusal
from gateway.policy.http_dialects import route
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy
from gateway.sql import trino
from gateway.sql.declared import declared
from gateway.sql.statement import Plan, View
from gateway.sql.trino.forms import bound, immediate

POLICY = replace(
    load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml"),
    dialect="trino",
    http=HttpRules((route("statement", "POST", ("v1", "statement"), "trino", "hive"),)),
)
VIEW = View(POLICY, declared(POLICY), ("42",), search_path=("shop",))
KEY = bytes(range(32))


def plan(text: str) -> Plan:
    found = trino.analyse(text, VIEW)
    assert isinstance(found, Plan), found
    return found


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("select 1", "select 1"),
        ("EXECUTE IMMEDIATE 'select 1'", "select 1"),
        ("execute  immediate\n'select ''a'', ?' using 1;", "select 'a',  1 "),
        ("execute immediate 'select ?, ?' using 'it''s', -1.5", "select  'it''s' ,  (-1.5) "),
        ("execute immediate 'select ?' using date '2024-01-31'", "select  (date '2024-01-31') "),
        ("execute immediate 'select ?' using DECIMAL '1.50'", "select  (1.50) "),
        ("execute immediate 'select ''?'', ?' using null", "select '?',  null "),
        ("execute immediate 'select ? -- ?' using true", "select  true  -- ?"),
    ],
)
def test_a_value_stands_where_its_mark_stood(text: str, meant: str) -> None:
    assert immediate(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "execute x", "execute immediate select 1", "execute immediate 'select ?'",
        "execute immediate 'select 1' using 1",
        "execute immediate 'select ?' using a", "execute immediate 'select ?' using (1)",
        "execute immediate 'select ?' using 1,", "execute immediate 'select ?' using ,1",
        "execute immediate 'select ?' using now()", "execute immediate 'select ?' using ?",
        "execute immediate 'select ?'using", "execute immediate 'select 1' 'x'",
    ],
)  # fmt: skip
def test_what_is_no_constant_is_refused(text: str) -> None:
    with pytest.raises(GatewayError):
        immediate(text)


def test_a_key_goes_on_as_a_parameter_and_never_in_the_text() -> None:
    text = plan("select email, '?' as \"x\" from employees where last_name = '?''?'").rewritten
    sent = bound(text, KEY)

    assert KEY.hex() not in text
    marks = sent.rpartition(" USING ")[2].split(", ")
    assert set(marks) == {f"X'{KEY.hex()}'"}
    assert len(marks) == text.replace("'?'", "").replace("'?''?'", "").replace("(?:", "").count("?")
    assert immediate(sent.rpartition(" USING ")[0].replace("?", "0")) == text.replace("?", "0")


def test_a_statement_without_keyed_masks_goes_on_as_it_is() -> None:
    text = plan("select id, '?' as x from employees").rewritten

    assert bound(text, KEY) == text


@pytest.mark.parametrize("sql", ["show tables", "SHOW TABLES FROM shop;", "show tables in hive.shop", "show catalogs",
                                 "show schemas", "show schemas from hive", "describe employees", "desc shop.employees",
                                 'show columns from hive.shop."employees"', "show tables like 'e%'"])  # fmt: skip
def test_what_is_shown_is_constants_of_the_policy(sql: str) -> None:
    found = plan(sql)

    assert found.rewritten.startswith('SELECT "')
    assert " FROM (VALUES (" in found.rewritten
    assert '"shop"' not in found.rewritten
    assert "'notes', 'varchar'" not in found.rewritten
    assert found.relations == ()


def test_a_pattern_ends_where_it_ends() -> None:
    assert plan("show tables like 'x''y%'").rewritten.endswith(" WHERE \"Table\" LIKE 'x''y%'")
    assert isinstance(trino.analyse("show tables like 'x' or 1 = 1 --'", VIEW), Refusal)


def test_names_are_the_same_in_any_case_and_their_catalog_is_the_policys() -> None:
    small = plan("select e.id from hive.shop.employees as e").rewritten

    assert plan('SELECT E.id FROM Hive."SHOP".Employees AS E').rewritten == small
    assert 'FROM "hive"."shop"."employees" AS "gateway_t"' in small
    refusal = trino.analyse("select id from other.shop.employees", VIEW)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "relation-not-available"


def test_a_record_of_parameters_has_none() -> None:
    text = "execute immediate 'select id from employees where email = ?' using 'alice@example.com'"

    assert trino.normalise(text, POLICY) == 'SELECT "id" FROM "employees" WHERE ("email" = ?)'
    assert trino.telling(text, POLICY) == ("alice@example.com",)
    assert trino.normalise("execute nothing", POLICY) == ""
    assert trino.telling("execute nothing", POLICY) == ()
