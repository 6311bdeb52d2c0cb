"""Previews: one SELECT through the gate, within bounds, and everything closed whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from dialogue import Dialogue, FakeTransport, error, ready, row, session

from gateway.admitted import Windows
from gateway.engines.postgres_preview import PostgresPreview
from gateway.engines.previews import MOST_AT_ONCE, MOST_ROWS
from gateway.engines.upstream import Backend, Facts
from gateway.errors import GatewayError, Refusal
from gateway.model import Preview
from gateway.sql.statement import Kind
from gateway.wire import postgres as wire

DONE = wire.encode_command_complete("SELECT 1")
HEAD = wire.encode_row_description(["id", "email"])
KINDS = ["session.begin", "statement.begin", "session.connected", "statement.end", "session.end"]

TIE: dict[str, int | str] = {
    "backend": 7, "backend_address": "127.0.0.1:7", "backend_role": "reader", "backend_database": "payroll"
}  # fmt: skip


class Target:
    """A target that answers each query with the same bytes, and remembers what became of its connection."""

    def __init__(self, *answer: bytes, lost: bool = False, down: bool = False) -> None:
        self.answer, self.lost, self.down = answer, lost, down
        self.backend = Backend()
        self.transport = FakeTransport()
        self.pins: object = None
        self.cancelled: list[Facts] = []

    def tie(self, backend: Backend) -> dict[str, int | str]:
        return TIE

    async def acquire(self, pins: object = None) -> Backend:
        if self.down:
            raise GatewayError("target-unavailable", "the target cannot be reached")
        self.pins = pins
        self.backend.transport = self.transport  # type: ignore[assignment]
        written = self.transport.write

        def answered(data: Any) -> None:
            written(data)
            if bytes(data)[:1] == b"Q":
                for part in self.answer:
                    self.backend.data_received(part)
                if self.lost:
                    self.backend.connection_lost(None)

        self.transport.write = answered  # type: ignore[method-assign]
        return self.backend

    def cancel_soon(self, facts: Facts) -> None:
        self.cancelled.append(facts)


def look(talk: Dialogue, target: Target, text: str = "read employees", timeout_s: float = 5.0) -> Preview | Refusal:
    """Run a preview against a target."""
    previews = PostgresPreview(
        talk.gate, {"payroll": target}, lambda _: {"pin": "1"}, timeout_s  # type: ignore[dict-item]
    )  # fmt: skip
    talk.trail.records.clear()

    async def run() -> Preview | Refusal:
        return await previews.run(session(), text)

    return asyncio.run(run())


def test_the_rows_are_shown_as_text_and_the_trail_says_how_many() -> None:
    talk, target = Dialogue(), Target(HEAD, row("7", None), row("8", "é"), DONE, ready())
    assert look(talk, target) == Preview(("id", "email"), (("7", None), ("8", "é")))
    assert talk.trail.kinds() == KINDS
    begin, _, end = talk.trail.records[1:4]
    assert begin["relations"] == ["public.employees"]
    assert (end["status"], end["rows"]) == ("ok", 2)
    assert target.transport.written.startswith(wire.encode_query("/*rewritten*/ read employees"))
    assert target.transport.closed
    assert target.pins == {"pin": "1"}
    assert not target.cancelled


def test_nothing_is_sent_before_the_record_is_durable() -> None:
    talk, target = Dialogue(), Target(HEAD, DONE, ready())
    talk.trail.slow = True

    async def run() -> Preview | Refusal:
        previews = PostgresPreview(talk.gate, {"payroll": target}, lambda _: {})  # type: ignore[dict-item]
        running = asyncio.create_task(previews.run(session(), "read employees"))
        for _ in range(2):
            await asyncio.sleep(0.01)
            assert target.transport.written == b""
            talk.trail.flush()
        await asyncio.sleep(0.01)
        assert target.transport.written
        return await running

    assert asyncio.run(run()) == Preview(("id", "email"), ())


def test_a_trail_that_fails_lets_nothing_out() -> None:
    talk, target = Dialogue(), Target(HEAD, row("7", "x"), DONE, ready())
    talk.trail.slow = True

    async def run() -> Preview | Refusal:
        previews = PostgresPreview(talk.gate, {"payroll": target}, lambda _: {})  # type: ignore[dict-item]
        running = asyncio.create_task(previews.run(session(), "read employees"))
        await asyncio.sleep(0.01)
        talk.trail.flush()
        await asyncio.sleep(0.01)
        talk.trail.flush(durable=False)
        return await running

    outcome = asyncio.run(run())
    assert isinstance(outcome, Refusal)
    assert outcome.code == "audit-not-writable"
    assert target.transport.written == b""


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_result_without_end_is_cut_after_some_rows_and_stopped(chunk: int) -> None:
    many = HEAD + row("7", "x") * (MOST_ROWS + 20)
    target = Target(*(many[at : at + chunk] for at in range(0, len(many), chunk)))
    found = look(talk := Dialogue(), target)
    assert isinstance(found, Preview)
    assert (len(found.rows), found.more) == (MOST_ROWS, True)
    assert len(target.cancelled) == 1
    assert target.transport.closed
    assert (talk.trail.records[3]["status"], talk.trail.records[3]["rows"]) == ("cut", MOST_ROWS)


def test_exactly_as_many_rows_as_are_shown_are_all_of_them() -> None:
    found = look(Dialogue(), Target(HEAD, row("7", "x") * MOST_ROWS, DONE, ready()))
    assert isinstance(found, Preview)
    assert (len(found.rows), found.more) == (MOST_ROWS, False)


@pytest.mark.parametrize(
    ("windows", "limits", "shown"),
    [
        (Windows(rows=3), {}, 3),
        (Windows(), {"rows_per_statement": 2}, 2),
        (Windows(), {"rows_per_day": 4}, 4),
        (Windows(bytes=40), {}, 2),
    ],
)
def test_no_row_is_shown_beyond_what_was_announced(windows: Windows, limits: dict[str, int], shown: int) -> None:
    found = look(Dialogue(windows, **limits), Target(HEAD, row("7", "x") * 10, DONE, ready()))
    assert isinstance(found, Preview)
    assert (len(found.rows), found.more) == (shown, True)


def test_a_person_s_budget_is_used_up_by_previews_too() -> None:
    talk = Dialogue(rows_per_day=2)
    look(talk, Target(HEAD, row("7", "x") * 2, DONE, ready()))
    outcome = look(talk, Target(HEAD, row("7", "x"), DONE, ready()))
    assert isinstance(outcome, Refusal)
    assert outcome.code == "row-budget-exhausted"
    assert talk.trail.kinds() == ["session.begin", "statement.refused", "session.end"]


@pytest.mark.parametrize("kinds", [(Kind.WRITE,), (Kind.READ, Kind.READ), (Kind.UTILITY,), ()])
def test_what_is_not_one_select_is_refused_and_recorded(
    kinds: tuple[Kind, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, target = Dialogue(), Target()
    judged = talk.gate.judge(talk.gate.enter(session()), "read x")
    assert not isinstance(judged, Refusal)
    other = judged._replace(plan=replace(judged.plan, kinds=kinds))
    monkeypatch.setattr(talk.gate, "judge", lambda *_: other)
    outcome = look(talk, target)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "statement-not-allowed"
    assert talk.trail.kinds() == ["session.begin", "statement.refused", "session.end"]
    assert target.transport.written == b""


def test_what_the_policy_hides_is_refused_as_to_any_client() -> None:
    outcome = look(Dialogue(), Target(), "no such relation")
    assert isinstance(outcome, Refusal)
    assert outcome.code == "relation-not-available"


def test_a_session_that_may_not_is_refused() -> None:
    talk, target = Dialogue(), Target()
    talk.check = Refusal("access-ended", "access has ended")
    outcome = look(talk, target)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "access-ended"


def test_a_target_s_own_words_stay_behind() -> None:
    target = Target(HEAD, error("22P02", 'invalid input syntax for type integer: "secret"'), ready())
    talk = Dialogue()
    outcome = look(talk, target)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "target-error"
    assert "secret" not in repr(outcome) + repr(talk.trail.records)
    assert (talk.trail.records[3]["status"], talk.trail.records[3]["sqlstate"]) == ("error", "22P02")
    assert target.transport.closed


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(down=True), "target-unavailable"),
        (Target(HEAD, lost=True), "target-unavailable"),
        (Target(DONE, ready()), "internal-error"),
        (Target(wire.frame(b"H"[0], b"\0\0\0")), "target-unavailable"),
        (Target(b"D\0\0\0\1"), "protocol-violation"),
        (Target(HEAD, b"D\x7f\xff\xff\xff"), "message-too-large"),
        (Target(HEAD, wire.frame(wire.DATA_ROW, b"\0\2\0\0\0\1")), "protocol-violation"),
    ],
    ids=["down", "lost", "no table", "copy", "short", "huge", "torn row"],
)
def test_a_target_that_misbehaves_is_left(target: Target, expected: str) -> None:
    talk = Dialogue()
    outcome = look(talk, target)
    assert isinstance(outcome, Refusal)
    assert outcome.code == expected
    assert talk.trail.kinds()[-2:] == ["statement.end", "session.end"]
    assert target.down or target.lost or target.transport.closed


def test_a_target_that_says_nothing_is_given_up_and_stopped() -> None:
    talk, target = Dialogue(), Target(HEAD)
    outcome = look(talk, target, timeout_s=0.05)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "cancelled"
    assert len(target.cancelled) == 1
    assert target.transport.closed
    assert talk.trail.kinds() == KINDS


def test_long_values_are_cut_short() -> None:
    found = look(Dialogue(), Target(HEAD, row("7", "x" * 5000), DONE, ready()))
    assert isinstance(found, Preview)
    assert found.rows[0][1] == "x" * 500 + " ..."


def test_only_so_many_previews_hold_a_connection_at_once() -> None:
    talk = Dialogue()
    targets = [Target(HEAD) for _ in range(MOST_AT_ONCE + 2)]
    free = list(targets)

    class Many:
        def tie(self, backend: Backend) -> dict[str, int | str]:
            return TIE

        async def acquire(self, pins: object = None) -> Backend:
            return await free.pop().acquire(pins)

        def cancel_soon(self, facts: Facts) -> None:
            pass

    async def run() -> None:
        previews = PostgresPreview(talk.gate, {"payroll": Many()}, lambda _: {})  # type: ignore[dict-item]
        running = [asyncio.create_task(previews.run(session(), "read employees")) for _ in targets]
        await asyncio.sleep(0.05)
        assert len(free) == 2
        for target in targets[2:]:
            target.backend.data_received(DONE + ready())
        await asyncio.sleep(0.05)
        assert not free
        for target in targets[:2]:
            target.backend.data_received(DONE + ready())
        assert await asyncio.gather(*running) == [Preview(("id", "email"), ())] * len(targets)

    asyncio.run(run())
