"""Single packets of the MySQL protocol: exact bytes, and what is refused.

The long vectors are the examples of the protocol's own documentation (MySQL Internals Manual, "MySQL Client/Server
Protocol", now in the MySQL Source Code Documentation), named at each.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.base import CLIENT_STATUS, Capability, Reader, Status, Type, lenenc
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
    decode_fetch,
    decode_field_list,
    decode_long_data,
    decode_number,
    decode_text,
    encode_execute,
    encode_fetch,
    encode_field_list,
    encode_long_data,
    encode_number,
    encode_text,
    relay_execute,
)
from gateway.wire.mysql.packets import LOGIN_LIMIT, MAX_PAYLOAD, Framer, following, frame, frames
from gateway.wire.mysql.results import (
    Column,
    Error,
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
    parse_count,
    parse_end,
    parse_eof,
    parse_error,
    parse_ok,
    parse_prepared,
    parse_text_row,
    text_column,
)
from gateway.wire.mysql.tracking import Change, Tracked, encode_changes, for_client, parse_changes
from gateway.wire.mysql.values import Date, DateTime, Time, Value, read_value, type_of, value_end, write_value

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


OFFERING = hs.OFFERED


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


def response(**given: object) -> bytes:
    """A client's answer to the greeting, with something else in it."""
    usual = {
        "capabilities": hs.OFFERED,
        "max_packet": 1 << 24,
        "charset": 45,
        "user": b"alice",
        "auth": b"a" * 32,
        "database": b"shop",
        "plugin": "caching_sha2_password",
        "attributes": {b"_pid": b"1"},
    }
    return hs.encode_handshake_response(hs.HandshakeResponse(**{**usual, **given}))  # type: ignore[arg-type]


def test_what_a_client_announces_beyond_the_offer_is_not_agreed() -> None:
    bold = hs.OFFERED | Capability.LOCAL_FILES | Capability.QUERY_ATTRIBUTES | Capability.CAPABILITY_EXTENSION
    login = hs.decode_login(response(capabilities=bold), hs.OFFERED)
    assert login.capabilities == hs.OFFERED


def test_a_client_asks_for_tls_with_the_first_32_bytes_of_its_answer() -> None:
    request = hs.encode_ssl_request(hs.OFFERED)
    assert hs.decode_login(request, hs.OFFERED) == hs.SSLRequest(hs.OFFERED, hs.MAX_PACKET, 45)
    assert refusal(lambda: hs.decode_login(request, hs.OFFERED & ~Capability.SSL)) == "protocol-violation"


def test_a_mariadb_client_may_name_flags_of_its_own_in_the_filler_and_none_is_agreed() -> None:
    whole = response(capabilities=hs.OFFERED & ~Capability.LONG_PASSWORD)
    marked = whole[:28] + b"\x1f\0\0\0" + whole[32:]
    login = hs.decode_login(marked, hs.OFFERED)
    assert isinstance(login, hs.HandshakeResponse)
    assert login.user == b"alice"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "protocol-violation"),
        (response()[:31], "protocol-violation"),
        (response()[:33], "protocol-violation"),
        (response()[:-1], "protocol-violation"),
        (response() + b"x", "protocol-violation"),
        (response(capabilities=hs.OFFERED & ~Capability.PROTOCOL_41), "feature-not-supported"),
        (response(capabilities=hs.OFFERED & ~Capability.SECURE_CONNECTION), "feature-not-supported"),
        (response(capabilities=hs.OFFERED & ~Capability.PLUGIN_AUTH), "feature-not-supported"),
        (response(capabilities=hs.OFFERED | Capability.COMPRESS), "feature-not-supported"),
        (response(capabilities=hs.OFFERED | Capability.ZSTD_COMPRESSION_ALGORITHM), "feature-not-supported"),
        (response()[:20] + b"x" + response()[21:], "protocol-violation"),
        (response()[:31] + b"x" + response()[32:], "protocol-violation"),
        (response(attributes={b"a": b"b" * 20_000}), "protocol-violation"),
        (response(attributes={b"%d" % n: b"" for n in range(129)}), "protocol-violation"),
        (response(attributes={})[:-1] + b"\x08\x01a\x01b\x01a\x01c", "protocol-violation"),
        (response(attributes={})[:-1] + b"\x02\x01a", "protocol-violation"),
        (response(attributes={})[:-1] + b"\x02\x03a", "protocol-violation"),
        (response(attributes={})[:-1] + b"\xff", "protocol-violation"),
        (response(plugin="p" * 65), "protocol-violation"),
        (response(plugin="é"), "protocol-violation"),
    ],
)
def test_a_malformed_answer_to_the_greeting_is_refused(body: bytes, code: str) -> None:
    assert refusal(lambda: hs.decode_login(body, hs.OFFERED)) == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"", "protocol-violation"),
        (b"\x20\0\0", "protocol-violation"),
        (b"\x20\0\0\0", "protocol-violation"),
        (b"\x1f\0\0\1", "protocol-violation"),
        (b"GET ", "protocol-violation"),
        (b"\x16\3\1\2", "protocol-violation"),
        (b"\1\0\1\1", "message-too-large"),
    ],
)
def test_the_first_packet_of_a_client_is_of_a_possible_length(header: bytes, code: str) -> None:
    assert hs.first_packet_length(b"\x20\0\0\1") == 36
    assert refusal(lambda: hs.first_packet_length(header)) == code


