"""The relay keeps its two invariants in every dialogue, however the bytes are cut."""

from __future__ import annotations

import asyncio

import pytest
from dialogue import Dialogue, analyse, error, kinds, policy, ready, row

from gateway.admitted import Windows
from gateway.errors import Refusal
from gateway.sql.catalog import Catalog
from gateway.sql.statement import Plan, View
from gateway.wire import postgres as wire

DONE = wire.encode_command_complete("SELECT 2")
COLUMNS = wire.encode_row_description(["a"])
BIND = wire.encode_bind(b"", b"")
EXECUTE = wire.encode_execute(b"", 0)
SYNC = wire.encode_sync()
PARSED, BOUND = wire.frame(wire.PARSE_COMPLETE), wire.frame(wire.BIND_COMPLETE)


def query(text: str) -> bytes:
    return wire.encode_query(text)


def parse(text: str, name: bytes = b"") -> bytes:
    return wire.encode_parse(name, text)


def fields(message: tuple[int, bytes]) -> dict[str, str]:
    return wire.parse_error_fields(message[1])


def test_a_read_is_sent_at_once_and_its_rows_wait_for_the_record() -> None:
    talk = Dialogue()
    talk.trail.slow = True
    assert wire.decode_query(talk.client(query("read a"))[0][1]).text == "/*rewritten*/ read a"
    assert talk.target(COLUMNS, row("1"), row("2"), DONE, ready()) == []
    talk.trail.flush()
    assert kinds(talk.received()) == "TDDCZ"
    assert talk.trail.kinds() == ["statement.begin", "statement.end"]
    assert talk.trail.records[1]["rows"] == 2


def test_nothing_leaves_and_the_session_ends_when_the_record_cannot_be_made() -> None:
    talk = Dialogue()
    talk.trail.slow = True
    talk.client(query("read a"))
    talk.target(COLUMNS, row("1"), DONE, ready())
    talk.trail.flush(durable=False)
    (answer,) = talk.received()
    assert fields(answer)["S"] == "FATAL"
    assert fields(answer)["C"] == "58030"
    assert talk.down.closed
    assert talk.ended


def test_a_trail_that_refuses_a_record_ends_the_session_without_a_word_to_the_target() -> None:
    talk = Dialogue()
    talk.trail.broken = True
    sent = talk.client(query("read a"))
    assert wire.decode_query(sent[0][1]).text == "refused"
    answers = talk.target(error("42601", "syntax error"), ready())
    assert fields(answers[0])["C"] == "58030"
    assert talk.ended


def test_rows_beyond_the_window_wait_for_a_further_record() -> None:
    talk = Dialogue(Windows(rows=2, bytes=100_000))
    talk.client(query("read a"))
    talk.trail.slow = True
    assert kinds(talk.target(COLUMNS, *[row(str(n) * 3000) for n in range(7)], DONE, ready())) == "TDD"
    assert talk.trail.records[-1]["window_rows"] == 6
    talk.trail.flush()
    assert kinds(talk.received()) == "DDDD"
    talk.trail.flush()
    assert kinds(talk.received()) == "DCZ"
    assert [r["kind"] for r in talk.trail.records] == [
        "statement.begin", "statement.window", "statement.window", "statement.end",
    ]  # fmt: skip


def test_a_row_larger_than_the_window_is_announced_whole_and_streams_through() -> None:
    talk = Dialogue(Windows(rows=10, bytes=1000))
    talk.client(query("read a"))
    big = row("x" * 300_000)
    got = b""
    for start in range(0, len(big), 10_000):
        talk.relay.backend_data(big[start : start + 10_000])
        got += talk.down.take()
    assert got == big
    assert talk.trail.records[1]["kind"] == "statement.window"
    assert talk.trail.records[1]["window_bytes"] >= len(big)
    assert kinds(talk.target(DONE, ready())) == "CZ"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 100])
