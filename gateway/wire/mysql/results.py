"""What servers answer: OK, ERR and EOF packets, column definitions, prepared statements, rows.

MySQL Source Code Documentation, "Generic Response Packets", "Text Resultset", "Column Definition", "COM_STMT_PREPARE
Response". Which packet of an answer is which depends on what came before: see `answers`. Text from a target is read
leniently where it is only shown to operators; text of the gateway's own is always sent, with what cannot be sent
replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.wire.mysql.base import (
    BINARY,
    EOF,
    ERR,
    NULL,
    OK,
    UTF8MB4,
    Capability,
    Reader,
    Status,
    Type,
    lenenc,
    lenenc_bytes,
    unsupported,
    violation,
)
from gateway.wire.mysql.tracking import Change, encode_changes, parse_changes
from gateway.wire.mysql.values import Value, read_value, type_of, write_value

MAX_COLUMN_BYTES: Final = 65_536
"""The longest column definition without a default value: its six names are never over 1 KiB each."""
SHORT_COLUMN: Final = 256
"""A definition of that length (bytes) is remembered: the same ones come with each run of a statement."""
MAX_MESSAGE_BYTES: Final = 512
"""What clients keep of an error's text (`MYSQL_ERRMSG_SIZE`)."""

_NULL_CELL: Final = bytes((NULL,))


class Ok(NamedTuple):
    """An OK packet. `info` is words of the server's own; `changes` what it says of the session's state."""

    affected_rows: int = 0
    last_insert_id: int = 0
    status: int = Status.AUTOCOMMIT
    warnings: int = 0
    info: bytes = b""
    changes: tuple[Change, ...] = ()


class Error(NamedTuple):
    """An ERR packet. `sqlstate` is empty where a server has none yet, before the handshake."""

    errno: int
    sqlstate: str
    message: str


class Column(NamedTuple):
    """A column's definition. `length` is in bytes of the character set; `flags` are the protocol's column flags."""

    name: bytes
    type: Type
    charset: int = UTF8MB4
    length: int = 0
    flags: int = 0
    decimals: int = 0
    schema: bytes = b""
    table: bytes = b""
    org_table: bytes = b""
    org_name: bytes = b""

    @property
    def unsigned(self) -> bool:
        """Whether its integers have no sign."""
        return bool(self.flags & UNSIGNED)


class Prepared(NamedTuple):
    """The answer to COM_STMT_PREPARE; the definitions of parameters and columns follow it."""

    statement: int
    columns: int
    parameters: int
    warnings: int = 0


NOT_NULL: Final = 1
UNSIGNED: Final = 1 << 5
BINARY_FLAG: Final = 1 << 7


def encode_ok(ok: Ok, capabilities: int, *, head: int = OK) -> bytes:
    """An OK packet; `head` is `EOF` for one that ends rows, where EOF packets are deprecated.

    Whether the status tells of changes is set here, by whether there are any and the client can read them.
    """
    tracks = bool(capabilities & Capability.SESSION_TRACK)
    changes = ok.changes if tracks else ()
    status = ok.status & ~Status.SESSION_STATE_CHANGED
    if changes:
        status |= Status.SESSION_STATE_CHANGED
    body = bytes((head,)) + lenenc(ok.affected_rows) + lenenc(ok.last_insert_id)
    body += int(status).to_bytes(2, "little") + min(ok.warnings, 0xFFFF).to_bytes(2, "little")
    # with its length also where nothing is tracked: the documentation has it without, servers and clients do not
    if ok.info or changes:
        body += lenenc_bytes(ok.info)
    return body + (lenenc_bytes(encode_changes(changes)) if changes else b"")


def parse_ok(body: bytes, capabilities: int) -> Ok:
    """An OK packet of either head. Raises: `GatewayError` `protocol-violation`; `feature-not-supported`."""
    reader = Reader(body, "OK packet")
    affected, last, status, warnings = _ok_numbers(reader)
    info = reader.string() if reader.left else b""
    changed = status & Status.SESSION_STATE_CHANGED and capabilities & Capability.SESSION_TRACK
    changes = parse_changes(reader.string()) if changed and reader.left else ()
    reader.end()
    return Ok(affected, last, status, warnings, info, changes)


