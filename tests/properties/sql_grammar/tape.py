"""Choices read from bytes: the whole randomness of a generated query, so that Hypothesis can shrink and repeat it.

INVARIANT: equal bytes give equal choices, and a tape that has run out chooses 0 for ever. Alternative 0 is everywhere
the plainest and ends the recursion, so that shorter tapes and smaller bytes are simpler queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """A reader of choices."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        """Whether every further choice is 0."""
        return self._at >= len(self._data)

    def pick(self, count: int) -> int:
        """One of `count` alternatives, 0 when the tape is over."""
        if self.over or count < 2:
            return 0
        value = self._data[self._at]
        self._at += 1
        return value % count

    def one_in(self, count: int) -> bool:
        """True once in `count` times, never when the tape is over."""
        return self.pick(count) == count - 1

    def choose(self, alternatives: Sequence[T]) -> T:
        """One of these, the first when the tape is over."""
        return alternatives[self.pick(len(alternatives))]
