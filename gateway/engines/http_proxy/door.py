"""One client connection: mitmproxy's handler with our layers, limits and hooks.

INVARIANT: a hook that fails ends its connection, and so does a crash of mitmproxy's: nothing undecided goes on.
INVARIANT: while more has to be announced nothing further is read, so what waits is bounded.
INVARIANT: a connection to the target carries the requests of one pass; another's on the same client connection, as
behind somebody's own proxy, get a new one, so that no answer that comes late or twice can be another person's.
A client has `HEAD_S` for its next request, from the connection's begin or the last end, and for each that has begun,
whatever else is under way; `STALL_S` to take what it asked for in HTTP/2; and the target `timeout` for each next part.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Optional, Protocol

from mitmproxy import flow as flows
from mitmproxy import http, options
from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import ClientTLSLayer, modes
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import LiveConnectionHandler

from gateway.engines.http_channel import Begin, Permitted, Shown
from gateway.engines.http_proxy import tls
from gateway.engines.http_proxy.places import Front, Reached, Way
from gateway.engines.http_proxy.reply import Reply
from gateway.engines.http_proxy.stream import PAGE, REPLY, TRAILERS, WAITING, WAY, Layer, read_media, refuse, show
from gateway.errors import Refusal
from gateway.http.browser import is_navigation

HEAD_S = 15.0
_NOWHERE = "reverse:https://target.invalid:1"
"""Where mitmproxy would send a request that has no way; nothing has none."""
STALL_S = 120.0
"""How long a client may take nothing; mitmproxy's own bound for HTTP/1.1."""
LEVEL_S = 0.1
"""Steps in which a missing object and another customer's are answered: how long each took is not told finer."""
MOST_PENDING = 64
"""Requests of one connection that are under way here, also those that the client has given up since."""
ANSWER_HEAD = 256 * 1024
"""Bytes that a target may send before its answer's head is whole, what TLS takes included."""
BODY_LIMIT = "2m"
"""Of a request, whose body is held until the gate has seen it; a policy's own bound may be lower."""
_UNREADABLE = Refusal("protocol-violation", "the request has trailers", "send it without them")


class Gate(Protocol):
    """What the process asks of the gate; see `server.Process`."""

    async def begin(self, message: Begin) -> Reply | Refusal | Shown: ...
    async def extend(self, reply: Reply, rows: int, size: int, bytes_in: int) -> None: ...
    async def settle(self, reply: Reply) -> bool: ...
    def next_number(self) -> int: ...
    def fault(self, error: BaseException) -> None: ...


def make_options() -> options.Options:
    """mitmproxy's options: its strictest, nothing kept, nothing of a home directory read."""
    made = options.Options()
    for name, kind, value in (
        ("store_streamed_bodies", bool, False), ("connection_strategy", str, "lazy"), ("keep_host_header", bool, True),
        ("normalize_outbound_headers", bool, True), ("validate_inbound_headers", bool, True),
    ):  # fmt: skip
        made.add_option(name, kind, value, "")
    made.add_option("body_size_limit", str, BODY_LIMIT, "")
    made.add_option("stream_large_bodies", Optional[str], None, "")  # noqa: UP045 - the one form that it knows
    made.update(websocket=False, rawtcp=False, http3=False, tcp_timeout=120, confdir="/nonexistent")
    return made