GREETED = hs.encode_greeting(hs.Greeting("8.0.40", 1, b"n" * 20, hs.OFFERED, "caching_sha2_password"))
AT = GREETED.index(b"\0") + 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "protocol-violation"),
        (b"\x09" + GREETED[1:], "feature-not-supported"),
        (GREETED[:-1], "protocol-violation"),
        (GREETED + b"x", "protocol-violation"),
        (GREETED[: AT + 20] + b"\x14" + GREETED[AT + 21 :], "protocol-violation"),
        (GREETED[: AT + 4] + b"\0" + GREETED[AT + 5 :], "protocol-violation"),
        (GREETED[: AT + 43] + b"x" + GREETED[AT + 44 :], "protocol-violation"),
    ],
)
def test_a_malformed_greeting_is_refused(body: bytes, code: str) -> None:
    assert refusal(lambda: hs.parse_greeting(body)) == code


@pytest.mark.parametrize(
    "greeting",
    [
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED | Capability.LOCAL_FILES, "p"),
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED | Capability.COMPRESS, "p"),
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED & ~Capability.CONNECT_ATTRS, "p"),
        hs.Greeting("8", 1, b"n" * 19, hs.OFFERED, "p"),
        hs.Greeting("8", 1, b"n" * 19 + b"\0", hs.OFFERED, "p"),
    ],
    ids=["files", "compression", "layout", "short-nonce", "nul-in-nonce"],
)
def test_no_greeting_is_made_that_offers_what_is_not_there(greeting: hs.Greeting) -> None:
    with pytest.raises(ValueError, match=r"has not 20|is offered"):
        hs.encode_greeting(greeting)


def test_a_nonce_has_no_byte_that_ends_it_and_comes_from_what_is_given() -> None:
    assert hs.make_nonce(lambda count: bytes(range(256))[:count].ljust(count, b"\0")) == bytes(range(1, 21))
    many = b"".join(hs.make_nonce() for _ in range(200))
    assert not set(many) & {0, 0x24}
    assert max(many) < 128
    assert len(set(many)) > 100


def test_what_is_agreed_with_a_target_is_never_more_than_is_wanted_and_there() -> None:
    everything = 0xFFFFFFFF
    greeting = hs.parse_greeting(GREETED)._replace(capabilities=everything)
    agreed = hs.agree(greeting, everything, tls=True)
    assert agreed == hs.TOWARDS_TARGETS
    forbidden = Capability.LOCAL_FILES | Capability.MULTI_STATEMENTS | Capability.COMPRESS | Capability.QUERY_ATTRIBUTES
    assert not agreed & forbidden
    assert not hs.agree(greeting, everything, tls=False) & Capability.SSL
    plain = greeting._replace(capabilities=everything & ~Capability.SSL)
    assert refusal(lambda: hs.agree(plain, everything, tls=True)) == "tls-required"


