"""What a message reads is recorded whatever failed or was skipped before it, and answers come in the order asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from dialogue import Dialogue, error, kinds, ready, row, session

from gateway.wire import postgres as wire

DONE = wire.encode_command_complete("SELECT 1")
SYNC = wire.encode_sync()
EXECUTE = wire.encode_execute(b"", 0)
BIND = wire.encode_bind(b"", b"")
PARSED, BOUND, CLOSED = (wire.frame(kind) for kind in (wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.CLOSE_COMPLETE))


def parse(text: str, name: bytes = b"") -> bytes:
    return wire.encode_parse(name, text)


def read_by(talk: Dialogue) -> list[str]:
    relations: list[str] = talk.trail.records[-1].get("relations", [])
    return relations


def test_inside_a_batch_a_name_is_what_the_batch_made_of_it() -> None:
    talk = Dialogue()
    for table in "abc":
        talk.client(parse(f"read {table}"), BIND, EXECUTE, SYNC)
        begin = next(record for record in reversed(talk.trail.records) if record["kind"] == "statement.begin")
        assert begin["relations"] == [f"public.{table}"]
        talk.target(PARSED, BOUND, row("1"), DONE, ready())


def test_a_bind_that_failed_leaves_the_portal_of_before() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), wire.encode_bind(b"c", b""), SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    talk.client(parse("read b", b"b"), wire.encode_bind(b"c", b"b", [b"too many"]), SYNC)
    talk.target(PARSED, error("08P01", "wrong number of parameters"), ready(b"E"))
    talk.client(wire.encode_execute(b"c", 0), SYNC)
    assert read_by(talk) == ["public.a", "public.b"]


def test_an_earlier_meaning_in_a_batch_that_failed_is_not_forgotten() -> None:
    talk = Dialogue()
    fails = wire.encode_bind(b"", b"b", [b"too many"])
    talk.client(parse("read b", b"b"), SYNC)
    talk.target(PARSED, ready())
    talk.client(parse("read a", b"s"), fails, wire.encode_close(wire.STATEMENT, b"s"), parse("read c", b"s"), SYNC)
    talk.target(PARSED, error("08P01", "wrong number of parameters"), ready())
    talk.client(wire.encode_bind(b"", b"s"), EXECUTE, SYNC)
    assert read_by(talk) == ["public.a", "public.c"]


UNCERTAIN = {
    "a failure": ((parse("read a"), BIND, SYNC), (PARSED, error("08P01", "no"), ready(b"E")), ()),
    "a Query": ((parse("read a"), BIND, SYNC), (PARSED, BOUND, ready(b"T")), (wire.encode_query("read b"),)),
    "no answer yet": ((parse("read a"), BIND, SYNC), (), ()),
}


@pytest.mark.parametrize("after", UNCERTAIN)
def test_the_unnamed_portal_is_executed_only_when_it_is_certainly_the_client_s(after: str) -> None:
    sent, answered, more = UNCERTAIN[after]
    talk = Dialogue()
    talk.client(*sent)
    if answered:
        talk.target(*answered)
    assert kinds(talk.client(*more, EXECUTE, SYNC)) == "Q" * len(more) + "PS"


def test_the_unnamed_portal_goes_on_after_a_sync() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), BIND, SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    assert kinds(talk.client(EXECUTE, SYNC)) == "ES"


def test_a_close_that_may_have_been_skipped_forgets_nothing() -> None:
    talk = Dialogue()
    talk.client(parse("read a", b"s"), SYNC)
    talk.target(PARSED, ready())
    close = wire.encode_close(wire.STATEMENT, b"s")
    talk.client(wire.encode_bind(b"", b"s", [b"too many"]), wire.encode_query("read c"), close, SYNC)
    talk.client(wire.encode_bind(b"", b"s"), EXECUTE, SYNC)
    assert read_by(talk) == ["public.a"]


def test_a_close_that_took_effect_makes_the_name_unknown() -> None:
    talk = Dialogue()
    talk.client(parse("read a", b"s"), wire.encode_close(wire.STATEMENT, b"s"), SYNC)
    talk.target(PARSED, CLOSED, ready())
    talk.client(wire.encode_bind(b"", b"s"), EXECUTE, SYNC)
    assert "prepared-statement-not-found" in {record.get("code") for record in talk.trail.records}


def test_sqls_fetch_of_a_protocol_portal_is_recorded_with_what_the_portal_reads() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), wire.encode_bind(b"c", b""), SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    talk.client(wire.encode_query("FETCH c"))
    assert read_by(talk) == ["public.a"]


def test_sqls_fetch_of_a_name_that_nobody_made_is_refused() -> None:
    talk = Dialogue()
    talk.client(wire.encode_query("FETCH c"))
    assert talk.trail.records[-1]["code"] == "cursor-not-found"


@pytest.mark.parametrize(
    "message",
    [
        parse("read a", b"n" * 64),
        wire.encode_bind(b"n" * 64, b""),
        wire.encode_close(wire.STATEMENT, b"n" * 64),
        wire.encode_close(wire.PORTAL, b"n" * 64),
    ],
)
def test_a_name_longer_than_the_target_compares_is_refused(message: bytes) -> None:
    talk = Dialogue()
    (sent,) = talk.client(message)
    assert wire.decode_parse(sent[1]).text == "refused"
    assert talk.trail.records[-1]["code"] == "statement-too-complex"


def test_an_error_in_answer_to_a_sync_leaves_its_ready_for_query_due() -> None:
    talk = Dialogue()
    talk.client(parse("read a"), BIND, EXECUTE, SYNC)
    assert kinds(talk.target(PARSED, BOUND, DONE, error("57014", "canceling"), ready())) == "12CEZ"
    talk.client(wire.encode_query("read b"))
    assert kinds(talk.target(row("1"), DONE, ready())) == "DCZ"
    assert not talk.ended


def test_settings_are_not_restored_where_the_target_may_skip_it() -> None:
    talk = Dialogue(restore="SET TimeZone TO 'Asia/Tokyo'")
    assert kinds(talk.client(parse("read a"), wire.encode_query("reset all"))) == "PQ"
    assert kinds(talk.client(SYNC)) == "SQ"
    answers = talk.target(error("42P01", "gone"), ready(), wire.encode_command_complete("SET"), ready())
    assert kinds(answers) == "EZ"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (wire.encode_query("read a"), PARSED),
        (wire.encode_query("read a"), BOUND),
        (wire.encode_query("read a"), wire.frame(wire.NO_DATA)),
        (wire.encode_query("read a"), wire.frame(wire.PORTAL_SUSPENDED)),
        (parse("read a") + BIND + EXECUTE, BOUND),
        (parse("read a") + BIND + EXECUTE, DONE),
        (parse("read a") + BIND + EXECUTE, ready()),
        (SYNC, DONE),
        (SYNC, wire.encode_row_description(["a"])),
        (wire.encode_query("read a"), wire.frame(wire.COPY_IN_RESPONSE, b"\0\0\0")),
        (wire.encode_query("read a"), wire.frame(wire.COPY_BOTH_RESPONSE, b"\0\0\0")),
        (wire.encode_query("read a"), wire.frame(wire.FUNCTION_CALL_RESPONSE, b"\xff\xff\xff\xff")),
        (wire.encode_query("read a"), wire.encode_auth_ok()),
    ],
)
def test_an_answer_to_something_else_ends_the_session(asked: bytes, answer: bytes) -> None:
    talk = Dialogue()
    talk.client(asked)
    assert kinds(talk.target(answer, row("secret"))) == "E"
    assert talk.ended
    assert talk.trail.records[-1]["kind"] == "session.end"


def test_a_pipeline_reads_no_more_than_the_day_allows() -> None:
    talk = Dialogue(rows_per_day=2500)
    talk.client(*(wire.encode_query("read a") for _ in range(4)))
    assert [record["window_rows"] for record in talk.trail.records] == [1000, 1000, 500, 0]
    answers = talk.target(*[row("1"), DONE, ready()] * 4)
    assert kinds(answers) == "DCZ" * 4
    talk.client(wire.encode_query("read a"), wire.encode_query("read a"))
    answers = talk.target(*[row("1")] * 2600)
    assert kinds(answers) == "D" * 1496


def test_a_session_on_its_way_in_under_a_policy_that_was_replaced_is_known() -> None:
    talk = Dialogue()
    inside = talk.gate.enter(session())
    assert talk.gate.is_current(inside)
    changed = replace(inside.view, policy=replace(inside.view.policy, digest="another"))
    talk.gate._view = lambda _session: changed
    assert not talk.gate.is_current(inside)


def test_a_fault_of_ours_ends_the_session_with_a_word_and_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reported: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        talk = Dialogue()
        monkeypatch.setattr(talk.gate, "admit", lambda *_: 1 / 0)
        talk.client(wire.encode_query("read a"))
        ((kind, body),) = talk.received()
        assert kind == wire.ERROR_RESPONSE
        assert wire.parse_error_fields(body)["D"] == "code: internal-error"
        assert (talk.trail.records[-1]["status"], talk.trail.records[-1]["code"]) == ("cut", "internal-error")
        assert [type(error) for error in reported] == [ZeroDivisionError]

    asyncio.run(main())
