"""What is malformed in the MySQL protocol, or not spoken, is refused; what is not for clients does not reach them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.base import CLIENT_STATUS, Capability, Reader, Status, Type
from gateway.wire.mysql.commands import (
    Bound,
    Command,
    FieldList,
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
    encode_field_list,
    encode_text,
)
from gateway.wire.mysql.results import (
    Error,
    Ok,
    encode_column,
    encode_end,
    encode_error,
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
from gateway.wire.mysql.values import Date, Time, read_value, type_of, write_value

PLAIN = Capability.PROTOCOL_41
TRACKED = PLAIN | Capability.SESSION_TRACK
NEW = TRACKED | Capability.DEPRECATE_EOF


def refusal(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(GatewayError) as refused:
        act()
    assert refused.value.refusal.fatal
    return refused.value.code


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
