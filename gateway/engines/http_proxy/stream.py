"""One request and its answer inside mitmproxy, held to what the gate permits.

mitmproxy's own states buffer or pass a body; these release of it what the policy leaves, within what is announced.

    request whole -> `request` hook: asks the gate -> forwarded, or a problem
    head of the answer -> `Reply.open`
    each part -> `Reply.feed` -> `ReleaseHook` waits while more has to be announced -> the client
    the end -> `Reply.finish` -> `response` hook: settled -> the end reaches the client

INVARIANT: what the client does not take is not asked for: HTTP/1.1 stops at the socket's buffer, HTTP/2 at `WAITING`
bytes of a stream, behind which nothing is read for it.
INVARIANT: nothing of the target's head, body or trailers is sent but what `Reply` gives back, and `Reply.release`
refuses what was not announced. A fault before the first byte becomes a problem; behind it, the answer breaks off.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.net.http.http1 import expected_http_body_size
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpLayer, HTTPMode, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook

from gateway.engines.http_channel import Shown
from gateway.engines.http_proxy.hooks import LevelHook, ReleaseHook, RoomHook
from gateway.engines.http_proxy.messages import Relay
from gateway.engines.http_proxy.places import Reach, Way, reach
from gateway.engines.http_proxy.reply import Reply
from gateway.engines.http_proxy.strict import StrictHttp1, StrictHttp2, shown
from gateway.errors import Refusal
from gateway.http.answer import Withheld
from gateway.http.pages import Page, refused
from gateway.http.withheld import NOT_FOUND

REPLY = "reply"
"""Where a flow keeps its `Reply`, once it was permitted."""
WAY = "way"
"""Where a flow keeps its `Way`, beside that."""
TRAILERS = "trailers"
WAITING = 256 * 1024
"""Bytes of an answer that a client's windows may hold back in HTTP/2 before no more is read for it."""
MEDIA = "media"
"""Set where a client reads no problem by its own media type (RFC 9457): its media type instead."""
_JSON = b"application/json"
_ELASTIC = "vnd.elasticsearch+json"
PAGE = "page"
"""Set where a person waits for a page, in a browser, and not a program for an answer."""
_OURS = (
    (b"strict-transport-security", b"max-age=63072000"),
    # what a person's browser shows is nobody's else to frame or to load
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_OF_TARGETS = (ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)

Commands = Generator[Any, Any, Any]


class Layer(HttpLayer):
    """The HTTP layer of one client connection, with strict servers and streams of ours."""

    def __init__(self, context: Context, known: dict[Connection, Way]) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._known = known

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            server = StrictHttp2 if self.context.client.alpn == b"h2" else StrictHttp1
            self.connections[self.context.client] = server(self.context.fork())
        yield from super()._handle_event(event)

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        """See `HttpLayer`: which way a connection is of is known from before it is opened."""
        assert isinstance(event, Reach)
        assert event.way is not None
        event.known = self._known
        for command in super().get_connection(event, reuse=reuse):
            if isinstance(command, commands.OpenConnection):
                self._known[command.connection] = event.way
            yield command

    def make_stream(self, stream_id: int) -> Commands:
        """See `HttpLayer`."""
        stream = self.streams[stream_id] = Stream(self.context.fork(), stream_id)
        yield from self.event_to_child(stream, events.Start())


class Stream(HttpStream):
    """See the module."""

    def __init__(self, context: Context, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self._withheld = False

    def _handle_event(self, event: events.Event) -> Commands:
        if self._withheld and isinstance(event, _OF_TARGETS):
            # it was on its way when its connection was told to stop, or is that it did
            return
        yield from super()._handle_event(event)

    @property
    def reply(self) -> Reply | None:
        """What was permitted, if it was."""
        found: Reply | None = self.flow.metadata.get(REPLY)
        return found

    def check_body_size(self, request: bool) -> Commands:
        """See `HttpStream`: of answers, `Reply` bounds what is held."""
        return (yield from super().check_body_size(True)) if request else False

    def make_server_connection(self) -> Commands:
        """See `HttpStream`; from here on the target may have seen the request.

        INVARIANT: what was never permitted, is cut or is settled already is not forwarded, and that is asked again once
        the connection is there: an approval whose write was settled as not forwarded has been given back meanwhile.
        """
        if not self._may_be_forwarded:
            return False
        connection, fault = yield reach(self.flow.metadata[WAY])
        if fault:
            failed = ResponseProtocolError(self.stream_id, fault, ErrorCode.CONNECT_FAILED)
            yield from self.handle_protocol_error(failed)
            return False
        self.context.server = self.flow.server_conn = connection
        if not self._may_be_forwarded:
            return False
        assert self.reply is not None
        self.reply.forward()
        return True

    @property
    def _may_be_forwarded(self) -> bool:
        reply = self.reply
        return reply is not None and not reply.settled and reply.refusal is None

    def state_consume_request_body(self, event: events.Event) -> Commands:
        """See `HttpStream`; trailers go nowhere, and the request with them."""
        if isinstance(event, RequestTrailers):
            self.flow.metadata[TRAILERS] = True
            return
        assert isinstance(event, RequestData | RequestEndOfMessage)
        yield from super().state_consume_request_body(event)

    def state_wait_for_response_headers(self, event: events.Event) -> Commands:
        """The target's head."""
        assert isinstance(event, ResponseHeaders)
        self.flow.response = event.response
        if (yield from self.check_invalid(False)):
            return
        reply = self.reply
        assert reply is not None, "nothing was permitted, and something was forwarded"
        self.server_state = self.state_answer
        reply.heard_at = time.monotonic()
        try:
            framed = is_framed(self.flow)
            reply.open(event.response.status_code, event.response.headers.fields, framed=framed)
        except Withheld as fault:
            yield from self._withhold(fault, over=event.end_stream)

    def state_answer(self, event: events.Event) -> Commands:
        """The target's body."""
        reply = self.reply
        assert reply is not None
        if isinstance(event, ResponseTrailers):
            return
        over = isinstance(event, ResponseEndOfMessage)
        if reply.upgrading is not None:
            yield from self._upgrade(reply, reply.upgrading)
            return
        try:
            if isinstance(event, ResponseData):
                out = reply.feed(event.data)
            else:
                assert over
                out = reply.finish()
            wanted = reply.wants(out)
            if wanted is not None:
                yield ReleaseHook(self.flow, *wanted)
            out = reply.release(out)
        except Withheld as fault:
            yield from self._withhold(fault, over=over)
            return
        if (yield from self.check_killed(True)):
            return
        if over:
            yield from self._end(reply, out)
        elif out:
            if not reply.head_sent:
                yield from self._head(reply)
            yield SendHttp(ResponseData(self.stream_id, out), self.context.client)
            if self._waiting() > WAITING:
                yield RoomHook(self.flow, self._waiting)

    def _waiting(self) -> int:
        """Bytes that the client's windows hold back."""
        above = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(above, Layer)
        server = above.connections.get(self.context.client)
        return server.waiting(self.stream_id) if isinstance(server, StrictHttp2) else 0

    def _upgrade(self, reply: Reply, fields: Sequence[tuple[bytes, bytes]]) -> Commands:
        """The target has switched protocols, and so does the client: from here on there are messages."""
        if (yield from self.check_killed(True)):
            return
        reply.status, reply.head_sent, reply.upgraded = 101, True, True
        self.flow.response = answer(self.flow, 101, list(fields), None)
        self.server_state = self.state_done
        yield SendHttp(ResponseHeaders(self.stream_id, self.flow.response, end_stream=True), self.context.client)
        self.child_layer = Relay(self.context, self.flow, reply)
        self._handle_event = self.passthrough  # type: ignore[method-assign]
        yield from self.child_layer.handle_event(events.Start())
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _head(self, reply: Reply) -> Commands:
        """The head of an answer that streams."""
        self._response(reply)
        assert self.flow.response is not None
        if not self.flow.request.is_http2:
            self.flow.response.headers["transfer-encoding"] = "chunked"
        reply.head_sent = True
        yield SendHttp(ResponseHeaders(self.stream_id, self.flow.response, end_stream=False), self.context.client)

    def _end(self, reply: Reply, out: bytes) -> Commands:
        reply.whole = True
        streamed = reply.head_sent
        if streamed:
            if out:
                yield SendHttp(ResponseData(self.stream_id, out), self.context.client)
        else:
            self._response(reply)
            assert self.flow.response is not None
            self.flow.response.data.content = out
            bodiless = self.flow.request.method == "HEAD" or self.flow.response.status_code in (204, 304)
            if not bodiless:
                self.flow.response.headers["content-length"] = str(len(out))
        yield from self.send_response(already_streamed=streamed)

    def _response(self, reply: Reply) -> None:
        """Put what leaves of the target's head in the place of it."""
        status, head = reply.head()
        reply.status = status
        fields = [(name.encode(), value.encode()) for name, value in head]
        given = {name for name, _ in head}
        fields += [(name, value) for name, value in _OURS if name.decode() not in given]
        self.flow.response = answer(self.flow, status, fields, None)

    def _withhold(self, fault: Withheld, *, over: bool) -> Commands:
        reply = self.reply
        assert reply is not None
        reply.refusal = reply.refusal or fault.refusal
        self._withheld = True
        if not over:
            # the rest of the answer is nobody's: its stream, or in HTTP/1.1 its connection, ends
            stop = RequestProtocolError(self.stream_id, "withheld", ErrorCode.CANCEL)
            yield SendHttp(stop, self.context.server)
        if reply.head_sent:
            self.flow.error = flows.Error(flows.Error.KILLED_MESSAGE)
            yield from self.check_killed(True)
            return
        same = reply.refusal is fault.refusal
        if same and fault.refusal.code == NOT_FOUND.code and reply.names_customers:
            # what is missing is said sooner than what is another's is found to be
            yield LevelHook(self.flow)
        asked = fault.status if same else 0, fault.headers if same else ()
        if self.flow.metadata.get(PAGE):
            page = refused(reply.refusal, *asked)
            show(self.flow, page)
            reply.status = page.status
        else:
            status, fields, body = shown(reply.refusal, *asked)
            reply.status = status
            self.flow.response = answer(self.flow, status, readable(self.flow, fields), body)
        yield from self.send_response()


def is_framed(flow: http.HTTPFlow) -> bool:
    """Whether the answer says where its body ends: by a length, by chunks, or by HTTP/2's frames."""
    response = flow.response
    assert response is not None
    return bool(response.is_http2) or expected_http_body_size(flow.request, response) != -1


def answer(flow: http.HTTPFlow, status: int, fields: list[tuple[bytes, bytes]], body: bytes | None) -> http.Response:
    """An answer of ours to that request."""
    version = b"HTTP/2.0" if flow.request.is_http2 else b"HTTP/1.1"
    headers = http.Headers(fields)
    content = b"" if flow.request.method == "HEAD" else body
    now = time.time()
    return http.Response(version, status, b"", headers, content, None, now, now)


def read_media(flow: http.HTTPFlow) -> None:
    """Note, of a request as it came, whether its client reads problems: those of Elasticsearch do not."""
    if _ELASTIC in flow.request.headers.get("accept", ""):
        flow.metadata[MEDIA] = _JSON


def readable(flow: http.HTTPFlow, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The head of a problem as its client can read it."""
    media = flow.metadata.get(MEDIA)
    return [(name, media if media and name.lower() == b"content-type" else value) for name, value in fields]


def refuse(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Answer that request with a problem, and forward nothing."""
    status, fields, body = shown(refusal)
    flow.response = answer(flow, status, readable(flow, fields), body)


def show(flow: http.HTTPFlow, page: Shown | Page) -> None:
    """Answer that request with a page of the gateway's own, and forward nothing."""
    fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in page.headers]
    fields.append((b"content-length", str(len(page.body)).encode()))
    flow.response = answer(flow, page.status, fields, page.body)


__all__ = [
    "PAGE",
    "REPLY",
    "TRAILERS",
    "WAY",
    "HttpErrorHook",
    "HttpResponseHook",
    "Layer",
    "LevelHook",
    "ReleaseHook",
    "RoomHook",
    "Stream",
    "answer",
    "read_media",
    "refuse",
    "show",
]
