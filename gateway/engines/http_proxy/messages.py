"""The messages of a WebSocket, relayed one by one and counted against what was announced (RFC 6455).

mitmproxy's own layer keeps all messages and relays pings and the words of a close as they come; this keeps none.

    a message of the API's -> its row and bytes announced (`ReleaseHook` waits while they are not) -> the client
    a message of the client's -> if its grant may write, and its bytes are announced -> the API
    a ping -> answered here; a close, or what breaks the protocol -> settled, then both sides are closed

INVARIANT: no message passes before it is announced, none of the client's without a grant to write, and none after
`Reply.refusal`. INVARIANT: at most one message, of `LARGEST`, is held of each side.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import wsproto.events as ws
from mitmproxy import http
from mitmproxy.connection import ConnectionState as Tcp
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._hooks import HttpResponseHook
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from gateway.engines.http_proxy.hooks import ReleaseHook
from gateway.engines.http_proxy.reply import Reply

LARGEST = 1 << 20
_TOLD = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
"""Codes of a close that are passed on (RFC 6455, 7.4); its words never are."""

Commands = Generator[Any, Any, Any]


class Relay(layer.Layer):
    """See the module. Made when the API has switched protocols, and what the client is told of that is sent."""

    def __init__(self, context: Context, flow: http.HTTPFlow, reply: Reply) -> None:
        super().__init__(context)
        self._flow, self._reply = flow, reply
        self._client, self._target = Connection(ConnectionType.SERVER), Connection(ConnectionType.CLIENT)
        self._held = {self._client: bytearray(), self._target: bytearray()}
        self._ended = False

    def _handle_event(self, event: events.Event) -> Commands:
        if self._ended or isinstance(event, events.Start):
            return
        if isinstance(event, events.DataReceived):
            side = self._client if event.connection is self.context.client else self._target
            yield from self._received(side, event.data)
        else:
            # one side is gone without a word
            yield from self._end(CloseReason.GOING_AWAY)

    def _received(self, side: Connection, data: bytes) -> Commands:
        try:
            side.receive_data(data)
            for found in side.events():
                yield from self._take(side, found)
                if self._ended:
                    return
        except RemoteProtocolError as fault:
            yield from self._end(int(getattr(fault.event_hint, "code", CloseReason.PROTOCOL_ERROR)))

    def _take(self, side: Connection, found: ws.Event) -> Commands:
        if isinstance(found, ws.Message) and side is self._client and not self._reply.permit.writes:
            yield from self._end(CloseReason.POLICY_VIOLATION)
        elif isinstance(found, ws.Message):
            part = found.data.encode() if isinstance(found.data, str) else bytes(found.data)
            held = self._held[side]
            held += part
            if len(held) > LARGEST:
                yield from self._end(CloseReason.MESSAGE_TOO_BIG)
            elif found.message_finished:
                message = bytes(held)
                held.clear()
                yield from self._pass(side, message, text=isinstance(found, ws.TextMessage))
        elif isinstance(found, ws.Ping):
            yield commands.SendData(self._tcp(side), side.send(found.response()))
        elif isinstance(found, ws.CloseConnection):
            code = found.code if found.code in _TOLD else CloseReason.NORMAL_CLOSURE
            # what breaks the protocol comes as a close too, of a side that has not closed
            self._reply.whole = side.state is not ConnectionState.OPEN
            yield from self._end(code)

    def _pass(self, side: Connection, message: bytes, *, text: bool) -> Commands:
        reply, inward = self._reply, side is self._client
        wanted = reply.wants_message(len(message), inward=inward)
        if wanted is not None:
            yield ReleaseHook(self._flow, *wanted)
        if not reply.pass_message(message, inward=inward, text=text):
            yield from self._end(CloseReason.POLICY_VIOLATION)
            return
        other = self._target if inward else self._client
        event = ws.TextMessage(message.decode()) if text else ws.BytesMessage(message)
        try:
            yield commands.SendData(self._tcp(other), other.send(event))
        except LocalProtocolError:
            yield from self._end(CloseReason.GOING_AWAY)

    def _tcp(self, side: Connection) -> Any:
        return self.context.client if side is self._client else self.context.server

    def _end(self, code: int) -> Commands:
        """Have the end recorded, and then close both sides."""
        self._ended = True
        yield HttpResponseHook(self._flow)
        for side in (self._client, self._target):
            tcp = self._tcp(side)
            if side.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING) and tcp.state & Tcp.CAN_WRITE:
                yield commands.SendData(tcp, side.send(ws.CloseConnection(code)))
            yield commands.CloseConnection(tcp)
