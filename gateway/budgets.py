"""How much a person may still read: rows and bytes a statement and a day, exact searches and aggregations an hour.

Counts are kept in this process by person and target, over all sessions. Days are UTC days and hours slide. A count is
never lowered while its day or hour lasts; `ledger.py` brings it over a restart, and tells what other gateways on the
same store have used, a moment late.

INVARIANT: what was announced counts until its statement has ended with less, so that statements at the same time, in
one session or in many, cannot read more than the day allows together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.model import Session
from gateway.policy.schema import Policy
from gateway.sql.statement import Plan

HOUR_S = 3600.0
DAY_S = 86_400.0

Who = tuple[str, str]
"""A person's id, and a target."""


class BudgetWarning(NamedTuple):
    """Four fifths of a budget are used. `budget` is its name in the policy."""

    session: Session
    budget: str
    used: int
    limit: int


class Used(NamedTuple):
    """What one person has used on one target: rows and bytes of the day, moments of the hour (seconds since 1970)."""

    person: str
    target: str
    rows: int
    bytes: int
    searches: list[float]
    aggregations: list[float]


class Spent(NamedTuple):
    """How much of a budget of the policy is used: `left` is what a statement could still have."""

    budget: str
    used: int
    left: int
    limit: int


class _Amount:
    """One amount that statements and days are limited in: what was used, and what is held for statements that run.

    `what` is its word for one. A limit of 0 limits nothing.
    """

    __slots__ = ("elsewhere", "held", "held_by", "used", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.used: dict[Who, int] = {}
        self.held: dict[str, int] = {}
        self.held_by: dict[Who, int] = {}
        self.elsewhere: dict[Who, int] = {}

    def window(self, who: Who, statement: str, wished: int, each: int, daily: int) -> int:
        """What a statement may have in all: `wished`, or less where a statement (`each`) or the day allows less."""
        if each and wished > each:
            wished = each
        if daily:
            free = self._free(who, daily, statement)
            if wished > free:
                wished = max(0, free)
            self._hold(who, statement, wished)
        return wished

    def lacks(self, who: Who, statement: str, needed: int, each: int, daily: int) -> Refusal | None:
        """Why a running statement may not have the `needed` amount in all."""
        if each and needed > each:
            return statement_refusal(self.what, f"{each} {self.what}s")
        if daily and needed > self._free(who, daily, statement):
            return _day_refusal(self.what, f"{daily} {self.what}s")
        return None

    def spend(self, who: Who, statement: str, amount: int) -> int:
        """What is used in all, that included."""
        if statement in self.held:
            self._hold(who, statement, 0)
            del self.held[statement]
        if not amount:
            return 0
        used = self.used[who] = self.used.get(who, 0) + amount
        return used

    def _free(self, who: Who, limit: int, statement: str) -> int:
        free = limit - self.used.get(who, 0) - self.held_by.get(who, 0) + self.held.get(statement, 0)
        return free - self.elsewhere.get(who, 0) if self.elsewhere else free

    def _hold(self, who: Who, statement: str, amount: int) -> None:
        held = self.held_by.get(who, 0) + amount - self.held.get(statement, 0)
        self.held[statement] = amount
        if held:
            self.held_by[who] = held
        else:
            self.held_by.pop(who, None)


class Budgets:
    """The running counts. `clock` gives seconds since 1970-01-01 UTC. Whoever calls takes `warnings` out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.warnings: list[BudgetWarning] = []
        self._clock = clock
        self._today = -1.0
        self._rows, self._bytes = _Amount("row"), _Amount("byte")
        self._searches: dict[Who, deque[float]] = {}
        self._aggregations: dict[Who, deque[float]] = {}
        self._elsewhere: dict[str, dict[Who, list[float]]] = {"searches": {}, "aggregations": {}}

    def window(self, session: Session, policy: Policy, statement: str, rows: int, size: int) -> tuple[int, int]:
        """The first window: `rows` and `size` bytes, or less where a statement or the day allows less; even none."""
        limits = policy.limits
        if limits.rows_per_day or limits.bytes_per_day:
            self._turn()
        who = session.principal.id, session.grant.target
        # for each statement: what is not limited is not asked for
        if limits.rows_per_statement or limits.rows_per_day:
            rows = self._rows.window(who, statement, rows, limits.rows_per_statement, limits.rows_per_day)
        if limits.bytes_per_statement or limits.bytes_per_day:
            size = self._bytes.window(who, statement, size, limits.bytes_per_statement, limits.bytes_per_day)
        return rows, size

    def admit(self, session: Session, policy: Policy, plan: Plan) -> Refusal | None:
        """Refuse a statement whose person has nothing left; count its uses of raw values."""
        limits = policy.limits
        who = session.principal.id, session.grant.target
        if limits.rows_per_day or limits.bytes_per_day:
            self._turn()
            for amount, daily in ((self._rows, limits.rows_per_day), (self._bytes, limits.bytes_per_day)):
                if daily and amount.used.get(who, 0) + amount.elsewhere.get(who, 0) >= daily:
                    return _day_refusal(amount.what, f"{daily} {amount.what}s")
        if not plan.raw_uses:
            return None
        searched, summed = len(plan.exact_searches), len(plan.aggregations)
        searches, aggregations = limits.exact_searches_per_hour, limits.aggregates_per_hour
        if not self._fits("searches", who, searched, searches):
            return _hour_refusal("search", f"{searches} exact searches", "search by a column that is shown in clear")
        if not self._fits("aggregations", who, summed, aggregations):
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
        if limits.rows_per_day or limits.bytes_per_day:
            self._turn()
        who = session.principal.id, session.grant.target
        of_rows, of_bytes = (
            (limits.rows_per_statement, limits.rows_per_day),
            (limits.bytes_per_statement, limits.bytes_per_day),
        )
        lacking = self._rows.lacks(who, statement, needed[0], *of_rows)
        lacking = lacking or self._bytes.lacks(who, statement, needed[1], *of_bytes)
        if lacking is not None:
            return lacking
        return (
            self._rows.window(who, statement, wished[0], *of_rows),
            self._bytes.window(who, statement, wished[1], *of_bytes),
        )

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

    def used(self) -> tuple[float, list[Used]]:
        """The day (since 1970), and what everybody has used; what is held for running statements is not in it."""
        earliest = self._clock() - HOUR_S
        people = {*self._rows.used, *self._bytes.used, *self._searches, *self._aggregations}
        found = []
        for who in sorted(people):
            hour = ([at for at in made.get(who, ()) if at > earliest] for made in (self._searches, self._aggregations))
            found.append(Used(*who, self._rows.used.get(who, 0), self._bytes.used.get(who, 0), *hour))
        return self._today, found

    def spent(self, person: str, target: str, policy: Policy) -> list[Spent]:
        """What the person has used on the target of the policy's budgets, those of a day and of an hour."""
        self._turn()
        limits, who, earliest = policy.limits, (person, target), self._clock() - HOUR_S
        found = []
        for budget, limit, amount in (
            ("rows_per_day", limits.rows_per_day, self._rows),
            ("bytes_per_day", limits.bytes_per_day, self._bytes),
        ):
            used = amount.used.get(who, 0)
            if limit:
                found.append(Spent(budget, used, max(0, limit - used - amount.held_by.get(who, 0)), limit))
        for budget, limit, made in (
            ("exact_searches_per_hour", limits.exact_searches_per_hour, self._searches),
            ("aggregates_per_hour", limits.aggregates_per_hour, self._aggregations),
        ):
            used = sum(at > earliest for at in made.get(who, ()))
            if limit:
                found.append(Spent(budget, used, max(0, limit - used), limit))
        return found

    def remember(self, used: Used, day: float) -> None:
        """Count what was used before this process began: what is of this day, and of this hour."""
        self._turn(day)
        who = used.person, used.target
        if day == self._today:
            for amount, much in ((self._rows, used.rows), (self._bytes, used.bytes)):
                amount.spend(who, "", much)
        earliest = self._clock() - HOUR_S
        for made, when in ((self._searches, used.searches), (self._aggregations, used.aggregations)):
            recent = [at for at in when if at > earliest]
            if recent:
                made.setdefault(who, deque()).extend(recent)

    def share(self) -> tuple[float, list[Used]]:
        """As `used`, with what is held for running statements in it: what others have to reckon with."""
        day, found = self.used()
        held = {(one.person, one.target): one for one in found}
        for who in {*self._rows.held_by, *self._bytes.held_by}:
            one = held.get(who, Used(*who, 0, 0, [], []))
            rows, size = self._rows.held_by.get(who, 0), self._bytes.held_by.get(who, 0)
            held[who] = Used(*who, one.rows + rows, one.bytes + size, one.searches, one.aggregations)
        return day, sorted(held.values())

    def reckon_with(self, *ways: Iterable[tuple[float, list[Used]]]) -> None:
        """Count what other gateways have used, as they say now: what is of this day, and of this hour.

        Where they say it in several ways, the one by which a person has used more of something counts for that.
        """
        self._turn()
        rows: dict[Who, int] = {}
        sizes: dict[Who, int] = {}
        hours: dict[str, dict[Who, list[float]]] = {"searches": {}, "aggregations": {}}
        for way in ways:
            told = self._told(way)
            for mine, theirs in ((rows, told[0]), (sizes, told[1])):
                for who, much in theirs.items():
                    mine[who] = max(mine.get(who, 0), much)
            for what, moments in told[2].items():
                for who, when in moments.items():
                    hours[what][who] = max(hours[what].get(who, []), when, key=len)
        self._rows.elsewhere, self._bytes.elsewhere, self._elsewhere = rows, sizes, hours

    def _told(
        self, shares: Iterable[tuple[float, list[Used]]]
    ) -> tuple[dict[Who, int], dict[Who, int], dict[str, dict[Who, list[float]]]]:
        """What these say together: rows and bytes of this day, and moments."""
        rows: dict[Who, int] = {}
        sizes: dict[Who, int] = {}
        hours: dict[str, dict[Who, list[float]]] = {"searches": {}, "aggregations": {}}
        for day, used in shares:
            for one in used:
                who = one.person, one.target
                if day == self._today:
                    rows[who] = rows.get(who, 0) + one.rows
                    sizes[who] = sizes.get(who, 0) + one.bytes
                hours["searches"].setdefault(who, []).extend(one.searches)
                hours["aggregations"].setdefault(who, []).extend(one.aggregations)
        return rows, sizes, hours

    def _fits(self, what: str, who: Who, added: int, limit: int) -> bool:
        """Whether so many more are allowed within the hour before now."""
        if not added or not limit:
            return True
        made = self._searches if what == "searches" else self._aggregations
        when, earliest = made.setdefault(who, deque()), self._clock() - HOUR_S
        while when and when[0] <= earliest:
            when.popleft()
        others = sum(at > earliest for at in self._elsewhere[what].get(who, ()))
        return len(when) + others + added <= limit

    def _count(self, made: dict[Who, deque[float]], session: Session, budget: str, added: int, limit: int) -> None:
        if added and limit:
            when, now = made[session.principal.id, session.grant.target], self._clock()
            when.extend(now for _ in range(added))
            self._warn(session, budget, len(when), added, limit)

    def _warn(self, session: Session, budget: str, used: int, added: int, limit: int) -> None:
        if used * 5 >= limit * 4 > (used - added) * 5:
            self.warnings.append(BudgetWarning(session, budget, used, limit))

    def _turn(self, known: float = -1.0) -> None:
        """Begin a new day when it is one; a clock that goes back, also behind a `known` day, gives nothing back."""
        day = max(self._clock() // DAY_S, known)
        if day > self._today:
            self._today = day
            for amount in (self._rows, self._bytes):
                amount.used.clear()
                amount.elsewhere = {}


def statement_refusal(what: str, much: str) -> Refusal:
    """Why a statement may not return so much."""
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
