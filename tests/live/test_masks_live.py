"""Masks on a real PostgreSQL: the table of cases that Python is held to, and what only a server can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from ruamel.yaml import YAML

from gateway.demo.postgres import EmbeddedPostgres
from gateway.policy.kinds import KINDS, checked
from gateway.policy.masks import render
from gateway.policy.schema import Mask
from gateway.policy.types import column_type
from gateway.sql.catalog import Column
from gateway.sql.render import literal_sql, mask_settings, mask_sql

KEY = bytes(range(32))
CORPUS = Path(__file__).parents[1] / "corpus" / "masks"
GROUPS = [group for file in sorted(CORPUS.glob("*.yaml")) for group in YAML(typ="safe").load(file)]


def mask_of(given: dict[str, Any]) -> Mask:
    options = dict(given)
    return checked(options.pop("mask"), options)


def column(declared: str) -> Column:
    return Column("v", 1, declared, declared, "")


def comparable(text: str | None, declared: str) -> Any:
    group = column_type(declared).group
    if text is None or group not in {"float", "jsonb"}:
        return text.rstrip(" ") if text and declared.startswith("character(") else text
    return float(text) if group == "float" else json.loads(text, parse_float=Decimal)


@pytest.fixture
def connection(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set standard_conforming_strings = on")
        yield connection


def pin(connection: psycopg.Connection[Any], settings: dict[str, str]) -> None:
    for name, value in settings.items():
        connection.execute("select set_config(%s, %s, false)", [name, value])


def masked(connection: psycopg.Connection[Any], mask: Mask, declared: str, values: list[str | None]) -> list[Any]:
    connection.execute("drop table if exists pg_temp.subject")
    connection.execute(f"create temp table subject (i int, v {declared})")
    for i, value in enumerate(values):
        connection.execute(
            sql.SQL("insert into subject values ({}, cast({} as " + declared + "))").format(i, sql.Literal(value))
        )
    text = f"select i, {mask_sql(mask, 't.v', column(declared))} as v from subject t"
    rows = connection.execute(f"select case when v is not null then format('%s', v) end from ({text}) q order by i")
    return [row[0] for row in rows.fetchall()]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group['mask']} {group['type']}"[:80])
def test_a_mask_makes_of_each_value_what_the_table_says(
    connection: psycopg.Connection[Any], group: dict[str, Any]
) -> None:
    pin(connection, mask_settings(KEY))
    values = [value for value, _ in group["cases"]]

    made = masked(connection, mask_of(group["mask"]), group["type"], values)

    wanted = [expected for _, expected in group["cases"]]
    assert [comparable(one, group["type"]) for one in made] == [comparable(one, group["type"]) for one in wanted]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group['mask']} {group['type']}"[:80])
def test_a_mask_keeps_the_type_and_its_length(connection: psycopg.Connection[Any], group: dict[str, Any]) -> None:
    declared = group["type"]
    connection.execute(f"create temp table subject (v {declared})")
    text = mask_sql(mask_of(group["mask"]), "t.v", column(declared))
    connection.execute(f"create temp view made as select {text} as v from subject t")

    kept = connection.execute(
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'made'::regclass and attname = 'v'"
    ).fetchone()

    assert kept == (declared,)


@pytest.mark.parametrize("settings", [{}, dict.fromkeys(mask_settings(KEY), "")], ids=["never set", "reset"])
@pytest.mark.parametrize("missing", [*mask_settings(KEY), "both"])
def test_a_keyed_mask_without_its_whole_key_is_null(
    connection: psycopg.Connection[Any], missing: str, settings: dict[str, str]
) -> None:
    whole = mask_settings(KEY)
    pin(connection, {} if missing == "both" else {name: value for name, value in whole.items() if name != missing})
    pin(
        connection,
        settings if missing == "both" else {name: value for name, value in settings.items() if name == missing},
    )
    keyed = [group for group in GROUPS if KINDS[group["mask"]["mask"]].keyed and group["type"] != "jsonb"]
    assert len(keyed) > 10

    for group in keyed:
        made = masked(connection, mask_of(group["mask"]), group["type"], [value for value, _ in group["cases"]])
        assert set(made) == {None}, group["mask"]


def test_reset_all_takes_keyed_values_away(connection: psycopg.Connection[Any]) -> None:
    pin(connection, mask_settings(KEY))
    connection.execute("reset all")

    assert masked(connection, checked("email", {}), "text", ["alice@example.com"]) == [None]


def test_a_domain_with_a_constraint_cannot_make_a_mask_fault(connection: psycopg.Connection[Any]) -> None:
    pin(connection, mask_settings(KEY))
    connection.execute("create domain pg_temp.address as varchar(30) not null check (value like '%@example.com')")
    connection.execute("create temp table people (v pg_temp.address)")
    connection.execute("insert into people values ('alice@example.com')")
    domain = Column("v", 1, "pg_temp.address", "varchar", "S")

    for kind in ("null", "redact", "email", "partial", "initials"):
        text = mask_sql(checked(kind, {}), "t.v", domain)
        rows = connection.execute(f"select cast({text} as text) from people t").fetchall()
        assert rows == [(render(checked(kind, {}), "alice@example.com", KEY, "varchar"),)]


def test_a_column_that_compares_without_case_can_be_masked(connection: psycopg.Connection[Any]) -> None:
    pin(connection, mask_settings(KEY))
    connection.execute(
        "create collation pg_temp.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    connection.execute("create temp table people (v text collate pg_temp.loose)")
    connection.execute("insert into people values ('Alice@Example.com')")

    for kind in ("redact", "email", "partial", "initials", "digits", "truncate_ip"):
        text = mask_sql(checked(kind, {}), "t.v", column("text"))
        rows = connection.execute(f"select v from (select {text} as v from people t) q order by v").fetchall()
        assert rows == [(render(checked(kind, {}), "Alice@Example.com", KEY, "text"),)]


def test_the_names_in_a_mask_cannot_be_captured(connection: psycopg.Connection[Any]) -> None:
    """A search path with hostile look-alikes first changes nothing."""
    pin(connection, mask_settings(KEY))
    connection.execute("create schema hostile")
    try:
        connection.execute("create function hostile.left(text, int) returns text language sql as 'select $1'")
        connection.execute("create function hostile.sha256(bytea) returns bytea language sql as 'select $1'")
        connection.execute("create function hostile.cat(text, text) returns text language sql as 'select $2'")
        connection.execute("create operator hostile.|| (leftarg = text, rightarg = text, function = hostile.cat)")
        connection.execute("create domain hostile.text as pg_catalog.text check (false)")
        connection.execute("create temp table people as select 'alice@example.com'::pg_catalog.text as v")
        connection.execute("set search_path = hostile, pg_catalog")
        made = connection.execute(f"select {mask_sql(checked('email', {}), 't.v', column('text'))} from people t")
        assert made.fetchall() == [(render(checked("email", {}), "alice@example.com", KEY, "text"),)]
    finally:
        connection.execute("reset search_path")
        connection.execute("drop schema hostile cascade")


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("text", "it's; drop table x --"),
        ("text", "back\\slash' or true --"),
        ("text", "\\"),
        ("character varying(3)", "日本語"),
        ("smallint", "-32768"),
        ("integer", "2147483647"),
        ("bigint", "-9223372036854775808"),
        ("uuid", "6F1F2A3E-93A7-4A64-8F2B-2F8A1A3C4D5E"),
    ],
)
@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.filterwarnings("ignore")
def test_a_literal_is_the_value_and_nothing_else(
    connection: psycopg.Connection[Any], declared: str, value: str, conforming: str
) -> None:
    connection.execute(f"set standard_conforming_strings = {conforming}")
    connection.execute("set escape_string_warning = off")

    rows = connection.execute(f"select cast({literal_sql(value, column(declared))} as text)").fetchall()

    assert rows == [(value.lower() if declared == "uuid" else value,)]
