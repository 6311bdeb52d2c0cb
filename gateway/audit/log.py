"""The trail of one gateway process: files that grow at the end and can be checked by anyone with the public key.

Layout of the directory (0700, files 0600; integers are big-endian):

    lock                              held with flock while a writer lives
    segments/<first index>.log        the leaves; 20 digits
    segments/<first index>.cold       the same compressed, instead, see `cold.py`; old segments go, see `pruning.py`
    segments/spare                    blocks kept for the next segment
    tile/<L>/<N>[.p/<W>]              hashes of the tree, C2SP tlog-tiles, derived from the segments
    rotations                         the leaves that changed the signing key, a line each, see `rotation.py`
    pruned                            the leaf that let the oldest segments go, once some went
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

One thread writes (`writer.py`), another one signs and keeps the tiles (`publish.py`). A batch is one write around the
page cache to blocks that were written before (O_DIRECT, O_DSYNC), or one write and one fdatasync where the file system
or the core knows no other way; the loop hears of it through an eventfd (`delivery.py`). Recovery is described in
`recovery.py`.

INVARIANT: a receipt turns durable after its record is, and never after the log failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.audit.ageing import thaw_last
from gateway.audit.checkpoint import Checkpoint, Signer, Verifier
from gateway.audit.delivery import Delivery, FileReceipt
from gateway.audit.encode import layout_of, leaf_of, stamps
from gateway.audit.lock import take_lock
from gateway.audit.pruning import check_pruning, kept_pruning, remove_pruned
from gateway.audit.publish import Publisher
from gateway.audit.pulse import Pulse
from gateway.audit.recovery import OpenStatement, State, leaf_hashes, read_state
from gateway.audit.replicate import Replicator
from gateway.audit.rotation import check_rotations, keep_rotation, rotation_note, rotation_of
from gateway.audit.segment import Damaged, Disk
from gateway.audit.tree import EMPTY_ROOT
from gateway.audit.writer import Bracket, Writer
from gateway.audit_settings import Replica
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.record import ENVELOPE, Form, event

SEGMENT_BYTES = 16 << 20
RESERVE_BYTES = 16 << 20
CLOSING = frozenset({"statement.end", "statement.unknown", "session.end", "log.start", "log.recovery", "log.stop"})
"""Kinds that end work: still accepted when the disk is full."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAZY_S = 0.05
_BEHIND_US = 1_000
_RESERVED = frozenset(ENVELOPE)
_BRACKETS = frozenset({"statement.begin", "statement.end", "statement.unknown"})


