"""What holds of the MySQL codec whatever the bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.wire.mysql import auth, commands, handshake, results, tracking
from gateway.wire.mysql.answers import Answer, Part
from gateway.wire.mysql.base import Capability, Reader, Status, Type, lenenc
from gateway.wire.mysql.commands import Command, Parameter
from gateway.wire.mysql.packets import MAX_PAYLOAD, Framer, following, frame, frames
from gateway.wire.mysql.results import Column, Error, Ok, Prepared
from gateway.wire.mysql.tracking import Change, Tracked
from gateway.wire.mysql.values import INTEGERS, STRINGS, Date, DateTime, Time, Value, read_value, value_end, write_value
from gateway.wire.mysql.walk import (
    binary_spans,
    packet_at,
    renumber,
    replace_binary_cells,
    replace_cells,
    text_spans,
    walk_rows,
)

CODES = {"protocol-violation", "message-too-large", "feature-not-supported", "tls-required"}
PLAIN = Capability.PROTOCOL_41
TRACKED = PLAIN | Capability.SESSION_TRACK
NEW = TRACKED | Capability.DEPRECATE_EOF

cuts = st.lists(st.integers(0, 800), max_size=12)
name = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b""))
capabilities = st.sampled_from([PLAIN, TRACKED, NEW, PLAIN | Capability.DEPRECATE_EOF])


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


def taken(framer: Framer, chunks: list[bytes], out: list[bytes]) -> str:
    """The code that ends the stream, empty when nothing does; what was taken goes to `out`."""
    for chunk in chunks:
        framer.feed(chunk)
        try:
            while (payload := framer.take()) is not None:
                out.append(payload)
        except GatewayError as error:
            return error.code
    return ""


@given(st.lists(st.binary(max_size=60), max_size=12), cuts, st.binary(max_size=3), st.integers(0, 255), st.booleans())
def test_cutting_the_stream_elsewhere_changes_no_payload(
    sent: list[bytes], at: list[int], trailing: bytes, sequence: int, each: bool
) -> None:
    stream = b"".join(map(frame, sent)) if each else frames(sent, sequence)[0]
    for chunks in ([stream + trailing], [bytes((byte,)) for byte in stream + trailing], pieces(stream + trailing, at)):
        framer, got = Framer(sequence=sequence, commands=each), list[bytes]()
        assert taken(framer, chunks, got) == ""
        assert got == sent
        assert framer.pending == len(trailing)
        if sent:
            expected = 1 if each else (sequence + len(sent)) & 0xFF
            assert framer.sequence == expected


@given(st.binary(max_size=200), cuts, st.integers(0, 60), st.booleans())
@example(frame(b"abc") + b"\x99\0\0\1", [9], 60, False)
def test_any_stream_is_cut_the_same_or_refused_the_same(stream: bytes, at: list[int], limit: int, each: bool) -> None:
    one_by_one: list[bytes] = []
    code = taken(Framer(limit, commands=each), [bytes((byte,)) for byte in stream], one_by_one)
    for chunks in ([stream], pieces(stream, at)):
        got: list[bytes] = []
        assert taken(Framer(limit, commands=each), chunks, got) == code
        assert got == one_by_one
        assert all(len(payload) <= limit for payload in got)


@given(st.sampled_from([0, 1, 2, 3]), st.integers(-1, 1), st.integers(0, 255))
def test_sizes_around_the_packets_limit(times: int, more: int, sequence: int) -> None:
    size = max(0, times * MAX_PAYLOAD + more)
    body = bytes(size)
    stream = frame(body, sequence)
    held = memoryview(stream)
    at, number = 0, sequence
    while at < len(stream):
        need, said = packet_at(held, at, len(stream))
        assert said == number
        at, number = at + need, (number + 1) & 0xFF
    assert number == following(size, sequence)
    framer = Framer(size, sequence=sequence)
    framer.feed(stream)
    assert framer.take() == body


DECODERS: dict[str, Callable[[bytes], object]] = {
    "greeting": handshake.parse_greeting,
    "first packet": handshake.first_packet_length,
    "login": lambda body: handshake.decode_login(body, handshake.OFFERED),
    "login, anything offered": lambda body: handshake.decode_login(body, 0xFFFFFFFF),
    "change user": lambda body: handshake.decode_change_user(body, handshake.OFFERED),
    "auth switch": handshake.parse_auth_switch,
    "command": commands.command_of,
    "number": commands.decode_number,
    "field list": commands.decode_field_list,
    "long data": commands.decode_long_data,
    "fetch": commands.decode_fetch,
    "execute": lambda body: commands.bind(commands.decode_execute(body), body[-1] % 12 if body else 0),
    "ok": lambda body: results.parse_ok(body, NEW),
    "ok, plain": lambda body: results.parse_ok(body, PLAIN),
    "end": lambda body: results.parse_end(body, NEW),
    "end, plain": lambda body: results.parse_end(body, PLAIN),
    "error": results.parse_error,
    "column": results.parse_column,
    "listed": lambda body: results.parse_column(body, listed=True),
    "count": lambda body: results.parse_count(body, 4096),
    "prepared": results.parse_prepared,
    "text row": lambda body: results.parse_text_row(body, 3),
    "binary row": lambda body: results.parse_binary_row(body, COLUMNS),
    "text spans": lambda body: text_spans(body, 3),
    "binary spans": lambda body: binary_spans(body, COLUMNS),
    "changes": tracking.parse_changes,
}
COLUMNS = [Column(b"%d" % kind, kind) for kind in Type]

# Bytes near the grammar: heads of packets, forms of lengths, the flags of real clients and servers.
fragment = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"\0", b"\1", b"\xfb", b"\xfc", b"\xfd", b"\xfe", b"\xff", b"\0\0", b"\xff\xff\xff\xff", b"\x0c"]),
    st.sampled_from(
        [b"\3def", b"#HY000", b"mysql_native_password\0", b"caching_sha2_password\0", b"alice\0", bytes(23)]
    ),
    st.sampled_from(
        [b"\x85\xa6\xff\x19", b"\x0a8.0.40\0", b"\x17\1\0\0\0\0\1\0\0\0", b"\x0b\xe8\7\1\1\1\1\1", b"\2\x40"]
    ),
)
body = st.lists(fragment, max_size=14).map(b"".join)


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@given(body=body)
def test_a_decoder_reads_or_refuses_with_a_documented_code(decode: Callable[[bytes], object], body: bytes) -> None:
    read_or_refused(lambda: decode(body))


@given(
    st.sampled_from([c for c in Command if c not in commands.SILENT and c != Command.CHANGE_USER]),
    capabilities,
    st.data(),
)
def test_an_answer_is_followed_to_its_end_or_refused(command: Command, agreed: int, data: st.DataObject) -> None:
    columns = COLUMNS if command == Command.STMT_FETCH else None
    answer = Answer(command, agreed, columns)
    likely = [
        results.encode_ok(Ok(), agreed),
        results.encode_end(Ok(), agreed),
        results.encode_end(Ok(status=Status.MORE_RESULTS_EXISTS), agreed),
        results.encode_eof(0, Status.CURSOR_EXISTS),
        results.encode_count(1),
        results.encode_column(results.text_column(b"a")),
        results.encode_prepared(Prepared(1, 1, 1)),
        b"\1x",
        b"\0\0\1x",
        results.encode_error(1, "HY000", "x"),
    ]
    for payload in data.draw(st.lists(st.sampled_from(likely) | body, max_size=12)):
        over, rows = answer.over, answer.rows
        part = read_or_refused(lambda payload=payload: answer.take(payload))  # type: ignore[misc]
        assert not (over and part)
        assert answer.rows == rows + (part == Part.ROW)
        # INVARIANT: nothing that asks for a file is ever taken for something else than a row that was announced
        if payload[:1] == b"\xfb" and part not in (None, Part.TEXT):
            assert part == Part.ROW
        if part is None:
            return


integers = st.sampled_from(list(INTEGERS))
moment = st.builds(
    DateTime,
    st.integers(0, 9999),
    st.integers(0, 12),
    st.integers(0, 31),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
)
span = st.builds(
    Time,
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
)
floats = st.floats(width=32, allow_nan=False)


@st.composite
def typed(draw: st.DrawFn) -> tuple[Parameter, Value]:
    """A parameter's type and a value of it."""
    kind = draw(st.sampled_from(list(Type)))
    unsigned = draw(st.booleans())
    if kind in INTEGERS:
        bits = 8 * INTEGERS[kind]
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Parameter(kind, unsigned), draw(st.none() | st.integers(low, high))
    if kind in STRINGS:
        return Parameter(kind, unsigned), draw(st.none() | st.binary(max_size=300))
    if kind in (Type.FLOAT, Type.DOUBLE):
        return Parameter(kind, unsigned), draw(st.none() | floats)
    if kind == Type.NULL:
        return Parameter(kind, unsigned), None
    if kind == Type.DATE:
        return Parameter(kind, unsigned), draw(st.none() | moment.map(lambda value: Date(*value[:3])))
    return Parameter(kind, unsigned), draw(st.none() | (span if kind == Type.TIME else moment))


