"""The columns of the catalogs are those of the target's version: clients ask for what theirs has."""

from __future__ import annotations

from dataclasses import replace

import postgast
import pytest
from sqlviews import CATALOG, view

from gateway.sql.postgres import catalogs

BY_VERSION = [
    ("pg_class", "relallfrozen", 18, 99),
    ("pg_constraint", "conenforced", 18, 99),
    ("pg_constraint", "conperiod", 18, 99),
    ("pg_database", "daticulocale", 15, 16),
    ("pg_database", "datlocale", 17, 99),
    ("pg_database", "dathasloginevt", 17, 99),
    ("pg_collation", "colliculocale", 15, 16),
    ("pg_proc", "prosqlbody", 14, 99),
    ("pg_attribute", "attcacheoff", 13, 17),
    ("pg_type", "typsubscript", 14, 99),
]


def columns(catalog: str, major: int) -> list[str]:
    shown = catalogs.shown_sql(f"pg_catalog.{catalog}", view(catalog=replace(CATALOG, server_version=major * 10_000)))
    assert shown is not None
    select = postgast.parse(shown).stmts[0].stmt.select_stmt
    return [node.res_target.name for node in select.target_list]


@pytest.mark.parametrize(("catalog", "column", "first", "last"), BY_VERSION)
def test_a_column_is_shown_where_the_server_has_it(catalog: str, column: str, first: int, last: int) -> None:
    there = [major for major in range(13, 19) if column in columns(catalog, major)]

    assert there == [major for major in range(13, 19) if first <= major <= last]


@pytest.mark.parametrize("name", sorted(catalogs.SYSTEMS))
def test_no_column_is_named_twice_in_any_version(name: str) -> None:
    for major in range(13, 19):
        shown = columns(name.removeprefix("pg_catalog."), major) if name.startswith("pg_catalog.") else []
        assert len(shown) == len(set(shown))
