"""The thread that makes records durable: what arrived while one flush was under way is the next batch.

Theory of operation. The loop's thread pushes leaves into a core and, when the core's thread is asleep and the record
is urgent, wakes it. The core takes all that is queued (up to a bound), lays it out as one batch, writes it with one
call, flushes, and says so: through an eventfd that the loop watches, or, where there is no loop, by returning. It
also returns when a segment is full, and at the end; what then happens to files is up to `Writer`. The format is
described in `log.py`.

There are two cores. `PythonCore` has no timer: under load the flush itself is the delay that fills the next batch.
`_writer.pyx` is the same compiled, and needs the interpreter's lock neither to work nor to report. It is taken when it
has been built (`python -m gateway.wire.build gateway/audit/_writer.pyx`) and the disk is the real one; what they write
is the same. For a crowd it does wait, a moment, and for a part of the crowd only: waiting until all were back had made
all wait for one another. It writes around the page cache where the file system lets it, which needs blocks that were
written before: a thread fills the spare segment with zeros while it is spare.

INVARIANT: `durable` grows only after the flush of the commit returned.
INVARIANT: after a failed write or flush nothing is written again: what the kernel did with the pages is unknown.
INVARIANT: work is admitted only while a spare segment is allocated, so the records that close it find room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from gateway.audit.segment import BLANK_BYTES, HEADER_BYTES, Disk, Header, assemble, batch_bytes, segment_path
from gateway.audit.tree import Frontier

try:
    from gateway.audit._writer import Core as CompiledCore
except ImportError:
    COMPILED = False
else:
    COMPILED = True

_BLOCK: Final = 4_096
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
ROLL: Final = 1
"""The next batch does not fit into the segment."""
COMMITTED: Final = 2
"""One batch was committed."""
END: Final = 3
"""It was stopped, and nothing is queued any more, or it failed."""
Bracket = tuple[str, str, str]
"""Kind, session and statement of a record that begins or ends a statement."""


class Core(Protocol):
    """A queue, and the loop that makes durable what is in it."""

    @property
    def durable(self) -> int:
        """How many records are durable."""
        ...

    @property
    def offset(self) -> int:
        """Where the next batch begins in its segment. For the thread that runs."""
        ...

    def push(self, leaf: bytes, urgent: bool) -> bool:
        """Queue a leaf; False when it cannot be queued any more."""
        ...

    def hurry(self) -> None:
        """Write what is queued without waiting for an urgent record."""
        ...

    def wait(self, size: int, timeout_s: float) -> bool:
        """Block until that many records are durable; False when they are not in time, or never will be."""
        ...

    def collect(self) -> int:
        """How many records are durable, for who heard the eventfd: it is quiet again until there are more."""
        ...

    def take_unsigned(self) -> tuple[list[bytes], int, bytes]:
        """The hashes of the leaves that became durable since the last call, and size and root of the durable tree."""
        ...

    def fail(self) -> None:
        """Take nothing more, and count nothing more as durable."""
        ...

    def stop(self) -> None:
        """Take nothing more, and return from `run` once all is written."""
        ...

    def resume(self, size: int, subtrees: list[bytes], unsigned: list[bytes]) -> None:
        """Start with that tree and those hashes that no checkpoint covers. Before anything else."""
        ...

    def use(self, descriptor: int, offset: int, fresh: bool, direct: int = -1, /) -> None:
        """Write there from now on, through `direct` (see `Disk.open_direct`) if it is not negative.

        A `fresh` segment takes one batch of any size. For the thread that runs. Raises `OSError`.
        """
        ...

    def frontier(self) -> tuple[int, list[bytes]]:
        """The size of the tree and its complete subtrees. For the thread that runs."""
        ...

    def run(self, once: bool) -> int:
        """Wait for leaves and make them durable until there is a reason to return, one commit if `once`.

        Raises `OSError`, after which it must not be called again.
        """
        ...


class PythonCore:
    """See `Core`. `signal` is an eventfd to write to after each commit, or negative."""

    def __init__(self, disk: Disk, batch_bytes: int, segment_bytes: int, signal: int) -> None:
        self.durable = 0
        self.offset = HEADER_BYTES
        self._disk, self._batch_bytes, self._segment_bytes, self._signal = disk, batch_bytes, segment_bytes, signal
        self._mutex = threading.Lock()
        self._settled = threading.Condition(self._mutex)
        self._leaves: list[bytes] = []
        self._queued_bytes = 0
        self._urgent = self._asleep = self._stopping = self._failed = self._signalled = False
        self._unsigned: list[bytes] = []
        # a lock used as a binary semaphore: held while there is nothing to wake for
        self._wake = threading.Lock()
        self._wake.acquire()
        self._frontier = Frontier()
        self._root = self._frontier.root()
        self._taken: Sequence[bytes] = ()
        self._descriptor, self._fresh = -1, False

    def push(self, leaf: bytes, urgent: bool) -> bool:
        with self._mutex:
            if self._stopping or self._failed:
                return False
            self._leaves.append(leaf)
            self._queued_bytes += len(leaf)
            if not urgent and self._queued_bytes <= self._batch_bytes:
                return True
            self._urgent = True
            if not self._asleep:
                return True
            self._asleep = False
        self._wake.release()
        return True

    def hurry(self) -> None:
        with self._mutex:
            self._urgent = True
            self._rouse()

    def wait(self, size: int, timeout_s: float) -> bool:
        self.hurry()
        with self._settled:
            self._settled.wait_for(lambda: self.durable >= size or self._failed, timeout_s)
            return self.durable >= size and not self._failed

    def collect(self) -> int:
        if self._signal >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._signal)
        with self._mutex:
            self._signalled = False
            return self.durable

    def take_unsigned(self) -> tuple[list[bytes], int, bytes]:
        with self._mutex:
            hashes, self._unsigned = self._unsigned, []
            return hashes, self.durable, self._root

    def fail(self) -> None:
        with self._mutex:
            self._failed = True
            self._settled.notify_all()
            self._rouse()

    def stop(self) -> None:
        with self._mutex:
            self._stopping = True
            self._rouse()

    def resume(self, size: int, subtrees: list[bytes], unsigned: list[bytes]) -> None:
        self._frontier, self._unsigned = Frontier(size, subtrees), list(unsigned)
        self.durable, self._root = size, self._frontier.root()

    def use(self, descriptor: int, offset: int, fresh: bool, _direct: int = -1, /) -> None:
        self._descriptor, self.offset, self._fresh = descriptor, offset, fresh

    def frontier(self) -> tuple[int, list[bytes]]:
        return self._frontier.size, list(self._frontier.subtrees)

    def run(self, once: bool) -> int:
        while True:
            if not self._taken and not self._take():
                return END
            outcome = self._commit(self._taken)
            if outcome != COMMITTED or once:
                return outcome

    def _rouse(self) -> None:
        if self._asleep:
            self._asleep = False
            self._wake.release()

    def _take(self) -> bool:
        """Wait for leaves and take what makes one batch; False at the end."""
        while True:
            with self._mutex:
                if self._failed or (self._stopping and not self._leaves):
                    return False
                if self._leaves and (self._urgent or self._stopping):
                    self._taken = self._batch()
                    return True
                self._urgent = False
                self._asleep = True
            self._wake.acquire()

    def _batch(self) -> list[bytes]:
        leaves = self._leaves
        if self._queued_bytes <= self._batch_bytes:
            self._leaves, self._queued_bytes, self._urgent = [], 0, False
            return leaves
        count = used = 0
        while count < len(leaves) and (count == 0 or used + len(leaves[count]) <= self._batch_bytes):
            used += len(leaves[count])
            count += 1
        self._leaves = leaves[count:]
        self._queued_bytes -= used
        return leaves[:count]

    def _commit(self, leaves: Sequence[bytes]) -> int:
        if self.offset + batch_bytes(leaves) > self._segment_bytes and not self._fresh:
            return ROLL
        data, hashes, root = assemble(leaves, self.offset, self._frontier)
        self._disk.write(self._descriptor, data, self.offset)
        self._disk.sync(self._descriptor)
        self.offset += len(data)
        self._taken, self._fresh = (), False
        with self._mutex:
            if self._failed:
                return END
            self.durable, self._root = self._frontier.size, root
            self._unsigned += hashes
            self._settled.notify_all()
            tell, self._signalled = self._signal >= 0 and not self._signalled, self._signal >= 0
        if tell:
            os.eventfd_write(self._signal, 1)
        return COMMITTED


class Writer:
    """The thread, and the files that its core writes.

    `refusing` says why no work is taken at the moment, and is empty otherwise; `failure` is what ended the writer.
    `signal` is an eventfd for each commit; without one (negative), `on_commit` is called on the writer's thread.
    `on_failure` is called on the thread that found it. `compiled` chooses the core, None the best that there is.
    """

    def __init__(
        self,
        directory: Path,
        origin: str,
        disk: Disk,
        segment_bytes: int,
        signal: int,
        on_commit: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        compiled: bool | None = None,
    ) -> None:
        self.refusing = ""
        self.failure: BaseException | None = None
        self._directory, self._origin, self._disk, self._segment_bytes = directory, origin, disk, segment_bytes
        self._on_commit, self._on_failure = (None if signal >= 0 else on_commit), on_failure
        largest = min(1 << 20, segment_bytes // 4)
        # a disk of one's own is there to see each operation
        self._direct_wanted = COMPILED and type(disk) is Disk if compiled is None else compiled
        if self._direct_wanted:
            core: Core = CompiledCore(largest, segment_bytes, signal)
        else:
            core = PythonCore(disk, largest, segment_bytes, signal)
        self._core = core
        # what the loop's thread calls for each record it calls without detours
        self.push, self.hurry, self.wait, self.collect = core.push, core.hurry, core.wait, core.collect
        self.take_unsigned = core.take_unsigned
        self._brackets: deque[tuple[int, Bracket]] = deque()
        self.note = self._brackets.append
        self._begins: dict[tuple[str, str], int] = {}
        self._failing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._fd = self._direct = self._spare_fd = self._spare_direct = -1
        self._spare_mutex = threading.Lock()
        self._blanking: threading.Thread | None = None

    @property
    def durable(self) -> int:
        """How many records are durable."""
        return self._core.durable

    def fail(self, error: BaseException) -> None:
        """End it all: every receipt that is not durable fails."""
        with self._failing:
            if self.failure is not None:
                return
            self.failure = error
        self._core.fail()
        self._on_failure(error)

    def begin(self, frontier: Frontier | None = None) -> None:
        """Make the first segment of a new log, or of one of which what is before that tree's size is gone."""
        if frontier is not None:
            self._core.resume(frontier.size, frontier.subtrees, [])
        self._allocate_spare()
        self._blank_spare()
        self._roll()

    def roll(self) -> None:
        """Begin another segment here, before the thread is started. Raises `OSError`."""
        self.make_spare()
        self._roll()

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
        self._begins = begins
        self._core.resume(frontier.size, frontier.subtrees, unsigned)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if cut:
            os.ftruncate(self._fd, offset)
        self._disk.allocate(self._fd, self._segment_bytes)
        self._disk.sync(self._fd)
        if self._direct_wanted:
            self._direct = self._disk.open_direct(path)
            for start in range(-(-offset // _BLOCK) * _BLOCK, self._segment_bytes, BLANK_BYTES):
                if self._direct >= 0 and not self._blank(self._direct, start):
                    self._direct = _closed(self._direct)
        self._core.use(self._fd, offset, False, self._direct)

    def commit(self, leaves: Sequence[bytes]) -> None:
        """Make leaves durable before the thread is started. Raises `OSError`."""
        size = self.durable + len(leaves)
        for leaf in leaves:
            self.push(leaf, True)
        while self.durable < size and self._step(once=True):
            pass

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self._core.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def release(self) -> None:
        """Close the files."""
        with self._spare_mutex:
            for descriptor in (self._fd, self._direct, self._spare_fd, self._spare_direct):
                _closed(descriptor)
            if self._spare_fd >= 0:
                (self._directory / "segments" / "spare").unlink(missing_ok=True)
            self._fd = self._direct = self._spare_fd = self._spare_direct = -1
        if self._blanking is not None:
            self._blanking.join()

    def make_spare(self) -> bool:
        """Allocate the next segment unless there is one, and fill it with zeros; without space for it, refuse work."""
        if self._spare_fd >= 0:
            return True
        made = self._allocate_spare()
        if made and self._direct_wanted and (self._blanking is None or not self._blanking.is_alive()):
            self._blanking = threading.Thread(target=self._blank_spare, name="audit-blank", daemon=True)
            self._blanking.start()
        return made

    def _allocate_spare(self) -> bool:
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

    def _blank_spare(self) -> None:
        """Fill the spare segment with zeros for as long as it is spare, then the next one if there is one by then."""
        start, spare = HEADER_BYTES, -1
        while start < self._segment_bytes:
            # INVARIANT: zeros are written under the mutex that a spare segment is taken under, and to no other segment
            with self._spare_mutex:
                if self._spare_direct != spare:
                    start, spare = HEADER_BYTES, -1
                if self._spare_fd < 0:
                    return
                if spare < 0:
                    self._spare_direct = spare = self._disk.open_direct(self._directory / "segments" / "spare")
                if spare < 0 or not self._blank(spare, start):
                    self._spare_direct = _closed(spare)
                    return
            start += BLANK_BYTES

    def _blank(self, direct: int, start: int) -> bool:
        """Whether zeros could be written from there on, and so batches can."""
        end = min(start + BLANK_BYTES, self._segment_bytes // _BLOCK * _BLOCK)
        try:
            return start >= end or self._disk.blank(direct, start, end)
        except OSError:
            # such a segment is written as one where direct writes are not to be had; what is wrong shows there
            return False

    def _run(self) -> None:
        try:
            while self._step(once=self._on_commit is not None):
                pass
        except Exception as error:  # FAIL CLOSED: whatever stops the writer closes the log
            self.fail(error)

    def _step(self, *, once: bool) -> bool:
        """Let the core run until it needs something; False at the end."""
        missing = self._spare_fd < 0 and not self.refusing
        outcome = self._core.run(once or missing)
        if outcome == END:
            return False
        if outcome == ROLL:
            self._roll()
            return True
        if self._on_commit is not None:
            self._on_commit()
        if missing:
            self.make_spare()
        return True

    def _roll(self) -> None:
        """Begin the next segment in the spare one."""
        first, subtrees = self._core.frontier()
        while self._brackets and self._brackets[0][0] < first:
            index, (kind, session, statement) = self._brackets.popleft()
            if kind == "statement.begin":
                self._begins[session, statement] = index
            else:
                self._begins.pop((session, statement), None)
        header = Header(self._origin, Frontier(first, subtrees), min(self._begins.values(), default=first))
        path = segment_path(self._directory, first)
        with self._spare_mutex:
            descriptor, self._spare_fd = self._spare_fd, -1
            direct, self._spare_direct = self._spare_direct, -1
            if descriptor < 0:
                raise OSError(errno.ENOSPC, "no segment is left to write to")
            old, old_direct, used = self._fd, self._direct, self._core.offset
            self._fd, self._direct = descriptor, direct
            self._core.use(descriptor, HEADER_BYTES, True, direct)
            self._disk.write(descriptor, header.encoded(), 0)
            self._disk.sync(descriptor)
            os.rename(path.with_name("spare"), path)
            self._disk.sync_directory(path.parent)
        _closed(old_direct)
        if old >= 0:
            os.ftruncate(old, used)
            os.close(old)


def _closed(descriptor: int) -> int:
    """Close it if it is one; what to keep in its place."""
    if descriptor >= 0:
        os.close(descriptor)
    return -1
