"""People of an identity provider: who they are, how long they count, and when they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_world import PEER, TICKETS, MemoryTickets, proves
from provider_world import ISSUER, ProviderWorld, outage

from gateway.access.directory.oidc.claims import person_of
from gateway.access.directory.oidc.people import OidcPeople
from gateway.access.values import Opened
from gateway.errors import GatewayError, Refusal
from gateway.model import Session
from gateway.store import provider as rows

ALICE = person_of(ISSUER, "s-1")


@pytest.fixture
def world() -> Iterator[ProviderWorld]:
    made = ProviderWorld()
    made.provider.person("s-1", "alice")
    made.provider.person("s-2", "bob", ["security"])
    yield made
    made.close()


def told(world: ProviderWorld) -> list[tuple[str, str]]:
    return [(record["state"], record["login"]) for record in world.trail.of("directory.person")]


async def pass_time(world: ProviderWorld, seconds: float) -> None:
    """Time passes, and whoever is due is asked about."""
    world.time.advance(seconds)
    await world.people.refresh_due()


async def live(world: ProviderWorld) -> tuple[Session, list[Refusal]]:
    """A session of Alice's, and what cut it."""
    signin = await world.sign_in_provider("s-1", "alice")
    opened = await world.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened), opened
    challenge = world.access.challenge(opened.user, "payroll", PEER, tls=True)
    session = await world.access.admit_pass(challenge, proves(challenge, opened.secret), PEER)
    assert isinstance(session, Session), session
    cuts: list[Refusal] = []
    world.access.attach(session, cuts.append)
    await world.access.refresh()
    await asyncio.sleep(0)
    assert not cuts
    return session, cuts


async def watched(world: ProviderWorld) -> None:
    await world.access.refresh()
    await asyncio.sleep(0)


async def test_nobody_is_known_before_a_login_and_everybody_by_id_and_login_after(world: ProviderWorld) -> None:
    assert world.people.find("alice") is None
    assert world.people.by_id(ALICE) is None
    person = await world.know("s-1")
    assert person.id == ALICE
    assert world.people.by_id(ALICE) is world.people.find("ALICE") is person
    assert told(world) == [("new", "alice")]


async def test_a_login_counts_for_as_long_as_the_settings_say(world: ProviderWorld) -> None:
    world.provider.refreshes = False
    await world.know("s-1")
    world.time.advance(world.oidc.valid_for - 1)
    assert world.people.find("alice").active  # type: ignore[union-attr]
    world.time.advance(2)
    assert not world.people.find("alice").active  # type: ignore[union-attr]


async def test_a_clock_that_goes_back_prolongs_nothing(world: ProviderWorld) -> None:
    world.provider.refreshes = False
    await world.know("s-1")
    world.time.advance(world.oidc.valid_for + 1)
    before = world.time.mono
    world.time.advance(-4 * 3600)
    world.time.mono = before
    assert not world.people.find("alice").active  # type: ignore[union-attr]


async def test_a_clock_that_goes_back_makes_the_provider_s_word_no_younger(world: ProviderWorld) -> None:
    await world.know("s-1")
    world.time.now -= timedelta(hours=1)
    assert outage(world.people, ALICE)
    await pass_time(world, 1)
    assert world.people.by_id(ALICE).active  # type: ignore[union-attr]


async def test_what_was_learnt_survives_a_restart_with_its_term(tmp_path: Path) -> None:
    world = ProviderWorld(tmp_path / "access.sqlite")
    try:
        world.provider.person("s-1", "alice")
        await world.know("s-1")
        world.people.close()
        world.restart()
        assert world.people.find("alice").active  # type: ignore[union-attr]
        await pass_time(world, 300)
        assert world.provider.asked.count("refreshed") == 1
        world.time.advance(world.oidc.valid_for)
        assert not world.people.find("alice").active  # type: ignore[union-attr]
    finally:
        world.close()


async def test_refresh_tokens_lie_sealed_and_go_when_nobody_needs_them(world: ProviderWorld) -> None:
    await world.know("s-1")
    (row,) = world.database.run_now(rows.load, ISSUER)
    assert row.sealed is not None
    assert b"refresh" not in row.sealed
    await pass_time(world, world.oidc.valid_for + 1)
    (row,) = world.database.run_now(rows.load, ISSUER)
    assert row.sealed is None
    assert world.provider.asked.count("refreshed") == 0


