"""What of MySQL's EXPLAIN is let through, and what is not even asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.policy.load import load_policy
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.mysql.explain import scrubbed
from gateway.sql.statement import Kind, Plan, View

POLICY = replace(load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml"), dialect="mariadb")
VIEW = View(POLICY, declared(POLICY), ("42",), search_path=("shop",))


@pytest.mark.parametrize(
    ("name", "cell", "shown"),
    [
        (b"id", b"1", b"1"),
        (b"select_type", b"DERIVED", b"DERIVED"),
        (b"table", b"<derived3>", b"<derived3>"),
        (b"type", b"ref", b"ref"),
        (b"possible_keys", b"PRIMARY,fires_over_100k", b"(hidden)"),
        (b"key", b"fires_over_100k", b"(hidden)"),
        (b"key", b"PRIMARY", b"PRIMARY"),
        (b"key", b"key0", b"key0"),
        (b"key", None, None),
        (b"rows", b"7", None),
        (b"r_rows", b"7.00", None),
        (b"filtered", b"14.29", None),
        (b"partitions", b"p_fired", None),
        (b"whatever", b"x", None),
        (b"Extra", b"Using where; Using temporary", b"Using where; Using temporary"),
        (b"Extra", b"Using where; FirstMatch(<derived6>)", b"Using where"),
        (b"Extra", b"Impossible WHERE noticed after reading const tables", None),
        (b"Extra", b"no matching row in const table", None),
        (b"Extra", b"Const row not found", None),
    ],
)
def test_a_cell_is_shown_by_what_its_column_is(name: bytes, cell: bytes | None, shown: bytes | None) -> None:
    assert scrubbed([name], [cell]) == (shown,)


@pytest.mark.parametrize(
    "said",
    ["explain select id from employees", "DESC FORMAT=TRADITIONAL select id from employees"],
)
def test_what_is_explained_is_the_proven_text(said: str) -> None:
    plain = mysql.analyse(said[said.lower().index("select") :].rstrip(")"), VIEW)
    found = mysql.analyse(said, VIEW)

    assert isinstance(plain, Plan)
    assert isinstance(found, Plan)
    assert found.rewritten == f"EXPLAIN FORMAT=TRADITIONAL {plain.rewritten}"
    assert found.explains
    assert found.kinds == (Kind.UTILITY,)
    assert found.relations == plain.relations


def test_a_view_is_not_explained_nor_what_follows_one() -> None:
    relations = dict(VIEW.catalog.relations)
    relations["shop.employees"] = replace(relations["shop.employees"], kind="v")
    seen = replace(VIEW, catalog=replace(VIEW.catalog, relations=relations))

    for table in ("employees", "payslips"):
        refused = mysql.analyse(f"explain select id from {table}", seen)
        assert isinstance(refused, Refusal)
        assert "`shop.employees` may be read" in refused.message
    assert isinstance(mysql.analyse("explain select id from companies", seen), Plan)
