"""Single messages of the MySQL protocol: exact bytes, read and written.

The long vectors are the examples of the protocol's own documentation (MySQL Internals Manual, "MySQL Client/Server
Protocol", now in the MySQL Source Code Documentation), named at each.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.base import Capability, Reader, Status, Type, lenenc
from gateway.wire.mysql.commands import (
    COMMANDS,
    REFUSED,
    Bound,
    Command,
    Fetch,
    FieldList,
    LongData,
    Parameter,
    bind,
    command_of,
    decode_execute,
    encode_execute,
    encode_fetch,
    encode_field_list,
    encode_long_data,
    encode_number,
    encode_text,
    relay_execute,
)
from gateway.wire.mysql.packets import Framer, frame
from gateway.wire.mysql.results import (
    Column,
    Ok,
    Prepared,
    encode_binary_row,
    encode_column,
    encode_count,
    encode_end,
    encode_eof,
    encode_error,
    encode_ok,
    encode_prepared,
    encode_text_row,
    integer_column,
    parse_binary_row,
    parse_column,
    parse_prepared,
    parse_text_row,
    text_column,
)
from gateway.wire.mysql.tracking import Change, Tracked
from gateway.wire.mysql.values import Date, DateTime, Time, Value, read_value, value_end, write_value

PLAIN = Capability.PROTOCOL_41
TRACKED = PLAIN | Capability.SESSION_TRACK
NEW = TRACKED | Capability.DEPRECATE_EOF


def refusal(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(GatewayError) as refused:
        act()
    assert refused.value.refusal.fatal
    return refused.value.code


def payload(text: str, sequence: int) -> bytes:
    """The payload of one packet as the documentation prints it."""
    data = bytes.fromhex(text)
    framer = Framer(sequence=sequence)
    framer.feed(data)
    taken = framer.take()
    assert taken is not None
    assert not framer.pending
    assert frame(taken, sequence) == data
    return taken


# Protocol::HandshakeV10, "MySQL 5.6.4"
GREETING = """
50 00 00 00 0a 35 2e 36 2e 34 2d 6d 37 2d 6c 6f 67 00 56 0a 00 00 52 42 33 76 7a 26 47 72 00 ff
ff 08 02 00 0f c0 15 00 00 00 00 00 00 00 00 00 00 2b 79 44 26 2f 5a 5a 33 30 35 5a 47 00 6d 79
73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00"""
# the same, "MySQL 5.5.2-m2": no authentication plugins yet
OLD_GREETING = """
36 00 00 00 0a 35 2e 35 2e 32 2d 6d 32 00 0b 00 00 00 64 76 48 40 49 2d 43 4a 00 ff f7 08 02 00
00 00 00 00 00 00 00 00 00 00 00 00 00 2a 34 64 7c 63 5a 77 6b 34 5e 5d 3a 00"""
# Protocol::HandshakeResponse41, "On MySQL 5.5.8"
RESPONSE = """
54 00 00 01 8d a6 0f 00 00 00 00 01 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
00 00 00 00 70 61 6d 00 14 ab 09 ee f6 bc b1 32 3e 61 14 38 65 c0 99 1d 95 7d 75 d4 47 74 65 73
74 00 6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00"""
# the same, "starting with MySQL 5.6.6 the client may send attributes"
RESPONSE_WITH_ATTRIBUTES = """
b2 00 00 01 85 a2 1e 00 00 00 00 40 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
00 00 00 00 72 6f 6f 74 00 14 22 50 79 a2 12 d4 e8 82 e5 b3 f4 1a 97 75 6b c8 be db 9f 80 6d 79
73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00 61 03 5f 6f 73 09 64 65 62 69 61 6e
36 2e 30 0c 5f 63 6c 69 65 6e 74 5f 6e 61 6d 65 08 6c 69 62 6d 79 73 71 6c 04 5f 70 69 64 05 32
32 33 34 34 0f 5f 63 6c 69 65 6e 74 5f 76 65 72 73 69 6f 6e 08 35 2e 36 2e 36 2d 6d 39 09 5f 70
6c 61 74 66 6f 72 6d 06 78 38 36 5f 36 34 03 66 6f 6f 03 62 61 72"""
# Protocol::AuthSwitchRequest, after "COM_CHANGE_USER"
AUTH_SWITCH = """
2c 00 00 02 fe 6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00 7a 51 67 34 69
36 6f 4e 79 36 3d 72 48 4e 2f 3e 2d 62 29 41 00"""
# Text Resultset, `SELECT @@version_comment`
COLUMN = """
27 00 00 02 03 64 65 66 00 00 00 11 40 40 76 65 72 73 69 6f 6e 5f 63 6f 6d 6d 65 6e 74 00 0c 08
00 1c 00 00 00 fd 00 00 1f 00 00"""
ROW = "1d 00 00 04 1c 4d 79 53 51 4c 20 43 6f 6d 6d 75 6e 69 74 79 20 53 65 72 76 65 72 20 28 47 50 4c 29"
# Binary Protocol Resultset, "Example"
BINARY_COLUMN = """
1a 00 00 02 03 64 65 66 00 00 00 04 63 6f 6c 31 00 0c 08 00 06 00 00 00 fd 00 00 1f 00 00"""
BINARY_ROW = "09 00 00 04 00 00 06 66 6f 6f 62 61 72"
# COM_STMT_EXECUTE, "Example"
EXECUTE = "12 00 00 00 17 01 00 00 00 00 01 00 00 00 00 01 0f 00 03 66 6f 6f"
# COM_STMT_PREPARE Response, "Example"
PREPARED = "0c 00 00 01 00 01 00 00 00 01 00 02 00 00 00 00"


def test_the_documented_greeting_is_read_and_written_back() -> None:
    body = payload(GREETING, 0)
    greeting = hs.parse_greeting(body)
    assert greeting == hs.Greeting(
        "5.6.4-m7-log",
        2646,
        b"RB3vz&Gr+yD&/ZZ305ZG",
        0xC00FFFFF,
        "mysql_native_password",
        8,
        Status.AUTOCOMMIT,
    )
    ours = greeting._replace(capabilities=hs.OFFERED)
    written = hs.encode_greeting(ours)
    assert hs.parse_greeting(written) == ours
    flags = int(hs.OFFERED).to_bytes(4, "little")
    assert written[:27] + written[29:32] + written[34:] == body[:27] + body[29:32] + body[34:]
    assert written[27:29] + written[32:34] == flags


def test_a_documented_greeting_without_plugins_is_of_a_server_that_is_too_old() -> None:
    assert refusal(lambda: hs.parse_greeting(payload(OLD_GREETING, 0))) == "feature-not-supported"


def test_the_documented_answers_to_a_greeting_are_read_and_written_back() -> None:
    body = payload(RESPONSE, 1)
    login = hs.decode_login(body, 0xFFFFFFFF)
    assert isinstance(login, hs.HandshakeResponse)
    assert login.capabilities == 0x000FA68D
    assert (login.max_packet, login.charset) == (1 << 24, 8)
    assert (login.user, login.database, login.plugin) == (b"pam", b"test", "mysql_native_password")
    assert login.auth.hex() == "ab09eef6bcb1323e61143865c0991d957d75d447"
    assert hs.encode_handshake_response(login) == body

    body = payload(RESPONSE_WITH_ATTRIBUTES, 1)
    assert not hs.decode_login(body, hs.OFFERED).capabilities & Capability.LOCAL_FILES
    login = hs.decode_login(body, 0xFFFFFFFF)
    assert isinstance(login, hs.HandshakeResponse)
    assert login.database is None
    assert login.attributes == {
        b"_os": b"debian6.0",
        b"_client_name": b"libmysql",
        b"_pid": b"22344",
        b"_client_version": b"5.6.6-m9",
        b"_platform": b"x86_64",
        b"foo": b"bar",
    }
    assert hs.encode_handshake_response(login) == body


def test_the_documented_switch_of_the_plugin_is_read_and_written_back() -> None:
    body = payload(AUTH_SWITCH, 2)
    plugin, nonce = hs.parse_auth_switch(body)
    assert (plugin, nonce) == ("mysql_native_password", b"zQg4i6oNy6=rHN/>-b)A")
    assert hs.encode_auth_switch(plugin, nonce) == body


def test_the_documented_results_are_read_and_written_back() -> None:
    column = parse_column(payload(COLUMN, 2))
    assert column == Column(b"@@version_comment", Type.VAR_STRING, 8, 28, 0, 31)
    assert encode_column(column) == payload(COLUMN, 2)
    row = parse_text_row(payload(ROW, 4), 1)
    assert row == (b"MySQL Community Server (GPL)",)
    assert encode_text_row(row) == payload(ROW, 4)

    binary = parse_column(payload(BINARY_COLUMN, 2))
    assert binary == Column(b"col1", Type.VAR_STRING, 8, 6, 0, 31)
    values = parse_binary_row(payload(BINARY_ROW, 4), [binary])
    assert values == (b"foobar",)
    assert encode_binary_row(values, [binary]) == payload(BINARY_ROW, 4)


def test_the_documented_prepared_statement_is_read_and_written_back() -> None:
    prepared = parse_prepared(payload(PREPARED, 1))
    assert prepared == Prepared(1, 1, 2)
    assert encode_prepared(prepared) == payload(PREPARED, 1)
    body = payload(EXECUTE, 0)
    execute = decode_execute(body)
    assert (execute.statement, execute.cursor) == (1, 0)
    bound = bind(execute, 1)
    assert bound == Bound((Parameter(Type.VARCHAR),), (b"foo",))
    assert encode_execute(1, 0, bound) == body
    assert relay_execute(execute, 0x01020304) == bytes.fromhex("17 04030201") + body[5:]


# Binary Protocol Value, the examples of its types
@pytest.mark.parametrize(
    ("kind", "unsigned", "data", "value"),
    [
        (Type.LONGLONG, False, "01 00 00 00 00 00 00 00", 1),
        (Type.LONG, False, "01 00 00 00", 1),
        (Type.INT24, False, "01 00 00 00", 1),
        (Type.SHORT, False, "01 00", 1),
        (Type.YEAR, True, "e8 07", 2024),
        (Type.TINY, False, "01", 1),
        (Type.TINY, False, "ff", -1),
        (Type.TINY, True, "ff", 255),
        (Type.LONGLONG, True, "ff ff ff ff ff ff ff ff", 2**64 - 1),
        (Type.DOUBLE, False, "66 66 66 66 66 66 24 40", 10.2),
        (Type.FLOAT, False, "33 33 23 41", 10.199999809265137),
        (Type.DATETIME, False, "0b da 07 0a 11 13 1b 1e 01 00 00 00", DateTime(2010, 10, 17, 19, 27, 30, 1)),
        (Type.DATETIME, False, "07 da 07 0a 11 13 1b 1e", DateTime(2010, 10, 17, 19, 27, 30)),
        (Type.TIMESTAMP, False, "0b da 07 0a 11 13 1b 1e 01 00 00 00", DateTime(2010, 10, 17, 19, 27, 30, 1)),
        (Type.DATETIME, False, "04 da 07 0a 11", DateTime(2010, 10, 17)),
        (Type.DATETIME, False, "00", DateTime(0, 0, 0)),
        (Type.DATE, False, "04 da 07 0a 11", Date(2010, 10, 17)),
        (Type.DATE, False, "00", Date(0, 0, 0)),
        (Type.TIME, False, "0c 01 78 00 00 00 13 1b 1e 01 00 00 00", Time(True, 120, 19, 27, 30, 1)),
        (Type.TIME, False, "08 01 78 00 00 00 13 1b 1e", Time(True, 120, 19, 27, 30)),
        (Type.TIME, False, "00", Time(False, 0, 0, 0, 0)),
        (Type.STRING, False, "03 66 6f 6f", b"foo"),
        (Type.NEWDECIMAL, False, "04 31 30 2e 32", b"10.2"),
        (Type.BIT, False, "02 01 ff", b"\x01\xff"),
    ],
    ids=str,
)
def test_values_of_the_binary_protocol_have_the_documented_bytes(
    kind: Type, unsigned: bool, data: str, value: Value
) -> None:
    body = bytes.fromhex(data)
    reader = Reader(body, "value")
    assert read_value(reader, kind, unsigned=unsigned) == value
    reader.end()
    assert write_value(value, kind, unsigned=unsigned) == body
    assert value_end(body, 0, kind) == len(body)


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        # OK_Packet, ERR_Packet, EOF_Packet, each the documentation's example
        (frame(encode_ok(Ok(status=Status.AUTOCOMMIT), PLAIN), 2), "07 00 00 02 00 00 00 02 00 00 00"),
        (
            frame(encode_error(1096, "HY000", "No tables used"), 1),
            "17 00 00 01 ff 48 04 23 48 59 30 30 30 4e 6f 20 74 61 62 6c 65 73 20 75 73 65 64",
        ),
        (frame(encode_eof(), 5), "05 00 00 05 fe 00 00 02 00"),
        # COM_QUIT, COM_INIT_DB, COM_QUERY, COM_PING, COM_STMT_CLOSE and so on, the same
        (frame(encode_number(Command.QUIT)), "01 00 00 00 01"),
        (frame(encode_text(Command.INIT_DB, b"test")), "05 00 00 00 02 74 65 73 74"),
        (
            frame(encode_text(Command.QUERY, b"select @@version_comment limit 1")),
            "21 00 00 00 03 73 65 6c 65 63 74 20 40 40 76 65 72 73 69 6f 6e 5f 63 6f 6d 6d 65 6e 74 20 6c 69 6d 69"
            "74 20 31",
        ),
        (frame(encode_number(Command.PING)), "01 00 00 00 0e"),
        (encode_number(Command.STATISTICS), "09"),
        (encode_number(Command.RESET_CONNECTION), "1f"),
        (encode_number(Command.PROCESS_KILL, 0x01020304), "0c 04 03 02 01"),
        (encode_number(Command.STMT_CLOSE, 1), "19 01 00 00 00"),
        (encode_number(Command.STMT_RESET, 1), "1a 01 00 00 00"),
        (encode_number(Command.SET_OPTION, 1), "1b 01 00"),
        (encode_fetch(Fetch(1, 7)), "1c 01 00 00 00 07 00 00 00"),
        (encode_field_list(FieldList(b"t", b"%")), "04 74 00 25"),
        (encode_long_data(LongData(1, 2, b"ab")), "18 01 00 00 00 02 00 61 62"),
        (encode_execute(1, 1, Bound((), ())), "17 01 00 00 00 01 01 00 00 00"),
        (
            encode_execute(1, 0, Bound((Parameter(Type.TINY, unsigned=True), Parameter(Type.NULL)), (200, None))),
            "17 01 00 00 00 00 01 00 00 00 02 01 01 80 06 00 c8",
        ),
        (hs.encode_ssl_request(Capability.PROTOCOL_41, 45, 1 << 24), "00 0a 00 00 00 00 00 01 2d" + "00" * 23),
        (hs.encode_more_data(b"\3"), "01 03"),
        (encode_ok(Ok(300, 70_000, 0, 2, b"hi"), PLAIN), "00 fc 2c 01 fd 70 11 01 00 00 02 00 02 68 69"),
        (encode_ok(Ok(), NEW, head=0xFE), "fe 00 00 02 00 00 00"),
        (encode_end(Ok(warnings=3), PLAIN), "fe 03 00 02 00"),
        (encode_end(Ok(warnings=3), NEW), "fe 00 00 02 00 03 00"),
        (
            encode_ok(Ok(changes=(Change(Tracked.SCHEMA, b"test"),)), TRACKED),
            # OK_Packet, "use a database": the status says that there is a change
            "00 00 00 02 40 00 00 00 07 01 05 04 74 65 73 74",
        ),
        (
            encode_ok(Ok(changes=(Change(Tracked.SYSTEM_VARIABLES, b"OFF", b"autocommit"),)), TRACKED),
            "00 00 00 02 40 00 00 00 11 00 0f 0a 61 75 74 6f 63 6f 6d 6d 69 74 03 4f 46 46",
        ),
        (encode_ok(Ok(changes=(Change(Tracked.SCHEMA, b"test"),)), PLAIN), "00 00 00 02 00 00 00"),
        (encode_count(300), "fc 2c 01"),
        (encode_text_row([b"a", None, b""]), "01 61 fb 00"),
        (
            encode_binary_row([None, 1, None], [text_column(b"a"), Column(b"b", Type.TINY), text_column(b"c")]),
            "00 14 01",
        ),
        (
            encode_column(integer_column(b"n")),
            "03 64 65 66 00 00 00 01 6e 00 0c 3f 00 14 00 00 00 08 80 00 00 00 00",
        ),
        (encode_column(text_column(b"n", 8), listed=True)[-3:], "00 00 fb"),
        (encode_column(text_column(b"n", 8), b"x", listed=True)[-4:], "00 00 01 78"),
    ],
)  # fmt: skip
def test_packets_have_the_documented_bytes(encoded: bytes, expected: str) -> None:
    assert encoded == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "00"),
        (250, "fa"),
        (251, "fc fb 00"),
        (65_535, "fc ff ff"),
        (65_536, "fd 00 00 01"),
        ((1 << 24) - 1, "fd ff ff ff"),
        (1 << 24, "fe 00 00 00 01 00 00 00 00"),
        ((1 << 64) - 1, "fe ff ff ff ff ff ff ff ff"),
    ],
)
def test_length_encoded_integers_have_their_shortest_form(number: int, expected: str) -> None:
    assert lenenc(number) == bytes.fromhex(expected)
    assert Reader(bytes.fromhex(expected), "number").lenenc() == number


def test_every_command_byte_is_decided() -> None:
    assert len(COMMANDS) == len(Command) + len(REFUSED)
    decided = {byte: COMMANDS.get(byte, "unknown") for byte in range(256)}
    assert [byte for byte, what in decided.items() if isinstance(what, Command)] == [
        0x01, 0x02, 0x03, 0x04, 0x09, 0x0C, 0x0E, 0x11, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1F,
    ]  # fmt: skip
    for byte, what in decided.items():
        if isinstance(what, Command):
            assert command_of(bytes((byte,))) == what
        else:
            known = "protocol-violation" if what == "unknown" else "feature-not-supported"
            assert refusal(lambda byte=byte: command_of(bytes((byte, 1, 2)))) == known  # type: ignore[misc]


def test_a_date_may_have_a_clock_behind_it_that_stands_at_midnight() -> None:
    assert read_value(Reader(b"\x07\xe8\7\2\x1d\0\0\0", "v"), Type.DATE, unsigned=False) == Date(2024, 2, 29)
