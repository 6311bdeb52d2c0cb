"""Access without approval in an emergency, its alert, and what becomes of who is not reviewed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from access_world import PEER, POLICY, World, prove

from gateway.access.break_glass import one_business_day_after
from gateway.access.service import Opened
from gateway.errors import Refusal
from gateway.model import GrantState, Session
from gateway.policy.schema import BreakGlassRule
from gateway.store.reviews import ReviewState

EMAIL = frozenset({("public.employees", "email")})
RULE = BreakGlassRule(frozenset({"support"}), 1800)
DAY = 86_400


@pytest.fixture(autouse=True)
def _rule(world: World) -> None:
    use(world, RULE)


def use(world: World, rule: BreakGlassRule | None) -> None:
    world.policies["payroll"] = replace(POLICY, access=replace(POLICY.access, break_glass=rule))


async def broken(world: World, login: str = "alice", ticket: str = "SUP-1423", **more: Any) -> Opened | Refusal:
    asked = {"reason": "payroll is down", "reveal": EMAIL, "break_glass": True} | more
    return await world.access.open(await world.sign_in(login), target="payroll", ticket=ticket, peer=PEER, **asked)


async def opened(world: World, **more: Any) -> Opened:
    found = await broken(world, **more)
    assert isinstance(found, Opened), found
    return found


async def found(world: World, grant: str, by: str, state: ReviewState, note: str = "looked at it") -> Any:
    return await world.access.reviews.decide(await world.sign_in(by), grant, state, note, PEER)


async def test_it_is_given_at_once_told_at_once_and_marked(world: World) -> None:
    given = await opened(world)
    assert (given.grant.break_glass, given.grant.reveal, given.grant.approved_by) == (True, EMAIL, ())
    assert given.expires_at - given.grant.created_at == timedelta(minutes=30)
    kinds = [record["kind"] for record in world.trail.records][-4:]
    assert kinds == ["request", "grant", "break_glass.opened", "pass.minted"]
    record = world.last("break_glass.opened")
    assert (record["person"], record["reason"], record["reveal"]) == (
        "p1",
        "payroll is down",
        ["public.employees.email"],
    )
    assert (world.last("grant")["by"], world.last("grant")["break_glass"]) == ("break-glass", True)
    challenge = world.access.challenge(given.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(*prove(challenge, given.secret), PEER)
    assert isinstance(session, Session)
    assert session.grant.break_glass


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ticket": "SUP-1430"}, "ticket-closed"),
        ({"ticket": "SUP-1440"}, "ticket-not-yours"),
        ({"ticket": "SUP-1450"}, "ticket-without-customer"),
        ({"ticket": "OPS-1"}, "ticket-project-not-allowed"),
        ({"ticket": "SUP-9"}, "ticket-not-found"),
        ({"login": "dan", "ticket": "SUP-1460"}, "not-in-team"),
        ({"reason": " "}, "request-invalid"),
        ({"duration_s": 3600}, "request-invalid"),
        ({"write": True}, "read-only"),
        ({"statement": "update x set y = 1"}, "read-only"),
        ({"reveal": frozenset({("public.employees", "nir")})}, "column-not-available"),
    ],
)  # fmt: skip
async def test_it_leaves_out_the_approval_and_nothing_else(world: World, change: dict[str, Any], code: str) -> None:
    refusal = await broken(world, **change)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert world.trail.of("break_glass.opened") == []


async def test_an_old_factor_does_not_break_it(world: World) -> None:
    signin = await world.sign_in("alice")
    world.time.advance(901)
    refusal = await world.access.open(
        signin, target="payroll", ticket="SUP-1423", reason="down", break_glass=True, peer=PEER
    )
    assert isinstance(refusal, Refusal)
    assert refusal.code == "second-factor-required"


async def test_a_policy_without_it_and_a_person_outside_its_teams_have_none(world: World) -> None:
    for rule in (None, replace(RULE, teams=frozenset({"leads"}))):
        use(world, rule)
        refusal = await broken(world)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "not-in-team"


async def test_who_asks_without_it_gets_nothing_in_clear_by_it(world: World) -> None:
    given = await opened(world)
    plain = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(plain, Opened)
    assert (plain.grant.reveal, plain.grant.break_glass) == (frozenset(), False)
    waiting = await broken(world, break_glass=False)
    assert isinstance(waiting, Refusal)
    assert waiting.code == "approval-required"
    again = await opened(world)
    assert again.grant.id == given.grant.id


async def test_leaving_its_team_ends_it(world: World) -> None:
    use(world, replace(RULE, teams=frozenset({"leads"})))
    world.policies["payroll"] = replace(
        world.policies["payroll"],
        access=replace(world.policies["payroll"].access, teams=frozenset({"support", "leads"})),
    )
    world.directory.change("alice", teams=frozenset({"support", "leads"}))
    given = await opened(world)
    challenge = world.access.challenge(given.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(*prove(challenge, given.secret), PEER)
    assert isinstance(session, Session)
    assert world.access.check(session) is None
    world.directory.change("alice", teams=frozenset({"support"}))
    world.time.advance(1)
    await world.access.refresh()
    refusal = world.access.check(session)
    assert refusal is not None
    assert refusal.code == "access-ended"


async def test_an_approver_reviews_it_once(world: World) -> None:
    given = await opened(world)
    done = await found(world, given.grant.id, "bob", ReviewState.JUSTIFIED)
    assert (done.state, done.reviewed_by) == (ReviewState.JUSTIFIED, "p3")
    record = world.last("break_glass.review")
    assert (record["person"], record["state"], record["of"], record["decision"]) == ("p3", "justified", "p1", "permit")
    again = await found(world, given.grant.id, "bea", ReviewState.UNJUSTIFIED)
    assert again.code == "request-invalid"
    world.time.advance(5 * DAY)
    await world.access.sweep()
    assert isinstance(await opened(world), Opened)


@pytest.mark.parametrize("by", ["alice", "alice2", "amir", "dan"])
async def test_nobody_else_reviews_it(world: World, by: str) -> None:
    given = await opened(world)
    refusal = await found(world, given.grant.id, by, ReviewState.JUSTIFIED)
    assert isinstance(refusal, Refusal)
    assert refusal.code in ("request-invalid", "not-found", "not-in-team")
    assert (await world.access.reviews.reviews(await world.sign_in("bob")))[0].state is ReviewState.DUE  # type: ignore[index]


async def test_a_review_needs_a_fresh_factor_and_words(world: World) -> None:
    given = await opened(world)
    bob = await world.sign_in("bob")
    world.time.advance(901)
    stale = await world.access.reviews.decide(bob, given.grant.id, ReviewState.JUSTIFIED, "fine", PEER)
    assert isinstance(stale, Refusal)
    assert stale.code == "second-factor-required"
    silent = await found(world, given.grant.id, "bob", ReviewState.JUSTIFIED, "  ")
    assert silent.code == "request-invalid"


async def test_without_a_review_nothing_is_approved_at_once_any_more(world: World) -> None:
    given = await opened(world)
    world.time.advance(DAY - 3600)
    plain = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(plain, Opened)
    world.time.advance(3 * DAY)
    await world.access.sweep()
    record = world.last("break_glass.overdue")
    assert (record["person"], record["grant"]) == ("p1", given.grant.id)
    refusal = await broken(world)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "review-overdue"
    waiting = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(waiting, Refusal)
    assert waiting.code == "approval-required"
    other = await world.access.open(await world.sign_in("amir"), target="payroll", ticket="SUP-1440", peer=PEER)
    assert isinstance(other, Opened)
    await found(world, given.grant.id, "bob", ReviewState.JUSTIFIED)
    assert isinstance(await opened(world), Opened)


async def test_what_was_given_without_approval_ends_when_the_review_is_late(world: World) -> None:
    await opened(world)
    due = one_business_day_after(world.time.now)
    world.time.advance((due - world.time.now).total_seconds() - 600)
    plain = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(plain, Opened)
    world.time.advance(700)
    await world.access.sweep()
    grants = await world.access.grants(await world.sign_in("alice"), live=False)
    assert not isinstance(grants, Refusal)
    assert {grant.id: grant.state for grant in grants}[plain.grant.id] is GrantState.REVOKED


async def test_late_counts_before_anybody_swept(world: World) -> None:
    await opened(world)
    world.time.advance(4 * DAY)
    refusal = await broken(world)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "review-overdue"


async def test_what_was_unjustified_is_settled_by_an_administrator(world: World) -> None:
    given = await opened(world)
    await found(world, given.grant.id, "bob", ReviewState.UNJUSTIFIED)
    assert isinstance(refusal := await broken(world), Refusal)
    assert refusal.code == "review-overdue"
    assert (await found(world, given.grant.id, "bea", ReviewState.JUSTIFIED)).code == "request-invalid"
    assert (await found(world, given.grant.id, "bea", ReviewState.SETTLED)).code == "not-in-team"
    assert (await found(world, given.grant.id, "ada", ReviewState.SETTLED)).state is ReviewState.SETTLED
    assert isinstance(await opened(world), Opened)


async def test_it_survives_a_restart(stored: World) -> None:
    world = stored
    use(world, RULE)
    given = await opened(world)
    world.restart()
    (review,) = await world.access.reviews.reviews(await world.sign_in("bob"))  # type: ignore[misc]
    assert (review.grant_id, review.state) == (given.grant.id, ReviewState.DUE)


@pytest.mark.parametrize(
    ("opened_at", "due_at"),
    [
        ((2026, 3, 2, 9), (2026, 3, 3, 9)),
        ((2026, 3, 6, 15), (2026, 3, 9, 15)),
        ((2026, 3, 7, 10), (2026, 3, 10, 0)),
        ((2026, 3, 8, 23), (2026, 3, 10, 0)),
        ((2026, 3, 5, 0), (2026, 3, 6, 0)),
    ],
    ids=["Monday", "Friday", "Saturday", "Sunday", "Thursday"],
)
def test_one_business_day_is_24_hours_of_weekdays(opened_at: tuple[int, ...], due_at: tuple[int, ...]) -> None:
    assert one_business_day_after(datetime(*opened_at, tzinfo=UTC)) == datetime(*due_at, tzinfo=UTC)  # type: ignore[misc, arg-type]
