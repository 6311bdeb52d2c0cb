"""A PostgreSQL client that can do everything wrong: bytes on a socket, and what comes back."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import Any, Self

from gateway_fixture import House

from gateway.wire import auth, postgres

PATIENCE_S = 15.0


class Raw:
    """One connection. `kind, body` pairs are whole messages; a connection that the gateway closed reads as None."""

    def __init__(self, house: House, *, source: str = "127.0.0.1") -> None:
        self.house = house
        self.socket: Any = socket.create_connection(
            ("127.0.0.1", house.company.ports["postgres"]), PATIENCE_S, source_address=(source, 0)
        )
        self.buffer = b""
        self.key = (0, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close, with a FIN where nothing is unread."""
        self.socket.close()

    def reset(self) -> None:
        """Close with a RST."""
        plain = self.socket
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plain.close()

    def send(self, data: bytes) -> None:
        """Send, whether or not the gateway is still there."""
        # what it said before it closed is still to be read
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def request_tls(self) -> bytes:
        """The answer to an SSLRequest."""
        self.send(postgres.encode_ssl_request())
        return bytes(self.socket.recv(1))

    def wrap(self, alpn: list[str] | None = None) -> Self:
        """Speak TLS from here on."""
        context = ssl.create_default_context(cafile=str(self.house.company.tls.ca))
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return self

    def tls(self) -> Self:
        """SSLRequest and the handshake."""
        assert self.request_tls() == b"S"
        return self.wrap()

    def start(self, **parameters: str) -> Self:
        """TLS and a start-up packet with these parameters."""
        self.tls().send(postgres.encode_startup(parameters))
        return self

    def log_in(self, user: str = "", password: str = "", database: str = "payroll", **more: str) -> Self:
        """All of the log-in with a pass, alice's unless it is given, up to the first ReadyForQuery."""
        given = {"user": user, "password": password} if user else self.house.parameters()
        self.start(user=given["user"], database=database, **more)
        kind, body = self.needed()
        client = auth.ScramClient(given["password"], auth.make_nonce(), None, [auth.SCRAM_SHA_256])
        # a client without channel binding says so with `n`
        assert (kind, postgres.parse_authentication(body).kind) == (postgres.AUTHENTICATION, postgres.AUTH_SASL)
        self.send(postgres.encode_sasl_initial_response(client.mechanism, client.first()))
        _, body = self.needed()
        self.send(postgres.encode_sasl_response(client.respond(postgres.parse_authentication(body).data)))
        while True:
            kind, body = self.needed()
            if kind == postgres.ERROR_RESPONSE:
                raise AssertionError(postgres.parse_error_fields(body))
            if kind == postgres.BACKEND_KEY_DATA:
                self.key = postgres.parse_backend_key(body)
            if kind == postgres.READY_FOR_QUERY:
                return self

    def message(self) -> tuple[int, bytes] | None:
        """The next message; None when the connection is closed. Raises `TimeoutError`."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + int.from_bytes(self.buffer[1:5], "big"):
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                assert not self.buffer, f"the gateway stopped inside a message: {self.buffer[:40]!r}"
                return None
            self.buffer += more
        length = 1 + int.from_bytes(self.buffer[1:5], "big")
        message, self.buffer = self.buffer[:length], self.buffer[length:]
        return message[0], message[5:]

    def message_or_fragment(self) -> int | None:
        """The type of the next whole message; None at the end, also inside a message."""
        try:
            message = self.message()
        except AssertionError:
            return None
        return message[0] if message is not None else None

    def needed(self) -> tuple[int, bytes]:
        """The next message, which must come."""
        message = self.message()
        assert message is not None, "the gateway closed the connection without a word"
        return message

    def until_ready(self) -> list[tuple[int, bytes]]:
        """Messages up to a ReadyForQuery, that one included."""
        found = [self.needed()]
        while found[-1][0] != postgres.READY_FOR_QUERY:
            found.append(self.needed())
        return found

    def query(self, text: str | bytes) -> list[tuple[int, bytes]]:
        """The answer to a simple query."""
        self.send(query(text))
        return self.until_ready()

    def last_words(self) -> dict[str, str]:
        """The error that came before the connection was closed; empty when it was closed without one."""
        said: dict[str, str] = {}
        while (message := self.message()) is not None:
            if message[0] == postgres.ERROR_RESPONSE:
                assert not said, "more than one error before the end"
                said = postgres.parse_error_fields(message[1])
        return said


def query(text: str | bytes) -> bytes:
    """A Query message of any bytes."""
    return postgres.frame(postgres.QUERY, (text.encode() if isinstance(text, str) else text) + b"\0")


def error_in(messages: list[tuple[int, bytes]]) -> dict[str, str]:
    """The one error among messages."""
    errors = [postgres.parse_error_fields(body) for kind, body in messages if kind == postgres.ERROR_RESPONSE]
    assert len(errors) == 1, errors
    return errors[0]


def code_of(error: dict[str, str]) -> str:
    """The stable code in an error's DETAIL; empty without one."""
    return error.get("D", "").removeprefix("code: ")


def trickle(raw: Raw, data: bytes, pause_s: float) -> None:
    """Send byte by byte until all is sent or the gateway has had enough."""
    for byte in data:
        try:
            raw.socket.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(pause_s)