class FileLog:
    """The trail in one directory: implements `ports.Trail` for the thread of one event loop.

    `recovery` is the `log.recovery` record of this start, or None when there was nothing to mend.
    """

    def __init__(
        self,
        directory: Path,
        key: Signer,
        next_key: Signer | None,
        clock: Clock,
        time_ns: Callable[[], int] | None,
        loop: asyncio.AbstractEventLoop | None,
        on_failure: Callable[[BaseException], Any] | None,
        disk: Disk,
        entropy: Callable[[int], bytes],
        segment_bytes: int,
        reserve_bytes: int,
        interval_s: float,
        heartbeat_s: float,
        compiled: bool | None,
        replica: Replica | None,
    ) -> None:
        """For `open` only."""
        self.directory = directory
        self.origin = key.verifier.name
        self.recovery: dict[str, Any] | None = None
        self._key, self._next_key, self._loop = key, next_key, loop
        self._time_ns, self._watched = time_ns or _nanoseconds(clock), time_ns is not None
        self._disk = disk
        self._stamp = stamps(entropy, _second_text).next
        self._lock_fd = -1
        self._next_index = 0
        self._last_us = 0
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat_s = heartbeat_s
        self._pulse: Pulse | None = None
        self._delivery = Delivery(loop, self._collect, self._notify, on_failure)
        signal, deliver = self._delivery.signal, self._delivery.deliver
        self._writer = Writer(directory, self.origin, disk, segment_bytes, signal, deliver, self._fail, compiled)
        self._replicator: Replicator | None = None
        if replica is not None:
            self._replicator = Replicator(replica, self.origin, self._writer.wait, self._told, self._writer.fail)
        self._publisher = Publisher(
            directory, key, disk, self._writer, reserve_bytes, interval_s, self._writer.fail, self._replicator
        )

    @classmethod
    def open(
        cls,
        directory: str | Path,
        *,
        origin: str,
        key: Signer,
        clock: Clock,
        next_key: Signer | None = None,
        time_ns: Callable[[], int] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        on_failure: Callable[[BaseException], Any] | None = None,
        version: str = "",
        reason: str = "start",
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        interval_s: float = 1.0,
        heartbeat_s: float = 0.0,
        disk: Disk | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        compiled: bool | None = None,
        replica: Replica | None = None,
    ) -> FileLog:
        """Open or create the trail, mend what a crash left, and record the start durably. Blocks while it does.

        `append` belongs to the thread of `loop`, and receipts, subscribers and `on_failure` are called there; without
        a loop (tools, tests) they are called on the writer's thread. A segment has 256 KiB or more. `compiled` chooses
        the writer's core, see `writer.py`. `time_ns` is the same clock in nanoseconds since 1970, where there is one.
        With `next_key`, the heads are signed by that one from here on, see `rotation.py`. With a loop and
        `time_ns`, steps of the clock are recorded, and a heartbeat after `heartbeat_s` without a record (0: none), see
        `pulse.py`. With `replica`, nothing is durable before a quorum of those servers has it too, see `replicate.py`.

        Raises: GatewayError("audit-damaged"), ("audit-not-writable"), ("configuration-invalid").
        """
        for signer in (key, next_key):
            if signer is not None and origin != signer.verifier.name:
                raise GatewayError(
                    "configuration-invalid", f"the audit key is of `{signer.verifier.name}`, not of `{origin}`"
                )
        if segment_bytes < 256 << 10:
            raise GatewayError("configuration-invalid", "an audit segment has 256 KiB or more")
        log = cls(
            Path(directory),
            key,
            next_key,
            clock,
            time_ns,
            loop,
            on_failure,
            disk or Disk(),
            entropy,
            segment_bytes,
            reserve_bytes,
            interval_s,
            heartbeat_s,
            compiled,
            replica,
        )
        try:
            log._start(version, reason)
        except BaseException as error:
            log._release()
            if isinstance(error, Damaged):
                raise GatewayError(
                    "audit-damaged",
                    f"the audit trail is damaged at record {error.index}",
                    "run `gateway audit verify`, keep the files as they are, and restore or begin a new trail",
                    str(error),
                    fatal=True,
                ) from error
            if isinstance(error, OSError):
                raise _not_writable(f"the audit trail cannot be opened: {error.strerror}", str(error)) from error
            raise
        return log

    @property
    def size(self) -> int:
        """How many records were appended, durable or not."""
        return self._next_index

    @property
    def durable_size(self) -> int:
        """How many records are durable: a reader shows no others."""
        return self._least(self._writer.durable)

    @property
    def waiting_for_quorum(self) -> int:
        """How many records the local disk has and no quorum acknowledged yet; 0 where none is asked."""
        return 0 if self._replicator is None else max(0, self._writer.durable - self._replicator.durable)

    @property
    def signed_size(self) -> int:
        """How many records the last checkpoint covers."""
        return self._publisher.signed.size if self._publisher.signed else 0

    @property
    def verifier(self) -> Verifier:
        """The public half of the key that signs."""
        return self._key.verifier

    def signed_note(self, text: str) -> str:
        """The signed note of a text, which must say what it is so that it can be taken for nothing else."""
        return self._key.sign(text)

    @property
    def writable(self) -> bool:
        """Whether work may be recorded now."""
        return self._lock_fd >= 0 and self._writer.failure is None and not self._writer.refusing

    def append(self, record: Mapping[str, Any], *, urgent: bool = True) -> FileReceipt:
        """See `ports.Trail`. A record that is not urgent wakes nobody: it rides the next commit, within 50 ms."""
        kind = record.get("kind")
        writer = self._writer
        if writer.refusing and kind not in CLOSING:
            raise _not_writable(writer.refusing)
        index = self._next_index
        try:
            leaf = self._leaf(record, index)
        except (TypeError, ValueError) as error:
            raise _not_writable("the record cannot be written", f"{kind}: {error}") from error
        return self._push(leaf, index, _bracket(record), urgent=urgent)

    def append_form(self, form: Form, values: tuple[int | str, ...], *, urgent: bool = True) -> FileReceipt:
        """See `ports.Trail`."""
        moment, behind = self._moment()
        if behind > _BEHIND_US or (self._writer.refusing and form.kind not in CLOSING):
            return self.append(form.record(values), urgent=urgent)
        index = self._next_index
        filling = (index, *self._stamp(moment), *values)
        layout = form.layout
        if layout is None or layout[0] is not self:
            constant = {**form.constant, "v": 1, "origin": self.origin}
            laid_out = layout_of(constant, ("index", "id", "time", *form.variables), filling)
            layout = form.layout = (self, laid_out, _form_bracket(form))
        leaf = layout[1].fill(filling)
        if leaf is None:
            return self.append(form.record(values), urgent=urgent)
        bracket = layout[2]
        if bracket is not None:
            kind, session, at = bracket
            bracket = kind, session, str(values[at])
        return self._push(leaf, index, bracket, urgent=urgent)

    def flush(self, timeout_s: float = 10.0) -> None:
        """Block until everything appended so far is durable. For tools and tests. Raises `GatewayError`."""
        if not self._writer.wait(self._next_index, timeout_s):
            raise _not_writable("the audit trail could not be flushed", str(self._writer.failure or "timeout"))
        if self._replicator is not None and not self._replicator.wait(self._next_index, timeout_s):
            raise _not_writable("the audit trail could not be flushed", str(self._replicator.failure or "timeout"))
        if self._replicator is not None and self._loop is None:
            # the replicator's thread may not have come to it yet
            self._delivery.deliver()

    def checkpoint(self) -> Checkpoint:
        """Sign the durable tree head now, if it is not signed yet, and return it. Raises `GatewayError`."""
        try:
            self._publisher.publish()
        except OSError as error:
            self._writer.fail(error)
        if self._writer.failure is not None or self._publisher.signed is None:
            raise _not_writable("the audit trail is closed", str(self._writer.failure))
        return self._publisher.signed

    def subscribe(self, callback: Callable[[dict[str, Any]], Any]) -> Callable[[], None]:
        """Call `callback(record)` for each record once it is durable, in order; the result ends the subscription."""
        return self._delivery.subscribe(callback)

    def rest(self) -> None:
        """Record nothing on its own any more; for the loop's thread, before another one calls `close`."""
        for timer in (self._timer, self._pulse):
            if timer is not None:
                timer.cancel()

    def close(self, reason: str = "stop") -> None:
        """Record the stop, make everything durable, sign it, and let go of the directory. Blocks; safe to repeat."""
        if self._lock_fd < 0:
            return
        self.rest()
        with contextlib.suppress(GatewayError):
            self.append(event("log.stop", size=self._next_index, reason=reason))
        self._writer.stop()
        self._publisher.stop()
        try:
            if self._writer.failure is None:
                self._publisher.publish()
            if self._replicator is not None:
                # with the last head beside the copy
                self._replicator.stop()
        except OSError as error:
            self._writer.fail(error)
        finally:
            self._release()

    def _push(self, leaf: bytes, index: int, bracket: Bracket | None, *, urgent: bool) -> FileReceipt:
        writer = self._writer
        receipt = FileReceipt(index, leaf)
        if bracket is not None:
            writer.note((index, bracket))
        # before the push: the writer may be done with it before this returns
        self._delivery.expect(receipt)
        if not writer.push(leaf, urgent or self._loop is None):
            self._delivery.forget(receipt)
            raise _not_writable("the audit trail is closed", str(writer.failure or "stopped"))
        if self._replicator is not None:
            self._replicator.push(leaf, urgent or self._loop is None)
        self._next_index = index + 1
        if not urgent and self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(_LAZY_S, self._hurry)
        return receipt

    def _moment(self) -> tuple[int, int]:
        """The time of the next record in microseconds since 1970, and by how many the clock is behind it."""
        moment = self._time_ns() // 1_000
        last = self._last_us
        # INVARIANT: times and ids grow with the index, whatever the clock does; a clock that went back is on record
        behind = last - moment
        if behind >= 0:
            moment = last + 1
        self._last_us = moment
        return moment, behind

    def _leaf(self, record: Mapping[str, Any], index: int) -> bytes:
        moment, behind = self._moment()
        name, time = self._stamp(moment)
        full = {**record, "v": 1, "origin": self.origin, "index": index, "id": name, "time": time}
        if len(full) != len(record) + 5 or "truncated" in record or "clock_behind_us" in record:
            raise ValueError(f"{sorted(_RESERVED & record.keys())} are set by the log")
        if behind > _BEHIND_US:
            full["clock_behind_us"] = behind
        return leaf_of(full)

    def _hurry(self) -> None:
        self._timer = None
        self._writer.hurry()
        if self._replicator is not None:
            self._replicator.hurry()

    def _collect(self) -> int:
        return self._least(self._writer.collect() if self._delivery.signal >= 0 else self._writer.durable)

    def _least(self, local: int) -> int:
        """How many records are durable everywhere."""
        return local if self._replicator is None else min(local, self._replicator.durable)

    def _told(self) -> None:
        """A quorum has more; on the replicator's thread."""
        if self._delivery.signal >= 0:
            os.eventfd_write(self._delivery.signal, 1)
        else:
            self._delivery.deliver()

    def _fail(self, error: BaseException) -> None:
        if self._replicator is not None:
            self._replicator.abandon()
        self._delivery.fail(error)

    def _notify(self) -> None:
        self._publisher.notify()

    # -- start and end

    def _start(self, version: str, reason: str) -> None:
        self._prepare_directory()
        thaw_last(self.directory, self._disk)
        keys = [self._key] if self._next_key is None else [self._key, self._next_key]
        state = read_state(self.directory, self.origin, *(key.verifier for key in keys))
        for rotation in state.rotations:
            keep_rotation(self.directory, rotation, self._disk)
        self._use(next(key for key in keys if key.verifier == state.verifier))
        self._next_index = state.frontier.size
        if self._replicator is not None:
            self._replicator.resume(self.directory, state.frontier)
        self._last_us = state.last_us
        tiles = self._publisher.tiles
        if state.signed is not None and tiles.resume(state.signed.size, state.signed.root):
            self._publisher.signed = state.signed
            unsigned = state.unsigned
        else:
            unsigned = []
            tiles.restart()
            for hashes in leaf_hashes(self.directory):
                tiles.add(hashes)
                tiles.write()
        check_rotations(self.directory, self.origin, tiles.size)
        pruning = kept_pruning(self.directory, self.origin)
        if pruning is not None:
            check_pruning(self.directory, pruning, state.signed or Checkpoint(self.origin, 0, EMPTY_ROOT))
            remove_pruned(self.directory, pruning, self._disk)
        if state.path is None:
            self._writer.begin()
        else:
            begins = {key: statement.begin for key, statement in state.open.items()}
            cut = state.cut_bytes > 0
            self._writer.resume(state.frontier, state.path, state.offset, cut=cut, unsigned=unsigned, begins=begins)
        self._writer.make_spare()
        self._publisher.publish()
        if self._publisher.signed is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        leaves = self._record_start(state, version, reason)
        if self._next_key is not None and self._next_key is not self._key:
            leaves.append(self._rotate(self._next_key))
        self._publisher.publish()
        self._writer.start()
        if self._replicator is not None:
            self._replicator.start()
        self._publisher.start()
        self._delivery.listen(leaves)
        if self._loop is not None and self._watched:
            self._pulse = Pulse(self.append, lambda: self._next_index, self._time_ns, heartbeat_s=self._heartbeat_s)
            self._loop.call_soon_threadsafe(self._pulse.start, self._loop)

    def _prepare_directory(self) -> None:
        for path in (self.directory, self.directory / "segments"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
        self._lock_fd = take_lock(self.directory)
        if self._lock_fd < 0:
            raise _not_writable("another process writes this audit trail")
        self._disk.sync_directory(self.directory)
        self._disk.sync_directory(self.directory.parent)

    def _record_start(self, state: State, version: str, reason: str) -> list[bytes]:
        size, root = state.frontier.size, state.frontier.root().hex()
        records: list[dict[str, Any]] = []
        if state.cut_bytes or state.open:
            found = {"size": size, "root": root, "cut_bytes": state.cut_bytes, "unknown": len(state.open)}
            self.recovery = event("log.recovery", **found, reason=reason)
            records.append(self.recovery)
        records += map(_unknown, state.open.values())
        records.append(event("log.start", version=version, size=size, root=root, reason=reason))
        leaves = []
        for record in records:
            leaves.append(self._leaf(record, self._next_index))
            if (bracket := _bracket(record)) is not None:
                self._writer.note((self._next_index, bracket))
            self._next_index += 1
        self._commit(leaves)
        return leaves

    def _rotate(self, following: Signer) -> bytes:
        """Record that `following` signs from here on, and let it."""
        note = rotation_note(self._next_index, self._key, following)
        leaf = self._leaf(event("log.rotation", note=note), self._next_index)
        self._next_index += 1
        self._commit([leaf])
        keep_rotation(self.directory, rotation_of(leaf, self.origin), self._disk)
        self._use(following)
        return leaf

    def _commit(self, leaves: list[bytes]) -> None:
        """Make leaves durable before the threads are started."""
        self._writer.commit(leaves)
        if self._replicator is not None:
            self._replicator.commit(leaves)

    def _use(self, key: Signer) -> None:
        self._key = key
        self._publisher.use(key)

    def _release(self) -> None:
        if self._replicator is not None:
            self._replicator.abandon()
            self._replicator.stop()
        self._writer.release()
        self._delivery.hang_up()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _nanoseconds(clock: Clock) -> Callable[[], int]:
    return lambda: (clock() - _EPOCH) // timedelta(microseconds=1) * 1_000


def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]


def _form_bracket(form: Form) -> tuple[str, str, int] | None:
    """Kind, session, and where among its values a form has the statement; None for what brackets none."""
    if form.kind not in _BRACKETS:
        return None
    return form.kind, form.constant["session"], form.variables.index("statement")


def _bracket(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    kind = record["kind"]
    return (kind, record.get("session", ""), record.get("statement", "")) if kind in _BRACKETS else None


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


def _not_writable(message: str, detail: str = "") -> GatewayError:
    return GatewayError("audit-not-writable", message, "work is refused until the audit trail can be written", detail)
