"""Commands, as clients send them and targets are sent them; the first byte of a payload says which it is.

MySQL Source Code Documentation, "Command Phase" and `enum_server_command`; MariaDB documentation, "2-Text Protocol",
"3-Binary Protocol". Every one of the 256 bytes is decided by `COMMANDS`: what is there is read, the rest refused by
name, or as unknown. Statement text, names and values are bytes in the connection's character set.

INVARIANT: a command is read whole or refused; nothing behind its last field is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from gateway.wire.mysql.base import Reader, Type, nul, unsupported, violation
from gateway.wire.mysql.values import Value, read_value, type_of, write_value


class Command(IntEnum):
    """The commands that are read."""

    QUIT = 0x01
    INIT_DB = 0x02
    QUERY = 0x03
    FIELD_LIST = 0x04
    STATISTICS = 0x09
    PROCESS_KILL = 0x0C
    PING = 0x0E
    CHANGE_USER = 0x11
    STMT_PREPARE = 0x16
    STMT_EXECUTE = 0x17
    STMT_SEND_LONG_DATA = 0x18
    STMT_CLOSE = 0x19
    STMT_RESET = 0x1A
    SET_OPTION = 0x1B
    STMT_FETCH = 0x1C
    RESET_CONNECTION = 0x1F


REFUSED: Final = {
    0x00: "COM_SLEEP",
    0x05: "COM_CREATE_DB",
    0x06: "COM_DROP_DB",
    0x07: "COM_REFRESH",
    0x08: "COM_SHUTDOWN",
    0x0A: "COM_PROCESS_INFO",
    0x0B: "COM_CONNECT",
    0x0D: "COM_DEBUG",
    0x0F: "COM_TIME",
    0x10: "COM_DELAYED_INSERT",
    0x12: "COM_BINLOG_DUMP",
    0x13: "COM_TABLE_DUMP",
    0x14: "COM_CONNECT_OUT",
    0x15: "COM_REGISTER_SLAVE",
    0x1D: "COM_DAEMON",
    0x1E: "COM_BINLOG_DUMP_GTID",
    0x20: "COM_CLONE",
    0x21: "COM_SUBSCRIBE_GROUP_REPLICATION_STREAM",
    0xFA: "COM_STMT_BULK_EXECUTE",
    0xFB: "COM_SLAVE_WORKER",
    0xFC: "COM_SLAVE_IO",
    0xFD: "COM_SLAVE_SQL",
    0xFE: "COM_RESERVED_1",
    0xFF: "COM_END",
}
"""What is known and not available: administration, replication, internal threads, MariaDB's bulk execution."""

COMMANDS: Final[dict[int, Command | str]] = {int(command): command for command in Command} | REFUSED
"""What becomes of each byte; one that is not here is unknown."""

SILENT: Final = frozenset({Command.QUIT, Command.STMT_SEND_LONG_DATA, Command.STMT_CLOSE})
"""Commands that are never answered, not even by an error."""

NO_CURSOR: Final = 0
READ_ONLY_CURSOR: Final = 1
MULTI_STATEMENTS_ON: Final = 0
MULTI_STATEMENTS_OFF: Final = 1

_FIXED: Final = {
    Command.QUIT: 0,
    Command.STATISTICS: 0,
    Command.PROCESS_KILL: 4,
    Command.PING: 0,
    Command.STMT_CLOSE: 4,
    Command.STMT_RESET: 4,
    Command.SET_OPTION: 2,
    Command.RESET_CONNECTION: 0,
}


class Parameter(NamedTuple):
    """The type of a bound parameter."""

    type: Type
    unsigned: bool = False


class FieldList(NamedTuple):
    """COM_FIELD_LIST: which columns has the table (that fit the pattern)?"""

    table: bytes
    wildcard: bytes


class LongData(NamedTuple):
    """COM_STMT_SEND_LONG_DATA: a further piece of one parameter's value."""

    statement: int
    parameter: int
    data: bytes


class Fetch(NamedTuple):
    """COM_STMT_FETCH: that many further rows of a statement's cursor."""

    statement: int
    rows: int


class Execute(NamedTuple):
    """COM_STMT_EXECUTE up to its parameters, which can be read only by who knows the statement: see `bind`.

    `raw` is the whole payload; its parameters begin at `tail`.
    """

    statement: int
    cursor: int
    raw: bytes
    tail: int


class Bound(NamedTuple):
    """The parameters of an execution, and their types, which the next one may leave out."""

    types: tuple[Parameter, ...]
    values: tuple[Value, ...]


def command_of(payload: bytes) -> Command:
    """Which command the payload is.

    Raises: `GatewayError` `feature-not-supported` for a known one that is not available; `protocol-violation` for an
    unknown or empty one.
    """
    if not payload:
        raise violation("a command is empty")
    found = COMMANDS.get(payload[0])
    if isinstance(found, Command):
        return found
    if found is None:
        raise violation("an unknown command")
    raise unsupported(f"the command `{found}` is not available")


def available(payload: bytes) -> Command | None:
    """Which command the payload is; None for a known one that is not available. Raises: `GatewayError`."""
    return None if payload and payload[0] in REFUSED else command_of(payload)


def decode_text(payload: bytes) -> bytes:
    """The statement of COM_QUERY or COM_STMT_PREPARE, or the database's name of COM_INIT_DB: all that follows."""
    return payload[1:]


def decode_number(payload: bytes) -> int:
    """The one number of COM_PROCESS_KILL, COM_STMT_CLOSE, COM_STMT_RESET or COM_SET_OPTION; 0 for those with none.

    Raises: `GatewayError` `protocol-violation` when the length is another, or the option is unknown.
    """
    command = command_of(payload)
    if len(payload) - 1 != _FIXED.get(command):
        raise violation(f"the command `COM_{command.name}` has a wrong length")
    number = int.from_bytes(payload[1:], "little")
    if command == Command.SET_OPTION and number > MULTI_STATEMENTS_OFF:
        raise violation("the option is unknown")
    return number


