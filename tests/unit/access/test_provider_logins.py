"""Logins at an identity provider: what leads to a sign-in, and everything that does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from access_world import PEER
from provider_world import ISSUER, ProviderWorld

from gateway.access.directory.oidc.logins import LIFE_S
from gateway.access.directory.oidc.provider import Device, Tokens
from gateway.access.directory.oidc.under_way import Begun, Standing
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer


@pytest.fixture
def world() -> Iterator[ProviderWorld]:
    made = ProviderWorld()
    made.provider.person("s-1", "alice")
    made.provider.person("s-2", "bob", ["security"])
    yield made
    made.close()


async def begin(world: ProviderWorld, flow: str = "browser", peer: Peer = PEER) -> Begun:
    begun = await world.logins.begin(flow, peer)
    assert isinstance(begun, Begun), begun
    return begun


def refused(answer: object) -> tuple[str, str]:
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.message


async def test_the_browser_proves_the_person_and_the_gateway_asks_for_its_own_factor(world: ProviderWorld) -> None:
    signin = await world.sign_in_provider("s-1", "alice")
    assert (signin.principal.login, signin.factor, signin.principal.teams) == ("alice", "totp", {"support"})
    assert (world.last()["method"], world.last()["factor"]) == ("oidc-browser", "totp")


async def test_a_person_without_a_factor_is_known_but_not_signed_in(world: ProviderWorld) -> None:
    token, done = await world.browser("s-1")
    standing = await world.logins.look(token)
    assert isinstance(standing, Standing)
    assert (done, standing.state, standing.login, standing.needs) == (True, "proved", "alice", "enrolment")
    assert refused(await world.logins.finish(token, "123456", PEER))[0] == "authentication-failed"
    assert world.last()["reason"] == "no second factor is enrolled"


async def test_without_the_terminal_s_code_nobody_is_known(world: ProviderWorld) -> None:
    begun = await begin(world)
    form, cookie = await world.come_back(begun, "s-1")  # type: ignore[misc]
    assert world.logins.asking(form, cookie).login == "alice"  # type: ignore[union-attr]
    assert world.people.find("alice") is None
    assert await world.logins.confirm(form, cookie, "") is False
    assert await world.logins.confirm(form, cookie, "BCDF-GHJK") is False
    assert refused(await world.logins.confirm(form, cookie, "BCDF-GHJL"))[0] == "sign-in-refused"
    assert world.last()["reason"] == "the terminal's code was not typed"
    # the right one comes too late
    assert refused(await world.logins.confirm(form, cookie, begun.code))[0] == "not-found"
    assert refused(await world.logins.look(begun.token))[0] == "sign-in-refused"
    assert refused(await world.logins.look(begun.token))[0] == "session-expired"
    assert world.people.find("alice") is None


async def test_a_person_who_did_not_begin_it_stops_it_and_that_is_recorded(world: ProviderWorld) -> None:
    begun = await begin(world)
    form, cookie = await world.come_back(begun, "s-2")  # type: ignore[misc]
    assert refused(await world.logins.confirm(form, cookie, None))[0] == "sign-in-refused"
    assert (world.last()["decision"], world.last()["login"]) == ("deny", "bob")
    assert world.last()["reason"] == "the person in the browser did not begin the login"
    assert world.last()["address"] == PEER.address


async def test_the_code_is_taken_as_people_type_it(world: ProviderWorld) -> None:
    begun = await begin(world)
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun.code)
    form, cookie = await world.come_back(begun, "s-1")  # type: ignore[misc]
    assert await world.logins.confirm(form, cookie, f" {begun.code.lower().replace('-', ' ')}\n") is True


async def test_the_answer_is_taken_from_the_browser_that_was_sent_there(world: ProviderWorld) -> None:
    begun = await begin(world)
    url, cookie = await world.logins.go(begun.uri.rpartition("/")[2], "")  # type: ignore[misc]
    assert len(cookie) == 43
    query = world.provider.agree(url.rpartition("=")[2], "s-1")
    assert refused(await world.logins.callback(query, "x" * 43, PEER))[0] == "sign-in-refused"
    assert world.last()["reason"] == "the provider's answer came from another browser"
    assert "code_tokens" not in world.provider.asked


async def test_an_address_that_one_browser_opened_is_nothing_to_another(world: ProviderWorld) -> None:
    begun = await begin(world)
    go = begun.uri.rpartition("/")[2]
    _, cookie = await world.logins.go(go, "")  # type: ignore[misc]
    assert refused(await world.logins.go(go, ""))[0] == "not-found"
    assert not isinstance(await world.logins.go(go, cookie), Refusal)


async def test_a_state_is_used_once(world: ProviderWorld) -> None:
    begun = await begin(world)
    url, cookie = await world.logins.go(begun.uri.rpartition("/")[2], "")  # type: ignore[misc]
    state = url.rpartition("=")[2]
    assert isinstance(await world.logins.callback(world.provider.agree(state, "s-1"), cookie, PEER), str)
    again = await world.logins.callback(world.provider.agree(state, "s-2"), cookie, PEER)
    assert refused(again)[0] == "not-found"
    assert world.last()["reason"] == "an answer of the provider to no login that waits"


BAD_ANSWERS: dict[str, tuple[dict[str, str | None], str]] = {
    "no state": ({"state": None}, "an answer of the provider to no login that waits"),
    "another state": ({"state": "x" * 43}, "an answer of the provider to no login that waits"),
    "no issuer where there is one": ({"iss": None}, "the provider's answer is another issuer's"),
    "another issuer": ({"iss": "https://evil.example"}, "the provider's answer is another issuer's"),
    "an error": ({"error": "access_denied"}, "the person did not finish at the provider"),
    "an error with a text": (
        {"error": "x", "error_description": "<script>"}, "the person did not finish at the provider",
    ),
    "no code": ({"code": None}, "the provider gave no code"),
    "a code with a line break": ({"code": "a\r\nb"}, "the provider gave no code"),
    "a code of nobody's": ({"code": "injected"}, "the provider refused the code: invalid_grant"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_bad_answer_ends_the_login(world: ProviderWorld, name: str) -> None:
    change, reason = BAD_ANSWERS[name]
    begun = await begin(world)
    url, cookie = await world.logins.go(begun.uri.rpartition("/")[2], "")  # type: ignore[misc]
    query = {**world.provider.agree(url.rpartition("=")[2], "s-1"), **change}
    answer = await world.logins.callback({k: v for k, v in query.items() if v is not None}, cookie, PEER)
    assert isinstance(answer, Refusal)
    assert "script" not in answer.message
    assert (world.last()["decision"], world.last()["reason"]) == ("deny", reason)
    assert world.people.find("alice") is None


async def test_a_code_of_another_login_does_not_fit_its_verifier(world: ProviderWorld) -> None:
    """Code injection: what an attacker's browser got is given to a victim's login."""
    mine, theirs = await begin(world), await begin(world)
    my_url, _ = await world.logins.go(mine.uri.rpartition("/")[2], "")  # type: ignore[misc]
    their_url, cookie = await world.logins.go(theirs.uri.rpartition("/")[2], "")  # type: ignore[misc]
    stolen = world.provider.agree(my_url.rpartition("=")[2], "s-2")
    query = {**stolen, "state": their_url.rpartition("=")[2]}
    assert refused(await world.logins.callback(query, cookie, PEER))[0] == "sign-in-refused"
    assert world.last()["reason"] == "the provider refused the code: invalid_grant"


async def test_a_login_that_is_over_is_nothing(world: ProviderWorld) -> None:
    begun = await begin(world)
    world.time.advance(LIFE_S + 1)
    assert refused(await world.logins.look(begun.token))[0] == "session-expired"
    assert refused(await world.logins.go(begun.uri.rpartition("/")[2], ""))[0] == "not-found"


async def test_a_token_of_no_login_and_an_unfinished_one_are_alike(world: ProviderWorld) -> None:
    begun = await begin(world)
    for token in ("", "x" * 43, begun.token):
        assert refused(await world.logins.finish(token, "123456", PEER)) == (
            "session-expired", "the login is over, or was never finished",
        )  # fmt: skip
        assert refused(await world.logins.enrol_begin(token, "i", PEER))[0] == "session-expired"
        assert refused(await world.logins.recover(token, "i", PEER))[0] == "session-expired"


async def test_a_login_makes_one_sign_in_however_often_it_is_asked_at_once(world: ProviderWorld) -> None:
    await world.enrol_provider("s-1", "alice")
    token, _ = await world.browser("s-1")
    code = world.code("alice")
    answers = await asyncio.gather(*(world.logins.finish(token, code, PEER) for _ in range(5)))
    assert sum(isinstance(one, SignIn) for one in answers) == 1
    assert isinstance(await world.logins.finish(token, code, PEER), Refusal)


async def test_three_wrong_codes_end_the_login(world: ProviderWorld) -> None:
    await world.enrol_provider("s-1", "alice")
    token, _ = await world.browser("s-1")
    for _ in range(3):
        assert refused(await world.logins.finish(token, "000000", PEER))[0] == "authentication-failed"
    assert refused(await world.logins.finish(token, world.code("alice"), PEER))[0] == "session-expired"


async def test_logins_are_bounded_per_address(world: ProviderWorld) -> None:
    answers = [await world.logins.begin("browser", PEER) for _ in range(25)]
    assert [isinstance(one, Begun) for one in answers] == [True] * 20 + [False] * 5
    assert refused(answers[-1])[0] == "too-many-attempts"
    assert isinstance(await world.logins.begin("browser", Peer("198.51.100.4:1", "x")), Begun)
    world.time.advance(LIFE_S + 1)
    assert isinstance(await world.logins.begin("browser", PEER), Begun)


async def test_logins_that_begin_at_the_same_moment_do_not_outrun_the_bound(world: ProviderWorld) -> None:
    answers = await asyncio.gather(*(world.logins.begin("device", PEER) for _ in range(40)))
    assert sum(isinstance(one, Begun) for one in answers) <= 20


async def test_a_provider_that_is_out_lets_nobody_begin(world: ProviderWorld) -> None:
    world.provider.down = True
    for flow in ("browser", "device"):
        with pytest.raises(GatewayError, match="cannot be asked"):
            await world.logins.begin(flow, PEER)
    assert not world.logins._logins


async def test_only_the_flows_of_the_settings_are_there() -> None:
    for settings, flows in (({"redirect_url": None}, ("device",)), ({"device_flow": False}, ("browser",))):
        world = ProviderWorld(**settings)  # type: ignore[arg-type]
        try:
            assert world.logins.flows == flows
            other = "browser" if flows == ("device",) else "device"
            assert refused(await world.logins.begin(other, PEER))[0] == "request-invalid"
        finally:
            world.close()


# the device flow


async def test_the_device_flow_waits_as_the_provider_says_and_proves_the_person(world: ProviderWorld) -> None:
    begun = await begin(world, "device")
    assert (begun.uri, begun.code, begun.interval_s) == (f"{ISSUER}/device", "WDJB-MJHT", 5.0)
    await world.logins.look(begun.token)
    assert "device_tokens" not in world.provider.asked
    world.time.advance(5)
    for _ in range(3):
        assert (await world.logins.look(begun.token)).state == "waiting"  # type: ignore[union-attr]
    assert world.provider.asked.count("device_tokens") == 1
    world.provider.answer = "slow_down"
    world.time.advance(5)
    assert (await world.logins.look(begun.token)).interval_s == 10.0  # type: ignore[union-attr]
    world.provider.devices[next(iter(world.logins._logins.values())).device] = "s-1"
    world.time.advance(5)
    assert (await world.logins.look(begun.token)).state == "waiting"  # type: ignore[union-attr]
    world.time.advance(5)
    standing = await world.logins.look(begun.token)
    assert isinstance(standing, Standing)
    assert (standing.state, standing.login) == ("proved", "alice")


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
async def test_a_device_code_that_was_refused_ends_the_login(world: ProviderWorld, error: str) -> None:
    begun = await begin(world, "device")
    world.provider.answer = error
    world.time.advance(5)
    assert refused(await world.logins.look(begun.token))[0] == "sign-in-refused"
    assert world.last()["reason"] == f"the provider refused: {error}"
    assert world.last()["method"] == "oidc-device"


async def test_an_outage_leaves_the_device_login_as_it_is(world: ProviderWorld) -> None:
    begun = await begin(world, "device")
    world.provider.down = True
    world.time.advance(5)
    with pytest.raises(GatewayError):
        await world.logins.look(begun.token)
    world.provider.down = False
    world.provider.devices[next(iter(world.logins._logins.values())).device] = "s-1"
    world.time.advance(5)
    assert (await world.logins.look(begun.token)).state == "proved"  # type: ignore[union-attr]


# the provider's factor


@pytest.fixture
def trusting() -> Iterator[ProviderWorld]:
    made = ProviderWorld(factor={"amr": ["mfa"], "max_age": "5m"})
    yield made
    made.close()


async def test_the_provider_s_factor_counts_where_the_settings_accept_it(trusting: ProviderWorld) -> None:
    at = int(trusting.time.now.timestamp()) - 60
    trusting.provider.person("s-1", "alice", amr=["pwd", "mfa"], auth_time=at)
    token, _ = await trusting.browser("s-1")
    standing = await trusting.logins.look(token)
    assert isinstance(standing, Standing)
    assert standing.needs == "nothing"
    signin = await trusting.logins.finish(token, "", PEER)
    assert isinstance(signin, SignIn)
    # as old as the login at the provider, not as this one
    assert (signin.factor, signin.factor_at) == ("provider", trusting.time.now - timedelta(seconds=60))


@pytest.mark.parametrize(("methods", "age"), [(["pwd"], 0), (["mfa"], 301), ([], 0)])
async def test_else_the_gateway_asks_for_its_own(trusting: ProviderWorld, methods: list[str], age: int) -> None:
    at = int(trusting.time.now.timestamp()) - age
    trusting.provider.person("s-1", "alice", amr=methods, auth_time=at)
    token, _ = await trusting.browser("s-1")
    assert (await trusting.logins.look(token)).needs == "enrolment"  # type: ignore[union-attr]
    assert isinstance(await trusting.logins.finish(token, "", PEER), Refusal)


async def test_in_the_device_flow_the_provider_s_factor_never_counts(trusting: ProviderWorld) -> None:
    """Whom somebody talked into typing a device code has not signed himself in at a stranger's terminal."""
    trusting.provider.person("s-1", "alice", amr=["mfa"], auth_time=int(trusting.time.now.timestamp()))
    begun = await begin(trusting, "device")
    trusting.provider.devices[next(iter(trusting.logins._logins.values())).device] = "s-1"
    trusting.time.advance(5)
    assert (await trusting.logins.look(begun.token)).needs == "enrolment"  # type: ignore[union-attr]
    assert isinstance(await trusting.logins.finish(begun.token, "", PEER), Refusal)


