"""Grants that are let last longer, by the same rules as new ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from access_world import PEER, POLICY, World, proves
from written import approved, ask, filed, writable

from gateway.access.service import Opened
from gateway.errors import Refusal
from gateway.model import Grant, RequestState, Session
from gateway.policy.schema import BreakGlassRule

EMAIL = frozenset({("public.employees", "email")})


async def opened(world: World, **wanted: Any) -> Opened:
    """Access of alice's for an hour, approved by bob where that is needed."""
    ask = {"target": "payroll", "ticket": "SUP-1423", "reason": "x", "duration_s": 3600, "peer": PEER, **wanted}
    found = await world.access.open(await world.sign_in("alice"), **ask)
    if isinstance(found, Refusal):
        assert found.code == "approval-required", found
        done = await world.access.approve(await world.sign_in("bob"), found.name, "", PEER)
        assert not isinstance(done, Refusal), done
        found = await world.access.open(await world.sign_in("alice"), **ask)
    assert isinstance(found, Opened), found
    return found


async def extend(world: World, grant: str, seconds: int = 1800, login: str = "alice") -> Grant | Refusal:
    return await world.access.extensions.ask(await world.sign_in(login), grant, seconds, "not done yet", PEER)


async def connected(world: World, opening: Opened) -> Session:
    challenge = world.access.challenge(opening.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(challenge, proves(challenge, opening.secret), PEER)
    assert isinstance(session, Session), session
    world.access.attach(session, lambda _: None)
    return session


async def test_an_extension_that_the_policy_approves_lets_pass_and_session_go_on(world: World) -> None:
    opening = await opened(world)
    session = await connected(world, opening)
    longer = await extend(world, opening.grant.id)
    assert isinstance(longer, Grant)
    assert (longer.expires_at - opening.grant.expires_at).total_seconds() == 1800
    record = world.last("grant")
    assert (record["state"], record["grant"], record["expires_at"]) == (
        "extended", opening.grant.id, longer.expires_at.isoformat(),
    )  # fmt: skip
    assert (world.last("request")["grant"], world.last("request")["state"]) == (opening.grant.id, "approved")
    world.time.advance((opening.grant.expires_at - world.time.now).total_seconds() + 1)
    await world.access.refresh()
    assert world.access.check(session) is None
    assert await world.access.sweep() is None
    assert isinstance(await connected(world, opening), Session)
    world.time.advance(1800)
    assert world.access.check(session) is not None
    await world.access.sweep()
    assert world.last("grant")["state"] == "expired"


async def test_a_session_past_its_first_end_is_still_cut_when_nothing_confirms_it(world: World) -> None:
    opening = await opened(world)
    session = await connected(world, opening)
    assert isinstance(await extend(world, opening.grant.id), Grant)
    world.time.advance((opening.grant.expires_at - world.time.now).total_seconds() + 1)
    await world.access.refresh()
    world.directory.down = True
    world.time.advance(6)
    await world.access.refresh()
    refusal = world.access.check(session)
    assert refusal is not None
    assert refusal.code == "directory-unavailable"


async def test_an_extension_survives_a_restart(stored: World) -> None:
    opening = await opened(stored)
    assert isinstance(await extend(stored, opening.grant.id), Grant)
    stored.restart()
    stored.time.advance((opening.grant.expires_at - stored.time.now).total_seconds() + 1)
    assert isinstance(await connected(stored, opening), Session)


async def test_what_needed_an_approver_needs_one_again(world: World) -> None:
    opening = await opened(world, reveal=EMAIL)
    waits = await extend(world, opening.grant.id)
    assert isinstance(waits, Refusal)
    assert waits.code == "approval-required"
    again = await extend(world, opening.grant.id)
    assert isinstance(again, Refusal)
    assert again.name == waits.name
    alice = await world.access.approve(await world.sign_in("alice"), waits.name, "", PEER)
    assert isinstance(alice, Refusal)
    done = await world.access.approve(await world.sign_in("bea"), waits.name, "", PEER)
    assert not isinstance(done, Refusal)
    assert (done.state, done.decided_by, done.extends) == (RequestState.APPROVED, ("p4",), opening.grant.id)
    grants = await world.access.grants(await world.sign_in("alice"))
    assert not isinstance(grants, Refusal)
    (grant,) = grants
    assert (grant.expires_at - opening.grant.expires_at).total_seconds() == 1800
    # a second decision about the same request comes too late
    late = await world.access.approve(await world.sign_in("bob"), waits.name, "", PEER)
    assert isinstance(late, Refusal)


async def test_all_extensions_together_are_bounded_by_the_policy(world: World) -> None:
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, max_duration_s=2 * 3600))
    opening = await opened(world)
    assert isinstance(await extend(world, opening.grant.id, 1800), Grant)
    too_long = await extend(world, opening.grant.id, 1801)
    assert isinstance(too_long, Refusal)
    assert "lasts at most 120 minutes" in too_long.message
    assert isinstance(await extend(world, opening.grant.id, 1800), Grant)
    assert isinstance(await extend(world, opening.grant.id, 1), Refusal)


