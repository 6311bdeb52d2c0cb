"""Messages that a PostgreSQL backend sends: encoded towards clients, decoded from targets.

Text that the gateway itself composes is always sent: what UTF-8 or a C string cannot carry is replaced. Text
from a target is read leniently where it is only shown to operators (before the session's encoding is set, a
server writes errors in its own), strictly where it is acted upon. Formats: PostgreSQL documentation, "Message
Formats" and "Error and Notice Message Fields".
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple

from gateway.errors import GatewayError
from gateway.wire.postgres_base import (
    AUTHENTICATION,
    BACKEND_KEY_DATA,
    COMMAND_COMPLETE,
    DATA_ROW,
    ERROR_RESPONSE,
    INT16,
    INT32,
    NOTICE_RESPONSE,
    PARAMETER_STATUS,
    READY_FOR_QUERY,
    ROW_DESCRIPTION,
    c_string,
    frame,
    sole_c_string,
    split_c_string,
    utf8,
    violation,
)

AUTH_OK: Final = 0
AUTH_CLEARTEXT: Final = 3
AUTH_MD5: Final = 5
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12

TEXT_OID: Final = 25

_FIELD = Struct(">IHIhiH")
_SIZES: Final = {16: 1, 20: 8, 21: 2, 23: 4, 26: 4, 700: 4, 701: 8, 1082: 4, 1114: 8, 1184: 8}
_READY: Final = {status: frame(READY_FOR_QUERY, status) for status in (b"I", b"T", b"E")}


class Authentication(NamedTuple):
    """What the target asks of its frontend; `kind` is one of the `AUTH_…` numbers.

    `data` is the salt (MD5) or the mechanism's bytes (SASL continue, final); `mechanisms` what it offers (SASL).
    """

    kind: int
    data: bytes = b""
    mechanisms: tuple[str, ...] = ()


class Field(NamedTuple):
    """One column of a RowDescription. `table` and `column` are 0 for an expression."""

    name: str
    table: int
    column: int
    type: int
    size: int
    modifier: int
    format: int


def encode_error(
    severity: str, sqlstate: str, message: str, hint: str = "", detail: str = "", position: int = 0
) -> bytes:
    """ErrorResponse; `severity` is `ERROR`, `FATAL` or `PANIC`, `position` counts characters from 1 (0: none)."""
    return frame(ERROR_RESPONSE, _fields(severity, sqlstate, message, hint, detail, position))


def encode_notice(
    severity: str, sqlstate: str, message: str, hint: str = "", detail: str = "", position: int = 0
) -> bytes:
    """NoticeResponse; `severity` is `WARNING`, `NOTICE`, `INFO`, `LOG` or `DEBUG`."""
    return frame(NOTICE_RESPONSE, _fields(severity, sqlstate, message, hint, detail, position))


def encode_ready(status: bytes) -> bytes:
    """ReadyForQuery; `status` is `b"I"` (idle), `b"T"` (in a transaction) or `b"E"` (in a failed one)."""
    return _READY[status]


def encode_parameter_status(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return frame(PARAMETER_STATUS, c_string(name, "parameter's name") + c_string(value, "parameter"))


def encode_backend_key(pid: int, secret: bytes) -> bytes:
    """BackendKeyData; the secret has 4 bytes in protocol 3.0, up to 256 in 3.2."""
    return frame(BACKEND_KEY_DATA, INT32.pack(pid) + secret)


def encode_auth_ok() -> bytes:
    """AuthenticationOk."""
    return frame(AUTHENTICATION, INT32.pack(AUTH_OK))


def encode_auth_cleartext() -> bytes:
    """AuthenticationCleartextPassword."""
    return frame(AUTHENTICATION, INT32.pack(AUTH_CLEARTEXT))


def encode_auth_sasl(mechanisms: Sequence[str]) -> bytes:
    """AuthenticationSASL: the mechanisms in order of preference."""
    names = b"".join(c_string(name, "mechanism's name") for name in mechanisms)
    return frame(AUTHENTICATION, INT32.pack(AUTH_SASL) + names + b"\0")


def encode_auth_sasl_continue(data: bytes) -> bytes:
    """AuthenticationSASLContinue."""
    return frame(AUTHENTICATION, INT32.pack(AUTH_SASL_CONTINUE) + data)


def encode_auth_sasl_final(data: bytes) -> bytes:
    """AuthenticationSASLFinal."""
    return frame(AUTHENTICATION, INT32.pack(AUTH_SASL_FINAL) + data)


def encode_command_complete(tag: str) -> bytes:
    """CommandComplete, such as `SELECT 3`."""
    return frame(COMMAND_COMPLETE, c_string(tag, "command tag"))


def encode_row_description(names: Sequence[str], types: Sequence[int] = ()) -> bytes:
    """RowDescription of columns in text format that belong to no table; `types` are OIDs (default: text)."""
    oids = types or (TEXT_OID,) * len(names)
    fields = [
        c_string(name, "column's name") + _FIELD.pack(0, 0, oid, _SIZES.get(oid, -1), -1, 0)
        for name, oid in zip(names, oids, strict=True)
    ]
    return frame(ROW_DESCRIPTION, INT16.pack(len(fields)) + b"".join(fields))


def encode_data_row(values: Sequence[bytes | str | None]) -> bytes:
    """DataRow."""
    parts = [INT16.pack(len(values))]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            data = value.encode() if isinstance(value, str) else value
            parts.append(INT32.pack(len(data)) + data)
    return frame(DATA_ROW, b"".join(parts))


def parse_error_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their letter (`S` `V` `C` `M` `D` `H` `P` …).

    Bytes that are not UTF-8 are replaced. Raises: `GatewayError` `protocol-violation`.
    """
    fields: dict[str, str] = {}
    position = 0
    while True:
        code = body[position : position + 1]
        if not code:
            raise violation("the error fields are not terminated")
        position += 1
        if code == b"\0":
            break
        value, position = split_c_string(body, position, "error field")
        fields[code.decode("latin-1")] = value.decode("utf-8", "replace")
    if position != len(body):
        raise violation("the error fields go on behind their terminator")
    return fields