def test_change_user_is_read_as_far_as_it_goes() -> None:
    whole = hs.ChangeUser(b"bob", b"x" * 20, b"db", 45, "mysql_native_password", {b"a": b"b"})
    body = hs.encode_change_user(whole, hs.OFFERED)
    assert hs.decode_change_user(body, hs.OFFERED) == whole
    short = hs.ChangeUser(b"bob", b"", b"", None, "", {})
    assert hs.decode_change_user(hs.encode_change_user(short, hs.OFFERED), hs.OFFERED) == short
    for broken in (b"", b"bob", b"bob\0", b"bob\0\5abc", b"bob\0\0db", b"bob\0\0db\0\1", body[:-1], body + b"x"):
        assert refusal(lambda broken=broken: hs.decode_change_user(broken, hs.OFFERED)) == "protocol-violation"  # type: ignore[misc]


ONE = decode_execute(encode_execute(1, 0, Bound((Parameter(Type.LONG),), (7,))))


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: command_of(b""), "protocol-violation"),
        (lambda: decode_number(b"\x01x"), "protocol-violation"),
        (lambda: decode_number(b"\x0e\0"), "protocol-violation"),
        (lambda: decode_number(b"\x0c\1\2\3"), "protocol-violation"),
        (lambda: decode_number(b"\x1b\2\0"), "protocol-violation"),
        (lambda: decode_number(b"\x03select 1"), "protocol-violation"),
        (lambda: decode_field_list(b"\x04table"), "protocol-violation"),
        (lambda: decode_long_data(b"\x18\1\0\0\0\1"), "protocol-violation"),
        (lambda: decode_fetch(b"\x1c\1\0\0\0\1\0\0"), "protocol-violation"),
        (lambda: decode_fetch(b"\x1c\1\0\0\0\1\0\0\0x"), "protocol-violation"),
        (lambda: decode_execute(b"\x17\1\0\0\0\0\1\0\0"), "protocol-violation"),
        (lambda: decode_execute(b"\x17\1\0\0\0\0\2\0\0\0"), "protocol-violation"),
        (lambda: decode_execute(b"\x17\1\0\0\0\2\1\0\0\0"), "feature-not-supported"),
        (lambda: decode_execute(b"\x17\1\0\0\0\4\1\0\0\0"), "feature-not-supported"),
        (lambda: decode_execute(b"\x17\1\0\0\0\x08\1\0\0\0"), "feature-not-supported"),
        (lambda: bind(ONE, 0), "protocol-violation"),
        (lambda: bind(ONE, 2), "protocol-violation"),
        (lambda: bind(ONE, 9), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:-1]), 1), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw + b"x"), 1), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:10] + b"\2" + ONE.raw[11:]), 1), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:11] + b"\2" + ONE.raw[12:]), 1), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:11] + b"\0" + ONE.raw[14:]), 1), "protocol-violation"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:12] + b"\x0e" + ONE.raw[13:]), 1), "feature-not-supported"),
        (lambda: bind(ONE._replace(raw=ONE.raw[:13] + b"\1" + ONE.raw[14:]), 1), "protocol-violation"),
        (lambda: encode_field_list(FieldList(b"a\0b", b"")), "protocol-violation"),
        (lambda: write_value(256, Type.TINY, unsigned=True), "protocol-violation"),
        (lambda: write_value(-1, Type.LONG, unsigned=True), "protocol-violation"),
        (lambda: write_value(1e300, Type.FLOAT, unsigned=False), "protocol-violation"),
        (lambda: write_value(b"x", Type.LONG, unsigned=False), "protocol-violation"),
        (lambda: write_value(1, Type.STRING, unsigned=False), "protocol-violation"),
        (lambda: write_value(Date(2024, 13, 1), Type.DATE, unsigned=False), "protocol-violation"),
        (lambda: write_value(Time(False, 0, 24, 0, 0), Type.TIME, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x07\xe8\7\1\1\1\1\1", "v"), Type.DATE, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x05\xe8\7\1\1\1", "v"), Type.DATETIME, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x04\xe8\7\x0d\1", "v"), Type.DATE, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x04\xff\xff\1\1", "v"), Type.DATE, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x08\2\0\0\0\0\1\1\1", "v"), Type.TIME, unsigned=False), "protocol-violation"),
        (lambda: read_value(Reader(b"\x08\0\0\0\0\0\x3c\1\1", "v"), Type.TIME, unsigned=False), "protocol-violation"),
        (lambda: type_of(14), "feature-not-supported"),
        (lambda: type_of(242), "feature-not-supported"),
        (lambda: parse_ok(b"", PLAIN), "protocol-violation"),
        (lambda: parse_ok(b"\1\0\0\2\0\0\0", PLAIN), "protocol-violation"),
        (lambda: parse_ok(b"\0\xfb\0\2\0\0\0", PLAIN), "protocol-violation"),
        (lambda: parse_ok(b"\0\0\0\2\0\0", PLAIN), "protocol-violation"),
        (lambda: parse_ok(b"\0\0\0\2\0\0\0\5abc", PLAIN), "protocol-violation"),
        (lambda: parse_ok(b"\0\0\0\2\0\0\0\1abc", TRACKED), "protocol-violation"),
        (lambda: parse_ok(b"\0\0\0\2\x40\0\0\0\3\1\2\1", TRACKED), "protocol-violation"),
        (lambda: parse_ok(b"\0\0\0\2\x40\0\0\0\3\6\1\0", TRACKED), "feature-not-supported"),
        (lambda: parse_changes(b"\3\2\1\0"), "protocol-violation"),
        (lambda: parse_changes(b"\1\3\1ab"), "protocol-violation"),
        (lambda: parse_changes(b"\1\2\1a" * 257), "protocol-violation"),
        (lambda: parse_changes(b"\0\xfd\0\0\1" + bytes(65_536)), "protocol-violation"),
        (lambda: parse_column(encode_column(text_column(b"n" * 65_536))), "protocol-violation"),
        (lambda: parse_eof(b"\xfe\0\0\2"), "protocol-violation"),
        (lambda: parse_eof(b"\xfe\0\0\2\0\0"), "protocol-violation"),
        (lambda: parse_error(b"\0"), "protocol-violation"),
        (lambda: parse_error(b"\xff\1"), "protocol-violation"),
        (lambda: parse_error(b"\xff\x15\4#2800"), "protocol-violation"),
        (lambda: parse_error(b"\xff\x15\4#28\x0000x"), "protocol-violation"),
        (lambda: parse_error(b"\xff\xff\xff\1\1\1"), "feature-not-supported"),
        (lambda: parse_column(b"\3xyz\0\0\0\0\0\x0c" + bytes(12)), "protocol-violation"),
        (lambda: parse_column(b"\3def\0\0\0\0\0\x0d" + bytes(13)), "protocol-violation"),
        (lambda: parse_column(b"\3def\0\0\0\0\0\x0c" + bytes(11)), "protocol-violation"),
        (lambda: parse_column(b"\3def\0\0\0\0\0\x0c" + bytes(13)), "protocol-violation"),
        (lambda: parse_column(b"\3def\0\0\0\0\0\x0c" + b"\x0e" * 12), "feature-not-supported"),
        (lambda: parse_column(b"\3def\0\0\0\0\0\x0c" + bytes(12) + b"\2a", listed=True), "protocol-violation"),
        (lambda: parse_count(b"\0", 9), "protocol-violation"),
        (lambda: parse_count(b"\x0a", 9), "protocol-violation"),
        (lambda: parse_count(b"\1\1", 9), "protocol-violation"),
        (lambda: parse_prepared(b"\0\1\0\0\0\1\0\0\0\0\0"), "protocol-violation"),
        (lambda: parse_prepared(b"\1" + bytes(11)), "protocol-violation"),
        (lambda: parse_text_row(b"\1a", 2), "protocol-violation"),
        (lambda: parse_text_row(b"\1a\1b", 1), "protocol-violation"),
        (lambda: parse_text_row(b"\xff", 1), "protocol-violation"),
        (lambda: parse_text_row(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1), "protocol-violation"),
        (lambda: parse_binary_row(b"\0", [text_column(b"a")]), "protocol-violation"),
        (lambda: parse_binary_row(b"\1\0\0", [text_column(b"a")]), "protocol-violation"),
        (lambda: parse_binary_row(b"\0\4x", [text_column(b"a")]), "protocol-violation"),
        (lambda: hs.parse_auth_switch(b""), "protocol-violation"),
        (lambda: hs.parse_auth_switch(b"\xfe"), "feature-not-supported"),
        (lambda: hs.parse_auth_switch(b"\xfeplugin"), "protocol-violation"),
        (lambda: hs.parse_auth_switch(b"\1\3"), "protocol-violation"),
    ],
)
def test_what_is_malformed_or_not_spoken_is_refused(act: Callable[[], object], code: str) -> None:
    assert refusal(act) == code


