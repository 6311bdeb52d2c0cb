"""Segments: the files that hold the leaves, and how they are read back. The format is described in `log.py`.

Reading trusts nothing: each frame is checked before it is used, and what does not check ends the reading with a
reason, which the caller (recovery, search) judges.

INVARIANT: a leaf is yielded only together with the commit that covers it.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.cold import SUFFIX, Unreadable, open_segment
from gateway.audit.encode import LEAF_LIMIT
from gateway.audit.tree import Frontier, leaf_hash

MAGIC = b"GWAUDIT1"
HEADER_BYTES = 4_096
LEAF_TAG = b"leaf"
COMMIT_TAG = b"done"
FRAME = struct.Struct(">4sII")
"""Tag, payload length, CRC-32 of tag, length and payload."""
FRAME_BYTES = FRAME.size
COMMIT = struct.Struct(">QQ32s")
"""Offset of the batch's first frame in its segment, tree size after the batch, root after the batch."""
COMMIT_BYTES = FRAME_BYTES + COMMIT.size
_HEADER = struct.Struct(">8sQQH")
_PREFIX = struct.Struct(">4sI")
_READ_BYTES = 1 << 20
BLANK_BYTES = 1 << 20
"""How much `Disk.blank` writes at once, at the most."""
_NO_DIRECT = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class Damaged(Exception):
    """The log's files are not what its writer wrote. `index` is the first record that cannot be vouched for."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class Disk:
    """The system calls that can fail for want of a healthy disk, in one place, so that a test can make them fail."""

    def allocate(self, descriptor: int, size: int) -> None:
        """Reserve the file's blocks up to `size`, as zeros."""
        os.posix_fallocate(descriptor, 0, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of the data."""
        done = os.pwrite(descriptor, data, offset)
        while done < len(data):
            more = os.pwrite(descriptor, data[done:], offset + done)
            if more == 0:
                raise OSError(errno.EIO, "nothing was written")
            done += more

    def sync(self, descriptor: int) -> None:
        """Make the file's data durable. Never called again for a descriptor after it raised."""
        os.fdatasync(descriptor)

    def open_direct(self, path: Path) -> int:
        """A further descriptor of the file, whose aligned writes are durable when they return (`O_DIRECT | O_DSYNC`).

        Negative where the file system has none.
        """
        try:
            return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _NO_DIRECT:
                return -1
            raise

    def blank(self, direct: int, start: int, end: int) -> bool:
        """Write zeros from one multiple of 4,096 to another; whether all were taken. Raises `OSError`.

        Blocks that were only allocated cost the file system a journal entry when they are first written.
        """
        # an anonymous map is zeros, at the beginning of a page
        with mmap.mmap(-1, end - start) as zeros:
            return os.pwrite(direct, zeros, start) == end - start

    def free(self, directory: Path) -> int:
        """Bytes that may still be written in the directory's file system."""
        status = os.statvfs(directory)
        return status.f_bavail * status.f_frsize

    def replace(self, path: Path, data: bytes, *, durable: bool) -> None:
        """Put a file of that content in the place of another, atomically."""
        descriptor, temporary = self._beside(path, data)
        try:
            if durable:
                self.sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        if durable:
            self.sync_directory(path.parent)

    def replace_all(self, files: Sequence[tuple[Path, bytes]]) -> None:
        """`replace` for many files, durably, with one flush of each directory.

        All are handed to the disk before the first is waited for.
        """
        opened: list[tuple[int, Path, Path]] = []
        try:
            for path, data in files:
                descriptor, temporary = self._beside(path, data)
                opened.append((descriptor, temporary, path))
                # begins to write back at once; the pages are not needed again
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            for descriptor, _, _ in opened:
                self.sync(descriptor)
        finally:
            for descriptor, _, _ in opened:
                os.close(descriptor)
        for _, temporary, path in opened:
            os.replace(temporary, path)
        for directory in sorted({path.parent for path, _ in files}):
            self.sync_directory(directory)

    def remove(self, paths: Sequence[Path]) -> None:
        """Remove files of one directory in that order, durably; those that are gone already stay so."""
        for path in paths:
            path.unlink(missing_ok=True)
            # one after the other, so that after a crash what is left is never without what follows it
            self.sync_directory(path.parent)

    def _beside(self, path: Path, data: bytes) -> tuple[int, Path]:
        """An open file of that content that may take the place of another one, and what it is called until then."""
        temporary = path.with_name(f".{path.name}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self.write(descriptor, data, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, temporary

    def sync_directory(self, path: Path) -> None:
        """Make the names in the directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself: whose it is, the tree before its first leaf, and from which record on a
    recovery must read to see every statement that was open then (`scan_from`)."""

    origin: str
    frontier: Frontier
    scan_from: int

    def encoded(self) -> bytes:
        """The header's `HEADER_BYTES` bytes."""
        origin = self.origin.encode()
        head = _HEADER.pack(MAGIC, self.frontier.size, self.scan_from, len(origin)) + origin
        head += b"".join(self.frontier.subtrees)
        head = head.ljust(HEADER_BYTES - 4, b"\0")
        return head + struct.pack(">I", zlib.crc32(head))


@dataclass(frozen=True, slots=True)
class Batch:
    """Leaves that one commit made durable. `offsets` are those of the leaves themselves, `end` that of what follows."""

    first: int
    leaves: tuple[bytes, ...]
    offsets: tuple[int, ...]
    end: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the last commit: how many bytes up to the last that is not zero, and whether a later commit."""

    dirty_bytes: int
    later_commit: bool

    @property
    def clean(self) -> bool:
        """Whether there is nothing but zeros."""
        return self.dirty_bytes == 0


def segment_path(directory: Path, first: int) -> Path:
    """The file whose first leaf has that index."""
    return directory / "segments" / f"{first:020d}.log"


def segments_of(directory: Path) -> list[tuple[int, Path]]:
    """The segments in order, each with the index that its name gives; a cold one under the name that it had hot."""
    found = set()
    for path in (directory / "segments").glob("*.*"):
        name = path.stem
        if path.suffix in (".log", SUFFIX) and name.isascii() and name.isdigit() and len(name) == 20:
            found.add((int(name), path.with_suffix(".log")))
    return sorted(found)


def assemble(leaves: Sequence[bytes], offset: int, frontier: Frontier) -> tuple[bytes, list[bytes], bytes]:
    """The bytes of one batch that begins at `offset`, the leaves' hashes, and the root after it.

    The frontier grows by the leaves.
    """
    parts: list[bytes] = []
    hashes: list[bytes] = []
    for leaf in leaves:
        length = len(leaf)
        crc = zlib.crc32(leaf, zlib.crc32(_PREFIX.pack(LEAF_TAG, length)))
        parts += (FRAME.pack(LEAF_TAG, length, crc), leaf)
        digest = leaf_hash(leaf)
        hashes.append(digest)
        frontier.push(digest)
    root = frontier.root()
    parts.append(_frame(COMMIT_TAG, COMMIT.pack(offset, frontier.size, root)))
    return b"".join(parts), hashes, root


def batch_bytes(leaves: Sequence[bytes]) -> int:
    """How many bytes `assemble` makes of the leaves."""
    return sum(map(len, leaves)) + FRAME_BYTES * len(leaves) + COMMIT_BYTES


def read_header(path: Path, first: int) -> Header:
    """The header of the segment. Raises `Damaged`."""
    try:
        with open_segment(path) as file:
            head = file.read(HEADER_BYTES)
    except Unreadable as error:
        raise Damaged(str(error), first) from error
    if len(head) != HEADER_BYTES or struct.pack(">I", zlib.crc32(head[:-4])) != head[-4:]:
        raise Damaged(f"the header of {path.name} is damaged", first)
    magic, size, scan_from, length = _HEADER.unpack_from(head)
    at = _HEADER.size
    if magic != MAGIC or size != first or scan_from > first or length > 1_024:
        raise Damaged(f"the header of {path.name} does not fit the file", first)
    subtrees = [head[at + length + 32 * i : at + length + 32 * (i + 1)] for i in range(size.bit_count())]
    try:
        header = Header(head[at : at + length].decode(), Frontier(size, subtrees), scan_from)
    except ValueError as error:
        raise Damaged(f"the header of {path.name} does not fit the file", first) from error
    if header.encoded() != head:
        raise Damaged(f"the header of {path.name} does not fit the file", first)
    return header


def read_batches(path: Path, first: int, *, offset: int = HEADER_BYTES, limit: int | None = None) -> Iterator[Batch]:
    """The committed batches of a segment from `offset` (a batch's end) on, `first` being the index of the next leaf.

    Stops where no further whole batch follows, or before a batch that would go beyond `limit` leaves.
    """
    leaves: list[bytes] = []
    offsets: list[int] = []
    start, at = offset, offset
    for tag, payload in _frames(path, offset):
        if tag == LEAF_TAG:
            leaves.append(payload)
            offsets.append(at + FRAME_BYTES)
            at += FRAME_BYTES + len(payload)
            continue
        begins, size, root = COMMIT.unpack(payload)
        if begins != start or size != first + len(leaves) or (limit is not None and size > limit):
            return
        at += COMMIT_BYTES
        yield Batch(first, tuple(leaves), tuple(offsets), at, size, root)
        first, start = size, at
        leaves, offsets = [], []


def read_leaf(path: Path, offset: int, length: int) -> bytes:
    """The leaf at that offset. Raises `ValueError` when its frame does not check."""
    with open_segment(path) as file:
        file.seek(offset - FRAME_BYTES)
        data = file.read(FRAME_BYTES + length)
    if data != _frame(LEAF_TAG, data[FRAME_BYTES:]):
        raise ValueError(f"{path.name} is damaged at byte {offset}")
    return data[FRAME_BYTES:]


def read_tail(path: Path, offset: int) -> Tail:
    """What lies behind the last commit, which ends at `offset`. Of a cold segment a block that does not inflate."""
    try:
        with open_segment(path) as file:
            file.seek(offset)
            rest = file.read()
    except Unreadable:
        return Tail(1, True)
    later = False
    at = rest.find(COMMIT_TAG)
    while at >= 0 and not later:
        frame = rest[at : at + COMMIT_BYTES]
        if len(frame) == COMMIT_BYTES and frame == _frame(COMMIT_TAG, frame[FRAME_BYTES:]):
            begins, _, _ = COMMIT.unpack_from(frame, FRAME_BYTES)
            later = begins != offset
        at = rest.find(COMMIT_TAG, at + 1)
    return Tail(len(rest.rstrip(b"\0")), later)


def _frame(tag: bytes, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(_PREFIX.pack(tag, len(payload))))
    return FRAME.pack(tag, len(payload), crc) + payload


def _frames(path: Path, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """The frames that check, from `offset` on, up to the first that does not."""
    with contextlib.suppress(Unreadable), open_segment(path) as file:
        file.seek(offset)
        data, at = file.read(_READ_BYTES), 0
        while True:
            if len(data) - at < FRAME_BYTES + LEAF_LIMIT:
                data, at = data[at:] + file.read(_READ_BYTES), 0
            if len(data) - at < FRAME_BYTES:
                return
            tag, length, crc = FRAME.unpack_from(data, at)
            if not ((tag == LEAF_TAG and length <= LEAF_LIMIT) or (tag == COMMIT_TAG and length == COMMIT.size)):
                return
            payload = data[at + FRAME_BYTES : at + FRAME_BYTES + length]
            if zlib.crc32(payload, zlib.crc32(_PREFIX.pack(tag, length))) != crc:
                return
            at += FRAME_BYTES + length
            yield tag, payload
