"""The opening handshake of a WebSocket (RFC 6455, 4), as an API answers it.

INVARIANT: a connection becomes a WebSocket when the answer says what RFC 6455 asks of it, and nothing else: no
extension, which would encode what is counted, and no subprotocol, which nobody asked for.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

from gateway.http.headers import Headers, values
from gateway.http.withheld import Withheld

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> str:
    """What `Sec-WebSocket-Accept` says for that `Sec-WebSocket-Key`."""
    return b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def switched(headers: Headers, key: str) -> tuple[tuple[bytes, bytes], ...]:
    """What the client is told when a 101 is the answer to the handshake with that key. Raises: Withheld."""
    connection = {part.strip(" \t").lower() for value in values(headers, "connection") for part in value.split(",")}
    fits = (
        [value.lower() for value in values(headers, "upgrade")] == ["websocket"]
        and "upgrade" in connection
        and values(headers, "sec-websocket-accept") == [accept(key)]
    )
    if not fits or values(headers, "sec-websocket-extensions") or values(headers, "sec-websocket-protocol"):
        raise Withheld.not_allowed("is not that to the WebSocket's handshake")
    told = (("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept(key)))
    return tuple((name.encode(), value.encode()) for name, value in told)
