"""What both roles of the MySQL protocol share: integers, strings, flags, column types.

Names are the protocol's own (MySQL Source Code Documentation, "Client/Server Protocol", "Basic Types", "Capability
Flags", `SERVER_STATUS_flags_enum`, `enum_field_types`; MariaDB documentation, "Client/Server Protocol"). Numbers are
little-endian. A length-encoded integer may be longer than it need be: nothing here compares messages by their bytes.

INVARIANT: every reader of this package either returns what it read or raises `GatewayError` with
`protocol-violation`, `message-too-large`, `feature-not-supported` or `tls-required`; an index or a decoding error
never escapes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gateway.errors import GatewayError

OK: Final = 0x00
MORE_DATA: Final = 0x01
NEXT_FACTOR: Final = 0x02
LOCAL_INFILE: Final = 0xFB
NULL: Final = 0xFB
EOF: Final = 0xFE
AUTH_SWITCH: Final = 0xFE
ERR: Final = 0xFF

UTF8MB4: Final = 45
"""The collation `utf8mb4_general_ci`, which every server since 5.5 has."""
BINARY: Final = 63


class Capability:
    """The flags that both sides announce; a session has those that both set.

    Plain numbers, as those of `Status`: an `IntFlag` keeps every combination that it ever saw, and combinations come
    from whoever connects.
    """

    LONG_PASSWORD = 1
    """MariaDB calls it CLIENT_MYSQL: who sets it has none of MariaDB's extended flags."""
    FOUND_ROWS = 1 << 1
    LONG_FLAG = 1 << 2
    CONNECT_WITH_DB = 1 << 3
    NO_SCHEMA = 1 << 4
    COMPRESS = 1 << 5
    ODBC = 1 << 6
    LOCAL_FILES = 1 << 7
    IGNORE_SPACE = 1 << 8
    PROTOCOL_41 = 1 << 9
    INTERACTIVE = 1 << 10
    SSL = 1 << 11
    IGNORE_SIGPIPE = 1 << 12
    TRANSACTIONS = 1 << 13
    RESERVED = 1 << 14
    SECURE_CONNECTION = 1 << 15
    MULTI_STATEMENTS = 1 << 16
    MULTI_RESULTS = 1 << 17
    PS_MULTI_RESULTS = 1 << 18
    PLUGIN_AUTH = 1 << 19
    CONNECT_ATTRS = 1 << 20
    PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21
    CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22
    SESSION_TRACK = 1 << 23
    DEPRECATE_EOF = 1 << 24
    OPTIONAL_RESULTSET_METADATA = 1 << 25
    ZSTD_COMPRESSION_ALGORITHM = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27
    MULTI_FACTOR_AUTHENTICATION = 1 << 28
    CAPABILITY_EXTENSION = 1 << 29
    SSL_VERIFY_SERVER_CERT = 1 << 30
    REMEMBER_OPTIONS = 1 << 31


class Status:
    """The server's status flags, in OK and EOF packets."""

    IN_TRANS = 1
    AUTOCOMMIT = 1 << 1
    MORE_RESULTS_EXISTS = 1 << 3
    NO_GOOD_INDEX_USED = 1 << 4
    NO_INDEX_USED = 1 << 5
    CURSOR_EXISTS = 1 << 6
    LAST_ROW_SENT = 1 << 7
    DB_DROPPED = 1 << 8
    NO_BACKSLASH_ESCAPES = 1 << 9
    METADATA_CHANGED = 1 << 10
    QUERY_WAS_SLOW = 1 << 11
    PS_OUT_PARAMS = 1 << 12
    IN_TRANS_READONLY = 1 << 13
    SESSION_STATE_CHANGED = 1 << 14


CLIENT_STATUS: Final = (
    Status.IN_TRANS
    | Status.AUTOCOMMIT
    | Status.MORE_RESULTS_EXISTS
    | Status.CURSOR_EXISTS
    | Status.LAST_ROW_SENT
    | Status.DB_DROPPED
    | Status.NO_BACKSLASH_ESCAPES
    | Status.METADATA_CHANGED
    | Status.PS_OUT_PARAMS
    | Status.IN_TRANS_READONLY
    | Status.SESSION_STATE_CHANGED
)
"""What a client may be told. The others tell of plans and of how long rows took that it may not see."""


class Type(IntEnum):
    """Types of columns and parameters that go over the wire. The server's internal ones (14, 17 to 19) do not."""

    DECIMAL = 0
    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    NULL = 6
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    VARCHAR = 15
    BIT = 16
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    TINY_BLOB = 249
    MEDIUM_BLOB = 250
    LONG_BLOB = 251
    BLOB = 252
    VAR_STRING = 253
    STRING = 254
    GEOMETRY = 255


def violation(message: str) -> GatewayError:
    """The error for bytes that the protocol does not allow; it ends the session."""
    return GatewayError("protocol-violation", message, fatal=True)


def unsupported(message: str, hint: str = "") -> GatewayError:
    """The error for what the protocol has and the gateway does not; it ends the session."""
    return GatewayError("feature-not-supported", message, hint, fatal=True)


def tls_required(message: str) -> GatewayError:
    """The error where a secret would go over a line that is not encrypted; it ends the session."""
    return GatewayError("tls-required", message, fatal=True)


def lenenc(number: int) -> bytes:
    """A length-encoded integer, in its shortest form."""
    if number < 0xFB:
        return number.to_bytes(1, "little")
    if number < 1 << 16:
        return b"\xfc" + number.to_bytes(2, "little")
    if number < 1 << 24:
        return b"\xfd" + number.to_bytes(3, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    """A length-encoded string."""
    return lenenc(len(value)) + value


def nul(value: bytes, what: str) -> bytes:
    """The value with its terminating NUL. Raises `protocol-violation` when it has one inside.

    FAIL CLOSED: a NUL inside would let the rest be read as the next field.
    """
    if b"\0" in value:
        raise violation(f"the {what} contains a NUL byte")
    return value + b"\0"


class Reader:
    """Reads the fields of one message in order; `what` names the message in the errors.

    INVARIANT: nothing is read behind the message's end.
    """

    __slots__ = ("_body", "_what", "at")

    def __init__(self, body: bytes, what: str, at: int = 0) -> None:
        self._body = body
        self._what = what
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes are not read."""
        return len(self._body) - self.at

    def take(self, count: int) -> bytes:
        """That many bytes."""
        end = self.at + count
        if end > len(self._body):
            raise violation(f"the {self._what} is cut short")
        taken, self.at = self._body[self.at : end], end
        return taken

    def number(self, size: int) -> int:
        """An integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def lenenc(self) -> int:
        """A length-encoded integer."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first == 0xFC:
            return self.number(2)
        if first == 0xFD:
            return self.number(3)
        if first == 0xFE:
            return self.number(8)
        raise violation(f"the {self._what} has a length of an unknown form")

    def string(self) -> bytes:
        """A length-encoded string."""
        return self.take(self.lenenc())

    def nul(self) -> bytes:
        """A string up to its NUL, without it."""
        end = self._body.find(b"\0", self.at)
        if end < 0:
            raise violation(f"a string of the {self._what} is not terminated")
        taken, self.at = self._body[self.at : end], end + 1
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise violation(f"the {self._what} goes on behind its end")