def test_long_data_and_types_of_the_execution_before() -> None:
    types = (Parameter(Type.LONG), Parameter(Type.BLOB))
    first = encode_execute(1, 0, Bound(types, (7, None)), {1})
    assert bind(decode_execute(first), 2, None, {1}) == Bound(types, (7, None))
    again = decode_execute(first[:11] + b"\0" + first[16:])
    assert bind(again, 2, types, {1}) == Bound(types, (7, None))
    assert refusal(lambda: bind(again, 2, types)) == "protocol-violation"


def test_statements_and_names_are_the_bytes_that_came() -> None:
    assert decode_text(encode_text(Command.QUERY, b"select '\xff\0'")) == b"select '\xff\0'"
    assert decode_field_list(encode_field_list(FieldList(b"t", b"a%"))) == FieldList(b"t", b"a%")


def test_an_error_of_ours_is_sent_even_when_it_quotes_what_cannot_be_sent() -> None:
    error = parse_error(encode_error(1142, "42000", "a\0b\udc80c"))
    assert error == Error(1142, "42000", "a\ufffdb?c")
    long = parse_error(encode_error(1142, "42000", "é" * 600))
    assert long.message == "é" * 256
    assert parse_error(b"\xff\x10\4Too many connections") == Error(1040, "", "Too many connections")
    with pytest.raises(ValueError, match="five"):
        encode_error(1142, "4200", "x")


