"""How much a person may still read: rows and bytes a statement and a day, exact searches and aggregations an hour.

Counts are kept in this process by person and target, over all sessions. Days are UTC days and hours slide. A count is
never lowered while the process lives; a restart forgets it (the trail does not).

INVARIANT: what was announced counts until its statement has ended with less, so that statements at the same time, in
one session or in many, cannot read more than the day allows together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.model import Session
from gateway.policy.schema import Policy
from gateway.sql.statement import Plan

_HOUR_S = 3600.0
_DAY_S = 86_400.0

Who = tuple[str, str]
"""A person's id, and a target."""


class BudgetWarning(NamedTuple):
    """Four fifths of a budget are used. `budget` is its name in the policy."""

    session: Session
    budget: str
    used: int
    limit: int


class _Day:
    """One amount that days are limited in: what was used, and what is held for statements that run."""

    __slots__ = ("held", "held_by", "used")

    def __init__(self) -> None:
        self.used: dict[Who, int] = {}
        self.held: dict[str, int] = {}
        self.held_by: dict[Who, int] = {}

    def free(self, who: Who, limit: int, statement: str = "") -> int:
        return limit - self.used.get(who, 0) - self.held_by.get(who, 0) + self.held.get(statement, 0)

    def hold(self, who: Who, statement: str, amount: int) -> None:
        held = self.held_by.get(who, 0) + amount - self.held.get(statement, 0)
        self.held[statement] = amount
        if held:
            self.held_by[who] = held
        else:
            self.held_by.pop(who, None)

    def spend(self, who: Who, statement: str, amount: int) -> int:
        """What is used in all, that included."""
        if statement in self.held:
            self.hold(who, statement, 0)
            del self.held[statement]
        if not amount:
            return 0
        used = self.used[who] = self.used.get(who, 0) + amount
        return used


