"""Suspending people: what ends, what they are told, and who may lift it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from access_world import PEER, World

from gateway.access.service import Opened
from gateway.errors import Refusal
from gateway.model import Principal, Session
from gateway.policy.rights import Right
from gateway.store import standing as rows
from gateway.store.standing import Suspension, Withdrawal


async def suspend(world: World, login: str = "alice", by: str = "ada") -> Principal | Refusal:
    return await world.access.people.suspend(await world.sign_in(by), login, "a stolen laptop", PEER)


async def lift(world: World, login: str = "alice", by: str = "ada") -> Principal | Refusal:
    return await world.access.people.unsuspend(await world.sign_in(by), login, "found again", PEER)


async def test_it_ends_what_the_person_has_open_at_once(world: World) -> None:
    cut: list[Refusal] = []
    session = await world.session()
    world.access.attach(session, cut.append)
    signin = await world.sign_in("alice")
    await world.access.refresh()
    assert isinstance(await suspend(world), Principal)
    await world.access.refresh()
    assert [one.code for one in cut] == ["grant-revoked"]
    assert world.access.check(session) is not None
    assert isinstance(world.access.authenticate(signin.token), Refusal)
    record = world.last("person.suspension")
    assert (record["person"], record["by"], record["state"], record["reason"]) == (
        "p1", "p6", "suspended", "a stolen laptop",
    )  # fmt: skip


async def test_only_who_proves_both_parts_is_told(world: World) -> None:
    await world.enrol("alice")
    await suspend(world)
    told = await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER)
    assert isinstance(told, Refusal)
    assert told.code == "person-suspended"
    assert world.last("login")["code"] == "person-suspended"
    world.time.advance(30)
    unknown = await world.access.sign_in("nobody", "x", "123456", PEER)
    for password, code in (("wrong", world.code("alice")), ("alice-secret", "000000"), ("wrong", "000000")):
        assert await world.access.sign_in("alice", password, code, PEER) == unknown


async def test_neither_direct_login_nor_recovery_nor_enrolment_gets_round_it(world: World) -> None:
    await world.enrol("alice")
    await suspend(world)
    direct = await world.direct("alice+SUP-1423", f"alice-secret{world.code('alice')}")
    assert isinstance(direct, Refusal)
    assert direct.code == "person-suspended"
    recovered = await world.access.recover("alice", "alice-secret", world.recovery["alice"][0], PEER)
    assert isinstance(recovered, Refusal)
    await world.access.reset_factor(await world.sign_in("ada"), "alice", PEER)
    invited = await world.access.invite(await world.sign_in("ada"), "alice", PEER)
    assert isinstance(invited, Refusal)
    assert "unsuspend" in invited.hint


async def test_an_invitation_from_before_enrols_nobody_who_is_suspended(world: World) -> None:
    invitation = await world.access.invite(None, "alice", PEER)
    assert isinstance(invitation, str)
    await suspend(world)
    begun = await world.access.enrol_begin("alice", "alice-secret", invitation, PEER)
    assert isinstance(begun, Refusal)
    assert begun == await world.access.enrol_begin("alice", "wrong", invitation, PEER)


async def test_a_suspended_person_approves_nothing_and_gets_nothing_approved(world: World) -> None:
    email = frozenset({("public.employees", "email")})
    ask: dict[str, Any] = {"target": "payroll", "ticket": "SUP-1423", "reveal": email, "peer": PEER}
    request = await world.access.open(await world.sign_in("alice"), **ask)
    assert isinstance(request, Refusal)
    bob = await world.sign_in("bob")
    await suspend(world, "bob")
    assert isinstance(await world.access.approve(bob, request.name, "", PEER), Refusal)
    await suspend(world, "alice")
    assert isinstance(await world.access.approve(await world.sign_in("bea"), request.name, "", PEER), Refusal)
    assert not world.trail.of("grant")


async def test_it_survives_a_restart_and_what_was_open_stays_over(stored: World) -> None:
    opened = await stored.access.open(await stored.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)
    assert isinstance(await suspend(stored), Principal)
    stored.restart()
    told = await stored.access.sign_in("alice", "alice-secret", stored.code("alice"), PEER)
    assert isinstance(told, Refusal)
    assert told.code == "person-suspended"
    stored.time.advance(30)
    assert isinstance(await lift(stored), Principal)
    challenge = stored.access.challenge(opened.user, "payroll", PEER, tls=True)
    assert challenge.pass_id is None
    assert isinstance(await stored.session(), Session)


async def test_another_process_obeys_within_a_round(world: World) -> None:
    session = await world.session()
    cut: list[Refusal] = []
    world.access.attach(session, cut.append)
    world.database.run_now(rows.suspend, Suspension("p1", "p6", "elsewhere", world.time.now))
    assert await world.access.sweep(requests=False) is None
    await world.access.refresh()
    assert len(cut) == 1
    assert world.last("grant")["reason"] == "the person was suspended"


async def test_what_was_being_opened_at_that_moment_does_not_come_back(world: World) -> None:
    alice, ada = await world.sign_in("alice"), await world.sign_in("ada")
    world.trail.mode, before = "hold", len(world.trail.receipts)
    opening = asyncio.create_task(world.access.open(alice, target="payroll", ticket="SUP-1423", peer=PEER))
    held = [await world.trail.appended(before)]
    world.trail.mode = "durable"
    assert isinstance(await world.access.people.suspend(ada, "alice", "a stolen laptop", PEER), Principal)
    for receipt in held:
        receipt.settle(durable=True)
    opened = await opening
    assert isinstance(opened, Opened)
    assert await world.access.sweep(requests=False) is None
    assert isinstance(await lift(world), Principal)
    assert world.access.challenge(opened.user, "payroll", PEER, tls=True).pass_id is None


async def test_nobody_lifts_his_own(world: World) -> None:
    world.directory.people["ada2"] = Principal("p20", "ada2", "Ada", frozenset({"platform"}), "ADA@example.com")
    ada, other = await world.sign_in("ada"), await world.sign_in("ada2")
    assert isinstance(await world.access.people.suspend(other, "ada", "a second account", PEER), Principal)
    assert isinstance(await world.access.people.unsuspend(ada, "ada", "", PEER), Refusal)
    refused = await world.access.people.unsuspend(other, "ada", "", PEER)
    assert isinstance(refused, Refusal)
    assert "of his own" in refused.message
    assert world.last("person.suspension")["decision"] == "deny"
    assert isinstance(await world.access.people.unsuspend(None, "ada", "the last one", PEER), Principal)
    assert world.last("person.suspension")["by"] == "local"


@pytest.mark.parametrize("by", ["bob", "alice"])
async def test_it_is_for_administrators(world: World, by: str) -> None:
    for act in (suspend, lift):
        outcome = await act(world, "amir", by)
        assert isinstance(outcome, Refusal)
        assert outcome.code == "not-in-team"


async def test_it_needs_a_reason_a_person_and_somebody_not_suspended(world: World) -> None:
    ada = await world.sign_in("ada")
    for login, reason in (("alice", " "), ("nobody", "x")):
        assert isinstance(await world.access.people.suspend(ada, login, reason, PEER), Refusal)
    assert isinstance(await lift(world), Refusal)
    assert isinstance(await suspend(world), Principal)
    assert isinstance(await suspend(world), Refusal)


async def test_everybody_who_was_met_is_known_with_factor_and_state(world: World) -> None:
    await world.enrol("alice", "bob")
    await world.access.invite(None, "dan", PEER)
    await suspend(world)
    del world.directory.people["bob"]
    met = {one.id: one for one in await world.access.people.everybody()}
    assert set(met) == {"p1", "p3", "p5", "p6"}
    assert [kind for kind, _ in met["p1"].known.factors] == ["totp"]
    assert met["p1"].suspension is not None
    assert met["p3"].person is None
    assert met["p5"].known.invited_until is not None


async def test_a_right_that_was_withdrawn_is_refused_and_given_back_by_somebody_else(world: World) -> None:
    email = frozenset({("public.employees", "email")})
    gone = [Withdrawal("p1", "payroll", "reveal", "review_1", world.time.now)]
    world.database.run_now(rows.withdraw, gone)
    assert await world.access.sweep() is None
    ask: dict[str, Any] = {"target": "payroll", "ticket": "SUP-1423", "peer": PEER}
    refused = await world.access.open(await world.sign_in("alice"), reveal=email, **ask)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.hint) == (
        "right-withdrawn", "ask an administrator to give it back: gateway access restore LOGIN reveal --target payroll",
    )  # fmt: skip
    assert isinstance(await world.access.open(await world.sign_in("alice"), **ask), Opened)
    ada = await world.sign_in("ada")
    for target in ("", "guarded"):
        assert isinstance(await world.access.people.restore(ada, "alice", Right.REVEAL, target, "x", PEER), Refusal)
    assert isinstance(await world.access.people.restore(ada, "alice", Right.REVEAL, "payroll", "", PEER), Refusal)
    assert isinstance(
        await world.access.people.restore(ada, "alice", Right.REVEAL, "payroll", "her work", PEER), Principal
    )
    assert world.last("access.review")["state"] == "restored"
    waits = await world.access.open(await world.sign_in("alice"), reveal=email, **ask)
    assert isinstance(waits, Refusal)
    assert waits.code == "approval-required"


async def test_withdrawing_the_right_to_read_ends_what_is_open(world: World) -> None:
    session = await world.session()
    world.database.run_now(rows.withdraw, [Withdrawal("p1", "payroll", "read", "review_1", world.time.now)])
    assert await world.access.sweep() is None
    assert world.access.check(session) is not None
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert challenge.pass_id is None
    direct = await world.direct("alice+SUP-1423", f"alice-secret{world.code('alice')}")
    assert isinstance(direct, Refusal)
    assert direct.code == "right-withdrawn"


async def test_withdrawn_roles_are_gone(world: World) -> None:
    ada, bob = await world.sign_in("ada"), await world.sign_in("bob")
    gone = [
        Withdrawal("p6", "", "administer", "review_1", world.time.now),
        Withdrawal("p3", "payroll", "approve", "review_1", world.time.now),
    ]
    world.database.run_now(rows.withdraw, gone)
    await world.access.sweep()
    assert not world.access.is_member(world.directory.people["ada"], "administrators")
    refused = await world.access.invite(ada, "dan", PEER)
    assert isinstance(refused, Refusal)
    email = frozenset({("public.employees", "email")})
    request = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reveal=email, peer=PEER
    )
    assert isinstance(request, Refusal)
    outcome = await world.access.approve(bob, request.name, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "right-withdrawn"
    assert isinstance(
        await world.access.people.restore(None, "ada", Right.ADMINISTER, "", "the last one", PEER), Principal
    )
    assert world.access.is_member(world.directory.people["ada"], "administrators")
