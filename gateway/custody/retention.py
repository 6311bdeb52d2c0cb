"""Each day: what is older than `audit.hot` turns cold, and what is older than `audit.retention` goes, unless held.

What is decided is `audit/ageing.py`'s, what time it is `audit/trusted.py`'s, and the steps of a pruning are
`audit/pruning.py`'s. A look that fails changes nothing that the next one cannot go on from; it never stops work.

INVARIANT: nothing goes while a hold that was set before the pruning was recorded covers it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.access.acts import told
from gateway.access.context import durable
from gateway.audit.ageing import Plan, freeze, plan, sealed, to_freeze
from gateway.audit.log import FileLog
from gateway.audit.pruning import (
    KIND,
    keep_pruning,
    kept_pruning,
    leaf_of_record,
    minimum_of,
    pruning_record,
    remove_pruned,
)
from gateway.audit.pulse import since_boot_ns
from gateway.audit.search import Query, Search
from gateway.audit.segment import Damaged, Disk, segments_of
from gateway.audit.thinning import prune_copy
from gateway.audit.trusted import Trusted, keep_trusted, moved, read_trusted
from gateway.audit_settings import Audit
from gateway.custody.holds import Holds
from gateway.errors import GatewayError
from gateway.record import event

FIRST_S = 60.0
EVERY_S = 86400.0
TICK_S = 600.0
Report = Callable[[str, BaseException], None]
Tell = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the next look would do, and by what: `frozen` segments would turn cold; the clock is `ahead` by seconds."""

    plan: Plan
    frozen: int
    now: datetime
    ahead: float
    rule: str


