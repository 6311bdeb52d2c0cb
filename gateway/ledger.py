"""Budgets over a restart: counted again from the trail, from where the last summary of them stops.

The trail is what the counts are made of, since it holds what may leave before anything does: a statement that a kill
left open stands there with the ceiling that recovery gave it, an exact search and an aggregation with the record that
announced them. So nothing is written on a statement's path, and no moment of a crash gives back what was used. The
store alone would need a write for each statement, or be behind what left; the trail alone would make the start of a
busy day long. So the store has a summary of the counts as of some record, made behind the work, and a start reads the
records since; without a summary, those of the day and the hour.

INVARIANT: a summary is kept only once the trail is durable up to the record that it stops at, so that what it leaves
out is always in the trail.
FAIL CLOSED: a trail that cannot be read over the day stops the start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.audit.segment import Damaged, read_batches, read_header, segments_of
from gateway.budgets import DAY_S, HOUR_S, Budgets, Used, Who
from gateway.errors import GatewayError
from gateway.ports import Quick
from gateway.store import summaries
from gateway.store.database import Database

EVERY_RECORDS = 10_000
"""How many records a start reads again at the most, apart from those of a moment and what is older in their segment."""
_LOOK_S, _PAUSE_S, _QUICK_S = 1.0, 60.0, 0.1
_KINDS = (
    b'"kind":"statement.begin"',
    b'"kind":"statement.end"',
    b'"kind":"statement.unknown"',
    b'"kind":"search.exact"',
)
_LAST = datetime.max.replace(tzinfo=UTC)


class Trail(Protocol):
    """What the ledger asks of the log."""

    directory: Path
    origin: str

    @property
    def size(self) -> int:
        """How many records were appended."""

    @property
    def durable_size(self) -> int:
        """How many of them are durable."""


class _Summary(msgspec.Struct):
    """What was used by the time that the trail of that origin had `size` records."""

    origin: str
    size: int
    day: float
    used: list[Used]


class _Share(msgspec.Struct):
    """What a gateway has used of that day, and holds for statements that run."""

    day: float
    used: list[Used]


class _Quick(_Share):
    """The same, and whose it is."""

    origin: str


class _Record(msgspec.Struct):
    """What counts need of a record."""

    index: int
    kind: str
    time: datetime
    session: str
    person: str = ""
    target: str = ""
    rows: int = 0
    bytes: int = 0
    aggregations: int = 0
    columns_aggregated: list[str] = []


_decode = msgspec.json.Decoder(_Record).decode


class Ledger:
    """Keeps the budgets of one process. The event loop's thread only."""

    def __init__(
        self,
        budgets: Budgets,
        trail: Trail,
        database: Database,
        clock: Callable[[], float],
        quick: Quick | None = None,
    ) -> None:
        """`clock` is the budgets' own; through `quick` others hear of what was used sooner than through the store."""
        self._budgets, self._trail, self._database, self._clock = budgets, trail, database, clock
        self._kept = 0
        self._told = b""
        self._stored: list[_Share] = []
        self._quick, self._told_quick = quick, b""
        self._heard: list[_Share] = []

    def restore(self) -> int:
        """Count what was used before; blocking, before the first session. How many records were counted.

        Raises: GatewayError("store-unavailable"), ("audit-damaged").
        """
        if self._database.shared:
            self._reckon(self._database.run_now(summaries.shared, self._trail.origin))
        for summary in self._summaries():
            for used in summary.used:
                self._budgets.remember(used, summary.day)
            # of another trail, or of more than there is: what it says still counts, and so does all of this trail
            if summary.origin == self._trail.origin and summary.size <= self._trail.durable_size:
                self._kept = summary.size
        try:
            return self._replay()
        except (Damaged, OSError, msgspec.MsgspecError) as error:
            raise GatewayError(
                "audit-damaged",
                "what was used of the budgets cannot be read from the audit trail",
                "run `gateway audit verify`, keep the files as they are, and restore or begin a new trail",
                str(error),
            ) from error

    async def keep(self, report: Callable[[str, BaseException], None]) -> None:
        """Keep a summary whenever enough has happened, until cancelled; one that cannot be kept is tried again.

        Gateways on one store tell each other what they have used.
        """
        while True:
            await self._wait()
            await self._exchange()
            if self._trail.size - self._kept < EVERY_RECORDS:
                continue
            try:
                await self.summarise()
            except GatewayError as error:
                # nothing is lost by it: the next start reads more
                report("budgets", error)
                await asyncio.sleep(_PAUSE_S)

    async def _wait(self) -> None:
        """A moment, in which the others are told of, and heard, as quickly as that goes."""
        if self._quick is None:
            await asyncio.sleep(_LOOK_S)
            return
        for _ in range(round(_LOOK_S / _QUICK_S)):
            await asyncio.sleep(_QUICK_S)
            mine = msgspec.json.encode(_Quick(*self._budgets.share(), self._trail.origin))
            # without it the store tells, a second late; what was heard before still counts
            with contextlib.suppress(GatewayError, msgspec.MsgspecError):
                told = await self._quick.share(self._trail.origin, mine if mine != self._told_quick else b"")
                heard = [msgspec.json.decode(one, type=_Quick) for one in told]
                # what was told may have been forgotten there
                known = any(one.origin == self._trail.origin for one in heard)
                self._told_quick = mine if known else b""
                self._heard = [_Share(one.day, one.used) for one in heard if one.origin != self._trail.origin]
                self._reckon_with_all()

    async def _exchange(self) -> None:
        """Tell the others what was used here, and reckon with what they have used."""
        if not self._database.shared:
            return
        mine = msgspec.json.encode(_Share(*self._budgets.share()))
        # in an outage what is known still counts, and sessions end before it is old
        with contextlib.suppress(GatewayError):
            if mine != self._told:
                await self._database.run(summaries.share, self._trail.origin, mine)
                self._told = mine
            self._reckon(await self._database.look(summaries.shared, self._trail.origin))

    def _reckon(self, told: list[bytes]) -> None:
        """Raises `GatewayError("store-unavailable")`."""
        try:
            shares = [msgspec.json.decode(one, type=_Share) for one in told]
        except msgspec.MsgspecError as error:
            raise GatewayError(
                "store-unavailable", "what others used of the budgets cannot be read", "restore the store", str(error)
            ) from error
        self._stored = shares
        self._reckon_with_all()

    def _reckon_with_all(self) -> None:
        """INVARIANT: of what the store and the quicker way tell, the larger counts, so neither can lower the other."""
        self._budgets.reckon_with(
            [(one.day, one.used) for one in self._stored], [(one.day, one.used) for one in self._heard]
        )

    async def summarise(self) -> None:
        """Keep a summary of this moment. Raises `GatewayError("store-unavailable")`."""
        day, used = self._budgets.used()
        size = self._trail.size
        data = msgspec.json.encode(_Summary(self._trail.origin, size, day, used))
        while self._trail.durable_size < size:  # noqa: ASYNC110 (a moment in ten thousand records)
            await asyncio.sleep(_LOOK_S / 20)
        await self._database.run(summaries.keep, self._trail.origin, data)
        self._kept = size

    def _summaries(self) -> list[_Summary]:
        kept = self._database.run_now(summaries.find, self._trail.origin, others=not self._database.shared)
        try:
            return [msgspec.json.decode(one, type=_Summary) for one in kept]
        except msgspec.MsgspecError as error:
            raise GatewayError(
                "store-unavailable", "the summary of the budgets cannot be read", "restore the store", str(error)
            ) from error

    def _replay(self) -> int:
        owners: dict[str, Who] = {}
        counted = 0
        for index, leaf in self._leaves():
            if not any(kind in leaf for kind in _KINDS):
                continue
            record = _decode(leaf)
            if record.kind == "statement.begin":
                owners[record.session] = record.person, record.target
            if index >= self._kept:
                counted += 1
                self._count(record, owners)
        return counted

    def _count(self, record: _Record, owners: dict[str, Who]) -> None:
        at = record.time.timestamp()
        searches = aggregations = 0
        if record.kind == "statement.begin":
            # older records have the columns only
            aggregations = record.aggregations or len(record.columns_aggregated)
        elif record.kind == "search.exact":
            searches = 1
        if not (record.rows or record.bytes or searches or aggregations):
            return
        if record.session not in owners:
            # FAIL CLOSED: something left, and nobody can be charged for it
            raise Damaged(f"record {record.index} is of a statement that did not begin", record.index)
        used = Used(*owners[record.session], record.rows, record.bytes, [at] * searches, [at] * aggregations)
        self._budgets.remember(used, at // DAY_S)

    def _leaves(self) -> Iterator[tuple[int, bytes]]:
        """The durable records that count, by their indexes, and those before them that say whose they are."""
        segments = segments_of(self._trail.directory)
        now, end = self._clock(), self._trail.durable_size
        if self._kept:
            place = _place(segments, self._kept)
        else:
            place = _place_at(segments, min(now // DAY_S * DAY_S, now - HOUR_S))
        first, path = segments[place]
        # a statement that was open when the segment began says in an older one whose it is
        segments = segments[_place(segments, read_header(path, first).scan_from) :]
        size = segments[0][0]
        for first, path in segments:
            if size != first:
                break
            for batch in read_batches(path, first, limit=end):
                size = batch.size
                yield from enumerate(batch.leaves, batch.first)
        if size < end:
            raise Damaged(f"{end} records are durable, {size} can be read", size)


def _place(segments: list[tuple[int, Path]], index: int) -> int:
    """Which segment holds that record."""
    return max((place for place, (first, _) in enumerate(segments) if first <= index), default=0)


def _place_at(segments: list[tuple[int, Path]], moment: float) -> int:
    """A segment that begins before that moment, the last one of them."""
    low, high = 0, len(segments)
    while high - low > 1:
        middle = (low + high) // 2
        first, path = segments[middle]
        batch = next(read_batches(path, first), None)
        began = _LAST if batch is None else msgspec.json.decode(batch.leaves[0], type=_Stamped).time
        if began.timestamp() < moment:
            low = middle
        else:
            high = middle
    return low


class _Stamped(msgspec.Struct):
    time: datetime
