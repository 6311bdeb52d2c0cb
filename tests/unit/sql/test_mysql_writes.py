"""Statements that write, over MySQL: what is refused and why, what an approver sees, and that the check distrusts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mysql_write_view import CATALOG, write_view
from ruamel.yaml import YAML

from gateway.errors import GatewayError, Refusal
from gateway.sql import mysql
from gateway.sql.catalog import Reference, Unique
from gateway.sql.statement import Kind, Plan, View

CORPUS = Path(__file__).parents[2] / "corpus" / "mysql"


def _attacks() -> list[Any]:
    read = YAML(typ="safe").load(CORPUS / "write_attacks.yaml")
    return [pytest.param(sql, code, id=sql[:60]) for code, several in read.items() for sql in several]


def plan_of(sql: str, view: View | None = None) -> Plan:
    plan = mysql.analyse(sql, view or write_view())
    assert isinstance(plan, Plan), (sql, plan)
    return plan


def refused(sql: str, view: View | None = None) -> Refusal:
    made = mysql.analyse(sql, view or write_view())
    assert isinstance(made, Refusal), sql
    return made


@pytest.mark.parametrize(("sql", "code"), _attacks())
def test_an_attack_is_refused_with_its_code(sql: str, code: str) -> None:
    made = refused(sql)
    assert (made.code, bool(made.hint)) == (code, True)