def parse_ok_head(body: bytes) -> Ok:
    """The numbers of an OK packet of either head, whatever words are behind them."""
    return Ok(*_ok_numbers(Reader(body, "OK packet")))


def _ok_numbers(reader: Reader) -> tuple[int, int, int, int]:
    if reader.number(1) not in (OK, EOF):
        raise violation("an OK packet was expected")
    return reader.lenenc(), reader.lenenc(), reader.number(2), reader.number(2)


def encode_eof(warnings: int = 0, status: int = Status.AUTOCOMMIT) -> bytes:
    """An EOF packet."""
    return bytes((EOF,)) + min(warnings, 0xFFFF).to_bytes(2, "little") + int(status).to_bytes(2, "little")


def parse_eof(body: bytes) -> tuple[int, int]:
    """The warnings and the status of an EOF packet."""
    if len(body) != 5 or body[0] != EOF:
        raise violation("an EOF packet was expected")
    return int.from_bytes(body[1:3], "little"), int.from_bytes(body[3:5], "little")


def encode_end(ok: Ok, capabilities: int) -> bytes:
    """The packet that ends rows: an OK packet of its own head where EOF packets are deprecated, else an EOF packet."""
    if capabilities & Capability.DEPRECATE_EOF:
        return encode_ok(ok, capabilities, head=EOF)
    return encode_eof(ok.warnings, ok.status & ~Status.SESSION_STATE_CHANGED)


def parse_end(body: bytes, capabilities: int) -> Ok:
    """The packet that ends rows."""
    if capabilities & Capability.DEPRECATE_EOF:
        return parse_ok(body, capabilities)
    warnings, status = parse_eof(body)
    return Ok(status=status, warnings=warnings)


def encode_error(errno: int, sqlstate: str, message: str) -> bytes:
    """An ERR packet. The message is cut to what clients keep."""
    text = message.replace("\0", "\ufffd").encode("utf-8", "replace")[:MAX_MESSAGE_BYTES]
    state = sqlstate.encode("ascii", "replace")
    if len(state) != 5:
        raise ValueError("a SQLSTATE has five characters")
    return bytes((ERR,)) + errno.to_bytes(2, "little") + b"#" + state + text.decode("utf-8", "ignore").encode()


def parse_error(body: bytes) -> Error:
    """An ERR packet. Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for MariaDB's progress."""
    reader = Reader(body, "ERR packet")
    if reader.number(1) != ERR:
        raise violation("an ERR packet was expected")
    errno = reader.number(2)
    if errno == 0xFFFF:
        raise unsupported("a report of progress is not supported")
    state = ""
    if body[reader.at : reader.at + 1] == b"#":
        raw = reader.take(6)[1:]
        if not raw.isalnum() or not raw.isascii():
            raise violation("the error's state is not one")
        state = raw.decode("ascii")
    return Error(errno, state, reader.rest().decode("utf-8", "replace"))


def encode_column(column: Column, default: bytes | None = None, *, listed: bool = False) -> bytes:
    """A column's definition; `listed` ones, of COM_FIELD_LIST, have a default value (None: NULL) behind it."""
    names = (b"def", column.schema, column.table, column.org_table, column.name, column.org_name)
    body = b"".join(map(lenenc_bytes, names)) + b"\x0c" + column.charset.to_bytes(2, "little")
    body += min(column.length, 0xFFFFFFFF).to_bytes(4, "little") + bytes((column.type,))
    body += column.flags.to_bytes(2, "little") + bytes((column.decimals, 0, 0))
    if listed:
        body += _NULL_CELL if default is None else lenenc_bytes(default)
    return body


def parse_column(body: bytes, *, listed: bool = False) -> Column:
    """A column's definition, and the default value behind a `listed` one passed over.

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for an unknown type.
    """
    if len(body) > MAX_COLUMN_BYTES and not listed:
        raise violation("a column definition is too long")
    return (_parse_column if len(body) > SHORT_COLUMN else _known_column)(body, listed)