class Retention:
    """Ages one trail. `state` is the file that remembers the time; `tell` hears of what was done, by facts."""

    def __init__(
        self, settings: Audit, trail: FileLog, search: Search, holds: Holds, state: Path, tell: Tell,
        wall: Callable[[], float] = time.time, running: Callable[[], float] = lambda: since_boot_ns() / 1e9,
    ) -> None:  # fmt: skip
        self._settings, self._trail, self._search, self._holds = settings, trail, search, holds
        self._state, self._tell, self._wall, self._running = state, tell, wall, running
        self._retention, self._hot = timedelta(seconds=settings.retention), timedelta(seconds=settings.hot)
        self._disk = Disk()
        self._turn = threading.Lock()
        self._ticked: float | None = None
        self._kept: tuple[str, int] = ("", -1)
        self.ahead = 0.0

    @property
    def rule(self) -> str:
        """The setting by which records go, as they say it."""
        return f"audit.retention {self._settings.retention / 86400:g}d"

    @property
    def minimum(self) -> int:
        """The index of the first record that the trail has. Raises `Damaged`, and `OSError`."""
        return minimum_of(self._trail.directory, self._trail.origin)

    async def run(self, report: Report) -> None:
        """Look once a day, until cancelled; `report` hears of what went wrong."""
        await asyncio.sleep(FIRST_S)
        due = self._running()
        while True:
            try:
                now = await asyncio.to_thread(self.tick)
                if self._running() >= due:
                    due = self._running() + EVERY_S
                    await self.look(now)
            except (GatewayError, OSError, Damaged) as error:
                report("retention", error)
            await asyncio.sleep(TICK_S)

    def tick(self) -> datetime:
        """The time that is trusted, kept for the next tick. Blocks. Raises `OSError` and `Damaged`."""
        with self._turn:
            running, wall = self._running(), self._wall()
            elapsed = 0.0 if self._ticked is None else max(0.0, running - self._ticked)
            known = read_trusted(self._state)
            trusted = moved(known if known is not None else self._begun(wall), elapsed, wall)
            keep_trusted(self._state, trusted, self._disk)
            self._ticked, self.ahead = running, trusted.ahead
        return datetime.fromtimestamp(trusted.now, UTC)

    async def outlook(self) -> Outlook:
        """What the next look would do. Raises `GatewayError`, `Damaged` and `OSError`."""
        now = await asyncio.to_thread(self.tick)
        found = await self._plan(now)
        cold = await asyncio.to_thread(lambda: sum(1 for _ in to_freeze(self._trail.directory, now, self._hot)))
        gone = sum(1 for one in found.segments if one.path.exists())
        return Outlook(found, max(0, cold - gone), now, self.ahead, self.rule)

    async def look(self, now: datetime) -> Plan:
        """Let go what may go, and turn cold what is to. Raises `GatewayError`, `Damaged` and `OSError`."""
        await self._finish()
        await self._take_back(now)
        version = self._holds.version
        found = await self._plan(now)
        if found.hold:
            await self._tell_kept(found)
        if found.segments and await self._prune(found, now, version):
            self._tell("pruned", first=found.first, to=found.to, segments=len(found.segments))
        frozen = await asyncio.to_thread(self._freeze, now)
        if frozen:
            self._tell("compressed", segments=frozen)
        await self._prune_copy()
        return found

    async def _plan(self, now: datetime) -> Plan:
        holds, trail = await self._holds.matcher(), self._trail
        return await asyncio.to_thread(plan, trail.directory, trail.signed_size, now, self._retention, holds)

    async def _prune(self, found: Plan, now: datetime, version: int) -> bool:
        trail = self._trail
        before = now - self._retention
        record = await asyncio.to_thread(
            pruning_record, trail.directory, trail.signed_size, found.to, before, self.rule
        )
        receipt = trail.append(record)
        await durable(receipt)
        head = await asyncio.to_thread(trail.checkpoint)
        leaf = await asyncio.to_thread(leaf_of_record, trail.directory, receipt.index)
        if head.size <= receipt.index or self._holds.version != version:
            await self._take_back(now)
            return False
        await asyncio.to_thread(keep_pruning, trail.directory, leaf, head, self._disk)
        await self._finish()
        return True

    async def _take_back(self, now: datetime) -> None:
        """Record that the newest pruning that was recorded has not been, where that is so."""
        newest = await asyncio.to_thread(self._search.search, Query(kind=KIND, limit=1))
        minimum = await asyncio.to_thread(lambda: self.minimum)
        if newest and newest[0]["to"] > minimum:
            trail = self._trail
            record = await asyncio.to_thread(
                pruning_record, trail.directory, trail.signed_size, minimum, now - self._retention, "taken back"
            )
            await durable(trail.append(record))

    async def _finish(self) -> None:
        """Let go what the trail does not have to have any more; a start does the same."""
        directory = self._trail.directory
        pruning = await asyncio.to_thread(kept_pruning, directory, self._trail.origin)
        if pruning is not None and segments_of(directory)[0][0] < pruning.to:
            await asyncio.to_thread(self._search.renew)
            await asyncio.to_thread(remove_pruned, directory, pruning, self._disk)

    async def _prune_copy(self) -> None:
        """Have the quorum's servers let go the same: last, since what befalls them must not stop the rest."""
        replica = self._settings.replica
        minimum = await asyncio.to_thread(lambda: self.minimum)
        if replica is not None and minimum:
            batches = await asyncio.to_thread(prune_copy, replica, self._trail.origin, minimum)
            if batches:
                self._tell("copy pruned", batches=batches)

    async def _tell_kept(self, found: Plan) -> None:
        if self._kept == (found.hold, found.held):
            return
        hold = await self._holds.find(found.hold)
        subject = told(hold.subject) if hold is not None else ""
        where: dict[str, Any] = {"from": found.to, "held": found.held}
        await durable(self._trail.append(event("hold.kept", hold=found.hold, subject=subject, **where)))
        self._kept = found.hold, found.held

    def _freeze(self, now: datetime) -> int:
        directory, count = self._trail.directory, 0
        for one in to_freeze(directory, now, self._hot):
            # what the writer keeps back for its last records is not taken for this
            if self._disk.free(directory) < self._settings.reserve + self._settings.segment_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            freeze(one.path, self._disk)
            count += 1
        return count

    def _begun(self, wall: float) -> Trusted:
        newest = [one.last.timestamp() for one in sealed(self._trail.directory, newest=True)]
        return Trusted(min([wall, *newest]))
