"""How a trail ages: which segments turn cold, and which may go, by the times of their records.

Pure towards time and holds: both are given. What is decided here is carried out with `pruning.py` and `cold.py`.

INVARIANT: only sealed segments are touched, from the oldest on, and never one that a recovery of this trail would read:
not the last segment, nor what a statement that was open when it began is in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.audit.cold import ColdFile, Unreadable, cold_path, compressed, open_segment
from gateway.audit.encode import record_of
from gateway.audit.pruning import may_begin_at
from gateway.audit.segment import Damaged, Disk, read_batches, read_header, segments_of

Holds = Callable[[dict[str, Any]], str]
"""The name of the hold that a record falls under, or nothing."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment that nothing is added to any more: its records from `first` up to `end`, the last of that time."""

    first: int
    end: int
    path: Path
    last: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The records from `first` up to `to` may go; `segments` of them are in so many files of `bytes`.

    `hold` stands in the way of more from the record `held` on, if one does.
    """

    first: int
    to: int
    segments: tuple[Sealed, ...] = ()
    bytes: int = 0
    hold: str = ""
    held: int = 0


def sealed(directory: Path, *, hot: bool = False, newest: bool = False) -> Iterator[Sealed]:
    """The sealed segments, the oldest first, only the `hot` ones or the `newest` one if so. Reads each as it comes.

    Raises `Damaged` and `OSError`.
    """
    segments = segments_of(directory)[-2 if newest else 0 :]
    for (first, path), (end, _) in itertools.pairwise(segments):
        if hot and not path.exists():
            continue
        size, leaf = first, b""
        for batch in read_batches(path, first):
            size, leaf = batch.size, batch.leaves[-1]
        if size != end or not leaf:
            raise Damaged(f"{path.name} ends before record {size}, the next segment begins at {end}", size)
        yield Sealed(first, end, path, datetime.fromisoformat(record_of(leaf)["time"]))


def plan(directory: Path, signed: int, now: datetime, retention: timedelta, holds: Holds) -> Plan:
    """What may go of a trail of which that many records are signed. Raises `Damaged` and `OSError`."""
    segments = segments_of(directory)
    if not segments:
        return Plan(0, 0)
    last, path = segments[-1]
    # a start reads from there on: see `recovery.read_state`
    needed = min(read_header(path, last).scan_from, last, signed)
    first = to = segments[0][0]
    gone: list[Sealed] = []
    for one in sealed(directory):
        if one.last + retention > now or one.end > needed:
            break
        name, held = _held(one, holds)
        if name:
            return _plan(first, to, gone, signed, name, held)
        gone.append(one)
        to = one.end
    return _plan(first, to, gone, signed)


def to_freeze(directory: Path, now: datetime, hot: timedelta) -> Iterator[Sealed]:
    """The segments that are to turn cold. Raises `Damaged` and `OSError`."""
    for one in sealed(directory, hot=True):
        if one.last + hot > now:
            return
        yield one


def freeze(path: Path, disk: Disk) -> None:
    """Put the cold file of a sealed segment in its place. Raises `OSError`, and `Damaged` when it reads differently."""
    data, cold = path.read_bytes(), cold_path(path)
    try:
        disk.replace(cold, compressed(data), durable=True)
    except OSError:
        # on a full disk a half of it would be in the way
        cold.with_name(f".{cold.name}.tmp").unlink(missing_ok=True)
        raise
    try:
        with ColdFile(cold) as file:
            same = file.read() == data
    except Unreadable:
        same = False
    if not same:
        disk.remove([cold])
        raise Damaged(f"{cold.name} does not hold what {path.name} does", int(path.stem))
    disk.remove([path])


def thaw_last(directory: Path, disk: Disk) -> None:
    """Let the last segment be one that can be written to, as after a restore. Raises `OSError` and `Damaged`."""
    segments = segments_of(directory)
    if not segments or segments[-1][1].exists():
        return
    first, path = segments[-1]
    try:
        with open_segment(path) as file:
            disk.replace(path, file.read(), durable=True)
    except Unreadable as error:
        raise Damaged(str(error), first) from error
    disk.remove([cold_path(path)])


def _held(one: Sealed, holds: Holds) -> tuple[str, int]:
    for batch in read_batches(one.path, one.first):
        for index, leaf in enumerate(batch.leaves, batch.first):
            if name := holds(record_of(leaf)):
                return name, index
    return "", 0


def _plan(first: int, to: int, gone: Iterable[Sealed], signed: int, hold: str = "", held: int = 0) -> Plan:
    kept = list(gone)
    while kept and not may_begin_at(signed, kept[-1].end):
        to = kept.pop().first
    return Plan(first, to if kept else first, tuple(kept), sum(map(_size, kept)), hold, held)


def _size(one: Sealed) -> int:
    return (one.path if one.path.exists() else cold_path(one.path)).stat().st_size
