"""Signing in at an identity provider, as the person at the terminal sees it."""

from __future__ import annotations

import time
from typing import Any

import pytest

BEGUN = {
    "token": "login-token-secret", "flow": "browser", "uri": "https://gw.example.test:8443/v1/login/go/abc",
    "code": "BCDF-GHJK", "life_s": 600, "interval_s": 1.0,
}  # fmt: skip
PROVED = {"state": "proved", "interval_s": 1.0, "login": "alice", "needs": "code"}


@pytest.fixture
def elsewhere(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal whose gateway sends people to an identity provider, without a password in the environment."""
    monkeypatch.delenv("GATEWAY_PASSWORD")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    signed_in = terminal.answers.pop("POST /sign-in")
    terminal.answers |= {
        "GET /login": (200, {"ways": ["browser", "device"], "issuer": "https://id.example"}),
        "POST /login/begin": (200, BEGUN),
        "POST /login/look": (200, PROVED),
        "POST /login/finish": signed_in,
    }
    return terminal


def asked(terminal: Any) -> list[str]:
    return [request.url.path.removeprefix("/v1") for request in terminal.requests]


def test_it_shows_where_to_go_and_the_code_and_sends_the_login_s_token_alone(elsewhere: Any) -> None:
    said = elsewhere.run("login")
    assert said.code == 0, said.err
    assert BEGUN["uri"] in said.err
    assert "this code: BCDF-GHJK" in said.err
    assert "never type a code that somebody sent you" in said.err
    assert "secret" not in said.out + said.err
    assert asked(elsewhere) == ["/login", "/login/begin", "/login/look", "/login/finish"]
    assert elsewhere.sent(1) == {"flow": "browser"}
    assert elsewhere.sent() == {"token": "login-token-secret", "otp": "123456"}


@pytest.mark.parametrize("flow", ["browser", "device"])
def test_the_flow_can_be_chosen(elsewhere: Any, flow: str) -> None:
    elsewhere.answers["POST /login/begin"] = (200, BEGUN | {"flow": flow})
    assert elsewhere.run("login", f"--{flow}").code == 0
    assert elsewhere.sent(1) == {"flow": flow}


def test_a_flow_that_is_not_there_is_said_before_anything_begins(elsewhere: Any) -> None:
    elsewhere.answers["GET /login"] = (200, {"ways": ["device"], "issuer": "https://id.example"})
    said = elsewhere.run("login", "--browser")
    assert (said.code, "there is no `--browser` here" in said.err) == (1, True)
    assert asked(elsewhere) == ["/login"]
    assert elsewhere.run("login", "--browser", "--device").code == 2


def test_where_people_have_passwords_a_flow_is_refused_and_none_is_as_ever(
    elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.answers["GET /login"] = (200, {"ways": ["password"], "issuer": ""})
    said = elsewhere.run("login", "--device")
    assert (said.code, "with a password here" in said.err) == (1, True)
    # and a gateway that knows of no flows takes passwords
    del elsewhere.answers["GET /login"]
    assert "there is no terminal to ask for: password" in elsewhere.run("login").err
    monkeypatch.setenv("GATEWAY_PASSWORD", "password-secret")
    elsewhere.answers["POST /sign-in"] = elsewhere.answers["POST /login/finish"]
    elsewhere.requests.clear()
    assert elsewhere.run("login").code == 0
    assert asked(elsewhere) == ["/sign-in"]


def test_it_waits_for_the_browser_as_long_as_the_gateway_says(elsewhere: Any) -> None:
    states = iter(["waiting", "waiting", "confirming", "proved"])
    elsewhere.answers["POST /login/look"] = lambda _: (200, PROVED | {"state": next(states)})
    assert elsewhere.run("login").code == 0
    assert asked(elsewhere).count("/login/look") == 4


def test_a_login_that_failed_ends_it_with_the_reason(elsewhere: Any, problem: Any) -> None:
    elsewhere.answers["POST /login/look"] = problem(403, "sign-in-refused", "the login `bob` belongs to somebody else")
    said = elsewhere.run("login")
    assert (said.code, "belongs to somebody else" in said.err) == (77, True)


def test_nobody_comes_within_the_time(elsewhere: Any) -> None:
    elsewhere.answers["POST /login/begin"] = (200, BEGUN | {"life_s": 0})
    said = elsewhere.run("login")
    assert (said.code, "in time" in said.err) == (77, True)


def test_a_code_is_not_asked_for_where_the_provider_s_factor_counts(
    elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_OTP")
    elsewhere.answers["POST /login/look"] = (200, PROVED | {"needs": "nothing"})
    assert elsewhere.run("login").code == 0
    assert elsewhere.sent()["otp"] == ""


def test_who_has_no_factor_is_told_how_to_get_one(elsewhere: Any) -> None:
    elsewhere.answers["POST /login/look"] = (200, PROVED | {"needs": "enrolment"})
    said = elsewhere.run("login")
    assert (said.code, "gateway people invite" in said.err) == (77, True)
    assert "/login/finish" not in asked(elsewhere)


def test_what_came_from_outside_does_not_draw_on_the_terminal(elsewhere: Any) -> None:
    elsewhere.answers["POST /login/begin"] = (200, BEGUN | {"uri": "https://x\x1b[2J", "code": "A\x07B"})
    said = elsewhere.run("login")
    assert "\x1b[2J" not in said.err
    assert "\x07" not in said.err


def test_a_wrong_code_is_not_tried_again_without_a_person(elsewhere: Any, problem: Any) -> None:
    elsewhere.answers["POST /login/finish"] = problem(401, "authentication-failed", "not accepted")
    assert elsewhere.run("login").code == 77
    assert asked(elsewhere).count("/login/finish") == 1


def test_a_lost_factor_is_given_up_after_the_provider_knew_the_person(
    elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_RECOVERY_CODE", "aaaa-bbbb-cccc-dddd")
    elsewhere.answers["POST /login/recover"] = (200, {"invitation": "invited"})
    elsewhere.answers["POST /login/enrol/begin"] = (
        200, {"uri": "otpauth://totp/x?secret=ABC", "secret": "ABC", "expires_at": "2026-03-02T09:00:00+00:00"},
    )  # fmt: skip
    elsewhere.answers["POST /login/enrol/finish"] = (200, {"recovery_codes": ["one"]})
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("123456\n"))
    said = elsewhere.run("people", "recover")
    assert said.code == 0, said.err
    bodies = {path: elsewhere.sent(at) for at, path in enumerate(asked(elsewhere)) if path.startswith("/login/")}
    assert bodies["/login/recover"] == {"token": "login-token-secret", "recovery_code": "aaaa-bbbb-cccc-dddd"}
    assert bodies["/login/enrol/finish"] == {"token": "login-token-secret", "invitation": "invited", "otp": "123456"}


def test_a_login_is_released_by_name(elsewhere: Any) -> None:
    elsewhere.answers["POST /people/bob/release-login"] = (200, {"login": "bob"})
    said = elsewhere.run("people", "release", "bob")
    assert (said.code, "`bob` is free" in said.err) == (0, True)
    assert elsewhere.run("people", "release", "../x").code == 1
