"""From a real log to cases: over restarts, segments and outages, nothing is left out and nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_world import World

from gateway.alerts.cases import Cases, CaseSettings
from gateway.alerts.engine import Event
from gateway.alerts.feed import Feed, Reader
from gateway.alerts.rules import load_rules
from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.errors import GatewayError
from gateway.record import event
from gateway.store.cases import CaseState

ORIGIN = "example.test/1"


class Desk:
    """A log, the cases of a world, and a feed between them."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world, self.directory, self.key = world, directory, Signer.generate(ORIGIN)
        self.told: list[Event] = []
        self.cases = Cases(world.access.context, CaseSettings({}, {}), lambda _, __: ())
        self.log = self.open()
        self.feed = self.new_feed()

    def open(self) -> FileLog:
        return FileLog.open(
            self.directory, origin=ORIGIN, key=self.key, clock=self.world.time, segment_bytes=256 << 10,
            reserve_bytes=0, interval_s=30.0,
        )  # fmt: skip

    def new_feed(self) -> Feed:
        return Feed(self.log, load_rules(None), self.cases, self.world.access.context, self.told.append)

    def add(self, kind: str, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            self.world.time.advance(0.01)
            self.log.append(event(kind, **fields))
        self.log.flush()

    def close(self) -> None:
        self.log.close()


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(world, tmp_path / "audit")
    yield made
    made.close()


REPLAY = {"login": "alice", "decision": "deny", "code": "authentication-failed", "reason": "replayed code"}
PROBE = {"person": "p1", "login": "alice", "decision": "deny", "code": "column-not-available"}


async def test_a_record_becomes_a_case(desk: Desk) -> None:
    await desk.feed.look()
    desk.add("login", **REPLAY)
    await desk.feed.look()
    assert [one.rule for one in desk.told] == ["replayed-code"]
    alert = desk.world.last("security.alert")
    assert (alert["rule"], alert["severity"], alert["about"], alert["records"]) == (
        "replayed-code", "medium", "login=alice", [str(desk.log.size - 1)],
    )  # fmt: skip
    assert desk.feed.lag == 0


async def test_over_many_segments_each_record_is_seen_once(desk: Desk) -> None:
    await desk.feed.look()
    first = desk.log.size
    for _ in range(40):
        desk.add("statement.begin", 60, session="s", statement="q", sql="select " + "x" * 400)
        await desk.feed.look()
    assert len(list((desk.directory / "segments").glob("0*.log"))) > 3
    reader = Reader(desk.directory, first + 7)
    assert [index for index, _ in reader.read(desk.log.durable_size)] == list(range(first + 7, desk.log.size))
    assert list(reader.read(desk.log.durable_size)) == []


async def test_a_reader_that_stops_in_the_midst_goes_on_there(desk: Desk) -> None:
    for _ in range(3_000):
        desk.log.append(event("statement.begin", session="s", statement="q", sql="select 1"))
    desk.log.flush()
    reader, seen = Reader(desk.directory, 0), []
    while True:
        taken = 0
        for index, _ in reader.read(desk.log.durable_size):
            seen.append(index)
            taken += 1
            if taken == 7:
                break
        if not taken:
            break
    assert seen == list(range(desk.log.size))


async def test_a_restart_goes_on_where_it_stopped(desk: Desk) -> None:
    await desk.feed.look()
    desk.add("statement.refused", 20, **PROBE)
    desk.world.time.advance(60)
    await desk.feed.look()
    desk.add("statement.refused", 4, **PROBE)
    desk.log.close()
    desk.log = desk.open()
    desk.feed = desk.new_feed()
    desk.add("statement.refused", 1, **PROBE)
    await desk.feed.look()
    assert [one.rule for one in desk.told] == ["probing"]
    assert len(desk.told[0].records) == 25


async def test_a_crash_before_it_was_kept_tells_the_same_case(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.feed.look()
    desk.add("login", **REPLAY)

    async def crash(_: object) -> None:
        raise GatewayError("store-unavailable", "away")

    monkeypatch.setattr(desk.feed, "_keep", crash)
    with pytest.raises(GatewayError):
        await desk.feed.look()
    desk.feed = desk.new_feed()
    await desk.feed.look()
    alerts = [record["rule"] for record in desk.world.trail.of("security.alert")]
    assert alerts == ["replayed-code"]


async def test_an_outage_of_the_store_leaves_nothing_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.feed.look()
    desk.add("login", **REPLAY)
    context = desk.world.access.context
    store = context.store

    async def down(*_: Any, **__: Any) -> Any:
        raise GatewayError("store-unavailable", "away")

    monkeypatch.setattr(context, "store", down)
    with pytest.raises(GatewayError):
        await desk.feed.look()
    monkeypatch.setattr(context, "store", store)
    desk.feed._engine = None
    await desk.feed.look()
    assert [record["rule"] for record in desk.world.trail.of("security.alert")] == ["replayed-code"]


async def test_a_trail_that_was_put_back_is_a_case(desk: Desk) -> None:
    desk.add("statement.refused", 30, **(PROBE | {"person": "p2"}))
    await desk.feed.look()
    desk.world.time.advance(60)
    await desk.feed.look()
    size = desk.log.size
    desk.log.close()
    desk.directory = desk.directory.with_name("restored")
    desk.log = desk.open()
    assert desk.log.size < size
    desk.feed = desk.new_feed()
    await desk.feed.look()
    alert = desk.world.trail.of("security.alert")[-1]
    assert (alert["rule"], alert["severity"]) == ("rollback", "critical")


async def test_an_old_trail_is_not_judged_afterwards(desk: Desk) -> None:
    desk.add("login", 3, **REPLAY)
    desk.feed = desk.new_feed()
    await desk.feed.look()
    assert desk.told == []


async def test_what_quotes_a_kind_is_not_of_it(desk: Desk) -> None:
    await desk.feed.look()
    desk.add("statement.begin", session="s", statement="q", sql='select \'"kind":"break_glass.opened"\'')
    await desk.feed.look()
    assert desk.told == []


async def test_silence_by_the_clock(desk: Desk) -> None:
    desk.feed = desk.new_feed()
    await desk.feed.look()
    desk.add("log.heartbeat")
    await desk.feed.look()
    desk.world.time.now += timedelta(minutes=21)
    await desk.feed.look()
    await desk.feed.look()
    assert [one.rule for one in desk.told] == ["silence"]
    signin = await desk.world.sign_in("ada")
    desk.cases = Cases(
        desk.world.access.context, CaseSettings({"security": frozenset({"platform"})}, {}), lambda _, __: ()
    )
    (case,) = await desk.cases.cases(signin)  # type: ignore[misc]
    assert case.state is CaseState.NEW
