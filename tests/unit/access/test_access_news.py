"""Two gateways on one store: what one does, the other knows; and a store that went back in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from access_world import PEER, World, proves

from gateway.access.news import Known
from gateway.access.service import Access, SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import GrantState, RequestState, Session
from gateway.store import access as rows
from gateway.store import changes, people, schema
from gateway.store.changes import Mark


@dataclass
class Pair:
    """Two gateways with the same people, tickets and clock, on one store."""

    one: World
    other: World

    def close(self) -> None:
        self.one.close()
        self.other.close()


def joined(world: World) -> World:
    """Another gateway on that world's store."""
    made = World(world.path, directory=world.directory, tickets=world.tickets)
    made.access.close()
    made.time, made.secrets, made.policies = world.time, world.secrets, world.policies
    made.access = made.make()
    return made


@pytest.fixture
def pair(stored: World) -> Iterator[Pair]:
    other = joined(stored)
    yield Pair(stored, other)
    other.close()


async def opened(world: World, signin: SignIn | None = None, **more: Any) -> Any:
    signin = signin or await world.sign_in("alice")
    found = await world.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER, **more)
    assert not isinstance(found, Refusal), found
    return found


async def connected(world: World, user: str, secret: str) -> Session | Refusal:
    challenge = world.access.challenge(user, "payroll", PEER, tls=True)
    proven = challenge.pass_id is not None and proves(challenge, secret)
    return await world.access.admit_pass(challenge, proven, PEER)


async def test_who_opened_at_one_connects_at_the_other(pair: Pair) -> None:
    found = await opened(pair.one)
    assert isinstance(await connected(pair.other, found.user, found.secret), Refusal)
    await pair.other.access.refresh()
    assert isinstance(await connected(pair.other, found.user, found.secret), Session)


