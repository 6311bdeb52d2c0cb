"""The opening handshake of a WebSocket (RFC 6455, 4), as an API answers it.

INVARIANT: a connection becomes a WebSocket when the answer says what RFC 6455 asks of it, and nothing else: no
extension, which would encode what is counted, and no subprotocol that was not asked for.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping

from gateway.http.headers import Headers, values
from gateway.http.withheld import Withheld

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> str:
    """What `Sec-WebSocket-Accept` says for that `Sec-WebSocket-Key`."""
    return b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def switched(headers: Headers, asked: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """What the client is told when a 101 is the answer to the handshake with `asked` headers. Raises: Withheld."""
    key, offered = asked.get("sec-websocket-key", ""), asked.get("sec-websocket-protocol", "").split(", ")
    connection = {part.strip(" \t").lower() for value in values(headers, "connection") for part in value.split(",")}
    fits = (
        [value.lower() for value in values(headers, "upgrade")] == ["websocket"]
        and "upgrade" in connection
        and values(headers, "sec-websocket-accept") == [accept(key)]
    )
    chosen = values(headers, "sec-websocket-protocol")
    if (
        not fits
        or values(headers, "sec-websocket-extensions")
        or chosen not in [[], *([one] for one in offered if one)]
    ):
        raise Withheld.not_allowed("is not that to the WebSocket's handshake")
    told = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept(key))]
    told += [("sec-websocket-protocol", one) for one in chosen]
    return tuple((name.encode(), value.encode()) for name, value in told)