@given(typed())
def test_a_value_comes_back_and_its_end_is_found_without_reading_it(given: tuple[Parameter, Value]) -> None:
    parameter, value = given
    if value is None:
        return
    data = write_value(value, parameter.type, unsigned=parameter.unsigned)
    reader = Reader(data + b"behind", "value")
    assert read_value(reader, parameter.type, unsigned=parameter.unsigned) == value
    assert reader.at == len(data) == value_end(data + b"behind", 0, parameter.type)


@given(st.lists(typed(), max_size=20), st.integers(0, 2**32 - 1), st.data())
def test_an_execution_comes_back(given: list[tuple[Parameter, Value]], statement: int, data: st.DataObject) -> None:
    long = data.draw(st.sets(st.integers(0, 19), max_size=3))
    bound = commands.Bound(
        tuple(parameter for parameter, _ in given),
        tuple(None if place in long else value for place, (_, value) in enumerate(given)),
    )
    sent = commands.encode_execute(statement, data.draw(st.integers(0, 1)), bound, long)
    execute = commands.decode_execute(sent)
    assert commands.bind(execute, len(given), None, long) == bound
    assert commands.relay_execute(execute, statement) == sent
    for cut in range(10, len(sent)):
        shorter = execute._replace(raw=sent[:cut])
        assert read_or_refused(lambda shorter=shorter: commands.bind(shorter, len(given), None, long)) is None  # type: ignore[misc]


