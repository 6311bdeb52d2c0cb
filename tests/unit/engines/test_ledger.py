"""Budgets come back after a restart: never less than what left, and what ended is what it was."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dialogue import policy, session
from unsealed import Unsealed

from gateway import ledger as ledger_module
from gateway.admitted import Admitted, Windows
from gateway.audit.checkpoint import create_signer, load_signer
from gateway.audit.log import FileLog
from gateway.budgets import Budgets
from gateway.demo.trail import Follower
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.ledger import Ledger
from gateway.model import Outcome, Permit, Session, Statement
from gateway.sql.cache import PlanCache
from gateway.sql.catalog import Catalog
from gateway.sql.statement import Kind, Plan, RawUse, View
from gateway.store import summaries
from gateway.store.database import Database

RULE = policy(
    rows_per_day=1_000_000, bytes_per_day=1_000_000_000, exact_searches_per_hour=1000, aggregates_per_hour=1000
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


def analyse(text: str, _view: View) -> Plan:
    """`find` searches twice, `sum` sums one column up in two places."""
    searches: tuple[RawUse, ...] = ()
    if text.startswith("find"):
        searches = (RawUse("public.employees", "email"), RawUse("public.employees", "nir"))
    if text.startswith("sum"):
        searches = (RawUse("public.employees", "salary", summed=True),) * 2
    return Plan(text, (Kind.READ,), ("SELECT",), "<text>", "<rewritten>", "f", raw_uses=searches)


class Process:
    """One life of a gateway, as far as budgets go: a trail, a store and a gate over them."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory, self.clock = directory, clock
        directory.mkdir(exist_ok=True)
        key = directory / "audit.key"
        if not key.exists():
            create_signer(key, "test/log")
        self.trail = FileLog.open(
            directory / "audit", origin="test/log", key=load_signer(key), clock=clock, segment_bytes=256 << 10
        )
        self.database = Database(directory / "gateway.sqlite")
        self.budgets = Budgets(clock.seconds)
        self.ledger = Ledger(self.budgets, self.trail, self.database, clock.seconds)
        view = View(RULE, Catalog(), ("42",))
        self.gate = Gate(
            trail=self.trail,
            check=lambda _: None,
            view=lambda _: view,
            plans=PlanCache(analyse, lambda _text, _policy: frozenset(), str),
            normalise=lambda text, _view: text,
            workers=None,  # type: ignore[arg-type]
            budgets=self.budgets,
            claims=None,  # type: ignore[arg-type]
            windows=Windows(100, 1000),
            seals=Unsealed(),  # type: ignore[arg-type]
        )

    def enter(self, name: str = "s1", person: str = "u1") -> Admitted:
        who = session()
        return self.gate.enter(replace(who, id=name, principal=replace(who.principal, id=person)))

    def run(self, inside: Admitted, text: str, number: int, rows: int | None = None, size: int = 0) -> Permit:
        """A statement of that number; it ends when `rows` are given."""
        permit = self.gate.admit(inside, Statement(f"{inside.session.id}.{number}", text))
        assert isinstance(permit, Permit), permit
        if rows is not None:
            self.gate.settle(inside, permit, Outcome("ok", rows, size))
        return permit

    def close(self) -> None:
        self.trail.close()
        self.database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lives(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Process]]:
    """Starts a process; with one given, what a kill of it at this moment leaves is what the new one finds."""
    begun: list[Process] = []

    def start(killed: Process | None = None) -> Process:
        directory = tmp_path / str(len(begun))
        if killed is not None:
            killed.trail.flush()
            shutil.copytree(killed.directory, directory)
        process = Process(directory, clock)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.close()


def used(process: Process) -> dict[str, tuple[int, int, int, int]]:
    """By person: rows, bytes, searches, aggregations."""
    return {
        one.person: (one.rows, one.bytes, len(one.searches), len(one.aggregations)) for one in process.budgets.used()[1]
    }