def test_how_the_targets_bytes_are_cut_changes_nothing(size: int) -> None:
    stream = b"".join(
        [COLUMNS, row("1"), wire.encode_notice("NOTICE", "00000", "secret"), row("2" * 200), row("3"), DONE, ready()]
    )
    talk = Dialogue(Windows(rows=2, bytes=100))
    talk.client(query("read a"))
    for start in range(0, len(stream), size):
        talk.relay.backend_data(stream[start : start + size])
    assert talk.down.take() == b"".join([COLUMNS, row("1"), row("2" * 200), row("3"), DONE, ready()])
    assert talk.trail.records[-1]["rows"] == 3


def test_a_refusal_shows_our_words_and_the_targets_transaction_state() -> None:
    talk = Dialogue()
    assert wire.decode_query(talk.client(query("no"))[0][1]).text == "refused"
    answers = talk.target(error("42601", 'syntax error at or near "refused"'), ready(b"E"))
    assert kinds(answers) == "EZ"
    assert fields(answers[0])["C"] == "42P01"
    assert fields(answers[0])["H"] == "ask"
    assert "code: relation-not-available" in fields(answers[0])["D"]
    assert answers[1][1] == b"E"
    assert talk.trail.kinds() == ["statement.refused"]


def test_a_refusal_is_not_shown_before_it_is_recorded() -> None:
    talk = Dialogue()
    talk.trail.slow = True
    talk.client(query("no"))
    assert talk.target(error("42601", "syntax error"), ready()) == []
    talk.trail.flush()
    assert kinds(talk.received()) == "EZ"


def test_after_a_refused_parse_everything_is_skipped_to_the_sync_and_the_next_batch_works() -> None:
    talk = Dialogue()
    sent = talk.client(parse("no"), BIND, EXECUTE, SYNC)
    assert wire.decode_parse(sent[0][1]).text == "refused"
    answers = talk.target(error("42601", "syntax error"), ready())
    assert kinds(answers) == "EZ"
    talk.client(parse("read a"), BIND, EXECUTE, SYNC)
    assert kinds(talk.target(PARSED, BOUND, row("1"), DONE, ready())) == "12DCZ"


def test_messages_that_arrive_after_an_error_and_before_the_sync_are_dropped() -> None:
    talk = Dialogue()
    talk.client(parse("no"), wire.encode_flush())
    assert kinds(talk.target(error("42601", "syntax error"))) == "E"
    assert talk.client(parse("read a"), BIND, EXECUTE) == []
    assert kinds(talk.client(SYNC)) == "S"
    assert kinds(talk.target(ready())) == "Z"
    assert "statement.begin" not in talk.trail.kinds()


def test_what_is_skipped_after_an_error_is_settled_as_skipped() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), BIND, EXECUTE, EXECUTE, SYNC)
    talk.target(PARSED, BOUND, error("22012", "division by zero of 4111"), ready())
    ends = [r for r in talk.trail.records if r["kind"] == "statement.end"]
    assert [(r["status"], r.get("sqlstate")) for r in ends] == [("error", "22012"), ("skipped", None)]


def test_an_execute_is_recorded_with_what_its_statement_reads() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), BIND, EXECUTE, SYNC)
    assert talk.trail.records[0]["relations"] == ["public.a"]
    assert talk.trail.records[0]["protocol"] == "execute"


def test_a_name_that_may_stand_for_two_statements_is_recorded_as_both() -> None:
    talk = Dialogue()
    talk.client(parse("read a", b"s"), SYNC, parse("read b", b"s"), SYNC)
    talk.target(PARSED, ready(), error("42P05", 'prepared statement "s" already exists'), ready())
    talk.client(wire.encode_bind(b"", b"s"), EXECUTE, SYNC)
    assert talk.trail.records[-1]["relations"] == ["public.a", "public.b"]


def test_an_unnamed_statement_that_may_be_skipped_is_recorded_with_the_one_before() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), SYNC)
    talk.target(PARSED, ready())
    talk.client(wire.encode_describe(wire.STATEMENT, b""), parse("read b"), SYNC, BIND, EXECUTE, SYNC)
    begin = next(r for r in talk.trail.records if r["kind"] == "statement.begin")
    assert begin["relations"] == ["public.a", "public.b"]


