"""Steps of the clock and heartbeats, with clocks that the test moves."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.audit.encode import record_of
from gateway.audit.pulse import Pulse
from gateway.audit.segment import read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

SECOND = 1_000_000_000


class World:
    """A trail that counts, and the two clocks."""

    def __init__(self, heartbeat_s=0.0):
        self.records, self.refusing = [], False
        self.steady, self.wall = 5 * SECOND, 1_795_000_000 * SECOND
        self.pulse = Pulse(
            self.append, lambda: len(self.records), lambda: self.wall, lambda: self.steady, heartbeat_s=heartbeat_s
        )

    def append(self, record):
        if self.refusing:
            raise GatewayError("audit-not-writable", "no space")
        self.records.append(record)

    def later(self, seconds, stepped=0.0):
        self.steady += int(seconds * SECOND)
        self.wall += int((seconds + stepped) * SECOND)
        self.pulse.look()


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.5, -0.5, 10 * 365 * 86400.0])
def test_a_step_of_the_clock_is_recorded_once_in_both_directions(step):
    world = World()
    world.later(1)
    world.later(1, step)
    world.later(1)
    assert world.records == [{"kind": "clock.step", "step_us": int(step * 1e6)}]


def test_slewing_and_waiting_are_no_steps():
    world = World()
    for _ in range(1000):
        world.later(1, 0.0005)
    world.later(90, 0.045)
    assert world.records == []


def test_a_trail_without_news_beats_and_one_with_news_does_not():
    world = World(heartbeat_s=300)
    for _ in range(299):
        world.later(1)
    assert world.records == []
    world.later(1)
    assert world.records == [{"kind": "log.heartbeat"}]
    for _ in range(299):
        world.later(1)
    world.append({"kind": "login"})
    for _ in range(299):
        world.later(1)
    assert [record["kind"] for record in world.records] == ["log.heartbeat", "login"]
    for _ in range(2):
        world.later(1)
    assert [record["kind"] for record in world.records] == ["log.heartbeat", "login", "log.heartbeat"]


def test_a_trail_that_takes_nothing_stays_silent():
    world = World(heartbeat_s=10)
    world.refusing = True
    for _ in range(60):
        world.later(1)
    assert world.records == []
    world.refusing = False
    world.later(1)
    assert world.records == [{"kind": "log.heartbeat"}]


def test_clocks_that_jump_both_ways_leave_a_trail_that_verifies_and_says_so(open_log, trail, key, monkeypatch):
    """Times grow whatever the clock does; the step itself, and how far the clock was behind, are on record."""
    monkeypatch.setattr("gateway.audit.pulse.EVERY_S", 0.01)
    ahead = [0]

    def time_ns():
        return int(datetime.now(UTC).timestamp()) * SECOND + ahead[0] * SECOND

    async def run():
        log = open_log(loop=asyncio.get_running_loop(), time_ns=time_ns)
        for jump in (7200, -7200, -86400, 30 * 86400):
            log.append({"kind": "login", "login": f"before{jump}"})
            await asyncio.sleep(0.05)
            ahead[0] += jump
            log.append({"kind": "login", "login": f"after{jump}"})
            await asyncio.sleep(0.05)
        log.rest()
        await asyncio.to_thread(log.close)

    asyncio.run(run())
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    records = [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]
    steps = [record["step_us"] for record in records if record["kind"] == "clock.step"]
    # the test's clock counts whole seconds, which are steps of less than two
    assert [round(step / 3.6e9) for step in steps if abs(step) > 2_000_000] == [2, -2, -24, 720]
    behind = {record["login"]: record.get("clock_behind_us", 0) for record in records if record["kind"] == "login"}
    assert 7_000_000_000 < behind["after-7200"] < 7_300_000_000
    assert behind["after-86400"] > 86_400_000_000
    assert behind["after7200"] == behind["after2592000"] == 0
