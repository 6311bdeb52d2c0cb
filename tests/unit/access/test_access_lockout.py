"""Repeated failures cost time: whose, how much, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from access_world import PEER, Time, World

from gateway.access.lockout import Lockouts, network_of
from gateway.access.service import AccessSettings, SignIn
from gateway.errors import Refusal
from gateway.model import Peer

SETTINGS = AccessSettings(b"k" * 32)
ELSEWHERE = replace(PEER, address="198.51.100.9:4000")


def lockouts(time: Time) -> tuple[Lockouts, dict[str, int]]:
    kept: dict[str, int] = {}

    def keep(lane: str, failures: int, _: datetime) -> None:
        kept[lane] = failures

    return Lockouts(SETTINGS, time, [], keep), kept


def fail(locks: Lockouts, login: str = "alice", host: str = "192.0.2.1", *, known: bool = True) -> bool:
    """One failed attempt; False when it was refused."""
    attempt = locks.begin(login, host)
    if attempt is not None:
        locks.failed(attempt, known=known)
    return attempt is not None


def locked_for(locks: Lockouts, time: Time, login: str = "alice", host: str = "192.0.2.1") -> int:
    """How many whole seconds the login must wait from that address; leaves time after them."""
    seconds = 0
    while (attempt := locks.begin(login, host)) is None:
        time.advance(1)
        seconds += 1
    locks.cancelled(attempt)
    return seconds


@pytest.mark.parametrize("known", [True, False])
def test_five_failures_are_free_then_each_costs_twice_the_one_before(known: bool) -> None:
    time = Time()
    locks, _ = lockouts(time)
    waits = []
    for number in range(16):
        assert fail(locks, host=f"192.0.2.{number}", known=known)
        waits.append(locked_for(locks, time, host=f"192.0.2.{number}"))
    assert waits == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_the_count_is_forgotten_after_a_quiet_hour_and_not_before() -> None:
    time = Time()
    locks, _ = lockouts(time)
    for _ in range(5):
        fail(locks)
    time.advance(3600)
    assert fail(locks)
    assert not fail(locks)
    time.advance(3601)
    assert [fail(locks) for _ in range(6)] == [True] * 6


def test_a_success_clears_the_login_but_not_the_addresss_other_failures() -> None:
    time = Time()
    locks, kept = lockouts(time)
    for _ in range(4):
        fail(locks)
    attempt = locks.begin("alice", "192.0.2.1")
    assert attempt is not None
    locks.succeeded(attempt)
    assert kept["login alice"] == 0
    assert all(fail(locks, host="203.0.113.5") for _ in range(6))


def test_an_address_that_tries_many_logins_is_locked_and_another_is_not() -> None:
    time = Time()
    locks, _ = lockouts(time)
    outcomes = [fail(locks, f"guess{number}", known=False) for number in range(40)]
    assert outcomes.count(True) == 31
    assert fail(locks, "bob", "203.0.113.5")
    assert locked_for(locks, time, "carol") <= 60


def test_refused_attempts_do_not_prolong_a_lock() -> None:
    time = Time()
    locks, _ = lockouts(time)
    for _ in range(6):
        fail(locks)
    for _ in range(1000):
        assert not fail(locks)
    assert locked_for(locks, time) == 2


def test_strangers_lock_strangers_out_and_not_alice_at_her_desk() -> None:
    time = Time()
    locks, _ = lockouts(time)
    attempt = locks.begin("alice", "192.0.2.1")
    assert attempt is not None
    locks.succeeded(attempt)
    while fail(locks, "alice", "203.0.113.5"):
        pass
    assert not fail(locks, "alice", "203.0.113.6")
    assert locks.begin("alice", "192.0.2.1") is not None


def test_who_comes_through_his_own_lane_is_not_held_up_by_his_address() -> None:
    time = Time()
    locks, _ = lockouts(time)
    attempt = locks.begin("alice", "192.0.2.1")
    assert attempt is not None
    locks.succeeded(attempt)
    number = 0
    while fail(locks, f"guess{number}", "192.0.2.1", known=False):
        number += 1
    assert not fail(locks, "bob", "192.0.2.1")
    assert locks.begin("alice", "192.0.2.1") is not None


def test_a_trusted_address_may_guess_no_more_than_others() -> None:
    time = Time()
    locks, _ = lockouts(time)
    attempt = locks.begin("alice", "192.0.2.1")
    assert attempt is not None
    locks.succeeded(attempt)
    assert [fail(locks) for _ in range(8)].count(True) == 6


def test_memory_is_bounded_however_many_logins_are_tried() -> None:
    time = Time()
    locks, kept = lockouts(time)
    for number in range(25_000):
        fail(locks, f"login{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", known=False)
    assert len(locks._lanes) <= 20_000
    assert not kept


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::99", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_is_an_ipv4_address_or_an_ipv6_subscriber(host: str, network: str) -> None:
    assert network_of(host) == network


async def sign_in(world: World, *, password: str = "alice-secret", peer: Peer = PEER) -> SignIn | Refusal:
    return await world.access.sign_in("alice", password, world.code("alice"), peer)


async def test_a_locked_person_is_refused_before_any_hash_and_told_what_everybody_is_told(world: World) -> None:
    await world.enrol("alice")
    wrong = [await sign_in(world, password="wrong", peer=ELSEWHERE) for _ in range(6)]
    asked = world.directory.asked
    locked = await sign_in(world, peer=ELSEWHERE)
    assert locked == wrong[0]
    assert world.directory.asked == asked
    record = world.last()
    assert (record["code"], record["reason"]) == ("too-many-attempts", "locked after repeated failures")
    world.time.advance(30)
    assert isinstance(await sign_in(world, peer=ELSEWHERE), SignIn)


async def test_people_who_do_not_exist_are_locked_like_those_who_do(world: World) -> None:
    await world.enrol("amir")
    seen = {}
    for login in ("amir", "nobody"):
        outcomes = [await world.access.sign_in(login, "wrong", "000000", ELSEWHERE) for _ in range(9)]
        reasons = [record["code"] for record in world.trail.of("login")[-9:]]
        seen[login] = (outcomes, reasons)
        world.time.advance(3601)
    assert seen["amir"] == seen["nobody"]


async def test_attempts_at_the_same_moment_cannot_outrun_the_count(world: World) -> None:
    await world.enrol("alice")
    world.directory.asked = 0
    tries = [world.access.sign_in("alice", f"guess{n}", "000000", peer(n)) for n in range(60)]
    await asyncio.gather(*tries)
    assert world.directory.asked == 6


async def test_a_lock_survives_a_restart(stored: World) -> None:
    await stored.enrol("alice")
    for _ in range(6):
        await sign_in(stored, password="wrong", peer=ELSEWHERE)
    await asyncio.sleep(0.1)
    stored.restart()
    assert isinstance(await sign_in(stored, peer=ELSEWHERE), Refusal)
    assert stored.last()["code"] == "too-many-attempts"


async def test_a_flood_of_passes_locks_nobody(world: World) -> None:
    session = await world.session()
    for _ in range(50):
        challenge = world.access.challenge("alice", "payroll", PEER, tls=True)
        await world.access.admit_pass(challenge, False, PEER)
    assert not isinstance(await world.access.admit_pass(challenge, True, PEER), Refusal)
    assert world.access.check(session) is None


def peer(number: int) -> Peer:
    return replace(PEER, address=f"203.0.113.{number}:5000")