def decode_field_list(payload: bytes) -> FieldList:
    """COM_FIELD_LIST."""
    reader = Reader(payload, "COM_FIELD_LIST", 1)
    table = reader.nul()
    return FieldList(table, reader.rest().removesuffix(b"\0"))


def decode_long_data(payload: bytes) -> LongData:
    """COM_STMT_SEND_LONG_DATA."""
    reader = Reader(payload, "COM_STMT_SEND_LONG_DATA", 1)
    return LongData(reader.number(4), reader.number(2), reader.rest())


def decode_fetch(payload: bytes) -> Fetch:
    """COM_STMT_FETCH."""
    reader = Reader(payload, "COM_STMT_FETCH", 1)
    fetch = Fetch(reader.number(4), reader.number(4))
    reader.end()
    return fetch


def decode_execute(payload: bytes) -> Execute:
    """COM_STMT_EXECUTE up to its parameters.

    Raises: `GatewayError` `feature-not-supported` for cursors that can be written or scrolled, and for parameters
    with names; `protocol-violation`.
    """
    reader = Reader(payload, "COM_STMT_EXECUTE", 1)
    statement, cursor, iterations = reader.number(4), reader.number(1), reader.number(4)
    if cursor not in (NO_CURSOR, READ_ONLY_CURSOR):
        raise unsupported("only cursors that are read forwards are available")
    if iterations != 1:
        raise violation("the number of iterations is not 1")
    return Execute(statement, cursor, payload, reader.at)


def bind(execute: Execute, count: int, types: Sequence[Parameter] | None = None, long: Collection[int] = ()) -> Bound:
    """The parameters of an execution of a statement that has `count` of them.

    `types` are those of the execution before, which hold where this one names none; `long` are the parameters whose
    values were sent ahead, which have none here (theirs is None).

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for an unknown type.
    """
    reader = Reader(execute.raw, "COM_STMT_EXECUTE", execute.tail)
    if not count:
        reader.end()
        return Bound((), ())
    nulls = reader.take((count + 7) // 8)
    if count % 8 and nulls[-1] >> count % 8:
        raise violation("a parameter that does not exist is NULL")
    renewed = reader.number(1)
    if renewed > 1:
        raise violation("the parameters' types are neither given nor left out")
    if renewed:
        bound = tuple(_parameter(reader) for _ in range(count))
    elif types is None or len(types) != count:
        raise violation("the parameters' types are left out and were never given")
    else:
        bound = tuple(types)
    values: list[Value] = []
    for place, parameter in enumerate(bound):
        if nulls[place // 8] >> place % 8 & 1 or place in long:
            values.append(None)
        else:
            values.append(read_value(reader, parameter.type, unsigned=parameter.unsigned))
    reader.end()
    return Bound(bound, tuple(values))


def encode_text(command: Command, text: bytes) -> bytes:
    """COM_QUERY, COM_STMT_PREPARE or COM_INIT_DB."""
    return bytes((command,)) + text


def encode_number(command: Command, number: int = 0) -> bytes:
    """A command of a fixed length, with its number."""
    return bytes((command,)) + number.to_bytes(_FIXED[command], "little")


def encode_field_list(fields: FieldList) -> bytes:
    """COM_FIELD_LIST."""
    return bytes((Command.FIELD_LIST,)) + nul(fields.table, "table's name") + fields.wildcard


def encode_long_data(piece: LongData) -> bytes:
    """COM_STMT_SEND_LONG_DATA."""
    head = bytes((Command.STMT_SEND_LONG_DATA,)) + piece.statement.to_bytes(4, "little")
    return head + piece.parameter.to_bytes(2, "little") + piece.data


def encode_fetch(fetch: Fetch) -> bytes:
    """COM_STMT_FETCH."""
    return bytes((Command.STMT_FETCH,)) + fetch.statement.to_bytes(4, "little") + fetch.rows.to_bytes(4, "little")


def encode_execute(statement: int, cursor: int, bound: Bound, long: Collection[int] = ()) -> bytes:
    """COM_STMT_EXECUTE with all its types. The values of the parameters `long` were sent ahead."""
    head = bytes((Command.STMT_EXECUTE,)) + statement.to_bytes(4, "little") + bytes((cursor, 1, 0, 0, 0))
    if not bound.types:
        return head
    nulls = bytearray((len(bound.types) + 7) // 8)
    types, values = [], []
    for place, (parameter, value) in enumerate(zip(bound.types, bound.values, strict=True)):
        types.append(bytes((parameter.type, 0x80 if parameter.unsigned else 0)))
        if place in long:
            continue
        if value is None:
            nulls[place // 8] |= 1 << place % 8
        else:
            values.append(write_value(value, parameter.type, unsigned=parameter.unsigned))
    return b"".join((head, nulls, b"\1", *types, *values))


def relay_execute(execute: Execute, statement: int) -> bytes:
    """The client's COM_STMT_EXECUTE under the number that the statement has on the target; the rest byte for byte.

    For one that `bind` has read: what is behind the head is relayed unseen.
    """
    return bytes((Command.STMT_EXECUTE,)) + statement.to_bytes(4, "little") + execute.raw[5:]


def _parameter(reader: Reader) -> Parameter:
    kind, flag = type_of(reader.number(1)), reader.number(1)
    if flag not in (0, 0x80):
        raise violation("a parameter's type has an unknown flag")
    return Parameter(kind, flag == 0x80)
