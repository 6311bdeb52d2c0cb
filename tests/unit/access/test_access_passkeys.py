"""Security keys: enrolled by invitation, used on a page for a command, and everything that must not pass."""

from __future__ import annotations

import asyncio
import base64
import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from access_world import PEER, World
from soft_key import PRESENT, VERIFIED, SoftKey

from gateway.access.passkeys import CLONED, LIFE_S, Begun, Enrolled
from gateway.access.service import SignIn
from gateway.errors import Refusal
from gateway.factor_settings import WebAuthn
from gateway.model import Peer
from gateway.store import passkeys, schema

SETTINGS = WebAuthn(rp_id="gw.example.test", origins=("https://gw.example.test",))
ELSEWHERE = replace(PEER, address="198.51.100.9:4711")


@pytest.fixture
def house(world: World) -> World:
    world.restart_settings(webauthn=SETTINGS)
    return world


def page_of(begun: Begun) -> str:
    return begun.url.partition("#")[2]


async def options(world: World, begun: Any, peer: Peer = PEER) -> dict[str, Any]:
    assert isinstance(begun, Begun), begun
    asked = await world.access.passkeys.asked(page_of(begun), begun.code, peer)
    assert not isinstance(asked, Refusal), asked
    return dict(asked["options"])


async def enrol(world: World, login: str = "alice", key: SoftKey | None = None) -> tuple[SoftKey, tuple[str, ...]]:
    key = key or SoftKey()
    invitation = await world.access.invite(None, login, PEER)
    assert isinstance(invitation, str), invitation
    begun = await world.access.passkeys.begin_enrolment(login, f"{login}-secret", invitation, PEER)
    made = key.create(await options(world, begun))
    assert await world.access.passkeys.answered(page_of(begun), made, PEER) is None
    done = await world.access.collect(begun.collect, PEER)
    assert isinstance(done, Enrolled), done
    return key, done.codes


async def login(world: World, key: SoftKey, login: str = "alice", **changed: Any) -> SignIn | Refusal:
    begun = await world.access.passkeys.begin_login(login, f"{login}-secret", PEER)
    refusal = await world.access.passkeys.answered(
        page_of(begun), key.get(await options(world, begun), **changed), PEER
    )
    done = await world.access.collect(begun.collect, PEER)
    assert not isinstance(done, Enrolled)
    assert done is not None
    assert (refusal is None) == isinstance(done, SignIn)
    return done


async def refused(world: World, key: SoftKey, reason: str, who: str = "alice", **changed: Any) -> None:
    outcome = await login(world, key, who, **changed)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "authentication-failed"
    record = world.last()
    assert (record["decision"], record["reason"]) == ("deny", reason)


async def test_a_key_is_enrolled_by_an_invitation_and_signs_in(house: World) -> None:
    key, codes = await enrol(house)
    assert len(codes) == 10
    assert (house.last("enrolment")["factor"], house.last("enrolment")["decision"]) == ("webauthn", "permit")
    signin = await login(house, key)
    assert isinstance(signin, SignIn)
    assert signin.factor == "webauthn"
    assert isinstance(house.access.authenticate(signin.token), SignIn)
    record = house.last()
    assert (record["decision"], record["factor"], record["method"]) == ("permit", "webauthn", "sign-in")
    assert not isinstance(await house.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER), Refusal)
    house.policies["payroll"] = replace(
        house.policies["payroll"], access=replace(house.policies["payroll"].access, second_factor="webauthn")
    )
    assert not isinstance(await house.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER), Refusal)


async def test_a_person_has_several_keys_and_a_reset_takes_all_of_them(house: World) -> None:
    first, _ = await enrol(house)
    signin = await login(house, first)
    assert isinstance(signin, SignIn)
    second = SoftKey(count=None)
    begun = await house.access.passkeys.begin_adding(signin, "laptop", PEER)
    assert (
        await house.access.passkeys.answered(page_of(begun), second.create(await options(house, begun)), PEER) is None
    )
    assert await house.access.collect(begun.collect, PEER) == Enrolled("laptop")
    assert [key.name for key in await house.access.passkeys.keys(signin)] == ["first key", "laptop"]
    for key in (second, first, second):
        assert isinstance(await login(house, key), SignIn)
    assert not isinstance(await house.access.reset_factor(None, "alice", PEER), Refusal)
    assert isinstance(house.access.authenticate(signin.token), Refusal)
    for key in (first, second):
        await refused(house, key, "unknown key")


