"""The trail's durable records to the rules, and their events to the cases, a moment behind the work.

INVARIANT: each durable record is looked at, over restarts too: what the rules remember is kept with the number of
records that it covers, after their events became cases. What is looked at again after a crash finds its case, and
changes nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gateway.access.context import Context
from gateway.alerts.cases import Cases
from gateway.alerts.engine import Engine, Event
from gateway.alerts.rules import Rule
from gateway.audit.encode import record_of
from gateway.audit.segment import HEADER_BYTES, Damaged, read_batches, segments_of
from gateway.audit.tree import leaf_hash
from gateway.errors import GatewayError
from gateway.store import cases as rows

_LOOK_S, _PAUSE_S, _KEEP_S = 1.0, 10.0, 30.0
_AT_ONCE = 20_000
_SLICE, _BREATH_S = 16, 50e-6
"""So many records, and then a breath: a thread that keeps the interpreter's lock for longer holds up statements."""
# a quotation mark inside of a text is escaped in JSON, so this is the field itself and never what a text quotes
_KIND = re.compile(rb'"kind":"([a-z_.]+)"')
_TIME = re.compile(rb'"time":"([0-9TZ:.-]+)"')


class Trail(Protocol):
    """What is asked of the log."""

    directory: Path
    origin: str

    @property
    def durable_size(self) -> int:
        """How many records are durable."""


class Reader:
    """Durable leaves in their order, from a record on; remembers where the next one lies."""

    def __init__(self, directory: Path, index: int) -> None:
        self.index = index
        self._directory = directory
        self._path: Path | None = None
        self._first, self._offset = 0, HEADER_BYTES

    def read(self, durable: int) -> Iterator[tuple[int, bytes]]:
        """The leaves from here up to that many records. Raises `Damaged` and `OSError`."""
        while self.index < durable:
            if self._path is None and not self._find():
                return
            assert self._path is not None
            moved = False
            for batch in read_batches(self._path, self._first, offset=self._offset, limit=durable):
                for index, leaf in enumerate(batch.leaves, batch.first):
                    if index >= self.index:
                        self.index = index + 1
                        yield index, leaf
                # only now: whoever stops in the midst of a batch goes on there
                self._first, self._offset, moved = batch.size, batch.end, True
            if moved:
                continue
            following = dict(segments_of(self._directory)).get(self._first)
            if following is None or following == self._path:
                return
            self._path, self._offset = following, HEADER_BYTES

    def _find(self) -> bool:
        segments = segments_of(self._directory)
        if not segments:
            return False
        # what was pruned is not to be had any more
        self.index = max(self.index, segments[0][0])
        found = [(first, path) for first, path in segments if first <= self.index]
        self._first, self._path = found[-1]
        self._offset = HEADER_BYTES
        return True


class Feed:
    """Runs the rules over one log. The event loop's thread only."""

    def __init__(
        self, trail: Trail, rules: tuple[Rule, ...], cases: Cases, context: Context,
        told: Callable[[Event], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`told` hears of each event at once. Where nothing is remembered, it begins with what comes from now on."""
        self._trail, self._rules, self._cases, self._context, self._told = trail, rules, cases, context, told
        self._begin = trail.durable_size
        self._kept_at = float("-inf")
        self._engine: Engine | None = None
        self._reader = Reader(trail.directory, self._begin)

    @property
    def lag(self) -> int:
        """How many durable records were not looked at yet."""
        return max(0, self._trail.durable_size - self._reader.index)

    async def run(self, report: Callable[[str, BaseException], None]) -> None:
        """Look at what is new, until cancelled. An outage is reported and tried again; no record is left out by it."""
        while True:
            try:
                await self.look()
            except (GatewayError, Damaged, OSError) as error:
                report("alerts", error)
                self._engine = None
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Look at all that is durable now. Raises `GatewayError`, `Damaged`, `OSError`; what follows begins anew."""
        engine = self._engine or await self._resumed()
        while True:
            seen, events = await asyncio.to_thread(self._turn, engine)
            for event in events:
                await self._raise(event)
            if events:
                await self._keep(engine)
            if seen < _AT_ONCE:
                break
        for event in engine.tick(self._context.clock().timestamp()):
            await self._raise(event)
        if self._context.monotonic() - self._kept_at >= _KEEP_S:
            await self._keep(engine)

    def _turn(self, engine: Engine) -> tuple[int, list[Event]]:
        """A bounded number of records through the rules, in a thread."""
        events: list[Event] = []
        seen, last, kinds = 0, b"", engine.kinds
        for index, leaf in self._reader.read(self._trail.durable_size):
            seen += 1
            if not seen % _SLICE:
                time.sleep(_BREATH_S)
            found = _KIND.search(leaf)
            kind = found[1].decode() if found is not None else ""
            if kind in kinds:
                events += engine.take(record_of(leaf), leaf_hash(leaf).hex())
            if not kind.startswith("security."):
                # what is recorded about silence does not end it
                last = leaf
            if seen >= _AT_ONCE and index:
                break
        if last and (moment := _TIME.search(last)) is not None:
            engine.heard(datetime.fromisoformat(moment[1].decode()).timestamp())
        return seen, events

    async def _raise(self, event: Event) -> None:
        self._told(event)
        await self._cases.raise_(event)

    async def _resumed(self) -> Engine:
        """The rules as they were left, and the reader behind what they have seen."""
        kept = await self._context.store(rows.memory, self._trail.origin)
        durable = self._trail.durable_size
        if kept is None:
            engine, start = Engine(self._rules, self._trail.origin), self._begin
        else:
            engine, start = self._remembered(kept), min(kept.size, durable)
        self._reader = Reader(self._trail.directory, start)
        if kept is not None and kept.size > durable:
            now = self._context.clock().timestamp()
            title = f"the trail has {durable} records; {kept.size} were seen before"
            await self._raise(Event("rollback", "critical", f"origin={self._trail.origin}", title, now, "", ()))
        self._engine = engine
        await self._keep(engine)
        return engine

    def _remembered(self, kept: rows.Memory) -> Engine:
        try:
            return Engine(self._rules, self._trail.origin, kept.data)
        except ValueError as error:
            raise GatewayError(
                "store-unavailable", "what the alert rules remember cannot be read", "restore the store", str(error)
            ) from error

    async def _keep(self, engine: Engine) -> None:
        memory = rows.Memory(self._trail.origin, self._reader.index, engine.memory())
        await self._context.store(rows.remember, memory)
        self._kept_at = self._context.monotonic()
