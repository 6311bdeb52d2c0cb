"""A session that is observed: everything passes as it is, and nothing ahead of its record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from dialogue import Dialogue, error, ready, row
from observed_dialogue import Observed

from gateway.admitted import Refused, Windows
from gateway.errors import Refusal
from gateway.model import Statement
from gateway.sql.observed import unread
from gateway.wire import postgres as wire

DONE = wire.encode_command_complete("SELECT 2")
COLUMNS = wire.encode_row_description(["a"])
BIND = wire.encode_bind(b"", b"")
EXECUTE = wire.encode_execute(b"", 0)
SYNC = wire.encode_sync()
FLUSH = wire.encode_flush()
PARSED, BOUND = wire.frame(wire.PARSE_COMPLETE), wire.frame(wire.BIND_COMPLETE)
COPY_IN = wire.frame(wire.COPY_IN_RESPONSE, b"\0\0\0")
COPY_DONE = wire.frame(wire.COPY_DONE)
NOTICE = wire.encode_notice("NOTICE", "00000", "their own words 4111")
NOTIFICATION = wire.frame(wire.NOTIFICATION_RESPONSE, b"\0\0\0\7chan\0payload\0")


def query(text: str) -> bytes:
    return wire.encode_query(text)


def parse(text: str, name: bytes = b"") -> bytes:
    return wire.encode_parse(name, text)


def data(content: bytes) -> bytes:
    return wire.frame(wire.COPY_DATA, content)


@pytest.fixture(autouse=True)
def loop() -> object:
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    # whoever asks for the running loop outside of a coroutine gets this one
    asyncio.events._set_running_loop(made)
    yield made
    asyncio.events._set_running_loop(None)
    asyncio.set_event_loop(None)
    made.close()


def run_callbacks(made: asyncio.AbstractEventLoop) -> None:
    asyncio.events._set_running_loop(None)
    made.run_until_complete(asyncio.sleep(0))
    asyncio.events._set_running_loop(made)


def test_the_sessions_record_says_that_nothing_is_protected() -> None:
    assert Observed().begun["protection"] == "none"


def test_a_statement_is_sent_as_it_came_once_its_record_is_durable_and_not_before() -> None:
    talk = Observed()
    talk.trail.slow = True
    statement = query("read a  /* as it is */")
    assert talk.client(statement) == ""
    talk.trail.flush()
    assert talk.up.take() == statement


def test_the_record_says_what_would_have_become_of_the_statement() -> None:
    talk = Observed()
    talk.client(query("read a"), query("no secrets"))
    permitted, denied = talk.records("begin")
    assert (permitted["protection"], permitted["decision"], permitted["would"]) == ("none", "permit", "permit")
    assert permitted["relations"] == ["public.a"]
    assert "rewritten" not in denied
    assert (denied["protection"], denied["decision"], denied["would"]) == ("none", "permit", "deny")
    assert denied["would_codes"] == ["relation-not-available"]
    assert denied["would_reasons"] == ["the relation `x` does not exist"]


def test_nothing_is_sent_and_the_session_ends_when_the_record_cannot_be_made(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    talk.trail.slow = True
    talk.client(query("read a"), query("read b"))
    talk.trail.flush(durable=False)
    assert talk.sent() == ""
    assert talk.told()["C"] == "58030"
    assert talk.ended


def test_a_trail_that_refuses_a_record_ends_the_session_without_a_word_to_the_target(
    loop: asyncio.AbstractEventLoop,
) -> None:
    talk = Observed()
    talk.trail.broken = True
    assert talk.client(query("read a")) == ""
    run_callbacks(loop)
    assert talk.told()["C"] == "58030"
    assert talk.sent() == "X"
    assert talk.ended


def test_a_revoked_grant_ends_the_session_and_what_came_before_it_was_sent(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    assert talk.client(query("read a")) == "Q"
    talk.check = Refusal("grant-revoked", "the grant was revoked")
    assert talk.client(query("read b"), query("read c")) == ""
    run_callbacks(loop)
    assert talk.told()["C"] == "57P01"
    assert talk.records("refused")[0]["code"] == "grant-revoked"
    assert talk.ended


def test_answers_errors_notices_and_parameters_pass_byte_for_byte_however_they_are_cut() -> None:
    stream = b"".join(
        [COLUMNS, row("1"), NOTICE, row("2" * 200), wire.encode_parameter_status("search_path", "evil"), DONE,
         error("22P02", "their own words 4111"), ready(b"E")]
    )  # fmt: skip
    for size in (1, 2, 5, 7, 100, len(stream)):
        talk = Observed(Windows(rows=1, bytes=50))
        talk.client(query("read a"))
        got = b""
        for start in range(0, len(stream), size):
            talk.relay.backend_data(stream[start : start + size])
            got += talk.down.take()
        assert got == stream
        (end,) = talk.records("end")
        assert (end["status"], end["sqlstate"], end["rows"]) == ("error", "22P02", 2)
        carried = len(stream) - len(COLUMNS) - len(DONE) - len(ready())
        assert end["bytes"] == carried


def test_rows_and_whatever_can_carry_data_wait_beyond_the_window_for_a_further_record() -> None:
    talk = Observed(Windows(rows=2, bytes=100_000))
    talk.client(query("read a"))
    talk.trail.slow = True
    assert talk.target(COLUMNS, *[row(str(n)) for n in range(7)], DONE, ready()) == "TDD"
    assert talk.records("window")[-1]["window_rows"] == 6
    talk.trail.flush()
    assert talk.received() == "DDDD"
    talk.trail.flush()
    assert talk.received() == "DCZ"

    talk = Observed(Windows(rows=10, bytes=100))
    talk.client(query("read a"))
    talk.trail.slow = True
    assert talk.target(*[NOTICE] * 3, DONE, ready()) == "N"
    talk.trail.flush()
    assert talk.received() == "NNCZ"


def test_a_large_message_streams_through_once_it_is_announced() -> None:
    talk = Observed(Windows(rows=10, bytes=1000))
    talk.client(query("read a"))
    big = row("x" * 300_000) + wire.encode_notice("NOTICE", "00000", "y" * 300_000)
    got = b""
    for start in range(0, len(big), 10_000):
        talk.relay.backend_data(big[start : start + 10_000])
        got += talk.down.take()
    assert got == big
    assert talk.records("window")[-1]["window_bytes"] >= len(big)
    assert talk.target(DONE, ready()) == "CZ"


def test_one_record_covers_the_parse_the_bind_and_the_execute_of_one_turn() -> None:
    talk = Observed()
    assert talk.client(parse("read a"), BIND, EXECUTE, SYNC) == "PBES"
    (begin,) = talk.records("begin")
    assert (begin["protocol"], begin["relations"]) == ("execute", ["public.a"])
    assert talk.target(PARSED, BOUND, row("1"), DONE, ready()) == "12DCZ"
    (end,) = talk.records("end")
    assert (end["rows"], end["status"], end["tag"]) == (1, "ok", "SELECT 2")


def test_what_is_only_prepared_or_bound_has_a_record_of_its_own_before_it_is_sent() -> None:
    talk = Observed()
    talk.trail.slow = True
    assert talk.client(parse("read a", b"s"), wire.encode_describe(wire.STATEMENT, b"s"), SYNC) == ""
    talk.trail.flush()
    assert talk.sent() == "PDS"
    assert talk.client(wire.encode_bind(b"p", b"s"), SYNC) == ""
    talk.trail.flush()
    assert talk.sent() == "BS"
    assert [(one["protocol"], one["relations"], one["window_rows"]) for one in talk.records("begin")] == [
        ("prepare", ["public.a"], 0), ("bind", ["public.a"], 0),
    ]  # fmt: skip


def test_a_portal_that_is_bound_again_in_the_turn_does_not_hide_the_first(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    talk.client(
        parse("read a", b"a"), parse("read b", b"b"), wire.encode_bind(b"", b"a"), wire.encode_bind(b"", b"b"),
        EXECUTE, SYNC,
    )  # fmt: skip
    assert sorted((one["protocol"], *one["relations"]) for one in talk.records("begin")) == [
        ("bind", "public.a"), ("execute", "public.b"), ("prepare", "public.a"),
    ]  # fmt: skip


def test_an_error_in_a_batch_settles_what_was_skipped_and_the_rest_is_not_sent_until_the_sync() -> None:
    talk = Observed()
    talk.client(parse("read a"), BIND, EXECUTE, parse("read b"), BIND, EXECUTE, FLUSH)
    assert talk.target(PARSED, error("22012", "division by zero")) == "1E"
    assert [(one["status"], one.get("sqlstate")) for one in talk.records("end")] == [
        ("error", "22012"), ("skipped", None),
    ]  # fmt: skip
    assert talk.client(parse("read c"), query("read d"), SYNC) == "S"
    assert talk.target(ready()) == "Z"
    assert talk.client(query("read e")) == "Q"
    assert [one["sql"] for one in talk.records("begin")] == ["<read a>", "<read b>", "<read e>"]


def test_a_function_call_is_on_record_before_it_is_sent() -> None:
    talk = Observed()
    talk.trail.slow = True
    call = wire.frame(wire.FUNCTION_CALL, b"\0\0\x03\xb8\0\0\0\1\0\0\0\x044111\0\1")
    assert talk.client(call) == ""
    talk.trail.flush()
    assert talk.up.take() == call
    (begin,) = talk.records("begin")
    assert (begin["protocol"], begin["sql"], begin["parameters"]) == ("function", "function 952", 1)
    answer = wire.frame(wire.FUNCTION_CALL_RESPONSE, b"\0\0\0\1x")
    assert talk.target(answer, ready()) == "VZ"
    assert talk.records("end")[0]["bytes"] == len(answer)


def test_what_comes_without_a_statement_has_an_account_of_its_own() -> None:
    talk = Observed()
    talk.trail.slow = True
    assert talk.target(NOTIFICATION, NOTIFICATION) == ""
    talk.trail.flush()
    assert talk.received() == "AA"
    assert talk.target(NOTIFICATION) == "A"
    (begin,) = talk.records("begin")
    assert (begin["protocol"], begin["would"], begin["window_rows"]) == ("unasked", "deny", 0)
    talk.relay.finish()
    assert talk.records("end")[0]["bytes"] == 3 * len(NOTIFICATION)


def test_data_is_taken_when_the_target_asks_and_takes_effect_once_its_amount_is_on_record() -> None:
    talk = Observed()
    assert talk.client(query("copy t from stdin"), data(b"1\n2\n"), COPY_DONE, query("read b")) == "Q"
    talk.trail.slow = True
    assert talk.target(COPY_IN) == "G"
    assert talk.sent() == ""
    assert talk.records("window")[-1]["bytes_in"] == 4
    talk.trail.flush()
    assert talk.sent() == "dc"
    assert talk.target(wire.encode_command_complete("COPY 2")) == "C"
    assert talk.sent() == ""
    talk.trail.slow = False
    assert talk.target(ready()) == "Z"
    assert talk.sent() == "Q"
    end = talk.records("end")[0]
    assert (end["rows_in"], end["bytes_in"], end["rows"], end["tag"]) == (2, 4, 0, "COPY 2")


def test_the_sync_that_a_target_ignores_while_it_takes_data_is_not_sent() -> None:
    talk = Observed()
    # libpq sends its Sync with the Execute and another one behind the data
    assert talk.client(parse("copy t from stdin"), BIND, EXECUTE, SYNC) == "PBEH"
    assert talk.target(PARSED, BOUND, COPY_IN) == "12G"
    assert talk.sent() == ""
    assert talk.client(data(b"1\n"), FLUSH, SYNC, data(b"2\n"), COPY_DONE, SYNC) == "ddcH"
    assert talk.target(wire.encode_command_complete("COPY 2")) == "C"
    assert talk.sent() == "S"
    assert talk.target(ready()) == "Z"
    assert not talk.relay.busy


def test_a_copy_that_fails_goes_on_at_the_sync_and_its_data_is_nobodys() -> None:
    talk = Observed()
    talk.client(parse("copy t from stdin"), BIND, EXECUTE, SYNC)
    talk.target(PARSED, BOUND, COPY_IN)
    assert talk.client(data(b"bad\n")) == "d"
    assert talk.target(error("22P02", "bad 4111")) == "E"
    assert talk.client(data(b"more\n"), COPY_DONE, SYNC) == "S"
    assert talk.target(ready()) == "Z"
    (end,) = talk.records("end")
    assert (end["status"], end["rows_in"], end["bytes_in"]) == ("error", 0, 4)
    assert talk.client(query("read a")) == "Q"


def test_messages_inside_of_data_are_data_and_statements_among_data_end_the_session() -> None:
    talk = Observed()
    talk.client(query("copy t from stdin"))
    talk.target(COPY_IN)
    hidden = query("drop table t") + SYNC
    assert talk.client(data(hidden)) == "d"
    assert len(talk.records("begin")) == 1
    talk.client(query("read a"))
    assert talk.told()["C"] == "08P01"
    assert talk.ended
    assert talk.sent() == ""


@pytest.mark.parametrize("text", ["read a", "", "no x"])
def test_a_target_that_asks_for_data_that_nobody_offered_ends_the_session(text: str) -> None:
    talk = Observed()
    talk.client(query(text))
    talk.target(COPY_IN)
    assert talk.told()["C"] == "08006"
    assert talk.ended


def test_what_follows_a_possible_copy_waits_for_it_whatever_it_turns_out_to_be() -> None:
    talk = Observed()
    assert talk.client(parse("read copy"), BIND, EXECUTE, SYNC, query("read b")) == "PBEH"
    assert len(talk.records("begin")) == 1
    assert talk.target(PARSED, BOUND, row("1"), DONE) == "12DC"
    assert talk.sent() == "SQ"
    assert talk.target(ready(), DONE, ready()) == "ZCZ"


@pytest.mark.parametrize(
    "answer", [row("1"), DONE, PARSED, COPY_IN, wire.frame(wire.COPY_BOTH_RESPONSE, b"\0\0\0"), ready()]
)
def test_an_answer_that_nobody_asked_for_is_not_released(answer: bytes) -> None:
    talk = Observed()
    talk.target(answer)
    assert talk.told()["C"] == "08006"
    assert talk.ended


def test_no_literal_and_no_text_that_cannot_be_read_is_on_record() -> None:
    talk = Observed()
    hidden = b"select 'a\\' , card_4111, 'b'"
    talk.client(wire.frame(wire.QUERY, b"read a\0"), wire.frame(wire.QUERY, hidden + b"\0"))
    talk.target(DONE, ready(), DONE, ready())
    # where strings are not standard, the backslash hides the quote
    talk.target(wire.encode_parameter_status("standard_conforming_strings", "off"))
    talk.client(wire.frame(wire.QUERY, hidden + b"\0"))
    talk.target(DONE, ready())
    talk.client(wire.frame(wire.QUERY, b"select '\xff4111'\0"))
    texts = [one.get("sql", "") for one in talk.records("begin") if one["protocol"] == "simple"]
    assert texts == ["<read a>", "", "", ""]
    assert "4111" not in str(talk.records())


def test_a_text_in_another_encoding_is_read_in_it() -> None:
    talk = Observed()
    talk.target(wire.encode_parameter_status("client_encoding", "LATIN1"))
    talk.client(wire.frame(wire.QUERY, "read café".encode("latin-1") + b"\0"))
    assert talk.records("begin")[-1]["sql"] == "<read café>"


def test_the_road_of_the_observed_is_closed_to_a_protected_target(loop: asyncio.AbstractEventLoop) -> None:
    protected = Dialogue()
    refused = protected.gate.observe(
        protected.relay.inside, Statement("s1.1", "read a"), unread(Refusal("syntax-error", "no"))
    )
    assert isinstance(refused, Refused)
    assert refused.refusal.code == "internal-error"
    assert refused.refusal.fatal

    talk = Observed(mode="protect")
    assert talk.client(query("read a")) == ""
    run_callbacks(loop)
    assert talk.ended
    assert talk.sent() == "X"


@pytest.mark.parametrize("mode", ["Observe", "observed", "off", ""])
def test_every_mode_but_the_one_protects(mode: str, loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed(mode=mode)
    assert talk.begun["protection"] == "masked"
    assert talk.client(query("read a")) == ""
    run_callbacks(loop)
    assert talk.ended


def test_a_session_whose_target_becomes_protected_gets_nothing_more(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    assert talk.client(query("read a")) == "Q"
    talk.policy = replace(talk.policy, mode="protect", digest="other")
    talk.gate.renew(talk.relay.inside)
    assert talk.client(query("read b")) == ""
    run_callbacks(loop)
    assert talk.ended


def test_a_plan_that_carries_a_refusal_is_refused_where_targets_are_protected() -> None:
    talk = Dialogue()
    judged = unread(Refusal("relation-not-available", "no"))
    inside = talk.relay.inside
    admitted = talk.gate.admit(inside, Statement("s1.1", ""), judged)
    assert isinstance(admitted, Refused)
    assert admitted.refusal.code == "relation-not-available"


def test_a_budget_that_is_used_up_stops_nothing_and_is_recorded(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed(rows_per_statement=2)
    talk.client(query("read a"))
    assert talk.target(COLUMNS, row("1"), row("2"), row("3"), DONE, ready()).endswith("DDDCZ")
    assert not talk.ended

    talk = Observed(rows_per_day=2)
    talk.client(query("read a"))
    talk.target(COLUMNS, row("1"), row("2"), DONE, ready())
    assert talk.client(query("read b")) == "Q"
    run_callbacks(loop)
    assert talk.target(COLUMNS, row("1"), DONE, ready()).endswith("DCZ")
    told = [(one["would"], one.get("would_codes")) for one in talk.records("begin")]
    assert told == [("permit", None), ("deny", ["row-budget-exhausted"])]


def test_a_cancel_request_does_not_overtake_the_statement_that_it_is_for(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    talk.trail.slow = True
    talk.client(query("read a"))
    asyncio.events._set_running_loop(None)

    async def cancel() -> None:
        waiting = asyncio.ensure_future(talk.relay.cancel())
        await asyncio.sleep(0)
        assert not talk.cancelled
        talk.trail.flush()
        assert talk.sent() == "Q"
        await waiting

    loop.run_until_complete(cancel())
    assert talk.cancelled


def test_a_long_text_is_studied_first_and_what_is_behind_it_keeps_its_place() -> None:
    async def scenario() -> None:
        talk = Observed()
        long = "read a" + " " * 600
        assert talk.client(query("read b"), query(long), query("read c")) == "Q"
        for _ in range(4):
            await asyncio.sleep(0)
        assert talk.sent() == "QQ"
        assert [one["sql"] for one in talk.records("begin")] == ["<read b>", f"<{long}>", "<read c>"]

    asyncio.events._set_running_loop(None)
    asyncio.run(scenario())


def test_a_name_of_sqls_and_a_name_of_the_protocols_are_one_on_record() -> None:
    talk = Observed()
    talk.client(query("declare c cursor for read a"))
    talk.target(DONE, ready(b"T"))
    talk.client(wire.encode_execute(b"c", 0), SYNC)
    assert talk.records("begin")[-1]["relations"] == ["public.a"]
    talk.target(DONE, ready(b"T"))
    talk.client(wire.encode_execute(b"unheard-of", 0), SYNC)
    assert talk.records("begin")[-1]["would_codes"] == ["cursor-not-found"]


def test_what_would_need_an_approval_runs_without_one_and_claims_none() -> None:
    talk = Observed()
    talk.client(query("write approved"))
    (begin,) = talk.records("begin")
    assert begin["would_codes"] == ["read-only"]
    assert talk.target(error("22012", "division by zero"), ready()) == "EZ"
    assert talk.records("end")[0]["status"] == "error"
    talk.relay.finish()


def test_a_flood_of_empty_messages_behind_a_copy_is_not_taken_in_without_bound(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    talk.client(query("copy t from stdin"))
    assert not talk.down.paused
    talk.client(SYNC * 20_000)
    assert talk.down.paused
    talk.target(COPY_IN)
    talk.client(COPY_DONE)
    taken_in_turns(loop)
    assert talk.target(wire.encode_command_complete("COPY 0"), ready()) == "CZ"
    taken_in_turns(loop)
    assert not talk.down.paused


def test_a_pipeline_without_an_end_is_paced_by_the_answers(loop: asyncio.AbstractEventLoop) -> None:
    talk = Observed()
    talk.client((parse("read a") + BIND + EXECUTE) * 1000)
    assert talk.down.paused
    answers = PARSED + BOUND + DONE
    for _ in range(20):
        taken_in_turns(loop)
        talk.target(answers * 50)
    assert not talk.down.paused
    # where a turn ends between a Bind and its Execute, the Bind has a record of its own
    assert len(talk.records("end")) == len(talk.records("begin")) >= 1000
    assert not talk.relay.busy


def taken_in_turns(loop: asyncio.AbstractEventLoop) -> None:
    """Let all turns be had that one after the other were put off."""
    for _ in range(200):
        run_callbacks(loop)


def test_what_was_asked_for_before_the_goodbye_runs_to_its_end() -> None:
    talk = Observed()
    talk.trail.slow = True
    assert talk.client(query("read a"), wire.encode_terminate()) == ""
    talk.trail.flush()
    assert talk.sent() == "QX"
    talk.down.close()
    talk.relay.finish()
    assert not talk.ended
    talk.target(row("1"), DONE, ready())
    talk.relay.backend_lost()
    assert talk.ended
    assert [(one["status"], one["rows"]) for one in talk.records("end")] == [("ok", 1)]
    assert not talk.cancelled


def test_what_runs_too_long_after_the_goodbye_is_stopped() -> None:
    talk = Observed()
    assert talk.client(query("read a"), wire.encode_terminate()) == "QX"
    talk.relay.tick(talk.relay.heard_at + 29, 3600)
    assert not talk.ended
    talk.relay.tick(talk.relay.heard_at + 31, 3600)
    assert talk.ended
    assert talk.cancelled
    assert talk.records("end")[0]["status"] == "cut"


def test_a_goodbye_with_nothing_due_ends_the_session_at_once() -> None:
    talk = Observed()
    assert talk.client(wire.encode_terminate()) == "X"
    assert talk.ended
