"""Answers that come line by line: newline-delimited JSON, and lines as such.

INVARIANT: one line is held at most, of bounded length; what leaves does not depend on where the chunks were cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gateway.http.leaving import Leaving
from gateway.http.withheld import Limits, Withheld


class Lines:
    """Bytes cut at line feeds. What is behind the last one is held for what comes next."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in that piece, without their ends.

        Raises: Withheld for a line beyond the limit.
        """
        first, *others = piece.split(b"\n")
        self._hold(first)
        if not others:
            return
        line = bytes(self._held)
        self._held.clear()
        yield line
        *whole, rest = others
        for line in whole:
            self._bound(len(line))
            yield line
        self._hold(rest)

    def finish(self) -> bytes:
        """What had no end."""
        return bytes(self._held)

    def _hold(self, part: bytes) -> None:
        self._bound(len(self._held) + len(part))
        self._held += part

    def _bound(self, length: int) -> None:
        if length > self._limit:
            raise Withheld.too_large(f"a line is longer than {self._limit} bytes")


class NdjsonBody:
    """One document a line, each under the rule; lines of others are left out. Empty lines are nobody's."""

    streams = True

    def __init__(self, leaving: Leaving, customers: Collection[str], key: bytes | None, limits: Limits) -> None:
        self.rows = 0
        self._leaving, self._customers, self._key = leaving, customers, key
        self._depth = limits.depth
        self._lines = Lines(limits.line_bytes)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What leaves for the lines that end in that piece."""
        for line in self._lines.feed(piece):
            yield self._masked(line)

    def finish(self, *, proven: bool) -> Iterator[bytes]:
        """What leaves for a last line without an end."""
        yield self._masked(self._lines.finish(), ended=proven)

    def _masked(self, line: bytes, *, ended: bool = True) -> bytes:
        if not line.strip(b" \t\r"):
            return b""
        left, rows = self._leaving.leave(line, self._customers, self._key, self._depth, proven=ended)
        if left is None:
            return b""
        self.rows += rows
        return left + b"\n"