def test_a_client_is_told_of_no_change_that_is_not_on_the_list() -> None:
    changes = (
        Change(Tracked.SYSTEM_VARIABLES, b"OFF", b"autocommit"),
        Change(Tracked.SYSTEM_VARIABLES, b"secret", b"gateway_mask_key"),
        Change(Tracked.SCHEMA, b"physical_name"),
        Change(Tracked.STATE_CHANGE, b"1"),
        Change(Tracked.GTIDS, b"0-1-270"),
        Change(Tracked.TRANSACTION_CHARACTERISTICS, b""),
        Change(Tracked.TRANSACTION_STATE, b"T_r____S"),
    )
    assert parse_changes(encode_changes(changes)) == changes
    assert for_client(changes, schema=b"shop") == (
        Change(Tracked.SYSTEM_VARIABLES, b"OFF", b"autocommit"),
        Change(Tracked.SCHEMA, b"shop"),
        Change(Tracked.STATE_CHANGE, b"1"),
    )
    # MariaDB tells of several variables in one entry
    together = b"\0\x0c\1a\1b\1c\1d\1e\1f"
    assert [(change.name, change.value) for change in parse_changes(together)] == [
        (b"a", b"b"),
        (b"c", b"d"),
        (b"e", b"f"),
    ]


def test_the_status_that_tells_of_plans_is_not_for_clients() -> None:
    told = 0xFFFF & CLIENT_STATUS
    assert not told & (Status.NO_INDEX_USED | Status.NO_GOOD_INDEX_USED | Status.QUERY_WAS_SLOW)
    assert told & Status.IN_TRANS


