"""What all sinks are: somewhere to send messages, and a way to say that it did not work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from gateway.exports.ocsf import Sessions, event_of

_json = msgspec.json.Encoder().encode


class SendFailed(Exception):
    """The sink did not take it. `reason` quotes nothing of what was sent.

    `retry_after_s` is what the sink asks for. `smaller` says that fewer records may be taken. `rewind` says that what
    was sent before, and is not settled, may be lost as well.
    """

    def __init__(
        self, reason: str, *, retry_after_s: float | None = None, smaller: bool = False, rewind: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s, self.smaller, self.rewind = reason, retry_after_s, smaller, rewind


@dataclass(frozen=True, slots=True)
class Message:
    """One record on its way: as it is in the trail, decoded, and as the sink's format has it."""

    index: int
    record: Mapping[str, Any]
    body: bytes


class Out(Protocol):
    """One sink's connection. All calls block, with deadlines; one thread uses it."""

    holdback_s: float
    """How long after `settle` what was sent may still turn out to be lost."""

    def send(self, messages: Sequence[Message]) -> int:
        """Send them all; how many of them the sink says it will never take. Raises `SendFailed`."""
        ...

    def settle(self) -> None:
        """Make sure of what was sent. Raises `SendFailed`."""
        ...

    def close(self) -> None:
        """Let go; what is not settled is sent again another time."""
        ...


Form = Callable[[Mapping[str, Any], bytes], bytes]
"""The body of a message, from the record and its leaf."""


def form_of(name: str) -> Form:
    """The format of that name: `record` is the leaf as it is hashed in the tree, `ocsf` an event."""
    if name == "record":
        return lambda _, leaf: leaf
    sessions = Sessions()
    return lambda record, _: _json(event_of(record, sessions.whose(record)))
