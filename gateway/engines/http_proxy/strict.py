"""mitmproxy's HTTP/1.1 and HTTP/2 servers, stricter: heads of one meaning, bounded buffers, refusals in our words.

mitmproxy tolerates what RFC 9112 lets a server tolerate, keeps whatever a client pipelines, and says who it is on error
pages. INVARIANT: a head that `http_heads` faults is read by nothing behind it; no words of a target or of mitmproxy's
reach a client.

Its HTTP/1.1 client takes an interim answer (RFC 9110, 15.2) for the final one, and both ends crash at trailers (RFC
9112, 7.1.2). Here interim answers and a target's trailers are passed over, and a client's are refused.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import h2.errors
import h2.events
import h11
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestEndOfMessage,
    RequestTrailers,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from gateway.engines.http_heads import MAX_HEAD, fault_of_fields, fault_of_head
from gateway.errors import Refusal
from gateway.http.problem import problem

_PIPELINED = 2 * MAX_HEAD
_STREAMS = 16
_INTERIM = 100
"""Interim answers that a target may give before the final one."""
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


class _Untrailed:
    """mitmproxy's reader of a body; what stands behind the last chunk is kept apart in `trailers`."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.trailers: list[tuple[bytes, bytes]] = []

    def __call__(self, buffer: Any) -> Any:
        event = self._reader(buffer)
        if not isinstance(event, h11.EndOfMessage) or not event.headers:
            return event
        self.trailers = list(event.headers)
        return h11.EndOfMessage()

    def read_eof(self) -> Any:
        return self._reader.read_eof()


class TargetHttp1(Http1Client):
    """HTTP/1.1 to targets; see the module."""

    body_reader: Any

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._interim = 0

    def _handle_event(self, event: events.Event) -> Commands:
        yield from super()._handle_event(event)
        if self.state == self.read_body and len(self.buf) > MAX_HEAD:
            # of a body's parts nothing waits: it is a line between or behind them that does not end
            yield from self._give_up("a line of the body does not end")

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """See `Http1Client`; interim answers end here."""
        again = True
        while again:
            again = False
            for command in super().read_headers(event):
                if _is_interim(command):
                    self.response, again = None, True
                    self._interim += 1
                    break
                yield command
            if self._interim > _INTERIM:
                yield from self._give_up("interim answers do not end")
                return

    def read_body(self, event: events.Event) -> Commands:
        """See `Http1Client`; trailers end here."""
        if not isinstance(self.body_reader, _Untrailed):
            self.body_reader, self._interim = _Untrailed(self.body_reader), 0
        yield from super().read_body(event)

    def _give_up(self, fault: str) -> Commands:
        assert self.stream_id is not None
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(ResponseProtocolError(self.stream_id, fault, ErrorCode.GENERIC_SERVER_ERROR))


def _is_interim(command: commands.Command) -> bool:
    """Whether it tells of a head that another one follows; 101 is the last of its kind."""
    if not isinstance(command, ReceiveHttp) or not isinstance(command.event, ResponseHeaders):
        return False
    status: int = command.event.response.status_code
    return 100 <= status < 200 and status != 101


# mitmproxy has no other place to say which client a connection to a target gets
layers.Http1Client = TargetHttp1


class StrictHttp1(Http1Server):
    """HTTP/1.1 to clients."""

    body_reader: Any

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

    def read_body(self, event: events.Event) -> Commands:
        """See `Http1Server`: trailers are told of, which `Stream` refuses."""
        if not isinstance(self.body_reader, _Untrailed):
            self.body_reader = _Untrailed(self.body_reader)
        for command in super().read_body(event):
            ends = isinstance(command, ReceiveHttp) and isinstance(command.event, RequestEndOfMessage)
            if ends and self.body_reader.trailers:
                yield ReceiveHttp(RequestTrailers(self.stream_id, http.Headers(self.body_reader.trailers)))
            yield command

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
