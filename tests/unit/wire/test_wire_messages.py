"""Single messages: exact bytes, and what is refused."""

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire import postgres as pg


def refusal(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(GatewayError) as refused:
        act()
    return refused.value.code


def startup(parameters: bytes, version: int = 0x0003_0000) -> bytes:
    return version.to_bytes(4) + parameters


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (pg.encode_sync(), "53 00000004"),
        (pg.encode_flush(), "48 00000004"),
        (pg.encode_terminate(), "58 00000004"),
        (pg.encode_query("é"), "51 00000007 c3a9 00"),
        (pg.encode_parse(b"s", "x", [23]), "50 0000000e 7300 7800 0001 00000017"),
        (pg.encode_bind(b"", b"s", [b"a", None], [1]), "42 00000018 00 7300 0001 0001 0002 00000001 61 ffffffff 0000"),
        (pg.encode_execute(b"p", 7), "45 0000000a 7000 00000007"),
        (pg.encode_describe(pg.PORTAL, b"p"), "44 00000007 50 7000"),
        (pg.encode_close(pg.STATEMENT, b""), "43 00000006 53 00"),
        (pg.encode_password("é"), "70 00000007 c3a9 00"),
        (pg.encode_sasl_initial_response("M", None), "70 0000000a 4d00 ffffffff"),
        (pg.encode_ssl_request(), "00000008 04d2162f"),
        (pg.encode_gssenc_request(), "00000008 04d21630"),
        (pg.encode_cancel(7, b"abcd"), "00000010 04d2162e 00000007 61626364"),
        (pg.encode_startup({"user": "a"}, 2), "00000010 00030002 7573657200 6100 00"),
        (pg.encode_negotiate_protocol_version(2, ["_pq_.x"]), "76 00000013 00030002 00000001 5f70715f2e7800"),
        (pg.encode_auth_ok(), "52 00000008 00000000"),
        (pg.encode_auth_cleartext(), "52 00000008 00000003"),
        (pg.encode_auth_sasl(["A", "B"]), "52 0000000d 0000000a 4100 4200 00"),
        (pg.encode_auth_sasl_continue(b"x"), "52 00000009 0000000b 78"),
        (pg.encode_auth_sasl_final(b"x"), "52 00000009 0000000c 78"),
        (pg.encode_ready(b"T"), "5a 00000005 54"),
        (pg.encode_parameter_status("a", "b"), "53 00000008 6100 6200"),
        (pg.encode_backend_key(7, b"abcd"), "4b 0000000c 00000007 61626364"),
        (pg.encode_command_complete("SELECT 1"), "43 0000000d 53454c454354203100"),
        (pg.encode_data_row(["a", None, b""]), "44 00000013 0003 00000001 61 ffffffff 00000000"),
        (
            pg.encode_row_description(["n"], [23]),
            "54 0000001a 0001 6e00 00000000 0000 00000017 0004 ffffffff 0000",
        ),
    ],
)  # fmt: skip
def test_messages_have_the_documented_bytes(encoded: bytes, expected: str) -> None:
    assert encoded == bytes.fromhex(expected)


def test_an_error_carries_its_fields_in_order_and_leaves_out_the_empty_ones() -> None:
    error = pg.encode_error("ERROR", "42501", "no `x`", hint="ask", position=3)
    assert error[5:] == b"SERROR\0VERROR\0C42501\0Mno `x`\0Hask\0P3\0\0"
    assert pg.encode_notice("NOTICE", "00000", "m", detail="d")[5:] == b"SNOTICE\0VNOTICE\0C00000\0Mm\0Dd\0\0"


def test_a_message_of_ours_is_sent_even_when_it_quotes_what_cannot_be_sent() -> None:
    fields = pg.parse_error_fields(pg.encode_error("ERROR", "42601", "a\0b\udc80c")[5:])
    assert fields["M"] == "a\ufffdb?c"


