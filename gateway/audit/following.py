"""How an index follows its log: from the place that it has noted, batch by batch, up to what is durable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.audit.index import Intake
from gateway.audit.pruning import kept_pruning
from gateway.audit.segment import HEADER_BYTES, Damaged, read_batches, segments_of
from gateway.audit.tables import Tables
from gateway.errors import GatewayError

COMMIT_EVERY = 5_000


class Index(Protocol):
    """One log's index. Used by one thread at a time."""

    closing: bool
    """Whether what is being taken in should be broken off."""
    first: int
    """Where the log began when the index was made: the records before were pruned."""
    pruned: bytes
    """The leaf that says so."""

    def upto(self, limit: int) -> Tables:
        """The tables, once they hold the first `limit` records. Raises `GatewayError`."""
        ...

    def forget(self) -> None:
        """Throw the index away; the next use builds it anew."""
        ...

    def close(self) -> None:
        """Let go of the database. It may be used again."""
        ...

    def beside(self) -> Index | None:
        """Another index of the same log that can be built while this one is used, or None."""
        ...

    def take_over(self, fresh: Index) -> None:
        """Be what that one is, which `beside` made and which is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """How far an index is: records taken, and where the next batch begins."""

    size: int = 0
    segment: int = 0
    at: int = HEADER_BYTES


Transaction = Callable[[], AbstractContextManager[object]]


def follow(
    tables: Tables, directory: Path, place: Place, limit: int,
    transaction: Transaction, note: Callable[[Place, Place], None], closing: Callable[[], bool],
) -> Place:  # fmt: skip
    """Take in the records from `place` up to `limit`, some thousands a transaction.

    `note(before, after)` is called in each of them, and has to fail if the index is not at `before`.
    Raises `GatewayError`.
    """
    if place.size >= limit:
        return place
    intake, batches = Intake(tables), _batches(directory, place, limit)
    while place.size < limit:
        with transaction():
            before = place
            for place, first, leaves, offsets in batches:  # noqa: PLR1704 - how far it is now
                intake.take(place.segment, first, leaves, offsets)
                if place.size - before.size >= COMMIT_EVERY:
                    break
            if place is before:
                # FAIL CLOSED: an answer without the rest would look whole
                raise damaged(place.size, f"{limit} records are durable, {place.size} can be read")
            intake.flush()
            note(before, place)
        if closing() and place.size < limit:
            raise GatewayError("shutting-down", "the gateway is stopping")
    return place


def _batches(directory: Path, place: Place, limit: int) -> Iterator[tuple[Place, int, list[bytes], list[int]]]:
    size, segment, at = place.size, place.segment, place.at
    for first, path in segments_of(directory):
        if first < segment:
            continue
        if first != segment:
            if first != size:
                return
            segment, at = first, HEADER_BYTES
        for batch in read_batches(path, size, offset=at, limit=limit):
            size, at = batch.size, batch.end
            yield Place(size, segment, at), batch.first, list(batch.leaves), list(batch.offsets)


def minimum_of(directory: Path, origin: str) -> tuple[int, bytes]:
    """The index of the first record that there has to be, and the leaf that says so. Raises `GatewayError`."""
    try:
        pruning = kept_pruning(directory, origin)
    except (Damaged, OSError) as error:
        raise damaged(0, f"pruned: {error}") from error
    return (0, b"") if pruning is None else (pruning.to, pruning.leaf)


def damaged(index: int, detail: str) -> GatewayError:
    """That a record cannot be had as it was written."""
    return GatewayError(
        "audit-damaged", f"record {index} cannot be read as it was written", "run `gateway audit verify`", detail
    )