# passwords


async def test_a_password_is_refused_for_everybody_alike_with_the_way_that_there_is(world: ProviderWorld) -> None:
    await world.know("s-1")
    answers = [await world.access.sign_in(login, "secret", "123456", PEER) for login in ("alice", "nobody")]
    assert answers[0] == answers[1]
    assert refused(answers[0])[0] == "sign-in-elsewhere"
    assert "gateway login" in answers[0].hint  # type: ignore[union-attr]
    assert refused(await world.direct("alice+SUP-1423", "secret123456"))[0] == "sign-in-elsewhere"
    assert world.last()["code"] == "sign-in-elsewhere"


async def test_a_lost_factor_is_given_up_with_a_recovery_code(world: ProviderWorld) -> None:
    await world.sign_in_provider("s-1", "alice")
    token, _ = await world.browser("s-1")
    assert refused(await world.logins.recover(token, "aaaa-aaaa-aaaa-aaaa", PEER))[0] == "authentication-failed"
    invitation = await world.logins.recover(token, world.recovery["alice"][0], PEER)
    assert isinstance(invitation, str)
    begun = await world.logins.enrol_begin(token, invitation, PEER)
    assert not isinstance(begun, Refusal)


async def test_an_invitation_of_somebody_else_enrols_nobody(world: ProviderWorld) -> None:
    await world.know("s-1")
    await world.know("s-2")
    invitation = await world.access.invite(None, "bob", PEER)
    assert isinstance(invitation, str)
    token, _ = await world.browser("s-1")
    answer: Any = await world.logins.enrol_begin(token, invitation, PEER)
    assert refused(answer)[0] == "authentication-failed"


