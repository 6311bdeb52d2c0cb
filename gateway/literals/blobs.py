"""Sealed literals on disk: appended by a thread of its own, found again by digest, overwritten when they are erased.

    sealed/<year>-<month>/<microseconds since 1970>.blobs        directories 0700, files 0600; one per start and 64 MiB
    file  = frame*
    frame = "SEAL" length:u32 digest:8 bytes blob                integers are big-endian; the digest is cut

A blob is on stable storage within `WINDOW_S` of its statement's begin record: a crash may lose the blobs of that time,
and the digest in the record then says that there was one. They lie beside the trail and not in it, because the trail's
files are kept where nothing can be deleted.

INVARIANT: what could not be written is tried again only where no flush was asked for it; after a flush that failed,
nothing is taken any more.
FAIL CLOSED: while blobs cannot be written, or pile up, `append` raises, and the statement is refused.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.audit.segment import Disk
from gateway.errors import GatewayError

WINDOW_S = 1.0
FILE_BYTES = 64 * 1024**2
PENDING_BYTES = 64 * 1024**2
_HEAD = struct.Struct(">4sI8s")
_MAGIC = b"SEAL"
_GATHER_S = WINDOW_S / 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


_Pending = tuple[str, str, bytes]
"""A month, a digest in hexadecimal, and the blob."""


class Blobs:
    """The files below one directory. `append` belongs to one thread; all else blocks, in whatever thread."""

    def __init__(
        self,
        directory: Path,
        *,
        on_failure: Callable[[BaseException], Any] | None = None,
        time_ns: Callable[[], int] = time.time_ns,
        disk: Disk | None = None,
        file_bytes: int = FILE_BYTES,
        pending_bytes: int = PENDING_BYTES,
        gather_s: float = _GATHER_S,
    ) -> None:
        """`on_failure` is called once, on the writing thread, when nothing can be taken any more."""
        self._directory, self._time_ns, self._disk = directory, time_ns, disk or Disk()
        self._on_failure = on_failure
        self._file_bytes, self._pending_bytes, self._gather_s = file_bytes, pending_bytes, gather_s
        self._pending: deque[_Pending] = deque()
        # each is counted up by one thread only
        self._taken = self._written = 0
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._idle = True
        self._files = threading.Lock()
        self._month, self._descriptor, self._offset = "", -1, 0
        self.refusing = ""
        self.failure: BaseException | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._thread = threading.Thread(target=self._work, name="literals", daemon=True)
        self._thread.start()

    def append(self, month: str, name: str, blob: bytes) -> None:
        """Take a blob; `name` is its SHA-256 in hexadecimal. Raises `GatewayError("audit-not-writable")`."""
        if self.refusing or self._taken - self._written > self._pending_bytes:
            raise _not_writable(self.refusing or "the literals of statements cannot be written fast enough")
        self._pending.append((month, name, blob))
        self._taken += len(blob)
        if self._idle:
            self._idle = False
            self._wake.set()

    def flush(self, timeout_s: float = 10.0) -> None:
        """Block until all that was taken is durable. Raises `GatewayError("audit-not-writable")`."""
        taken, deadline = self._taken, time.monotonic() + timeout_s
        while self._written < taken:
            if self.failure is not None or time.monotonic() > deadline:
                raise _not_writable(self.refusing or "the literals of statements cannot be written fast enough")
            self._wake.set()
            time.sleep(0.005)

    def find(self, month: str, digest: bytes) -> bytes | None:
        """The blob of that digest: empty when it was erased, None when it is not there."""
        for path in self._paths(month):
            for _, prefix, blob in _frames(path):
                if prefix == digest[:8]:
                    if sha256(blob).digest() == digest:
                        return blob
                    if not any(blob):
                        return b""
        return None

    def destroy(self, wanted: Mapping[str, set[bytes]], *, skip: Callable[[Path], bool] = lambda _: False) -> int:
        """Overwrite the blobs of those digests, by month, durably; how many were there. Raises `OSError`.

        `skip` says of a file that none of them is in it.
        """
        count = 0
        for month, digests in wanted.items():
            prefixes = {digest[:8] for digest in digests}
            for path in self._paths(month):
                if skip(path):
                    continue
                places = [
                    (at, len(blob))
                    for at, prefix, blob in _frames(path)
                    if prefix in prefixes and sha256(blob).digest() in digests
                ]
                if places:
                    self._overwrite(path, places)
                    count += len(places)
        return count

    def months(self) -> list[str]:
        """The months that there are files of."""
        return sorted(path.name for path in self._directory.iterdir() if path.is_dir())

    def files(self) -> list[Path]:
        """All files that there are."""
        return [path for month in self.months() for path in self._paths(month)]

    def remove(self, month: str) -> None:
        """Delete the files of a month whose keys are gone. Raises `OSError`."""
        with self._files:
            if month == self._month:
                self._leave()
            shutil.rmtree(self._directory / month)
            self._disk.sync_directory(self._directory)

    def close(self) -> None:
        """Write what was taken, and stop. Blocks."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self.refusing = self.refusing or "the gateway is stopping"
        self._leave()

    def _work(self) -> None:
        batch: list[_Pending] = []
        while True:
            self._wake.wait()
            self._wake.clear()
            if not self._stopping.is_set():
                # what arrives meanwhile shares the flush
                self._stopping.wait(self._gather_s)
            # before it is looked: what comes after that wakes the thread again
            self._idle = True
            while self._pending:
                batch.append(self._pending.popleft())
            try:
                with self._files:
                    self._write(batch)
            except BaseException as error:
                if not (isinstance(error, OSError) and error.errno in _FULL) or self._stopping.is_set():
                    self._fail(error)
                    return
                # nothing of it was flushed: the same places are written again
                self.refusing = "the disk is full; the literals of statements cannot be written"
                self._stopping.wait(WINDOW_S)
                self._wake.set()
                continue
            self.refusing = ""
            if self._stopping.is_set() and not self._pending:
                return

    def _write(self, batch: list[_Pending]) -> None:
        """Write what is in `batch`, and take out of it what is durable."""
        while batch:
            month = batch[0][0]
            end = next((n for n, (other, _, _) in enumerate(batch) if other != month), len(batch))
            if month != self._month or self._offset >= self._file_bytes:
                self._open(month)
            data = b"".join(part for one in batch[:end] for part in _frame(*one))
            try:
                self._disk.write(self._descriptor, data, self._offset)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._offset)
                raise
            try:
                self._disk.sync(self._descriptor)
            except OSError as error:
                raise _Flush(str(error)) from error
            self._offset += len(data)
            # what is durable is not written twice when a later part is tried again
            self._written += sum(len(blob) for _, _, blob in batch[:end])
            del batch[:end]

    def _open(self, month: str) -> None:
        self._leave()
        place = self._directory / month
        if not place.exists():
            place.mkdir(mode=0o700)
            self._disk.sync_directory(self._directory)
        path = place / f"{self._time_ns() // 1000:020d}.blobs"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor, self._month, self._offset = os.open(path, flags, 0o600), month, 0
        self._disk.sync_directory(place)

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._month, self._descriptor, self._offset = "", -1, 0

    def _overwrite(self, path: Path, places: list[tuple[int, int]]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for at, length in places:
                self._disk.write(descriptor, bytes(length), at)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _paths(self, month: str) -> list[Path]:
        return sorted((self._directory / month).glob("*.blobs"), reverse=True)

    def _fail(self, error: BaseException) -> None:
        self.refusing, self.failure = "the literals of statements cannot be written", error
        if self._on_failure is not None:
            self._on_failure(error)


def _frame(_month: str, name: str, blob: bytes) -> tuple[bytes, bytes]:
    return _HEAD.pack(_MAGIC, len(blob), bytes.fromhex(name[:16])), blob


class _Flush(Exception):
    """A flush failed: what was written may be gone, whatever is tried again."""


def _frames(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """Where each blob of a file begins, its digest's beginning, and the blob; up to a frame that is torn."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return
        # read as far as it went when it was opened: more may be appended meanwhile
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            at = 0
            while at + _HEAD.size <= size:
                magic, length, prefix = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                if magic != _MAGIC or at + length > size:
                    return
                yield at, prefix, data[at : at + length]
                at += length


def _not_writable(message: str) -> GatewayError:
    return GatewayError("audit-not-writable", message, "work is refused until they can be written")