class Door(LiveConnectionHandler):
    """See the module."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        gate: Gate,
        listener: int,
        front: Front,
        places: Mapping[str, Reached],
        options: options.Options,
    ) -> None:
        super().__init__(reader, writer, options, ProxyMode.parse(_NOWHERE))
        self._gate, self._listener, self._front, self._places = gate, listener, front, places
        self._known: dict[Connection, Way] = {}
        self._layers = [modes.ReverseProxy, ClientTLSLayer, partial(Layer, known=self._known)]
        self._writer = writer
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._releasing = 0
        self._since = time.monotonic()
        self._flows: set[http.HTTPFlow] = set()
        self._coming: dict[http.HTTPFlow, float] = {}
        self._full: Counter[Connection] = Counter()
        self._moved = asyncio.Event()
        self._shown = b""
        self._heads: Counter[Connection] = Counter()

    def abort(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()

    def tick(self, now: float) -> None:
        """Once a second: ends what takes too long."""
        if any(now - began > HEAD_S for began in self._coming.values()):
            self.abort()
            return
        if not self._flows and not self._coming:
            if now - self._since > HEAD_S:
                self.abort()
            return
        for flow in tuple(self._flows):
            reply: Reply | None = flow.metadata.get(REPLY)
            if reply is not None and reply.forwarded and not self._releasing and not reply.whole:
                place = flow.metadata[WAY].place
                waiting = now - reply.heard_at > (place.idle_s if reply.upgraded else place.timeout_s)
                if waiting and reply.upgraded:
                    self.abort()
                elif waiting and not self._blocked() and not self._full[flow.server_conn]:
                    self._hang_up(flow)

    def _blocked(self) -> bool:
        """Whether it is the client that does not take what it gets."""
        return self._writer.transport.get_write_buffer_size() > 0

    def _hang_up(self, flow: http.HTTPFlow) -> None:
        server = flow.server_conn
        io = self.transports.get(server) if isinstance(server, Server) else None
        if io is not None and io.handler is not None:
            io.handler.cancel("the target does not answer")

    def cut(self, reply: Reply) -> None:
        """Nothing more of that answer may leave."""
        if not reply.settled:
            self.abort()

    async def drain_writers(self) -> None:
        """See `ConnectionHandler`; what the client does not take is not read from the target."""
        await self._flowing.wait()
        while self._full and self._full[self._own()] and self.client in self.transports:
            self._moved.clear()
            await self._moved.wait()
        await super().drain_writers()

    def _own(self) -> Connection | None:
        """The connection that this task reads."""
        task = asyncio.current_task()
        return next((one for one, io in self.transports.items() if io.handler is task), None)

    async def server_event(self, event: events.Event) -> None:
        """See `ConnectionHandler`."""
        await super().server_event(event)
        if isinstance(event, events.ConnectionEvent):
            # windows grow, streams are reset, and connections end, by what comes in
            self._moved.set()
            if isinstance(event, events.DataReceived) and event.connection is not self.client:
                self._bound_head(event)

    def _bound_head(self, event: events.DataReceived) -> None:
        """End an answer whose head does not end; h2 bounds those of HTTP/2 itself."""
        connection = event.connection
        if connection.alpn == b"h2":
            return
        replies = (flow.metadata.get(REPLY) for flow in self._flows if flow.server_conn is connection)
        if not any(reply is not None and reply.forwarded and not reply.answered for reply in replies):
            del self._heads[connection]
            return
        self._heads[connection] += len(event.data)
        io = self.transports.get(connection)
        if self._heads[connection] > ANSWER_HEAD and io is not None and io.handler is not None:
            io.handler.cancel("the target's head does not end")

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:  # noqa: ARG002 - mitmproxy's
        """Keep no words of mitmproxy's, which quote what people send; a crash of it ends the connection."""
        if level >= logging.ERROR:
            self._gate.fault(sys.exception() or RuntimeError("mitmproxy"))
            self.abort()

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """See `ConnectionHandler`."""
        work = getattr(self, f"_on_{hook.name}", None)
        if work is None:
            return
        try:
            found = work(*hook.args())
            if found is not None:
                await found
        except Exception as error:
            # FAIL CLOSED
            self._gate.fault(error)
            self.abort()

    def _on_next_layer(self, layer: Any) -> None:
        layer.layer = self._layers.pop(0)(layer.context)

    def _on_tls_start_client(self, start: Any) -> None:
        tls.accept(start, self._front.context(self.client.sni or ""))

    def _on_tls_start_server(self, start: Any) -> None:
        way = self._known[start.conn]
        assert way.reached.context is not None
        tls.connect(start, way.reached.context, way.place.host, upgrades=way.upgrades)

    def _on_requestheaders(self, flow: http.HTTPFlow) -> None:
        if len(self._coming) + len(self._flows) >= MOST_PENDING:
            # FAIL CLOSED: streams that are opened and reset cost the client nothing, and us a judgement each
            self.abort()
        self._coming[flow] = time.monotonic()

    async def _on_request(self, flow: http.HTTPFlow) -> None:
        self._coming.pop(flow, None)
        self._flows.add(flow)
        request = flow.request
        read_media(flow)
        if flow.metadata.get(TRAILERS):
            refuse(flow, _UNREADABLE)
            return
        begun = self._begun(flow)
        await self._part_from_others(begun)
        flow.metadata[PAGE] = not begun.secret and is_navigation(begun.headers)
        found = await self._gate.begin(begun)
        if isinstance(found, Refusal):
            refuse(flow, found)
            return
        if isinstance(found, Shown):
            show(flow, found)
            return
        found.cut = lambda: self.cut(found)
        permit: Permitted = found.permit
        flow.metadata[REPLY] = found
        if self.client not in self.transports:
            # it left while it was asked for: nothing is forwarded for nobody
            flow.error = flows.Error(flows.Error.KILLED_MESSAGE)
            await self._over(flow)
            return
        if found.refusal is not None:
            # cut before it could be told to `cut`: both messages came at once
            refuse(flow, found.refusal)
            return
        way = flow.metadata[WAY] = self._places[permit.target].way(upgrades=found.route.websocket)
        place = way.place
        authority = place.authority.encode()
        fields = [] if request.is_http2 else [(b"host", authority)]
        fields += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in permit.headers]
        if permit.body or permit.method in ("POST", "PUT", "PATCH"):
            fields.append((b"content-length", str(len(permit.body)).encode()))
        if not any(name == b"accept-encoding" for name, _ in fields):
            fields.append((b"accept-encoding", b"identity"))
        # the request that goes on is made of the permit alone
        request.data.method, request.data.path = permit.method.encode(), permit.path.encode()
        request.data.scheme = b"https" if place.tls else b"http"
        request.data.authority = authority if request.is_http2 else b""
        request.data.headers, request.data.content, request.data.trailers = http.Headers(fields), permit.body, None
        request.data.host, request.data.port = place.host, place.port

    async def _part_from_others(self, begun: Begin) -> None:
        """Leave the connections to the target that were used with another pass, or by another browser's cookie.

        HTTP/2 keeps answers apart itself.
        """
        cookies = b"\0".join(value for name, value in begun.headers if name.lower() == b"cookie")
        shown = hashlib.sha256(begun.secret.encode() + b"\0" + cookies).digest()
        shown, self._shown = self._shown, shown
        if shown in (b"", self._shown) or self.client.alpn == b"h2":
            return
        old = [io.handler for one, io in self.transports.items() if one is not self.client and io.handler is not None]
        for handler in old:
            handler.cancel("another pass")
        if old:
            await asyncio.wait(old)

    def _begun(self, flow: http.HTTPFlow) -> Begin:
        request, fields = flow.request, flow.request.headers.fields
        shown = [value for name, value in fields if name.lower() == b"authorization"]
        agents = [value for name, value in fields if name.lower() == b"user-agent"]
        h2 = request.is_http2
        authority = request.authority if h2 else request.headers.get("host", "")
        peername = self.client.peername
        return Begin(
            self._gate.next_number(),
            self._listener,
            self.client.sni or "",
            shown[0].decode("latin-1") if len(shown) == 1 else "",
            f"{peername[0]}:{peername[1]}",
            self.client.tls_version or "",
            agents[0].decode("latin-1")[:128] if agents else "",
            request.method,
            request.data.path.decode("latin-1"),
            authority,
            tuple((name, value) for name, value in fields if name.lower() != b"authorization"),
            request.raw_content or b"",
            "HTTP/2" if h2 else "HTTP/1.1",
        )

    async def _on_release(self, flow: http.HTTPFlow, rows: int, size: int, bytes_in: int) -> None:
        self._releasing += 1
        self._flowing.clear()
        try:
            await self._gate.extend(flow.metadata[REPLY], rows, size, bytes_in)
        finally:
            self._releasing -= 1
            if not self._releasing:
                self._flowing.set()

    async def _on_room(self, flow: http.HTTPFlow, waiting: Callable[[], int]) -> None:
        server = flow.server_conn
        self._full[server] += 1
        try:
            async with asyncio.timeout(STALL_S):
                while waiting() > WAITING and self.client in self.transports:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            self.abort()
        finally:
            self._full[server] -= 1
            if not self._full[server]:
                del self._full[server]
            reply: Reply = flow.metadata[REPLY]
            reply.heard_at = time.monotonic()
            self._moved.set()

    async def _on_level(self, flow: http.HTTPFlow) -> None:
        reply: Reply = flow.metadata[REPLY]
        reply.heard_at = time.monotonic() + LEVEL_S
        await asyncio.sleep(LEVEL_S - (time.monotonic() - reply.forwarded_at) % LEVEL_S)

    async def _on_response(self, flow: http.HTTPFlow) -> None:
        await self._over(flow)

    async def _on_error(self, flow: http.HTTPFlow) -> None:
        await self._over(flow)

    async def _on_client_disconnected(self, _: Any) -> None:
        self._moved.set()
        for flow in tuple(self._flows):
            await self._over(flow)

    async def _over(self, flow: http.HTTPFlow) -> None:
        self._flows.discard(flow)
        self._coming.pop(flow, None)
        self._since = time.monotonic()
        reply: Reply | None = flow.metadata.get(REPLY)
        if reply is None or reply.settled:
            return
        reply.settled = True
        if not await self._gate.settle(reply) and reply.permit.writes:
            # FAIL CLOSED: of a write whose end is not on record nothing is said
            self.abort()
