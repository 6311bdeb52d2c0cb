"""A PostgreSQL client's connection until it belongs to a relay: the bare socket, then a small inbox.

Before TLS exactly as many bytes are read as a request has. Afterwards messages are bounded in size and number until
somebody is signed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from gateway.engines.inbox import Inbox
from gateway.engines.postgres_observed import ObservedRelay
from gateway.engines.postgres_relay import Relay
from gateway.engines.reading import Lending, Line
from gateway.errors import GatewayError
from gateway.wire import postgres as wire

_LOGIN_MESSAGE = 8192

AnyRelay = Relay | ObservedRelay


class Client(Line):
    """One client's connection: an inbox until the log-in is done, then the relay's.

    `transport` is None while the bare socket is read, and when the connection is lost; `encrypting` is set from the
    moment the client awaits TLS.
    """

    __slots__ = ("_inbox", "_start", "encrypting", "framer", "relay", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.encrypting = False
        self.framer = wire.Framer(_LOGIN_MESSAGE)
        self.relay: AnyRelay | None = None
        self._start: bytearray | None = bytearray()
        self._inbox: Inbox | None = Inbox()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.relay is not None:
            self.relay.client_data(data)
        elif self._inbox is not None:
            try:
                self._inbox.put(self._messages(data))
                if len(self._inbox) > 64:
                    raise GatewayError("protocol-violation", "too many messages before the log-in", fatal=True)
            except GatewayError as error:
                self._inbox.end(error)

    def _messages(self, data: bytes) -> list[tuple[int, bytes]]:
        if self._start is None:
            return self.framer.feed(data)
        self._start += data
        if len(self._start) > wire.MAX_STARTUP_PACKET_LENGTH:
            raise GatewayError("message-too-large", "the start-up packet is too long", fatal=True)
        return []

    def connection_lost(self, exc: Exception | None) -> None:
        # what a session held goes with it, not with the next collection of cycles: the transport knows this protocol
        relay, self.relay = self.relay, None
        self.transport = None
        if relay is not None:
            relay.finish()
        if self._inbox is not None:
            self._inbox.end(exc or ConnectionResetError("closed by the client"))

    def pause_writing(self) -> None:
        if self.relay is not None:
            self.relay.client_blocked(True)

    def resume_writing(self) -> None:
        if self.relay is not None:
            self.relay.client_blocked(False)

    @property
    def line(self) -> asyncio.Transport:
        """The transport. Raises `ConnectionResetError` when the client is gone."""
        if self.transport is None:
            raise ConnectionResetError("closed by the client")
        return self.transport

    def send(self, data: bytes) -> None:
        """Send bytes of the log-in. Raises `ConnectionResetError`."""
        self.line.write(data)

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    async def startup(self) -> wire.StartupMessage | wire.CancelRequest:
        """The start-up packet, inside the TLS that was asked for."""
        assert self._start is not None
        assert self._inbox is not None
        while len(self._start) < 4 or len(self._start) < wire.startup_length(bytes(self._start[:4])):
            await self._inbox.more()
        length = wire.startup_length(bytes(self._start[:4]))
        packet = wire.parse_startup(bytes(self._start[4:length]))
        rest = bytes(self._start[length:])
        if isinstance(packet, (wire.SSLRequest, wire.GSSENCRequest)):
            raise GatewayError("protocol-violation", "encryption was already settled", fatal=True)
        self.started()
        if rest:
            raise GatewayError("protocol-violation", "the client sent data ahead of its authentication", fatal=True)
        return packet

    def started(self) -> None:
        """The start-up packet is read: typed messages follow."""
        self._start = None

    async def message(self, kind: int) -> bytes:
        """The body of the next message, which must be of that kind."""
        assert self._inbox is not None
        got, body = await self._inbox.next()
        if got == wire.TERMINATE:
            raise ConnectionResetError("the client said goodbye")
        if got != kind:
            raise GatewayError("protocol-violation", "the client sent something else than its password", fatal=True)
        return body

    def hand_over(self, relay: AnyRelay, limit: int) -> None:
        """From now on everything goes to the relay; what waits already goes first."""
        inbox, self._inbox = self._inbox, None
        assert inbox is not None
        self.framer.limit = limit
        self.relay = relay
        waiting = b"".join(wire.frame(kind, body) for kind, body in inbox.rest())
        if waiting:
            relay.client_data(waiting)
        if inbox.lost is not None:
            relay.finish()


class TlsClient(Lending, Client):
    """A client whose connection is encrypted, or will be."""

    __slots__ = ()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def peek(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """At least one byte without taking it; empty when the client is gone."""
    while True:
        try:
            return sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(sock, _settle, readable)
            try:
                await readable
            finally:
                loop.remove_reader(sock)


def ahead(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def last_words(sock: socket.socket, data: bytes) -> None:
    """Send an error on a bare socket that is about to be closed."""
    with contextlib.suppress(OSError):
        sock.send(data)
        sock.shutdown(socket.SHUT_WR)
        # a close with unread bytes is a reset, which can overtake the error
        for _ in range(16):
            if not sock.recv(65536):
                break


async def exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await loop.sock_recv(sock, count - len(data))
        if not more:
            raise ConnectionResetError("closed by the client")
        data += more
    return data
