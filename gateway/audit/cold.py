"""Cold segments: a sealed segment compressed in its place, read as if it were not.

    cold    = head block*                  in `segments/<first index>.cold`, 20 digits
    head    = "GWCOLD01" size:u64 count:u32 length:u32{count} crc32:u32
              size is that of the segment; the block number i is `length[i]` bytes long, and holds, as one zlib stream
              (RFC 1950), the segment's bytes from i * 256 KiB on, 256 KiB of them or, in the last block, the rest

So a leaf is read by inflating the one or two blocks that it lies in, and offsets into the segment stay what they were.
What compression yields is nothing to trust: frames, commits and tree are checked behind it as ever.

The file is made beside the segment, flushed, renamed, and read back before the segment goes. Where a crash leaves both,
the segment counts, and the next time makes the other anew.

INVARIANT: a segment is removed only after its cold file, read back from the disk, has given the same bytes.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

MAGIC = b"GWCOLD01"
BLOCK_BYTES = 256 << 10
SUFFIX = ".cold"
_HEAD = struct.Struct(">8sQI")
_CRC = struct.Struct(">I")
_BLOCKS_LIMIT = 1 << 20
_LEVEL = 6


class Unreadable(ValueError):
    """A cold file that is not one, or does not inflate to what it says."""


def cold_path(path: Path) -> Path:
    """Where the cold file of a segment lies."""
    return path.with_suffix(SUFFIX)


def compressed(data: bytes) -> bytes:
    """The cold file of a segment with that content."""
    blocks = [zlib.compress(data[at : at + BLOCK_BYTES], _LEVEL) for at in range(0, len(data), BLOCK_BYTES)]
    head = _HEAD.pack(MAGIC, len(data), len(blocks)) + struct.pack(f">{len(blocks)}I", *map(len, blocks))
    return b"".join([head, _CRC.pack(zlib.crc32(head)), *blocks])


class ColdFile:
    """A cold segment, open for reading: what `Path.open("rb")` gives for a hot one, as far as readers need it."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`, and `Unreadable` for a damaged head."""
        self._name = path.name
        self._file: BinaryIO = path.open("rb")
        try:
            self._read_head()
        except BaseException:
            self._file.close()
            raise
        self._at = 0
        self._number, self._block = -1, b""

    def __enter__(self) -> ColdFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def seek(self, offset: int) -> int:
        """Go to that offset of the segment."""
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the segment, fewer at its end. Raises `OSError`, and `Unreadable` for a damaged block."""
        end = self._size if size < 0 else min(self._size, self._at + size)
        parts = []
        while self._at < end:
            number, start = divmod(self._at, BLOCK_BYTES)
            part = self._inflated(number)[start : start + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def _read_head(self) -> None:
        head = self._file.read(_HEAD.size)
        if len(head) != _HEAD.size or head[:8] != MAGIC:
            raise self._unreadable("has no head")
        _, self._size, count = _HEAD.unpack(head)
        if count != -(-self._size // BLOCK_BYTES) or count > _BLOCKS_LIMIT:
            raise self._unreadable("has a damaged head")
        rest = self._file.read(4 * count + 4)
        if len(rest) != 4 * count + 4 or _CRC.pack(zlib.crc32(head + rest[:-4])) != rest[-4:]:
            raise self._unreadable("has a damaged head")
        self._starts = [_HEAD.size + len(rest)]
        for length in struct.unpack(f">{count}I", rest[:-4]):
            self._starts.append(self._starts[-1] + length)
        if self._file.seek(0, 2) != self._starts[-1]:
            raise self._unreadable("is not as long as it says")

    def _inflated(self, number: int) -> bytes:
        if number == self._number:
            return self._block
        start, end = self._starts[number : number + 2]
        self._file.seek(start)
        wanted = min(BLOCK_BYTES, self._size - number * BLOCK_BYTES)
        stream = zlib.decompressobj()
        try:
            # never more than a block, whatever the stream would give
            block = stream.decompress(self._file.read(end - start), wanted + 1)
        except zlib.error as error:
            raise self._unreadable(f"is damaged in block {number}") from error
        if len(block) != wanted or not stream.eof or stream.unused_data:
            raise self._unreadable(f"is damaged in block {number}")
        self._number, self._block = number, block
        return block

    def _unreadable(self, what: str) -> Unreadable:
        return Unreadable(f"{self._name} {what}")


def open_segment(path: Path) -> BinaryIO | ColdFile:
    """The segment of that path, hot or cold. Raises `OSError` and `Unreadable`."""
    with contextlib.suppress(FileNotFoundError):
        return path.open("rb")
    try:
        return ColdFile(cold_path(path))
    except FileNotFoundError:
        # it may have turned cold, and back, between the two looks; else the name that is reported is the segment's
        return path.open("rb")
