"""Access ends when its reason ends: on the next statement, and for idle sessions too."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import argon2
import pytest
from access_world import PEER, World, proves

from gateway.access.directory.file import FileDirectory
from gateway.access.service import SignIn
from gateway.access.tickets.file import FileTickets
from gateway.errors import Refusal
from gateway.model import Session
from gateway.ports import Heard


class Cuts(list[Refusal]):
    """What a session's engine was told."""


async def watched(world: World, login: str = "alice") -> tuple[Session, Cuts]:
    cuts = Cuts()
    session = await world.session(login)
    world.access.attach(session, cuts.append)
    await world.access.refresh()
    assert world.access.check(session) is None
    return session, cuts


async def settle(world: World) -> None:
    await world.access.refresh()
    await asyncio.sleep(0)


def _without_team(world: World) -> None:
    world.directory.change("alice", teams=frozenset({"engineering"}))


CHANGES: list[tuple[str, Callable[[World], Any], str]] = [
    ("ticket closed", lambda w: w.tickets.change("SUP-1423", status="closed"), "is `closed`"),
    ("ticket reassigned", lambda w: w.tickets.change("SUP-1423", assignee="amir"), "not assigned to you"),
    ("customer changed", lambda w: w.tickets.change("SUP-1423", customers=("43",)), "customer"),
    ("customer added", lambda w: w.tickets.change("SUP-1423", customers=("42", "43")), "customer"),
    ("ticket gone", lambda w: w.tickets.tickets.pop("SUP-1423"), "does not exist"),
    ("team removed", _without_team, "in no team"),
    ("person inactive", lambda w: w.directory.change("alice", active=False), "not active"),
    ("person gone", lambda w: w.directory.people.pop("alice"), "not active"),
    ("login renamed", lambda w: w.directory.change("alice", login="alicia"), "login"),
    ("target gone", lambda w: w.policies.pop("payroll"), "not available"),
]


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
async def test_a_session_is_cut_with_the_reason_that_ended(
    world: World, change: Callable[[World], Any], says: str
) -> None:
    session, cuts = await watched(world)
    change(world)
    await settle(world)
    refusal = world.access.check(session)
    assert refusal is not None
    assert (refusal.code, refusal.fatal) == ("access-ended", True)
    assert says in refusal.message
    assert cuts == [refusal]


async def test_a_tightened_policy_cuts_and_a_reload_without_a_change_of_rules_does_not(world: World) -> None:
    session, cuts = await watched(world)
    world.policies["payroll"] = replace(world.policies["payroll"], digest="digest-2")
    await settle(world)
    assert world.access.check(session) is None
    access = replace(world.policies["payroll"].access, teams=frozenset({"engineering"}))
    world.policies["payroll"] = replace(world.policies["payroll"], access=access)
    await settle(world)
    assert [cut.code for cut in cuts] == ["access-ended"]


async def test_other_peoples_sessions_go_on(world: World) -> None:
    _, cuts = await watched(world)
    cuts_of_amir = Cuts()
    amir = await world.session("amir", "SUP-1440")
    world.access.attach(amir, cuts_of_amir.append)
    world.tickets.change("SUP-1423", status="closed")
    await settle(world)
    assert len(cuts) == 1
    assert not cuts_of_amir
    assert world.access.check(amir) is None


async def test_an_idle_session_ends_when_its_grant_runs_out(world: World) -> None:
    session, cuts = await watched(world)
    world.time.now = session.grant.expires_at
    assert (refusal := world.access.check(session)) is not None
    assert refusal.code == "grant-expired"
    await settle(world)
    assert [cut.code for cut in cuts] == ["grant-expired"]
    assert await world.access.sweep() is None
    record = world.last("grant")
    assert (record["state"], record["grant"], record["by"]) == ("expired", session.grant.id, "gateway")


