"""What an impatient insider tries around requests and grants."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from access_world import PEER, World, proves

from gateway.access.service import Opened, SignIn
from gateway.errors import Refusal
from gateway.model import AccessRequest, Principal, RequestState, Session

EMAIL = frozenset({("public.employees", "email")})
ASK: dict[str, Any] = {"target": "payroll", "ticket": "SUP-1423", "reveal": EMAIL, "peer": PEER}


async def waiting(world: World) -> str:
    outcome = await world.access.open(await world.sign_in("alice"), **ASK)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "approval-required", outcome
    return outcome.name


async def test_a_renamed_account_does_not_approve_its_old_self(world: World) -> None:
    request = await waiting(world)
    renamed = replace(world.directory.people.pop("alice"), login="alicia", teams=frozenset({"security"}))
    world.directory.people["alicia"] = renamed
    world.secrets["alicia"] = world.secrets["alice"]
    outcome = await world.access.approve(await world.sign_in("alicia"), request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert not world.trail.of("grant")


async def test_a_new_account_with_the_old_login_is_not_the_old_one(world: World) -> None:
    """Her login was given to somebody else, who decides; what he decides about is hers, and her session is not his."""
    request = await waiting(world)
    old = world.directory.people["alice"]
    world.directory.people["alicia"] = replace(old, login="alicia")
    world.directory.people["alice"] = Principal("p50", "alice", "Another", frozenset({"security"}), "other@example.com")
    del world.secrets["alice"]
    done = await world.access.approve(await world.sign_in("alice"), request, "", PEER)
    # the ticket is assigned to the login `alice`, which is not the requester's any more
    assert isinstance(done, Refusal)
    assert done.code == "ticket-not-yours"


async def test_of_two_approvals_in_two_processes_one_makes_the_grant(world: World) -> None:
    other = world.make()
    try:
        request = await waiting(world)
        bob, bea = await world.sign_in("bob"), await world.sign_in("bea")
        outcomes = await asyncio.gather(
            world.access.approve(bob, request, "", PEER), other.approve(bea, request, "", PEER)
        )
        assert sorted(isinstance(one, Refusal) for one in outcomes) == [False, True]
        grants = await world.access.grants(await world.sign_in("ada"), live=False)
        assert not isinstance(grants, Refusal)
        assert len([one for one in grants if one.request_id == request]) == 1
    finally:
        other.close()


async def test_two_approvals_in_two_processes_are_not_two_firsts(world: World) -> None:
    access = replace(world.policies["payroll"].access, approver_count=2)
    world.policies["payroll"] = replace(world.policies["payroll"], access=access)
    other = world.make()
    try:
        request = await waiting(world)
        bob, bea = await world.sign_in("bob"), await world.sign_in("bea")
        outcomes: list[AccessRequest | Refusal] = list(
            await asyncio.gather(world.access.approve(bob, request, "", PEER), other.approve(bea, request, "", PEER))
        )
        states = {one.state for one in outcomes if not isinstance(one, Refusal)}
        assert states == {RequestState.PENDING}
        again = [await world.access.approve(who, request, "", PEER) for who in (bob, bea)]
        done = [one for one in again if not isinstance(one, Refusal)]
        assert [set(one.decided_by) for one in done if one.state is RequestState.APPROVED] == [{"p3", "p4"}]
    finally:
        other.close()


async def test_a_ticket_that_moved_between_approval_and_use_opens_nothing_of_the_new_customer(world: World) -> None:
    request = await waiting(world)
    await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    opened = await world.access.open(await world.sign_in("alice"), **ASK)
    assert isinstance(opened, Opened)
    world.tickets.change("SUP-1423", customers=("43",))
    again = await world.access.open(await world.sign_in("alice"), **ASK)
    assert isinstance(again, Refusal)
    assert again.code == "approval-required"
    assert again.name != request
    challenge = world.access.challenge(opened.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(challenge, proves(challenge, opened.secret), PEER)
    assert isinstance(session, Refusal)
    assert session.code == "access-ended"


async def test_a_ticket_that_moved_before_the_approval_gives_the_customer_that_it_names_then(world: World) -> None:
    request = await waiting(world)
    world.tickets.change("SUP-1423", customers=("43",))
    done = await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    assert not isinstance(done, Refusal)
    assert world.last("grant")["customers"] == ["43"]


async def test_a_pass_that_is_used_from_two_places_is_on_record_from_both(world: World) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)
    for address in ("192.0.2.7:50001", "203.0.113.9:50002"):
        peer = replace(PEER, address=address)
        challenge = world.access.challenge(opened.user, "payroll", peer, tls=True)
        session = await world.access.admit_pass(challenge, proves(challenge, opened.secret), peer)
        assert isinstance(session, Session)
        world.access.attach(session, lambda _: None)
    logins = [record for record in world.trail.of("login") if record["method"] == "pass"]
    assert [record["address"] for record in logins] == ["192.0.2.7:50001", "203.0.113.9:50002"]
    assert len({record["pass"] for record in logins}) == 1
    held = world.access.sight.now((await world.sign_in("ada")).principal)
    assert not isinstance(held, Refusal)
    assert [len(one.sessions) for one in held] == [2]


async def test_a_token_that_was_stolen_before_the_logout_is_nobodys_after_it(stored: World) -> None:
    signin = await stored.sign_in("alice")
    await stored.access.refresh()
    stolen = signin.token
    assert isinstance(stored.access.authenticate(stolen), SignIn)
    await stored.access.sign_out(signin)
    assert isinstance(stored.access.authenticate(stolen), Refusal)
    stored.restart()
    await stored.access.refresh()
    assert isinstance(stored.access.authenticate(stolen), Refusal)


async def test_one_person_twice_in_the_directory_is_one_person(world: World) -> None:
    world.directory.people["alice3"] = Principal("p1", "alice3", "Alice", frozenset({"security"}), "third@example.com")
    request = await waiting(world)
    world.secrets["alice3"] = world.secrets["alice"]
    outcome = await world.access.sign_in("alice3", "alice3-secret", world.code("alice"), PEER)
    world.time.advance(30)
    if isinstance(outcome, SignIn):
        assert isinstance(await world.access.approve(outcome, request, "", PEER), Refusal)
    assert not world.trail.of("grant")


async def test_an_answer_of_the_directory_about_somebody_else_is_none(world: World) -> None:
    session = await world.session()
    bob = world.directory.people["bob"]
    world.directory.by_id = lambda _: bob  # type: ignore[method-assign]
    assert await world.access.context.by_id("p1") is None
    await world.access.refresh()
    assert world.access.check(session) is not None


@pytest.mark.parametrize("seconds", [120, 3600, 86_400 * 400])
async def test_time_that_goes_back_makes_no_old_factor_new(world: World, seconds: int) -> None:
    request = await waiting(world)
    bob = await world.sign_in("bob")
    world.time.now -= timedelta(seconds=seconds)
    outcome = await world.access.approve(bob, request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "second-factor-required"


async def test_time_that_goes_back_lengthens_no_grant(world: World) -> None:
    session = await world.session()
    cut: list[Refusal] = []
    world.access.attach(session, cut.append)
    world.time.now -= timedelta(hours=2)
    await world.access.refresh()
    await asyncio.sleep(0)
    assert [one.code for one in cut] == ["grant-expired"]
    assert "clock" in cut[0].message
    again = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=False)
    assert again.pass_id is None


async def test_a_code_of_before_is_not_taken_again_when_time_goes_back(world: World) -> None:
    await world.enrol("alice")
    code = world.code("alice")
    assert isinstance(await world.access.sign_in("alice", "alice-secret", code, PEER), SignIn)
    world.time.advance(90)
    world.time.now -= timedelta(seconds=90)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", code, PEER), Refusal)
    assert world.last("login")["reason"] == "replayed code"
