"""Deciding in somebody's name, and approvals that are counted again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from access_world import PEER, POLICY, START, World

from gateway.errors import Refusal
from gateway.model import AccessRequest, Preview, Principal, RequestState
from gateway.policy.schema import BreakGlassRule
from gateway.store.delegations import Delegation
from gateway.store.reviews import ReviewState

EMAIL = frozenset({("public.employees", "email")})


@pytest.fixture(autouse=True)
def _roles(world: World) -> None:
    world.restart_settings(approvers=frozenset({"security"}))


async def waiting(world: World, login: str = "alice", ticket: str = "SUP-1423") -> str:
    """A request that waits; its id."""
    outcome = await world.access.open(
        await world.sign_in(login), target="payroll", ticket=ticket, reason="call back", reveal=EMAIL, peer=PEER
    )
    assert isinstance(outcome, Refusal)
    assert outcome.code == "approval-required", outcome
    return outcome.name


async def delegated(world: World, by: str, to: str, hours: float = 24) -> Delegation:
    """`by` lets `to` decide in his name from now on."""
    made = await set_(world, by, to, world.time.now + timedelta(hours=hours))
    assert isinstance(made, Delegation), made
    return made


async def set_(world: World, by: str, to: str, ends: datetime, starts: datetime | None = None) -> Delegation | Refusal:
    return await world.access.delegations.set(await world.sign_in(by), to, starts, ends, "on leave", PEER)


async def decide(world: World, login: str, request: str, move: str = "approve", **more: Any) -> AccessRequest | Refusal:
    found: AccessRequest | Refusal = await getattr(world.access, move)(
        await world.sign_in(login), request, "seen", PEER, **more
    )
    return found


def needs(world: World, count: int) -> None:
    access = replace(world.policies["payroll"].access, approver_count=count)
    world.policies["payroll"] = replace(world.policies["payroll"], access=access)


async def test_a_delegate_decides_in_the_name_of_an_approver_and_both_are_on_record(world: World) -> None:
    await delegated(world, "bob", "dan")
    record = world.last("delegation")
    assert (record["person"], record["delegator"], record["delegate"], record["state"]) == ("p3", "p3", "p5", "set")
    done = await decide(world, "dan", await waiting(world))
    assert not isinstance(done, Refusal)
    assert (done.state, done.decided_by, done.in_name_of) == (RequestState.APPROVED, ("p5",), ("p3",))
    record = world.last("request")
    assert (record["by"], record["in_name_of"], record["approvers"]) == ("p5", "p3", ["p5"])
    assert world.last("grant")["approvers"] == ["p5"]


async def test_a_delegate_sees_the_request_and_may_deny_it(world: World) -> None:
    request = await waiting(world)
    dan = await world.sign_in("dan")
    assert isinstance(await world.access.request(dan, request), Refusal)
    assert await world.access.requests(dan) == []
    await delegated(world, "bob", "dan")
    shown = await world.access.request(dan, request)
    assert not isinstance(shown, Refusal)
    assert shown.readable
    denied = await decide(world, "dan", request, "deny")
    assert not isinstance(denied, Refusal)
    assert world.last("request")["in_name_of"] == "p3"


@pytest.mark.parametrize("ends_by", ["time", "delegator", "delegate", "left", "suspended", "lost"])
async def test_what_was_lent_is_over_with_its_reason(world: World, ends_by: str) -> None:
    made = await delegated(world, "bob", "dan", hours=1)
    request = await waiting(world)
    if ends_by == "time":
        world.time.advance(3600)
    elif ends_by in ("delegator", "delegate"):
        by = await world.sign_in("bob" if ends_by == "delegator" else "dan")
        assert isinstance(await world.access.delegations.end(by, made.id, PEER), Delegation)
    elif ends_by == "left":
        world.directory.change("bob", teams=frozenset({"other"}))
    elif ends_by == "suspended":
        await world.access.people.suspend(await world.sign_in("ada"), "bob", "left in anger", PEER)
    else:
        world.directory.change("bob", active=False)
    outcome = await decide(world, "dan", request)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "not-in-team"
    assert not world.trail.of("grant")


async def test_nobody_decides_about_a_request_of_who_made_him_a_delegate(world: World) -> None:
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    await delegated(world, "bob", "bea")
    request = await waiting(world, "bob")
    outcome = await decide(world, "bea", request)
    assert isinstance(outcome, Refusal)
    assert "who made him a delegate" in outcome.message
    assert world.last("request")["code"] == "request-invalid"


async def test_ending_the_delegation_after_filing_frees_nobody(world: World) -> None:
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    made = await delegated(world, "bob", "bea")
    request = await waiting(world, "bob")
    assert isinstance(await world.access.delegations.end(await world.sign_in("bob"), made.id, PEER), Delegation)
    assert isinstance(await decide(world, "bea", request), Refusal)
    await world.access.cancel(await world.sign_in("bob"), request, PEER)
    assert not isinstance(await decide(world, "bea", await waiting(world, "bob")), Refusal)


async def test_making_an_approver_a_delegate_after_filing_takes_him_out(world: World) -> None:
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    request = await waiting(world, "bob")
    await delegated(world, "bob", "bea")
    assert isinstance(await decide(world, "bea", request), Refusal)


async def test_a_second_account_of_the_delegate_is_the_delegate(world: World) -> None:
    world.directory.people["bea2"] = Principal("p10", "bea2", "Bea", frozenset({"security"}), "BEA@example.com")
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    await delegated(world, "bob", "bea2")
    assert isinstance(await decide(world, "bea", await waiting(world, "bob")), Refusal)


async def test_a_chain_from_before_still_binds(world: World) -> None:
    """Bob made Bea a delegate, that ended, then Bea made Dan one: for what Bob filed before, Dan is on his side."""
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    made = await delegated(world, "bob", "bea")
    request = await waiting(world, "bob")
    await world.access.delegations.end(await world.sign_in("bob"), made.id, PEER)
    await delegated(world, "bea", "dan")
    assert isinstance(await decide(world, "dan", request), Refusal)


async def test_a_delegate_does_not_decide_about_his_own_request(world: World) -> None:
    await delegated(world, "bob", "alice")
    outcome = await decide(world, "alice", await waiting(world))
    assert isinstance(outcome, Refusal)
    assert not world.trail.of("grant")


async def test_delegate_and_delegator_are_one_voice(world: World) -> None:
    needs(world, 2)
    await delegated(world, "bob", "dan")
    request = await waiting(world)
    assert not isinstance(await decide(world, "dan", request), Refusal)
    assert isinstance(await decide(world, "bob", request), Refusal)
    other = await waiting(world, "amir", "SUP-1440")
    assert not isinstance(await decide(world, "bob", other), Refusal)
    assert isinstance(await decide(world, "dan", other), Refusal)
    assert not world.trail.of("grant")
    assert not isinstance(await decide(world, "bea", request), Refusal)
    assert world.last("grant")["approvers"] == ["p5", "p4"]


async def test_what_was_lent_is_not_lent_on(world: World) -> None:
    await delegated(world, "bob", "bea")
    ends = world.time.now + timedelta(hours=1)
    for by, to in (("bea", "dan"), ("bob", "dan"), ("alice2", "bob")):
        outcome = await set_(world, by, to, ends)
        assert isinstance(outcome, Refusal), (by, to)
        assert world.last("delegation")["decision"] == "deny"
    later = world.time.now + timedelta(hours=25)
    assert isinstance(await set_(world, "bea", "dan", later + timedelta(hours=1), later), Delegation)


@pytest.mark.parametrize(
    ("by", "to", "hours", "code"),
    [
        ("alice", "dan", 1, "not-in-team"),
        ("bob", "nobody", 1, "not-found"),
        ("bob", "bob", 1, "request-invalid"),
        ("bob", "bob2", 1, "request-invalid"),
        ("bob", "dan", 0, "request-invalid"),
        ("bob", "dan", -1, "request-invalid"),
        ("bob", "dan", 24 * 90 + 1, "request-invalid"),
    ],
)
async def test_who_may_not_delegate_so_is_refused(world: World, by: str, to: str, hours: float, code: str) -> None:
    world.directory.people["bob2"] = Principal("p11", "bob2", "Bob", frozenset({"security"}), "Bob@example.com")
    outcome = await set_(world, by, to, world.time.now + timedelta(hours=hours, seconds=60 if hours > 0 else 0))
    assert isinstance(outcome, Refusal)
    assert outcome.code == code


async def test_a_delegation_needs_a_recent_factor(world: World) -> None:
    bob = await world.sign_in("bob")
    world.time.advance(901)
    outcome = await world.access.delegations.set(bob, "dan", None, world.time.now + timedelta(hours=1), "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "second-factor-required"


async def test_a_delegate_of_several_says_in_whose_name(world: World) -> None:
    await delegated(world, "bob", "dan")
    await delegated(world, "bea", "dan")
    request = await waiting(world)
    unclear = await decide(world, "dan", request)
    assert isinstance(unclear, Refusal)
    assert "bea, bob" in unclear.message
    assert isinstance(await decide(world, "dan", request, in_name_of="ada"), Refusal)
    done = await decide(world, "dan", request, in_name_of="bea")
    assert not isinstance(done, Refusal)
    assert done.in_name_of == ("p4",)


async def test_delegations_are_seen_by_who_has_to_do_with_them(world: World) -> None:
    made = await delegated(world, "bob", "dan")
    for login, count in (("bob", 1), ("dan", 1), ("ada", 1), ("bea", 1), ("alice", 0)):
        listed = await world.access.delegations.listed(await world.sign_in(login))
        assert not isinstance(listed, Refusal)
        assert len(listed) == count, login
    assert isinstance(await world.access.delegations.end(await world.sign_in("alice"), made.id, PEER), Refusal)
    assert isinstance(await world.access.delegations.end(await world.sign_in("ada"), made.id, PEER), Delegation)
    assert isinstance(await world.access.delegations.end(await world.sign_in("ada"), made.id, PEER), Refusal)


@pytest.mark.parametrize("gone", ["left the team", "inactive", "suspended", "became the requester", "delegation over"])
async def test_an_approver_who_could_not_approve_any_more_does_not_count(world: World, gone: str) -> None:
    needs(world, 2)
    if gone == "delegation over":
        made = await delegated(world, "bob", "dan")
        request = await waiting(world)
        first = await decide(world, "dan", request)
        await world.access.delegations.end(await world.sign_in("bob"), made.id, PEER)
    else:
        request = await waiting(world)
        first = await decide(world, "bob", request)
    assert not isinstance(first, Refusal)
    if gone == "left the team":
        world.directory.change("bob", teams=frozenset({"other"}))
    elif gone == "inactive":
        world.directory.change("bob", active=False)
    elif gone == "suspended":
        await world.access.people.suspend(await world.sign_in("ada"), "bob", "left in anger", PEER)
    elif gone == "became the requester":
        world.directory.change("bob", email="ALICE@example.com")
    second = await decide(world, "bea", request)
    assert not isinstance(second, Refusal)
    assert second.state is RequestState.PENDING
    assert not world.trail.of("grant")
    world.directory.people["ben"] = Principal("p12", "ben", "Ben", frozenset({"security"}), "ben@example.com")
    third = await decide(world, "ben", request)
    assert not isinstance(third, Refusal)
    assert third.state is RequestState.APPROVED
    assert world.last("grant")["approvers"] == ["p4", "p12"]


async def test_two_approvers_who_turn_out_to_be_one_person_count_once(world: World) -> None:
    needs(world, 3)
    request = await waiting(world)
    await decide(world, "bob", request)
    await decide(world, "bea", request)
    world.directory.change("bea", email="Bob@example.com")
    world.directory.people["ben"] = Principal("p12", "ben", "Ben", frozenset({"security"}), "ben@example.com")
    third = await decide(world, "ben", request)
    assert not isinstance(third, Refusal)
    assert third.state is RequestState.PENDING


async def test_a_denial_says_why(world: World) -> None:
    request = await waiting(world)
    bob = await world.sign_in("bob")
    outcome = await world.access.deny(bob, request, "  ", PEER)
    assert isinstance(outcome, Refusal)
    assert "--reason" in outcome.hint
    assert not isinstance(await world.access.deny(bob, request, "ask the customer first", PEER), Refusal)


async def test_an_approver_sees_what_was_asked_for_before(world: World) -> None:
    first = await waiting(world)
    await decide(world, "bob", first)
    other = await waiting(world, "alice", "SUP-1424")
    world.time.advance(40 * 86400)
    request = await waiting(world)
    shown = await world.access.request(await world.sign_in("bea"), request)
    assert not isinstance(shown, Refusal)
    # the one for the same customer is shown whenever it was, the other one for 30 days
    assert [(one.request.id, one.same) for one in shown.earlier] == [(first, True)]
    lately = await world.access.request(await world.sign_in("bea"), other)
    assert not isinstance(lately, Refusal)
    assert [(one.request.id, one.same) for one in lately.earlier] == [(first, False)]


async def test_an_approver_learns_how_many_rows_would_be_in_clear(world: World) -> None:
    request = await waiting(world)
    world.look.answer = Preview(("rows",), (("17",),))
    seen = await world.access.preview(await world.sign_in("bob"), request, PEER)
    assert not isinstance(seen, Refusal)
    assert (seen.write, seen.preview.rows) == (None, (("public.employees", "17"),))
    session, text = world.look.looked[-1]
    assert text == 'SELECT count(*) AS "rows" FROM "public"."employees"'
    assert (session.principal.id, session.grant.customers, session.grant.write) == ("p3", ("42",), False)
    assert world.look.checks == [None]
    record = world.last("request.preview")
    assert (record["request"], record["decision"], record["customers"]) == (request, "permit", ["42"])
    for login in ("amir", "dan"):
        assert isinstance(await world.access.preview(await world.sign_in(login), request, PEER), Refusal)
    assert len(world.look.looked) == 1


async def test_who_can_approve_is_told_by_name_and_leaves_out_who_cannot(world: World) -> None:
    await world.enrol("bob", "bea", "alice2")
    request = await waiting(world)
    assert await world.access.approvers_of(request) == ["bea", "bob"]
    await world.access.people.suspend(await world.sign_in("ada"), "bea", "on leave", PEER)
    world.time.advance(61)
    assert await world.access.approvers_of(request) == ["bob"]
    await decide(world, "bob", request)
    assert await world.access.approvers_of(request) == []


async def test_an_approval_that_nobody_uses_runs_out(world: World) -> None:
    wanted = {"target": "payroll", "reveal": EMAIL, "duration_s": 28800, "peer": PEER}
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, max_duration_s=86400))
    ids = []
    for ticket in ("SUP-1423", "SUP-1424"):
        outcome = await world.access.open(
            await world.sign_in("alice"),
            ticket=ticket,
            **{**wanted, "duration_s": 86400},  # type: ignore[arg-type]
        )
        assert isinstance(outcome, Refusal)
        assert not isinstance(await decide(world, "bob", outcome.name), Refusal)
        ids.append(outcome.name)
    opened = await world.access.open(await world.sign_in("alice"), ticket="SUP-1423", **wanted)  # type: ignore[arg-type]
    assert not isinstance(opened, Refusal)
    world.time.advance(8 * 3600)
    assert await world.access.sweep() is None
    over = [record for record in world.trail.of("grant") if record["state"] == "expired"]
    assert [(record["request"], record["reason"]) for record in over] == [(ids[1], "nobody used it in time")]
    assert world.time.now > START


async def test_who_made_him_a_delegate_is_not_reviewed_by_him(world: World) -> None:
    rule = BreakGlassRule(frozenset({"support"}), 1800)
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, break_glass=rule))
    world.directory.change("bob", teams=frozenset({"support", "security"}))
    world.tickets.change("SUP-1423", assignee="bob")
    taken = await world.access.open(
        await world.sign_in("bob"), target="payroll", ticket="SUP-1423", reason="fire", break_glass=True, peer=PEER
    )
    assert not isinstance(taken, Refusal)
    await delegated(world, "bob", "bea")
    found = ReviewState.JUSTIFIED
    outcome = await world.access.reviews.decide(await world.sign_in("bea"), taken.grant.id, found, "it was", PEER)
    assert isinstance(outcome, Refusal)
    assert "who made him a delegate" in outcome.message
    other = await world.access.reviews.decide(await world.sign_in("alice2"), taken.grant.id, found, "it was", PEER)
    assert not isinstance(other, Refusal)
