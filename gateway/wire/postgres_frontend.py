"""Messages that a PostgreSQL frontend sends: decoded from clients, encoded towards targets.

Decoders take a body without type and length, and validate all of it. Names of statements and portals stay
bytes: they are compared and relayed, never shown. Statement text is strict UTF-8 with exactly one NUL, at its
end. Bound values are counted, never decoded. Formats: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, unpack_from
from struct import error as struct_error
from typing import Final, NamedTuple

from gateway.errors import GatewayError
from gateway.wire.postgres_base import (
    BIND,
    CLOSE,
    COPY_FAIL,
    DESCRIBE,
    EXECUTE,
    FLUSH,
    HEADER,
    INT16,
    INT32,
    PARSE,
    PASSWORD_MESSAGE,
    QUERY,
    SYNC,
    TERMINATE,
    c_string,
    frame,
    sole_c_string,
    split_c_string,
    utf8,
    violation,
)

STATEMENT: Final = ord("S")
PORTAL: Final = ord("P")
NULL: Final = 0xFFFFFFFF

_ROW_LIMIT: Final = Struct(">i")


class Query(NamedTuple):
    """Simple protocol: run this text."""

    text: str


class Parse(NamedTuple):
    """Extended protocol: prepare this text under a name (empty: the unnamed statement). `types` are OIDs."""

    name: bytes
    text: str
    types: tuple[int, ...]


class Bind(NamedTuple):
    """Extended protocol: make a portal of a statement. Formats are 0 (text) or 1 (binary).

    `raw` is the whole body; the part from `tail` on (formats and values) can be relayed under other names.
    """

    portal: bytes
    statement: bytes
    param_formats: tuple[int, ...]
    nparams: int
    result_formats: tuple[int, ...]
    raw: bytes
    tail: int


class Describe(NamedTuple):
    """What are the parameters and columns of `name`? `kind` is `STATEMENT` or `PORTAL`."""

    kind: int
    name: bytes


class Close(NamedTuple):
    """Forget `name`. `kind` is `STATEMENT` or `PORTAL`."""

    kind: int
    name: bytes


class Execute(NamedTuple):
    """Run a portal; `max_rows` 0 is no limit."""

    portal: bytes
    max_rows: int


class SASLInitialResponse(NamedTuple):
    """The mechanism that the client chose, and its first message; None when it sent none."""

    mechanism: str
    data: bytes | None


def decode_query(body: bytes) -> Query:
    """Query. Raises: `GatewayError` `protocol-violation`, as all decoders here."""
    return Query(utf8(sole_c_string(body, "statement"), "statement"))


def decode_parse(body: bytes) -> Parse:
    """Parse."""
    name, position = split_c_string(body, 0, "statement's name")
    text, position = split_c_string(body, position, "statement")
    types, position = _shorts_or_oids(body, position, "I")
    _at_end(body, position, "Parse")
    return Parse(name, utf8(text, "statement"), types)


def decode_bind(body: bytes) -> Bind:
    """Bind: the structure of everything is checked, values are skipped."""
    portal, position = split_c_string(body, 0, "portal's name")
    statement, tail = split_c_string(body, position, "statement's name")
    param_formats, position = _shorts_or_oids(body, tail, "H")
    unpack = INT32.unpack_from
    size = len(body)
    try:
        nparams: int = INT16.unpack_from(body, position)[0]
        position += 2
        for _ in range(nparams):
            (length,) = unpack(body, position)
            position += 4
            if length != NULL:
                position += length
                if position > size:
                    raise violation("a bound value is cut short")
    except struct_error:
        raise violation("the Bind message is cut short") from None
    result_formats, position = _shorts_or_oids(body, position, "H")
    _at_end(body, position, "Bind")
    if len(param_formats) > 1 and len(param_formats) != nparams:
        raise violation("the Bind message has neither none, one nor all of its parameter formats")
    if (param_formats and max(param_formats) > 1) or (result_formats and max(result_formats) > 1):
        raise violation("the Bind message has an unknown format code")
    return Bind(portal, statement, param_formats, nparams, result_formats, body, tail)


def split_query(body: bytes) -> bytes:
    """The statement of a Query in whatever encoding it came."""
    return sole_c_string(body, "statement")


def split_parse(body: bytes) -> tuple[bytes, bytes]:
    """The name and the statement of a Parse in whatever encoding they came; the types are not looked at."""
    name, position = split_c_string(body, 0, "statement's name")
    text, _ = split_c_string(body, position, "statement")
    return name, text


def split_bind(body: bytes) -> tuple[bytes, bytes, int, int]:
    """The portal and the statement of a Bind, where its formats begin, and how many values it says it has.

    What is in it is not looked at.
    """
    portal, position = split_c_string(body, 0, "portal's name")
    statement, position = split_c_string(body, position, "statement's name")
    tail = position
    formats = int.from_bytes(body[position : position + 2], "big")
    position += 2 + 2 * formats
    return portal, statement, tail, int.from_bytes(body[position : position + 2], "big")


def split_values(tail: bytes) -> list[tuple[int, bytes | None]]:
    """The values of a Bind, from its formats on, each with its format; None is NULL. As far as they can be read."""
    found: list[tuple[int, bytes | None]] = []
    try:
        formats, position = _shorts_or_oids(tail, 0, "H")
        (number,) = INT16.unpack_from(tail, position)
        position += 2
        for place in range(number):
            (length,) = INT32.unpack_from(tail, position)
            position += 4
            code = formats[place] if len(formats) > 1 else formats[0] if formats else 0
            if length == NULL:
                found.append((code, None))
                continue
            if position + length > len(tail):
                break
            found.append((code, tail[position : position + length]))
            position += length
    except (GatewayError, struct_error, IndexError):
        return found
    return found


def split_function_call(body: bytes) -> tuple[int, int]:
    """The OID of the function that a FunctionCall is for, and how many arguments it says it has."""
    if len(body) < 4:
        raise violation("the FunctionCall message is cut short")
    position = 6 + 2 * int.from_bytes(body[4:6], "big")
    return int(INT32.unpack_from(body)[0]), int.from_bytes(body[position : position + 2], "big")


def decode_describe(body: bytes) -> Describe:
    """Describe."""
    return Describe(*_kind_and_name(body, "Describe"))


def decode_close(body: bytes) -> Close:
    """Close."""
    return Close(*_kind_and_name(body, "Close"))


def decode_execute(body: bytes) -> Execute:
    """Execute. A negative limit means none, as PostgreSQL takes it."""
    portal, position = split_c_string(body, 0, "portal's name")
    if len(body) != position + 4:
        raise violation("the Execute message has a wrong length")
    (max_rows,) = _ROW_LIMIT.unpack_from(body, position)
    return Execute(portal, max(max_rows, 0))


def decode_password(body: bytes) -> bytes:
    """PasswordMessage: the password's bytes, without the NUL."""
    return sole_c_string(body, "password")


