"""What other gateways on the same store did: the register and the sign-ins kept as the store has them.

Theory of operation. A round reads the changes behind the last one that was taken in, and the grants, passes and
sign-ins that they are of, as of one moment; they go into memory on the loop's thread, and sessions of what is over are
cut. A round comes each `watch_interval_s`, and at once when the store says that there is something. What has ended here
stays ended, whatever the store says: the end may be on its way there.

A store that has not had the last change that was seen in it went back in time (`store/restored.py`). Then everything
ends: here first, then in the store, then it is recorded, and the rest is done by `again`.

INVARIANT: `good_at` is when the last round that was taken in was asked for; the watcher and the sign-ins give access
for `store_grace_s` after it, and no longer. New access asks the store itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.access.context import Context
from gateway.access.factors import DRIFT, STEP_S
from gateway.access.login import SignIns
from gateway.access.passes import Register
from gateway.errors import GatewayError, Refusal
from gateway.model import Grant, GrantState
from gateway.store import access, changes, lanes, people, restored
from gateway.store.access import PassRow
from gateway.store.changes import Mark
from gateway.store.database import Connection, Database
from gateway.store.people import TokenRow

_KEPT = timedelta(days=30)
"""How long changes are kept: who is away for longer holds nothing that could still be good."""
_PRUNE_S = 3600.0
_SAID_S, _SAID_OWN_S = 60.0, 1.0
"""How often others' changes, and one's own, are told to the trail at the most."""
_SPARE_S = 0.02
"""The least time between two rounds, however much news there is."""


@dataclass(frozen=True, slots=True)
class Known:
    """The newest change that a gateway has seen in its store, and when it said so."""

    mark: Mark
    at: datetime


@dataclass(frozen=True, slots=True)
class _Round:
    """What changed, as of one moment; `gone_back` when the store is not the one that it was."""

    mark: Mark
    grants: Sequence[Grant] = ()
    passes: Sequence[PassRow] = ()
    people: Sequence[str] = ()
    tokens: Sequence[TokenRow] = ()
    gone_back: bool = False


class News:
    """The rounds of one process. `ended(grant_id)` cuts sessions; `again` does what the trail knows once more.

    `went_back` says that the store was an old one at the start: then `again` is the caller's to do.
    """

    def __init__(self, context: Context, database: Database, known: Known | None) -> None:
        """Reads what is live, blocking. Raises `GatewayError("store-unavailable")`."""
        self._context, self._database = context, database
        self.ended: Callable[[str], None] = lambda _: None
        self.again: Callable[[], Awaitable[None]] = _nothing
        self.good_at = context.monotonic()
        self.outage: Refusal | None = None
        self._pruned_at = self._said_at = self._began_at = float("-inf")
        self._turn = asyncio.Lock()
        self._told_of: Mark | None = None
        if known is not None:
            done = database.run_now(restored.settle, known.mark, known.at, context.clock(), self._step())
            self._settled(done, known.mark)
        self.went_back = self._told_of is not None
        self._known_at = context.clock()
        mark, (grants, passes), tokens, self.locks = database.run_now(_everything, context.clock())
        self._taken = mark
        self.register, self.signins = Register(grants, passes), SignIns(context, tokens, self.fresh)

    def fresh(self) -> Refusal | None:
        """Why what is known of the store gives no access any more; None while it does."""
        if self._context.monotonic() - self.good_at <= self._context.settings.store_grace_s:
            return None
        # FAIL CLOSED: an end that could not be heard of may have come.
        return self.outage or Refusal("store-unavailable", "the gateway's store cannot be read", "tell an operator")

    async def caught_up(self) -> None:
        """Know what others did until now, where there are others; what a round that fails does not tell is asked later.

        All who wait at the same time wait for the same round.
        """
        called_at = self._context.monotonic()
        if self._database.shared:
            async with self._turn:
                if self._began_at <= called_at:
                    await self._round()

    async def run(self) -> None:
        """Rounds until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_SPARE_S)
            await self._hear()

    async def _hear(self) -> None:
        """Wait until another process may have changed something, `watch_interval_s` at most."""
        quick, stored = self._context.quick, self._database.news(self._context.settings.watch_interval_s)
        if quick is None:
            await stored
            return
        hearing = [asyncio.ensure_future(stored), asyncio.ensure_future(quick.news())]
        try:
            await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in hearing:
                one.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)

    async def refresh(self) -> None:
        """One round. An outage is kept in `outage`."""
        async with self._turn:
            await self._round()

    async def _round(self) -> None:
        context = self._context
        asked_at, now = context.monotonic(), context.clock()
        self._began_at = asked_at
        try:
            found = await self._database.look(_since, self._taken, now)
            if found.gone_back:
                await self._gone_back()
                return
            self._take(found)
            self._known_at, self.good_at, self.outage = now, asked_at, None
            if context.monotonic() - self._pruned_at > _PRUNE_S:
                self._pruned_at = context.monotonic()
                await self._database.run(changes.prune, now - _KEPT)
                await self._database.run(lanes.prune, now - timedelta(seconds=context.settings.lock_forget_s))
        except GatewayError as error:
            self.outage = error.refusal

    def say(self) -> None:
        """Record how far the store is, where no record has said so. Raises `GatewayError("audit-not-writable")`."""
        context, database = self._context, self._database
        quiet_s = context.monotonic() - self._said_at
        late = quiet_s > _SAID_S and context.store_said != database.newest
        if late or (quiet_s > _SAID_OWN_S and database.made > context.store_said):
            self._said_at = context.monotonic()
            context.note("store.seen")

    def _take(self, found: _Round) -> None:
        now = self._context.clock()
        for grant in found.grants:
            self._take_grant(grant, now)
        for row in found.passes:
            self.register.learn_pass(row)
        for person in found.people:
            self.signins.take(person, [row for row in found.tokens if row.person == person], found.mark.number)
        self._taken = found.mark
        self._database.learn(found.mark)

    def _take_grant(self, grant: Grant, now: datetime) -> None:
        here = self.register.grant(grant.id)
        if grant.state is not GrantState.ACTIVE:
            if here is not None and here.state is GrantState.ACTIVE:
                self.register.end_grant(grant.id, grant.state, grant.ended_reason)
                self.ended(grant.id)
        elif here is None:
            if now < grant.expires_at:
                self.register.put_grant(grant)
        elif here.state is GrantState.ACTIVE:
            self.register.spend(grant.id, grant.spent)
            if grant.expires_at > here.expires_at:
                self.register.extend(grant.id, grant.expires_at)

    async def _gone_back(self) -> None:
        """The store has not had what was seen in it: end all that it may have forgotten the end of."""
        context, seen = self._context, self._taken
        self._end_all()
        done = await self._database.run(restored.settle, seen, self._known_at, context.clock(), self._step())
        self._database.rewind(await self._database.look(changes.newest))
        self._settled(done, seen)
        await self.again()
        found = await self._database.look(_whole, context.clock())
        # what was given while the store was settled, it has ended
        self._end_all()
        self._take(found)

    def _end_all(self) -> None:
        """Know nothing that gives access; what lives after all is to be taken in again."""
        for grant in self.register.grants():
            if grant.state is GrantState.ACTIVE:
                self.register.end_grant(grant.id, GrantState.REVOKED, restored.REASON)
                self.ended(grant.id)
            self.register.forget(grant.id)
        self.signins.forget_all()

    def _settled(self, done: bool | None, seen: Mark) -> None:
        if done is not None and self._told_of != seen:
            self._told_of = seen
            told = "all that gave access was ended" if done else "another gateway had ended all that gave access"
            self._context.note("store.restored", reason=told)

    def _step(self) -> int:
        """The newest time step whose code may have been used by now."""
        return int(self._context.clock().timestamp()) // STEP_S + DRIFT