async def test_a_revocation_at_one_cuts_at_the_other_in_one_round(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    await pair.other.access.refresh()
    session = await connected(pair.other, found.user, found.secret)
    assert isinstance(session, Session)
    cut: list[Refusal] = []
    pair.other.access.attach(session, cut.append)
    await pair.one.access.revoke(signin, found.grant.id, "enough", PEER)
    assert pair.other.access.check(session) is None
    await pair.other.access.refresh()
    await asyncio.sleep(0)
    assert [refusal.code for refusal in cut] == ["grant-revoked"]
    refusal = pair.other.access.check(session)
    assert refusal is not None
    assert refusal.code == "grant-revoked"


async def test_who_was_revoked_a_moment_ago_is_not_let_in_before_the_round(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    await pair.other.access.refresh()
    await pair.one.access.revoke(signin, found.grant.id, "enough", PEER)
    refused = await connected(pair.other, found.user, found.secret)
    assert isinstance(refused, Refusal)
    assert refused.code == "grant-revoked"


async def test_a_grant_that_was_revoked_elsewhere_gets_no_pass_any_more(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    await pair.other.access.refresh()
    await pair.one.access.revoke(signin, found.grant.id, "enough", PEER)
    refused = await pair.other.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refused, Refusal)
    assert refused.code == "grant-revoked"
    again = await pair.other.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(again, Refusal)
    assert again.grant.id != found.grant.id


async def test_a_code_that_was_used_at_one_is_refused_at_the_other(pair: Pair) -> None:
    await pair.one.enrol("alice")
    code = pair.one.code("alice")
    tried = await asyncio.gather(
        *(
            world.access.sign_in("alice", "alice-secret", code, PEER)
            for world in (pair.one, pair.other)
            for _ in range(3)
        )
    )
    assert sum(isinstance(one, SignIn) for one in tried) == 1


async def test_a_sign_in_is_good_at_both_until_it_is_ended_at_one(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    assert isinstance(pair.other.access.authenticate(signin.token), Refusal)
    await pair.other.access.refresh()
    assert isinstance(pair.other.access.authenticate(signin.token), SignIn)
    await pair.other.access.sign_out(signin)
    assert isinstance(pair.other.access.authenticate(signin.token), Refusal)
    await pair.one.access.refresh()
    assert isinstance(pair.one.access.authenticate(signin.token), Refusal)


async def test_a_sign_in_that_was_made_while_a_round_was_read_stays(pair: Pair) -> None:
    first = await pair.one.sign_in("alice")
    number = pair.one.database.newest.number
    second = await pair.one.sign_in("alice")
    # a round that was read before the second one was kept
    old = pair.one.database.run_now(people.tokens_of, ["p1"], pair.one.time())
    pair.one.access.news.signins.take("p1", [row for row in old if row.id == first.id], number)
    await pair.one.access.refresh()
    assert isinstance(pair.one.access.authenticate(first.token), SignIn)
    assert isinstance(pair.one.access.authenticate(second.token), SignIn)


async def test_a_sign_in_that_was_ended_while_a_round_was_read_does_not_come_back(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    old = pair.one.database.run_now(people.tokens_of, ["p1"], pair.one.time())
    number = pair.one.database.newest.number
    await pair.one.access.sign_out(signin)
    pair.one.access.news.signins.take("p1", old, number)
    assert isinstance(pair.one.access.authenticate(signin.token), Refusal)


async def test_a_reset_at_one_ends_sign_ins_and_sessions_at_the_other(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    await pair.other.access.refresh()
    session = await connected(pair.other, found.user, found.secret)
    assert isinstance(session, Session)
    await pair.one.access.reset_factor(None, "alice", PEER)
    await pair.other.access.refresh()
    assert isinstance(pair.other.access.authenticate(signin.token), Refusal)
    assert pair.other.access.check(session) is not None


async def test_who_is_suspended_at_one_is_out_at_the_other(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    ada = await pair.one.sign_in("ada")
    await pair.other.access.refresh()
    session = await connected(pair.other, found.user, found.secret)
    assert isinstance(session, Session)
    done = await pair.one.access.people.suspend(ada, "alice", "looked at too much", PEER)
    assert not isinstance(done, Refusal), done
    await pair.other.access.refresh()
    assert isinstance(pair.other.access.authenticate(signin.token), Refusal)
    assert pair.other.access.check(session) is not None
    await pair.other.access.sweep()
    tried = await pair.other.access.sign_in("alice", "alice-secret", pair.one.code("alice"), PEER)
    assert isinstance(tried, Refusal)


async def test_one_approver_at_each_gateway_make_one_grant(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    reveal = frozenset({("public.employees", "email")})
    waits = await pair.one.access.open(signin, target="payroll", ticket="SUP-1423", reveal=reveal, peer=PEER)
    assert isinstance(waits, Refusal)
    bob, bea = await pair.one.sign_in("bob"), await pair.other.sign_in("bea")
    done = await asyncio.gather(
        pair.one.access.approve(bob, waits.name, "fine", PEER), pair.other.access.approve(bea, waits.name, "fine", PEER)
    )
    assert sum(isinstance(one, Refusal) for one in done) == 1
    grants = pair.one.database.run_now(rows.list_grants)
    assert len(grants) == 1
    for world in (pair.one, pair.other):
        await world.access.refresh()
        assert [grant.id for grant in world.access.news.register.grants()] == [grants[0].id]


@pytest.mark.parametrize("move", ["deny", "cancel"])
async def test_an_approval_that_meets_another_move_is_one_of_them(pair: Pair, move: str) -> None:
    signin = await pair.one.sign_in("alice")
    reveal = frozenset({("public.employees", "email")})
    waits = await pair.one.access.open(signin, target="payroll", ticket="SUP-1423", reveal=reveal, peer=PEER)
    assert isinstance(waits, Refusal)
    bob, bea = await pair.one.sign_in("bob"), await pair.other.sign_in("bea")
    against = (
        pair.other.access.deny(bea, waits.name, "no", PEER)
        if move == "deny"
        else pair.other.access.cancel(signin, waits.name, PEER)
    )
    done = await asyncio.gather(pair.one.access.approve(bob, waits.name, "fine", PEER), against)
    assert sum(isinstance(one, Refusal) for one in done) == 1
    (request,) = pair.one.database.run_now(rows.list_requests)
    grants = pair.one.database.run_now(rows.list_grants)
    assert (request.state is RequestState.APPROVED) == (len(grants) == 1)


async def test_what_ended_while_the_store_was_away_ends_there_when_it_is_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    with monkeypatch.context() as away:
        away.setattr(rows, "move_grant", _unusable)
        refused = await pair.one.access.revoke(signin, found.grant.id, "enough", PEER)
        assert isinstance(refused, Refusal)
        assert refused.code == "store-unavailable"
        outage = await pair.one.access.sweep()
        assert outage is not None
    await pair.one.access.refresh()
    assert pair.one.access.news.register.grant(found.grant.id).state is GrantState.REVOKED  # type: ignore[union-attr]
    assert pair.one.trail.of("grant")[-1]["state"] == "active"
    assert await pair.one.access.sweep() is None
    (grant,) = pair.one.database.run_now(rows.list_grants)
    assert grant.state is GrantState.REVOKED
    assert pair.one.trail.of("grant")[-1]["state"] == "revoked"


async def test_a_store_that_cannot_be_read_cuts_sessions_and_sign_ins_after_its_grace(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    session = await connected(pair.one, found.user, found.secret)
    assert isinstance(session, Session)
    await pair.one.access.refresh()

    async def away(*_: Any) -> None:
        raise GatewayError("store-unavailable", "the gateway's store cannot be used")

    with monkeypatch.context() as outage:
        outage.setattr(pair.one.database, "look", away)
        pair.one.time.advance(4)
        await pair.one.access.refresh()
        assert pair.one.access.check(session) is None
        assert isinstance(pair.one.access.authenticate(signin.token), SignIn)
        pair.one.time.advance(2)
        await pair.one.access.refresh()
        refusal = pair.one.access.check(session)
        assert refusal is not None
        assert (refusal.code, refusal.fatal) == ("store-unavailable", True)
        refused = pair.one.access.authenticate(signin.token)
        assert isinstance(refused, Refusal)
        assert refused.code == "store-unavailable"
    await pair.one.access.refresh()
    assert isinstance(pair.one.access.authenticate(signin.token), SignIn)
    assert isinstance(await connected(pair.one, found.user, found.secret), Session)


async def test_records_say_how_far_the_store_was_and_a_record_of_its_own_says_the_rest(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    said = changes.mark_of(pair.one.trail.of("pass.minted")[-1]["store"])
    assert pair.one.database.run_now(changes.knows, said)
    await pair.one.access.sweep()
    assert pair.one.trail.of("store.seen")[-1]["store"] == str(pair.one.database.newest)
    count = len(pair.one.trail.of("store.seen"))
    await pair.one.access.sweep()
    assert len(pair.one.trail.of("store.seen")) == count
    # what others did is said from time to time
    await pair.other.access.revoke(signin, found.grant.id, "", PEER)
    pair.one.time.advance(61)
    await pair.one.access.refresh()
    await pair.one.access.sweep()
    assert pair.one.trail.of("store.seen")[-1]["store"] == str(pair.one.database.newest)


def loses(world: World, mark: Mark) -> None:
    """Put the store back to before that change, as far as the history is concerned."""
    world.database.run_now(lambda c: c.execute(schema.changes.delete().where(schema.changes.c.number >= mark.number)))


async def test_a_store_that_goes_back_under_a_running_gateway_ends_everything(pair: Pair) -> None:
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    for world in (pair.one, pair.other):
        await world.access.refresh()
    session = await connected(pair.other, found.user, found.secret)
    assert isinstance(session, Session)
    again: list[int] = []

    async def reset() -> None:
        again.append(1)

    pair.other.access.news.again = reset
    loses(pair.one, pair.one.database.newest)
    await pair.other.access.refresh()
    refusal = pair.other.access.check(session)
    assert refusal is not None
    assert refusal.code == "grant-revoked"
    assert again == [1]
    assert pair.other.trail.of("store.restored")[-1]["reason"] == "all that gave access was ended"
    (grant,) = pair.one.database.run_now(rows.list_grants)
    assert grant.state is GrantState.REVOKED
    await pair.one.access.refresh()
    assert isinstance(pair.one.access.authenticate(signin.token), Refusal)
    # no code of the time up to now is taken any more
    tried = await pair.one.access.sign_in("alice", "alice-secret", pair.one.code("alice"), PEER)
    assert isinstance(tried, Refusal)
    pair.one.time.advance(60)
    signin = await pair.one.sign_in("alice")
    found = await opened(pair.one, signin)
    await pair.other.access.refresh()
    assert isinstance(await connected(pair.other, found.user, found.secret), Session)
    assert len(pair.other.trail.of("store.restored")) == 1


async def test_a_gateway_that_starts_on_an_old_store_ends_everything_in_it(stored: World) -> None:
    await opened(stored)
    known = Known(stored.database.newest, stored.time())
    stored.access.close()
    loses(stored, known.mark)
    stored.access = made(stored, known)
    assert stored.access.news.went_back
    assert [grant.state for grant in stored.database.run_now(rows.list_grants)] == [GrantState.REVOKED]
    assert len(stored.trail.of("store.restored")) == 1


async def test_a_gateway_that_starts_on_the_store_that_it_knows_ends_nothing(stored: World) -> None:
    found = await opened(stored)
    known = Known(stored.database.newest, stored.time())
    stored.access.close()
    stored.access = made(stored, known)
    assert not stored.access.news.went_back
    assert isinstance(await connected(stored, found.user, found.secret), Session)


def made(world: World, known: Known) -> Access:
    """The world's gateway, with what its trail knows of the store."""
    return Access(
        world.settings, directory=world.directory, tickets=world.tickets, policies=world.policies.get,
        trail=world.trail, database=world.database, study=world.study, preview=world.look, clock=world.time,
        monotonic=world.time.monotonic, known=known,
    )  # fmt: skip


def _unusable(*_: Any) -> bool:
    raise GatewayError("store-unavailable", "the gateway's store cannot be used")
