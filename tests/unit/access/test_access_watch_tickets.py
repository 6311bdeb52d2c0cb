"""Remote ticket sources under the watcher: how old an answer may be, and what an outage does not hide."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from access_world import PEER, TICKETS, MemoryTickets, World

from gateway.errors import Refusal
from gateway.model import GrantState, Session, Ticket
from gateway.ports import Sighting


class HeardBefore(MemoryTickets):
    """A source whose `recent` answers are as old as `heard_at` says; `outage` goes with them."""

    world: World
    heard_at: float = float("inf")
    outage: Refusal | None = None
    silent = False
    between: tuple[tuple[float, Ticket], ...] = ()

    def recent(self, ticket_ids: Collection[str]) -> dict[str, Sighting | Refusal]:
        if self.silent:
            return {}
        return {one: Sighting(self.tickets.get(one), self.heard_at, self.outage, self.between) for one in ticket_ids}


@pytest.fixture
def remote() -> Any:
    world = World(tickets=HeardBefore(list(TICKETS)))
    yield world
    world.close()


async def watched(world: World) -> tuple[Session, list[Refusal]]:
    cuts: list[Refusal] = []
    session = await world.session()
    world.access.attach(session, cuts.append)
    await settle(world)
    assert cuts == []
    return session, cuts


async def settle(world: World) -> None:
    await world.access.refresh()
    await asyncio.sleep(0)


async def test_an_answer_counts_for_as_long_as_it_is_young(remote: World) -> None:
    session, cuts = await watched(remote)
    remote.tickets.heard_at = remote.time.monotonic()
    remote.time.advance(4.9)
    await settle(remote)
    assert remote.access.check(session) is None
    remote.time.advance(0.2)
    # the watcher goes round and round, and hears the same old answer
    await settle(remote)
    assert [cut.fatal for cut in cuts] == [True]
    assert remote.access.check(session) is not None


async def test_a_source_that_is_out_says_why_the_session_ends(remote: World) -> None:
    _, cuts = await watched(remote)
    remote.tickets.heard_at = remote.time.monotonic()
    remote.tickets.outage = Refusal("ticket-source-unavailable", "the ticket source `jira` cannot be asked")
    remote.time.advance(5.1)
    await settle(remote)
    assert [cut.code for cut in cuts] == ["ticket-source-unavailable"]


async def test_a_source_that_says_nothing_at_all_ends_it_too(remote: World) -> None:
    _, cuts = await watched(remote)
    remote.tickets.silent = True
    remote.time.advance(5.1)
    await settle(remote)
    assert len(cuts) == 1


async def test_an_old_answer_is_still_news(remote: World) -> None:
    _, cuts = await watched(remote)
    remote.tickets.heard_at = remote.time.monotonic()
    remote.tickets.outage = Refusal("ticket-source-unavailable", "it is out since")
    remote.tickets.change("SUP-1423", status="closed")
    await settle(remote)
    assert [cut.code for cut in cuts] == ["access-ended"]


async def test_a_closed_ticket_ends_it_while_the_directory_is_out(world: World) -> None:
    _, cuts = await watched(world)
    world.directory.down = True
    world.tickets.change("SUP-1423", status="closed")
    await settle(world)
    assert [cut.code for cut in cuts] == ["access-ended"]


async def test_somebody_who_left_is_out_while_the_tickets_are_out(world: World) -> None:
    _, cuts = await watched(world)
    world.tickets.down = True
    world.directory.change("alice", active=False)
    await settle(world)
    assert [cut.code for cut in cuts] == ["access-ended"]


async def test_somebody_who_left_is_out_while_nothing_was_heard_of_the_ticket(remote: World) -> None:
    _, cuts = await watched(remote)
    remote.tickets.silent = True
    remote.directory.change("alice", active=False)
    await settle(remote)
    assert [cut.code for cut in cuts] == ["access-ended"]


CHANGES = [{"status": "closed"}, {"assignee": "amir"}, {"customers": ("43",)}, {"customers": ()}, {"system": "other"}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_a_grant_whose_ticket_ended_it_does_not_come_back_with_the_ticket(
    world: World, change: dict[str, Any]
) -> None:
    session, cuts = await watched(world)
    before = world.tickets.tickets["SUP-1423"]
    world.tickets.change("SUP-1423", **change)
    await settle(world)
    assert await world.access.sweep() is None
    world.tickets.tickets["SUP-1423"] = before
    assert len(cuts) == 1
    ada = await world.sign_in("ada")
    grants = await world.access.grants(ada, live=False)
    assert not isinstance(grants, Refusal)
    assert [grant.state for grant in grants if grant.id == session.grant.id] == [GrantState.REVOKED]
    record = world.last("grant")
    assert (record["state"], record["by"], record["ticket"]) == ("revoked", "gateway", "SUP-1423")
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert challenge.pass_id is None


async def test_who_opens_before_the_lapsed_grant_was_ended_gets_another(world: World) -> None:
    """The watcher has seen it, the sweep has not been yet, and the ticket is as it was again."""
    session, cuts = await watched(world)
    before = world.tickets.tickets["SUP-1423"]
    world.tickets.change("SUP-1423", assignee="amir")
    await settle(world)
    assert len(cuts) == 1
    world.tickets.tickets["SUP-1423"] = before
    again = await world.session()
    assert again.grant.id != session.grant.id
    assert await world.access.sweep() is None
    assert world.access.check(again) is None


async def test_a_ticket_that_was_closed_and_opened_again_unseen_ends_it(remote: World) -> None:
    _, cuts = await watched(remote)
    known = remote.tickets.tickets["SUP-1423"]
    learnt = remote.time.monotonic()
    remote.tickets.between = ((learnt - 1, replace(known, status="closed")),)
    await settle(remote)
    # that was before the session began
    assert cuts == []
    remote.tickets.between += ((learnt + 1, known), (learnt + 2, replace(known, customers=("43",))))
    await settle(remote)
    assert [cut.code for cut in cuts] == ["access-ended"]
    await remote.access.sweep()
    assert remote.last("grant")["state"] == "revoked"


async def test_an_outage_ends_sessions_and_no_grants(world: World) -> None:
    session, cuts = await watched(world)
    world.tickets.down = True
    world.time.advance(5.1)
    await settle(world)
    await world.access.sweep()
    world.tickets.down = False
    assert len(cuts) == 1
    assert world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True).pass_id == session.pass_id


async def test_a_pass_of_another_system_s_ticket_admits_nobody(world: World) -> None:
    await watched(world)
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    world.tickets.change("SUP-1423", system="other")
    refusal = await world.access.admit_pass(challenge, True, PEER)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "ticket-not-found"


async def test_an_assignee_whom_the_source_knows_by_address_is_the_directory_s_of_that_address(world: World) -> None:
    world.tickets.change("SUP-1423", assignee="", assignee_email="alice@example.com")
    await world.session()
    amir = await world.sign_in("amir")
    refusal = await world.access.open(amir, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "ticket-not-yours"


async def test_people_without_an_address_are_not_all_the_same(world: World) -> None:
    world.directory.change("alice", email="")
    world.tickets.change("SUP-1423", assignee="", assignee_email="")
    alice = await world.sign_in("alice")
    refusal = await world.access.open(alice, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "ticket-not-yours"