def decode_sasl_initial_response(body: bytes) -> SASLInitialResponse:
    """SASLInitialResponse."""
    name, position = split_c_string(body, 0, "mechanism's name")
    if len(body) < position + 4:
        raise violation("the SASL message is cut short")
    (length,) = INT32.unpack_from(body, position)
    position += 4
    data = None
    if length != NULL:
        data = body[position : position + length]
        position += length
    _at_end(body, position, "SASL")
    try:
        return SASLInitialResponse(name.decode("ascii"), data)
    except UnicodeDecodeError:
        raise violation("the mechanism's name is not ASCII") from None


def decode_sasl_response(body: bytes) -> bytes:
    """SASLResponse: the mechanism's own bytes, as they are."""
    return body


def decode_copy_fail(body: bytes) -> str:
    """CopyFail: why the client gave up."""
    return utf8(sole_c_string(body, "reason"), "reason")


def decode_empty(body: bytes, what: str) -> None:
    """Sync, Flush, Terminate, CopyDone: nothing in it, or `protocol-violation`."""
    if body:
        raise violation(f"the {what} message carries data")


def encode_query(text: str) -> bytes:
    """Query."""
    body = c_string(text, "statement")
    return HEADER.pack(QUERY, len(body) + 4) + body


def encode_parse(name: bytes, text: str, types: Sequence[int] = ()) -> bytes:
    """Parse."""
    oids = b"".join(map(INT32.pack, types))
    count = _count(len(types))
    return frame(PARSE, c_string(name, "statement's name") + c_string(text, "statement") + count + oids)