@given(st.lists(st.none() | st.binary(max_size=300), min_size=1, max_size=9), st.data())
def test_a_text_row_comes_back_and_so_do_its_cells_when_others_change(
    cells: list[bytes | None], data: st.DataObject
) -> None:
    row = results.encode_text_row(cells)
    assert results.parse_text_row(row, len(cells)) == tuple(cells)
    spans = text_spans(row, len(cells))
    assert [b"".join([lenenc(len(cell)), cell]) if cell is not None else b"\xfb" for cell in cells] == [
        row[start:end] for start, end in spans
    ]
    others = data.draw(
        st.dictionaries(st.integers(0, len(cells) - 1), st.none() | st.binary(max_size=300), max_size=len(cells))
    )
    changed = [others.get(place, cell) for place, cell in enumerate(cells)]
    assert replace_cells(row, spans, others) == results.encode_text_row(changed)


@given(st.lists(typed(), min_size=1, max_size=20), st.data())
def test_a_binary_row_comes_back_and_so_do_its_values_when_others_change(
    given: list[tuple[Parameter, Value]], data: st.DataObject
) -> None:
    columns = [Column(b"c", p.type, flags=results.UNSIGNED if p.unsigned else 0) for p, _ in given]
    values = [value for _, value in given]
    row = results.encode_binary_row(values, columns)
    assert results.parse_binary_row(row, columns) == tuple(values)
    spans = binary_spans(row, columns)
    places = data.draw(st.sets(st.integers(0, len(columns) - 1)))
    others = dict.fromkeys(places)
    changed = [None if place in others else value for place, value in enumerate(values)]
    blanked = replace_binary_cells(row, spans, others)
    assert blanked == results.encode_binary_row(changed, columns)
    back = {
        place: None
        if (value := values[place]) is None
        else write_value(value, columns[place].type, unsigned=columns[place].unsigned)
        for place in places
    }
    assert replace_binary_cells(blanked, binary_spans(blanked, columns), back) == row


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
changes = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([kind for kind in Tracked if kind]), st.binary(max_size=20)).map(
            lambda pair: Change(*pair)
        ),
        st.builds(Change, st.just(Tracked.SYSTEM_VARIABLES), st.binary(max_size=20), st.binary(max_size=20)),
    ),
    max_size=5,
).map(tuple)
statuses = st.integers(0, 0x3FFF)
oks = st.builds(
    Ok,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    statuses,
    st.integers(0, 0xFFFF),
    st.binary(max_size=300),
    changes,
)


