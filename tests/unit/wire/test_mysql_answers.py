"""Which packet of an answer is what, told as dialogues; and walking over rows and putting other cells into them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql.answers import MAX_COLUMNS, MAX_DEFINITION_BYTES, Answer, Part, Passing, State
from gateway.wire.mysql.base import Capability, Status, Type
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.packets import MAX_PAYLOAD, frame, frames
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
    parse_text_row,
    text_column,
)
from gateway.wire.mysql.values import write_value
from gateway.wire.mysql.walk import (
    binary_spans,
    packet_at,
    renumber,
    replace_binary_cells,
    replace_cells,
    text_spans,
    walk_rows,
)

OLD = Capability.PROTOCOL_41
NEW = OLD | Capability.DEPRECATE_EOF | Capability.SESSION_TRACK
MORE = Status.AUTOCOMMIT | Status.MORE_RESULTS_EXISTS
CURSOR = Status.AUTOCOMMIT | Status.CURSOR_EXISTS

A, N = encode_column(text_column(b"a")), encode_column(integer_column(b"n"))
TEXT_ROW, BINARY_ROW = (
    encode_text_row([b"x", None]),
    encode_binary_row([b"x", 7], [text_column(b"a"), integer_column(b"n")]),
)
EOF, OK, ERR = encode_eof(), encode_ok(Ok(), NEW), encode_error(1064, "42000", "no")
LISTED = encode_column(text_column(b"a"), b"default", listed=True)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as refused:
        act()
    return refused.value.code


def end(capabilities: int, status: int = Status.AUTOCOMMIT) -> bytes:
    return encode_end(Ok(status=status), capabilities)


def said(answer: Answer, payloads: list[bytes]) -> str:
    """The parts of a whole answer, each by its name, which must be over with the last and not before."""
    names = []
    for payload in payloads:
        assert not answer.over, names
        names.append(answer.take(payload).name)
    assert answer.over
    return " ".join(names)


DIALOGUES: list[tuple[str, Command, int, list[bytes], str]] = [
    ("a write", Command.QUERY, NEW, [OK], "OK"),
    ("an error", Command.QUERY, NEW, [ERR], "ERROR"),
    ("a ping", Command.PING, NEW, [OK], "OK"),
    ("statistics", Command.STATISTICS, NEW, [b"Uptime: 7"], "TEXT"),
    ("no statistics", Command.STATISTICS, NEW, [ERR], "ERROR"),
    ("an option", Command.SET_OPTION, OLD, [EOF], "OK"),
    ("an option, new", Command.SET_OPTION, NEW, [end(NEW)], "OK"),
    ("an option, answered by OK", Command.SET_OPTION, NEW, [OK], "OK"),
    (
        "rows",
        Command.QUERY,
        NEW,
        [encode_count(2), A, N, TEXT_ROW, TEXT_ROW, end(NEW)],
        "COUNT COLUMN COLUMN ROW ROW END",
    ),
    ("rows, old", Command.QUERY, OLD, [encode_count(1), A, EOF, b"\1x", EOF], "COUNT COLUMN DIVIDER ROW END"),
    ("no rows", Command.QUERY, NEW, [encode_count(1), A, end(NEW)], "COUNT COLUMN END"),
    ("an error among rows", Command.QUERY, NEW, [encode_count(1), A, b"\1x", ERR], "COUNT COLUMN ROW ERROR"),
    ("an error among columns", Command.QUERY, NEW, [encode_count(2), A, ERR], "COUNT COLUMN ERROR"),
    (
        "several results",
        Command.QUERY,
        NEW,
        [encode_count(1), A, b"\1x", end(NEW, MORE), encode_count(1), N, end(NEW, MORE), OK],
        "COUNT COLUMN ROW END COUNT COLUMN END OK",
    ),
    ("a second that fails", Command.QUERY, NEW, [encode_ok(Ok(status=MORE), NEW), ERR], "OK ERROR"),
    (
        "binary rows",
        Command.STMT_EXECUTE,
        NEW,
        [encode_count(2), A, N, BINARY_ROW, end(NEW)],
        "COUNT COLUMN COLUMN ROW END",
    ),
    ("a cursor", Command.STMT_EXECUTE, NEW, [encode_count(1), A, end(NEW, CURSOR)], "COUNT COLUMN END"),
    ("a cursor, old", Command.STMT_EXECUTE, OLD, [encode_count(1), A, encode_eof(0, CURSOR)], "COUNT COLUMN END"),
    ("a fetch", Command.STMT_FETCH, NEW, [BINARY_ROW, BINARY_ROW, end(NEW, CURSOR)], "ROW ROW END"),
    # the flag is of the session, and no further result follows a fetch
    ("a fetch in several results", Command.STMT_FETCH, NEW, [end(NEW, MORE)], "END"),
    ("a statement", Command.STMT_PREPARE, NEW, [encode_prepared(Prepared(1, 1, 1)), A, N], "PREPARED PARAMETER COLUMN"),
    (
        "a statement, old",
        Command.STMT_PREPARE,
        OLD,
        [encode_prepared(Prepared(1, 1, 2)), A, A, EOF, N, EOF],
        "PREPARED PARAMETER PARAMETER DIVIDER COLUMN DIVIDER",
    ),
    ("a statement without either", Command.STMT_PREPARE, OLD, [encode_prepared(Prepared(1, 0, 0))], "PREPARED"),
    ("without parameters", Command.STMT_PREPARE, NEW, [encode_prepared(Prepared(1, 1, 0)), A], "PREPARED COLUMN"),
    ("fields", Command.FIELD_LIST, OLD, [LISTED, LISTED, EOF], "COLUMN COLUMN END"),
    ("fields, new", Command.FIELD_LIST, NEW, [LISTED, end(NEW)], "COLUMN END"),
    ("no table", Command.FIELD_LIST, NEW, [ERR], "ERROR"),
    ("a NULL first", Command.QUERY, NEW, [encode_count(1), A, b"\xfb", end(NEW)], "COUNT COLUMN ROW END"),
    ("an empty text first", Command.QUERY, NEW, [encode_count(1), A, b"\0", end(NEW)], "COUNT COLUMN ROW END"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "capabilities", "payloads", "expected"),
    [dialogue[1:] for dialogue in DIALOGUES],
    ids=[dialogue[0] for dialogue in DIALOGUES],
)
def test_each_packet_of_an_answer_is_known_for_what_it_is(
    command: Command, capabilities: int, payloads: list[bytes], expected: str
) -> None:
    columns = [text_column(b"a"), integer_column(b"n")] if command == Command.STMT_FETCH else None
    answer = Answer(command, capabilities, columns)
    assert said(answer, payloads) == expected
    assert answer.rows == expected.split().count("ROW")
    assert refusal(lambda: answer.take(OK)) == "protocol-violation"


@pytest.mark.parametrize(
    ("command", "capabilities", "payloads", "expected"),
    [dialogue[1:] for dialogue in DIALOGUES],
    ids=[dialogue[0] for dialogue in DIALOGUES],
)
def test_an_answer_that_only_passes_is_told_apart_alike(
    command: Command, capabilities: int, payloads: list[bytes], expected: str
) -> None:
    assert said(Passing(command, capabilities), payloads) == expected


def test_an_answer_that_passes_is_read_no_further_than_is_needed() -> None:
    unknown = A[:-6] + b"\xf2" + A[-5:]
    tracked = encode_ok(Ok(3, 4, MORE | Status.SESSION_STATE_CHANGED), NEW) + b"\0\5\x77odd"
    passing = Passing(Command.QUERY, NEW)
    assert said(passing, [tracked, encode_count(1), unknown, b"\1x", end(NEW)]) == "OK COUNT COLUMN ROW END"
    assert passing.columns == []
    assert refusal(lambda: said(Answer(Command.QUERY, NEW), [encode_count(1), unknown])) == "feature-not-supported"


def test_a_file_is_asked_for_where_that_was_agreed_and_the_answer_goes_on_when_it_was_sent() -> None:
    files = NEW | Capability.LOCAL_FILES
    assert said(Passing(Command.QUERY, files), [b"\xfbname", OK]) == "FILE OK"
    assert said(Passing(Command.QUERY, files), [encode_ok(Ok(status=MORE), NEW), b"\xfbname", ERR]) == "OK FILE ERROR"
    assert refusal(lambda: Passing(Command.QUERY, NEW).take(b"\xfbname")) == "protocol-violation"


@pytest.mark.parametrize(
    ("command", "capabilities", "payloads"),
    [
        (Command.QUERY, NEW, [b""]),
        (Command.QUERY, NEW, [b"\xfb/etc/passwd"]),
        (Command.STMT_EXECUTE, NEW, [b"\xfb"]),
        (Command.QUERY, NEW, [encode_ok(Ok(status=MORE), NEW), b"\xfb/etc/passwd"]),
        (Command.QUERY, NEW, [b"\xfe\1\2"]),
        (Command.QUERY, NEW, [encode_count(MAX_COLUMNS + 1)]),
        (Command.QUERY, NEW, [encode_count(1), b"\0"]),
        (Command.QUERY, OLD, [encode_count(1), A, b"\1x"]),
        (Command.QUERY, NEW, [encode_count(1), A, b"\xfe\0\0"]),
        (Command.QUERY, OLD, [encode_count(1), A, EOF, b"\xfe\0\0\0\0\0\0\0"]),
        (Command.STMT_EXECUTE, NEW, [encode_count(1), A, b"\1x"]),
        (Command.STMT_FETCH, NEW, [b"\xfb"]),
        (Command.PING, NEW, [b"\1"]),
        (Command.PING, NEW, [EOF]),
        (Command.PING, NEW, [encode_count(1)]),
        (Command.SET_OPTION, NEW, [b"\xfe"]),
        (Command.STMT_PREPARE, NEW, [encode_count(1)]),
        (Command.STMT_PREPARE, NEW, [encode_prepared(Prepared(1, MAX_COLUMNS + 1, 0))]),
        (Command.STMT_PREPARE, OLD, [encode_prepared(Prepared(1, 0, 1)), A, A]),
        (Command.STMT_PREPARE, OLD, [encode_prepared(Prepared(1, 1, 0)), A, A]),
        (Command.FIELD_LIST, NEW, [OK]),
        (Command.FIELD_LIST, NEW, [*[LISTED] * MAX_COLUMNS, LISTED]),
    ],
)
def test_what_has_no_place_in_an_answer_is_refused(command: Command, capabilities: int, payloads: list[bytes]) -> None:
    answer = Answer(command, capabilities)
    for payload in payloads[:-1]:
        answer.take(payload)
    assert refusal(lambda: answer.take(payloads[-1])) == "protocol-violation"


def test_a_target_cannot_make_us_hold_definitions_without_end() -> None:
    long = encode_column(text_column(b"n" * 60_000))
    many = MAX_DEFINITION_BYTES // len(long)
    for command, head in (
        (Command.QUERY, encode_count(MAX_COLUMNS)),
        (Command.STMT_PREPARE, encode_prepared(Prepared(1, 1, 65_535))),
        (Command.STMT_PREPARE, encode_prepared(Prepared(1, MAX_COLUMNS, 0))),
    ):
        answer = Answer(command, NEW)
        answer.take(head)
        for _ in range(many):
            answer.take(long)
        assert refusal(lambda answer=answer: answer.take(long)) == "protocol-violation"  # type: ignore[misc]


def test_a_cell_of_16_mb_is_not_taken_for_the_end_of_the_rows() -> None:
    cell = b"\xfe" + (1 << 24).to_bytes(8, "little") + bytes(1 << 24)
    for capabilities in (OLD, NEW):
        answer = Answer(Command.QUERY, capabilities)
        for payload in [encode_count(1), A, *([] if capabilities == NEW else [EOF])]:
            answer.take(payload)
        assert answer.take(cell) == Part.ROW
        assert parse_text_row(cell, 1) == (bytes(1 << 24),)
        assert answer.take(end(capabilities)) == Part.END


def test_commands_that_are_never_answered_have_no_answer() -> None:
    for command in (Command.QUIT, Command.STMT_CLOSE, Command.STMT_SEND_LONG_DATA, Command.CHANGE_USER):
        with pytest.raises(ValueError, match="none of this kind"):
            Answer(command, NEW)
    answer = Answer(Command.QUERY, NEW)
    with pytest.raises(ValueError, match="no rows"):
        answer.count_rows(1)


def test_what_an_answer_told_is_kept() -> None:
    answer = Answer(Command.STMT_PREPARE, NEW)
    said(answer, [encode_prepared(Prepared(9, 1, 1, 3)), A, N])
    assert answer.prepared == Prepared(9, 1, 1, 3)
    assert [column.name for column in answer.parameters + answer.columns] == [b"a", b"n"]
    write = Answer(Command.QUERY, NEW)
    said(write, [encode_ok(Ok(3, 4, Status.IN_TRANS, 1, b"words"), NEW)])
    assert write.ok == Ok(3, 4, Status.IN_TRANS, 1, b"words")
    assert write.state == State.OVER


ROWS, AFTER = frames([b"\1x", b"\xfb", b"\0", b"\1y"], 7)
ENDED = ROWS + frame(end(NEW), AFTER)


@pytest.mark.parametrize(
    ("buffer", "rows", "size", "sequence", "binary", "expected"),
    [
        (ENDED, 9, 999, 7, False, (len(ROWS), 4, 11)),
        (ENDED, 2, 999, 7, False, (11, 2, 9)),
        (ENDED, 9, 10, 7, False, (6, 1, 8)),
        (ENDED, 9, 11, 7, False, (11, 2, 9)),
        (ENDED, 9, 0, 7, False, (0, 0, 7)),
        (ENDED, 9, 999, 8, False, (0, 0, 8)),
        (ROWS[:-1], 9, 999, 7, False, (len(ROWS) - 6, 3, 10)),
        (ROWS[:8], 9, 999, 7, False, (6, 1, 8)),
        (ROWS + frame(ERR, AFTER), 9, 999, 7, False, (len(ROWS), 4, 11)),
        (ROWS + frame(b"", AFTER), 9, 999, 7, False, (len(ROWS), 4, 11)),
        (frame(b"\1x", 255) + frame(b"\1y", 0), 9, 999, 255, False, (12, 2, 1)),
        (frame(b"\xfe\1", 7), 9, 999, 7, False, (0, 0, 7)),
        (frame(BINARY_ROW, 7) + frame(b"\1x", 8), 9, 999, 7, True, (len(BINARY_ROW) + 4, 1, 8)),
        (b"", 9, 999, 7, False, (0, 0, 7)),
    ],
)
def test_a_walk_stops_at_the_first_thing_that_is_not_an_allowed_row(
    buffer: bytes, rows: int, size: int, sequence: int, binary: bool, expected: tuple[int, int, int]
) -> None:
    assert walk_rows(buffer, 0, len(buffer), rows, size, sequence, binary) == expected
    assert walk_rows(memoryview(b"ab" + buffer), 2, 2 + len(buffer), rows, size, sequence, binary) == (
        expected[0] + 2,
        *expected[1:],
    )


def test_a_row_of_several_packets_is_left_to_who_joins_them() -> None:
    stream = frame(b"\1x", 0) + frame(b"\xfd" + bytes(MAX_PAYLOAD), 1)
    assert walk_rows(stream, 0, len(stream), 9, len(stream), 0, False) == (6, 1, 1)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 4), (3, 2)])
def test_positions_outside_the_buffer_are_a_mistake_of_the_caller(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        walk_rows(b"abc", start, stop, 1, 1, 0, False)


def test_packets_are_told_and_renumbered_in_place() -> None:
    held = bytearray(b"x" + ROWS)
    assert packet_at(held, 1, len(held)) == (6, 7)
    assert packet_at(held, 1, 4) == (4, -1)
    assert renumber(held, 1, len(held), 254) == 2
    assert held == b"x" + frames([b"\1x", b"\xfb", b"\0", b"\1y"], 254)[0]
    for short in (len(held) - 1, len(held) - 5):
        with pytest.raises(ValueError, match="outside"):
            renumber(held, 1, short, 0)


KINDS = [
    Column(b"a", Type.VAR_STRING),
    Column(b"b", Type.LONG),
    Column(b"c", Type.DATETIME),
    Column(b"d", Type.NULL),
    Column(b"e", Type.DOUBLE),
    Column(b"f", Type.BLOB),
    Column(b"g", Type.TINY),
    Column(b"h", Type.STRING),
]  # fmt: skip


def test_cells_of_a_text_row_are_found_and_replaced() -> None:
    cells = (b"", None, b"a" * 250, b"b" * 251, b"c" * 70_000, b"last")
    row = encode_text_row(cells)
    spans = text_spans(row, 6)
    assert [parse_text_row(row[start:stop], 1)[0] for start, stop in spans] == list(cells)
    changed = replace_cells(row, spans, {5: b"masked", 0: None, 3: b""})
    assert parse_text_row(changed, 6) == (None, None, b"a" * 250, b"", b"c" * 70_000, b"masked")
    assert replace_cells(row, spans, {}) == row


def test_cells_of_a_binary_row_are_found_and_replaced() -> None:
    from gateway.wire.mysql.values import DateTime

    values = (b"text", 7, DateTime(2024, 1, 1), None, 0.5, None, -1, b"h" * 300)
    row = encode_binary_row(values, KINDS)
    spans = binary_spans(row, KINDS)
    assert [stop - start for start, stop in spans] == [5, 4, 5, 0, 8, 0, 1, 303]
    new = write_value(b"now there", Type.BLOB, unsigned=False)
    changed = replace_binary_cells(row, spans, {7: None, 0: None, 5: new})
    expected = (None, 7, DateTime(2024, 1, 1), None, 0.5, b"now there", -1, None)
    assert parse_binary_row(changed, KINDS) == expected
    assert replace_binary_cells(row, spans, {}) == row


def test_a_head_that_is_known_is_passed_where_a_result_begins_and_nowhere_else() -> None:
    answer = Answer(Command.QUERY, NEW)
    answer.pass_head([text_column(b"a")])
    assert answer.state == State.ROWS
    with pytest.raises(ValueError, match="no result begins"):
        answer.pass_head([text_column(b"b")])
    assert [one.name for one in answer.columns] == [b"a"]
    assert said(answer, [encode_text_row([b"x"]), end(NEW)]) == "ROW END"
    assert answer.rows == 1


@pytest.mark.parametrize(
    "find",
    [
        lambda: text_spans(b"\1a", 2),
        lambda: text_spans(b"\1a\1b", 1),
        lambda: text_spans(b"\5a", 1),
        lambda: text_spans(b"\xff", 1),
        lambda: text_spans(b"\xfe\xff", 1),
        lambda: text_spans(b"\xfc\xff\xffa", 1),
        lambda: binary_spans(b"", KINDS),
        lambda: binary_spans(b"\0\0", KINDS),
        lambda: binary_spans(b"\1\0\0", KINDS),
        lambda: binary_spans(b"\0\0\0\1a", KINDS),
        lambda: binary_spans(b"\0\xfc\3x", KINDS),
        lambda: binary_spans(b"\0\xfc\2\5x", KINDS),
    ],
)
def test_a_row_that_does_not_fit_its_columns_is_refused(find: Callable[[], object]) -> None:
    assert refusal(find) == "protocol-violation"