def test_binding_a_statement_that_the_gate_never_saw_is_refused() -> None:
    talk = Dialogue()
    talk.client(wire.encode_bind(b"", b"ghost"), EXECUTE, SYNC)
    answers = talk.target(error("42601", "syntax error"), ready())
    assert kinds(answers) == "EZ"
    assert "`ghost` does not exist" in fields(answers[0])["M"]


def test_executing_a_portal_that_is_a_cursor_is_recorded_with_what_the_cursor_reads() -> None:
    talk = Dialogue()
    talk.client(query("declare a"))
    talk.target(DONE, ready())
    talk.client(wire.encode_execute(b"c", 5), SYNC)
    assert talk.trail.records[-1]["relations"] == ["public.a"]


def test_a_targets_error_keeps_its_sqlstate_and_loses_its_words() -> None:
    talk = Dialogue()
    talk.client(query("read a"))
    answers = talk.target(error("22P02", 'invalid input syntax for type integer: "4111"'), ready())
    assert fields(answers[0])["C"] == "22P02"
    assert "4111" not in str(answers)


def test_an_error_about_the_statements_own_names_keeps_its_message_only() -> None:
    talk = Dialogue()
    talk.client(query("read a"))
    answers = talk.target(error("42703", "column e.notes does not exist"), ready())
    assert fields(answers[0])["M"] == "column e.notes does not exist"
    assert "4111" not in str(answers)


def test_notices_and_notifications_of_the_target_do_not_reach_the_client() -> None:
    talk = Dialogue()
    talk.client(query("read a"))
    notification = wire.frame(wire.NOTIFICATION_RESPONSE, b"\0\0\0\1ch\0secret\0")
    answers = talk.target(wire.encode_notice("WARNING", "01000", "secret"), notification, DONE, ready())
    assert kinds(answers) == "CZ"


def test_a_plans_notices_come_before_its_rows() -> None:
    talk = Dialogue()
    talk.client(query("remark"))
    assert kinds(talk.target(COLUMNS, row("1"), DONE, ready())) == "NTDCZ"


def test_a_free_setting_is_reported_and_a_pinned_one_that_drifts_ends_the_session() -> None:
    talk = Dialogue()
    talk.client(query("set"))
    answers = talk.target(wire.encode_parameter_status("TimeZone", "Europe/Paris"), DONE, ready())
    assert kinds(answers) == "SCZ"
    talk.client(query("set"))
    answers = talk.target(wire.encode_parameter_status("client_encoding", "LATIN1"))
    assert fields(answers[-1])["S"] == "FATAL"
    assert talk.ended


def test_a_grant_that_has_ended_ends_the_session_at_the_next_statement() -> None:
    talk = Dialogue()
    talk.check = Refusal("access-ended", "ticket `SUP-1` was closed")
    talk.client(query("read a"))
    answers = talk.target(error("42601", "syntax error"), ready())
    assert fields(answers[0])["S"] == "FATAL"
    assert fields(answers[0])["M"] == "ticket `SUP-1` was closed"
    assert talk.ended
    assert talk.trail.records[-1]["kind"] == "session.end"


def test_a_cut_says_why_unless_a_row_is_half_way_through() -> None:
    talk = Dialogue()
    talk.relay.cut(Refusal("grant-revoked", "the grant was revoked", fatal=True))
    assert fields(talk.received()[0])["C"] == "57P01"
    talk = Dialogue()
    talk.client(query("read a"))
    talk.relay.backend_data(row("x" * 200_000)[:100_000])
    talk.down.take()
    talk.relay.cut(Refusal("grant-revoked", "the grant was revoked", fatal=True))
    assert [facts.pid for facts in talk.cancelled] == [7]
    assert talk.down.closed
    assert talk.down.take() == b""


def test_too_many_rows_stop_the_statement_and_keep_the_session() -> None:
    talk = Dialogue(Windows(rows=2, bytes=10_000), rows_per_statement=3)
    talk.client(query("read a"))
    assert kinds(talk.target(COLUMNS, *[row(str(n)) for n in range(5)])) == "TDDD"
    assert [facts.pid for facts in talk.cancelled] == [7]
    answers = talk.target(row("6"), error("57014", "canceling statement due to user request"), ready())
    assert kinds(answers) == "EZ"
    assert fields(answers[0])["C"] == "53400"
    assert not talk.ended


