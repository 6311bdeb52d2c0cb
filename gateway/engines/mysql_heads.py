"""How results begin, remembered: a statement that runs again is answered by the same definitions, byte for byte.

What a client is told of them (`MysqlAnswers`) is made anew once, and then found by what came. Which statement it was
is but a hint where to look; the store is bounded, and a flood of heads starts it anew.

INVARIANT: a head is said only where the very bytes came that it was made of, under the same numbers and capabilities,
for the same command, and with the same status to tell.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.packets import frames
from gateway.wire.mysql.results import Column

_HEADS = 512
_LONGEST = 4096
"""Bytes of a head, and characters of a statement, that are worth remembering."""


class Terms(NamedTuple):
    """All that a head depends on beside the packets that came.

    `came` and `told` are the sequence numbers of its first packet, from the target and to the client; `capabilities`
    are the target's: with DEPRECATE_EOF a head is the beginning of what it is without.
    """

    statement: str
    command: Command
    capabilities: int
    came: int
    told: int
    status: int


class Head(NamedTuple):
    """The packets up to the first row as they came, as they are told, and the sequence numbers behind them."""

    came: bytes
    after: int
    told: bytes
    told_after: int
    columns: tuple[Column, ...]


class Heads:
    """All that are remembered, of every session of an engine."""

    def __init__(self) -> None:
        self._known: dict[Terms, Head] = {}

    def find(self, terms: Terms) -> Head | None:
        """The head that such a statement had the last time."""
        return self._known.get(terms)

    def keep(self, terms: Terms, packets: list[tuple[bytes, bytes]], columns: list[Column]) -> None:
        """Remember a head by its payloads, each as it came and as it was told."""
        size = max(sum(len(came) for came, _ in packets), sum(len(told) for _, told in packets))
        if max(size, len(terms.statement)) > _LONGEST:
            return
        if len(self._known) >= _HEADS and terms not in self._known:
            self._known.clear()
        came, after = frames((one for one, _ in packets), terms.came)
        told, told_after = frames((one for _, one in packets), terms.told)
        self._known[terms] = Head(came, after, told, told_after, tuple(columns))
