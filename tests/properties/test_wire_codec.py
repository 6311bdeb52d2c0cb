"""What holds of the PostgreSQL codec whatever the bytes."""

import struct
from collections.abc import Callable
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.wire import auth
from gateway.wire import postgres as pg
from gateway.wire.walk import message_at

CODES = {"protocol-violation", "message-too-large", "feature-not-supported"}

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
name = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b""))
messages = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=12)
cuts = st.lists(st.integers(0, 800), max_size=12)
formats = st.lists(st.integers(0, 1), max_size=5)


def read_or_refused(act: Callable[[], object]) -> object:
    """What `act` returns, or None where it refuses with a documented code; anything else is raised."""
    try:
        return act()
    except GatewayError as error:
        if error.code not in CODES:
            raise
        return None


def pieces(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in at), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(messages, cuts, st.binary(max_size=4))
def test_cutting_the_stream_elsewhere_changes_no_message(
    sent: list[tuple[int, bytes]], at: list[int], trailing: bytes
) -> None:
    stream = b"".join(pg.frame(kind, body) for kind, body in sent) + trailing
    for chunks in ([stream], [stream[i : i + 1] for i in range(len(stream))], pieces(stream, at)):
        framer = pg.Framer()
        assert [message for chunk in chunks for message in framer.feed(chunk)] == sent
        assert framer.pending == len(trailing)


@given(st.binary(max_size=200), cuts, st.integers(4, 60))
@example(b"Q\0\0\0\x08abcdS\0\0\0\3", [9], 60)
def test_any_stream_is_cut_the_same_or_refused_the_same(stream: bytes, at: list[int], limit: int) -> None:
    def run(chunks: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
        framer, got = pg.Framer(limit), []
        try:
            for chunk in chunks:
                got += framer.feed(chunk)
                assert framer.pending <= limit
        except GatewayError as error:
            return got, error.code
        return got, ""

    one_by_one, code = run([stream[i : i + 1] for i in range(len(stream))])
    for chunks in ([stream], pieces(stream, at)):
        got, other = run(chunks)
        assert other == code
        assert got == one_by_one if not code else got == one_by_one[: len(got)]


DECODERS: list[Callable[[bytes], object]] = [
    pg.parse_startup,
    pg.startup_length,
    pg.decode_query,
    pg.decode_parse,
    pg.decode_bind,
    pg.decode_describe,
    pg.decode_close,
    pg.decode_execute,
    pg.decode_password,
    pg.decode_sasl_initial_response,
    pg.decode_sasl_response,
    pg.decode_copy_fail,
    pg.parse_error_fields,
    pg.parse_authentication,
    pg.parse_parameter_status,
    pg.parse_backend_key,
    pg.parse_command_complete,
    pg.parse_ready,
    pg.parse_row_description,
    pg.parse_data_row,
    lambda body: message_at(body, 0, len(body)),
]

# Bytes near the grammar: NULs, small counts, the codes of start-up packets, names that are looked for.
fragment = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"\0", b"\0\0", b"\0\1", b"\0\0\0\4", b"\xff\xff\xff\xff", b"\xff\xff", b"S", b"P", b"\xc3"]),
    st.sampled_from([b"\0\3\0\0", b"\4\xd2\x16\x2e", b"\4\xd2\x16\x2f", b"\0\0\0\x0a", b"user\0", b"SCRAM-SHA-256\0"]),
)
body = st.lists(fragment, max_size=12).map(b"".join)


@pytest.mark.parametrize("decode", DECODERS)
@given(body=body)
def test_a_decoder_reads_or_refuses_with_a_documented_code(decode: Callable[[bytes], object], body: bytes) -> None:
    read_or_refused(lambda: decode(body))


