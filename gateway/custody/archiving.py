"""Copies of the trail where nobody can delete them: each segment as it is sealed, and once a day all that makes a head.

A failure never stops work: it is logged and measured, `gateway doctor` sees it, and from a day without an archive on it
is a record (`archive.late`), so that an auditor reads of it too. What was not copied is copied as soon as it can be.

What is locked stays locked for as long as the trail holds it: of what a new head names, the lock is made longer when
it has less than a month to go. Locks cannot be taken back, so how long they are is told by the time that nobody can
set (`audit/trusted.py`).

INVARIANT: an object is believed to be archived once the storage has said that it holds just that, locked.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from gateway.access.context import durable
from gateway.audit.archive import (
    Part,
    Storage,
    Taken,
    content_of,
    head_folder,
    listing_name,
    listing_of,
    manifest_text,
    part_of,
    same_segment,
)
from gateway.audit.checkpoint import signers_of
from gateway.audit.log import FileLog
from gateway.audit.pruning import kept_hashes, minimum_of
from gateway.audit.segment import Damaged, Disk, segments_of
from gateway.custody.retention import Report, Tell
from gateway.errors import GatewayError
from gateway.record import event

LOOK_S = 60.0
EVERY_S = 86400.0
LATE_S = 26 * 3600.0
_SLACK = timedelta(days=8)
"""The trusted time may be a week behind."""
_HASHES_AT_ONCE = 1 << 20
_SOON = timedelta(days=30)


@dataclass(slots=True)
class _Held:
    """An object that the storage has, and until when it is locked (ISO 8601)."""

    sha256: str
    bytes: int
    until: str


@dataclass(frozen=True, slots=True)
class Archived:
    """The newest head that is archived: its size, how many objects make it, and how many of them are new."""

    size: int
    objects: int
    added: int


class Archiver:
    """Archives one trail. `now` is the trusted time; `state` remembers what is there, and may be lost."""

    def __init__(
        self, bucket: Storage, trail: FileLog, state: Path, retention_s: float, now: Callable[[], datetime], tell: Tell,
        running: Callable[[], float],
    ) -> None:  # fmt: skip
        self._bucket, self._trail, self._state, self._now, self._tell = bucket, trail, state, now, tell
        self._kept, self._running = timedelta(seconds=retention_s) + _SLACK, running
        self._turn = threading.Lock()
        self._objects, self.size = self._remembered()
        self._good_at = self._told_at = running()
        self._checked = False

    @property
    def age_s(self) -> float:
        """Seconds of running since the last head was archived, or since the start."""
        return self._running() - self._good_at

    async def run(self, report: Report) -> None:
        """Archive until cancelled; `report` hears of what went wrong, once until it is well again."""
        due, told = self._running(), ""
        while True:
            try:
                if self._running() >= due:
                    await self.archive()
                    due = self._running() + EVERY_S
                else:
                    await asyncio.to_thread(self._segments)
                told = ""
            except (GatewayError, OSError, Damaged) as error:
                if str(error) != told:
                    report("archive", error)
                told = str(error)
                await self._tell_late(str(error))
            await asyncio.sleep(LOOK_S)

    async def archive(self) -> Archived:
        """Archive all that is signed now. Raises `GatewayError`, `Damaged` and `OSError`."""
        done = await asyncio.to_thread(self._head)
        self._good_at = self._running()
        self._tell("archived", size=done.size, objects=done.objects, added=done.added)
        return done

    async def _tell_late(self, why: str) -> None:
        now = self._running()
        if self.age_s < LATE_S or now - self._told_at < EVERY_S:
            return
        self._told_at = now
        receipt = self._trail.append(
            event(
                "archive.late", size=self._trail.signed_size, archived=self.size, duration_s=int(self.age_s), reason=why
            )
        )
        await durable(receipt)

    # -- in a thread

    def _check(self) -> None:
        if self._checked:
            return
        problem = self._bucket.check()
        if problem:
            # FAIL CLOSED: what could be deleted is no archive
            raise GatewayError(
                "archive-unavailable", problem, "make a bucket with object lock: it cannot be added later"
            )
        self._checked = True

    def _segments(self) -> int:
        """Archive the segments that are sealed and not there yet; how many were not."""
        with self._turn:
            self._check()
            added = self._sealed(self._trail.signed_size)[1]
            if added:
                self._remember()
            return added

    def _head(self) -> Archived:
        with self._turn:
            self._checked = False
            self._check()
            trail = self._trail
            trail.checkpoint()
            # the file, since a second may have passed: what is archived is what anybody could have read
            note = (trail.directory / "checkpoint").read_bytes()
            size = int(note.split(b"\n")[1])
            parts, added = self._sealed(size)
            folder = head_folder(size)
            beside = {"checkpoint": note, "key": trail.verifier.text.encode() + b"\n"}
            for name in ("rotations", "pruned"):
                path = trail.directory / name
                if path.exists():
                    beside[name] = path.read_bytes()
            opened = self._opened(size, parts)
            if opened:
                beside["open.cold"] = opened
            for name, data in beside.items():
                parts.append(self._put(f"{folder}/{name}", data))
            first = min([segments_of(trail.directory)[0][0], size])
            minimum = max(first, minimum_of(trail.directory, trail.origin))
            wanted = [part for part in parts if not _is_pruned(part.name, minimum)]
            listing = listing_of(minimum, wanted)
            self._put(f"{folder}/{listing_name(part_of('', listing).sha256)}", listing)
            # last of all: an archive without a manifest is none
            self._put(f"{folder}/manifest", trail.signed_note(manifest_text(trail.origin, size, listing)).encode())
            self._lengthen(wanted)
            self.size = size
            self._remember()
            return Archived(size, len(wanted) + 2, added + len(beside) + 2)

    def _sealed(self, size: int) -> tuple[list[Part], int]:
        """The parts of all segments that end within that many records, and how many were not there yet."""
        segments, added = segments_of(self._trail.directory), 0
        self._past(segments[0][0])
        for (first, path), (end, _) in pairwise(segments):
            names = f"segments/{first:020d}.cold", f"hashes/{first:020d}"
            if end > size or all(name in self._objects for name in names):
                continue
            data, got, hashes = content_of(path, first)
            if got != end:
                raise Damaged(f"{path.name} ends before record {got}, the next segment begins at {end}", got)
            for name, content in zip(names, (data, hashes), strict=True):
                self._put(name, content)
            added += 1
        known = [Part(name, one.sha256, one.bytes) for name, one in sorted(self._objects.items())]
        return [part for part in known if not part.name.startswith("heads/") and _first(part.name) < size], added

    def _past(self, first: int) -> None:
        """The hashes of what was pruned: as they were archived with its segments, or else from the tiles."""
        start = 0
        while start < first:
            name = f"hashes/{start:020d}"
            if name not in self._objects:
                end = min(first, start + _HASHES_AT_ONCE)
                pieces = kept_hashes(self._trail.directory, end, start)
                self._put(name, b"".join(b"".join(hashes) for hashes in pieces))
            start += self._objects[name].bytes // 32

    def _opened(self, size: int, parts: list[Part]) -> bytes:
        """What of the records up to `size` is in no sealed segment."""
        there = [first for first, _ in segments_of(self._trail.directory) if first < size]
        if not there or f"segments/{there[-1]:020d}.cold" in {part.name for part in parts}:
            return b""
        path = self._trail.directory / "segments" / f"{there[-1]:020d}.log"
        data, got, _ = content_of(path, there[-1], size)
        if got != size:
            raise Damaged(f"{path.name} ends at record {got}, and {size} are signed", got)
        return data

    def _put(self, name: str, data: bytes) -> Part:
        part, until = part_of(name, data), self._now() + self._kept
        known = self._objects.get(name)
        if known is not None and (known.sha256, known.bytes) == (part.sha256, part.bytes):
            return part
        try:
            self._bucket.put(name, data, until)
        except Taken:
            there = self._bucket.get(name)
            if there != data and not self._same(name, there, data):
                raise GatewayError(
                    "archive-unavailable", f"another object is in the place of `{name}`",
                    "find out who put it there; nothing can be put in its place",
                ) from None  # fmt: skip
            part = part_of(name, there)
            self._bucket.extend(name, until)
            self._bucket.confirm(name, part.bytes, until)
        self._objects[name] = _Held(part.sha256, part.bytes, until.isoformat())
        return part

    def _same(self, name: str, one: bytes, other: bytes) -> bool:
        if name.endswith(".cold"):
            with tempfile.TemporaryDirectory(dir=self._state.parent) as scratch:
                return same_segment(one, other, Path(scratch))
        if name.startswith("hashes/"):
            return bool(one) and len(one) % 32 == 0 and other.startswith(one)
        if name.endswith("/manifest"):
            # of this head there is one already, made with what was known then
            try:
                return bool(signers_of(one.decode(), (self._trail.verifier,))[1])
            except ValueError:
                return False
        return False

    def _lengthen(self, parts: list[Part]) -> None:
        """Lock for longer what the newest head needs and what would be free within a month."""
        now = self._now()
        for part in parts:
            held = self._objects[part.name]
            if datetime.fromisoformat(held.until) < now + _SOON:
                until = now + self._kept
                self._bucket.extend(part.name, until)
                self._bucket.confirm(part.name, part.bytes, until)
                held.until = until.isoformat()

    def _remembered(self) -> tuple[dict[str, _Held], int]:
        try:
            value = json.loads(self._state.read_bytes())
            found = {str(name): _Held(str(one["sha256"]), int(one["bytes"]), str(one["until"]))
                     for name, one in value["objects"].items()}  # fmt: skip
            return found, int(value["size"])
        except FileNotFoundError:
            return {}, 0
        except (ValueError, KeyError, TypeError, AttributeError):
            # then each object is put again, found taken, and compared
            return {}, 0

    def _remember(self) -> None:
        # heads stay where they are, but nothing needs to be known of those before the newest
        newest = head_folder(self.size)
        kept = {name: asdict(one) for name, one in self._objects.items()
                if not name.startswith("heads/") or name.startswith(newest)}  # fmt: skip
        Disk().replace(self._state, json.dumps({"size": self.size, "objects": kept}).encode(), durable=True)


def _first(name: str) -> int:
    return int(name.rpartition("/")[2][:20])


def _is_pruned(name: str, minimum: int) -> bool:
    """Whether the object is a segment that the trail does not have any more; its hashes stay with it."""
    return name.startswith("segments/") and _first(name) < minimum