@given(oks, capabilities, st.sampled_from([0x00, 0xFE]))
def test_an_ok_comes_back_with_what_its_reader_can_read(ok: Ok, agreed: int, head: int) -> None:
    read = results.parse_ok(results.encode_ok(ok, agreed, head=head), agreed)
    told = ok.changes if agreed & Capability.SESSION_TRACK else ()
    assert read == ok._replace(changes=told, status=ok.status | (Status.SESSION_STATE_CHANGED if told else 0))


@given(changes)
def test_no_change_reaches_a_client_that_is_not_on_the_list(given: tuple[Change, ...]) -> None:
    for change in tracking.for_client(given):
        assert change.kind in tracking.CLIENT_KINDS
        assert change.kind != Tracked.SYSTEM_VARIABLES or change.name.lower() in tracking.CLIENT_VARIABLES


@given(st.integers(0, 0xFFFE), st.from_regex(r"\A[0-9A-Z]{5}\Z"), texts)
def test_errors_come_back(errno: int, state: str, message: str) -> None:
    assert results.parse_error(results.encode_error(errno, state, message)) == Error(errno, state, message)


columns = st.builds(
    Column,
    st.binary(max_size=300),
    st.sampled_from(list(Type)),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32 - 1),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.binary(max_size=9),
    st.binary(max_size=9),
    st.binary(max_size=9),
    st.binary(max_size=9),
)


@given(columns, st.none() | st.binary(max_size=300))
def test_columns_come_back(column: Column, default: bytes | None) -> None:
    assert results.parse_column(results.encode_column(column)) == column
    assert results.parse_column(results.encode_column(column, default, listed=True), listed=True) == column


layout = st.sampled_from(
    [0, Capability.CONNECT_WITH_DB, Capability.CONNECT_ATTRS, Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA]
)


@given(
    st.lists(layout), name, st.binary(max_size=200), name, st.dictionaries(st.binary(max_size=9), st.binary(max_size=9))
)
def test_a_handshake_response_comes_back(
    more: list[int], user: bytes, answer: bytes, database: bytes, attributes: dict[bytes, bytes]
) -> None:
    agreed = PLAIN | Capability.SECURE_CONNECTION | Capability.PLUGIN_AUTH | Capability.LONG_PASSWORD
    for flag in more:
        agreed |= flag
    login = handshake.HandshakeResponse(
        agreed,
        1 << 24,
        45,
        user,
        answer,
        database if agreed & Capability.CONNECT_WITH_DB else None,
        "caching_sha2_password",
        attributes if agreed & Capability.CONNECT_ATTRS else {},
    )
    sent = handshake.encode_handshake_response(login)
    assert handshake.decode_login(sent, handshake.OFFERED) == login
    for cut in range(33, len(sent)):
        assert read_or_refused(lambda cut=cut: handshake.decode_login(sent[:cut], handshake.OFFERED)) is None  # type: ignore[misc]


@given(name.map(lambda raw: raw.decode("latin-1")), st.integers(0, 2**32 - 1), st.binary(min_size=20, max_size=20))
def test_a_greeting_comes_back(version: str, connection: int, raw: bytes) -> None:
    greeting = handshake.Greeting(
        version, connection, raw.replace(b"\0", b"x"), handshake.OFFERED, "caching_sha2_password"
    )
    assert handshake.parse_greeting(handshake.encode_greeting(greeting)) == greeting


@given(st.binary(max_size=40), st.binary(max_size=40), st.booleans(), st.sampled_from([auth.NATIVE, auth.CACHING_SHA2]))
def test_no_answer_is_accepted_by_chance(answer: bytes, more: bytes, ask: bool, plugin: str) -> None:
    verifiers = (auth.Verifier.of(b"a secret"),)
    half = auth.ServerAuth(plugin, b"n" * 20, verifiers, secure=True, ask_password=ask)
    judged = half.start(plugin, answer)
    assert judged.proven is None
    if judged.more:
        again = read_or_refused(lambda: half.go_on(more))
        assert again in (None, auth.Judged(password=more[:-1]))


