"""Connections to a PostgreSQL target: opened, authenticated and pinned by the gateway, then lent to one session each.

The target proves itself by TLS (`verify-full`) and by SCRAM; what proves nothing is refused. Everything that a
session's safety rests on is set in the start-up packet, so that RESET ALL and DISCARD ALL come back to it (PostgreSQL
documentation, "Frontend/Backend Protocol", start-up; "RESET").
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from gateway.engines.inbox import Inbox
from gateway.engines.outward import tls_context, unavailable
from gateway.engines.reading import Lending, Line
from gateway.errors import GatewayError
from gateway.target_settings import Target
from gateway.wire import auth, postgres

_STARTUP_LIMIT = 64 * 1024
_SPARE_AGE_S = 300.0


class Rejected(GatewayError):
    """The target refused a connection after it had accepted who opens it; `words` are its own, an error's body."""

    words = b""


class BackendOwner(Protocol):
    """Who holds a connection once it is authenticated; all calls come on the event loop's thread."""

    def backend_data(self, data: bytes) -> None:
        """Bytes came from the target."""

    def backend_lost(self) -> None:
        """The target's connection is gone."""

    def backend_blocked(self, blocked: bool) -> None:
        """The target does not (or does again) take what is sent."""


@dataclass(slots=True)
class Facts:
    """What the target said of itself and of the connection at start-up."""

    parameters: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    secret: bytes = b""


