"""The trail of one gateway process: files that grow at the end and can be checked by anyone with the public key.

Layout of the directory (0700, files 0600; integers are big-endian):

    lock                              held with flock while a writer lives
    segments/<first index>.log        the leaves; 20 digits
    segments/spare                    blocks kept for the next segment
    tile/<L>/<N>[.p/<W>]              hashes of the tree, C2SP tlog-tiles, derived from the segments
    checkpoint                        the signed tree head, C2SP tlog-checkpoint

    segment  = header batch* zeros    of a fixed size, allocated when it is made; truncated when the next one begins
    header   = "GWAUDIT1" first:u64 scan_from:u64 length:u16 origin subtree* zeros crc32:u32          4,096 bytes
               first is the index of the segment's first leaf, the subtrees (32 bytes each, one for each bit set in
               first, the largest first) are the tree before it, and scan_from is the index of the oldest statement
               that was open then
    batch    = leaf+ commit
    leaf     = "leaf" length:u32 crc32:u32 canonical JSON      at most 16 KiB, see `encode.py`
    commit   = "done" 48:u32 crc32:u32 offset:u64 size:u64 root:32 bytes
               offset is where the batch begins in the segment; size and root are the tree's after it

The CRC (CRC-32 as in zlib, over tag, length and payload) tells a torn write from a whole one; it protects from
nothing else. Edits are caught by the tree: RFC 6962 over the leaves, its head signed each second when there is news.

One thread writes (group commit: whatever arrived during one flush is the next batch), another one signs and keeps the
tiles. A batch is one write and one fdatasync.

INVARIANT: a receipt turns durable after fdatasync returned for its commit, and a tree head is signed after that.
INVARIANT: nothing is retried once a write or a flush failed: what the kernel did with the pages is unknown.
INVARIANT: work is admitted only while a spare segment is allocated, so the records that close it find room.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.audit.checkpoint import Checkpoint, Signer
from gateway.audit.encode import leaf_of, record_of
from gateway.audit.recovery import OpenStatement, State, leaf_hashes, read_state
from gateway.audit.segment import HEADER_BYTES, Damaged, Disk, Header, assemble, batch_bytes, segment_path
from gateway.audit.tiles import TileWriter
from gateway.audit.tree import Frontier
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.record import ENVELOPE, event

SEGMENT_BYTES = 16 << 20
RESERVE_BYTES = 16 << 20
CLOSING = frozenset({"statement.end", "statement.unknown", "session.end", "log.start", "log.recovery", "log.stop"})
"""Kinds that end work: still accepted when the disk is full."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAZY_S = 0.05
_BEHIND_US = 1_000
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_RESERVED = frozenset(ENVELOPE)
_BRACKETS = frozenset({"statement.begin", "statement.end"})


