"""Connections to a target of MySQL or MariaDB: opened, authenticated and pinned by the gateway, one for each session.

The target proves itself by TLS (`verify-full`); the gateway's password goes over TLS or, on a loopback host, answers a
nonce. What a session's safety rests on is set by statements of ours before the client's first, and again after
whatever can undo it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.engines.mysql_link import Link
from gateway.engines.outward import tls_context, unavailable
from gateway.engines.reading import Lending
from gateway.errors import GatewayError
from gateway.target_settings import MysqlTarget
from gateway.wire.mysql.answers import Answer, Part
from gateway.wire.mysql.auth import ClientAuth
from gateway.wire.mysql.base import UTF8MB4, Capability
from gateway.wire.mysql.commands import Command, encode_number, encode_text
from gateway.wire.mysql.handshake import (
    MAX_PACKET,
    OBSERVED,
    TOWARDS_TARGETS,
    Greeting,
    HandshakeResponse,
    agree,
    encode_handshake_response,
    encode_ssl_request,
    is_error,
    parse_greeting,
)
from gateway.wire.mysql.packets import LOGIN_LIMIT
from gateway.wire.mysql.results import parse_error, parse_text_row

ROW_LIMIT = 64 * 1024**2
"""The longest payload that is taken from a target (bytes)."""
WANTED = TOWARDS_TARGETS & ~(Capability.SESSION_TRACK | Capability.CONNECT_ATTRS)
"""With FOUND_ROWS: how many rows a statement changed, and not met, would tell whether a hidden value was the new
one.
"""
Rows = list[tuple[str | None, ...]]


class _Asked(NamedTuple):
    """What is asked of a target: `flags` of `most`, and of those `needed` whether EOF packets are deprecated."""

    flags: int
    most: int
    needed: int
    charset: int = UTF8MB4
    attributes: Mapping[bytes, bytes] = {}


class Backend(Link):
    """One authenticated connection to a target; `welcome` is the packet that said so."""

    __slots__ = ("capabilities", "greeting", "welcome")

    def __init__(self) -> None:
        super().__init__(LOGIN_LIMIT)
        self.capabilities = 0
        self.greeting = Greeting("", 0, b"", 0, "")
        self.welcome = b""

    async def run(self, text: str) -> Rows:
        """Run one statement of the gateway's own; its rows, as text. Raises `GatewayError("target-unavailable")`."""
        self.command(encode_text(Command.QUERY, text.encode()))
        answer = Answer(Command.QUERY, self.capabilities)
        rows: Rows = []
        while not answer.over:
            payload = await self.heard()
            part = answer.take(payload)
            if part == Part.ERROR:
                error = parse_error(payload)
                raise unavailable("the target refused the session's settings", f"{error.errno}: {error.message}")
            if part == Part.ROW:
                cells = parse_text_row(payload, len(answer.columns))
                rows.append(tuple(None if one is None else one.decode("utf-8", "replace") for one in cells))
        return rows

    async def heard(self) -> bytes:
        """The next payload. Raises `GatewayError("target-unavailable")` when the target is gone."""
        try:
            return await self.packet()
        except OSError as lost:
            raise unavailable("the target closed the connection", str(lost)) from lost

    async def heard_again(self, packets: bytes, after: int) -> bool:
        """See `repeated`. Raises `GatewayError("target-unavailable")` when the target is gone."""
        try:
            return await self.repeated(packets, after)
        except OSError as lost:
            raise unavailable("the target closed the connection", str(lost)) from lost

    def goodbye(self) -> None:
        """Say goodbye and close."""
        if not self.closing:
            with contextlib.suppress(OSError):
                self.command(encode_number(Command.QUIT))
            self.close()


class TlsBackend(Lending, Backend):
    """A connection that is encrypted, or will be."""

    __slots__ = ()


