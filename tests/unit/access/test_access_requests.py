"""Requests that wait, who may decide on them, and sign-ins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from access_world import PEER, POLICY, World, proves

from gateway.access.service import Opened, SignIn
from gateway.errors import Refusal
from gateway.model import RequestState, Session

EMAIL = frozenset({("public.employees", "email")})


async def waiting(world: World) -> str:
    """A request of alice's that has to wait; its id."""
    outcome = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reason="call back", reveal=EMAIL, peer=PEER
    )
    assert isinstance(outcome, Refusal)
    assert outcome.code == "approval-required"
    assert outcome.name in outcome.message
    return outcome.name


async def test_a_reveal_waits_for_an_approver_and_then_unmasks(world: World) -> None:
    request = await waiting(world)
    record = world.last("request")
    assert (record["state"], record["request"], record["person"]) == ("pending", request, "p1")
    assert record["reveal"] == ["public.employees.email"]
    bob = await world.sign_in("bob")
    approved = await world.access.approve(bob, request, "fine", PEER)
    assert not isinstance(approved, Refusal)
    assert approved.state is RequestState.APPROVED
    assert approved.decided_by == ("p3",)
    record = world.last("request")
    assert (record["state"], record["by"], record["person"], record["approvers"]) == ("approved", "p3", "p1", ["p3"])
    opened = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reveal=EMAIL, peer=PEER
    )
    assert isinstance(opened, Opened)
    assert (opened.grant.reveal, opened.grant.approved_by) == (EMAIL, ("p3",))
    challenge = world.access.challenge(opened.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(challenge, proves(challenge, opened.secret), PEER)
    assert isinstance(session, Session)
    assert session.grant.reveal == EMAIL
    assert world.last()["approvers"] == ["p3"]


async def test_who_asks_for_nothing_in_clear_gets_nothing_in_clear_while_an_approved_grant_lives(world: World) -> None:
    request = await waiting(world)
    await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    plain = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(plain, Opened)
    assert plain.grant.reveal == frozenset()
    again = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reveal=EMAIL, peer=PEER
    )
    assert isinstance(again, Opened)
    assert again.grant.reveal == EMAIL


async def test_a_direct_login_is_masked_while_an_approved_grant_lives(world: World) -> None:
    request = await waiting(world)
    await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    session = await world.direct("alice+SUP-1423", f"alice-secret{world.code('alice')}")
    assert isinstance(session, Session)
    assert session.grant.reveal == frozenset()


async def test_an_approved_grant_is_used_where_nothing_can_be_had_without_an_approver(world: World) -> None:
    request = await waiting(world)
    await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, auto_approve="never"))
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)
    assert opened.grant.reveal == EMAIL


async def test_a_live_masked_grant_does_not_answer_for_a_reveal(world: World) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)
    assert (await waiting(world)).startswith("req_")


async def test_an_approved_reveal_does_not_answer_for_another_column(world: World) -> None:
    request = await waiting(world)
    await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    more = EMAIL | {("public.employees", "iban")}
    outcome = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", reveal=more, peer=PEER
    )
    assert isinstance(outcome, Refusal)
    assert outcome.code == "approval-required"


async def test_asking_again_while_a_request_waits_files_no_second_one(world: World) -> None:
    assert await waiting(world) == await waiting(world)
    assert len(world.trail.of("request")) == 1


async def test_a_masked_grant_can_be_opened_while_a_reveal_waits(world: World) -> None:
    await waiting(world)
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)
    assert opened.grant.reveal == frozenset()


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ("alice", "not-in-team"),
        ("amir", "not-in-team"),
        ("dan", "not-in-team"),
        ("ada", "not-in-team"),
    ],
)
async def test_who_may_not_decide_is_refused_and_recorded(world: World, login: str, code: str) -> None:
    request = await waiting(world)
    signin = await world.sign_in(login)
    for decide in (world.access.approve, world.access.deny):
        outcome = await decide(signin, request, "", PEER)
        assert isinstance(outcome, Refusal)
        assert outcome.code == code
        record = world.last("request")
        assert (record["decision"], record["code"], record["by"]) == ("deny", code, signin.principal.id)
    assert not world.trail.of("grant")


