"""The state that gateways share in Redis: how it is counted, and how it is noticed that some of it was forgotten.

Theory of operation. The server holds an epoch, a random name, and a number beside it that each charge raises. Each
question names the epoch that this gateway knows and the highest number that it has seen; a server that was flushed,
that began anew or that is an older copy does not pass, and does nothing. Each line that is made, for whatever reason,
begins with `_join`: failures that this gateway has not written to the store yet are written, the epoch is claimed or
begun, and all failures that the store knows are brought in, never lowering what is there. Until that is done nobody
signs in here. So it makes no difference what the server behind the line remembers.

What the server alone decides are lock-outs, and their counts follow into the store a moment later, many in one
transaction. A used code must be unused here *and* in the store, whose compare-and-swap is the last word. Budgets and
news are told here sooner than the store tells them; what the store tells counts besides.

INVARIANT: nothing is charged in an epoch before what the store knows was brought into it, by this gateway.
INVARIANT: what lies there is of no use to who reads it: names are keyed digests, budgets are sealed.
FAIL CLOSED: a server that does not answer in time, may evict, has evicted, or takes no writes counts nothing: nobody
gets new access. The next look that finds it well, a moment later, ends that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.access.keys import Keys, Token
from gateway.errors import GatewayError, Refusal
from gateway.ports import Clock, Lane
from gateway.quick import scripts
from gateway.quick.line import CODE, Ear, Line, Unfit, understood
from gateway.redis_settings import Redis
from gateway.store import lanes as kept
from gateway.store.database import Database

_LOOK_S, _AGAIN_S = 1.0, 0.25
_WRITE_S, _SETTLE_S, _TELL_S = 0.2, 0.5, 0.02
_MERGED = 500
_UNWRITTEN = 50_000
_CODE_MS = 600_000
"""How long a used code is known: several times as long as one is good, for clocks that differ."""
_SHARES_MS = 2 * 86_400_000
_BUDGETS = "quick/budgets"


class Shared:
    """One gateway's way to the shared state; `ports.Quick` has what others ask of it. The event loop's thread only.

    `told(state, reason)` hears that the server is `lost`, is `ready`, or `forgot` something.
    """

    def __init__(
        self,
        settings: Redis,
        database: Database,
        keys: Keys,
        *,
        forget_s: float,
        told: Callable[[str, str], None],
        clock: Clock,
        token: Token,
    ) -> None:
        self._settings, self._database, self._keys = settings, database, keys
        self._forget_s, self._told, self._clock, self._token = forget_s, told, clock, token
        # in braces, so that it stays together wherever it is put
        self._prefix = f"{{{settings.prefix}}}"
        self._line: Line | None = None
        self._epoch, self._seq, self._evicted = "", 0, 0
        self._unwritten: dict[str, tuple[int, datetime]] = {}
        self._writing = asyncio.Lock()
        self._news, self._telling, self._waking = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.outage: Refusal | None = Refusal(CODE, "the Redis server was not asked yet")

    async def start(self) -> None:
        """Look for the first time; a server that cannot be reached is looked for again, by `run`.

        Raises `GatewayError("configuration-invalid")` for one that cannot be relied on.
        """
        try:
            await self._connect()
        except Unfit as error:
            await self.close()
            raise GatewayError("configuration-invalid", error.refusal.message, error.refusal.hint) from error
        except GatewayError as error:
            self.outage = None
            self._lost(error)

    async def run(self) -> None:
        """Look after the server, write counts behind, tell and hear news; until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._look_after(), self._write_behind(), self._tell_others(), self._hear_others()):
                group.create_task(work)

    async def close(self) -> None:
        """Write what is not written, and hang up."""
        with contextlib.suppress(GatewayError):
            await self._write()
        if self._line is not None:
            await self._line.close()

    # what others ask: see `ports.Quick`

    async def charge(self, lanes: Sequence[Lane], now: datetime, base_s: float) -> tuple[datetime, ...] | datetime:
        """See `ports.Quick`, here and below."""
        if len(self._unwritten) > _UNWRITTEN:
            raise GatewayError(CODE, "the store is too far behind the failed attempts")
        bounds = [bound for lane in lanes for bound in (lane.free, _ms(lane.longest_s))]
        names = [lane.name for lane in lanes]
        answer = await self._ask(
            scripts.CHARGE, self._lanes(names), _stamp(now), _ms(base_s), _ms(self._forget_s), *bounds
        )
        with understood():
            locked, *found = answer
            if locked:
                return _moment(locked)
            counted = {name: (int(count), now) for name, count in zip(names, found[::2], strict=True)}
            moments = tuple(map(_moment, found[1::2]))
        self._unwritten |= counted
        return moments

    async def give_back(
        self, lanes: Sequence[str], before: Sequence[datetime], at: datetime, *, proved: bool = False
    ) -> None:
        """See there."""
        moments = ["" if proved and not place else _stamp(one) for place, one in enumerate(before)]
        answer = await self._ask(scripts.UNDO, self._lanes(lanes), _stamp(at), *moments)
        with understood():
            for name, count, failed_at in zip(lanes, answer[::2], answer[1::2], strict=True):
                # a lane that is cleared is cleared as of the attempt; what failed later stands
                self._unwritten[name] = int(count), _moment(failed_at) if int(count) else at

    async def use_step(self, person: str, step: int) -> bool:
        """See there."""
        answer = await self._ask(scripts.STEP, [self._key("code", f"{person} {step}")], _CODE_MS)
        with understood():
            (used,) = map(int, answer)
        return bool(used)

    async def share(self, origin: str, data: bytes) -> list[bytes]:
        """See there."""
        sealed = self._keys.seal(data, _BUDGETS, self._token) if data else b""
        field = self._keys.digest("quick share", origin).hex()[:32]
        found = await self._ask(scripts.SHARE, [f"{self._prefix}:shares"], field, sealed, _SHARES_MS)
        opened = []
        for one in found:
            # what no gateway sealed says nothing; what they have used is in the store as well
            with contextlib.suppress(GatewayError), understood():
                opened.append(self._keys.unseal(one, _BUDGETS))
        return opened

    def tell(self) -> None:
        """See there."""
        self._telling.set()

    async def news(self) -> None:
        """See there."""
        await self._news.wait()
        self._news.clear()

    # the server

    async def _ask(self, script: str, keys: Iterable[str], *arguments: str | int | bytes) -> list[Any]:
        """What a script answers in the epoch that is known here. Raises `GatewayError`."""
        line = self._line
        if self.outage is not None or line is None:
            raise GatewayError.of(self.outage or Refusal(CODE, "the Redis server is not there"))
        try:
            answer = await line.run(script, [self._fence, *keys], self._epoch, self._seq, *arguments)
            with understood():
                seq = int(answer[0])
            if seq == scripts.FORGOT:
                raise GatewayError(CODE, "the Redis server has forgotten what it was told")
        except GatewayError as error:
            if line is self._line:
                self._lost(error)
            raise
        self._seq = max(self._seq, seq)
        return answer[1:]

    async def _look_after(self) -> None:
        while True:
            try:
                if self.outage is not None:
                    await self._connect()
                else:
                    await self._look()
            except GatewayError as error:
                self._lost(error)
            self._waking.clear()
            with contextlib.suppress(TimeoutError):
                # an outage that was just found is looked into at once, one that lasts now and then
                async with asyncio.timeout(_LOOK_S if self.outage is None else _AGAIN_S):
                    await self._waking.wait()

    async def _look(self) -> None:
        assert self._line is not None
        facts = await self._line.facts()
        with understood():
            evicted = int(facts.get("evicted_keys", 0))
        await self._ask(scripts.LOOK, ())
        if evicted != self._evicted:
            raise GatewayError(CODE, "the Redis server has thrown something away")

    async def _connect(self) -> None:
        """A new line, and all that the store knows behind it. Raises `GatewayError`."""
        if self._line is not None:
            await self._line.close()
        line = self._line = Line(self._settings)
        facts = await line.facts()
        await self._join(line)
        if line.broken:
            raise GatewayError(CODE, "the Redis server cannot be reached")
        with understood():
            self._evicted = int(facts.get("evicted_keys", 0))
        self.outage = None
        self._told("ready", "what the store knows of failed attempts was brought in")

    async def _join(self, line: Line) -> None:
        await self._write()
        answer = await line.run(scripts.CLAIM, [self._fence], self._epoch, self._seq, self._token(10).hex())
        with understood():
            seq, epoch = int(answer[0]), answer[1].decode()
        if self._epoch and epoch != self._epoch:
            self._told("forgot", "it was emptied, or is an older copy: what it decided alone, the store knows")
        self._epoch, self._seq = epoch, seq
        # others may have counted on the server before this one a moment ago, and have not written it yet
        await asyncio.sleep(_SETTLE_S)
        since = self._clock() - timedelta(seconds=self._forget_s)
        rows = await self._database.look(kept.since, since)
        for first in range(0, len(rows), _MERGED):
            part = rows[first : first + _MERGED]
            facts = [fact for _, failures, at in part for fact in (failures, _stamp(at))]
            names = self._lanes(name for name, _, _ in part)
            answer = await line.run(scripts.MERGE, [self._fence, *names], epoch, self._seq, _ms(self._forget_s), *facts)
            with understood():
                seq = int(answer[0])
            if seq == scripts.FORGOT:
                raise GatewayError(CODE, "the Redis server has forgotten what it was told")

    def _lost(self, error: GatewayError) -> None:
        if self.outage is None:
            self._told("lost", error.refusal.message)
        self.outage = error.refusal
        self._waking.set()

    # the store

    async def _write_behind(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_S)
            # an outage of the store is told by whoever needs it; here the counts wait for its end
            with contextlib.suppress(GatewayError):
                await self._write()

    async def _write(self) -> None:
        """Write the failures of a moment to the store. Raises `GatewayError("store-unavailable")`."""
        async with self._writing:
            counted, self._unwritten = self._unwritten, {}
            try:
                while counted:
                    # few enough for one transaction, also after an outage of the store
                    part = list(counted.items())[:_MERGED]
                    await self._database.run(kept.keep, [(name, *facts) for name, facts in part])
                    for name, _ in part:
                        del counted[name]
            except BaseException:
                self._unwritten = counted | self._unwritten
                raise

    # news

    async def _tell_others(self) -> None:
        while True:
            await self._telling.wait()
            self._telling.clear()
            line = self._line
            if line is not None and self.outage is None:
                # without the hint the others hear of it in their next round
                with contextlib.suppress(GatewayError):
                    await line.publish(f"{self._prefix}:news")
            await asyncio.sleep(_TELL_S)

    async def _hear_others(self) -> None:
        while True:
            ear = Ear(self._settings)
            try:
                await ear.open(f"{self._prefix}:news")
                self._news.set()
                while True:
                    if await ear.hear(_LOOK_S):
                        self._news.set()
            except GatewayError:
                # `_look_after` tells; what was not heard meanwhile is read each `watch_interval` all the same
                await asyncio.sleep(_AGAIN_S)
            finally:
                await ear.close()

    # names

    @property
    def _fence(self) -> str:
        return f"{self._prefix}:fence"

    def _lanes(self, names: Iterable[str]) -> list[str]:
        return [self._key("lane", name) for name in names]

    def _key(self, what: str, name: str) -> str:
        return f"{self._prefix}:{what}:{self._keys.digest(f'quick {what}', name).hex()[:32]}"


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _stamp(moment: datetime) -> str:
    return str(_ms(moment.timestamp()))


def _moment(milliseconds: bytes | int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds))