def test_a_statement_that_finished_before_it_could_be_stopped_still_ends_with_the_error() -> None:
    talk = Dialogue(Windows(rows=2, bytes=10_000), rows_per_statement=2)
    talk.client(query("read a"))
    assert kinds(talk.target(COLUMNS, row("1"), row("2"), row("3"), DONE, ready())) == "TDDEZ"


def test_bytes_have_a_budget_and_four_fifths_of_it_are_on_record() -> None:
    talk = Dialogue(Windows(rows=100, bytes=50), bytes_per_day=100)
    talk.client(query("read a"))
    assert kinds(talk.target(COLUMNS, row("x" * 35), row("y" * 30), DONE, ready())) == "TDDCZ"
    assert [(r["kind"], r.get("window_bytes"), r.get("used")) for r in talk.trail.records] == [
        ("statement.begin", 50, None), ("statement.window", 100, None), ("budget.warning", None, 87),
        ("statement.end", None, None),
    ]  # fmt: skip
    assert (talk.trail.records[2]["budget"], talk.trail.records[2]["limit"]) == ("bytes_per_day", 100)
    talk.client(query("read b"))
    assert kinds(talk.target(COLUMNS, row("z" * 30))) == "T"
    answers = talk.target(error("57014", "canceling statement due to user request"), ready())
    assert (fields(answers[0])["C"], "bytes a day" in fields(answers[0])["M"]) == ("53400", True)


def test_exact_searches_are_events_of_their_own_and_have_a_budget() -> None:
    talk = Dialogue(exact_searches_per_hour=1)
    talk.client(query("find"))
    assert talk.trail.kinds() == ["statement.begin", "search.exact", "budget.warning"]
    talk.target(DONE, ready())
    talk.client(query("find again"))
    answers = talk.target(error("42601", "syntax error"), ready())
    assert fields(answers[0])["C"] == "53400"


def test_settings_are_restored_unseen_after_a_reset() -> None:
    talk = Dialogue(restore="SET TimeZone TO 'Asia/Tokyo'")
    sent = talk.client(query("reset all"))
    assert kinds(sent) == "QQ"
    restored = [wire.encode_command_complete("SET"), wire.encode_parameter_status("TimeZone", "Asia/Tokyo"), ready()]
    answers = talk.target(wire.encode_command_complete("RESET"), ready(), *restored)
    assert kinds(answers) == "CZS"


@pytest.mark.parametrize("kind", [ord("v"), ord("~"), 0, 255])
def test_an_unknown_message_type_ends_the_session(kind: int) -> None:
    talk = Dialogue()
    talk.client(wire.frame(kind))
    assert fields(talk.received()[0])["C"] == "08P01"
    assert talk.ended


def test_the_function_call_message_is_refused_in_order() -> None:
    talk = Dialogue()
    assert kinds(talk.client(wire.frame(wire.FUNCTION_CALL, b"\0\0\0\1"))) == "Q"
    assert kinds(talk.target(error("42601", "syntax error"), ready())) == "EZ"


def test_a_parameter_type_that_looks_names_up_is_refused() -> None:
    talk = Dialogue()
    talk.client(wire.encode_parse(b"", "read a", [2205]), SYNC)
    answers = talk.target(error("42601", "syntax error"), ready())
    assert "code: type-not-allowed" in fields(answers[0])["D"]


def test_rows_that_nobody_asked_for_end_the_session() -> None:
    talk = Dialogue()
    answers = talk.target(row("1"))
    assert fields(answers[0])["S"] == "FATAL"
    talk = Dialogue()
    talk.client(parse("read a"), SYNC)
    assert b"secret" not in talk.down.written
    answers = talk.target(row("secret"))
    assert kinds(answers) == "E"


def test_a_client_that_never_reads_is_cut_after_a_while() -> None:
    talk = Dialogue()
    talk.relay.client_blocked(True)
    assert talk.up.paused
    talk.relay.tick(talk.relay.heard_at + 30, 3600)
    assert not talk.ended
    talk.relay.tick(talk.relay.heard_at + 100, 3600)
    assert talk.ended