@pytest.mark.parametrize("of_one", ["email", "human"])
async def test_a_second_account_does_not_approve_and_who_copies_an_address_is_denied_all_the_same(
    world: World, of_one: str
) -> None:
    if of_one == "human":
        world.directory.change("alice", human="4711")
        world.directory.change("alice2", human="4711", email="other@example.com")
    request = await waiting(world)
    signin = await world.sign_in("alice2")
    outcome = await world.access.approve(signin, request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "request-invalid"
    record = world.last("request")
    assert (record["decision"], record["code"], record["by"]) == ("deny", "request-invalid", signin.principal.id)
    # the requester cannot keep an approver from denying by taking his address
    assert not isinstance(await world.access.deny(signin, request, "not yours", PEER), Refusal)
    assert not world.trail.of("grant")


async def test_not_even_an_approver_approves_himself(world: World) -> None:
    world.directory.change("alice", teams=frozenset({"support", "security"}))
    request = await waiting(world)
    outcome = await world.access.approve(await world.sign_in("alice"), request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert not world.trail.of("grant")


async def test_two_approvers_are_two_people(world: World) -> None:
    world.directory.change("alice2", email="BOB@example.com")
    access = replace(world.policies["payroll"].access, approver_count=2)
    world.policies["payroll"] = replace(world.policies["payroll"], access=access)
    request = await waiting(world)
    first = await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    assert not isinstance(first, Refusal)
    assert first.state is RequestState.PENDING
    assert isinstance(await world.access.approve(await world.sign_in("bob"), request, "", PEER), Refusal)
    assert isinstance(await world.access.approve(await world.sign_in("alice2"), request, "", PEER), Refusal)
    assert not world.trail.of("grant")
    second = await world.access.approve(await world.sign_in("bea"), request, "", PEER)
    assert not isinstance(second, Refusal)
    assert (second.state, second.decided_by) == (RequestState.APPROVED, ("p3", "p4"))
    assert world.last("grant")["approvers"] == ["p3", "p4"]


async def test_an_approver_needs_a_recent_second_factor(world: World) -> None:
    request = await waiting(world)
    bob = await world.sign_in("bob")
    world.time.advance(901)
    outcome = await world.access.approve(bob, request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "second-factor-required"
    assert world.last("request")["code"] == "second-factor-required"


async def test_opening_needs_a_recent_second_factor(world: World) -> None:
    alice = await world.sign_in("alice")
    world.time.advance(901)
    outcome = await world.access.open(alice, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "second-factor-required"
    assert world.last("request")["state"] == "refused"


async def test_a_request_is_decided_once(world: World) -> None:
    request = await waiting(world)
    bob, bea = await world.sign_in("bob"), await world.sign_in("bea")
    denied = await world.access.deny(bob, request, "no reason given", PEER)
    assert not isinstance(denied, Refusal)
    assert denied.state is RequestState.DENIED
    late = await world.access.approve(bea, request, "", PEER)
    assert isinstance(late, Refusal)
    assert late.code == "request-invalid"
    assert not world.trail.of("grant")


async def test_only_the_requester_takes_a_request_back(world: World) -> None:
    request = await waiting(world)
    assert isinstance(await world.access.cancel(await world.sign_in("bob"), request, PEER), Refusal)
    cancelled = await world.access.cancel(await world.sign_in("alice"), request, PEER)
    assert not isinstance(cancelled, Refusal)
    assert cancelled.state is RequestState.CANCELLED


async def test_a_request_that_nobody_decides_runs_out(world: World) -> None:
    request = await waiting(world)
    world.time.advance(24 * 3600)
    bob = await world.sign_in("bob")
    assert isinstance(await world.access.approve(bob, request, "", PEER), Refusal)
    assert await world.access.sweep() is None
    assert world.last("request")["state"] == "expired"
    found = await world.access.requests(bob)
    assert not isinstance(found, Refusal)
    assert [one.state for one in found] == [RequestState.EXPIRED]


@pytest.mark.parametrize("change", ["closed", "reassigned", "left", "removed"])
async def test_a_request_whose_reason_has_gone_cannot_be_approved(world: World, change: str) -> None:
    request = await waiting(world)
    bob = await world.sign_in("bob")
    if change == "closed":
        world.tickets.change("SUP-1423", status="closed")
    elif change == "reassigned":
        world.tickets.change("SUP-1423", assignee="amir")
    elif change == "left":
        world.directory.change("alice", active=False)
    else:
        del world.directory.people["alice"]
    assert isinstance(await world.access.approve(bob, request, "", PEER), Refusal)
    assert not world.trail.of("grant")


async def test_a_decision_that_cannot_be_recorded_does_not_take_place(world: World) -> None:
    request = await waiting(world)
    bob = await world.sign_in("bob")
    world.trail.mode = "fail"
    outcome = await world.access.approve(bob, request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "audit-not-writable"
    world.trail.mode = "durable"
    found = await world.access.requests(bob, RequestState.PENDING)
    assert not isinstance(found, Refusal)
    assert [one.id for one in found] == [request]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ticket": "SUP-1430"}, "ticket-closed"),
        ({"ticket": ""}, "ticket-required"),
        ({"ticket": "no such id!"}, "ticket-not-found"),
        ({"target": "unknown"}, "target-not-available"),
        ({"duration_s": 28801}, "request-invalid"),
        ({"duration_s": -1}, "request-invalid"),
        ({"reveal": frozenset({("public.employees", "salary")})}, "column-not-available"),
        ({"reveal": frozenset({("public.other", "email")})}, "column-not-available"),
    ],
)
async def test_what_the_policy_does_not_allow_is_refused_and_recorded(
    world: World, fields: dict[str, object], code: str
) -> None:
    wanted: dict[str, object] = {"target": "payroll", "ticket": "SUP-1423", "peer": PEER, **fields}
    outcome = await world.access.open(await world.sign_in("alice"), **wanted)  # type: ignore[arg-type]
    assert isinstance(outcome, Refusal)
    assert outcome.code == code
    assert (world.last("request")["code"], world.last("request")["state"]) == (code, "refused")


async def test_a_grant_lasts_as_long_as_asked_and_is_renewed_when_half_of_it_is_over(world: World) -> None:
    first = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", duration_s=600, peer=PEER
    )
    assert isinstance(first, Opened)
    assert (first.expires_at - first.grant.created_at).total_seconds() == 600
    world.time.advance(200)
    again = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", duration_s=600, peer=PEER
    )
    assert isinstance(again, Opened)
    assert again.grant.id == first.grant.id
    world.time.advance(200)
    renewed = await world.access.open(
        await world.sign_in("alice"), target="payroll", ticket="SUP-1423", duration_s=600, peer=PEER
    )
    assert isinstance(renewed, Opened)
    assert renewed.grant.id != first.grant.id


async def test_people_see_their_own_grants_and_requests(world: World) -> None:
    await world.session("alice")
    await world.session("amir", "SUP-1440")
    for login, count in (("alice", 1), ("amir", 1), ("bob", 2), ("ada", 2), ("dan", 0)):
        signin = await world.sign_in(login)
        grants, requests = await world.access.grants(signin), await world.access.requests(signin)
        assert not isinstance(grants, Refusal)
        assert not isinstance(requests, Refusal)
        assert (len(grants), len(requests)) == (count, count)


async def test_others_may_not_revoke_nor_learn_that_there_is_something(world: World) -> None:
    session = await world.session()
    amir, alice = await world.sign_in("amir"), await world.sign_in("alice")
    unknown = await world.access.revoke(amir, "grant_unknown", "", PEER)
    foreign = await world.access.revoke(amir, session.grant.id, "", PEER)
    assert isinstance(unknown, Refusal)
    assert unknown == foreign
    assert not isinstance(await world.access.revoke(alice, session.grant.id, "", PEER), Refusal)
    assert isinstance(await world.access.revoke(alice, session.grant.id, "", PEER), Refusal)


async def test_a_sign_in_lasts_eight_hours_and_ends_with_the_person(world: World) -> None:
    signin = await world.sign_in("alice")
    await world.access.refresh()
    found = world.access.authenticate(signin.token)
    assert isinstance(found, SignIn)
    assert found.principal.login == "alice"
    world.directory.change("alice", teams=frozenset({"other"}))
    await world.access.refresh()
    assert (changed := world.access.authenticate(signin.token))
    assert isinstance(changed, SignIn)
    assert changed.principal.teams == {"other"}
    world.directory.change("alice", active=False)
    await world.access.refresh()
    inactive = world.access.authenticate(signin.token)
    assert isinstance(inactive, Refusal)
    assert inactive.code == "person-inactive"
    world.time.advance(8 * 3600)
    await world.access.refresh()
    over = world.access.authenticate(signin.token)
    assert isinstance(over, Refusal)
    assert over.code == "session-expired"


async def test_a_sign_in_is_nobody_while_the_directory_is_away(world: World) -> None:
    signin = await world.sign_in("alice")
    await world.access.refresh()
    world.directory.down = True
    world.time.advance(5.1)
    await world.access.refresh()
    away = world.access.authenticate(signin.token)
    assert isinstance(away, Refusal)
    assert away.code == "directory-unavailable"


async def test_a_wrong_or_ended_token_is_nobodys(world: World) -> None:
    signin = await world.sign_in("alice")
    await world.access.refresh()
    for token in ("", "gwt_x", signin.token[:-1], signin.token.upper()):
        assert isinstance(world.access.authenticate(token), Refusal)
    await world.access.sign_out(signin)
    assert isinstance(world.access.authenticate(signin.token), Refusal)


async def test_roles_are_teams(world: World) -> None:
    ada, bob = world.directory.people["ada"], world.directory.people["bob"]
    assert world.access.is_member(ada, "administrators")
    assert not world.access.is_member(bob, "administrators")
    assert not world.access.is_member(replace(ada, active=False), "administrators")
    assert not world.access.is_member(ada, "auditors")
    with pytest.raises(KeyError):
        world.access.is_member(ada, "everything")
