"""Who is signed in and chooses a grant gets a session without a pass: under the same rules as with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from access_world import PEER, World

from gateway.access.service import SignIn
from gateway.errors import Refusal
from gateway.factor_settings import Fresh
from gateway.model import GrantState, RequestState, Session
from gateway.store import access as rows

ENDED = (GrantState.ACTIVE, GrantState.REVOKED, "elsewhere")


async def granted(world: World, login: str = "alice", ticket: str = "SUP-1423") -> tuple[SignIn, str]:
    """A sign-in, and a grant of the person's."""
    signin = await world.sign_in(login)
    filed = await world.access.file(signin, target="payroll", ticket=ticket, peer=PEER)
    assert not isinstance(filed, Refusal)
    assert filed.state is RequestState.APPROVED
    grants = await world.access.grants(signin)
    assert not isinstance(grants, Refusal)
    return signin, next(one.id for one in grants if one.request_id == filed.id)


async def test_a_session_begins_without_a_pass_and_is_on_record(world: World) -> None:
    signin, grant = await granted(world)
    session = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(session, Session)
    assert (session.pass_id, session.grant.id, session.ticket.id) == (None, grant, "SUP-1423")
    record = world.last()
    assert (record["method"], record["decision"], record["grant"]) == ("browser", "permit", grant)
    assert "pass" not in record
    assert world.trail.of("pass.minted") == []
    assert world.access.check(session) is None
    assert [one.id for one in world.access.sessions(signin)] == [session.id]


async def test_it_ends_with_its_grant(world: World) -> None:
    signin, grant = await granted(world)
    session = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(session, Session)
    await world.access.revoke(signin, grant, "enough", PEER)
    refusal = world.access.check(session)
    assert refusal is not None
    assert refusal.code == "grant-revoked"
    again = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(again, Refusal)


Change = Callable[[World], object]


def ticket(**fields: object) -> Change:
    return lambda world: world.tickets.change("SUP-1423", **fields)


CHANGES: dict[str, tuple[Change, str]] = {
    "the ticket is closed": (ticket(status="closed"), "ticket-closed"),
    "the ticket is somebody else's": (ticket(assignee="amir"), "ticket-not-yours"),
    "the ticket is of another customer": (ticket(customers=("7",)), "access-ended"),
    "the ticket is of another system": (ticket(system="x"), "ticket-not-found"),
    "the ticket is gone": (lambda world: world.tickets.tickets.clear(), "ticket-not-found"),
    "the tickets cannot be asked": (lambda world: setattr(world.tickets, "down", True), "ticket-source-unavailable"),
    "the person left the team": (lambda world: world.directory.change("alice", teams=frozenset()), "not-in-team"),
    "the person is inactive": (lambda world: world.directory.change("alice", active=False), "person-inactive"),
    "nobody can be asked": (lambda world: setattr(world.directory, "down", True), "directory-unavailable"),
    "the target is gone": (lambda world: world.policies.clear(), "target-not-available"),
    "the grant ran out": (lambda world: world.time.advance(9 * 3600), "grant-expired"),
    "the factor is another": (
        lambda world: world.policies.update(
            payroll=replace(
                world.policies["payroll"], access=replace(world.policies["payroll"].access, second_factor="webauthn")
            )
        ),
        "second-factor-required",
    ),
}


@pytest.mark.parametrize(("change", "code"), CHANGES.values(), ids=CHANGES)
async def test_without_its_reasons_it_does_not_begin(world: World, change: Change, code: str) -> None:
    signin, grant = await granted(world)
    change(world)
    found = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(found, Refusal)
    assert found.code == code
    record = world.last()
    assert (record["decision"], record["code"], record["method"]) == ("deny", code, "browser")
    assert world.access.sessions(signin) == []


async def test_an_old_factor_is_not_enough(world: World) -> None:
    world.restart_settings(fresh=Fresh.model_validate({"open": "5m"}))
    signin, grant = await granted(world)
    world.time.advance(600)
    found = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(found, Refusal)
    assert found.code == "second-factor-required"


async def test_only_ones_own_grant_of_that_target_is_found(world: World) -> None:
    alice, mine = await granted(world)
    _, others = await granted(world, "amir", "SUP-1440")
    for grant, target in ((others, "payroll"), (mine, "guarded"), ("grant_x", "payroll"), ("", "payroll")):
        found = await world.access.admit_signed_in(alice, grant, target, PEER)
        assert isinstance(found, Refusal)
        assert found.code == "not-found"
        assert world.last()["login"] == "alice"
        assert "grant" not in world.last()


async def test_the_store_has_the_last_word(world: World) -> None:
    """Another gateway may have ended the grant a moment ago, and this one has not heard."""
    signin, grant = await granted(world)
    moved = world.database.run_now(rows.move_grant, grant, *ENDED)
    assert moved
    found = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(found, Refusal)
    assert found.code == "grant-revoked"


async def test_no_session_without_its_record(world: World) -> None:
    signin, grant = await granted(world)
    world.trail.mode = "broken"
    found = await world.access.admit_signed_in(signin, grant, "payroll", PEER)
    assert isinstance(found, Refusal)
    assert found.code == "audit-not-writable"
    world.trail.mode = "durable"
    assert world.access.sessions(signin) == []