def test_an_idle_session_and_an_unanswered_statement_end_in_time() -> None:
    talk = Dialogue()
    talk.relay.tick(talk.relay.heard_at + 10, 5)
    assert fields(talk.received()[0])["S"] == "FATAL"
    talk = Dialogue()
    talk.client(query("read a"))
    talk.relay.tick(talk.relay.heard_at + 20, 5)
    assert not talk.ended
    talk.relay.tick(talk.relay.heard_at + 50, 5)
    assert talk.ended


def test_the_target_is_not_read_further_while_much_is_held() -> None:
    talk = Dialogue()
    talk.trail.slow = True
    talk.client(query("read a"))
    for _ in range(20):
        talk.relay.backend_data(row("x" * 100_000))
    assert talk.up.paused
    talk.trail.slow = False
    talk.trail.flush()
    assert not talk.up.paused


def test_a_long_text_is_studied_elsewhere_and_what_follows_waits_its_turn() -> None:
    async def main() -> None:
        talk = Dialogue()
        long_text = "read a" + " " * 600 + "b"
        assert talk.client(query(long_text), query("read c")) == []
        assert talk.down.paused
        assert talk.client(query("read d")) == []
        await asyncio.sleep(0.01)
        sent = wire.Framer().feed(talk.up.take())
        assert [wire.decode_query(body).text.split()[-1] for _, body in sent] == ["b", "c", "d"]
        assert not talk.down.paused

    asyncio.run(main())


def test_a_long_text_that_is_refused_is_refused_in_its_place() -> None:
    async def main() -> None:
        talk = Dialogue()
        talk.client(query("no" + " " * 600), query("read c"))
        await asyncio.sleep(0.01)
        sent = wire.Framer().feed(talk.up.take())
        assert [wire.decode_query(body).text for _, body in sent] == ["refused", "/*rewritten*/ read c"]

    asyncio.run(main())


def test_a_session_that_ends_while_a_text_is_studied_is_left_alone() -> None:
    async def main() -> None:
        talk = Dialogue()
        talk.client(query("read a" + " " * 600))
        talk.relay.finish()
        await asyncio.sleep(0.01)
        assert talk.up.take().startswith(b"X")

    asyncio.run(main())


def test_small_answers_ahead_of_a_held_one_leave_with_it_in_one_packet() -> None:
    talk = Dialogue()
    talk.trail.slow = True
    talk.client(parse("read a"), BIND, EXECUTE, SYNC)
    assert talk.target(PARSED, BOUND, row("1"), DONE, ready()) == []
    talk.trail.flush()
    assert kinds(talk.received()) == "12DCZ"


def test_a_changed_catalog_is_seen_by_the_next_statement_of_an_old_session() -> None:
    talk = Dialogue()
    before = talk.relay.inside.number
    changed = View(policy(), Catalog(operators=frozenset({"="})), ("42",))
    talk.gate._view = lambda _session: changed
    talk.gate.renew(talk.relay.inside)
    assert talk.relay.inside.view is changed
    assert talk.relay.inside.number != before


def test_a_long_text_that_is_studied_while_the_catalog_changes_is_studied_again() -> None:
    async def main() -> None:
        talk = Dialogue()
        changed = View(policy(), Catalog(operators=frozenset({"="})), ("42",))
        seen: list[View] = []

        async def study(text: str, view: View, person: str) -> Plan | Refusal:
            seen.append(view)
            if len(seen) == 1:
                talk.gate._view = lambda _session: changed
                talk.gate.renew(talk.relay.inside)
            return analyse(text, view)

        talk.analyse = study  # type: ignore[method-assign]
        long_text = "read a" + " " * 600
        talk.client(query(long_text))
        await asyncio.sleep(0.01)
        assert seen[1:] == [changed]
        assert talk.gate._plans.find(talk.relay.inside.number, long_text) is not None

        talk.gate._view = lambda _session: View(policy(), Catalog(), ("42",))
        talk.gate.renew(talk.relay.inside)
        assert talk.gate.needs_study(talk.relay.inside, long_text)

    asyncio.run(main())