async def test_a_person_who_was_removed_at_the_provider_loses_his_session(world: ProviderWorld) -> None:
    session, cuts = await live(world)
    await pass_time(world, 300)
    await watched(world)
    assert not cuts
    del world.provider.people["s-1"]
    await pass_time(world, 300)
    await watched(world)
    assert [cut.code for cut in cuts] == ["access-ended"]
    assert world.access.check(session) is not None
    assert told(world)[-1] == ("gone", "alice")
    assert not world.people.by_id(ALICE).active  # type: ignore[union-attr]
    # whoever comes back at the provider comes back here
    world.provider.person("s-1", "alice")
    await world.know("s-1")
    assert world.people.by_id(ALICE).active  # type: ignore[union-attr]
    assert told(world)[-1] == ("back", "alice")


async def test_who_left_the_team_at_the_provider_loses_his_session(world: ProviderWorld) -> None:
    _, cuts = await live(world)
    world.provider.person("s-1", "alice", ["sales"])
    await pass_time(world, 300)
    await watched(world)
    assert [cut.code for cut in cuts] == ["access-ended"]
    assert told(world)[-1] == ("teams", "alice")


@pytest.mark.parametrize("groups", ["support", None, {"_": 1}, ["x"] * 3000])
async def test_groups_that_are_none_any_more_end_access(world: ProviderWorld, groups: object) -> None:
    _, cuts = await live(world)
    world.provider.people["s-1"]["groups"] = groups
    await pass_time(world, 300)
    await watched(world)
    assert [cut.code for cut in cuts] == ["access-ended"]
    assert "groups" in world.last("directory.person")["reason"]


async def test_a_provider_that_is_out_is_borne_for_the_grace_and_no_longer(world: ProviderWorld) -> None:
    world.patient()
    session, cuts = await live(world)
    world.provider.down = True
    for _ in range(6):
        await pass_time(world, 50)
        await watched(world)
    assert world.reports == ["down"]
    assert not outage(world.people, ALICE)
    await pass_time(world, 60)
    await watched(world)
    # nobody new, and who is inside stays
    assert outage(world.people, ALICE)
    assert world.people.outage is not None
    assert not cuts
    await pass_time(world, 100)
    await watched(world)
    assert [cut.code for cut in cuts] == ["directory-unavailable"]
    assert world.access.check(session) is not None
    # it is there again: new sessions are possible without a new login
    world.provider.down = False
    await pass_time(world, 50)
    assert not outage(world.people, ALICE)
    assert [(one["state"], one.get("duration_s")) for one in world.trail.of("directory.source")] == [
        ("down", None), ("up", world.trail.of("directory.source")[1]["duration_s"]),
    ]  # fmt: skip


async def test_a_rotated_token_is_stored_before_it_is_used(world: ProviderWorld) -> None:
    await world.know("s-1")
    (before,) = world.database.run_now(rows.load, ISSUER)
    claims = world.provider.claims

    def down(*_: object, **__: object) -> dict[str, object]:
        world.provider.down = True
        return claims(*_, **__)  # type: ignore[arg-type]

    world.provider.claims = down  # type: ignore[method-assign]
    await pass_time(world, 300)
    (after,) = world.database.run_now(rows.load, ISSUER)
    assert after.sealed not in (None, before.sealed)
    world.provider.down, world.provider.claims = False, claims  # type: ignore[method-assign]
    await pass_time(world, 20)
    assert world.people.by_id(ALICE).active  # type: ignore[union-attr]
    assert ("gone", "alice") not in told(world)


async def test_a_login_is_never_somebody_else_s(world: ProviderWorld) -> None:
    """Who renames himself as the approver at the provider becomes nobody."""
    await world.know("s-2")
    world.provider.person("s-1", "BOB", ["support"])
    token, done = await world.browser("s-1")
    assert isinstance(done, Refusal)
    assert "belongs to somebody else" in done.message
    assert world.last()["reason"] == "the login `bob` belongs to somebody else here"
    assert world.people.find("bob").teams == {"security"}  # type: ignore[union-attr]
    assert world.people.by_id(ALICE) is None
    assert isinstance(await world.logins.look(token), Refusal)


async def test_a_login_that_somebody_gave_up_stays_his(world: ProviderWorld) -> None:
    await world.know("s-2")
    world.provider.person("s-2", "robert", ["security"])
    person = await world.know("s-2")
    assert (person.id, person.login) == (person_of(ISSUER, "s-2"), "robert")
    assert world.last("directory.person")["previous"] == "bob"
    assert world.people.find("bob") is None
    world.provider.person("s-1", "bob")
    assert isinstance((await world.browser("s-1"))[1], Refusal)
    # but he may have it back
    world.provider.person("s-2", "bob", ["security"])
    assert (await world.know("s-2")).login == "bob"


