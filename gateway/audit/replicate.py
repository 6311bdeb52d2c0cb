"""The second stage of durability: each batch of the log acknowledged by a quorum of PostgreSQL servers.

Theory of operation. What is appended to the local log is queued here too. One thread takes what is queued as the next
batch, waits until the local disk has it, and sends it; while the servers flush it, the local disk flushes what arrives
meanwhile. A record is durable when both have it. The disk comes first because the copy cannot be taken back: a process
that was killed with records on the servers alone would find a copy that is ahead of its log, as after a lost disk. A
batch is added by compare-and-swap on the size and the root of the log's copy, so of two writers of
one origin one goes on, and a copy that is not this log's takes nothing.

When an answer is lost, nobody knows whether the batch is there. The thread connects again, to whichever of the servers
takes writes, and reads where the copy ends: behind the batch, it was kept, and a commit of its own makes sure that a
quorum has it; before the batch, it is sent again; anywhere else, the copy is not this log's any more, and that is the
end. All of it must be done within the deadline, or the log closes as it does when its disk fails.

INVARIANT: `durable` grows only after a commit that covers it was acknowledged by a quorum, without a notice.
INVARIANT: the copy is never changed but by adding to it what the local log has, on its disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gateway.audit.pruning import kept_hashes
from gateway.audit.quorum import Connection, Head, Lost, Refused, packed
from gateway.audit.segment import read_batches, read_header, segments_of
from gateway.audit.tree import EMPTY_ROOT, Frontier, leaf_hash
from gateway.audit_settings import Replica
from gateway.errors import GatewayError

T = TypeVar("T")

_BATCH_BYTES = 1 << 20
_AGAIN_S = 0.1
_SIGN_S = 1.0
DIVERGED = "GA002"
UNQUORATE = "GA001"
HAS_RECORDS = "GA003"
_PASSING = frozenset({"25006", "40001", "40P01", "57P03", UNQUORATE})
"""What another server may do, or this one in a moment: it is a standby, it starts, it has no quorum, or an earlier try
is in the way."""


class Replicator:
    """Sends one log's records to its copy. `local(size, timeout_s)` waits until the local disk has that many; `tell` is
    called on this one's thread after each acknowledged batch, `fail` with what ended it.
    """

    def __init__(
        self,
        replica: Replica,
        origin: str,
        local: Callable[[int, float], bool],
        tell: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.durable = 0
        self.failure: BaseException | None = None
        self._replica, self._origin = replica, origin
        self._local, self._tell, self._fail = local, tell, fail
        self._deadline_s = replica.deadline
        self._mutex = threading.Lock()
        self._news = threading.Condition(self._mutex)
        self._settled = threading.Condition(self._mutex)
        self._leaves: list[bytes] = []
        self._since = 0.0
        self._note: tuple[int, str] | None = None
        self._note_due = 0.0
        self._urgent = self._stopping = False
        self._tree = Frontier()
        self._connection: Connection | None = None
        self._turn = 0
        self._thread = threading.Thread(target=self._run, name="audit-replica", daemon=True)

    @property
    def waiting(self) -> int:
        """How many records wait for the quorum, the batch under way left out."""
        return len(self._leaves)

    def resume(self, directory: Path, tree: Frontier) -> None:
        """Bring the copy to where the local log is, blocking; before anything else.

        Raises `GatewayError`: "audit-damaged" when the copy is ahead of the log or is of another one,
        "audit-not-writable" when there is no quorum.
        """
        until = time.monotonic() + self._deadline_s
        try:
            head = self._reached(until, lambda link, end: link.head(self._origin, end)) or Head(0, EMPTY_ROOT, "")
            if head.size > tree.size:
                raise GatewayError(
                    "audit-damaged",
                    f"the log here ends at record {tree.size}, its copy at record {head.size}",
                    "this disk has lost records: move it away, and rebuild the log with `gateway audit restore`",
                    fatal=True,
                )
            if _root_at(directory, tree, head.size) != head.root:
                raise _diverged()
            self._tree = _tree_at(directory, tree, head.size)
            self.durable = head.size
            for hashes in _hashes_from(directory, head.size):
                self._add_hashes(hashes, time.monotonic() + self._deadline_s)
            for leaves in _leaves_from(directory, self.durable, tree.size):
                self._add(leaves, time.monotonic() + self._deadline_s)
            # also where nothing was missing: the next commit has to be one that a quorum acknowledges
            self._confirm(time.monotonic() + self._deadline_s)
        except Lost as error:
            raise _no_quorum(str(error)) from error
        except Refused as error:
            raise _refused(error) from error

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def push(self, leaf: bytes, urgent: bool) -> None:
        """Queue a leaf that the local log has taken; one that is not urgent waits for `hurry` or one that is."""
        with self._mutex:
            if not self._leaves:
                self._since = time.monotonic()
            self._leaves.append(leaf)
            if urgent and not self._urgent:
                self._urgent = True
                self._news.notify()

    def hurry(self) -> None:
        """Send what is queued without waiting for an urgent record."""
        with self._mutex:
            self._urgent = True
            self._news.notify()

    def commit(self, leaves: Sequence[bytes]) -> None:
        """Send leaves before the thread is started. Raises `GatewayError`."""
        try:
            self._add(list(leaves), time.monotonic() + self._deadline_s)
        except Lost as error:
            raise _no_quorum(str(error)) from error
        except Refused as error:
            raise _refused(error) from error

    def sign(self, size: int, note: str) -> None:
        """Keep that signed head beside the copy: within a second or so, and before the end."""
        with self._mutex:
            self._note = size, note
            self._news.notify()

    def wait(self, size: int, timeout_s: float) -> bool:
        """Block until that many records are durable; False when they are not in time, or never will be."""
        self.hurry()
        with self._settled:
            self._settled.wait_for(lambda: self.durable >= size or self.failure is not None, timeout_s)
            return self.durable >= size and self.failure is None

    def stop(self) -> None:
        """Send what is queued and end the thread."""
        with self._mutex:
            self._stopping = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Send nothing more: the log has failed."""
        with self._mutex:
            self._leaves, self._note = [], None
            self._stopping = True
            self.failure = self.failure or GatewayError("audit-not-writable", "the audit trail is closed")
            self._news.notify()
            self._settled.notify_all()

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                leaves, since = taken
                if leaves:
                    self._await_disk(self._tree.size + len(leaves))
                    # what waited for long, here or for the disk, has half of the time at least
                    since = max(since, time.monotonic() - self._deadline_s / 2)
                    self._add(leaves, since + self._deadline_s)
                    self._tell()
                else:
                    self._keep_note()
        except Exception as error:  # FAIL CLOSED: what no quorum has is not acknowledged, and nothing more is taken
            with self._mutex:
                self.failure = error
                self._settled.notify_all()
            self._fail(error)

    def _take(self) -> tuple[list[bytes], float] | None:
        """Wait for leaves, and take what makes one batch; nothing when it is time for a note, None at the end."""
        with self._mutex:
            while True:
                left = self._note_due - time.monotonic()
                if self._note is not None and (left <= 0 or (self._stopping and not self._leaves)):
                    return [], 0.0
                if self._leaves and (self._urgent or self._stopping):
                    break
                if self._stopping:
                    return None
                self._news.wait(None if self._note is None else left)
            since, count, used = self._since, 0, 0
            while count < len(self._leaves) and (count == 0 or used + len(self._leaves[count]) <= _BATCH_BYTES):
                used += len(self._leaves[count])
                count += 1
            taken, self._leaves = self._leaves[:count], self._leaves[count:]
            self._urgent = bool(self._leaves)
            self._since = time.monotonic()
            return taken, since

    def _await_disk(self, size: int) -> None:
        """Wait until the local disk has that many records. Raises `Lost` when it never will."""
        while not self._local(size, 1.0):
            if self.failure is not None:
                raise Lost("the local log has failed")

    def _add(self, leaves: list[bytes], until: float) -> None:
        """Add a batch and know that a quorum has it. Raises `Lost` and `Refused`."""
        before = Head(self._tree.size, self._tree.root(), "")
        for leaf in leaves:
            self._tree.push(leaf_hash(leaf))
        after, data = Head(self._tree.size, self._tree.root(), ""), packed(leaves)
        # half of the time, so that there is some left to find out what became of it
        half = time.monotonic() + max(0.0, until - time.monotonic()) / 2
        try:
            self._once(half, lambda link: link.append(self._origin, before, after, data, half))
        except Lost:
            self._recover(before, after, data, until)
        except Refused as error:
            if error.sqlstate not in _PASSING:
                raise
            self._recover(before, after, data, until)
        with self._mutex:
            self.durable = after.size
            self._settled.notify_all()

    def _add_hashes(self, hashes: list[bytes], until: float) -> None:
        """Add what is left of records that were pruned here before there was a copy. Raises `Lost` and `Refused`."""
        before = Head(self._tree.size, self._tree.root(), "")
        for digest in hashes:
            self._tree.push(digest)
        after = Head(self._tree.size, self._tree.root(), "")

        def settle(link: Connection, end: float) -> None:
            found = link.head(self._origin, end)
            if found is None or (found.size, found.root) != (after.size, after.root):
                link.append_hashes(self._origin, before, after, b"".join(hashes), end)

        self._reached(until, settle)
        self.durable = after.size

    def _recover(self, before: Head, after: Head, data: bytes, until: float) -> None:
        """Find out what became of a batch whose answer was lost, and bring it to an end."""

        def settle(link: Connection, end: float) -> None:
            found = link.head(self._origin, end) or Head(0, EMPTY_ROOT, "")
            place = found.size, found.root
            if place not in ((before.size, before.root), (after.size, after.root)):
                raise Refused(DIVERGED, "the copy does not continue this log")
            try:
                if place == (before.size, before.root):
                    link.append(self._origin, before, after, data, end)
                else:
                    link.confirm(self._origin, after, end)
            except Refused as error:
                if error.sqlstate != DIVERGED:
                    raise
                # the first try came through after all, at this moment: look again
                raise Lost("the copy moved while it was looked at") from error

        self._reached(until, settle)

    def _confirm(self, until: float) -> None:
        """Have a quorum acknowledge where the copy stands."""
        head = Head(self._tree.size, self._tree.root(), "")
        if head.size:
            self._reached(until, lambda link, end: link.confirm(self._origin, head, end))
        else:
            self._reached(until, lambda link, end: link.head(self._origin, end))

    def _keep_note(self) -> None:
        with self._mutex:
            note, self._note = self._note, None
            self._note_due = time.monotonic() + _SIGN_S
        if note is not None:
            # records wait meanwhile
            until = time.monotonic() + self._deadline_s / 4
            try:
                self._once(until, lambda link: link.sign(self._origin, *note, until))
            except (Lost, Refused) as error:
                if isinstance(error, Refused) and error.sqlstate not in _PASSING:
                    raise
                # a head that is not kept beside the copy is followed by the next one
                with self._mutex:
                    self._note = None if self._stopping else self._note or note

    def _once(self, until: float, ask: Callable[[Connection], None]) -> None:
        """Ask over the connection that there is, or a new one. Raises `Lost`, after which there is none."""
        if self._connection is None:
            self._connection = self._connect(until)
        try:
            ask(self._connection)
        except (Lost, Refused):
            self._drop()
            raise

    def _reached(self, until: float, ask: Callable[[Connection, float], T]) -> T:
        """Ask one server after the other until one has answered. Raises `Lost` when the time is over."""
        problem = Lost("there was no answer in time")
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise problem
            # one that is frozen must leave time for the others
            end = min(until, time.monotonic() + max(left / 2, self._deadline_s / 4))
            try:
                if self._connection is None:
                    self._connection = self._connect(end)
                return ask(self._connection, end)
            except Lost as error:
                problem = error
                self._drop()
            except Refused as error:
                self._drop()
                if error.sqlstate not in _PASSING:
                    raise
                problem = Lost(str(error))
            time.sleep(min(_AGAIN_S, max(0.0, until - time.monotonic())))

    def _connect(self, until: float) -> Connection:
        hosts = self._replica.hosts
        problem = Lost("no server is named")
        for _ in hosts:
            host = hosts[self._turn % len(hosts)]
            try:
                # one that is frozen must leave time for the others
                left = until - time.monotonic()
                return Connection(self._replica, host, max(0.2, min(left / 2, self._deadline_s / 4)))
            except Lost as error:
                problem = error
                self._turn += 1
            if time.monotonic() >= until:
                break
        raise problem

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        # a server that took writes a moment ago is not asked first again: it may be the one that is frozen
        self._turn += 1


