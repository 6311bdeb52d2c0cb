"""Lines of JSON in a file, for whoever reads files: a log shipper, or a person.

A line is a record. A full file is renamed to `NAME.1`, that one to `NAME.2`, and so on up to `keep`; whoever follows a
file by its inode misses nothing, whoever is further behind than `keep` files does. Disk full: what was written of a
batch is taken back, and the batch is written again later.

INVARIANT: a file ends in a whole line whenever nobody is writing: a torn last line is cut off when it is opened, and
its record is written again, because the cursor stands before it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.exports.sink import Message, SendFailed

_BLOCK = 64 * 1024


class FileOut:
    """See `sink.Out`."""

    holdback_s = 0.0

    def __init__(self, path: Path, rotate: int, keep: int) -> None:
        self._path, self._rotate, self._keep = path, rotate, keep
        self._descriptor = -1
        self._end = 0

    def send(self, messages: Sequence[Message]) -> int:
        """Write lines; durable when `settle` returns."""
        try:
            self._open()
            if self._end and self._end + sum(len(message.body) + 1 for message in messages) > self._rotate:
                self._turn()
            data = b"".join(part for message in messages for part in (message.body, b"\n"))
            self._write(data)
        except OSError as error:
            raise self._failed(error) from error
        return 0

    def settle(self) -> None:
        """Flush the file."""
        if self._descriptor < 0:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            # whether earlier pages are on the disk is not known any more, and asking again would not tell
            raise self._failed(error, rewind=True) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._end = _whole(self._descriptor)
        os.ftruncate(self._descriptor, self._end)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], self._end + done)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += done

    def _turn(self) -> None:
        """Begin another file. What the old one holds is on the disk before its name changes."""
        os.fdatasync(self._descriptor)
        self.close()
        aged = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        for older, younger in zip(reversed(aged), reversed(aged[:-1]), strict=False):
            with contextlib.suppress(FileNotFoundError):
                os.replace(younger, older)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._open()

    def _failed(self, error: OSError, *, rewind: bool = False) -> SendFailed:
        self.close()
        return SendFailed(f"the file cannot be written: {(error.strerror or 'unknown').lower()}", rewind=rewind)


def _whole(descriptor: int) -> int:
    """Where the last whole line ends."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