def test_what_was_used_is_used_after_a_kill(lives: Any) -> None:
    first = lives()
    alice, bob = first.enter("s1", "u1"), first.enter("s2", "u2")
    first.run(alice, "read", 1, 30, 900)
    first.run(bob, "find", 1, 1, 20)
    first.run(bob, "sum", 2, 2, 50)
    second = lives(first)
    second.ledger.restore()
    assert used(second) == {"u1": (30, 900, 0, 0), "u2": (3, 70, 2, 2)} == used(first)


def test_what_was_announced_and_may_have_left_counts_in_full(lives: Any) -> None:
    first = lives()
    alice = first.enter()
    first.run(alice, "read", 1)
    second_statement = first.run(alice, "read", 2)
    assert not isinstance(first.gate.extend(alice, second_statement, 101, 500), Refusal)
    second = lives(first)
    second.ledger.restore()
    assert used(second) == {"u1": (100 + 202, 1000 + 2000, 0, 0)}
    third = lives(second)
    third.ledger.restore()
    assert used(third) == used(second)


def test_a_new_day_and_another_hour_start_anew_after_a_restart_as_without(lives: Any, clock: Clock) -> None:
    first = lives()
    alice = first.enter()
    first.run(alice, "find", 1, 10, 10)
    clock.now += timedelta(minutes=59)
    first.run(alice, "find", 2, 10, 10)
    clock.now += timedelta(minutes=2)
    second = lives(first)
    second.ledger.restore()
    assert used(second) == {"u1": (20, 20, 2, 0)} == used(first)
    clock.now += timedelta(hours=11)
    third = lives(first)
    third.ledger.restore()
    assert used(third) == {}


def test_a_clock_that_went_back_over_midnight_gives_nothing_back(lives: Any, clock: Clock) -> None:
    first = lives()
    first.run(first.enter(), "read", 1, 10, 10)
    clock.now -= timedelta(days=1)
    second = lives(first)
    second.ledger.restore()
    assert used(second) == {"u1": (10, 10, 0, 0)}


def test_a_kept_summary_at_any_moment_gives_the_same_counts(lives: Any) -> None:
    steps: list[Callable[[Process, Admitted, dict[int, Permit]], object]] = [
        lambda p, a, open_: p.run(a, "read", 1, 30, 900),
        lambda p, a, open_: open_.update({2: p.run(a, "find", 2)}),
        lambda p, a, open_: p.gate.extend(a, open_[2], 150, 10),
        lambda p, a, open_: p.run(a, "sum", 3, 5, 5),
        lambda p, a, open_: p.gate.settle(a, open_[2], Outcome("ok", 140, 900)),
        lambda p, a, open_: open_.update({4: p.run(a, "read", 4)}),
    ]
    for moment in range(len(steps)):
        process, kept = lives(), 0
        inside, open_ = process.enter(), dict[int, Permit]()
        for number, step in enumerate(steps):
            step(process, inside, open_)
            if number == moment:
                asyncio.run(process.ledger.summarise())
                kept = process.trail.size
        killed = lives(process)
        assert killed.ledger.restore() == killed.trail.size - kept - session_and_log_records(killed, kept)
        assert used(killed) == {"u1": (30 + 5 + 140 + 100, 900 + 5 + 900 + 1000, 2, 2)}, moment


def session_and_log_records(process: Process, since: int) -> int:
    """How many records since then say nothing of what is used."""
    kinds = [record["kind"] for record in Follower(process.directory / "audit").news() if record["index"] >= since]
    return sum(kind in ("session.begin", "log.start", "log.recovery", "statement.window") for kind in kinds)


