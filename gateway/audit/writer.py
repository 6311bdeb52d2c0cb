"""The thread that makes records durable: what arrived while one flush was under way is the next batch.

Theory of operation. The loop's thread pushes a leaf and its receipt under the mutex and, when the writer is asleep
and the record is urgent, wakes it. The writer takes all that is queued (up to a bound), lays it out as one batch,
writes it with one call, flushes, and hands the receipts back. There is no timer: under load the flush itself is the
delay that fills the next batch. The format is described in `log.py`.

INVARIANT: `durable` grows only after the flush of the commit returned.
INVARIANT: after a failed write or flush nothing is written again: what the kernel did with the pages is unknown.
INVARIANT: work is admitted only while a spare segment is allocated, so the records that close it find room.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.audit.segment import HEADER_BYTES, Disk, Header, assemble, batch_bytes, segment_path
from gateway.audit.tree import Frontier

if TYPE_CHECKING:
    from gateway.audit.log import FileReceipt

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
Bracket = tuple[str, str, str]
"""Kind, session and statement of a record that begins or ends a statement."""


class Closed(Exception):
    """Nothing can be pushed any more."""


class Writer:
    """The queue, the thread, and the file that it writes.

    `refusing` says why no work is taken at the moment, and is empty otherwise; `failure` is what ended the writer.
    `on_commit` and `on_failure` are called on the writer's thread.
    """

    def __init__(
        self,
        directory: Path,
        origin: str,
        disk: Disk,
        segment_bytes: int,
        on_commit: Callable[[list[FileReceipt], Sequence[bytes]], None],
        on_failure: Callable[[list[FileReceipt], BaseException], None],
    ) -> None:
        self.durable = 0
        self.refusing = ""
        self.failure: BaseException | None = None
        self.batch_bytes = min(1 << 20, segment_bytes // 4)
        self._directory, self._origin, self._disk, self._segment_bytes = directory, origin, disk, segment_bytes
        self._on_commit, self._on_failure = on_commit, on_failure
        self._mutex = threading.Lock()
        self._settled = threading.Condition(self._mutex)
        self._leaves: list[bytes] = []
        self._receipts: list[FileReceipt] = []
        self._queued_bytes = 0
        self._urgent = self._asleep = self._stopping = False
        self._brackets: deque[tuple[int, Bracket]] = deque()
        self._in_flight: list[FileReceipt] = []
        self._unsigned: list[bytes] = []
        self._root = b""
        # a lock used as a binary semaphore: held while there is nothing to wake for
        self._wake = threading.Lock()
        self._wake.acquire()
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._frontier = Frontier()
        self._begins: dict[tuple[str, str], int] = {}
        self._fd = self._spare_fd = -1
        self._offset = HEADER_BYTES
        self._spare_mutex = threading.Lock()

    # -- the loop's side

    def push(self, leaf: bytes, receipt: FileReceipt, bracket: Bracket | None, *, urgent: bool) -> None:
        """Queue a leaf. Raises `Closed`."""
        with self._mutex:
            if self._stopping or self.failure is not None:
                raise Closed
            if bracket is not None:
                self._brackets.append((receipt.index, bracket))
            self._leaves.append(leaf)
            self._receipts.append(receipt)
            self._queued_bytes += len(leaf)
            if not urgent and self._queued_bytes <= self.batch_bytes:
                return
            self._urgent = True
            if not self._asleep:
                return
            self._asleep = False
        self._wake.release()

    def hurry(self) -> None:
        """Write what is queued without waiting for an urgent record."""
        with self._mutex:
            self._urgent = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()

    def wait(self, size: int, timeout_s: float) -> bool:
        """Block until that many records are durable; False when they are not in time, or never will be."""
        self.hurry()
        with self._settled:
            self._settled.wait_for(lambda: self.durable >= size or self.failure is not None, timeout_s)
            return self.durable >= size and self.failure is None

    def take_unsigned(self) -> tuple[list[bytes], int, bytes]:
        """The hashes of the leaves that became durable since the last call, and size and root of the durable tree."""
        with self._mutex:
            hashes, self._unsigned = self._unsigned, []
            return hashes, self.durable, self._root

    def fail(self, error: BaseException) -> None:
        """End it all: every receipt that is not durable fails."""
        with self._mutex:
            if self.failure is not None:
                return
            self.failure = error
            receipts = self._in_flight + self._receipts
            self._leaves, self._receipts, self._in_flight = [], [], []
            wake, self._asleep = self._asleep, False
            self._settled.notify_all()
        if wake:
            self._wake.release()
        self._on_failure(receipts, error)

    # -- life

    def begin(self) -> None:
        """Make the first segment of a new log."""
        self.make_spare()
        self._roll()
        self._root = self._frontier.root()

    def resume(
        self,
        frontier: Frontier,
        path: Path,
        offset: int,
        *,
        cut: bool,
        unsigned: list[bytes],
        begins: dict[tuple[str, str], int],
    ) -> None:
        """Go on in that segment behind its last commit; `cut` away what lies there.

        `unsigned` are the hashes of leaves that no checkpoint covers; `begins` the statements without an end.
        """
        self._frontier, self._offset, self._unsigned, self._begins = frontier.copy(), offset, unsigned, begins
        self.durable, self._root = frontier.size, frontier.root()
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if cut:
            os.ftruncate(self._fd, offset)
        self._disk.allocate(self._fd, self._segment_bytes)
        self._disk.sync(self._fd)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        with self._mutex:
            self._stopping = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._wake.release()
        if self._thread.ident is not None:
            self._thread.join()

    def release(self) -> None:
        """Close the files."""
        for descriptor in (self._fd, self._spare_fd):
            if descriptor >= 0:
                os.close(descriptor)
        if self._spare_fd >= 0:
            (self._directory / "segments" / "spare").unlink(missing_ok=True)
        self._fd = self._spare_fd = -1

    def make_spare(self) -> bool:
        """Allocate the next segment unless there is one; without space for it, refuse work."""
        with self._spare_mutex:
            if self._spare_fd >= 0:
                return True
            path = self._directory / "segments" / "spare"
            try:
                path.unlink(missing_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    self._disk.allocate(descriptor, self._segment_bytes)
                except OSError:
                    os.close(descriptor)
                    path.unlink()
                    raise
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                self.refusing = "the audit trail has no space left"
                return False
            self._spare_fd = descriptor
            return True

    # -- the writer's side

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self.commit(*batch)
        except Exception as error:  # FAIL CLOSED: whatever stops the writer closes the log
            self.fail(error)

    def _next_batch(self) -> tuple[list[bytes], list[FileReceipt]] | None:
        while True:
            with self._mutex:
                if self.failure is not None:
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
        if self._queued_bytes <= self.batch_bytes:
            self._leaves, self._receipts, self._queued_bytes, self._urgent = [], [], 0, False
        else:
            count = used = 0
            while count < len(leaves) and (count == 0 or used + len(leaves[count]) <= self.batch_bytes):
                used += len(leaves[count])
                count += 1
            self._leaves, self._receipts = leaves[count:], receipts[count:]
            self._queued_bytes -= used
            leaves, receipts = leaves[:count], receipts[:count]
        self._in_flight = receipts
        return leaves, receipts

    def note(self, index: int, bracket: Bracket) -> None:
        """Know of a record that begins or ends a statement; for what is committed without being pushed."""
        self._brackets.append((index, bracket))

    def commit(self, leaves: Sequence[bytes], receipts: list[FileReceipt]) -> None:
        """Make one batch durable. Raises `OSError`, after which the writer must not be used."""
        if self._offset + batch_bytes(leaves) > self._segment_bytes:
            self._roll()
        data, hashes, root = assemble(leaves, self._offset, self._frontier)
        self._disk.write(self._fd, data, self._offset)
        self._disk.sync(self._fd)
        self._offset += len(data)
        with self._mutex:
            if self.failure is not None:
                return
            self._in_flight = []
            self.durable, self._root = self._frontier.size, root
            self._unsigned += hashes
            self._settled.notify_all()
        self._on_commit(receipts, leaves)
        if self._spare_fd < 0 and not self.refusing:
            self.make_spare()

    def _roll(self) -> None:
        """Begin the next segment in the spare one."""
        first = self._frontier.size
        while self._brackets and self._brackets[0][0] < first:
            index, (kind, session, statement) = self._brackets.popleft()
            if kind == "statement.begin":
                self._begins[session, statement] = index
            else:
                self._begins.pop((session, statement), None)
        header = Header(self._origin, self._frontier, min(self._begins.values(), default=first))
        path = segment_path(self._directory, first)
        with self._spare_mutex:
            descriptor, self._spare_fd = self._spare_fd, -1
            if descriptor < 0:
                raise OSError(errno.ENOSPC, "no segment is left to write to")
            old, used = self._fd, self._offset
            self._fd, self._offset = descriptor, HEADER_BYTES
            self._disk.write(descriptor, header.encoded(), 0)
            self._disk.sync(descriptor)
            os.rename(path.with_name("spare"), path)
            self._disk.sync_directory(path.parent)
        if old >= 0:
            os.ftruncate(old, used)
            os.close(old)
