"""Second factors come by invitation, and go by somebody else's hand."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from access_world import PEER, World

from gateway.access.service import Enrolling, SignIn
from gateway.errors import Refusal
from gateway.store.schema import tokens


async def begun(world: World, login: str = "alice") -> tuple[str, Enrolling]:
    invitation = await world.access.invite(None, login, PEER)
    assert isinstance(invitation, str)
    enrolling = await world.access.enrol_begin(login, f"{login}-secret", invitation, PEER)
    assert isinstance(enrolling, Enrolling)
    world.secrets[login] = enrolling.secret
    return invitation, enrolling


async def test_the_uri_is_what_authenticator_apps_scan(world: World) -> None:
    _, enrolling = await begun(world)
    parts = urlsplit(enrolling.uri)
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/gateway:alice")
    assert parse_qs(parts.query) == {"secret": [enrolling.secret], "issuer": ["gateway"]}
    assert len(enrolling.secret) == 32
    assert enrolling.secret not in repr(enrolling)


async def test_enrolment_is_recorded_from_invitation_to_factor(world: World) -> None:
    await world.enrol("alice")
    events = [(one["reason"], one["decision"], one["by"], one["person"]) for one in world.trail.of("enrolment")]
    assert events == [("invited", "permit", "local", "p1"), ("enrolled", "permit", "p1", "p1")]


async def test_the_code_that_enrolled_cannot_sign_in(world: World) -> None:
    invitation, _ = await begun(world)
    code = world.code("alice")
    assert not isinstance(await world.access.enrol_finish("alice", "alice-secret", invitation, code, PEER), Refusal)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", code, PEER), Refusal)
    assert world.last()["reason"] == "replayed code"


async def test_an_invitation_is_good_once(world: World) -> None:
    invitation, _ = await begun(world)
    await world.access.enrol_finish("alice", "alice-secret", invitation, world.code("alice"), PEER)
    again = await world.access.enrol_begin("alice", "alice-secret", invitation, PEER)
    assert isinstance(again, Refusal)
    assert again.code == "enrolment-invalid"
    assert world.last("enrolment")["reason"] == "the invitation was used or has run out"


@pytest.mark.parametrize(
    ("login", "password", "wait", "code", "reason"),
    [
        ("alice", "wrong", 0, "authentication-failed", "wrong password"),
        ("nobody", "nobody-secret", 0, "authentication-failed", "unknown person"),
        ("amir", "amir-secret", 0, "authentication-failed", "no such invitation"),
        ("alice", "alice-secret", 72 * 3600, "enrolment-invalid", "the invitation was used or has run out"),
    ],
)
async def test_an_invitation_is_for_one_person_who_knows_his_password_for_a_while(
    world: World, login: str, password: str, wait: int, code: str, reason: str
) -> None:
    invitation = await world.access.invite(None, "alice", PEER)
    assert isinstance(invitation, str)
    world.time.advance(wait)
    outcome = await world.access.enrol_begin(login, password, invitation, PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == code
    record = world.last("enrolment")
    assert (record["decision"], record["reason"]) == ("deny", reason)


async def test_a_newer_invitation_ends_the_older(world: World) -> None:
    older = await world.access.invite(None, "alice", PEER)
    await world.access.invite(None, "alice", PEER)
    assert isinstance(older, str)
    assert isinstance(await world.access.enrol_begin("alice", "alice-secret", older, PEER), Refusal)


async def test_a_wrong_first_code_enrols_nothing_and_guessing_is_locked(world: World) -> None:
    invitation, _ = await begun(world)
    reasons = []
    for number in range(8):
        outcome = await world.access.enrol_finish("alice", "alice-secret", invitation, f"00000{number}", PEER)
        assert isinstance(outcome, Refusal)
        reasons.append(world.last("enrolment")["reason"])
    assert reasons == ["wrong code"] * 6 + ["locked after repeated failures"] * 2


async def test_finishing_without_beginning_is_refused(world: World) -> None:
    invitation = await world.access.invite(None, "alice", PEER)
    assert isinstance(invitation, str)
    outcome = await world.access.enrol_finish("alice", "alice-secret", invitation, "000000", PEER)
    assert isinstance(outcome, Refusal)
    assert world.last("enrolment")["reason"] == "the enrolment was not begun"


async def test_a_waiting_secret_is_no_factor_yet(world: World) -> None:
    await begun(world)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), Refusal)
    assert world.last()["reason"] == "no second factor is enrolled"


async def test_a_recovery_code_signs_nobody_in(world: World) -> None:
    await world.enrol("alice")
    for code in world.recovery["alice"][:2]:
        assert isinstance(await world.access.sign_in("alice", "alice-secret", code, PEER), Refusal)
        assert world.last()["reason"] == "wrong code"
        assert isinstance(await world.direct("alice+SUP-1423", f"alice-secret{code}"), Refusal)
    # nor is it used up by the attempt
    assert isinstance(await world.access.recover("alice", "alice-secret", world.recovery["alice"][0], PEER), str)


@pytest.mark.parametrize(
    ("login", "password", "code", "reason"),
    [
        ("alice", "wrong", "right", "wrong password"),
        ("alice", "alice-secret", "amir's", "wrong or used recovery code"),
        ("alice", "alice-secret", "totp", "wrong or used recovery code"),
        ("alice", "alice-secret", "", "wrong or used recovery code"),
        ("amir", "amir-secret", "right", "wrong or used recovery code"),
        ("dan", "dan-secret", "right", "no second factor is enrolled"),
        ("nobody", "nobody-secret", "right", "unknown person"),
    ],
)
async def test_who_has_no_recovery_code_of_his_own_recovers_nothing(
    world: World, login: str, password: str, code: str, reason: str
) -> None:
    await world.enrol("alice", "amir")
    signin = await world.sign_in("alice")
    codes = {"right": world.recovery["alice"][0], "amir's": world.recovery["amir"][0], "totp": world.code("alice")}
    refused = await world.access.recover(login, password, codes.get(code, code), PEER)
    assert isinstance(refused, Refusal)
    assert refused.code == "authentication-failed"
    record = world.last()
    assert (record["method"], record["reason"]) == ("recovery", reason)
    await world.access.refresh()
    assert isinstance(world.access.authenticate(signin.token), SignIn)
    assert not world.trail.of("factor.reset")


async def test_a_recovery_code_lets_a_new_factor_be_enrolled_and_ends_what_the_lost_one_opened(world: World) -> None:
    session = await world.session("alice")
    signin = await world.sign_in("alice")
    old_code, codes = world.code("alice", steps=1), world.recovery["alice"]
    invitation = await world.access.recover("alice", "alice-secret", codes[0].upper(), PEER)
    assert isinstance(invitation, str)
    login, reset = world.last(), world.last("factor.reset")
    assert (login["decision"], login["factor"], login["method"]) == ("permit", "recovery", "recovery")
    assert (reset["by"], reset["factor"], reset["person"]) == ("p1", "recovery", "p1")
    assert world.last("enrolment")["by"] == "p1"
    await world.access.refresh()
    ended = world.access.authenticate(signin.token)
    assert isinstance(ended, Refusal)
    assert ended.code == "session-expired"
    assert isinstance(world.access.check(session), Refusal)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", old_code, PEER), Refusal)
    # neither that code nor another one of the lost factor is worth anything now
    for code in codes[:2]:
        assert isinstance(await world.access.recover("alice", "alice-secret", code, PEER), Refusal)

    assert isinstance(await world.access.enrol_begin("alice", "wrong", invitation, PEER), Refusal)
    begun = await world.access.enrol_begin("alice", "alice-secret", invitation, PEER)
    assert not isinstance(begun, Refusal)
    world.secrets["alice"] = begun.secret
    fresh = await world.access.enrol_finish("alice", "alice-secret", invitation, world.code("alice"), PEER)
    assert not isinstance(fresh, Refusal)
    assert not set(fresh) & set(codes)
    world.time.advance(30)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), SignIn)


async def test_guesses_of_recovery_codes_are_locked_out_like_all_others(world: World) -> None:
    await world.enrol("alice")
    world.restart_settings(lock_free=3)
    for _ in range(4):
        await world.access.recover("alice", "alice-secret", "aaaa-aaaa-aaaa-aaaa", PEER)
    assert isinstance(await world.access.recover("alice", "alice-secret", world.recovery["alice"][0], PEER), Refusal)
    assert world.last()["code"] == "too-many-attempts"


async def test_a_sign_in_of_before_that_a_recovery_code_opened_is_over(stored: World) -> None:
    signin = await stored.sign_in("alice")
    stored.database.run_now(lambda connection: connection.execute(tokens.update().values(factor="recovery")))
    stored.restart()
    await stored.access.refresh()
    ended = stored.access.authenticate(signin.token)
    assert isinstance(ended, Refusal)
    assert ended.code == "session-expired"


async def test_only_administrators_with_a_recent_factor_invite_and_reset(world: World) -> None:
    await world.enrol("amir")
    alice, ada = await world.sign_in("alice"), await world.sign_in("ada")
    for signin, code in ((alice, "not-in-team"), (ada, "")):
        for outcome in (
            await world.access.invite(signin, "bob", PEER),
            await world.access.reset_factor(signin, "amir", PEER),
        ):
            assert (outcome.code if isinstance(outcome, Refusal) else "") == code
    world.time.advance(901)
    stale = await world.access.invite(ada, "bob", PEER)
    assert isinstance(stale, Refusal)
    assert stale.code == "second-factor-required"


async def test_nobody_resets_his_own_factor_and_nobody_overwrites_one(world: World) -> None:
    ada = await world.sign_in("ada")
    own = await world.access.reset_factor(ada, "ada", PEER)
    assert isinstance(own, Refusal)
    again = await world.access.invite(ada, "ada", PEER)
    assert isinstance(again, Refusal)
    assert again.code == "request-invalid"
    assert isinstance(await world.access.invite(ada, "nobody", PEER), Refusal)


async def test_after_a_reset_the_old_secret_and_codes_are_worth_nothing(world: World) -> None:
    await world.enrol("alice")
    old_code, old_recovery = world.code("alice", steps=1), world.recovery["alice"][0]
    await world.access.reset_factor(None, "alice", PEER)
    await world.enrol("alice")
    for old in (old_code, old_recovery):
        assert isinstance(await world.access.sign_in("alice", "alice-secret", old, PEER), Refusal)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), SignIn)


async def test_a_sealed_secret_does_not_open_under_another_master_key(world: World) -> None:
    await world.enrol("alice")
    world.restart_settings(master_key=b"x" * 32)
    outcome = await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "store-unavailable"


async def test_passwords_cannot_be_tried_here_without_an_invitation(world: World) -> None:
    answers = [
        await world.access.enrol_begin("alice", password, "no such invitation", PEER)
        for password in ("alice-secret", "wrong")
    ]
    assert answers[0] == answers[1]
    assert isinstance(answers[0], Refusal)