def _root_at(directory: Path, tree: Frontier, size: int) -> bytes:
    return _tree_at(directory, tree, size).root()


def _tree_at(directory: Path, tree: Frontier, size: int) -> Frontier:
    """The tree of the first `size` records."""
    if size == tree.size:
        return tree.copy()
    before = [(first, path) for first, path in segments_of(directory) if first <= size]
    if not before:
        # of what was pruned, the hashes are there
        found = Frontier()
        for hashes in kept_hashes(directory, size):
            for digest in hashes:
                found.push(digest)
        return found
    first, path = before[-1]
    found = read_header(path, first).frontier.copy()
    for leaf in _leaves_in(path, first, first, size):
        found.push(leaf_hash(leaf))
    return found


def _hashes_from(directory: Path, begin: int) -> Iterator[list[bytes]]:
    """The hashes of the records from `begin` up to where the log begins, in lists of moderate size."""
    segments, hashes = segments_of(directory), list[bytes]()
    for some in kept_hashes(directory, segments[0][0] if segments else 0, begin):
        hashes += some
        if 32 * len(hashes) >= _BATCH_BYTES:
            yield hashes
            hashes = []
    if hashes:
        yield hashes


def _leaves_from(directory: Path, begin: int, end: int) -> Iterator[list[bytes]]:
    """The records from `begin` up to `end`, in lists of moderate size."""
    leaves: list[bytes] = []
    used = 0
    for first, path in segments_of(directory):
        for leaf in _leaves_in(path, first, begin, end):
            if used + len(leaf) > _BATCH_BYTES and leaves:
                yield leaves
                leaves, used = [], 0
            leaves.append(leaf)
            used += len(leaf)
    if leaves:
        yield leaves