async def test_revoking_cuts_at_once_and_the_pass_admits_nobody(world: World) -> None:
    session, cuts = await watched(world)
    ada = await world.sign_in("ada")
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    outcome = await world.access.revoke(ada, session.grant.id, "suspicious", PEER)
    assert not isinstance(outcome, Refusal)
    assert outcome.state.value == "revoked"
    assert [cut.code for cut in cuts] == ["grant-revoked"]
    assert (refusal := world.access.check(session)) is not None
    assert refusal.code == "grant-revoked"
    late = await world.access.admit_pass(challenge, True, PEER)
    assert isinstance(late, Refusal)
    assert world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True).pass_id is None
    record = world.last("grant")
    assert (record["state"], record["by"], record["reason"]) == ("revoked", "p6", "suspicious")


async def test_a_revocation_that_cannot_be_recorded_takes_effect_nevertheless(world: World) -> None:
    session, cuts = await watched(world)
    ada = await world.sign_in("ada")
    world.trail.mode = "broken"
    outcome = await world.access.revoke(ada, session.grant.id, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "audit-not-writable"
    assert len(cuts) == 1
    assert world.access.check(session) is not None


async def test_a_grant_revoked_while_a_login_is_being_recorded_admits_nobody(world: World) -> None:
    session, _ = await watched(world)
    ada = await world.sign_in("ada")
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    count = len(world.trail.receipts)
    world.trail.mode = "hold"
    login = asyncio.create_task(world.access.admit_pass(challenge, True, PEER))
    receipt = await world.trail.appended(count)
    world.trail.mode = "durable"
    await world.access.revoke(ada, session.grant.id, "", PEER)
    receipt.settle(durable=True)
    outcome = await login
    assert isinstance(outcome, Refusal)
    assert outcome.code == "grant-revoked"
    assert world.last()["code"] == "grant-revoked"


@pytest.mark.parametrize("source", ["directory", "tickets"])
async def test_a_source_that_cannot_be_asked_cuts_after_the_grace_and_not_before(world: World, source: str) -> None:
    session, cuts = await watched(world)
    getattr(world, source).down = True
    world.time.advance(4.9)
    await settle(world)
    assert not cuts
    assert world.access.check(session) is None
    world.time.advance(0.2)
    await settle(world)
    code = "directory-unavailable" if source == "directory" else "ticket-source-unavailable"
    assert [(cut.code, cut.fatal) for cut in cuts] == [(code, True)]


async def test_a_source_that_comes_back_within_the_grace_cuts_nobody(world: World) -> None:
    session, cuts = await watched(world)
    for _ in range(3):
        world.tickets.down = True
        world.time.advance(4)
        await settle(world)
        world.tickets.down = False
        await settle(world)
    assert not cuts
    assert world.access.check(session) is None


@pytest.mark.parametrize("name", ["people", "tickets"])
async def test_a_file_that_is_broken_while_sessions_live_refuses_logins_at_once_and_cuts_after_the_grace(
    tmp_path: Path, name: str
) -> None:
    stored = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("alice-secret")
    (tmp_path / "people.yaml").write_text(f'people: [{{id: p1, login: alice, teams: [support], password: "{stored}"}}]')
    (tmp_path / "tickets.yaml").write_text("tickets: [{id: SUP-1423, status: open, assignee: alice, customer: 42}]")
    world = World(
        directory=FileDirectory(tmp_path / "people.yaml", recheck_s=0),
        tickets=FileTickets(tmp_path / "tickets.yaml", recheck_s=0),
    )
    try:
        session, cuts = await watched(world)
        (tmp_path / f"{name}.yaml").write_text(f"{name}: [")
        challenge = world.access.challenge("alice", "payroll", PEER, tls=True)
        refused = await world.access.admit_pass(challenge, True, PEER)
        assert isinstance(refused, Refusal)
        assert refused.code in ("directory-unavailable", "ticket-source-unavailable")
        world.time.advance(4.9)
        await settle(world)
        assert world.access.check(session) is None
        world.time.advance(0.2)
        await settle(world)
        assert [cut.code for cut in cuts] == [refused.code]
    finally:
        world.close()


async def test_statements_are_refused_when_the_watcher_stands_still(world: World) -> None:
    session, _ = await watched(world)
    world.time.advance(5.1)
    refusal = world.access.check(session)
    assert refusal is not None
    assert refusal.fatal


@pytest.mark.parametrize("source", ["directory", "tickets"])
async def test_in_an_outage_a_session_outlives_a_sign_in_by_the_grace(world: World, source: str) -> None:
    world.settings = replace(world.settings, grace_s=60.0)
    world.access.close()
    world.access = world.make()
    session, cuts = await watched(world)
    ada = await world.sign_in("ada")
    await settle(world)
    getattr(world, source).down = True
    for _ in range(14):
        world.time.advance(4)
        await settle(world)
        assert world.access.check(session) is None
    found = world.access.authenticate(ada.token)
    assert isinstance(found, Refusal) == (source == "directory")
    getattr(world, source).down = False
    await settle(world)
    getattr(world, source).down = True
    for _ in range(15):
        world.time.advance(4)
        await settle(world)
    assert not cuts
    world.time.advance(1)
    await settle(world)
    assert [cut.code for cut in cuts] == [f"{'directory' if source == 'directory' else 'ticket-source'}-unavailable"]


async def test_an_answer_about_somebody_else_is_none(world: World) -> None:
    _, cuts = await watched(world)
    wrong = world.directory.people["amir"]
    world.directory.recent = lambda people: dict.fromkeys(people, Heard(wrong, math.inf))  # type: ignore[method-assign]
    await settle(world)
    assert [cut.code for cut in cuts] == ["access-ended"]


async def test_what_was_heard_of_somebody_is_as_old_as_the_directory_says(world: World) -> None:
    session, cuts = await watched(world)
    alice, at = world.directory.people["alice"], world.access._context.monotonic()
    down = Refusal("directory-unavailable", "the directory cannot be asked")
    world.directory.recent = lambda people: dict.fromkeys(people, Heard(alice, at, down))  # type: ignore[method-assign]
    world.time.advance(4.9)
    await settle(world)
    assert world.access.check(session) is None
    world.time.advance(0.2)
    await settle(world)
    assert [cut.code for cut in cuts] == ["directory-unavailable"]


async def test_a_session_that_nobody_admitted_may_not_run_anything(world: World) -> None:
    session = await world.session()
    stranger = replace(session, id="session_made_up")
    assert (refusal := world.access.check(stranger)) is not None
    assert refusal.fatal
    cuts = Cuts()
    world.access.attach(stranger, cuts.append)
    await asyncio.sleep(0)
    assert len(cuts) == 1


async def test_a_detached_session_is_neither_listed_nor_cut_nor_good(world: World) -> None:
    cuts = Cuts()
    session = await world.session()
    detach = world.access.attach(session, cuts.append)
    ada = await world.sign_in("ada")
    assert [one.id for one in world.access.sessions(ada)] == [session.id]
    detach()
    detach()
    world.tickets.change("SUP-1423", status="closed")
    await settle(world)
    assert not cuts
    assert world.access.sessions(ada) == []
    assert world.access.check(session) is not None


async def test_a_session_that_is_never_attached_is_forgotten(world: World) -> None:
    session = await world.session()
    world.time.advance(61)
    await settle(world)
    refusal = world.access.check(session)
    assert refusal is not None
    assert world.access.sessions(await world.sign_in("ada")) == []


async def test_one_engines_trouble_in_cutting_does_not_keep_others_alive(world: World) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def fails(_: Refusal) -> None:
        raise RuntimeError("broken engine")

    first = await world.session()
    world.access.attach(first, fails)
    second, cuts = await watched(world)
    world.tickets.change("SUP-1423", status="closed")
    await settle(world)
    assert len(cuts) == 1
    assert len(complaints) == 1
    assert world.access.check(first) is not None
    assert world.access.check(second) is not None


async def test_people_see_their_own_sessions_and_approvers_see_all(world: World) -> None:
    await watched(world)
    await watched_amir(world)
    seen = {
        login: {one.login for one in world.access.sessions(await world.sign_in(login))}
        for login in ("alice", "amir", "bob", "ada", "dan")
    }
    both = {"alice", "amir"}
    assert seen == {"alice": {"alice"}, "amir": {"amir"}, "bob": both, "ada": both, "dan": set()}


async def watched_amir(world: World) -> None:
    session = await world.session("amir", "SUP-1440")
    world.access.attach(session, Cuts().append)


async def test_a_factor_reset_ends_everything_of_that_person(world: World) -> None:
    session, cuts = await watched(world)
    signin = await world.sign_in("alice")
    ada = await world.sign_in("ada")
    await world.access.refresh()
    assert not isinstance(world.access.authenticate(signin.token), Refusal)
    outcome = await world.access.reset_factor(ada, "alice", PEER)
    assert not isinstance(outcome, Refusal)
    assert len(cuts) == 1
    assert isinstance(world.access.authenticate(signin.token), Refusal)
    assert world.access.check(session) is not None
    assert world.last("factor.reset")["by"] == "p6"
    again = await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER)
    assert isinstance(again, Refusal)
    assert world.last()["reason"] == "no second factor is enrolled"


