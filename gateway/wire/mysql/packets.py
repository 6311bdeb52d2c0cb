"""Packets: three bytes of length, one of sequence, a payload; longer payloads go in several packets.

MySQL Source Code Documentation, "MySQL Packets". A payload of 2**24 - 1 bytes is continued by the next packet, if
need be by an empty one. Both sides count the packets of one exchange with one number, modulo 256; each command begins
again at 0. Compressed packets are not spoken.

INVARIANT: a packet out of sequence is refused, and so is a payload over the limit, at the header that makes it so.
How the stream is cut into chunks changes neither which payloads come out nor what is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.errors import GatewayError
from gateway.wire.mysql.base import violation

MAX_PAYLOAD: Final = 0xFFFFFF
"""The most that one packet carries (bytes); a payload of that length goes on in the next."""
LOGIN_LIMIT: Final = 1 << 16
"""The longest payload that has a place before somebody is signed in."""


def frame(payload: bytes, sequence: int = 0) -> bytes:
    """The packets of one payload; the first has that sequence number."""
    if len(payload) < MAX_PAYLOAD:
        return (len(payload) | sequence << 24).to_bytes(4, "little") + payload
    parts = []
    for start in range(0, len(payload) + 1, MAX_PAYLOAD):
        part = payload[start : start + MAX_PAYLOAD]
        parts += [len(part).to_bytes(3, "little"), bytes((sequence,)), part]
        sequence = (sequence + 1) & 0xFF
    return b"".join(parts)


def following(size: int, sequence: int) -> int:
    """The sequence number behind a payload of `size` bytes that began with `sequence`."""
    return (sequence + size // MAX_PAYLOAD + 1) & 0xFF


def frames(payloads: Iterable[bytes], sequence: int) -> tuple[bytes, int]:
    """The packets of several payloads, and the sequence number behind them."""
    parts = []
    for payload in payloads:
        parts.append(frame(payload, sequence))
        sequence = following(len(payload), sequence)
    return b"".join(parts), sequence


class Framer:
    """Cuts a stream into payloads; `feed` takes bytes, `take` gives the next payload.

    `limit` bounds each payload that begins from now on (bytes, joined). `sequence` is the number that the next packet
    must have, which after a payload is also the number that an answer to it has; whoever sends sets it to what is
    behind the sent. With `commands` every payload is a command and begins at 0.

    At most one payload and what was fed behind it is held.
    """

    __slots__ = ("_bound", "_broken", "_buffer", "_joined", "_length", "_parts", "commands", "limit", "sequence")

    def __init__(self, limit: int = LOGIN_LIMIT, *, sequence: int = 0, commands: bool = False) -> None:
        self.limit = limit
        self.sequence = sequence
        self.commands = commands
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._joined = 0
        self._bound = 0
        self._length = -1
        self._broken: GatewayError | None = None

    @property
    def pending(self) -> int:
        """How many bytes are held that no payload was made of."""
        return self._joined + len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        if self._broken is None:
            self._buffer += data

    def take(self) -> bytes | None:
        """The next payload, None while it is incomplete.

        Raises: `GatewayError` `protocol-violation` for a packet out of sequence, `message-too-large` over the limit;
        from then on always.
        """
        if self._broken is not None:
            raise self._broken
        buffer = self._buffer
        while True:
            if self._length < 0 and not self._header():
                return None
            end = 4 + self._length
            if len(buffer) < end:
                return None
            with memoryview(buffer) as view:
                part = bytes(view[4:end])
            del buffer[:end]
            length, self._length = self._length, -1
            self.sequence = (self.sequence + 1) & 0xFF
            if length == MAX_PAYLOAD:
                self._parts.append(part)
                self._joined += length
                continue
            if self._parts:
                self._parts.append(part)
                part = b"".join(self._parts)
                self._parts.clear()
                self._joined = 0
            return part

    def release(self) -> bytes:
        """What is held, from the next packet's header on, for whoever walks over it in place and holds none of it here.

        What was not walked over is fed again, with `sequence` set to the number that is then expected.
        Raises: ValueError within a payload of several packets.
        """
        if self._parts:
            raise ValueError("a payload of several packets is not complete")
        held = bytes(self._buffer)
        self._buffer.clear()
        self._length = -1
        return held

    def _header(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 4:
            return False
        length = int.from_bytes(buffer[:3], "little")
        if not self._parts:
            self._bound = self.limit
            if self.commands:
                self.sequence = 0
        if buffer[3] != self.sequence:
            self._refuse(violation("a packet is out of sequence"))
        if self._joined + length > self._bound:
            self._refuse(GatewayError("message-too-large", f"a packet is over the limit of {self._bound}", fatal=True))
        self._length = length
        return True

    def _refuse(self, error: GatewayError) -> None:
        self._buffer.clear()
        self._parts.clear()
        self._joined = 0
        self._broken = error
        raise error
