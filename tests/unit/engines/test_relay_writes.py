"""What writes is sent after its record, completed after the record of its end, and spends its approval once."""

from __future__ import annotations

import asyncio

from dialogue import Dialogue, error, kinds, ready, row
from test_relay import BIND, BOUND, COLUMNS, EXECUTE, PARSED, SYNC, fields, parse, query

from gateway.errors import Refusal
from gateway.wire import postgres as wire

WRITTEN = wire.encode_command_complete("UPDATE 1")
APPROVED = "write approved"


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def approved(**more: object) -> Dialogue:
    return Dialogue(write=True, statement=f"digest of {APPROVED}", **more)  # type: ignore[arg-type]


def test_nothing_is_sent_before_the_record_is_durable() -> None:
    talk = Dialogue(write=True)
    talk.trail.slow = True

    assert talk.client(query("write a"), query("read b")) == []
    assert talk.trail.kinds() == ["statement.begin"]
    talk.trail.flush()
    sent = wire.Framer().feed(talk.up.take())

    assert [wire.decode_query(body).text for _, body in sent] == ["/*rewritten*/ write a", "/*rewritten*/ read b"]
    assert talk.trail.records[0]["columns_written"] == ["public.employees.status"]


def test_what_stands_before_it_is_sent_with_it_and_what_comes_later_waits() -> None:
    talk = Dialogue(write=True)
    talk.trail.slow = True

    assert talk.client(parse("write a"), BIND, EXECUTE) == []
    assert talk.client(SYNC, query("read b")) == []
    talk.trail.flush()

    assert kinds(wire.Framer().feed(talk.up.take())) == "PBESQ"


def test_a_record_that_cannot_be_made_ends_the_session_and_nothing_is_sent() -> None:
    talk = Dialogue(write=True)
    talk.trail.slow = True
    talk.client(query("write a"))

    talk.trail.flush(durable=False)

    assert fields(talk.received()[0])["C"] == "58030"
    assert talk.up.take() == b""
    assert talk.ended


def test_a_session_that_ends_meanwhile_sends_nothing() -> None:
    talk = Dialogue(write=True)
    talk.trail.slow = True
    talk.client(query("write a"))

    talk.relay.cut(Refusal("grant-revoked", "revoked", fatal=True))
    talk.trail.flush()

    assert b"rewritten" not in talk.up.take()


def test_a_completion_waits_for_the_record_of_the_end() -> None:
    talk = Dialogue(write=True)
    talk.client(query("write a"))
    talk.trail.slow = True

    assert kinds(talk.target(COLUMNS, row("x" * 5000), WRITTEN, ready())) == "TD"
    assert talk.trail.records[-1]["tag"] == "UPDATE 1"
    talk.trail.flush()

    assert kinds(talk.received()) == "CZ"
    assert talk.trail.kinds() == ["statement.begin", "statement.end"]


def test_so_it_does_in_the_extended_protocol() -> None:
    talk = Dialogue(write=True)
    talk.client(parse("write a"), BIND, EXECUTE, SYNC)
    talk.trail.slow = True

    # what is free to leave is short, and goes with the rest
    assert kinds(talk.target(PARSED, BOUND, WRITTEN, ready())) == ""
    talk.trail.flush()

    assert kinds(talk.received()) == "12CZ"
    assert [one["status"] for one in talk.trail.records if one["kind"] == "statement.end"] == ["ok"]


def test_a_completion_never_leaves_when_the_end_cannot_be_recorded() -> None:
    talk = Dialogue(write=True)
    talk.client(query("write a"))
    talk.trail.broken = True

    answers = talk.target(WRITTEN, ready())

    assert kinds(answers) == "E"
    assert fields(answers[0])["C"] == "58030"


def test_a_grant_for_reading_writes_nothing() -> None:
    talk = Dialogue()

    assert wire.decode_query(talk.client(query("write a"))[0][1]).text == "refused"
    assert talk.trail.records[0]["code"] == "read-only"


