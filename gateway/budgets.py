"""How much a person may still read: rows a statement, rows a day, exact searches an hour.

Counts are kept in this process by person and target. Days are UTC days and hours slide. A count is never lowered while
the process lives; a restart forgets it (the trail does not).

INVARIANT: rows that were announced count until their statement has ended with fewer, so that statements at the same
time, in one session or in many, cannot read more than the day allows together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gateway.errors import Refusal
from gateway.model import Session
from gateway.policy.schema import Policy
from gateway.sql.statement import Plan

_HOUR_S = 3600.0
_DAY_S = 86_400.0


class Budgets:
    """The running counts. `clock` gives seconds since 1970-01-01 UTC."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str], int] = {}
        self._day = -1.0
        self._held: dict[str, int] = {}
        self._held_by: dict[tuple[str, str], int] = {}
        self._searches: dict[tuple[str, str], deque[float]] = {}

    def window(self, session: Session, policy: Policy, statement: str, rows: int) -> int:
        """The first window: `rows`, or less where a statement or the rest of the day allows less; even none for now."""
        limits = policy.limits
        if limits.rows_per_statement:
            rows = min(rows, limits.rows_per_statement)
        if limits.rows_per_day:
            rows = max(0, min(rows, self._free(session, limits.rows_per_day)))
            self._hold(session, statement, rows)
        return rows

    def admit(self, session: Session, policy: Policy, plan: Plan) -> Refusal | None:
        """Refuse a statement whose person has nothing left; count its exact searches."""
        limits = policy.limits
        if limits.rows_per_day and self._spent(session) >= limits.rows_per_day:
            return self._day_refusal(limits.rows_per_day)
        if not plan.searches or not limits.exact_searches_per_hour:
            return None
        now = self._clock()
        made = self._searches.setdefault((session.principal.id, session.grant.target), deque())
        while made and made[0] <= now - _HOUR_S:
            made.popleft()
        if len(made) + len(plan.searches) > limits.exact_searches_per_hour:
            return Refusal(
                "search-budget-exhausted",
                f"{limits.exact_searches_per_hour} exact searches an hour are allowed and used",
                hint="wait, or search by a column that is shown in clear",
            )
        made.extend(now for _ in plan.searches)
        return None

    def extend(self, session: Session, policy: Policy, statement: str, rows: int, wished: int) -> int | Refusal:
        """Let a running statement have `wished` rows in all, at least `rows`, or refuse."""
        limit = policy.limits.rows_per_day
        if not limit:
            return wished
        free = self._free(session, limit) + self._held.get(statement, 0)
        if rows > free:
            return self._day_refusal(limit)
        self._hold(session, statement, min(wished, free))
        return min(wished, free)

    def spend(self, session: Session, statement: str, rows: int) -> None:
        """Count the rows that have left when a statement has ended."""
        if statement in self._held:
            self._hold(session, statement, 0)
            del self._held[statement]
        if rows:
            who = session.principal.id, session.grant.target
            self._rows[who] = self._spent(session) + rows

    def statement_refusal(self, limit: int) -> Refusal:
        """What a statement that returns too many rows ends with."""
        return Refusal(
            "row-budget-exhausted",
            f"a statement may return {limit} rows here",
            hint="add a LIMIT or narrow the condition; aggregates run over all rows",
        )

    def _day_refusal(self, limit: int) -> Refusal:
        return Refusal(
            "row-budget-exhausted",
            f"{limit} rows a day are allowed and used",
            hint="the budget starts anew at 00:00 UTC",
        )

    def _hold(self, session: Session, statement: str, rows: int) -> None:
        who = session.principal.id, session.grant.target
        held = self._held_by.get(who, 0) + rows - self._held.get(statement, 0)
        self._held[statement] = rows
        if held:
            self._held_by[who] = held
        else:
            self._held_by.pop(who, None)

    def _free(self, session: Session, limit: int) -> int:
        return limit - self._spent(session) - self._held_by.get((session.principal.id, session.grant.target), 0)

    def _spent(self, session: Session) -> int:
        day = self._clock() // _DAY_S
        # a clock that goes back gives nothing back
        if day > self._day:
            self._rows.clear()
            self._day = day
        return self._rows.get((session.principal.id, session.grant.target), 0)
