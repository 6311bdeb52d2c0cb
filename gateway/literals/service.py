"""The one door to the literals: the seals for the gate, the acts of two people, and what is done day by day."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec

from gateway.access.acts import ActKind, Acts
from gateway.audit.search import Search
from gateway.errors import GatewayError, Refusal
from gateway.literals.blobs import Blobs
from gateway.literals.erasing import Erasing, Held
from gateway.literals.keyring import Keyring
from gateway.literals.opening import Opening
from gateway.literals.seal import Seals, Telling
from gateway.model import Session
from gateway.ports import Clock, Trail
from gateway.store.database import Database

P = ParamSpec("P")

PLACE = "sealed"
"""Where the files lie, below the state directory."""
_EVERY_S = 3_600.0
_SOON_S = 60.0
_START_S = 10.0


class Literals:
    """Everything about literals in one process. Made before the gate; `attach` when the trail can be searched."""

    def __init__(
        self, master_key: bytes, state: Path, database: Database, telling: Telling, days: int,
        on_failure: Callable[[BaseException], None], seconds: Callable[[], float] = time.time,
        former: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        """`on_failure` is called on the loop's thread, once, when literals cannot be kept any more."""
        loop = asyncio.get_running_loop()
        self._days, self._database = days, database
        self._clock: Clock = lambda: datetime.fromtimestamp(seconds(), UTC)
        self._place = state / PLACE
        self.keyring = Keyring(master_key, database, self._clock, former=former)
        blobs = Blobs(self._place, on_failure=lambda error: loop.call_soon_threadsafe(on_failure, error))
        self.seals = Seals(self.keyring, blobs, telling, seconds)
        self.settled = False

    def attach(self, acts: Acts, search: Search, trail: Trail, held: Held) -> None:
        """Let literals be opened and erased by two people. What is `held` is neither erased nor does it expire."""
        self.opening = Opening(self.seals, search, trail, lambda: self.settled)
        self.erasing = Erasing(
            self.seals,
            search,
            trail,
            self._database,
            self._clock,
            self._days,
            self._place / "seen.json",
            held,
        )
        both = frozenset({"auditors", "custodians"})
        acts.register(
            ActKind(
                "unseal", "open the literals of a statement", frozenset({"auditors"}), self.opening.carry,
                answers_asker=True,
            )
        )  # fmt: skip
        acts.register(
            ActKind("erase", "destroy the literals of a customer, or about a person", both, self.erasing.carry)
        )

    def warmed(self, admit: Callable[P, Awaitable[Session | Refusal]]) -> Callable[P, Awaitable[Session | Refusal]]:
        """Let sessions in with their keys at hand: where a store is far away, nothing of a statement waits for it."""

        async def admitted(*args: P.args, **kwargs: P.kwargs) -> Session | Refusal:
            session = await admit(*args, **kwargs)
            if isinstance(session, Refusal):
                return session
            try:
                await self.seals.warm(session.grant.customers)
            except GatewayError as error:
                return replace(error.refusal, fatal=True)
            return session

        return admitted

    def tokens(self, value: str) -> list[str]:
        """The tokens that records have of a value. Blocks. Raises `GatewayError`."""
        return self.erasing.tokens(value)

    async def begin(self) -> None:
        """Carry out again what the trail says was erased; goes on behind the work when it takes long."""
        self._first = asyncio.create_task(self.erasing.again())
        with contextlib.suppress(TimeoutError, GatewayError):
            # who reports it is `run`, which waits for it again
            await asyncio.wait_for(asyncio.shield(self._first), _START_S)
            self.settled = True

    async def run(self, report: Callable[[str, BaseException], None]) -> None:
        """Destroy what has had its time, until cancelled; what cannot be done is tried again."""
        waiting: asyncio.Future[int] | None = self._first
        while True:
            pause = _EVERY_S
            try:
                if not self.settled:
                    await (waiting or self.erasing.again())
                    self.settled = True
                await self.erasing.expire()
                await self.seals.warm_for_the_next_month(2 * _EVERY_S)
                self.keyring.keep([key.id for key in await asyncio.to_thread(self.keyring.kept)])
            except GatewayError as error:
                report("literals", error)
                pause = _SOON_S
            waiting = None
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Write what was taken, and stop."""
        if hasattr(self, "_first"):
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        await asyncio.to_thread(self.seals.blobs.close)
