"""What both roles of the PostgreSQL v3 protocol share: message types, framing, strings.

Names are PostgreSQL's own (documentation, "Frontend/Backend Protocol", message formats; `protocol.h`).
The same byte may mean one thing from a frontend and another from a backend.

INVARIANT: every reader here either returns what it read or raises `GatewayError` with `protocol-violation`,
`message-too-large` or `feature-not-supported`; an index or a decoding error never escapes.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from gateway.errors import GatewayError

# from a frontend
BIND: Final = ord("B")
CLOSE: Final = ord("C")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
FUNCTION_CALL: Final = ord("F")
FLUSH: Final = ord("H")
PARSE: Final = ord("P")
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")
COPY_FAIL: Final = ord("f")
PASSWORD_MESSAGE: Final = ord("p")
SASL_INITIAL_RESPONSE: Final = ord("p")
SASL_RESPONSE: Final = ord("p")

# from a backend
PARSE_COMPLETE: Final = ord("1")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
NOTIFICATION_RESPONSE: Final = ord("A")
COMMAND_COMPLETE: Final = ord("C")
DATA_ROW: Final = ord("D")
ERROR_RESPONSE: Final = ord("E")
COPY_IN_RESPONSE: Final = ord("G")
COPY_OUT_RESPONSE: Final = ord("H")
EMPTY_QUERY_RESPONSE: Final = ord("I")
BACKEND_KEY_DATA: Final = ord("K")
NOTICE_RESPONSE: Final = ord("N")
AUTHENTICATION: Final = ord("R")
PARAMETER_STATUS: Final = ord("S")
ROW_DESCRIPTION: Final = ord("T")
FUNCTION_CALL_RESPONSE: Final = ord("V")
COPY_BOTH_RESPONSE: Final = ord("W")
READY_FOR_QUERY: Final = ord("Z")
NO_DATA: Final = ord("n")
PORTAL_SUSPENDED: Final = ord("s")
PARAMETER_DESCRIPTION: Final = ord("t")
NEGOTIATE_PROTOCOL_VERSION: Final = ord("v")

# from either
COPY_DONE: Final = ord("c")
COPY_DATA: Final = ord("d")

HEADER: Final = Struct(">BI")
INT16: Final = Struct(">H")
INT32: Final = Struct(">I")

_pack_header = HEADER.pack
_unpack_header = HEADER.unpack_from


def violation(message: str) -> GatewayError:
    """The error for bytes that the protocol does not allow; it ends the session."""
    return GatewayError("protocol-violation", message, fatal=True)


def frame(kind: int, body: bytes = b"") -> bytes:
    """A typed message: type byte, length word that counts itself, body."""
    return _pack_header(kind, len(body) + 4) + body


def c_string(value: str | bytes, what: str) -> bytes:
    """The value in UTF-8 with its terminating NUL. Raises `protocol-violation` when it cannot be one string.

    FAIL CLOSED: a NUL inside would let the rest be read as the next field.
    """
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError:
            raise violation(f"the {what} is not valid Unicode text") from None
    if b"\0" in value:
        raise violation(f"the {what} contains a NUL byte")
    return value + b"\0"


def split_c_string(body: bytes, start: int, what: str) -> tuple[bytes, int]:
    """The NUL-terminated bytes at `start`, without the NUL, and the offset behind it."""
    end = body.find(b"\0", start)
    if end < 0:
        raise violation(f"the {what} is not terminated")
    return body[start:end], end + 1


def sole_c_string(body: bytes, what: str) -> bytes:
    """The body that is one NUL-terminated string and nothing else, without the NUL."""
    end = len(body) - 1
    if body.find(b"\0") != end or end < 0:
        raise violation(f"the {what} must end with its only NUL byte")
    return body[:end]


def utf8(value: bytes, what: str) -> str:
    """The bytes as text, strictly."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise violation(f"the {what} is not valid UTF-8") from None


class Framer:
    """Cuts a stream of typed messages; bytes of an unfinished message are kept.

    `limit` bounds the length word of each message that begins from now on (bytes, the word itself counted);
    it may be changed between calls. A message over the limit is refused at its header, before it is buffered.

    INVARIANT: how the stream is cut into chunks does not change which messages come out. Once a header is
    refused, the stream stays refused; messages ahead of it in the same chunk are not handed out either.
    """

    __slots__ = ("_broken", "_need", "_rest", "limit")

    def __init__(self, limit: int = 1_048_576) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._need = 5
        self._broken: GatewayError | None = None

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished message are held."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages that `data` completes, as (type, body), in order.

        Raises: `GatewayError` `protocol-violation` for a length under 4, `message-too-large` over the limit.
        """
        if self._broken is not None:
            raise self._broken
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need:
                return []
            data = bytes(rest)
            rest.clear()
        messages: list[tuple[int, bytes]] = []
        position, end = 0, len(data)
        limit, need = self.limit, self._need
        while end - position >= 5:
            kind, length = _unpack_header(data, position)
            after = position + 1 + length
            # A header that was accepted stays accepted, whatever became of the limit since.
            if (length < 4 or length > limit) and (position or need != 1 + length):
                self._refuse(length)
            if after > end:
                self._need = 1 + length
                rest += data[position:]
                return messages
            messages.append((kind, data[position + 5 : after]))
            position = after
        self._need = 5
        if position < end:
            rest += data[position:]
        return messages

    def _refuse(self, length: int) -> None:
        self._rest.clear()
        if length < 4:
            self._broken = violation("the length of a message is less than 4")
        else:
            self._broken = GatewayError(
                "message-too-large",
                f"a message of {length} bytes is over the limit of {self.limit}",
                fatal=True,
            )
        raise self._broken