class Budgets:
    """The running counts. `clock` gives seconds since 1970-01-01 UTC. Whoever calls takes `warnings` out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.warnings: list[BudgetWarning] = []
        self._clock = clock
        self._today = -1.0
        self._rows, self._bytes = _Day(), _Day()
        self._searches: dict[Who, deque[float]] = {}
        self._aggregations: dict[Who, deque[float]] = {}

    def window(self, session: Session, policy: Policy, statement: str, rows: int, size: int) -> tuple[int, int]:
        """The first window: `rows` and `size` bytes, or less where a statement or the day allows less; even none."""
        limits = policy.limits
        if limits.rows_per_statement:
            rows = min(rows, limits.rows_per_statement)
        if limits.bytes_per_statement:
            size = min(size, limits.bytes_per_statement)
        if limits.rows_per_day:
            rows = self._reserve(self._rows, session, statement, rows, limits.rows_per_day)
        if limits.bytes_per_day:
            size = self._reserve(self._bytes, session, statement, size, limits.bytes_per_day)
        return rows, size

    def admit(self, session: Session, policy: Policy, plan: Plan) -> Refusal | None:
        """Refuse a statement whose person has nothing left; count its uses of raw values."""
        limits = policy.limits
        who = session.principal.id, session.grant.target
        if limits.rows_per_day or limits.bytes_per_day:
            self._turn()
            if limits.rows_per_day and self._rows.used.get(who, 0) >= limits.rows_per_day:
                return _day_refusal("row", f"{limits.rows_per_day} rows")
            if limits.bytes_per_day and self._bytes.used.get(who, 0) >= limits.bytes_per_day:
                return _day_refusal("byte", f"{limits.bytes_per_day} bytes")
        if not plan.searches:
            return None
        searched, summed = len(plan.exact_searches), len(plan.aggregations)
        searches, aggregations = limits.exact_searches_per_hour, limits.aggregates_per_hour
        if not self._fits(self._searches, who, searched, searches):
            return _hour_refusal("search", f"{searches} exact searches", "search by a column that is shown in clear")
        if not self._fits(self._aggregations, who, summed, aggregations):
            hint = "ask for several groups in one statement, with GROUP BY"
            return _hour_refusal("aggregate", f"{aggregations} aggregations of real values", hint)
        # both fit, or neither is counted
        self._count(self._searches, session, "exact_searches_per_hour", searched, searches)
        self._count(self._aggregations, session, "aggregates_per_hour", summed, aggregations)
        return None

    def extend(
        self, session: Session, policy: Policy, statement: str, needed: tuple[int, int], wished: tuple[int, int]
    ) -> tuple[int, int] | Refusal:
        """Let a running statement have the `wished` rows and bytes in all, at least the `needed` ones, or refuse."""
        limits = policy.limits
        (rows, size), (more_rows, more_size) = needed, wished
        if limits.rows_per_statement:
            if rows > limits.rows_per_statement:
                return _statement_refusal("row", f"{limits.rows_per_statement} rows")
            more_rows = min(more_rows, limits.rows_per_statement)
        if limits.bytes_per_statement:
            if size > limits.bytes_per_statement:
                return _statement_refusal("byte", f"{limits.bytes_per_statement} bytes")
            more_size = min(more_size, limits.bytes_per_statement)
        who = session.principal.id, session.grant.target
        if limits.rows_per_day or limits.bytes_per_day:
            self._turn()
            if limits.rows_per_day and rows > self._rows.free(who, limits.rows_per_day, statement):
                return _day_refusal("row", f"{limits.rows_per_day} rows")
            if limits.bytes_per_day and size > self._bytes.free(who, limits.bytes_per_day, statement):
                return _day_refusal("byte", f"{limits.bytes_per_day} bytes")
            if limits.rows_per_day:
                more_rows = self._reserve(self._rows, session, statement, more_rows, limits.rows_per_day)
            if limits.bytes_per_day:
                more_size = self._reserve(self._bytes, session, statement, more_size, limits.bytes_per_day)
        return more_rows, more_size

    def spend(self, session: Session, policy: Policy, statement: str, rows: int, size: int) -> None:
        """Count what has left when a statement has ended."""
        limits = policy.limits
        if not (rows or size or limits.rows_per_day or limits.bytes_per_day):
            return
        self._turn()
        who = session.principal.id, session.grant.target
        used = self._rows.spend(who, statement, rows)
        if limits.rows_per_day:
            self._warn(session, "rows_per_day", used, rows, limits.rows_per_day)
        used = self._bytes.spend(who, statement, size)
        if limits.bytes_per_day:
            self._warn(session, "bytes_per_day", used, size, limits.bytes_per_day)

    def _fits(self, made: dict[Who, deque[float]], who: Who, added: int, limit: int) -> bool:
        """Whether so many more are allowed within the hour before now."""
        if not added or not limit:
            return True
        when, earliest = made.setdefault(who, deque()), self._clock() - _HOUR_S
        while when and when[0] <= earliest:
            when.popleft()
        return len(when) + added <= limit

    def _count(self, made: dict[Who, deque[float]], session: Session, budget: str, added: int, limit: int) -> None:
        if added and limit:
            when, now = made[session.principal.id, session.grant.target], self._clock()
            when.extend(now for _ in range(added))
            self._warn(session, budget, len(when), added, limit)

    def _reserve(self, day: _Day, session: Session, statement: str, amount: int, limit: int) -> int:
        self._turn()
        who = session.principal.id, session.grant.target
        amount = max(0, min(amount, day.free(who, limit, statement)))
        day.hold(who, statement, amount)
        return amount

    def _warn(self, session: Session, budget: str, used: int, added: int, limit: int) -> None:
        if used * 5 >= limit * 4 > (used - added) * 5:
            self.warnings.append(BudgetWarning(session, budget, used, limit))

    def _turn(self) -> None:
        """Begin a new day when it is one; a clock that goes back gives nothing back."""
        day = self._clock() // _DAY_S
        if day > self._today:
            self._today = day
            self._rows.used.clear()
            self._bytes.used.clear()


def _statement_refusal(what: str, much: str) -> Refusal:
    return Refusal(
        f"{what}-budget-exhausted",
        f"a statement may return {much} here",
        hint="add a LIMIT or narrow the condition; aggregates run over all rows",
    )


def _hour_refusal(what: str, much: str, hint: str) -> Refusal:
    return Refusal(f"{what}-budget-exhausted", f"{much} an hour are allowed and used", hint=f"wait, or {hint}")


def _day_refusal(what: str, much: str) -> Refusal:
    return Refusal(
        f"{what}-budget-exhausted",
        f"{much} a day are allowed and used",
        hint="the budget starts anew at 00:00 UTC",
    )