def test_a_targets_error_in_another_encoding_is_still_read() -> None:
    assert pg.parse_error_fields(b"SERREUR\0Mclos\xe9\0\0") == {"S": "ERREUR", "M": "clos\ufffd"}


def test_start_up_parameters_come_in_order_and_extensions_are_told_apart() -> None:
    message = pg.parse_startup(startup(b"user\0alice\0_pq_.x\0y\0\0", 0x0003_0002))
    assert message == pg.StartupMessage(3, 2, {"user": "alice", "_pq_.x": "y"})
    assert message.protocol_options == ("_pq_.x",)


@pytest.mark.parametrize("secret", [b"1234", b"s" * 32, b"s" * 256])
def test_cancel_keys_have_4_to_256_bytes(secret: bytes) -> None:
    packet = pg.encode_cancel(77, secret)
    assert pg.parse_startup(packet[4:]) == pg.CancelRequest(77, secret)
    assert pg.parse_backend_key(pg.encode_backend_key(77, secret)[5:]) == (77, secret)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"", "protocol-violation"),
        (b"\0\3", "protocol-violation"),
        (startup(b""), "protocol-violation"),
        (startup(b"user"), "protocol-violation"),
        (startup(b"user\0alice\0"), "protocol-violation"),
        (startup(b"user\0alice\0\0\0"), "protocol-violation"),
        (startup(b"user\0alice\0\0user\0bob\0\0"), "protocol-violation"),
        (startup(b"user\0alice\0user\0bob\0\0"), "protocol-violation"),
        (startup(b"user\0al\xffce\0\0"), "protocol-violation"),
        (startup(b"us\xffer\0alice\0\0"), "protocol-violation"),
        (startup(b"user\0\xed\xa0\x80\0\0"), "protocol-violation"),
        (startup(b"user\0alice\0\0", 0x0002_0000), "feature-not-supported"),
        (startup(b"user\0alice\0\0", 0x0004_0000), "feature-not-supported"),
        (startup(b"user\0" + b"a" * 10_000 + b"\0\0"), "message-too-large"),
        (pg.encode_ssl_request()[4:] + b"x", "protocol-violation"),
        (pg.encode_gssenc_request()[4:] + b"x", "protocol-violation"),
        (pg.encode_cancel(1, b"abc")[4:], "protocol-violation"),
        (pg.encode_cancel(1, b"a" * 257)[4:], "protocol-violation"),
    ],
)
def test_a_malformed_start_up_packet_is_refused(packet: bytes, code: str) -> None:
    assert refusal(lambda: pg.parse_startup(packet)) == code


@pytest.mark.parametrize(
    ("first4", "code"),
    [
        (b"", "protocol-violation"),
        (b"\0\0\0\x07", "protocol-violation"),
        (b"\0\0\0\0", "protocol-violation"),
        (b"\0\0\x27\x11", "message-too-large"),
        (b"GET ", "message-too-large"),
        (b"\xff\xff\xff\xff", "message-too-large"),
    ],
)
def test_an_impossible_start_up_length_is_refused(first4: bytes, code: str) -> None:
    assert refusal(lambda: pg.startup_length(first4)) == code