def test_a_statement_older_than_its_segment_and_its_summary_is_charged_to_its_person(lives: Any) -> None:
    first = lives()
    alice, bob = first.enter("s1", "u1"), first.enter("s2", "u2")
    open_ = first.run(alice, "read", 1)
    for number in range(2000):
        first.run(bob, "read", number, 1, 1)
    first.trail.flush()
    assert len(list((first.directory / "audit" / "segments").glob("*.log"))) > 3
    asyncio.run(first.ledger.summarise())
    first.gate.settle(alice, open_, Outcome("ok", 77, 7))
    second = lives(first)
    assert second.ledger.restore() < 10
    assert used(second) == {"u1": (77, 7, 0, 0), "u2": (2000, 2000, 0, 0)}


def test_only_segments_of_the_day_and_the_hour_are_read_without_a_summary(lives: Any, clock: Clock) -> None:
    first = lives()
    alice = first.enter()
    for day in range(3):
        for number in range(1000):
            first.run(alice, "read", day * 1000 + number, 1, 1)
        clock.now += timedelta(days=1)
    clock.now -= timedelta(days=1)
    second = lives(first)
    assert 2000 <= second.ledger.restore() < 3000
    assert used(second) == {"u1": (1000, 1000, 0, 0)}


def test_the_counts_of_another_trail_still_count(lives: Any) -> None:
    first = lives()
    first.run(first.enter(), "find", 1, 10, 10)
    asyncio.run(first.ledger.summarise())
    second = lives()
    (kept,) = first.database.run_now(summaries.find, "test/log", others=False)
    second.run(second.enter(), "read", 1, 5, 5)
    second.database.run_now(summaries.keep, "test/old", kept.replace(b"test/log", b"test/old"))
    third = lives(second)
    third.ledger.restore()
    assert used(third) == {"u1": (15, 15, 2, 0)}


def test_a_segment_of_the_day_that_is_damaged_stops_the_start(lives: Any) -> None:
    first = lives()
    alice = first.enter()
    for number in range(1500):
        first.run(alice, "read", number, 1, 1)
    second = lives(first)
    segment = sorted((second.directory / "audit" / "segments").glob("*.log"))[1]
    data = bytearray(segment.read_bytes())
    data[100_000] ^= 1
    segment.write_bytes(data)
    with pytest.raises(GatewayError) as refused:
        second.ledger.restore()
    assert refused.value.code == "audit-damaged"


def test_a_summary_that_cannot_be_read_stops_the_start(lives: Any) -> None:
    process = lives()
    process.database.run_now(summaries.keep, "test/log", b'{"origin": 1}')
    with pytest.raises(GatewayError) as refused:
        process.ledger.restore()
    assert refused.value.code == "store-unavailable"


def test_a_summary_is_kept_when_enough_has_happened_and_not_before(lives: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_LOOK_S", 0.001)
    monkeypatch.setattr(ledger_module, "EVERY_RECORDS", 20)
    process = lives()
    alice = process.enter()
    reported: list[Any] = []

    async def work() -> None:
        task = asyncio.get_running_loop().create_task(process.ledger.keep(lambda *fault: reported.append(fault)))
        for number in range(15):
            if number == 5:
                await asyncio.sleep(0.05)
                assert process.database.run_now(summaries.find, "test/log", others=False) == []
            process.run(alice, "read", number, 1, 1)
        while process.database.run_now(summaries.find, "test/log", others=False) == []:  # noqa: ASYNC110 (until the work behind is done)
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(work(), 10))
    assert not reported
    assert lives(process).ledger.restore() < 15


def test_a_session_is_who_it_was(lives: Any) -> None:
    # a person's budget is of the person, whatever session it was used in
    first = lives()
    for number in range(3):
        first.run(first.enter(f"s{number}", "u1"), "read", 1, 10, 10)
    second = lives(first)
    second.ledger.restore()
    who: Session = second.enter("s9", "u1").session
    assert used(second) == {"u1": (30, 30, 0, 0)}
    assert second.budgets.window(who, policy(rows_per_day=40), "s9.1", 1000, 10) == (10, 10)
