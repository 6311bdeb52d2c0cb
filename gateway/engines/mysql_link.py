"""Either end of a MySQL session: packets over a connection, one by one or, for rows, as many as there are.

What is sent within one turn of the event loop leaves as one write; a command to a target leaves at once.

INVARIANT: what is held of a stream is bounded: one payload of at most `limit` bytes, and some reads behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import cast

from gateway.engines.reading import Lending, Line
from gateway.errors import GatewayError
from gateway.wire.mysql.base import violation
from gateway.wire.mysql.packets import MAX_PAYLOAD, following, frame
from gateway.wire.mysql.walk import packet_at, walk_rows

_HIGH = 512 * 1024
"""How much may wait to be taken before no more is read (bytes)."""
_JOINED = 64 * 1024
"""What is longer is written by itself: joining it with others would copy it (bytes)."""


class Link(Line):
    """One end. `sequence` is the number of the next packet, whoever sends it; `lost` is called when it is gone."""

    __slots__ = (
        "_blocked", "_buffer", "_gone", "_out", "_paused", "_transport", "_waiter", "limit", "lost", "sequence",
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._blocked: asyncio.Future[None] | None = None
        self._paused = self._gone = False
        self.lost: Callable[[], None] | None = None
        self.limit = limit
        self.sequence = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._waiter)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._gone = True
        # the transport knows this protocol: a cycle
        self._transport = None
        self._out.clear()
        _wake(self._waiter)
        self.resume_writing()
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()

    def pause_writing(self) -> None:
        self._blocked = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        blocked, self._blocked = self._blocked, None
        _wake(blocked)

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport is None or self._transport.is_closing()

    async def packet(self) -> bytes:
        """The next payload, joined. Raises `GatewayError` for what may not be, `ConnectionResetError` at the end."""
        parts: list[bytes] = []
        total = 0
        buffer = self._buffer
        while True:
            while len(buffer) < 4:
                await self._more()
            need, sequence = packet_at(buffer, 0, len(buffer))
            if sequence != self.sequence:
                raise violation("a packet is out of sequence")
            total += need - 4
            if total > self.limit:
                raise GatewayError("message-too-large", f"a packet is over the limit of {self.limit}", fatal=True)
            while len(buffer) < need:
                await self._more()
            parts.append(bytes(buffer[4:need]))
            del buffer[:need]
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

    async def repeated(self, packets: bytes, after: int) -> bool:
        """Take those very packets, if they are what comes next; `after` is the sequence number behind them.

        False when something else is next, or not all of them came together: it is there for `packet`.
        """
        if not self._buffer:
            await self._more()
        if not self._buffer.startswith(packets):
            return False
        del self._buffer[: len(packets)]
        self.sequence = after
        return True

    async def _more(self) -> None:
        if self._gone or self._transport is None:
            raise ConnectionResetError("the other side is gone")
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def pending(self) -> bool:
        """Whether something came that nobody took."""
        return bool(self._buffer)

    @property
    def blocked(self) -> bool:
        """Whether the other side has yet to take what was sent before."""
        return self._blocked is not None

    async def unasked(self) -> bytes:
        """What the other side sends of its own accord, headers and all; nothing at its end. May be cancelled."""
        with contextlib.suppress(ConnectionResetError):
            if not self._buffer:
                await self._more()
        return bytes(self._buffer)

    async def encrypt(self, context: ssl.SSLContext, name: str) -> None:
        """Speak TLS from here on, with whoever is `name`. Raises `OSError`."""
        self._flush()
        if self._transport is None:
            raise ConnectionResetError("the other side is gone")
        made = await asyncio.get_running_loop().start_tls(self._transport, self, context, server_hostname=name)
        if made is None:
            raise ConnectionResetError("the other side is gone")
        self._transport = made

    def send(self, payload: bytes) -> None:
        """Send a payload under the next sequence number."""
        self.send_raw(frame(payload, self.sequence), following(len(payload), self.sequence))

    def send_raw(self, packets: bytes, sequence: int) -> None:
        """Send packets that are framed already; `sequence` is the number behind them."""
        self.sequence = sequence
        if len(packets) > _JOINED:
            self._flush()
            self._write(packets)
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(packets)

    def command(self, payload: bytes) -> None:
        """Send a command, which begins the count anew."""
        self._flush()
        self.sequence = following(len(payload), 0)
        self._write(frame(payload))

    async def drained(self) -> None:
        """Wait until the other side has taken most of what was sent. Raises `ConnectionResetError` when it is gone."""
        self._flush()
        while self._blocked is not None:
            await self._blocked
        if self._gone:
            raise ConnectionResetError("the other side is gone")

    def close(self) -> None:
        """Close once all is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def name(self, what: str) -> object:
        """What the transport says of itself, such as its `sockname` or `ssl_object`; None when it is gone."""
        return self._transport.get_extra_info(what) if self._transport is not None else None

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self.closing:
            assert self._transport is not None
            self._transport.write(data)


class TlsLink(Lending, Link):
    """An end that is encrypted."""

    __slots__ = ()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