async def test_the_bound_is_kept_when_the_last_approval_comes(world: World) -> None:
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, max_duration_s=2 * 3600))
    opening = await opened(world, reveal=EMAIL)
    first = await extend(world, opening.grant.id, 3600)
    assert isinstance(first, Refusal)
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, max_duration_s=5000))
    outcome = await world.access.approve(await world.sign_in("bob"), first.name, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "request-invalid"


async def test_two_approvals_at_once_extend_once(world: World) -> None:
    opening = await opened(world, reveal=EMAIL)
    waits = await extend(world, opening.grant.id, 1800)
    assert isinstance(waits, Refusal)
    bob, bea = await world.sign_in("bob"), await world.sign_in("bea")
    outcomes = await asyncio.gather(
        world.access.approve(bob, waits.name, "", PEER), world.access.approve(bea, waits.name, "", PEER)
    )
    assert sorted(isinstance(one, Refusal) for one in outcomes) == [False, True]
    (grant,) = await world.access.grants(await world.sign_in("alice"))  # type: ignore[misc]
    assert (grant.expires_at - opening.grant.expires_at).total_seconds() == 1800


@pytest.mark.parametrize("change", ["closed", "moved", "revoked", "ran out", "left"])
async def test_an_extension_whose_reason_has_gone_is_not_approved(world: World, change: str) -> None:
    opening = await opened(world, reveal=EMAIL)
    waits = await extend(world, opening.grant.id)
    assert isinstance(waits, Refusal)
    if change == "closed":
        world.tickets.change("SUP-1423", status="closed")
    elif change == "moved":
        world.tickets.change("SUP-1423", customers=("43",))
    elif change == "revoked":
        await world.access.revoke(await world.sign_in("alice"), opening.grant.id, "", PEER)
    elif change == "ran out":
        world.time.advance(3600)
    else:
        world.directory.change("alice", teams=frozenset({"other"}))
    outcome = await world.access.approve(await world.sign_in("bob"), waits.name, "", PEER)
    assert isinstance(outcome, Refusal)
    assert not [record for record in world.trail.of("grant") if record["state"] == "extended"]


async def test_only_the_holder_extends_and_others_learn_nothing(world: World) -> None:
    opening = await opened(world)
    foreign = await extend(world, opening.grant.id, login="amir")
    unknown = await extend(world, "grant_unknown", login="amir")
    assert isinstance(foreign, Refusal)
    assert foreign == unknown
    assert isinstance(await extend(world, opening.grant.id, login="bob"), Refusal)


async def test_an_old_factor_and_no_reason_extend_nothing(world: World) -> None:
    opening = await opened(world)
    alice = await world.sign_in("alice")
    empty = await world.access.extensions.ask(alice, opening.grant.id, 60, " ", PEER)
    assert isinstance(empty, Refusal)
    world.time.advance(901)
    old = await world.access.extensions.ask(alice, opening.grant.id, 60, "x", PEER)
    assert isinstance(old, Refusal)
    assert old.code == "second-factor-required"


async def test_a_waiting_extension_is_not_taken_for_a_request_to_open(world: World) -> None:
    opening = await opened(world, reveal=EMAIL)
    waits = await extend(world, opening.grant.id)
    assert isinstance(waits, Refusal)
    await world.access.revoke(await world.sign_in("alice"), opening.grant.id, "", PEER)
    again = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reveal=EMAIL, peer=PEER
    )
    assert isinstance(again, Refusal)
    assert again.name != waits.name


async def test_one_statement_and_an_emergency_are_not_extended(world: World) -> None:
    rule = replace(POLICY.access, break_glass=BreakGlassRule(frozenset({"support"}), 1800))
    world.policies["payroll"] = replace(POLICY, access=rule)
    taken = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reason="fire", break_glass=True, peer=PEER
    )
    assert isinstance(taken, Opened)
    refused = await extend(world, taken.grant.id)
    assert isinstance(refused, Refusal)
    assert "without approval" in refused.message
    request = await filed(writable(world))
    await approved(world, request)
    statement = await ask(world, await world.sign_in("alice"))
    assert isinstance(statement, Opened)
    refused = await extend(world, statement.grant.id)
    assert isinstance(refused, Refusal)
    assert "one statement" in refused.message
