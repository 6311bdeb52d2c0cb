"""A machine-gun of refused statements is slowed down, ended, told once, and kept out; nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dialogue import Dialogue, FakeTrail, kinds
from ruamel.yaml import YAML

from gateway.errors import GatewayError
from gateway.floods import FREE, MOST, PAUSE_S, Floods
from gateway.wire import postgres as wire

CLIENTS = sorted((Path(__file__).parents[2] / "corpus" / "clients").glob("*.yaml"))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail() -> FakeTrail:
    return FakeTrail()


@pytest.fixture
def floods(trail: FakeTrail, clock: Clock) -> Floods:
    return Floods(trail, clock)


def ended(floods: Floods, person: str, count: int) -> GatewayError:
    for _ in range(count - 1):
        floods.refused(person, {})
    with pytest.raises(GatewayError) as refused:
        floods.refused(person, {})
    return refused.value


def test_what_people_and_tools_get_refused_costs_them_nothing(floods: Floods, clock: Clock) -> None:
    for _ in range(20 * FREE):
        assert floods.refused("u1", {}) == 0.0
        clock.now += 61.0 / FREE
    assert floods.barred("u1") is None


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_all_that_a_client_asks_may_be_refused_twice_within_a_minute(path: Path) -> None:
    assert 2 * len(YAML(typ="safe").load(path)) <= FREE


def test_more_than_that_is_slowed_down_then_ended_and_told_once(floods: Floods, trail: FakeTrail, clock: Clock) -> None:
    assert [floods.refused("u1", {}) for _ in range(FREE)] == [0.0] * FREE
    for _ in range(FREE, MOST - 1):
        assert floods.refused("u1", {}) == PAUSE_S
        clock.now += PAUSE_S
    assert ended(floods, "u1", 1).refusal.code == "too-many-refusals"
    assert trail.records == [{"kind": "refusals.flood", "count": MOST, "duration_s": 60}]
    # his other sessions end with their next refusal, and tell nothing more
    assert ended(floods, "u1", 1).refusal.fatal
    assert len(trail.records) == 1
    assert floods.barred("u1") is not None
    assert floods.barred("u2") is None
    assert floods.refused("u2", {}) == 0.0


def test_each_further_flood_is_kept_out_for_twice_as_long_up_to_an_hour(
    floods: Floods, trail: FakeTrail, clock: Clock
) -> None:
    for _ in range(9):
        ended(floods, "u1", MOST)
        clock.now += trail.records[-1]["duration_s"] - 1
        assert floods.barred("u1") is not None
        clock.now += 1
        assert floods.barred("u1") is None
    assert [one["duration_s"] for one in trail.records] == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    clock.now += 86_401
    ended(floods, "u1", MOST)
    assert trail.records[-1]["duration_s"] == 60


@pytest.mark.parametrize("road", ["simple", "prepare", "execute", "call"])
def test_every_road_to_a_refusal_is_counted(road: str) -> None:
    messages = {
        "simple": wire.encode_query("no"),
        "prepare": wire.encode_parse(b"", "no") + wire.encode_sync(),
        "execute": wire.encode_execute(b"unknown") + wire.encode_sync(),
        "call": wire.frame(wire.FUNCTION_CALL, b""),
    }

    async def main() -> None:
        talk = Dialogue()
        for _ in range(FREE):
            talk.client(messages[road])
        assert not talk.down.paused
        talk.client(messages[road])
        assert talk.down.paused

    asyncio.run(main())


def test_a_session_that_is_slowed_down_goes_on_where_it_stopped_and_in_order() -> None:
    async def main() -> None:
        talk = Dialogue()
        for _ in range(FREE):
            talk.client(wire.encode_query("no"))
        sent = talk.client(wire.encode_query("no") + wire.encode_query("read a") + wire.encode_query("read b"))
        assert kinds(sent) == "Q"
        assert talk.down.paused
        # what the client had sent already waits too
        assert talk.client(wire.encode_query("read c")) == []
        await asyncio.sleep(PAUSE_S * 2)
        texts = [wire.decode_query(body).text for _, body in wire.Framer().feed(talk.up.take())]
        assert texts == ["/*rewritten*/ read a", "/*rewritten*/ read b", "/*rewritten*/ read c"]
        assert not talk.down.paused

    asyncio.run(main())


def test_a_pipelined_flood_ends_the_session_with_one_word_and_all_of_it_on_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.floods.PAUSE_S", 0.0)

    async def main() -> None:
        talk = Dialogue()
        talk.client(wire.encode_query("no") * (MOST + 500))
        while not talk.ended:  # noqa: ASYNC110 (its turns come from the loop)
            await asyncio.sleep(0.01)
        said: list[Any] = [body for kind, body in talk.received() if kind == wire.ERROR_RESPONSE]
        assert len(said) == 1
        error = wire.parse_error_fields(said[0])
        assert (error["S"], error["C"], error["D"]) == ("FATAL", "53400", "code: too-many-refusals")
        assert talk.trail.kinds().count("statement.refused") == MOST
        assert talk.trail.kinds()[-2:] == ["refusals.flood", "session.end"]
        assert talk.trail.records[-1]["code"] == "too-many-refusals"

    asyncio.run(main())
