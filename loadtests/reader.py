"""A PostgreSQL client that reads a result as fast as bytes arrive and looks at none of them but the last.

libpq and its friends take more time to hold a million rows than any server or proxy takes to send them; a comparison
made with them would be one of clients. This one logs in (SCRAM-SHA-256), sends one query, and receives into one
buffer until the end, where the number of rows that the server says it sent is checked.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.wire import auth
from gateway.wire import postgres as wire

_BUFFER = 256 * 1024
_TAIL = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """One result: seconds from the query to its end, seconds to its first byte, and how many bytes."""

    seconds: float
    first_s: float
    size: int


class RawReader:
    """One session. Raises `ConnectionError` for whatever the server does beyond what is expected of it."""

    def __init__(
        self, host: str, port: int, database: str, user: str, password: str, *, ca: Path | None, timeout_s: float = 120
    ) -> None:
        self._sock = socket.create_connection((host, port), timeout=timeout_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca is not None:
            self._sock.sendall(wire.encode_ssl_request())
            if self._sock.recv(1) != b"S":
                raise ConnectionError("the server offers no TLS")
            self._sock = ssl.create_default_context(cafile=str(ca)).wrap_socket(self._sock, server_hostname=host)
        self._buffer = bytearray(_BUFFER)
        self._log_in(database, user, password)

    def read(self, query: str, tag: str) -> Reading:
        """Run `query` to its end, which must be the CommandComplete `tag`."""
        view, receive = memoryview(self._buffer), self._sock.recv_into
        wanted = wire.frame(wire.COMMAND_COMPLETE, tag.encode() + b"\0") + wire.encode_ready(b"I")
        size, tail = 0, b""
        start = time.perf_counter()
        self._sock.sendall(wire.encode_query(query))
        first = 0.0
        while tail[-6:] != wanted[-6:]:
            got = receive(view)
            if got == 0:
                raise ConnectionError("the server closed the connection in the middle of a result")
            if not size:
                first = time.perf_counter() - start
            size += got
            tail = (tail + bytes(view[max(0, got - _TAIL) : got]))[-_TAIL:]
            if size < _BUFFER and view[0] == wire.ERROR_RESPONSE:
                raise ConnectionError(f"`{query}` failed: {bytes(view[:got])!r}")
        took = time.perf_counter() - start
        if not tail.endswith(wanted):
            raise ConnectionError(f"the result of `{query}` does not end with {tag}: {tail!r}")
        return Reading(took, first, size)

    def close(self) -> None:
        """Say goodbye."""
        try:
            self._sock.sendall(wire.encode_terminate())
        finally:
            self._sock.close()

    def _log_in(self, database: str, user: str, password: str) -> None:
        self._sock.sendall(wire.encode_startup({"user": user, "database": database, "application_name": "reader"}))
        client: auth.ScramClient | None = None
        while True:
            kind, body = self._message()
            if kind == wire.ERROR_RESPONSE:
                raise ConnectionError(wire.parse_error_fields(body).get("M", "refused"))
            if kind == wire.READY_FOR_QUERY:
                return
            if kind != wire.AUTHENTICATION:
                continue
            asked = wire.parse_authentication(body)
            if asked.kind == wire.AUTH_SASL:
                client = auth.ScramClient(password, auth.make_nonce(), None, (auth.SCRAM_SHA_256,))
                self._sock.sendall(wire.encode_sasl_initial_response(client.mechanism, client.first()))
            elif asked.kind == wire.AUTH_SASL_CONTINUE and client is not None:
                self._sock.sendall(wire.encode_sasl_response(client.respond(asked.data)))
            elif asked.kind == wire.AUTH_SASL_FINAL and (client is None or not client.verify(asked.data)):
                raise ConnectionError("the server does not know the password")

    def _message(self) -> tuple[int, bytes]:
        kind, length = struct.unpack("!BI", self._exactly(5))
        return kind, self._exactly(length - 4)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._sock.recv(size - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data
