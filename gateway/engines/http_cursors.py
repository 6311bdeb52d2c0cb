"""Answers that go on in further pages: whose they are, and how much of each statement has left.

INVARIANT: a page is found by the session that got the one before it, and by no other; what it says of where it is was
sealed with a key of its statement. Pages share the budgets of a statement, so one of them is under way at a time; what
ends a statement has no rows, and waits for none.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.budgets import statement_refusal
from gateway.errors import Refusal
from gateway.http import cursors
from gateway.http.message import HttpPlan
from gateway.policy.http_rules import Route
from gateway.policy.schema import LimitRule
from gateway.sql.cache import Judgement, plan_fields

MOST = 64
"""Statements of one session whose answers may go on."""
PATIENCE_S = 5.0
_TURN_S = 0.02
BUSY = Refusal("request-invalid", "another page of this statement is under way", "ask again when it is there")


@dataclass(slots=True, eq=False)
class Cursor:
    """One statement whose answer may go on: its judgement, and the rows and bytes of it that have left."""

    judgement: Judgement
    route: Route
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(cursors.KEY_BYTES), repr=False)
    rows: int = 0
    bytes: int = 0

    def page(self, plan: HttpPlan, mark: Callable[[str], Any]) -> tuple[str, HttpPlan, Judgement] | None:
        """What the server calls the page, its request, and what records say of it; None for a seal of elsewhere."""
        assert plan.page is not None
        found = cursors.opened(self.key, plan.page.seal)
        if found is None:
            return None
        verb = "CANCEL" if plan.page.ends else "FETCH"
        made = replace(self.judgement.plan, verbs=(verb,), conceals=False, subjects=())
        known = Judgement(made, plan_fields(made, mark), "")
        return found, replace(plan, route=self.route), known

    def capped(self, limits: LimitRule, rows: int, size: int) -> tuple[int, int]:
        """How much of those rows and bytes, in one page, the statement may still return."""
        if limits.rows_per_statement:
            rows = min(rows, max(0, limits.rows_per_statement - self.rows))
        if limits.bytes_per_statement:
            size = min(size, max(0, limits.bytes_per_statement - self.bytes))
        return rows, size

    def lacks(self, limits: LimitRule, rows: int, size: int) -> Refusal | None:
        """Why a page may not have so many rows and bytes."""
        allowed = self.capped(limits, rows, size)
        if allowed[0] < rows:
            return statement_refusal("row", f"{limits.rows_per_statement} rows")
        return statement_refusal("byte", f"{limits.bytes_per_statement} bytes") if allowed[1] < size else None


class Cursors:
    """Those of one session; the ones that were asked for longest ago go first."""

    def __init__(self) -> None:
        self._known: dict[str, Cursor] = {}

    def open(self, judgement: Judgement, route: Route) -> Cursor:
        """A new one."""
        cursor = Cursor(judgement, route)
        self._known[cursor.id] = cursor
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        return cursor

    def find(self, name: str, route: Route) -> Cursor | None:
        """That one, if it is of this session and route."""
        cursor = self._known.pop(name, None)
        if cursor is None:
            return None
        self._known[name] = cursor
        return cursor if cursor.route.name == route.name else None


async def is_free(is_busy: Callable[[], bool]) -> bool:
    """Whether nothing of a statement is under way, now or soon: its end may be told after its client went on."""
    for _ in range(round(PATIENCE_S / _TURN_S)):
        if not is_busy():
            return True
        await asyncio.sleep(_TURN_S)
    return not is_busy()
