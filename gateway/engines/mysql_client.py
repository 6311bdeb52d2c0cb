"""A client of MySQL's protocol until it is somebody: greeted in clear, encrypted at once, asked for its secret there.

Which target is meant it says later, so it is offered what an observed one takes; a protected one is never asked for it.

The bytes before TLS are read from the bare socket, exactly as many as the request for TLS has. The secret (a pass, or
the password with a code behind it) is asked for by `caching_sha2_password` in its full form, which every driver since
MySQL 8 sends over TLS as it is, or by `mysql_clear_password` where a client is set to that. So what is kept of a pass
serves this protocol as well: nothing further is stored for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from gateway.engines.mysql_link import Link, TlsLink
from gateway.engines.mysql_words import refusal_packet
from gateway.engines.postgres_client import exactly, last_words
from gateway.errors import GatewayError, Refusal
from gateway.wire.mysql.auth import CACHING_SHA2, CLEAR, ServerAuth
from gateway.wire.mysql.handshake import (
    OBSERVED,
    Greeting,
    HandshakeResponse,
    SSLRequest,
    decode_login,
    encode_greeting,
    first_packet_length,
    make_nonce,
)
from gateway.wire.mysql.packets import LOGIN_LIMIT, frame


class Client:
    """One client's connection. `link` is there once it is encrypted; `lost` is called when it is gone."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self._sock = sock
        self.number = number
        self.link: Link | None = None
        self.encrypting = False
        self.lost: Callable[[], None] = lambda: None
        self._nonce = make_nonce()

    async def greet(self, version: str, tls: ssl.SSLContext, timeout_s: float) -> HandshakeResponse:
        """Greet, encrypt, and hear who it is. Raises `GatewayError`, `OSError`."""
        loop = asyncio.get_running_loop()
        greeting = Greeting(version, self.number, self._nonce, OBSERVED, CACHING_SHA2)
        await loop.sock_sendall(self._sock, frame(encode_greeting(greeting, OBSERVED), 0))
        head = await exactly(loop, self._sock, 4)
        body = await exactly(loop, self._sock, first_packet_length(head) - 4)
        asked = decode_login(body, OBSERVED)
        if not isinstance(asked, SSLRequest):
            hint = "connect with --ssl-mode=REQUIRED or --ssl"
            raise GatewayError("tls-required", "the connection must use TLS", hint=hint, fatal=True)
        if not _begins_tls(self._sock):
            raise GatewayError("protocol-violation", "data was sent ahead of the TLS handshake", fatal=True)
        self.encrypting = True
        link = TlsLink(LOGIN_LIMIT)
        await loop.connect_accepted_socket(lambda: link, self._sock, ssl=tls, ssl_handshake_timeout=timeout_s)
        link.lost = self._gone
        link.sequence = 2
        self.link = link
        response = decode_login(await self.link.packet(), OBSERVED)
        if not isinstance(response, HandshakeResponse):
            raise GatewayError("protocol-violation", "the client asks for TLS twice", fatal=True)
        return response

    async def secret(self, response: HandshakeResponse) -> str:
        """The secret that the client shows, asked for over TLS."""
        assert self.link is not None
        plugin = CLEAR if response.plugin == CLEAR else CACHING_SHA2
        auth = ServerAuth(plugin, self._nonce, (), secure=True, ask_password=True)
        judged = auth.start(response.plugin, response.auth)
        while True:
            if judged.send:
                self.link.send(judged.send)
            if not judged.more:
                return (judged.password or b"").decode("utf-8", "replace")
            judged = auth.go_on(await self.link.packet())

    def _gone(self) -> None:
        self.lost()

    def say(self, refusal: Refusal) -> None:
        """Tell why it is not let in, where it can be told."""
        if self.link is not None:
            if not self.link.closing:
                self.link.send(refusal_packet(refusal))
        elif not self.encrypting:
            last_words(self._sock, frame(refusal_packet(refusal), 2))

    def close(self) -> None:
        """Close, once what was said is sent."""
        if self.link is not None:
            self.link.close()
            asyncio.get_running_loop().call_later(5.0, self.link.abort)
        elif not self.encrypting:
            self._sock.close()


def _begins_tls(sock: socket.socket) -> bool:
    """Whether what came, if something did, begins a TLS handshake, with which a client need not wait."""
    with contextlib.suppress(BlockingIOError):
        return sock.recv(1, socket.MSG_PEEK) == b"\x16"
    return True
