"""Either end of a MySQL session: packets over a stream, one by one or, for rows, as many as there are.

INVARIANT: what is held of a stream is bounded: one payload of at most `limit` bytes, and one read behind it.
"""

from __future__ import annotations

import asyncio
import contextlib

from gateway.errors import GatewayError
from gateway.wire.mysql.base import violation
from gateway.wire.mysql.packets import MAX_PAYLOAD, following, frame
from gateway.wire.mysql.walk import packet_at, walk_rows

_READ = 128 * 1024


class Link:
    """One end. `sequence` is the number of the next packet, whoever sends it."""

    __slots__ = ("_buffer", "_reader", "_writer", "limit", "sequence")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = bytearray()
        self.limit = limit
        self.sequence = 0

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._writer.is_closing()

    async def packet(self) -> bytes:
        """The next payload, joined. Raises `GatewayError` for what may not be, `ConnectionResetError` at the end."""
        parts: list[bytes] = []
        total = 0
        while True:
            await self._fill(4)
            need, sequence = packet_at(self._buffer, 0, len(self._buffer))
            if sequence != self.sequence:
                raise violation("a packet is out of sequence")
            total += need - 4
            if total > self.limit:
                raise GatewayError("message-too-large", f"a packet is over the limit of {self.limit}", fatal=True)
            await self._fill(need)
            parts.append(bytes(self._buffer[4:need]))
            del self._buffer[:need]
            self.sequence = (sequence + 1) & 0xFF
            if need - 4 != MAX_PAYLOAD:
                return b"".join(parts) if len(parts) > 1 else parts[0]

    async def rows(self, most: int, size: int, *, binary: bool) -> tuple[bytes, int]:
        """Complete rows that came, as they came, at most `most` in `size` bytes; nothing when something else is next.

        That may be the end, an error, or a row that is larger: `packet` has it.
        """
        while True:
            buffer = self._buffer
            end, rows, sequence = walk_rows(buffer, 0, len(buffer), most, size, self.sequence, binary)
            if rows:
                taken = bytes(memoryview(buffer)[:end])
                del buffer[:end]
                self.sequence = sequence
                return taken, rows
            need, number = packet_at(buffer, 0, len(buffer))
            if number >= 0 and (need <= len(buffer) or need > min(size, self.limit)):
                return b"", 0
            await self._more()

    async def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            await self._more()

    async def _more(self) -> None:
        data = await self._reader.read(_READ)
        if not data:
            raise ConnectionResetError("the other side is gone")
        self._buffer += data

    @property
    def pending(self) -> bool:
        """Whether something came that nobody took."""
        return bool(self._buffer)

    async def unasked(self) -> bytes:
        """What the other side sends of its own accord, headers and all; nothing at its end. May be cancelled."""
        with contextlib.suppress(ConnectionResetError):
            if not self._buffer:
                await self._more()
        return bytes(self._buffer)

    def send(self, payload: bytes) -> None:
        """Send a payload under the next sequence number."""
        self._writer.write(frame(payload, self.sequence))
        self.sequence = following(len(payload), self.sequence)

    def send_raw(self, packets: bytes, sequence: int) -> None:
        """Send packets that are framed already; `sequence` is the number behind them."""
        self._writer.write(packets)
        self.sequence = sequence

    def command(self, payload: bytes) -> None:
        """Send a command, which begins the count anew."""
        self.sequence = 0
        self.send(payload)

    async def drained(self) -> None:
        """Wait until the other side has taken most of what was sent."""
        await self._writer.drain()

    def close(self) -> None:
        """Close once all is sent."""
        self._writer.close()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def name(self, what: str) -> object:
        """What the transport says of itself, such as its `sockname` or `ssl_object`."""
        return self._writer.get_extra_info(what)
