"""The rows of a plan are the only ones that are read: scrubbed, counted as they leave, and held like all others."""

from __future__ import annotations

from dialogue import Dialogue, kinds, ready, row

from gateway.admitted import Windows
from gateway.wire import postgres as wire

HIDDEN = "Index Scan using fires_idx on employees"
SHOWN = "Index Scan using (hidden) on employees"
DONE = wire.encode_command_complete("EXPLAIN")
ASKED = wire.encode_query("explain x")


def rows(messages: list[tuple[int, bytes]]) -> list[str]:
    return [str((wire.parse_data_row(body)[0] or b"").decode()) for kind, body in messages if kind == wire.DATA_ROW]


def test_a_plan_is_scrubbed_wherever_the_target_s_bytes_are_cut() -> None:
    answer = row(HIDDEN) + row("  Filter: true") + DONE + ready()
    for cut in range(1, len(answer)):
        talk = Dialogue()
        talk.client(ASKED)
        got = talk.target(answer[:cut]) + talk.target(answer[cut:])
        assert (kinds(got), rows(got)) == ("DDCZ", [SHOWN, "  Filter: true"])
        end = talk.trail.records[-1]
        assert (end["rows"], end["bytes"]) == (2, len(row(SHOWN) + row("  Filter: true")))


def test_rows_of_other_statements_leave_as_they_came() -> None:
    talk = Dialogue()
    talk.client(wire.encode_query("read a"))
    assert rows(talk.target(row(HIDDEN) + DONE + ready())) == [HIDDEN]


def test_null_and_copied_rows_beside_a_plan_are_kept() -> None:
    talk = Dialogue()
    talk.client(ASKED)
    copied = wire.frame(wire.COPY_DATA, HIDDEN.encode())
    got = talk.target(wire.encode_data_row([None]) + copied + DONE + ready())
    assert got[:2] == [(wire.DATA_ROW, wire.encode_data_row([None])[5:]), (wire.COPY_DATA, HIDDEN.encode())]


def test_a_plan_waits_for_its_records_and_for_each_window() -> None:
    talk = Dialogue(Windows(1, 10_000))
    talk.trail.slow = True
    talk.client(ASKED)
    assert talk.target(row(HIDDEN) + row(HIDDEN) + row("c") + DONE + ready()) == []
    talk.trail.flush()
    # the first row is free to leave, and goes with what waits for the second window
    assert talk.received() == []
    talk.trail.flush()
    got = talk.received()
    assert (kinds(got), rows(got)) == ("DDDCZ", [SHOWN, SHOWN, "c"])
    assert [one["window_rows"] for one in talk.trail.records if one["kind"] == "statement.window"] == [4]


def test_a_plan_beyond_the_budget_is_stopped() -> None:
    talk = Dialogue(rows_per_statement=2)
    talk.client(ASKED)
    got = talk.target(row("a") + row("b") + row("c") + row("d"))
    assert rows(got) == ["a", "b"]
    assert talk.cancelled
    got = talk.target(row("e") + DONE + ready())
    assert kinds(got) == "EZ"
    assert wire.parse_error_fields(got[0][1])["D"] == "code: row-budget-exhausted"


def test_a_row_beside_a_plan_that_is_too_large_to_be_read_ends_the_session() -> None:
    talk = Dialogue()
    talk.client(ASKED)
    got = talk.target(row("x" * 1_100_000)[:4000])
    assert kinds(got) == "E"
    assert wire.parse_error_fields(got[0][1])["D"] == "code: statement-not-supported"
    assert talk.ended


def test_a_name_that_is_cut_by_a_portal_stays_hidden() -> None:
    talk = Dialogue()
    start = wire.encode_parse(b"", "explain x") + wire.encode_bind(b"", b"", (), (), [])
    talk.client(start + wire.encode_execute(b"", 1) + wire.encode_execute(b"", 1) + wire.encode_sync())
    first = row('Index Scan using "fires') + wire.frame(wire.PORTAL_SUSPENDED, b"")
    second = row(' in 2027" on employees') + wire.frame(wire.PORTAL_SUSPENDED, b"")
    got = talk.target(
        wire.frame(wire.PARSE_COMPLETE, b"") + wire.frame(wire.BIND_COMPLETE, b"") + first + second + ready()
    )
    assert rows(got) == ["(hidden)", "(hidden)"]
