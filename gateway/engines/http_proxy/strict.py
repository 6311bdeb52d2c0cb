"""mitmproxy's HTTP/1.1 and HTTP/2 servers, stricter: heads of one meaning, bounded buffers, refusals in our words.

mitmproxy tolerates what RFC 9112 lets a server tolerate, keeps whatever a client pipelines, and says who it is on error
pages. INVARIANT: a head that `http_heads` faults is read by nothing behind it; no words of a target or of mitmproxy's
reach a client.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import h2.errors
import h2.events
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseHeaders, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from gateway.engines.http_heads import MAX_HEAD, fault_of_fields, fault_of_head
from gateway.errors import Refusal
from gateway.http.problem import problem

_PIPELINED = 2 * MAX_HEAD
_STREAMS = 16
_HSTS = ("strict-transport-security", "max-age=63072000")
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)
_CLIENT = frozenset(
    {ErrorCode.GENERIC_CLIENT_ERROR, ErrorCode.REQUEST_VALIDATION_FAILED, ErrorCode.DESTINATION_UNKNOWN}
)

Commands = Generator[Any, Any, Any]


def shown(
    refusal: Refusal, status: int = 0, headers: tuple[tuple[str, str], ...] = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a refusal as it leaves."""
    status, given, body = problem(refusal, status, headers)
    fields = [(name.encode(), value.encode()) for name, value in (*given, _HSTS)]
    return status, [*fields, (b"content-length", str(len(body)).encode())], body


def refusal_of(event: ResponseProtocolError) -> Refusal:
    """What a client is told of a fault that mitmproxy found."""
    if event.code is ErrorCode.REQUEST_TOO_LARGE:
        return Refusal("message-too-large", "the body of the request is too large")
    if event.code in _CLIENT:
        return Refusal("protocol-violation", "the request cannot be read", "send it as RFC 9112 or RFC 9113 says")
    return Refusal("target-unavailable", "the target cannot be reached or stopped answering")


class StrictHttp1(Http1Server):
    """HTTP/1.1 to clients."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._last = False
        self._head = b""

    def _handle_event(self, event: events.Event) -> Commands:
        if self.state == self.wait and isinstance(event, events.DataReceived) and len(self.buf) > _PIPELINED:
            yield commands.CloseConnection(self.conn)
            return
        yield from super()._handle_event(event)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """See `Http1Server`: of what is faulty nothing is read."""
        fault = fault_of_head(bytes(self.buf)) if isinstance(event, events.DataReceived) and self.buf else ""
        if not fault:
            self._last = bool(_CLOSE.search(bytes(self.buf).partition(b"\r\n\r\n")[0]))
            yield from super().read_headers(event)
            return
        yield commands.SendData(self.conn, _written(Refusal("protocol-violation", fault, "send it as RFC 9112 says")))
        yield commands.CloseConnection(self.conn)
        self.state = self.done

    def send(self, event: Any) -> Commands:
        """See `Http1Server`: a fault leaves as a problem of ours."""
        if not isinstance(event, ResponseProtocolError):
            if isinstance(event, ResponseHeaders) and self._last and event.response.status_code != 101:
                # what the client asked for is gone from the request, which became the target's
                event.response.headers["connection"] = "close"
            yield from self._together(event)
            return
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        if not self.response and event.code.http_status_code() is not None:
            yield commands.SendData(self.conn, _written(refusal_of(event)))
        yield commands.CloseConnection(self.conn)

    def _together(self, event: Any) -> Commands:
        """A head leaves with the body that follows at once, in one record of TLS."""
        follows = isinstance(event, ResponseHeaders) and not event.end_stream
        for command in super().send(event):
            if not isinstance(command, commands.SendData):
                yield command
            elif follows and "content-length" in event.response.headers:
                self._head += command.data
            else:
                head, self._head = self._head, b""
                yield commands.SendData(command.connection, head + command.data)


class StrictHttp2(Http2Server):
    """HTTP/2 to clients."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # each may hold a body before anybody has proven who he is
        self.h2_conn.local_settings.max_concurrent_streams = _STREAMS
        self.h2_conn.local_settings.acknowledge()

    def waiting(self, stream_id: int) -> int:
        """Bytes of that stream that the client's windows hold back."""
        return sum(len(one.data) for one in self.h2_conn.stream_buffers.get(stream_id, ()))

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, ResponseProtocolError) or event.code.http_status_code() is None:
            yield from super()._handle_event(event)
            return
        if self.is_closed(event.stream_id):
            return
        stream = self.h2_conn.streams[event.stream_id]
        if self.is_open_for_us(event.stream_id) and not stream.state_machine.headers_sent:
            status, fields, body = shown(refusal_of(event))
            self.h2_conn.send_headers(event.stream_id, [(b":status", b"%d" % status), *fields])
            self.h2_conn.send_data(event.stream_id, body, end_stream=True)
        else:
            self.h2_conn.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())

    def handle_h2_event(self, event: h2.events.Event) -> Commands:
        """See `Http2Server`: of what is faulty nothing is read."""
        if isinstance(event, h2.events.RequestReceived):
            given = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
            pseudo = {name: value for name, value in given if name.startswith(b":")}
            fields = [one for one in given if not one[0].startswith(b":")]
            if fault_of_fields(pseudo, fields):
                self.h2_conn.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                return False
        return (yield from super().handle_h2_event(event))


def _written(refusal: Refusal) -> bytes:
    status, fields, body = shown(refusal)
    lines = [b"HTTP/1.1 %d " % status, *(name + b": " + value for name, value in fields), b"connection: close"]
    return b"\r\n".join([*lines, b"", body])