def encode_bind(
    portal: bytes,
    statement: bytes,
    values: Sequence[bytes | None] = (),
    param_formats: Sequence[int] = (),
    result_formats: Sequence[int] = (),
) -> bytes:
    """Bind, from values."""
    parts = [c_string(portal, "portal's name"), c_string(statement, "statement's name"), _shorts(param_formats)]
    parts.append(_count(len(values)))
    for value in values:
        parts.append(INT32.pack(NULL) if value is None else INT32.pack(len(value)) + value)
    parts.append(_shorts(result_formats))
    return frame(BIND, b"".join(parts))


def relay_bind(bind: Bind, *, portal: bytes, statement: bytes) -> bytes:
    """The client's Bind under the names that it has on the target; formats and values byte for byte."""
    names = c_string(portal, "portal's name") + c_string(statement, "statement's name")
    return frame(BIND, names + bind.raw[bind.tail :])


def encode_describe(kind: int, name: bytes) -> bytes:
    """Describe; `kind` is `STATEMENT` or `PORTAL`."""
    return frame(DESCRIBE, bytes((kind,)) + c_string(name, "name"))


def encode_close(kind: int, name: bytes) -> bytes:
    """Close; `kind` is `STATEMENT` or `PORTAL`."""
    return frame(CLOSE, bytes((kind,)) + c_string(name, "name"))


def encode_execute(portal: bytes, max_rows: int = 0) -> bytes:
    """Execute; 0 is no limit."""
    return frame(EXECUTE, c_string(portal, "portal's name") + INT32.pack(max_rows))


def encode_sync() -> bytes:
    """Sync."""
    return frame(SYNC)


def encode_flush() -> bytes:
    """Flush."""
    return frame(FLUSH)


def encode_terminate() -> bytes:
    """Terminate."""
    return frame(TERMINATE)


def encode_copy_fail(reason: str) -> bytes:
    """CopyFail."""
    return frame(COPY_FAIL, c_string(reason, "reason"))


def encode_password(password: str | bytes) -> bytes:
    """PasswordMessage."""
    return frame(PASSWORD_MESSAGE, c_string(password, "password"))


def encode_sasl_initial_response(mechanism: str, data: bytes | None) -> bytes:
    """SASLInitialResponse."""
    length = INT32.pack(NULL) if data is None else INT32.pack(len(data)) + data
    return frame(PASSWORD_MESSAGE, c_string(mechanism, "mechanism's name") + length)


def encode_sasl_response(data: bytes) -> bytes:
    """SASLResponse."""
    return frame(PASSWORD_MESSAGE, data)


def _kind_and_name(body: bytes, what: str) -> tuple[int, bytes]:
    if not body or body[0] not in (STATEMENT, PORTAL):
        raise violation(f"the {what} message names neither a statement nor a portal")
    return body[0], sole_c_string(body[1:], "name")


def _shorts_or_oids(body: bytes, position: int, code: str) -> tuple[tuple[int, ...], int]:
    try:
        count: int = INT16.unpack_from(body, position)[0]
        if not count:
            return (), position + 2
        return unpack_from(f">{count}{code}", body, position + 2), position + 2 + count * (4 if code == "I" else 2)
    except struct_error:
        raise violation("a list is cut short") from None


def _count(number: int) -> bytes:
    if number > 0xFFFF:
        raise violation("a list has more than 65535 entries")
    return INT16.pack(number)


def _shorts(codes: Sequence[int]) -> bytes:
    return _count(len(codes)) + b"".join(map(INT16.pack, codes))


def _at_end(body: bytes, position: int, what: str) -> None:
    if position != len(body):
        raise violation(f"the {what} message has a wrong length")