def test_an_approval_is_claimed_before_the_statement_and_spent_by_it() -> None:
    async def story() -> None:
        talk = approved()
        assert talk.client(query(APPROVED), query("read b")) == []
        await settled()
        assert kinds(wire.Framer().feed(talk.up.take())) == "QQ"
        assert talk.claims == [f"digest of {APPROVED}"]
        talk.target(WRITTEN, ready())
        assert talk.released == []
        talk.unclaimable = Refusal("approval-required", "the approval is spent")
        talk.client(query(APPROVED))
        await settled()
        assert talk.trail.records[-1]["reason"] == "the approval is spent"
        assert len(talk.claims) == 2

    asyncio.run(story())


def test_an_approval_is_given_back_when_the_target_refused() -> None:
    async def story() -> None:
        talk = approved()
        talk.client(query(APPROVED))
        await settled()
        talk.target(error("22P02", 'invalid input syntax for type boolean: "gateway: too many rows: 17"'), ready())
        assert talk.released == [f"digest of {APPROVED}"]

    asyncio.run(story())


def test_an_approval_is_given_back_when_what_stood_before_failed() -> None:
    async def story() -> None:
        talk = approved()
        talk.client(parse(APPROVED), BIND, wire.encode_execute(b"nothing", 0), EXECUTE, SYNC)
        await settled()
        assert talk.claims == [f"digest of {APPROVED}"]
        assert talk.released == []
        talk.target(PARSED, BOUND, error("42601", "syntax error"), ready())
        assert talk.released == [f"digest of {APPROVED}"]
        ends = [one["status"] for one in talk.trail.records if one["kind"] == "statement.end"]
        assert ends == ["skipped"]

    asyncio.run(story())


def test_an_approval_of_what_may_have_run_is_not_given_back() -> None:
    async def story() -> None:
        talk = approved()
        talk.client(query(APPROVED))
        await settled()
        talk.relay.backend_lost()
        assert [one["status"] for one in talk.trail.records if one["kind"] == "statement.end"] == ["cut"]
        assert talk.released == []

    asyncio.run(story())


def test_a_bound_of_ours_is_told_as_such() -> None:
    for message, sqlstate, words in (
        (
            'invalid input syntax for type boolean: "gateway: too many rows: 17"',
            "53400",
            "17 rows; the policy allows 2",
        ),
        ('ungültige Eingabesyntax: "gateway: not of this customer: 7"', "44000", "another customer's"),
        ('invalid input syntax for type boolean: "4111"', "22P02", "text cannot be read"),
        ('column "e.gateway table" must appear in the GROUP BY clause', "0A000", "an aggregate function cannot be"),
    ):
        talk = Dialogue(write=True)
        talk.client(query("write a"))
        told = fields(talk.target(error("42803" if "GROUP BY" in message else "22P02", message), ready())[0])
        assert told["C"] == sqlstate
        assert words in told["M"]
        assert "4111" not in str(told)
        assert talk.trail.records[-1]["sqlstate"] == sqlstate


def test_an_approval_that_was_claimed_in_vain_is_given_back() -> None:
    async def story() -> None:
        talk = approved()
        talk.client(query(APPROVED))
        talk.check = None
        # the grant ends between the claim and the statement
        talk.gate._check = lambda _session: Refusal("grant-revoked", "revoked") if talk.claims else None
        await settled()
        assert talk.claims == talk.released == [f"digest of {APPROVED}"]
        assert talk.trail.records[-1]["code"] == "grant-revoked"

    asyncio.run(story())


def test_an_approval_for_one_statement_runs_no_other() -> None:
    talk = approved()
    talk.client(query("write without"))
    assert talk.trail.records[-1]["code"] == "approval-required"
    assert talk.claims == []


def test_a_name_that_may_write_or_not_is_refused() -> None:
    talk = Dialogue(write=True)
    talk.client(parse("write a", b"s"), SYNC)
    # whether this Parse took effect is not known before the Sync is answered
    talk.client(wire.encode_close(wire.STATEMENT, b"s"), parse("read b", b"s"), SYNC)
    talk.client(wire.encode_bind(b"p", b"s"), wire.encode_execute(b"p", 0), SYNC)

    refused = [one for one in talk.trail.records if one["kind"] == "statement.refused"]

    assert [one["code"] for one in refused] == ["statement-not-allowed"]
    assert "not certain" in refused[0]["reason"]