class FileReceipt:
    """See `model.Receipt`."""

    __slots__ = ("_callbacks", "durable", "failed", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.durable = False
        self.failed = False
        self._callbacks: list[Callable[[Any], Any]] | None = None

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Call `callback(self)` once `durable` or `failed` is true; at once when it is already."""
        if self.durable or self.failed:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def _take_callbacks(self) -> Sequence[Callable[[Any], Any]]:
        callbacks, self._callbacks = self._callbacks, None
        return callbacks or ()


class FileLog:
    """The trail in one directory: implements `ports.Trail` for the thread of one event loop.

    `recovery` is the `log.recovery` record of this start, or None when there was nothing to mend.
    """

    def __init__(
        self,
        directory: Path,
        key: Signer,
        clock: Clock,
        loop: asyncio.AbstractEventLoop | None,
        on_failure: Callable[[BaseException], Any] | None,
        disk: Disk,
        entropy: Callable[[int], bytes],
        segment_bytes: int,
        reserve_bytes: int,
        interval_s: float,
    ) -> None:
        self.directory = directory
        self.origin = key.verifier.name
        self.recovery: dict[str, Any] | None = None
        self._key, self._clock, self._loop, self._on_failure = key, clock, loop, on_failure
        self._disk, self._entropy = disk, entropy
        self._segment_bytes, self._reserve_bytes, self._interval_s = segment_bytes, reserve_bytes, interval_s
        self._batch_bytes = min(1 << 20, segment_bytes // 4)

        # the loop's side
        self._next_index = 0
        self._last_us = 0
        self._pool, self._pool_at = b"", 0
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: list[Callable[[dict[str, Any]], Any]] = []

        # both sides, under the mutex
        self._mutex = threading.Lock()
        self._settled = threading.Condition(self._mutex)
        self._leaves: list[bytes] = []
        self._receipts: list[FileReceipt] = []
        self._queued_bytes = 0
        self._urgent = False
        self._asleep = False
        self._stopping = False
        self._refusing = ""
        self._failure: BaseException | None = None
        self._durable = 0
        self._head = (0, b"")
        self._unsigned: list[bytes] = []
        self._marks: deque[tuple[int, str, tuple[str, str]]] = deque()

        # the writer's side
        self._wake = threading.Lock()
        self._wake.acquire()
        self._frontier = Frontier()
        self._lock_fd = self._fd = self._spare_fd = -1
        self._path = directory
        self._offset = HEADER_BYTES
        self._open_begins: dict[tuple[str, str], int] = {}
        self._in_flight: list[FileReceipt] = []
        self._spare_mutex = threading.Lock()
        self._writer = threading.Thread(target=self._write_forever, name="audit-writer", daemon=True)

        # the signer's side
        self._news = threading.Event()
        self._stop_signing = threading.Event()
        self._tiles = TileWriter(directory, disk)
        self._signed = Checkpoint(self.origin, -1, b"")
        self._signing = threading.Lock()
        self._publisher = threading.Thread(target=self._publish_forever, name="audit-signer", daemon=True)

    @classmethod
    def open(
        cls,
        directory: str | Path,
        *,
        origin: str,
        key: Signer,
        clock: Clock,
        loop: asyncio.AbstractEventLoop | None = None,
        on_failure: Callable[[BaseException], Any] | None = None,
        version: str = "",
        reason: str = "start",
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        interval_s: float = 1.0,
        disk: Disk | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> FileLog:
        """Open or create the trail, mend what a crash left, and record the start durably. Blocks while it does.

        `append` belongs to the thread of `loop`, and receipts, subscribers and `on_failure` are called there; without
        a loop (tools, tests) they are called on the writer's thread. The segment size is at least 256 KiB.

        Raises: GatewayError("audit-damaged"), ("audit-not-writable"), ("configuration-invalid").
        """
        if origin != key.verifier.name:
            raise GatewayError("configuration-invalid", f"the audit key is of `{key.verifier.name}`, not of `{origin}`")
        if segment_bytes < 256 << 10:
            raise GatewayError("configuration-invalid", "an audit segment has at least 256 KiB")
        log = cls(
            Path(directory),
            key,
            clock,
            loop,
            on_failure,
            disk or Disk(),
            entropy,
            segment_bytes,
            reserve_bytes,
            interval_s,
        )
        try:
            log._start(version, reason)
        except Damaged as error:
            log._release()
            raise GatewayError(
                "audit-damaged",
                f"the audit trail is damaged at record {error.index}",
                "run `gateway audit verify`, keep the files as they are, and restore or begin a new trail",
                str(error),
                fatal=True,
            ) from error
        except OSError as error:
            log._release()
            raise _not_writable(f"the audit trail cannot be opened: {error.strerror}", str(error)) from error
        except BaseException:
            log._release()
            raise
        return log

    @property
    def durable_size(self) -> int:
        """How many records are durable: a reader shows no others."""
        return self._durable

    @property
    def signed_size(self) -> int:
        """How many records the last checkpoint covers."""
        return max(self._signed.size, 0)

    @property
    def writable(self) -> bool:
        """Whether work may be recorded now."""
        return self._failure is None and not self._stopping and not self._refusing

    def append(self, record: Mapping[str, Any], *, urgent: bool = True) -> FileReceipt:
        """See `ports.Trail`. A record that is not urgent wakes nobody: it rides the next commit, within 50 ms."""
        kind = record.get("kind")
        if self._refusing and kind not in CLOSING:
            raise _not_writable(self._refusing)
        index = self._next_index
        try:
            leaf = self._leaf(record, index)
        except (TypeError, ValueError) as error:
            raise _not_writable("the record cannot be written", f"{kind}: {error}") from error
        receipt = FileReceipt(index)
        wake = False
        with self._mutex:
            if self._failure is not None or self._stopping:
                raise _not_writable("the audit trail is closed", str(self._failure or "stopped"))
            self._next_index = index + 1
            if kind in _BRACKETS:
                self._marks.append((index, kind, (record.get("session", ""), record.get("statement", ""))))
            self._leaves.append(leaf)
            self._receipts.append(receipt)
            self._queued_bytes += len(leaf)
            if urgent or self._loop is None or self._queued_bytes > self._batch_bytes:
                self._urgent = True
                wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()
        elif not urgent and self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(_LAZY_S, self._nudge)
        return receipt

    def flush(self, timeout_s: float = 10.0) -> None:
        """Block until everything appended so far is durable. For tools and tests. Raises `GatewayError`."""
        with self._mutex:
            target = self._next_index
            self._urgent = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()
        with self._settled:
            done = self._settled.wait_for(lambda: self._durable >= target or self._failure is not None, timeout_s)
        if not done or self._failure is not None:
            raise _not_writable("the audit trail could not be flushed", str(self._failure or "timeout"))

    def checkpoint(self) -> Checkpoint:
        """Sign the durable tree head now, if it is not signed yet, and return it. Raises `GatewayError`."""
        try:
            self._publish()
        except OSError as error:
            self._fail(error)
        if self._failure is not None or self._signed.size < 0:
            raise _not_writable("the audit trail is closed", str(self._failure))
        return self._signed

    def subscribe(self, callback: Callable[[dict[str, Any]], Any]) -> Callable[[], None]:
        """Call `callback(record)` for each record once it is durable, in order; the result ends the subscription."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    def close(self, reason: str = "stop") -> None:
        """Record the stop, make everything durable, sign it, and let go of the directory. Blocks; safe to repeat."""
        if self._lock_fd < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(GatewayError):
            self.append(event("log.stop", size=self._next_index, reason=reason))
        with self._mutex:
            self._stopping = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()
        self._writer.join()
        self._stop_signing.set()
        self._news.set()
        self._publisher.join()
        try:
            if self._failure is None:
                self._publish()
        finally:
            self._release()

    # -- the loop's side

    def _leaf(self, record: Mapping[str, Any], index: int) -> bytes:
        if not _RESERVED.isdisjoint(record):
            raise ValueError(f"{sorted(_RESERVED & record.keys())} are set by the log")
        now = self._clock()
        delta = now - _EPOCH
        moment = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        full = {**record, "v": 1, "origin": self.origin, "index": index}
        last = self._last_us
        if moment <= last:
            # INVARIANT: times and ids grow with the index, whatever the clock does; a clock that went back is on record
            if last - moment > _BEHIND_US:
                full["clock_behind_us"] = last - moment
            moment = last + 1
            now = _EPOCH + timedelta(microseconds=moment)
        self._last_us = moment
        full["time"] = now.isoformat(timespec="microseconds")[:26] + "Z"
        full["id"] = self._uuid7(moment)
        return leaf_of(full)

    def _uuid7(self, moment: int) -> str:
        """RFC 9562, 5.7: milliseconds, then the microseconds within them as `rand_a` (6.2, method 3), then noise."""
        at = self._pool_at
        if at + 8 > len(self._pool):
            self._pool, at = self._entropy(1_024), 0
        self._pool_at = at + 8
        noise = self._pool[at : at + 8].hex()
        head = f"{moment // 1_000:012x}"
        variant = "89ab"[int(noise[0], 16) & 3]
        return f"{head[:8]}-{head[8:]}-7{moment % 1_000:03x}-{variant}{noise[1:4]}-{noise[4:]}"

    def _nudge(self) -> None:
        self._timer = None
        with self._mutex:
            if not self._leaves:
                return
            self._urgent = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()

    def _deliver(self, receipts: list[FileReceipt], leaves: Sequence[bytes]) -> None:
        for receipt in receipts:
            receipt.durable = True
            for callback in receipt._take_callbacks():
                self._call(callback, receipt)
        if self._subscribers:
            for leaf in leaves:
                record = record_of(leaf)
                for callback in tuple(self._subscribers):
                    self._call(callback, record)

    def _deliver_failure(self, receipts: list[FileReceipt], error: BaseException) -> None:
        for receipt in receipts:
            receipt.failed = True
            for callback in receipt._take_callbacks():
                self._call(callback, receipt)
        if self._on_failure is not None:
            self._on_failure(error)

    def _call(self, callback: Callable[[Any], Any], argument: Any) -> None:
        """One callback's fault must not keep the others of its batch from hearing."""
        try:
            callback(argument)
        except Exception as error:
            if self._loop is None:
                raise
            self._loop.call_exception_handler({"message": "audit callback failed", "exception": error})

    def _post(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._loop is None or self._loop.is_closed():
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- the writer's side

    def _write_forever(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(*batch)
        except Exception as error:  # FAIL CLOSED: whatever stops the writer closes the log
            self._fail(error)

    def _next_batch(self) -> tuple[list[bytes], list[FileReceipt]] | None:
        while True:
            with self._mutex:
                if self._failure is not None:
                    return None
                if self._leaves and (self._urgent or self._stopping):
                    return self._take_batch()
                if self._stopping:
                    return None
                self._urgent = False
                self._asleep = True
            self._wake.acquire()

    def _take_batch(self) -> tuple[list[bytes], list[FileReceipt]]:
        leaves, receipts = self._leaves, self._receipts
        if self._queued_bytes <= self._batch_bytes:
            self._leaves, self._receipts, self._queued_bytes, self._urgent = [], [], 0, False
        else:
            count, used = 0, 0
            while count < len(leaves) and (count == 0 or used + len(leaves[count]) <= self._batch_bytes):
                used += len(leaves[count])
                count += 1
            self._leaves, self._receipts = leaves[count:], receipts[count:]
            self._queued_bytes -= used
            leaves, receipts = leaves[:count], receipts[:count]
        self._in_flight = receipts
        return leaves, receipts

    def _commit(self, leaves: Sequence[bytes], receipts: list[FileReceipt]) -> None:
        if self._offset + batch_bytes(leaves) > self._segment_bytes:
            self._roll()
        data, hashes, root = assemble(leaves, self._offset, self._frontier)
        self._disk.write(self._fd, data, self._offset)
        self._disk.sync(self._fd)
        self._offset += len(data)
        with self._mutex:
            if self._failure is not None:
                return
            self._in_flight = []
            self._durable = self._frontier.size
            self._head = (self._durable, root)
            self._unsigned += hashes
            self._settled.notify_all()
        self._post(self._deliver, receipts, leaves)
        if not self._news.is_set():
            self._news.set()
        if self._spare_fd < 0:
            self._make_spare()

    def _roll(self) -> None:
        """Begin the next segment in the spare one."""
        with self._spare_mutex:
            descriptor, self._spare_fd = self._spare_fd, -1
        if descriptor < 0:
            raise OSError(errno.ENOSPC, "no segment is left to write to")
        first = self._frontier.size
        while self._marks and self._marks[0][0] < first:
            index, kind, key = self._marks.popleft()
            if kind == "statement.begin":
                self._open_begins[key] = index
            else:
                self._open_begins.pop(key, None)
        header = Header(self.origin, self._frontier, min(self._open_begins.values(), default=first))
        path = segment_path(self.directory, first)
        self._disk.write(descriptor, header.encoded(), 0)
        self._disk.sync(descriptor)
        os.rename(path.with_name("spare"), path)
        self._disk.sync_directory(path.parent)
        if self._fd >= 0:
            os.ftruncate(self._fd, self._offset)
            os.close(self._fd)
        self._fd, self._path, self._offset = descriptor, path, HEADER_BYTES

    def _make_spare(self) -> None:
        """Allocate the next segment, or refuse work until it can be."""
        with self._spare_mutex:
            if self._spare_fd >= 0:
                return
            path = self.directory / "segments" / "spare"
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._disk.allocate(descriptor, self._segment_bytes)
            except OSError as error:
                os.close(descriptor)
                path.unlink()
                if error.errno not in _NO_SPACE:
                    raise
                self._refusing = "the audit trail has no space left"
                return
            self._spare_fd = descriptor

    def _fail(self, error: BaseException) -> None:
        with self._mutex:
            if self._failure is not None:
                return
            self._failure = error
            receipts = self._in_flight + self._receipts
            self._leaves, self._receipts, self._in_flight = [], [], []
            wake, self._asleep = self._asleep, False
            self._settled.notify_all()
        if wake:
            self._wake.release()
        self._post(self._deliver_failure, receipts, error)

    # -- the signer's side

    def _publish_forever(self) -> None:
        try:
            while not self._stop_signing.is_set():
                self._news.wait(self._interval_s if self._refusing else None)
                if self._stop_signing.is_set() or self._failure is not None:
                    return
                self._news.clear()
                self._publish()
                self._stop_signing.wait(self._interval_s)
        except Exception as error:  # FAIL CLOSED: a trail that cannot be signed is not written either
            self._fail(error)

    def _publish(self) -> None:
        """Write the tiles and the signed head of what is durable; refuse work while there is no space for it."""
        with self._signing:
            with self._mutex:
                hashes, self._unsigned = self._unsigned, []
                size, root = self._head
            self._tiles.add(hashes)
            try:
                self._tiles.write()
                if size != self._signed.size:
                    head = Checkpoint(self.origin, size, root)
                    note = self._key.sign(head.text()).encode()
                    self._disk.replace(self.directory / "checkpoint", note, durable=True)
                    self._signed = head
                    self._tiles.discard_old()
            except OSError as error:
                if error.errno not in _NO_SPACE:
                    raise
                self._refusing = "the audit trail has no space left"
                return
            self._make_spare()
            if self._disk.free(self.directory) < self._reserve_bytes:
                self._refusing = "the audit trail's disk is nearly full"
            elif self._spare_fd >= 0:
                self._refusing = ""

    # -- start and end

    def _start(self, version: str, reason: str) -> None:
        self._prepare_directory()
        state = read_state(self.directory, self.origin, self._key.verifier)
        self._frontier = state.frontier.copy()
        self._next_index = self._durable = state.frontier.size
        self._head = (state.frontier.size, state.frontier.root())
        self._last_us = _microseconds(state.last_time)
        if state.path is None:
            self._make_spare()
            self._roll()
        else:
            self._continue(state)
        self._make_spare()
        self._resume_tiles(state)
        self._publish()
        if self._refusing and state.signed is None:
            raise OSError(errno.ENOSPC, self._refusing)
        self._record_start(state, version, reason)
        self._writer.start()
        self._publisher.start()

    def _prepare_directory(self) -> None:
        for path in (self.directory, self.directory / "segments"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
        self._lock_fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _not_writable("another process writes this audit trail") from None
        self._disk.sync_directory(self.directory)

    def _continue(self, state: State) -> None:
        """Go on in the last segment, behind its last commit."""
        if state.path is None:
            return
        self._path, self._offset = state.path, state.offset
        self._fd = os.open(state.path, os.O_RDWR | os.O_CLOEXEC)
        if state.cut_bytes:
            os.ftruncate(self._fd, state.offset)
        self._disk.allocate(self._fd, self._segment_bytes)
        self._disk.sync(self._fd)

    def _resume_tiles(self, state: State) -> None:
        if state.signed is not None and self._tiles.resume(state.signed.size, state.signed.root):
            self._signed = state.signed
            self._unsigned = state.unsigned
            return
        self._tiles.restart()
        for hashes in leaf_hashes(self.directory):
            self._tiles.add(hashes)
            self._tiles.write()

    def _record_start(self, state: State, version: str, reason: str) -> None:
        size, root = self._head
        records: list[dict[str, Any]] = []
        if state.cut_bytes or state.open:
            mended = event(
                "log.recovery",
                size=size,
                root=root.hex(),
                cut_bytes=state.cut_bytes,
                unknown=len(state.open),
                reason=reason,
            )
            records.append(mended)
            self.recovery = mended
        records += map(_unknown, state.open.values())
        records.append(event("log.start", version=version, size=size, root=root.hex(), reason=reason))
        for start in range(0, len(records), 64):
            leaves = []
            for record in records[start : start + 64]:
                leaves.append(self._leaf(record, self._next_index))
                self._next_index += 1
            self._commit(leaves, [])

    def _release(self) -> None:
        for descriptor in (self._fd, self._spare_fd, self._lock_fd):
            if descriptor >= 0:
                os.close(descriptor)
        if self._spare_fd >= 0:
            (self.directory / "segments" / "spare").unlink(missing_ok=True)
        self._fd = self._spare_fd = self._lock_fd = -1


def _unknown(statement: OpenStatement) -> dict[str, Any]:
    return event(
        "statement.unknown",
        session=statement.session,
        statement=statement.statement,
        begin=statement.begin,
        rows=statement.rows,
        bytes=statement.bytes,
        status="unknown",
    )


def _microseconds(time: str) -> int:
    if not time:
        return 0
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)


def _not_writable(message: str, detail: str = "") -> GatewayError:
    return GatewayError("audit-not-writable", message, "work is refused until the audit trail can be written", detail)
