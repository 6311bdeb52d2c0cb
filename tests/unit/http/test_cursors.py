"""Seals of further pages: what one key closed, no other key opens, and no change of it does."""

from __future__ import annotations

import base64

import pytest

from gateway.engines.http_cursors import MOST, Cursor, Cursors
from gateway.http.cursors import Paging, opened, sealed
from gateway.policy.http_rules import Route
from gateway.policy.schema import LimitRule
from gateway.sql.cache import Judgement
from gateway.sql.statement import Plan

ONE, OTHER = bytes(32), bytes(range(32))
ROUTE = Route("statement", "POST", ("v1", "statement"), dialect="trino")
JUDGED = Judgement(Plan("", (), ("SELECT",), "", "", ""), {}, "")


@pytest.mark.parametrize("text", ["", "executing/20261128_1/y1/0", "é" * 3000])
def test_a_seal_is_opened_by_its_key_alone(text: str) -> None:
    seal = sealed(ONE, text)

    assert opened(ONE, seal) == text
    assert opened(OTHER, seal) is None
    assert sealed(ONE, text) == seal
    assert Paging("https://x", "c", ONE).sealed(text) == seal


def test_no_changed_seal_is_opened() -> None:
    raw = base64.urlsafe_b64decode(sealed(ONE, "queued/1") + "==")
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        assert opened(ONE, base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")) is None
    for seal in ("", "x", "=", "é", "a" * 11, "!" * 40):
        assert opened(ONE, seal) is None


def test_a_session_keeps_its_latest_statements() -> None:
    mine = Cursors()
    first = mine.open(JUDGED, ROUTE)
    others = [mine.open(JUDGED, ROUTE) for _ in range(MOST - 1)]
    assert mine.find(first.id, ROUTE) is first

    mine.open(JUDGED, ROUTE)

    assert mine.find(first.id, ROUTE) is first
    assert mine.find(others[0].id, ROUTE) is None
    assert Cursors().find(first.id, ROUTE) is None
    assert mine.find(others[1].id, Route("other", "POST", ("v1", "statement"), dialect="trino")) is None


def test_pages_share_what_a_statement_may_return() -> None:
    cursor, limits = Cursor(JUDGED, ROUTE), LimitRule(rows_per_statement=10, bytes_per_statement=1000)
    assert cursor.capped(limits, 64, 4096) == (10, 1000)

    cursor.rows, cursor.bytes = 8, 990

    assert cursor.capped(limits, 64, 4096) == (2, 10)
    assert cursor.lacks(limits, 2, 10) is None
    rows, size = cursor.lacks(limits, 3, 10), cursor.lacks(limits, 2, 11)
    assert rows is not None
    assert size is not None
    assert (rows.code, size.code) == ("row-budget-exhausted", "byte-budget-exhausted")
    assert cursor.lacks(LimitRule(), 10**9, 10**9) is None