def parse_authentication(body: bytes) -> Authentication:
    """Any Authentication message.

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for Kerberos, GSSAPI, SSPI and unknown.
    """
    if len(body) < 4:
        raise violation("the Authentication message is cut short")
    kind: int = INT32.unpack_from(body)[0]
    data = body[4:]
    if kind in (AUTH_OK, AUTH_CLEARTEXT):
        if data:
            raise violation("the Authentication message has a wrong length")
        return Authentication(kind)
    if kind == AUTH_MD5:
        if len(data) != 4:
            raise violation("the Authentication message has a wrong length")
        return Authentication(kind, data)
    if kind == AUTH_SASL:
        return Authentication(kind, b"", _mechanisms(data))
    if kind in (AUTH_SASL_CONTINUE, AUTH_SASL_FINAL):
        return Authentication(kind, data)
    raise GatewayError("feature-not-supported", f"authentication method {kind} is not supported", fatal=True)


def parse_parameter_status(body: bytes) -> tuple[str, str]:
    """The name and value of a ParameterStatus."""
    name, position = split_c_string(body, 0, "parameter's name")
    value = sole_c_string(body[position:], "parameter")
    return utf8(name, "parameter's name"), utf8(value, "parameter")


def parse_backend_key(body: bytes) -> tuple[int, bytes]:
    """The process id and secret of a BackendKeyData."""
    if not 8 <= len(body) <= 4 + 256:
        raise violation("the cancel key has an impossible length")
    return INT32.unpack_from(body)[0], body[4:]


def parse_command_complete(body: bytes) -> str:
    """The command tag."""
    return utf8(sole_c_string(body, "command tag"), "command tag")


def parse_ready(body: bytes) -> bytes:
    """The transaction status of a ReadyForQuery: `b"I"`, `b"T"` or `b"E"`."""
    if body not in _READY:
        raise violation("the transaction status is unknown")
    return body


def parse_row_description(body: bytes) -> tuple[Field, ...]:
    """The columns of a RowDescription."""
    fields: list[Field] = []
    try:
        (count,) = INT16.unpack_from(body)
        position = 2
        for _ in range(count):
            name, position = split_c_string(body, position, "column's name")
            fields.append(Field(utf8(name, "column's name"), *_FIELD.unpack_from(body, position)))
            position += _FIELD.size
    except struct_error:
        raise violation("the RowDescription message is cut short") from None
    if position != len(body):
        raise violation("the RowDescription message has a wrong length")
    return tuple(fields)


def parse_data_row(body: bytes) -> tuple[bytes | None, ...]:
    """The values of a DataRow. For what the gateway asks itself; client results are never decoded."""
    values: list[bytes | None] = []
    try:
        (count,) = INT16.unpack_from(body)
        position = 2
        for _ in range(count):
            (length,) = INT32.unpack_from(body, position)
            position += 4
            if length == 0xFFFFFFFF:
                values.append(None)
                continue
            values.append(body[position : position + length])
            position += length
    except struct_error:
        raise violation("the DataRow message is cut short") from None
    if position != len(body):
        raise violation("the DataRow message has a wrong length")
    return tuple(values)


def _fields(severity: str, sqlstate: str, message: str, hint: str, detail: str, position: int) -> bytes:
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", message), ("D", detail), ("H", hint)]
    fields.append(("P", str(position) if position else ""))
    return b"".join(b"%c%b\0" % (ord(code), _shown(text)) for code, text in fields if text) + b"\0"


def _shown(text: str) -> bytes:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace")


def _mechanisms(data: bytes) -> tuple[str, ...]:
    names: list[str] = []
    position = 0
    while True:
        name, position = split_c_string(data, position, "list of mechanisms")
        if not name:
            break
        names.append(utf8(name, "mechanism's name"))
    if position != len(data):
        raise violation("the list of mechanisms goes on behind its terminator")
    return tuple(names)