class MysqlUpstream:
    """One target: opens connections, passes on KILL."""

    def __init__(self, name: str, target: MysqlTarget) -> None:
        self.name = name
        self._target = target
        self._tls = tls_context(target)
        self._password = target.password.read()
        self.version = ""
        self._kills: set[asyncio.Task[None]] = set()

    @property
    def database(self) -> str:
        """The one database that the gateway opens there."""
        return self._target.database

    async def open(self, statements: Sequence[str] = (), wanted: int = WANTED) -> Backend:
        """A new connection on which `statements` were run. Raises `GatewayError("target-unavailable")`."""
        flags = (wanted | Capability.CONNECT_WITH_DB) & WANTED
        return await self._open(_Asked(flags, TOWARDS_TARGETS, wanted), statements)

    async def open_as(self, client: HandshakeResponse) -> Backend:
        """A new connection as that client asked for it, and nothing pinned: for observed targets."""
        flags = client.capabilities | Capability.CONNECT_WITH_DB
        return await self._open(_Asked(flags, OBSERVED, flags, client.charset, client.attributes), ())

    async def _open(self, asked: _Asked, statements: Sequence[str]) -> Backend:
        target = self._target
        try:
            async with asyncio.timeout(target.connect_timeout):
                backend = Backend() if self._tls is None else TlsBackend()
                await asyncio.get_running_loop().create_connection(lambda: backend, target.host, target.port)
                try:
                    await self._log_in(backend, asked)
                    for statement in statements:
                        await backend.run(statement)
                except BaseException:
                    backend.abort()
                    raise
        except (OSError, TimeoutError) as error:
            raise unavailable("the target cannot be reached", str(error)) from error
        return backend

    async def _log_in(self, backend: Backend, asked: _Asked) -> None:
        target = self._target
        first = await backend.heard()
        if is_error(first):
            raise unavailable("the target refused the gateway's connection", parse_error(first).message)
        greeting = parse_greeting(first)
        flags = agree(greeting, asked.flags, tls=self._tls is not None, most=asked.most)
        if (flags ^ asked.needed) & Capability.DEPRECATE_EOF:
            raise unavailable("the target is older than MySQL 5.7 and MariaDB 10.2", greeting.version)
        if self._tls is not None:
            backend.send(encode_ssl_request(flags, asked.charset))
            if backend.pending:
                # FAIL CLOSED: what came in clear must not count as part of what is protected
                raise unavailable("the target sent data ahead of TLS")
            await backend.encrypt(self._tls, target.host)
        auth = ClientAuth(self._password, secure=self._tls is not None)
        plugin, answer = auth.start(greeting.plugin, greeting.nonce)
        backend.send(
            encode_handshake_response(
                HandshakeResponse(
                    flags,
                    MAX_PACKET,
                    asked.charset,
                    target.user.encode(),
                    answer,
                    target.database.encode(),
                    plugin,
                    asked.attributes,
                )
            )
        )
        while True:
            payload = await backend.heard()
            if is_error(payload):
                error = parse_error(payload)
                raise unavailable("the target refused the gateway's connection", f"{error.errno}: {error.message}")
            if auth.accepts(payload):
                backend.welcome = payload
                break
            reply = auth.respond(payload)
            if reply is not None:
                backend.send(reply)
        backend.capabilities, backend.greeting = flags, greeting
        backend.limit = ROW_LIMIT
        self.version = greeting.version

    def tie(self, backend: Backend) -> dict[str, int | str]:
        """What the target's own log says of that connection in each of its lines, and no client can choose."""
        name = backend.name("sockname")
        address = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""
        whose = {"backend_role": self._target.user, "backend_database": self._target.database}
        return {"backend": backend.greeting.connection_id, "backend_address": address, **whose}

    def kill_soon(self, backend: Backend) -> None:
        """Have the target stop what that connection runs, without waiting; its errors are the target's business."""
        task = asyncio.get_running_loop().create_task(self._kill(backend.greeting.connection_id))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _kill(self, connection: int) -> None:
        with contextlib.suppress(GatewayError, OSError):
            other = await self.open()
            try:
                await other.run(f"KILL QUERY {connection:d}")
            finally:
                other.goodbye()
