"""Running the API's applications on sockets that the server opened, inside the server's own event loop.

INVARIANT: no byte of an answer leaves without the headers below; no request is read beyond the limits below; the
API is never spoken in plain text on a network. TLS follows RFC 9325: 1.2 at least, forward secrecy and AEAD only.

uvicorn bounds keep-alive but neither a slow request head nor a slow body: `_Impatient` and `Guard` do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.config import Config, Tls
from gateway.console.problems import fault, problem
from gateway.errors import GatewayError, Refusal

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK:!SRP"

MAX_BODY = 64 * 1024
HOOKS, MAX_HOOK = "/v1/hooks/", 256 * 1024
"""Webhooks carry whole tickets."""
MAX_HEAD = 16 * 1024
MAX_CONNECTIONS = 512
HEAD_SECONDS = 10.0
BODY_SECONDS = 15.0
SEND_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 15
DRAIN_SECONDS = 5

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def server_context(tls: Tls) -> ssl.SSLContext:
    """The TLS settings of the API, with that certificate. Raises `GatewayError("configuration-invalid")`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(
            "configuration-invalid",
            f"the certificate `{tls.certificate}` and its key cannot be used",
            hint="`gateway doctor` says more",
            detail=str(error),
        ) from error
    return context


def local_socket(config: Config) -> socket.socket:
    """The socket of `app.create_local_app`: `admin.sock` in the state directory, for the gateway's own user only."""
    path = local_path(config)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def local_path(config: Config) -> Path:
    """Where `local_socket` listens."""
    return config.state / "admin.sock"


async def serve_app(
    app: ASGIApp, config: Config, sock: socket.socket, *, secure: bool = True, stop: asyncio.Event | None = None
) -> None:
    """Answer on that bound socket until `stop` is set or the task is cancelled; open requests get a few seconds.

    `secure=False` is for the operations port and the local socket. Raises `GatewayError("configuration-invalid")`
    for a certificate that cannot be used, and for a plain socket that a network can reach.
    """
    if not secure and not _stays_here(sock):
        raise GatewayError("configuration-invalid", "a socket without TLS must be on loopback or local")
    context = server_context(config.tls) if secure else None
    settings = uvicorn.Config(
        app,
        http=_Impatient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    server = _Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    stopping = asyncio.create_task(stop.wait()) if stop is not None else None
    try:
        if stopping is None:
            await asyncio.shield(serving)
        else:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if stopping is not None:
            stopping.cancel()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals belong to `server.py`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Impatient(H11Protocol):
    """Closes a connection whose request head does not arrive in time; the clock starts anew for each request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Guard:
    """Around an application: the headers on every answer, and bounds on the size and the time of a request."""

    def __init__(self, app: ASGIApp, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        started = complete = False
        max_body = max(self._max_body, MAX_HOOK) if scope["path"].startswith(HOOKS) else self._max_body
        seen = 0
        crossed: _Bound | None = None

        async def bounded_receive() -> Message:
            nonlocal seen, complete, crossed
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    message = await receive()
            except TimeoutError:
                crossed = _Bound(_TOO_SLOW)
                raise crossed from None
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > max_body:
                crossed = _Bound(_TOO_LARGE)
                raise crossed
            return message

        async def bounded_send(message: Message) -> None:
            nonlocal started
            if crossed is not None and not started:
                # the framework took the bound for an unreadable body and has an answer of its own
                raise crossed
            if message["type"] == "http.response.start":
                started = True
                given = {name.lower() for name, _ in message.get("headers", ())}
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), *(pair for pair in HEADERS if pair[0] not in given)],
                }
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except TimeoutError:
                raise _Bound(_TOO_SLOW) from None

        try:
            if _declared(scope) > max_body:
                raise _Bound(_TOO_LARGE)
            if _ambiguous(scope):
                raise _Bound(_AMBIGUOUS)
            await self._app(scope, bounded_receive, bounded_send)
        except Exception as error:
            answer = problem(error.refusal) if isinstance(error, _Bound) else fault(error, scope["path"])
            if not started:
                crossed = None
                # what was not read of the request must not be taken for the next one
                answer.headers["connection"] = "close"
                await answer(scope, receive, bounded_send)
            # an answer that has begun cannot be taken back: returning unfinished makes uvicorn drop the connection


class _Bound(Exception):
    """A request went past one of the bounds."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


_TOO_LARGE = Refusal("message-too-large", "the request is larger than the limit")
_AMBIGUOUS = Refusal("request-invalid", "the request states its length in two ways")
_TOO_SLOW = Refusal("handshake-timeout", "the request did not arrive in time")


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # h11 has refused anything but digits
            return int(value)
    return 0


def _ambiguous(scope: Scope) -> bool:
    """Whether the request has both framings (RFC 9112 section 6.1: a smuggling attempt, or a broken client)."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}


def _stays_here(sock: socket.socket) -> bool:
    if sock.family == socket.AF_UNIX:
        return True
    host = sock.getsockname()[0]
    return bool(host == "::1" or host.startswith("127."))
