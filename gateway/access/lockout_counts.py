"""Where attempts are counted: in this process, in a store that gateways share, or quicker than there, where gateways
share something quicker (`ports.Quick`). The rules are `lockout.py`'s.

INVARIANT: an attempt is charged before anything is checked, and where the store is shared, in one transaction for all
gateways. Who is refused because of a lock costs no transaction until the lock is over.
INVARIANT: what waits for the store waits for people who exist and for others alike.
FAIL CLOSED: where the store cannot be asked, nobody may try.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway.access.context import Context
from gateway.access.lockout import Attempt, Lockouts, trim
from gateway.errors import GatewayError
from gateway.ports import Lane, Quick
from gateway.store import lanes, people

_LOCKED = 20_000


class LocalCounts:
    """Counts of the only gateway on a store: in memory, kept in the store for people who exist."""

    def __init__(self, context: Context, kept: Iterable[tuple[str, int, datetime]]) -> None:
        self._context = context
        self._lockouts = Lockouts(context.settings, context.clock, kept, self._keep)
        self._keeping: set[asyncio.Task[None]] = set()

    async def begin(self, login: str, host: str) -> Attempt | None:
        """See `Lockouts`, here and below."""
        return self._lockouts.begin(login, host)

    def failed(self, attempt: Attempt, *, known: bool) -> None:
        """Let the charge stand."""
        self._lockouts.failed(attempt, known=known)

    async def succeeded(self, attempt: Attempt) -> None:
        """Clear the login's lane, and trust the place."""
        self._lockouts.succeeded(attempt)

    async def cancelled(self, attempt: Attempt) -> None:
        """Give the charge back."""
        self._lockouts.cancelled(attempt)

    def _keep(self, lane: str, failures: int, failed_at: datetime) -> None:
        """Store a count beside the loop: waiting for it would tell people who exist from people who do not."""

        async def put() -> None:
            await self._context.store(people.put_lockout, lane, failures, failed_at)

        task = asyncio.get_running_loop().create_task(put())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)


class SharedCounts:
    """Counts in the store. Which places are trusted, and which lanes were found locked, this process remembers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # the lanes and the waits are its business, the counts are not
        self._rules = Lockouts(context.settings, context.clock, (), lambda *_: None)
        self._locked: OrderedDict[str, datetime] = OrderedDict()

    async def begin(self, login: str, host: str) -> Attempt | None:
        """Charge an attempt; None when it must be refused. Raises `GatewayError("store-unavailable")`."""
        context = self._context
        network, names = self._rules.lanes_of(login, host)
        now = context.clock()
        key = " ".join(names)
        if now < self._locked.get(key, now):
            return None
        found = await self._charge(names, now)
        if isinstance(found, datetime):
            self._locked[key] = found
            trim(self._locked, _LOCKED)
            return None
        return Attempt(login, network, names, now, found)

    def failed(self, attempt: Attempt, *, known: bool) -> None:
        """Let the charge stand."""

    async def succeeded(self, attempt: Attempt) -> None:
        """Clear the login's lane, give back the others, and trust the place. Raises `GatewayError`."""
        await self._proved(attempt)
        self._rules.trust(attempt)

    async def cancelled(self, attempt: Attempt) -> None:
        """Give the charge back, where the store can be asked; else it stands."""
        with contextlib.suppress(GatewayError):
            await self._give_back(attempt)

    async def _charge(self, names: tuple[str, ...], now: datetime) -> tuple[datetime, ...] | datetime:
        forget = now - timedelta(seconds=self._context.settings.lock_forget_s)
        return await self._context.store(lanes.charge, names, now, self._until, forget)

    async def _proved(self, attempt: Attempt) -> None:
        await self._context.store(lanes.proved, attempt.lanes, attempt.before, attempt.at)

    async def _give_back(self, attempt: Attempt) -> None:
        await self._context.store(lanes.give_back, attempt.lanes, attempt.before, attempt.at)

    def _until(self, lane: str, failures: int, failed_at: datetime) -> datetime:
        return failed_at + timedelta(seconds=self._rules.delay_s(lane, failures))


class QuickCounts(SharedCounts):
    """Counts in what gateways share besides the store, which gets them a moment later."""

    def __init__(self, context: Context, quick: Quick) -> None:
        super().__init__(context)
        self._quick = quick

    async def _charge(self, names: tuple[str, ...], now: datetime) -> tuple[datetime, ...] | datetime:
        counted = [Lane(name, *self._rules.bounds(name)) for name in names]
        return await self._quick.charge(counted, now, self._context.settings.lock_base_s)

    async def _proved(self, attempt: Attempt) -> None:
        await self._quick.give_back(attempt.lanes, attempt.before, attempt.at, proved=True)

    async def _give_back(self, attempt: Attempt) -> None:
        await self._quick.give_back(attempt.lanes, attempt.before, attempt.at)


def counts_of(context: Context, kept: Iterable[tuple[str, int, datetime]]) -> LocalCounts | SharedCounts:
    """The counts of this gateway."""
    if context.quick is not None:
        return QuickCounts(context, context.quick)
    return SharedCounts(context) if context.shared else LocalCounts(context, kept)