def test_a_start_up_packet_may_have_8_to_10000_bytes() -> None:
    assert pg.startup_length(b"\0\0\0\x08") == 8
    assert pg.startup_length(b"\0\0\x27\x10") == 10_000


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (pg.decode_query, b""),
        (pg.decode_query, b"select 1"),
        (pg.decode_query, b"select 1\0\0"),
        (pg.decode_query, b"select 1\0; drop table x\0"),
        (pg.decode_query, b"select '\xff'\0"),
        (pg.decode_query, b"select '\xed\xa0\x80'\0"),
        (pg.decode_query, b"select '\xc0\x80'\0"),
        (pg.decode_parse, b"s\0select 1\0"),
        (pg.decode_parse, b"s\0select 1\0\0\1\0\0\0"),
        (pg.decode_parse, b"s\0select 1\0\0\0x"),
        (pg.decode_parse, b"s\0sel\xe9ct 1\0\0\0"),
        (pg.decode_parse, b"s\0select 1\0\0\0\0\0\0\x17\0"),
        (pg.decode_bind, b"\0\0"),
        (pg.decode_bind, b"\0\0\0\0\0\0\0\0x"),
        (pg.decode_bind, b"\0\0\0\0\0\1\0\0\0\5abcd\0\0"),
        (pg.decode_bind, b"\0\0\0\0\0\1\xff\xff\xff\xfeabcd\0\0"),
        (pg.decode_bind, b"\0\0\0\1\0\2\0\0\0\0"),
        (pg.decode_bind, b"\0\0\0\0\0\0\0\1\0\2"),
        (pg.decode_bind, b"\0\0\0\2\0\0\0\0\0\1\xff\xff\xff\xff\0\0"),
        (pg.decode_bind, b"\0\0\0\0\xff\xff\0\0"),
        (pg.decode_describe, b""),
        (pg.decode_describe, b"S"),
        (pg.decode_describe, b"Xname\0"),
        (pg.decode_describe, b"Sna\0me\0"),
        (pg.decode_close, b"Pname"),
        (pg.decode_close, b"Pname\0x"),
        (pg.decode_execute, b""),
        (pg.decode_execute, b"p\0\0\0\0"),
        (pg.decode_execute, b"p\0\0\0\0\0\0"),
        (pg.decode_password, b""),
        (pg.decode_password, b"secret"),
        (pg.decode_password, b"sec\0ret\0"),
        (pg.decode_sasl_initial_response, b"SCRAM-SHA-256\0"),
        (pg.decode_sasl_initial_response, b"SCRAM-SHA-256\0\0\0\0\5abcd"),
        (pg.decode_sasl_initial_response, b"SCRAM-SHA-256\0\0\0\0\3abcd"),
        (pg.decode_sasl_initial_response, b"SCRAM-SHA-256\0\xff\xff\xff\xffx"),
        (pg.decode_sasl_initial_response, b"SCR\xc3\x84M\0\xff\xff\xff\xff"),
        (lambda body: pg.decode_empty(body, "Sync"), b"x"),
        (pg.parse_error_fields, b""),
        (pg.parse_error_fields, b"SERROR\0"),
        (pg.parse_error_fields, b"SERROR"),
        (pg.parse_error_fields, b"\0x"),
        (pg.parse_authentication, b"\0\0\0"),
        (pg.parse_authentication, b"\0\0\0\0x"),
        (pg.parse_authentication, b"\0\0\0\5abc"),
        (pg.parse_authentication, b"\0\0\0\x0aSCRAM-SHA-256\0"),
        (pg.parse_authentication, b"\0\0\0\x0a\0x"),
        (pg.parse_parameter_status, b"a\0b"),
        (pg.parse_parameter_status, b"a\0b\0c\0"),
        (pg.parse_backend_key, b"\0\0\0\1abc"),
        (pg.parse_backend_key, b"\0\0\0\1" + b"a" * 257),
        (pg.parse_command_complete, b"SELECT 1"),
        (pg.parse_ready, b""),
        (pg.parse_ready, b"X"),
        (pg.parse_ready, b"II"),
        (pg.parse_row_description, b"\0\1a\0"),
        (pg.parse_data_row, b"\0\1\0\0\0\5abcd"),
        (pg.parse_data_row, b"\0\0x"),
    ],
)
def test_a_malformed_message_is_refused(decode: Callable[[bytes], object], body: bytes) -> None:
    assert refusal(lambda: decode(body)) == "protocol-violation"


@pytest.mark.parametrize("method", [2, 6, 7, 8, 9, 13])
def test_other_ways_to_authenticate_to_a_target_are_not_supported(method: int) -> None:
    assert refusal(lambda: pg.parse_authentication(method.to_bytes(4))) == "feature-not-supported"