def test_the_end_of_rows_is_read_in_both_forms() -> None:
    ok = Ok(status=Status.AUTOCOMMIT | Status.MORE_RESULTS_EXISTS, warnings=2)
    for capabilities in (PLAIN, NEW):
        assert parse_end(encode_end(ok, capabilities), capabilities) == ok


def test_what_a_stranger_announces_is_kept_nowhere() -> None:
    # an enumeration of flags remembers every combination that it ever made, for ever
    flags = 0xFFFFFFFF & ~(Capability.COMPRESS | Capability.ZSTD_COMPRESSION_ALGORITHM)
    login = hs.decode_login(response(capabilities=flags), hs.OFFERED)
    assert type(login.capabilities) is int
    assert type(hs.parse_greeting(GREETED).capabilities) is int
    assert type(parse_ok(b"\0\0\0\xff\xbf\0\0", PLAIN).status) is int


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
@pytest.mark.parametrize("sequence", [0, 254])
def test_payloads_are_split_and_joined(size: int, sequence: int) -> None:
    body = bytes(size)
    stream = frame(body, sequence)
    assert len(stream) == size + 4 * (size // MAX_PAYLOAD + 1)
    assert stream[3] == sequence
    framer = Framer(2 * MAX_PAYLOAD, sequence=sequence)
    framer.feed(stream)
    assert framer.take() == body
    assert framer.sequence == following(size, sequence)
    assert framer.take() is None
    assert framer.pending == 0
    assert frames([b"a", body, b"b"], sequence)[1] == (following(size, sequence) + 2) & 0xFF


def test_a_continued_payload_is_refused_at_the_header_that_takes_it_over_the_limit() -> None:
    framer = Framer(MAX_PAYLOAD + 10)
    framer.feed(frame(bytes(MAX_PAYLOAD + 11))[: MAX_PAYLOAD + 4])
    assert framer.take() is None
    assert framer.pending == MAX_PAYLOAD
    framer.feed(b"\x0b\0\0\1")
    assert refusal(framer.take) == "message-too-large"
    assert framer.pending == 0


def test_the_limit_holds_for_payloads_that_begin_after_it_was_set() -> None:
    framer = Framer(1000)
    stream = frame(b"x" * 500)
    framer.feed(stream[:100])
    assert framer.take() is None
    framer.limit = 50
    framer.feed(stream[100:])
    assert framer.take() == b"x" * 500
    framer.feed(frame(b"x" * 51, 1))
    assert refusal(framer.take) == "message-too-large"


def test_a_packet_out_of_sequence_is_refused_and_the_stream_stays_refused() -> None:
    framer = Framer()
    framer.feed(frame(b"a", 0) + frame(b"b", 2))
    assert framer.take() == b"a"
    for _ in range(2):
        assert refusal(framer.take) == "protocol-violation"
        framer.feed(frame(b"b", 1))
        assert framer.pending == 0


def test_each_command_begins_at_zero_and_its_answer_goes_on_behind_it() -> None:
    framer = Framer(commands=True)
    framer.feed(frame(b"\x0e") + frame(b"\x0e"))
    assert framer.take() == b"\x0e"
    assert framer.sequence == 1
    assert framer.take() == b"\x0e"
    framer.feed(frame(b"\x0e", 1))
    assert refusal(framer.take) == "protocol-violation"


@pytest.mark.parametrize(
    "stream", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x16\3\1\2\0\1\0\1\xfc\3\3"], ids=["http", "ssh", "tls"]
)
def test_another_protocol_is_refused_at_its_first_bytes(stream: bytes) -> None:
    framer = Framer(LOGIN_LIMIT, sequence=1)
    framer.feed(stream)
    assert refusal(framer.take) == "protocol-violation"