async def _nothing() -> None:
    """Nothing is known of."""


def _everything(
    connection: Connection, now: datetime
) -> tuple[Mark, tuple[list[Grant], list[PassRow]], list[TokenRow], list[tuple[str, int, datetime]]]:
    tokens, locks = people.load(connection, now)
    return changes.newest(connection), access.load(connection, now), tokens, locks


def _whole(connection: Connection, now: datetime) -> _Round:
    """All that is live, as if all of it had changed."""
    mark, (grants, passes), tokens, _ = _everything(connection, now)
    return _Round(mark, grants, passes, sorted({row.person for row in tokens}), tokens)


def _since(connection: Connection, taken: Mark, now: datetime) -> _Round:
    if not changes.knows(connection, taken):
        return _Round(taken, gone_back=True)
    behind = changes.since(connection, taken)
    if not behind:
        return _Round(taken)
    if any(one.what == changes.RESTORED for one in behind):
        # somebody who knew of later changes than this one has ended everything
        return _Round(taken, gone_back=True)
    grants, passes = access.found(connection, {one.row for one in behind if one.what == changes.GRANT})
    persons = sorted({one.row for one in behind if one.what == changes.PERSON})
    mark = changes.mark_at(connection, behind[-1].number)
    return _Round(mark, grants, passes, persons, people.tokens_of(connection, persons, now))