@given(body, body)
def test_the_clients_half_reads_or_refuses(first: bytes, second: bytes) -> None:
    half = auth.ClientAuth(b"the password", secure=False)
    half.start(auth.CACHING_SHA2, b"n" * 20)
    for packet in (first, second):
        said = read_or_refused(lambda packet=packet: half.respond(packet))  # type: ignore[misc]
        assert b"the password" not in (said or b"")  # type: ignore[operator]


# --- the walk

row_packet = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from([b"", b"\xfe\0\0\2\0", b"\xff\1\2", b"\xfb", b"\0\0\1x", b"\xfc\1\0x"]),
)
limit = st.integers(-2, 300) | st.just(1 << 40)


@given(st.lists(row_packet, max_size=12), st.integers(0, 255), limit, limit, st.booleans(), st.data())
def test_a_walk_passes_what_the_framer_gives_and_nothing_else(
    sent: list[bytes], sequence: int, rows: int, size: int, binary: bool, data: st.DataObject
) -> None:
    stream = frames(sent, sequence)[0]
    end = data.draw(st.integers(0, len(stream)))
    position, passed, following_number = walk_rows(stream, 0, end, rows, size, sequence, binary)
    assert 0 <= position <= end
    assert position <= max(size, 0)
    assert passed <= max(rows, 0)
    framer, walked = Framer(sequence=sequence), list[bytes]()
    assert taken(framer, [stream[:position]], walked) == ""
    assert framer.pending == 0
    assert (len(walked), framer.sequence) == (passed, following_number)
    assert all(payload[0] == 0 if binary else payload[0] < 0xFE for payload in walked)
    # what stopped it is no row within the limits
    if passed < rows and position < end:
        left = sent[passed]
        whole = position + 4 + len(left)
        is_row = left[:1] == b"\0" if binary else bool(left) and left[0] < 0xFE
        assert not is_row or whole > end or whole > size


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=12), st.data())
def test_walking_chunk_by_chunk_passes_the_same_rows_as_at_once(sent: list[bytes], data: st.DataObject) -> None:
    stream = frames(sent, 0)[0]
    whole = walk_rows(stream, 0, len(stream), 1 << 40, 1 << 40, 0, False)
    position = passed = end = sequence = 0
    while end < len(stream):
        end = data.draw(st.integers(end + 1, len(stream)))
        position, rows, sequence = walk_rows(stream, position, end, 1 << 40, 1 << 40, sequence, False)
        passed += rows
    assert (position, passed, sequence) == whole


@given(st.lists(st.binary(max_size=20), max_size=12), st.integers(0, 255), st.integers(0, 255))
def test_renumbered_packets_are_those_with_other_numbers(sent: list[bytes], sequence: int, other: int) -> None:
    held = bytearray(frames(sent, sequence)[0])
    expected, after = frames(sent, other)
    assert renumber(held, 0, len(held), other) == after
    assert held == expected


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.integers(0, 255), cuts, st.integers(1, 5), st.data()
)
def test_walking_and_taking_by_turns_gives_every_packet_once(
    sent: list[bytes], sequence: int, at: list[int], most: int, data: st.DataObject
) -> None:
    framer = Framer(sequence=sequence)
    relayed = bytearray()
    number = sequence
    for chunk in pieces(frames(sent, sequence)[0], at):
        framer.feed(chunk)
        while True:
            if data.draw(st.booleans()):
                held = framer.release()
                position, rows, framer.sequence = walk_rows(held, 0, len(held), most, 1 << 20, framer.sequence, False)
                relayed += held[:position]
                framer.feed(held[position:])
                number = (number + rows) & 0xFF
            payload = framer.take()
            if payload is None:
                break
            relayed += frame(payload, number)
            number = framer.sequence
    assert relayed == frames(sent, sequence)[0]
    assert framer.pending == 0


def test_nothing_is_released_within_a_payload() -> None:
    framer = Framer(2 * MAX_PAYLOAD)
    framer.feed(frame(bytes(MAX_PAYLOAD + 1))[: MAX_PAYLOAD + 6])
    assert framer.take() is None
    with pytest.raises(ValueError, match="not complete"):
        framer.release()