async def test_a_login_that_nobody_comes_in_with_is_released_by_an_administrator(world: ProviderWorld) -> None:
    world.provider.person("s-9", "ada", ["platform"])
    admin = await world.sign_in_provider("s-9", "ada")
    await world.know("s-2")
    answers = [await world.logins.release(admin, login, PEER) for login in ("bob", "ada", "nobody", "a b")]
    assert [one.message for one in answers if isinstance(one, Refusal)] == [
        "`bob` is in use", "nobody releases a login of his own", "nobody has had the login `nobody`",
        "nobody has had the login `a b`",
    ]  # fmt: skip
    del world.provider.people["s-2"]
    await pass_time(world, 300)
    assert await world.logins.release(admin, "BOB", PEER) == "bob"
    assert (world.last("directory.person")["state"], world.last("directory.person")["by"]) == (
        "released", person_of(ISSUER, "s-9"),
    )  # fmt: skip
    assert world.people.find("bob") is None
    world.provider.person("s-1", "bob")
    assert (await world.know("s-1")).id == ALICE
    # who had it is still himself, and cannot have it back
    world.provider.person("s-2", "bob", ["security"])
    assert isinstance((await world.browser("s-2"))[1], Refusal)


async def test_a_login_is_released_by_an_administrator_alone(world: ProviderWorld) -> None:
    signin = await world.sign_in_provider("s-1", "alice")
    await world.know("s-2")
    del world.provider.people["s-2"]
    await pass_time(world, 300)
    refusal = await world.logins.release(signin, "bob", PEER)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "not-in-team"
    assert await world.logins.release(None, "bob", PEER) == "bob"
    assert world.last("directory.person")["by"] == "local"


async def test_logins_of_another_provider_are_not_those_of_this_one(tmp_path: Path) -> None:
    """A company that moves to another provider has other people, until somebody says that they are the same."""
    world = ProviderWorld(tmp_path / "access.sqlite")
    try:
        world.provider.person("s-1", "alice")
        await world.know("s-1")
        world.people.close()
        world.oidc = world.oidc.model_copy(update={"issuer": "https://new.example"})
        world.restart()
        assert world.people.find("alice") is None
        world.provider.names_issuer = False
        begun = await world.logins.begin("browser", PEER)
        url, cookie = await world.logins.go(begun.uri.rpartition("/")[2], "")  # type: ignore[misc, union-attr]
        query = world.provider.agree(url.rpartition("=")[2], "s-1")
        query.pop("iss")
        form = await world.logins.callback(query, cookie, PEER)
        assert isinstance(form, str), form
        assert isinstance(await world.logins.confirm(form, cookie, begun.code), Refusal)  # type: ignore[union-attr]
        assert await world.logins.release(None, "alice", PEER) == "alice"
    finally:
        world.close()


async def test_who_takes_a_colleague_s_login_while_signed_in_is_cut(world: ProviderWorld) -> None:
    _, cuts = await live(world)
    await world.know("s-2")
    world.provider.person("s-1", "bob", ["support"])
    await pass_time(world, 300)
    await watched(world)
    assert [cut.code for cut in cuts] == ["access-ended"]
    assert world.people.find("bob").id == person_of(ISSUER, "s-2")  # type: ignore[union-attr]


async def test_a_renamed_person_is_the_same_and_cannot_approve_himself(world: ProviderWorld) -> None:
    world.provider.person("s-1", "alice", ["support", "security"])
    signin = await world.sign_in_provider("s-1", "alice")
    asked = await world.access.open(
        signin, target="payroll", ticket="SUP-1423", reveal=frozenset({("public.employees", "email")}), peer=PEER
    )
    assert isinstance(asked, Refusal)
    assert asked.code == "approval-required"
    world.provider.person("s-1", "alicia", ["support", "security"])
    world.secrets["alicia"] = world.secrets["alice"]
    again = await world.sign_in_provider("s-1", "alicia")
    done = await world.access.approve(again, asked.name, "", PEER)
    assert isinstance(done, Refusal)
    assert done.message == "nobody decides about a request of their own"


async def test_two_accounts_with_one_verified_address_are_one_person(world: ProviderWorld) -> None:
    address = {"email": "a@example.test", "email_verified": True}
    world.provider.person("s-1", "alice", ["support"], **address)
    world.provider.person("s-3", "alice-admin", ["security"], **address)
    signin = await world.sign_in_provider("s-1", "alice")
    other = await world.sign_in_provider("s-3", "alice-admin")
    asked = await world.access.open(
        signin, target="payroll", ticket="SUP-1423", reveal=frozenset({("public.employees", "email")}), peer=PEER
    )
    assert isinstance(asked, Refusal)
    done = await world.access.approve(other, asked.name, "", PEER)
    assert isinstance(done, Refusal)
    assert done.message == "nobody decides about a request of his own, or twice"


