"""The durable records from some place on, read from the trail's segments.

The trail itself is the spool: near its head and far behind it are read in the same way, so there is one road to test,
and nothing that the gateway's own process would have to hold for a slow sink.

INVARIANT: a record is read only when whoever writes the trail says that it is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gateway.audit.segment import HEADER_BYTES, Batch, read_batches, segment_path, segments_of

Leaf = tuple[int, bytes]
"""A record's index and its canonical JSON."""


class Gone(Exception):
    """The records up to `first` are not in the trail any more."""

    def __init__(self, first: int) -> None:
        super().__init__(f"the trail begins at record {first}")
        self.first = first


class Source:
    """Reads one trail forwards; `seek` chooses the place. Not for several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next = 0
        self._waiting: deque[Leaf] = deque()
        self._segment = -1
        self._offset = HEADER_BYTES
        self._at = 0

    @property
    def next(self) -> int:
        """The index of the record that `read` gives next."""
        return self._next

    def first(self) -> int:
        """The oldest record that there is; 0 of an empty trail."""
        segments = segments_of(self._directory)
        return segments[0][0] if segments else 0

    def seek(self, index: int) -> None:
        """Read from that record on."""
        self._next = index
        self._waiting.clear()
        self._segment, self._offset, self._at = -1, HEADER_BYTES, 0

    def before(self, index: int) -> bytes | None:
        """The leaf of the record before that one, None when it is not to be had; moves to `index`."""
        if index == 0:
            self.seek(0)
            return None
        self.seek(index - 1)
        try:
            found = self.read(1, 1, index)
        except (Gone, OSError):
            found = []
        if not found:
            self.seek(index)
            return None
        return found[0][1]

    def read(self, most: int, size: int, durable: int) -> list[Leaf]:
        """The next records, `most` of them or about `size` bytes, and none from `durable` on.

        Empty where there are none yet. Raises `Gone`, and `OSError`.
        """
        found: list[Leaf] = []
        held = 0
        while len(found) < most and held < size:
            if not self._waiting and not self._fill(durable):
                break
            leaf = self._waiting.popleft()
            found.append(leaf)
            held += len(leaf[1])
            self._next = leaf[0] + 1
        return found

    def _fill(self, durable: int) -> bool:
        """Take in a batch with records from `_next` on; whether there was one."""
        if self._next >= durable:
            return False
        if self._segment < 0 and not self._find():
            return False
        try:
            return self._advance(durable)
        except FileNotFoundError:
            # it was removed since: whoever prunes takes the oldest
            self._segment = -1
            return False

    def _advance(self, durable: int) -> bool:
        while True:
            path = segment_path(self._directory, self._segment)
            for batch in self._batches(path, durable):
                self._offset, self._at = batch.end, batch.size
                if batch.size > self._next:
                    leaves = enumerate(batch.leaves, batch.first)
                    self._waiting.extend((index, leaf) for index, leaf in leaves if index >= self._next)
                    return True
            if self._at == self._segment or not segment_path(self._directory, self._at).exists():
                return False
            # the writer began another segment where this one ends
            self._segment, self._offset = self._at, HEADER_BYTES

    def _batches(self, path: Path, durable: int) -> Iterator[Batch]:
        return iter(read_batches(path, self._at, offset=self._offset, limit=durable))

    def _find(self) -> bool:
        """The segment that holds the next record. Raises `Gone`."""
        segments = [first for first, _ in segments_of(self._directory)]
        if not segments:
            return False
        if segments[0] > self._next:
            raise Gone(segments[0])
        self._segment = max(first for first in segments if first <= self._next)
        self._offset, self._at = HEADER_BYTES, self._segment
        return True