async def further(house: World, signin: SignIn, name: str = "") -> SoftKey:
    key = SoftKey()
    begun = await house.access.passkeys.begin_adding(signin, name, PEER)
    assert isinstance(begun, Begun), begun
    made = key.create(await options(house, begun))
    assert await house.access.passkeys.answered(page_of(begun), made, PEER) is None
    assert isinstance(await house.access.collect(begun.collect, PEER), Enrolled)
    return key


async def test_a_key_that_was_lost_is_taken_away_with_all_that_it_opened(house: World) -> None:
    lost, _ = await enrol(house)
    signin = await login(house, lost)
    assert isinstance(signin, SignIn)
    kept = await further(house, signin)
    first, second = await house.access.passkeys.keys(signin)
    assert (first.name, second.name) == ("first key", "key 2")
    other = await login(house, kept)
    assert isinstance(other, SignIn)
    gone = await house.access.remove_key(other, "first key", PEER)
    assert not isinstance(gone, Refusal)
    assert (gone.id, gone.name) == (first.id, "first key")
    record = house.last("factor.reset")
    assert (record["by"], record["factor"], record["reason"]) == ("p1", "webauthn", "one security key removed")
    for token in (signin.token, other.token):
        assert isinstance(house.access.authenticate(token), Refusal)
    await refused(house, lost, "unknown key")
    assert isinstance(await login(house, kept), SignIn)


async def test_nobody_is_left_without_a_factor_nor_loses_somebody_elses(house: World) -> None:
    key, _ = await enrol(house)
    signin = await login(house, key)
    assert isinstance(signin, SignIn)
    last = await house.access.remove_key(signin, "first key", PEER)
    assert isinstance(last, Refusal)
    assert last.code == "request-invalid"
    await further(house, signin, "spare")
    await further(house, signin, "spare")
    (mine,) = [one for one in await house.access.passkeys.keys(signin) if one.name == "first key"]
    twice = await house.access.remove_key(signin, "spare", PEER)
    assert isinstance(twice, Refusal)
    assert "several" in twice.message
    others, _ = await enrol(house, "bob")
    stranger = await login(house, others, "bob")
    assert isinstance(stranger, SignIn)
    for which in (mine.id, "", "FIRST KEY", mine.id[:4]):
        assert isinstance(await house.access.remove_key(stranger, which, PEER), Refusal)
    house.time.advance(901)
    stale = await house.access.remove_key(signin, mine.id, PEER)
    assert isinstance(stale, Refusal)
    assert stale.code == "second-factor-required"
    assert isinstance(await login(house, key), SignIn)


async def test_of_two_removals_at_once_one_key_stays(stored: World) -> None:
    stored.restart_settings(webauthn=SETTINGS)
    key, _ = await enrol(stored)
    signin = await login(stored, key)
    assert isinstance(signin, SignIn)
    await further(stored, signin)
    names = ("first key", "key 2")
    outcomes = await asyncio.gather(*(stored.access.remove_key(signin, name, PEER) for name in names))
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 1
    assert len(await stored.access.passkeys.keys(signin)) == 1


async def test_a_recovery_code_works_for_who_has_only_keys(house: World) -> None:
    key, codes = await enrol(house)
    assert isinstance(await house.access.recover("alice", "alice-secret", codes[0], PEER), str)
    await refused(house, key, "unknown key")


async def test_who_has_a_key_gets_no_second_invitation_and_a_code_of_nobody_signs_nobody_in(house: World) -> None:
    await enrol(house)
    again = await house.access.invite(None, "alice", PEER)
    assert isinstance(again, Refusal)
    assert isinstance(await house.access.sign_in("alice", "alice-secret", "123456", PEER), Refusal)
    assert isinstance(await house.direct("alice+SUP-1423", "alice-secret123456"), Refusal)


BAD: list[tuple[str, Callable[[SoftKey], None], dict[str, Any]]] = [
    ("another site's origin", lambda key: setattr(key, "origin", "https://gw.example.test.evil.test"), {}),
    ("http", lambda key: setattr(key, "origin", "http://gw.example.test"), {}),
    ("another port", lambda key: setattr(key, "origin", "https://gw.example.test:8443"), {}),
    ("another rp id", lambda key: setattr(key, "rp_id", "example.test"), {}),
    ("no user verification", lambda key: setattr(key, "flags", PRESENT), {}),
    ("nobody present", lambda key: setattr(key, "flags", VERIFIED), {}),
    ("another challenge", lambda key: None, {"challenge": "AAAA"}),
    ("a registration's client data", lambda key: None, {"type": "webauthn.create"}),
    ("another secret key", lambda key: setattr(key, "secret", SoftKey().secret), {}),
]


