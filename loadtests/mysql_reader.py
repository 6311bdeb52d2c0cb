"""A MySQL client that reads a result as fast as bytes arrive and looks at none of them but the last.

MariaDB's own client takes more time to print a million rows than any server or proxy takes to send them; a comparison
made with it alone would be one of that client. This one logs in over TLS, sends one query, and receives into one buffer
until the packet that ends the rows.
"""

from __future__ import annotations

import socket
import ssl
import time

from gateway.demo.ports import HOST
from gateway.wire.mysql.auth import ClientAuth
from gateway.wire.mysql.base import ERR, UTF8MB4
from gateway.wire.mysql.commands import Command, encode_text
from gateway.wire.mysql.handshake import (
    MAX_PACKET,
    TOWARDS_TARGETS,
    HandshakeResponse,
    agree,
    encode_handshake_response,
    encode_ssl_request,
    parse_greeting,
)
from gateway.wire.mysql.packets import frame
from gateway.wire.mysql.results import parse_error
from loadtests.mysql_ground import Road

_BUFFER = 256 * 1024
_TIMEOUT_S = 120
_END = 11
"""The length of the OK packet that ends rows, when it tells of nothing."""


def read_all(road: Road, query: str, database: str) -> tuple[float, int]:
    """Seconds from the query to the end of its rows, and how many bytes came.

    Raises `ConnectionError` for whatever the server does beyond what is expected of it.
    """
    with socket.create_connection((HOST, road.port), timeout=_TIMEOUT_S) as clear:
        clear.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with _logged_in(clear, road, database) as sock:
            view = memoryview(bytearray(_BUFFER))
            began = time.perf_counter()
            sock.sendall(frame(encode_text(Command.QUERY, query.encode())))
            size, tail = 0, b""
            while not (tail[:3] == b"\x07\0\0" and tail[4:7] == b"\xfe\0\0"):
                got = sock.recv_into(view)
                if not got or (not size and view[4] == ERR):
                    raise ConnectionError(f"`{query}` failed: {bytes(view[:got])!r}")
                size += got
                tail = (tail + bytes(view[max(0, got - _END) : got]))[-_END:]
            return time.perf_counter() - began, size


def _logged_in(clear: socket.socket, road: Road, database: str) -> ssl.SSLSocket:
    greeting = parse_greeting(_packet(clear)[1])
    flags = agree(greeting, TOWARDS_TARGETS, tls=True)
    clear.sendall(frame(encode_ssl_request(flags), 1))
    context = ssl.create_default_context(cafile=str(road.ca))
    sock = context.wrap_socket(clear, server_hostname="localhost")
    auth = ClientAuth(road.password.encode(), secure=True)
    plugin, answer = auth.start(greeting.plugin, greeting.nonce)
    asked = HandshakeResponse(
        flags, MAX_PACKET, UTF8MB4, road.user.encode(), answer, database.encode(), plugin, {b"program_name": b"reader"}
    )
    sock.sendall(frame(encode_handshake_response(asked), 2))
    while True:
        sequence, payload = _packet(sock)
        if payload[0] == ERR:
            raise ConnectionError(parse_error(payload).message)
        if auth.accepts(payload):
            return sock
        reply = auth.respond(payload)
        if reply is not None:
            sock.sendall(frame(reply, sequence + 1))


def _packet(sock: socket.socket) -> tuple[int, bytes]:
    head = _exactly(sock, 4)
    return head[3], _exactly(sock, int.from_bytes(head[:3], "little"))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionError("the server closed the connection")
        data += more
    return data
