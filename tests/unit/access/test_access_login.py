"""Who gets in, who does not, and what the record and the wire say about it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from access_world import PEER, World, proves

from gateway.access.service import SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Session
from gateway.wire.auth import ScramVerifier

GENERIC = ("authentication-failed", "the person, the secret or the second factor was not accepted")


def wire(refusal: object) -> tuple[str, str]:
    assert isinstance(refusal, Refusal), refusal
    assert refusal.fatal
    return refusal.code, refusal.message


async def test_a_pass_admits_and_the_login_is_recorded_with_all_its_reasons(world: World) -> None:
    session = await world.session()
    assert session.principal.login == "alice"
    assert session.grant.customers == ("42",)
    assert world.access.check(session) is None
    record = world.last()
    expected = {
        "method": "pass", "decision": "permit", "person": "p1", "login": "alice", "target": "payroll",
        "ticket": "SUP-1423", "customers": ["42"],
        "grant": session.grant.id, "request": session.grant.request_id, "pass": session.pass_id,
        "session": session.id, "factor": "totp", "ticket_state": "open", "policy": "digest-1", "tls": "TLSv1.3",
    }  # fmt: skip
    assert {name: record.get(name) for name in expected} == expected


async def test_the_opening_of_a_ticket_leaves_a_request_a_grant_and_a_pass_in_the_trail(world: World) -> None:
    await world.session()
    kinds = [record["kind"] for record in world.trail.records]
    assert kinds[-5:] == ["login", "request", "grant", "pass.minted", "login"]
    assert world.last("request")["state"] == "approved"
    assert world.last("grant")["by"] == "policy"


async def test_password_and_code_admit_directly_and_reuse_the_grant(world: World) -> None:
    await world.enrol("alice")
    first = await world.direct("alice+SUP-1423", "alice-secret" + world.code("alice"))
    world.time.advance(30)
    second = await world.direct("Alice+SUP-1423", "alice-secret" + world.code("alice"))
    assert isinstance(first, Session)
    assert isinstance(second, Session)
    assert first.grant == second.grant
    assert first.pass_id is None
    assert world.last()["method"] == "direct"
    assert len(world.trail.of("grant")) == 1


@pytest.mark.parametrize(
    ("user", "password", "shift", "reason"),
    [
        ("alice+SUP-1423", "wrong", 0, "wrong password"),
        ("alice+SUP-1423", "alice-secret", 10, "wrong code"),
        ("alice+SUP-1423", "alice-secret", None, "wrong code"),
        ("nobody+SUP-1423", "alice-secret", 0, "unknown person"),
        ("bob+SUP-1423", "bob-secret", 0, "no second factor is enrolled"),
        ("off+SUP-1423", "off-secret", 0, "person is not active"),
        ("not a login+SUP-1423", "x", 0, "unknown person"),
        ("alice+not a ticket", "alice-secret", 0, "malformed user name"),
        ("alice+", "alice-secret", 0, "malformed user name"),
    ],
)
async def test_every_failure_looks_alike_outside_and_has_its_true_reason_inside(
    world: World, user: str, password: str, shift: int | None, reason: str
) -> None:
    world.directory.people["off"] = replace(world.directory.people["amir"], id="p9", login="off", active=False)
    await world.enrol("alice")
    code = "abcdef" if shift is None else world.code("alice", steps=shift)
    refusal = await world.direct(user, password + code)
    assert wire(refusal) == GENERIC
    record = world.last()
    assert (record["decision"], record["code"], record["reason"]) == ("deny", "authentication-failed", reason)
    assert "session" not in record


async def test_a_name_that_is_no_login_is_not_recorded_because_it_may_be_a_secret(world: World) -> None:
    peer = replace(PEER, user="hunter2 is my password+SUP-1423")
    challenge = world.access.challenge(peer.user, "payroll", peer, tls=True)
    assert wire(await world.access.admit_direct(challenge, "x123456", peer)) == GENERIC
    assert "hunter2" not in str(world.trail.records)


async def test_a_used_code_is_refused_and_so_is_any_older_one(world: World) -> None:
    await world.enrol("alice")
    code, older = world.code("alice"), world.code("alice", steps=-1)
    assert isinstance(await world.direct("alice+SUP-1423", "alice-secret" + code), Session)
    for used in (code, older):
        assert wire(await world.direct("alice+SUP-1423", "alice-secret" + used)) == GENERIC
        assert world.last()["reason"] == "replayed code"


async def test_a_code_used_at_sign_in_is_used_for_direct_logins_too_and_after_a_restart(stored: World) -> None:
    await stored.enrol("alice")
    code = stored.code("alice")
    assert isinstance(await stored.access.sign_in("alice", "alice-secret", code, PEER), SignIn)
    stored.restart()
    assert wire(await stored.direct("alice+SUP-1423", "alice-secret" + code)) == GENERIC
    assert stored.last()["reason"] == "replayed code"


async def test_a_wrong_password_does_not_burn_the_code(world: World) -> None:
    await world.enrol("alice")
    code = world.code("alice")
    await world.direct("alice+SUP-1423", "wrong" + code)
    assert isinstance(await world.direct("alice+SUP-1423", "alice-secret" + code), Session)


@pytest.mark.parametrize(("steps", "admitted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_codes_drift_by_one_step(world: World, steps: int, admitted: bool) -> None:
    await world.enrol("alice")
    world.time.advance(300)
    outcome = await world.direct("alice+SUP-1423", "alice-secret" + world.code("alice", steps=steps))
    assert isinstance(outcome, Session) is admitted


async def test_of_two_logins_with_one_code_at_the_same_moment_one_wins(world: World) -> None:
    await world.enrol("alice")
    secret = "alice-secret" + world.code("alice")
    outcomes = await asyncio.gather(*(world.direct("alice+SUP-1423", secret) for _ in range(4)))
    assert [isinstance(one, Session) for one in outcomes].count(True) == 1
    assert [record.get("reason") for record in world.trail.of("login")].count("replayed code") == 3


@pytest.mark.parametrize(
    ("login", "ticket", "code"),
    [
        ("dan", "SUP-1460", "not-in-team"),
        ("dan", "SUP-9999", "not-in-team"),
        ("alice", "SUP-1430", "ticket-closed"),
        ("alice", "SUP-1440", "ticket-not-yours"),
        ("alice", "SUP-9999", "ticket-not-found"),
        ("alice", "OPS-1", "ticket-project-not-allowed"),
        ("alice", "SUP-1450", "ticket-without-customer"),
    ],
)
async def test_team_and_ticket_are_told_to_the_proven_person_only(
    world: World, login: str, ticket: str, code: str
) -> None:
    await world.enrol(login)
    unproven = await world.direct(f"{login}+{ticket}", f"{login}-wrong{world.code(login)}")
    assert wire(unproven) == GENERIC
    proven = await world.direct(f"{login}+{ticket}", f"{login}-secret{world.code(login)}")
    assert wire(proven)[0] == code
    record = world.last()
    assert (record["code"], record["ticket"], record["person"]) == (code, ticket, world.directory.people[login].id)
    assert not world.trail.of("grant")


async def test_the_ticket_is_asked_for_again_when_a_pass_is_used(world: World) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal)
    challenge = world.access.challenge("alice", "payroll", PEER, tls=True)
    world.tickets.change("SUP-1423", status="closed")
    assert wire(await world.access.admit_pass(challenge, True, PEER))[0] == "ticket-closed"
    world.tickets.change("SUP-1423", status="open", customers=("43",))
    assert wire(await world.access.admit_pass(challenge, True, PEER))[0] == "access-ended"
    assert world.last()["code"] == "access-ended"


async def test_without_a_proof_no_pass_admits_and_the_record_says_why(world: World) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal)
    for user, reason in (("alice", "wrong pass"), ("amir", "no live pass"), ("nobody", "unknown person")):
        challenge = world.access.challenge(user, "payroll", PEER, tls=True)
        assert challenge.method == "scram"
        assert wire(await world.access.admit_pass(challenge, False, PEER)) == GENERIC
        assert world.last()["reason"] == reason


async def test_a_mock_challenge_is_refused_even_when_the_engine_says_proven(world: World) -> None:
    challenge = world.access.challenge("nobody", "payroll", PEER, tls=True)
    assert challenge.pass_id is None
    assert wire(await world.access.admit_pass(challenge, True, PEER)) == GENERIC


async def test_challenges_do_not_tell_people_apart(world: World) -> None:
    def shape(user: str, target: str, *, tls: bool) -> tuple[str, bool, int]:
        one, two = (world.access.challenge(user, target, PEER, tls=tls) for _ in range(2))
        assert one == two
        return one.method, one.pass_id is None, len(one.verifier)

    for target in ("payroll", "guarded", "unknown"):
        for tls in (True, False):
            for suffix in ("", "+SUP-1423"):
                known = shape("alice" + suffix, target, tls=tls)
                assert known == shape("nobody" + suffix, target, tls=tls)
                assert (known[0] == "cleartext") is (target == "payroll" and tls and suffix != "")


async def test_a_salt_tells_nothing_about_passes_and_nothing_about_people(world: World) -> None:
    def salts(login: str) -> set[bytes]:
        users = (login, login.upper(), f"{login}+SUP-1423", f"{login}+SUP-9999")
        return {
            ScramVerifier.parse(world.access.challenge(user, "payroll", PEER, tls=False).verifier).salt
            for user in users
        }

    before = salts("alice")
    assert len(before) == len(salts("nobody")) == 1
    for _ in range(2):
        opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
        assert not isinstance(opened, Refusal)
        assert salts("alice") == before
    assert salts("nobody").isdisjoint(before)


async def test_a_login_without_a_ticket_takes_the_newest_pass(world: World) -> None:
    signin = await world.sign_in("alice")
    older = await world.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    world.time.advance(1)
    newer = await world.access.open(signin, target="payroll", ticket="SUP-1424", peer=PEER)
    assert not isinstance(older, Refusal)
    assert not isinstance(newer, Refusal)
    challenge = world.access.challenge("alice", "payroll", PEER, tls=True)
    assert proves(challenge, newer.secret)
    assert not proves(challenge, older.secret)
    assert proves(world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True), older.secret)


async def test_minting_again_replaces_the_pass_for_new_logins(world: World) -> None:
    session = await world.session()
    again = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(again, Refusal)
    assert again.grant.id == session.grant.id
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert challenge.pass_id != session.pass_id
    await world.access.refresh()
    assert world.access.check(session) is None


async def test_a_pass_is_long_random_and_stored_as_a_verifier_only(stored: World) -> None:
    signin = await stored.sign_in("alice")
    opened = await stored.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal)
    assert len(opened.secret) == 4 + 32
    assert opened.secret.replace("_", "").isalnum()
    assert opened.secret not in repr(opened)
    stored.restart()
    files = b"".join(path.read_bytes() for path in stored.path.parent.iterdir())
    for secret in (opened.secret, signin.token, stored.secrets["alice"], stored.recovery["alice"][0], "alice-secret"):
        assert secret.encode() not in files
        assert secret not in str(stored.trail.records)


async def test_nobody_is_admitted_while_his_record_is_not_durable(world: World) -> None:
    await world.enrol("alice")
    world.trail.mode = "hold"
    for right in (True, False):
        count = len(world.trail.receipts)
        secret = ("alice-secret" if right else "wrong") + world.code("alice")
        login = asyncio.create_task(world.direct("alice+SUP-1423", secret))
        while not login.done():
            await asyncio.sleep(0.02)
            if len(world.trail.receipts) > count and world.trail.records[-1]["kind"] == "login":
                break
            for receipt in world.trail.receipts[count:]:
                receipt.settle(durable=True)
        assert not login.done()
        world.trail.receipts[-1].settle(durable=True)
        assert isinstance(await login, Session) is right


async def test_an_attempt_whose_client_has_gone_is_judged_and_recorded_nevertheless(world: World) -> None:
    await world.enrol("alice")
    secret = "wrong" + world.code("alice")
    for _ in range(6):
        count = len(world.trail.receipts)
        login = asyncio.create_task(world.direct("alice+SUP-1423", secret))
        await asyncio.sleep(0)
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        await world.trail.appended(count)
        assert world.last()["reason"] == "wrong password"
    await world.direct("alice+SUP-1423", "alice-secret" + world.code("alice"))
    assert world.last()["code"] == "too-many-attempts"


@pytest.mark.parametrize("mode", ["fail", "broken"])
async def test_a_trail_that_cannot_be_written_admits_nobody(world: World, mode: str) -> None:
    await world.enrol("alice")
    world.trail.mode = mode
    assert wire(await world.direct("alice+SUP-1423", "alice-secret" + world.code("alice")))[0] == "audit-not-writable"
    assert world.access.sessions(_administrator(world)) == []
    challenge = world.access.challenge("nobody", "payroll", PEER, tls=True)
    assert wire(await world.access.admit_pass(challenge, False, PEER))[0] == "audit-not-writable"


@pytest.mark.parametrize("source", ["directory", "tickets"])
async def test_a_source_that_cannot_be_asked_admits_nobody_at_once(world: World, source: str) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal)
    getattr(world, source).down = True
    code = "directory-unavailable" if source == "directory" else "ticket-source-unavailable"
    challenge = world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert wire(await world.access.admit_pass(challenge, True, PEER))[0] == code
    asked_for = {"code": code, "login": "alice", "target": "payroll", "ticket": "SUP-1423"}
    assert {name: world.last().get(name) for name in asked_for} == asked_for
    assert wire(await world.direct("alice+SUP-1424", "alice-secret" + world.code("alice")))[0] == code
    assert world.last()["code"] == code


async def test_an_outage_of_the_directory_is_no_failure_of_the_person(world: World) -> None:
    await world.enrol("alice")
    world.directory.down = True
    for _ in range(20):
        await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER)
    world.directory.down = False
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), SignIn)


async def test_a_login_that_the_directory_renamed_is_over(world: World) -> None:
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(opened, Refusal)
    challenge = world.access.challenge("alice", "payroll", PEER, tls=True)
    world.directory.people["alicia"] = replace(world.directory.people.pop("alice"), login="alicia")
    assert wire(await world.access.admit_pass(challenge, True, PEER)) == GENERIC


async def test_a_policy_that_wants_another_factor_refuses(world: World) -> None:
    access = replace(world.policies["payroll"].access, second_factor="webauthn")
    world.policies["payroll"] = replace(world.policies["payroll"], access=access)
    await world.enrol("alice")
    outcome = await world.direct("alice+SUP-1423", "alice-secret" + world.code("alice"))
    assert wire(outcome)[0] == "second-factor-required"


async def test_no_direct_login_where_the_policy_does_not_say_so(world: World) -> None:
    await world.enrol("alice")
    challenge = replace(world.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True), target="guarded")
    outcome = await world.access.admit_direct(challenge, "alice-secret" + world.code("alice"), PEER)
    assert wire(outcome)[0] == "target-not-available"


async def test_a_challenge_asks_neither_store_nor_sources(world: World) -> None:
    await world.session()
    world.directory.down = world.tickets.down = True
    world.database.close()
    assert world.access.challenge("alice", "payroll", Peer(""), tls=True).pass_id is not None
    world.database = type(world.database)("")


def _administrator(world: World) -> SignIn:
    return SignIn("s", world.directory.people["ada"], "totp", world.time.now, world.time.now, world.time.now)


async def test_a_code_counts_once_whichever_process_it_is_shown_to(stored: World) -> None:
    await stored.enrol("alice")
    other = World(stored.path)
    other.time.now = stored.time.now
    try:
        code = stored.code("alice")
        outcomes = await asyncio.gather(
            *(one.access.sign_in("alice", "alice-secret", code, PEER) for one in (stored, other, stored, other))
        )
        assert sum(isinstance(outcome, SignIn) for outcome in outcomes) == 1
        reasons = [one["reason"] for world in (stored, other) for one in world.trail.of("login") if "reason" in one]
        assert reasons == ["replayed code"] * 3
        direct = await other.direct("alice+SUP-1423", f"alice-secret{code}")
        assert isinstance(direct, Refusal)
    finally:
        other.close()