async def test_a_factor_reset_that_cannot_be_recorded_takes_effect_nevertheless(world: World) -> None:
    session, cuts = await watched(world)
    other, other_cuts = await world.session("alice", "SUP-1424"), Cuts()
    world.access.attach(other, other_cuts.append)
    signin = await world.sign_in("alice")
    world.trail.mode = "broken"
    outcome = await world.access.reset_factor(None, "alice", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "audit-not-writable"
    assert (len(cuts), len(other_cuts)) == (1, 1)
    assert world.access.check(session) is not None
    assert world.access.check(other) is not None
    await world.access.refresh()
    assert isinstance(world.access.authenticate(signin.token), Refusal)


async def test_the_watcher_runs_by_itself(world: World) -> None:
    world.restart_settings(watch_interval_s=0.01)
    session, cuts = await watched(world)
    task = asyncio.create_task(world.access.run_watcher())
    world.tickets.change("SUP-1423", status="closed")
    for _ in range(200):
        await asyncio.sleep(0.01)
        if cuts:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [cut.code for cut in cuts] == ["access-ended"]
    assert world.access.check(session) is not None


async def test_grants_passes_and_sign_ins_survive_a_restart_and_what_was_revoked_stays_revoked(stored: World) -> None:
    ada = await stored.sign_in("ada")
    kept = await stored.access.open(await stored.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    gone = await stored.access.open(await stored.sign_in("alice"), target="payroll", ticket="SUP-1424", peer=PEER)
    assert not isinstance(kept, Refusal)
    assert not isinstance(gone, Refusal)
    await stored.access.revoke(ada, gone.grant.id, "", PEER)
    stored.restart()
    challenge = stored.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert isinstance(await stored.access.admit_pass(challenge, proves(challenge, kept.secret), PEER), Session)
    assert stored.access.challenge("alice+SUP-1424", "payroll", PEER, tls=True).pass_id is None
    assert isinstance(stored.access.authenticate(ada.token), Refusal)
    await stored.access.refresh()
    found = stored.access.authenticate(ada.token)
    assert isinstance(found, SignIn)
    assert (found.id, found.principal.login, found.token) == (ada.id, "ada", "")


async def test_a_superseded_pass_stays_superseded_after_a_restart_while_its_session_lives(stored: World) -> None:
    signin = await stored.sign_in("alice")
    older = await stored.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    newer = await stored.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(older, Refusal)
    assert not isinstance(newer, Refusal)
    stored.restart()
    challenge = stored.access.challenge("alice", "payroll", PEER, tls=True)
    assert proves(challenge, newer.secret)
    assert not proves(challenge, older.secret)