class Backend(Line):
    """One authenticated connection to a target."""

    __slots__ = ("_framer", "_inbox", "_owner", "facts", "opened_at", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.facts = Facts()
        self.opened_at = time.monotonic()
        self._owner: BackendOwner | None = None
        self._framer: postgres.Framer | None = postgres.Framer(_STARTUP_LIMIT)
        self._inbox: Inbox | None = Inbox()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._owner is not None:
            self._owner.backend_data(data)
            return
        if self._framer is None or self._inbox is None:
            return
        try:
            self._inbox.put(self._framer.feed(data))
        except GatewayError as error:
            self._inbox.end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        owner, self._owner = self._owner, None
        # the transport knows this protocol: a cycle
        self.transport = None
        if owner is not None:
            owner.backend_lost()
        if self._inbox is not None:
            self._inbox.end(exc or ConnectionResetError("closed by the target"))

    def pause_writing(self) -> None:
        if self._owner is not None:
            self._owner.backend_blocked(True)

    def resume_writing(self) -> None:
        if self._owner is not None:
            self._owner.backend_blocked(False)

    def own(self, owner: BackendOwner) -> None:
        """Hand everything that comes from now on to `owner`."""
        inbox, self._inbox, self._framer = self._inbox, None, None
        self._owner = owner
        if inbox is not None and inbox.lost is not None:
            owner.backend_lost()

    @property
    def usable(self) -> bool:
        """Whether a spare can still be lent."""
        inbox = self._inbox
        quiet = inbox is not None and inbox.lost is None and not inbox
        return quiet and time.monotonic() - self.opened_at < _SPARE_AGE_S

    def send(self, data: bytes) -> None:
        """Send bytes that the caller holds a permit for, or that are the gateway's own; to nobody when it is lost."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Say goodbye and close; nothing more is heard."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(postgres.encode_terminate())
            self.transport.close()

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        if self.transport is not None:
            self.transport.abort()

    async def run(self, text: str) -> None:
        """Run statements of the gateway's own before the connection is lent; their rows are not wanted.

        Raises `GatewayError("target-unavailable")` when the target refuses them.
        """
        self.send(postgres.encode_query(text))
        failed = ""
        while True:
            kind, body = await self.message()
            if kind == postgres.PARAMETER_STATUS:
                name, value = postgres.parse_parameter_status(body)
                # the mapping is shared with other connections
                self.facts.parameters = {**self.facts.parameters, name: value}
            elif kind == postgres.ERROR_RESPONSE:
                failed = postgres.parse_error_fields(body).get("M", "") or "refused"
            elif kind == postgres.READY_FOR_QUERY:
                if failed:
                    raise unavailable("the target refused the session's settings", failed)
                return

    async def message(self) -> tuple[int, bytes]:
        """The next message of the start-up. Raises `GatewayError("target-unavailable")`."""
        assert self._inbox is not None
        try:
            return await self._inbox.next()
        except (GatewayError, OSError) as lost:
            raise GatewayError("target-unavailable", "the target closed the connection", detail=str(lost)) from lost


class TlsBackend(Lending, Backend):
    """A connection that is encrypted."""

    __slots__ = ()


class Upstream:
    """One target: opens connections, keeps a few clean ones ready, passes on cancel requests."""

    def __init__(self, name: str, target: Target, pins: Mapping[str, str]) -> None:
        self.name = name
        self._target = target
        self._pins = dict(pins)
        self._tls = tls_context(target)
        self._password = target.password.read().decode()
        self._salted: dict[tuple[bytes, int], bytes] = {}
        self._parameters: dict[str, str] = {}
        self._spares: list[Backend] = []
        self._filling: asyncio.Task[None] | None = None
        self._cancels: set[asyncio.Task[None]] = set()
        self._closed = False

    async def acquire(self, pins: Mapping[str, str] | None = None) -> Backend:
        """A clean, authenticated connection; one of its own when it needs further `pins`.

        Raises `GatewayError("target-unavailable")`.
        """
        if pins:
            return await self._open(pins)
        while self._spares:
            backend = self._spares.pop()
            if backend.usable:
                self._fill()
                return backend
            backend.close()
        backend = await self._open()
        self._fill()
        return backend

    async def open_as(self, parameters: Mapping[str, str]) -> Backend:
        """A connection of its own, with these start-up parameters and nothing pinned: for observed targets.

        Raises `Rejected` for what the target says of the parameters, `GatewayError("target-unavailable")` otherwise.
        """
        return await self._open(None, parameters)

    def tie(self, backend: Backend) -> dict[str, int | str]:
        """What the target's own log says of that connection in each of its lines, and no client can choose.

        An address is the gateway's as it knows it; on the way to the target another may be put in its place.
        """
        name = backend.transport.get_extra_info("sockname") if backend.transport is not None else None
        address = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""
        whose = {"backend_role": self._target.user, "backend_database": self._target.database}
        return {"backend": backend.facts.pid, "backend_address": address, **whose}

    def repin(self, pins: Mapping[str, str]) -> None:
        """Use other pinned settings from now on (a changed policy); spares with the old ones are closed."""
        self._pins = dict(pins)
        while self._spares:
            self._spares.pop().close()

    async def cancel(self, facts: Facts) -> None:
        """Ask the target to stop what that connection runs. Errors are the target's business and end here."""
        with contextlib.suppress(OSError, GatewayError, TimeoutError):
            async with asyncio.timeout(self._target.connect_timeout):
                transport, _ = await self._connect()
                transport.write(postgres.encode_cancel(facts.pid, facts.secret))
                transport.close()

    def cancel_soon(self, facts: Facts) -> None:
        """The same without waiting."""
        task = asyncio.get_running_loop().create_task(self.cancel(facts))
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    def close(self) -> None:
        """Close the spares; lent connections belong to their sessions."""
        self._closed = True
        if self._filling is not None:
            self._filling.cancel()
        while self._spares:
            self._spares.pop().close()

    async def probe(self) -> Facts:
        """What the target says of itself, from a connection made for the purpose."""
        backend = await self._open()
        backend.close()
        return backend.facts

    def _fill(self) -> None:
        if self._closed or len(self._spares) >= self._target.spare_connections:
            return
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._refill())

    async def _refill(self) -> None:
        # a target that refuses now is asked again when the next session needs it, and says why then
        with contextlib.suppress(GatewayError):
            while not self._closed and len(self._spares) < self._target.spare_connections:
                pins = self._pins
                backend = await self._open()
                if pins is self._pins and not self._closed:
                    self._spares.append(backend)
                else:
                    backend.close()

    async def _open(self, pins: Mapping[str, str] | None = None, instead: Mapping[str, str] | None = None) -> Backend:
        try:
            async with asyncio.timeout(self._target.connect_timeout):
                transport, protocol = await self._connect()
                backend = cast(Backend, protocol)
                try:
                    given = self._pins | dict(pins or {}) if instead is None else dict(instead)
                    await self._start(backend, transport, given)
                except BaseException:
                    backend.abort()
                    raise
                return backend
        except TimeoutError as error:
            raise unavailable("the target did not answer in time", str(error)) from error
        except ssl.SSLError as error:
            raise unavailable("the target's certificate was not accepted", str(error)) from error
        except OSError as error:
            raise unavailable("the target cannot be reached", str(error)) from error

    async def _connect(self) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        loop = asyncio.get_running_loop()
        factory = Backend if self._tls is None else TlsBackend
        target = self._target
        if target.unix:
            path = f"{target.host}/.s.PGSQL.{target.port}"
            return await loop.create_unix_connection(factory, path)
        sock = await _connected(loop, target.host, target.port)
        try:
            if self._tls is None:
                transport, protocol = await loop.create_connection(factory, sock=sock)
                return transport, protocol
            await loop.sock_sendall(sock, postgres.encode_ssl_request())
            # exactly one byte is read: what a man in the middle appends in clear is left to fail the handshake
            answer = await loop.sock_recv(sock, 1)
            if answer != b"S":
                raise unavailable("the target offers no TLS")
            transport, protocol = await loop.create_connection(
                factory, sock=sock, ssl=self._tls, server_hostname=target.host
            )
            return transport, protocol
        except BaseException:
            sock.close()
            raise

    async def _start(self, backend: Backend, transport: asyncio.Transport, pins: dict[str, str]) -> None:
        # who and where come last: no pin can replace them
        backend.send(postgres.encode_startup(pins | {"user": self._target.user, "database": self._target.database}))
        binding = _channel_binding(transport)
        client: auth.ScramClient | None = None
        proven = admitted = False
        while True:
            kind, body = await backend.message()
            if not admitted and kind in (
                postgres.PARAMETER_STATUS,
                postgres.BACKEND_KEY_DATA,
                postgres.READY_FOR_QUERY,
            ):
                # FAIL CLOSED: who leaves the exchange out does not know the password
                raise unavailable("the target did not prove itself by SCRAM")
            if kind == postgres.AUTHENTICATION:
                asked = postgres.parse_authentication(body)
                if asked.kind == postgres.AUTH_OK:
                    if not proven:
                        raise unavailable("the target did not prove itself by SCRAM")
                    admitted = True
                elif asked.kind == postgres.AUTH_SASL:
                    client = auth.ScramClient(
                        self._password, auth.make_nonce(), binding, asked.mechanisms, salted=self._salted
                    )
                    backend.send(postgres.encode_sasl_initial_response(client.mechanism, client.first()))
                elif asked.kind == postgres.AUTH_SASL_CONTINUE and client is not None:
                    backend.send(postgres.encode_sasl_response(client.respond(asked.data)))
                elif asked.kind == postgres.AUTH_SASL_FINAL and client is not None:
                    proven = client.verify(asked.data)
                else:
                    raise unavailable("the target asks for an authentication other than SCRAM-SHA-256")
            elif kind == postgres.PARAMETER_STATUS:
                # the same on nearly all connections: one text serves all
                name, value = map(sys.intern, postgres.parse_parameter_status(body))
                backend.facts.parameters[name] = value
            elif kind == postgres.BACKEND_KEY_DATA:
                backend.facts.pid, backend.facts.secret = postgres.parse_backend_key(body)
            elif kind == postgres.ERROR_RESPONSE:
                fields = postgres.parse_error_fields(body)
                detail = f"{fields.get('C')}: {fields.get('M')}"
                error = unavailable("the target refused the gateway's connection", detail)
                if admitted:
                    error = Rejected.of(error.refusal)
                    error.words = body
                raise error
            elif kind == postgres.READY_FOR_QUERY:
                # nearly all connections are told the same: one mapping serves them
                if backend.facts.parameters != self._parameters:
                    self._parameters = backend.facts.parameters
                backend.facts.parameters = self._parameters
                return
            elif kind not in (postgres.NOTICE_RESPONSE, postgres.NEGOTIATE_PROTOCOL_VERSION):
                raise unavailable("the target sent something unexpected at start-up", chr(kind))


def _channel_binding(transport: asyncio.Transport) -> bytes | None:
    """The tls-server-end-point binding of the target's certificate (RFC 5929), or None without TLS."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    # verified as it is; what uvloop read out of it for whoever might ask is kept with each connection
    (transport.get_extra_info("peercert") or {}).clear()
    return auth.tls_server_end_point(certificate) if certificate else None


async def _connected(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket with TCP_NODELAY; each address of the name is tried in turn."""
    last: OSError = OSError("the name has no address")
    for family, kind, proto, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
            continue
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    raise last