@pytest.mark.parametrize(
    "encode",
    [
        lambda: pg.encode_query("select 1\0; drop table x"),
        lambda: pg.encode_query("select '\udc80'"),
        lambda: pg.encode_parse(b"a\0b", "select 1"),
        lambda: pg.encode_parse(b"", "select 1", [0] * 65_536),
        lambda: pg.encode_password("a\0b"),
        lambda: pg.encode_startup({"user": "alice\0database\0other"}),
        lambda: pg.relay_bind(pg.decode_bind(pg.encode_bind(b"", b"")[5:]), portal=b"", statement=b"a\0b"),
    ],
)
def test_nothing_is_sent_to_a_target_that_it_would_read_otherwise(encode: Callable[[], bytes]) -> None:
    assert refusal(encode) == "protocol-violation"


def test_a_bind_is_relayed_under_other_names_with_its_values_untouched() -> None:
    body = pg.encode_bind(b"p", b"s", [b"\0\xff", None, b""], [1], [0, 1])[5:]
    bind = pg.decode_bind(body)
    assert (bind.portal, bind.statement, bind.param_formats, bind.nparams) == (b"p", b"s", (1,), 3)
    assert bind.result_formats == (0, 1)
    relayed = pg.relay_bind(bind, portal=b"", statement=b"longer")
    assert relayed == pg.encode_bind(b"", b"longer", [b"\0\xff", None, b""], [1], [0, 1])


def test_a_negative_row_limit_is_none() -> None:
    assert pg.decode_execute(b"\0\xff\xff\xff\xff") == (b"", 0)


@pytest.mark.parametrize("length", [0, 3])
def test_a_length_that_does_not_count_itself_is_refused(length: int) -> None:
    assert refusal(lambda: pg.Framer().feed(b"Q" + length.to_bytes(4))) == "protocol-violation"


@pytest.mark.parametrize("length", [101, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_message_over_the_limit_is_refused_at_its_header(length: int) -> None:
    assert refusal(lambda: pg.Framer(100).feed(b"Q" + length.to_bytes(4))) == "message-too-large"


def test_a_message_at_the_limit_is_taken() -> None:
    message = pg.frame(pg.QUERY, b"x" * 96)
    assert pg.Framer(100).feed(message) == [(pg.QUERY, b"x" * 96)]


def test_the_limit_holds_for_messages_that_begin_after_it_was_set() -> None:
    framer = pg.Framer(1000)
    message = pg.frame(pg.QUERY, b"x" * 500)
    assert framer.feed(message[:100]) == []
    assert framer.pending == 100
    framer.limit = 50
    assert framer.feed(message[100:]) == [(pg.QUERY, b"x" * 500)]
    assert framer.pending == 0
    assert refusal(lambda: framer.feed(message)) == "message-too-large"


def test_a_refused_stream_stays_refused_and_holds_nothing() -> None:
    framer = pg.Framer()
    for data in (pg.encode_sync() + b"Q\0\0\0\0", pg.encode_sync()):
        assert refusal(lambda data=data: framer.feed(data)) == "protocol-violation"  # type: ignore[misc]
        assert framer.pending == 0


def test_message_at_says_how_much_it_needs_and_where_a_message_ends() -> None:
    from gateway.wire.walk import message_at

    stream = b"x" + pg.encode_command_complete("SELECT 1") + b"Z"
    assert message_at(stream, 1, 4) == (0, 5)
    assert message_at(stream, 1, 10) == (0, 14)
    assert message_at(stream, 1, len(stream)) == (pg.COMMAND_COMPLETE, 15)
    assert message_at(stream, 15, len(stream)) == (0, 5)
    assert refusal(lambda: message_at(b"Z\0\0\0\3", 0, 5)) == "protocol-violation"
    assert refusal(lambda: message_at(b"Z\0\0\1\0", 0, 5, 255)) == "protocol-violation"