async def test_who_was_suspended_meanwhile_is_not_signed_in_nor_enrolled(trusting: ProviderWorld) -> None:
    world = trusting
    world.provider.person("s-1", "alice", amr=["mfa"], auth_time=int(world.time.now.timestamp()))
    world.provider.person("s-9", "ada", ["platform"], amr=["mfa"], auth_time=int(world.time.now.timestamp()))
    token, _ = await world.browser("s-1")
    invitation = await world.access.invite(None, "alice", PEER)
    admin_token, _ = await world.browser("s-9")
    admin = await world.logins.finish(admin_token, "", PEER)
    assert isinstance(admin, SignIn)
    suspended = await world.access.people.suspend(admin, "alice", "left", PEER)
    assert not isinstance(suspended, Refusal), suspended
    assert isinstance(invitation, str)
    assert refused(await world.logins.enrol_begin(token, invitation, PEER))[0] == "authentication-failed"
    assert refused(await world.logins.finish(token, "", PEER))[0] == "person-suspended"
    assert world.last()["reason"] == "the person is suspended"
    # a login of its own changes nothing about it
    again, _ = await world.browser("s-1")
    assert refused(await world.logins.finish(again, "", PEER))[0] == "person-suspended"


async def test_who_was_removed_at_the_provider_meanwhile_is_not_signed_in(trusting: ProviderWorld) -> None:
    trusting.provider.person("s-1", "alice", amr=["mfa"], auth_time=int(trusting.time.now.timestamp()))
    token, _ = await trusting.browser("s-1")
    del trusting.provider.people["s-1"]
    trusting.time.advance(300)
    await trusting.people.refresh_due()
    assert refused(await trusting.logins.finish(token, "", PEER))[0] == "authentication-failed"
    assert trusting.last()["reason"] == "person is not active"


async def test_no_representation_shows_a_secret(world: ProviderWorld) -> None:
    begun = await begin(world)
    await world.come_back(begun, "s-1")
    (login,) = world.logins._logins.values()
    shown = repr((begun, login, Tokens("t-1", "t-2", "t-3"), Device("t-4", "user", "uri", 1.0, 1.0)))
    secrets = (begun.token, login.oauth_state, login.nonce, login.verifier, login.go, login.form, login.refresh)
    assert all(secrets)
    assert [one for one in (*secrets, "t-1", "t-2", "t-3", "t-4") if one in shown.replace(begun.uri, "")] == []