def _parse_column(body: bytes, listed: bool) -> Column:
    reader = Reader(body, "column definition")
    if reader.string() != b"def":
        raise violation("a column is of an unknown catalog")
    schema, table, org_table, name, org_name = (reader.string() for _ in range(5))
    if reader.lenenc() != 12:
        raise violation("a column definition has an impossible length")
    charset, length, kind = reader.number(2), reader.number(4), type_of(reader.number(1))
    flags, decimals = reader.number(2), reader.number(1)
    reader.take(2)
    if listed and reader.left and reader.take(1) != _NULL_CELL:
        reader.at -= 1
        reader.string()
    reader.end()
    return Column(name, kind, charset, length, flags, decimals, schema, table, org_table, org_name)


_known_column = lru_cache(maxsize=2048)(_parse_column)


def text_column(name: bytes, length: int = 1024) -> Column:
    """A column of text that belongs to no table, for results of the gateway's own."""
    return Column(name, Type.VAR_STRING, UTF8MB4, length)


def integer_column(name: bytes) -> Column:
    """A column of integers that belongs to no table, for results of the gateway's own."""
    return Column(name, Type.LONGLONG, BINARY, 20, BINARY_FLAG)


def encode_count(columns: int) -> bytes:
    """The packet that begins a result set."""
    return lenenc(columns)


def parse_count(body: bytes, most: int) -> int:
    """How many columns a result set has. Raises: `GatewayError` `protocol-violation` for none, or more than `most`."""
    reader = Reader(body, "number of columns")
    count = reader.lenenc()
    reader.end()
    if not 0 < count <= most:
        raise violation("a result has an impossible number of columns")
    return count


def encode_prepared(prepared: Prepared) -> bytes:
    """The answer to COM_STMT_PREPARE."""
    body = bytes((OK,)) + prepared.statement.to_bytes(4, "little") + prepared.columns.to_bytes(2, "little")
    body += prepared.parameters.to_bytes(2, "little") + b"\0"
    return body + min(prepared.warnings, 0xFFFF).to_bytes(2, "little")


def parse_prepared(body: bytes) -> Prepared:
    """The answer to COM_STMT_PREPARE."""
    reader = Reader(body, "answer to COM_STMT_PREPARE")
    if reader.number(1) != OK:
        raise violation("a prepared statement was expected")
    statement, columns, parameters = reader.number(4), reader.number(2), reader.number(2)
    reader.take(1)
    warnings = reader.number(2)
    reader.end()
    return Prepared(statement, columns, parameters, warnings)


def encode_text_row(cells: Sequence[bytes | None]) -> bytes:
    """A row of the text protocol."""
    return b"".join([_NULL_CELL if cell is None else lenenc_bytes(cell) for cell in cells])


def parse_text_row(body: bytes, columns: int) -> tuple[bytes | None, ...]:
    """The cells of a row of the text protocol."""
    cells: list[bytes | None] = []
    reader = Reader(body, "row")
    size = len(body)
    for _ in range(columns):
        at = reader.at
        if at < size and body[at] == NULL:
            reader.at += 1
            cells.append(None)
        else:
            cells.append(reader.string())
    reader.end()
    return tuple(cells)


def encode_binary_row(values: Sequence[Value], columns: Sequence[Column]) -> bytes:
    """A row of the binary protocol."""
    nulls = bytearray((len(columns) + 9) // 8)
    parts = []
    for place, (value, column) in enumerate(zip(values, columns, strict=True), 2):
        if value is None:
            nulls[place // 8] |= 1 << place % 8
        else:
            parts.append(write_value(value, column.type, unsigned=column.unsigned))
    return b"".join((bytes((OK,)), nulls, *parts))


def parse_binary_row(body: bytes, columns: Sequence[Column]) -> tuple[Value, ...]:
    """The values of a row of the binary protocol."""
    reader = Reader(body, "row")
    if reader.number(1) != OK:
        raise violation("a row of the binary protocol was expected")
    nulls = reader.take((len(columns) + 9) // 8)
    values: list[Value] = []
    for place, column in enumerate(columns, 2):
        null = nulls[place // 8] >> place % 8 & 1
        values.append(None if null else read_value(reader, column.type, unsigned=column.unsigned))
    reader.end()
    return tuple(values)