@given(name, text, st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_parse_and_query_come_back(statement: bytes, words: str, types: list[int]) -> None:
    assert pg.decode_query(pg.encode_query(words)[5:]) == (words,)
    assert pg.decode_parse(pg.encode_parse(statement, words, types)[5:]) == (statement, words, tuple(types))


@given(name, name, st.lists(st.none() | st.binary(max_size=9), max_size=6), st.data())
def test_bind_comes_back_and_is_relayed_unchanged(
    portal: bytes, statement: bytes, values: list[bytes | None], data: st.DataObject
) -> None:
    params = data.draw(st.sampled_from([[], [0], [1], [1] * len(values)]))
    results = data.draw(formats)
    message = pg.encode_bind(portal, statement, values, params, results)
    bind = pg.decode_bind(message[5:])
    assert bind[:5] == (portal, statement, tuple(params), len(values), tuple(results))
    assert pg.relay_bind(bind, portal=portal, statement=statement) == message


@given(name, st.sampled_from([pg.STATEMENT, pg.PORTAL]), st.integers(0, 2**31 - 1))
def test_describe_close_and_execute_come_back(which: bytes, kind: int, rows: int) -> None:
    assert pg.decode_describe(pg.encode_describe(kind, which)[5:]) == (kind, which)
    assert pg.decode_close(pg.encode_close(kind, which)[5:]) == (kind, which)
    assert pg.decode_execute(pg.encode_execute(which, rows)[5:]) == (which, rows)


@given(st.dictionaries(text.filter(bool), text, max_size=6), st.integers(0, 0xFFFF))
def test_start_up_comes_back(parameters: dict[str, str], minor: int) -> None:
    packet = pg.encode_startup(parameters, minor)
    assert pg.startup_length(packet[:4]) == len(packet)
    message = pg.parse_startup(packet[4:])
    assert message == pg.StartupMessage(3, minor, parameters)
    assert isinstance(message, pg.StartupMessage)
    assert list(message.parameters) == list(parameters)


@given(text, text, text, text, st.integers(0, 2**31 - 1))
def test_errors_come_back(message: str, hint: str, detail: str, state: str, position: int) -> None:
    fields = pg.parse_error_fields(pg.encode_error("FATAL", state, message, hint, detail, position)[5:])
    sent = {"S": "FATAL", "V": "FATAL", "C": state, "M": message, "D": detail, "H": hint}
    assert fields == {k: v for k, v in {**sent, "P": str(position or "")}.items() if v}


@given(st.lists(st.none() | st.binary(max_size=9), max_size=9), st.lists(text, max_size=6), text, text)
def test_what_a_backend_says_comes_back(values: list[bytes | None], columns: list[str], key: str, value: str) -> None:
    assert pg.parse_data_row(pg.encode_data_row(values)[5:]) == tuple(values)
    assert [f.name for f in pg.parse_row_description(pg.encode_row_description(columns)[5:])] == columns
    assert pg.parse_parameter_status(pg.encode_parameter_status(key, value)[5:]) == (key, value)
    assert pg.parse_command_complete(pg.encode_command_complete(value)[5:]) == value
    offered = [column for column in columns if column]
    assert pg.parse_authentication(pg.encode_auth_sasl(offered)[5:]).mechanisms == tuple(offered)


@given(st.integers(0, 255), st.binary(max_size=300))
def test_a_frame_is_its_type_its_length_and_its_body(kind: int, data: bytes) -> None:
    assert pg.frame(kind, data) == struct.pack(">BI", kind, len(data) + 4) + data


VERIFIER = auth.ScramVerifier.parse(auth.make_verifier("pencil", 1, b"salt"))
scram = st.lists(
    st.sampled_from([b"n", b"y", b"p=tls-server-end-point", b",", b",,", b"n=", b"r=abc", b"r=", b"m=1", b"c=biws"])
    | st.sampled_from([b"p=", b"s=c2FsdA==", b"i=1", b"i=99999999999", b"v=", b"e=x", b"=", b"a=b", b"abcdef"])
    | st.binary(max_size=4),
    max_size=10,
).map(b"".join)


@given(scram, scram)
def test_scram_reads_or_refuses_with_a_documented_code_and_never_accepts_by_chance(first: bytes, final: bytes) -> None:
    server = auth.ScramServer(VERIFIER, nonce="def", channel_binding=None)
    client = auth.ScramClient("pencil", "abc", least_iterations=1)
    client.first()
    if read_or_refused(lambda: server.first(first)):
        assert read_or_refused(lambda: server.final(final)) in (None, (False, mock.ANY))
    if read_or_refused(lambda: client.respond(first)):
        assert not read_or_refused(lambda: client.verify(final))


@given(st.text(max_size=12), st.booleans())
def test_any_password_proves_itself_and_no_other(password: str, bound: bool) -> None:
    binding = b"b" * 32 if bound else None
    verifier = auth.ScramVerifier.parse(auth.make_verifier(password, 1, b"salt"))
    for guess, right in ((password, True), (password + "x", False)):
        client = auth.ScramClient(guess, auth.make_nonce(), binding, least_iterations=1)
        server = auth.ScramServer(verifier, nonce="def", channel_binding=binding, mechanism=client.mechanism)
        accepted, final = server.final(client.respond(server.first(client.first())))
        assert accepted is right
        assert client.verify(final) is right
