"""A flood of refused log-ins is its first ones, its last one, and a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from access_world import PEER, World

from gateway.access.refused import EACH, RefusedLogins
from gateway.errors import Refusal
from gateway.model import Peer

OTHER = replace(PEER, address="203.0.113.9:4000")


async def fail(world: World, user: str, times: int = 1, peer: Peer = PEER) -> None:
    """Wrong passes, which nobody is locked out for."""
    for _ in range(times):
        challenge = world.access.challenge(user, "payroll", peer, tls=False)
        refused = await world.access.admit_pass(challenge, False, peer)
        assert isinstance(refused, Refusal)
        assert refused.code == "authentication-failed"


async def test_what_is_refused_now_and_then_is_a_record_each(world: World) -> None:
    for _ in range(5):
        await fail(world, "nobody", EACH)
        world.time.advance(60)
        await world.access.sweep()
    assert len(world.trail.of("login")) == 5 * EACH
    assert not any("count" in one for one in world.trail.of("login"))


async def test_a_flood_is_counted_and_its_first_and_last_are_on_record(world: World) -> None:
    for number in range(500):
        await fail(world, f"nobody{number % 70}")
    assert len(world.trail.of("login")) == EACH
    world.time.advance(59)
    await world.access.sweep()
    assert len(world.trail.of("login")) == EACH
    world.time.advance(1)
    await world.access.sweep()
    last = world.last()
    assert len(world.trail.of("login")) == EACH + 1
    assert world.trail.of("login")[0]["login"] == "nobody0"
    assert (last["login"], last["count"], last["code"]) == ("nobody9", 500 - EACH, "authentication-failed")
    assert len(last["logins"]) == 50
    assert last["reason"] == "unknown person"


async def test_a_flood_hides_neither_other_reasons_nor_other_places_nor_who_comes_in(world: World) -> None:
    session = await world.session()
    await fail(world, "nobody", 200)
    before = len(world.trail.records)
    await fail(world, "alice")
    assert world.last()["reason"] == "wrong pass"
    await fail(world, "nobody", peer=OTHER)
    assert world.last()["address"] == OTHER.address
    assert (await world.session("amir", "SUP-1440")).id != session.id
    assert world.last()["decision"] == "permit"
    assert len(world.trail.records) > before + 2


def test_tickets_that_somebody_makes_up_are_one_flood() -> None:
    told: list[dict[str, object]] = []
    refused = RefusedLogins(lambda _kind, fields: told.append(dict(fields)), lambda: 0.0)
    for number in range(EACH + 30):
        fields = {"code": "ticket-not-found", "reason": f"the ticket `SUP-{number}` does not exist", "method": "direct"}
        assert refused.is_one_of_many("login", "10.0.0.1", fields) == (number >= EACH)
    refused.flush(0.0)
    assert [(one["reason"], one["count"]) for one in told] == [("the ticket `SUP-49` does not exist", 30)]


async def test_enrolments_that_somebody_tries_without_a_password_are_counted_too(world: World) -> None:
    for number in range(EACH + 30):
        await world.access.enrol_begin(f"nobody{number}", "wrong", "invitation", PEER)
    await world.access.enrol_begin("nobody", "wrong", "invitation", OTHER)
    assert len(world.trail.of("enrolment")) <= 2 * EACH + 1
    world.time.advance(60)
    await world.access.sweep()
    counted = [one for one in world.trail.of("enrolment") if "count" in one]
    alone = [one for one in world.trail.of("enrolment") if "count" not in one]
    assert sum(one["count"] for one in counted) + len(alone) == EACH + 31


async def test_what_is_counted_is_recorded_when_the_process_stops(world: World) -> None:
    await fail(world, "nobody", EACH + 7)
    world.access.close()
    assert world.last()["count"] == 7
    world.access = world.make()


async def test_a_minute_that_is_over_is_recorded_by_the_next_attempt_too(world: World) -> None:
    await fail(world, "nobody", EACH + 7)
    world.time.advance(60)
    await fail(world, "nobody")
    counts = [one.get("count") for one in world.trail.of("login")][-2:]
    assert counts == [7, None]


@pytest.mark.parametrize("places", [10_000, 10_001])
def test_places_are_bounded_and_none_is_lost(places: int) -> None:
    told: list[dict[str, object]] = []
    refused = RefusedLogins(lambda _kind, fields: told.append(dict(fields)), lambda: 0.0)
    fields = {"code": "authentication-failed", "reason": "unknown person", "method": "pass"}
    for number in range(places):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        alone = [refused.is_one_of_many("login", host, fields) for _ in range(EACH + 1)]
        assert alone == [False] * EACH + [True]
    assert len(told) == (10_000 if places > 10_000 else 0)
    refused.flush(0.0)
    assert len(told) == places