async def test_a_ticket_known_by_address_is_nobody_s_whose_address_was_not_verified(world: ProviderWorld) -> None:
    tickets = MemoryTickets([replace(TICKETS[0], assignee="", assignee_email="bob@example.com")])
    world.tickets.tickets = tickets.tickets
    world.provider.person("s-1", "alice", email="bob@example.com", email_verified=False)
    signin = await world.sign_in_provider("s-1", "alice")
    refusal = await world.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "ticket-not-yours"


async def test_a_login_and_a_refresh_at_once_leave_the_login_s_token(world: ProviderWorld) -> None:
    await world.know("s-1")
    world.time.advance(300)
    await asyncio.gather(world.people.refresh_due(), world.know("s-1"))
    (row,) = world.database.run_now(rows.load, ISSUER)
    assert row.login_at == world.time.now
    world.time.advance(300)
    await world.people.refresh_due()
    assert world.people.by_id(ALICE).active  # type: ignore[union-attr]


@pytest.fixture
def other(world: ProviderWorld) -> Iterator[OidcPeople]:
    """Another gateway on the same store."""
    made = world.gateway()
    yield made
    made.close()


async def test_another_gateway_knows_who_signed_in_here_at_once(world: ProviderWorld, other: OidcPeople) -> None:
    assert other.find("alice") is None
    person = await world.know("s-1")
    assert other.find("alice") == other.by_id(ALICE) == person
    assert other.recent([ALICE]) == {}
    world.time.advance(2)
    await other.refresh_due()
    assert other.recent([ALICE])[ALICE].person == person  # type: ignore[union-attr]


async def test_two_gateways_use_a_refresh_token_once(world: ProviderWorld, other: OidcPeople) -> None:
    await world.know("s-1")
    for _ in range(4):
        world.time.advance(300)
        await asyncio.gather(world.people.refresh_due(), other.refresh_due())
        world.time.advance(3)
        await asyncio.gather(world.people.refresh_due(), other.refresh_due())
    assert world.provider.asked.count("refreshed") == 4
    assert ("gone", "alice") not in told(world)
    assert [one.by_id(ALICE).active for one in (world.people, other)] == [True, True]  # type: ignore[union-attr]


async def test_who_is_gone_at_one_gateway_is_gone_at_the_others(world: ProviderWorld, other: OidcPeople) -> None:
    await world.know("s-1")
    world.time.advance(3)
    await other.refresh_due()
    assert other.by_id(ALICE).active  # type: ignore[union-attr]
    del world.provider.people["s-1"]
    await pass_time(world, 300)
    world.time.advance(3)
    await other.refresh_due()
    assert not other.by_id(ALICE).active  # type: ignore[union-attr]
    assert not other.recent([ALICE])[ALICE].person.active  # type: ignore[union-attr]
    # and comes back at both
    world.provider.person("s-1", "alice", ["support", "sales"])
    await world.know("s-1")
    world.time.advance(3)
    await other.refresh_due()
    assert other.by_id(ALICE).teams == {"support", "sales"}  # type: ignore[union-attr]


async def test_a_turn_that_nobody_ended_runs_out(world: ProviderWorld, other: OidcPeople) -> None:
    """A gateway that died in the middle of a refresh keeps nobody from being asked about for long."""
    await world.know("s-1")
    now = world.time.now
    assert world.database.run_now(rows.take_turn, ALICE, now, now + timedelta(seconds=330)) is not None
    await pass_time(world, 300)
    assert "refreshed" not in world.provider.asked
    await pass_time(world, 31)
    assert world.provider.asked.count("refreshed") == 1
    assert world.people.by_id(ALICE).active  # type: ignore[union-attr]


async def test_who_is_gone_stays_gone_though_it_cannot_be_stored(world: ProviderWorld) -> None:
    await world.know("s-1")
    del world.provider.people["s-1"]
    run = world.database.run

    async def broken(function: Any, *arguments: Any, **named: Any) -> Any:
        if function is rows.put:
            raise GatewayError("store-unavailable", "down")
        return await run(function, *arguments, **named)

    world.database.run = broken  # type: ignore[method-assign, assignment]
    await pass_time(world, 300)
    world.database.run = run  # type: ignore[method-assign]
    assert not world.people.by_id(ALICE).active  # type: ignore[union-attr]
    world.time.advance(3)
    await world.people.refresh_due()
    assert not world.people.by_id(ALICE).active  # type: ignore[union-attr]
    assert not world.people.recent([ALICE])[ALICE].person.active  # type: ignore[union-attr]