@pytest.mark.parametrize(("spoil", "changed"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
async def test_an_answer_that_is_not_right_in_every_part_is_refused(
    house: World, spoil: Callable[[SoftKey], None], changed: dict[str, Any]
) -> None:
    key, _ = await enrol(house)
    spoil(key)
    await refused(house, key, "the answer of the key is not right", **changed)


@pytest.mark.parametrize(
    "spoil",
    [case[1] for case in BAD[:6]],
    ids=[case[0] for case in BAD[:6]],
)
async def test_a_registration_that_is_not_right_in_every_part_enrols_nothing(
    house: World, spoil: Callable[[SoftKey], None]
) -> None:
    key = SoftKey()
    spoil(key)
    invitation = await house.access.invite(None, "alice", PEER)
    begun = await house.access.passkeys.begin_enrolment("alice", "alice-secret", str(invitation), PEER)
    refusal = await house.access.passkeys.answered(page_of(begun), key.create(await options(house, begun)), PEER)
    assert isinstance(refusal, Refusal)
    assert isinstance(await house.access.collect(begun.collect, PEER), Refusal)
    assert house.last("enrolment")["decision"] == "deny"
    assert not house.database.run_now(passkeys.has_key, "p1")


async def test_somebody_elses_key_signs_nobody_in(house: World) -> None:
    await enrol(house)
    amirs, _ = await enrol(house, "amir")
    await refused(house, amirs, "the key is somebody else's")
    # nor with the handle of the other person in its answer
    key, _ = await enrol(house, "bob")
    key.handle = amirs.handle
    await refused(house, key, "the key is somebody else's", "bob")


async def test_a_key_that_somebody_has_cannot_be_enrolled_again(house: World) -> None:
    key, _ = await enrol(house)
    stolen = SoftKey(id=key.id)
    invitation = await house.access.invite(None, "amir", PEER)
    begun = await house.access.passkeys.begin_enrolment("amir", "amir-secret", str(invitation), PEER)
    refusal = await house.access.passkeys.answered(page_of(begun), stolen.create(await options(house, begun)), PEER)
    assert isinstance(refusal, Refusal)
    assert house.last("enrolment")["reason"] == "the key is enrolled already"


async def test_a_counter_that_goes_back_is_refused_and_recorded_for_the_alert(house: World) -> None:
    key, _ = await enrol(house)
    clone = copy.copy(key)
    for _ in range(3):
        assert isinstance(await login(house, key), SignIn)
    await refused(house, clone, CLONED)


async def test_nobody_can_raise_the_alert_of_a_clone_without_the_key(house: World) -> None:
    key, _ = await enrol(house)
    assert isinstance(await login(house, key), SignIn)
    forged = copy.copy(key)
    forged.secret, forged.count = SoftKey().secret, -1
    await refused(house, forged, "the answer of the key is not right")


async def test_an_answer_counts_once(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    answer = key.get(await options(house, begun))
    assert await house.access.passkeys.answered(page_of(begun), answer, PEER) is None
    assert isinstance(await house.access.passkeys.answered(page_of(begun), answer, PEER), Refusal)
    assert isinstance(await house.access.collect(begun.collect, PEER), SignIn)
    assert isinstance(await house.access.collect(begun.collect, PEER), Refusal)
    # nor in another ceremony, whose challenge is another one
    other = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    await options(house, other)
    assert isinstance(await house.access.passkeys.answered(page_of(other), answer, PEER), Refusal)


async def test_a_challenge_that_was_asked_anew_is_not_good_any_more(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    first = await options(house, begun)
    await options(house, begun)
    assert isinstance(await house.access.passkeys.answered(page_of(begun), key.get(first), PEER), Refusal)


async def test_the_same_answer_at_two_processes_counts_once(stored: World) -> None:
    stored.restart_settings(webauthn=SETTINGS)
    key, _ = await enrol(stored)
    begun = await stored.access.passkeys.begin_login("alice", "alice-secret", PEER)
    answer = key.get(await options(stored, begun))
    other = World(stored.path)
    other.restart_settings(webauthn=SETTINGS)
    try:
        outcomes = [await one.access.passkeys.answered(page_of(begun), answer, PEER) for one in (stored, other)]
        assert [outcome is None for outcome in outcomes] == [True, False]
        collected = [await one.access.collect(begun.collect, PEER) for one in (other, stored)]
        assert [isinstance(outcome, SignIn) for outcome in collected] == [True, False]
    finally:
        other.close()


@pytest.mark.parametrize(
    ("who", "password", "reason"),
    [("alice", "wrong", "wrong password"), ("nobody", "nobody-secret", "unknown person")],
)
async def test_a_wrong_password_is_not_told_before_the_key_was_used_nor_then(
    house: World, who: str, password: str, reason: str
) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login(who, password, PEER)
    asked = await options(house, begun)
    assert house.last()["reason"] == reason
    right = await options(house, await house.access.passkeys.begin_login("alice", "alice-secret", PEER))
    assert {**asked, "challenge": ""} == {**right, "challenge": ""}
    refusal = await house.access.passkeys.answered(page_of(begun), key.get(asked), PEER)
    outcome = await house.access.collect(begun.collect, PEER)
    assert isinstance(refusal, Refusal)
    assert isinstance(outcome, Refusal)
    assert refusal == outcome
    assert outcome.code == "authentication-failed"
    assert house.last()["reason"] == "a key after a wrong password"


async def test_passwords_are_locked_out_here_as_everywhere(house: World) -> None:
    key, _ = await enrol(house)
    for _ in range(house.settings.lock_free + 1):
        assert isinstance(await house.access.passkeys.begin_login("alice", "wrong", PEER), Begun)
    locked = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    assert isinstance(locked, Refusal)
    assert locked.code == "authentication-failed"
    house.time.advance(3600)
    assert isinstance(await login(house, key), SignIn)


async def test_the_code_of_the_command_is_needed_and_cannot_be_guessed(house: World) -> None:
    await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    assert isinstance(begun, Begun)
    for _ in range(3):
        assert isinstance(await house.access.passkeys.asked(page_of(begun), "aaaa-aaaa", PEER), Refusal)
    late = await house.access.passkeys.asked(page_of(begun), begun.code, PEER)
    unknown = await house.access.passkeys.asked("a" * 32, begun.code, PEER)
    assert isinstance(late, Refusal)
    assert late == unknown


async def test_without_the_code_no_answer_is_taken(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    forged = key.get({"challenge": "AAAA"})
    assert isinstance(await house.access.passkeys.answered(page_of(begun), forged, PEER), Refusal)
    assert await house.access.collect(begun.collect, PEER) is None


async def test_a_page_that_an_attacker_sends_is_of_no_use_to_him(house: World) -> None:
    """He knows the password, begins a login elsewhere, and sends address and code to the victim."""
    await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", ELSEWHERE)
    assert isinstance(begun, Begun)
    outcome = await house.access.passkeys.asked(page_of(begun), begun.code, PEER)
    assert isinstance(outcome, Refusal)
    assert "another address" in outcome.message
    house.restart_settings(webauthn=SETTINGS.model_copy(update={"same_address": False}))
    assert await options(house, begun)


async def test_a_ceremony_runs_out(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    answer = key.get(await options(house, begun))
    house.time.advance(LIFE_S)
    assert isinstance(await house.access.passkeys.answered(page_of(begun), answer, PEER), Refusal)
    assert isinstance(await house.access.collect(begun.collect, PEER), Refusal)


async def test_a_reset_in_the_middle_ends_the_ceremony(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    answer = key.get(await options(house, begun))
    assert await house.access.passkeys.answered(page_of(begun), answer, PEER) is None
    await house.access.reset_factor(None, "alice", PEER)
    assert isinstance(await house.access.collect(begun.collect, PEER), Refusal)


async def test_who_is_not_active_any_more_collects_nothing(house: World) -> None:
    key, _ = await enrol(house)
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    assert await house.access.passkeys.answered(page_of(begun), key.get(await options(house, begun)), PEER) is None
    house.directory.change("alice", active=False)
    assert isinstance(await house.access.collect(begun.collect, PEER), Refusal)


async def test_an_old_factor_adds_no_key(house: World) -> None:
    key, _ = await enrol(house)
    signin = await login(house, key)
    assert isinstance(signin, SignIn)
    house.time.advance(901)
    stale = await house.access.passkeys.begin_adding(signin, "x", PEER)
    assert isinstance(stale, Refusal)
    assert stale.code == "second-factor-required"


async def test_an_invitation_enrols_one_key(house: World) -> None:
    invitation = str(await house.access.invite(None, "alice", PEER))
    begun = [await house.access.passkeys.begin_enrolment("alice", "alice-secret", invitation, PEER) for _ in range(2)]
    for one in begun:
        made = SoftKey().create(await options(house, one))
        assert await house.access.passkeys.answered(page_of(one), made, PEER) is None
    outcomes = [await house.access.collect(one.collect, PEER) for one in begun]
    assert [type(outcome) for outcome in outcomes] == [Enrolled, Refusal]
    assert house.last("enrolment")["decision"] == "deny"


@pytest.mark.parametrize(
    "junk", [{}, {"id": 5}, {"id": "é"}, {"id": "AA", "response": 7}, {"response": {"userHandle": []}}]
)
async def test_junk_in_the_place_of_an_answer_is_refused(house: World, junk: dict[str, Any]) -> None:
    key, _ = await enrol(house)
    for change in ({}, {"id": key.get({"challenge": "AAAA"})["id"]}):
        begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
        await options(house, begun)
        assert isinstance(await house.access.passkeys.answered(page_of(begun), {**junk, **change}, PEER), Refusal)


async def test_where_no_keys_are_in_use_everything_is_refused(world: World) -> None:
    for outcome in (
        await world.access.passkeys.begin_login("alice", "alice-secret", PEER),
        await world.access.passkeys.begin_enrolment("alice", "alice-secret", "x", PEER),
        await world.access.passkeys.begin_adding(await world.sign_in("alice"), "x", PEER),
    ):
        assert isinstance(outcome, Refusal)
        assert outcome.code == "not-found"


async def test_ceremonies_are_bounded(house: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passkeys, "MOST", 2)
    for _ in range(2):
        assert isinstance(await house.access.passkeys.begin_login("alice", "alice-secret", PEER), Begun)
    assert isinstance(await house.access.passkeys.begin_login("alice", "alice-secret", PEER), Refusal)
    house.time.advance(LIFE_S)
    assert isinstance(await house.access.passkeys.begin_login("alice", "alice-secret", PEER), Begun)


async def test_no_secret_of_a_ceremony_is_in_the_store_or_shown(house: World) -> None:
    begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
    assert isinstance(begun, Begun)
    (row,) = house.database.run_now(lambda connection: connection.execute(schema.ceremonies.select()).all())
    secret = (page_of(begun), begun.collect, begun.code.replace("-", ""))
    for value in row:
        data = value if isinstance(value, bytes) else str(value).encode()
        assert not any(one.encode() in data for one in secret)
    assert not any(one in repr(begun) for one in secret)


@pytest.mark.parametrize(
    "settings",
    [
        {"rp_id": "gw.example.test"},
        {"origins": ("https://gw.example.test",)},
        {"rp_id": "gw.example.test", "origins": ("http://gw.example.test",)},
        {"rp_id": "gw.example.test", "origins": ("https://gw.example.test/",)},
        {"rp_id": "gw.example.test", "origins": ("https://evilgw.example.test",)},
        {"rp_id": "gw.example.test", "origins": ("https://user@gw.example.test",)},
        {"rp_id": "GW example", "origins": ("https://gw.example.test",)},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"origin|rp_id"):
        WebAuthn.model_validate(settings)


async def test_whatever_bytes_come_in_an_answer_it_is_refused_and_nothing_breaks(house: World) -> None:
    key, _ = await enrol(house)
    chance = random.Random(7)
    alice, now = house.directory.people["alice"], house.time.now
    signin = SignIn("s", alice, "webauthn", now, now, now)
    house.restart_settings(lock_free=10_000, address_free=10_000)
    for number in range(300):
        if number % 2:
            begun = await house.access.passkeys.begin_login("alice", "alice-secret", PEER)
            answer = key.get(await options(house, begun))
            part = chance.choice(["clientDataJSON", "authenticatorData", "signature", "userHandle"])
        else:
            signin = SignIn(
                "s", house.directory.people["alice"], "webauthn", house.time.now, house.time.now, house.time.now
            )
            begun = await house.access.passkeys.begin_adding(signin, "x", PEER)
            answer = SoftKey().create(await options(house, begun))
            part = chance.choice(["clientDataJSON", "attestationObject"])
        data = bytearray(base64.urlsafe_b64decode(answer["response"][part] + "=="))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            if chance.random() < 0.3:
                del data[place:]
                data += chance.randbytes(chance.randint(1, 64))
            else:
                data[place] ^= chance.randint(1, 255)
        answer["response"][part] = base64.urlsafe_b64encode(bytes(data)).decode().rstrip("=")
        refusal = await house.access.passkeys.answered(page_of(begun), answer, PEER)
        if refusal is None:
            # only what nobody signs in a registration may differ: its key, or that it says nothing wrong
            assert part == "attestationObject"


async def test_deeply_nested_bytes_in_an_answer_break_nothing(house: World) -> None:
    now = house.time.now
    signin = SignIn("s", house.directory.people["alice"], "webauthn", now, now, now)
    begun = await house.access.passkeys.begin_adding(signin, "x", PEER)
    answer = SoftKey().create(await options(house, begun))
    answer["response"]["attestationObject"] = base64.urlsafe_b64encode(b"\x81" * 40_000).decode()
    assert isinstance(await house.access.passkeys.answered(page_of(begun), answer, PEER), Refusal)