def _leaves_in(path: Path, first: int, begin: int, end: int) -> Iterator[bytes]:
    for batch in read_batches(path, first):
        if batch.first >= end:
            return
        for index, leaf in enumerate(batch.leaves, batch.first):
            if begin <= index < end:
                yield leaf


def _diverged() -> GatewayError:
    return GatewayError(
        "audit-damaged",
        "the copy of the audit trail does not continue this log: another writer has its name, or one was put back",
        "find out which of the two is true (`gateway audit verify`, the witness); keep both as they are",
        fatal=True,
    )


def _no_quorum(detail: str) -> GatewayError:
    return GatewayError(
        "audit-not-writable",
        "no quorum of the audit trail's servers acknowledges",
        "bring a standby back, or another server that takes writes; work is refused until then",
        detail,
        fatal=True,
    )


def _refused(error: Refused) -> GatewayError:
    if error.sqlstate == DIVERGED:
        return _diverged()
    if error.sqlstate == HAS_RECORDS:
        return GatewayError(
            "audit-damaged",
            "the copy ends where this log was pruned: what is between is nowhere, and it cannot be completed any more",
            "keep that copy as it is, and begin a new log (`origin`) with a new one",
            str(error),
            fatal=True,
        )
    if error.sqlstate in _PASSING:
        return _no_quorum(str(error))
    return GatewayError(
        "configuration-invalid",
        "the audit trail's servers do not take records",
        "set them up with deploy/postgres/audit-replica.sql, and give the role its rights",
        str(error),
        fatal=True,
    )
