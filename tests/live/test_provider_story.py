"""People of an identity provider from end to end: a certified provider, the command line, a database session."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from gateway_fixture import House, awaited, eventually
from oidc_provider import Browser, ProviderProcess
from provider_house import Terminal, authenticator, provider_house

from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def office(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, ProviderProcess]]:
    with provider_house(tmp_path_factory.mktemp("office"), postgres) as (house, provider):
        yield house, provider


def no_code(_: float) -> None:
    """Nobody needs to be told of the waiting."""


def agree(house: House, terminal: Terminal, subject: str, **how: object) -> httpx2.Response:
    """The person signs in in a browser and types the code of the terminal."""
    with Browser(house.company.tls.ca) as browser:
        page = browser.sign_in(terminal.uri, subject, **how)
        assert "about to be signed in" in page.text, page.text
        return browser.post(str(page.url), {"code": terminal.code})


def enrol(house: House, login: str, subject: str) -> None:
    """Give a person of the provider a second factor, as the person and the gateway's user do it."""
    first = Terminal(house, login, "login", "--browser")
    assert "You are known" in agree(house, first, subject).text
    code, _, said = first.end()
    assert (code, f"`{login}` is known now, and has no second factor yet" in said) == (77, True), said
    invited = house.command("root", "people", "invite", login, "--local")
    assert invited.returncode == 0, invited.stderr
    second = Terminal(
        house, login, "--output", "json", "people", "enrol", GATEWAY_INVITATION=invited.stdout.strip()
    )  # fmt: skip
    agree(house, second, subject)
    shown = second.shows(r'"secret": "([A-Z2-7]+)"', "out")
    second.answer(authenticator(house, login, shown).spend(no_code))
    code, out, said = second.end()
    assert code == 0, said
    assert "recovery_codes" in out


def otp(house: House, login: str) -> str:
    return authenticator(house, login).spend(no_code)


def test_a_person_of_the_provider_opens_a_ticket_and_is_cut_when_the_provider_removes_her(
    office: tuple[House, ProviderProcess],
) -> None:
    house, provider = office
    enrol(house, "alice", "u-1")
    opening = Terminal(house, "alice", "open", TICKET, "--output", "json", GATEWAY_OTP=otp(house, "alice"))
    agree(house, opening, "u-1")
    code, out, said = opening.end()
    assert code == 0, said
    opened = json.loads(out)
    follower = house.follow()
    with psycopg.connect(
        "", **house.login_as(opened["user"], opened["password"]), autocommit=True
    ) as connection:  # fmt: skip
        assert connection.execute("select count(*) from employees").fetchone() != (0,)
        # asked again and again, and there all the while: the token is rotated each time
        time.sleep(2.5)
        connection.execute("select 1")
        provider.person("u-1")
        awaited(follower, lambda one: one["kind"] == "directory.person" and one["state"] == "gone", 10)
        eventually(lambda: house.sessions() == 0)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="not accepted"):
        psycopg.connect("", **house.login_as(opened["user"], opened["password"]))
    provider.person("u-1", preferred_username="alice", groups=["support"])


def test_the_device_flow_signs_in_with_the_gateway_s_own_factor(office: tuple[House, ProviderProcess]) -> None:
    house, _ = office
    enrol(house, "bob", "u-2")
    terminal = Terminal(house, "bob", "login", "--device", "--output", "json", GATEWAY_OTP=otp(house, "bob"))
    with Browser(house.company.tls.ca) as browser:
        assert browser.device(terminal.uri, terminal.code, "u-2", amr=["pwd", "mfa"]).status_code == 200
    code, out, said = terminal.end()
    assert code == 0, said
    assert json.loads(out)["person"] == {"login": "bob", "name": "Bob", "teams": ["security"]}
    (login,) = [one for one in house.records() if one["kind"] == "login" and one.get("method") == "oidc-device"]
    assert (login["login"], login["factor"], login["decision"]) == ("bob", "totp", "permit")


def test_a_relayed_address_gives_nobody_a_session(office: tuple[House, ProviderProcess]) -> None:
    """Mallory sends Alice the address of a login of his own; she signs in, and is asked for a code that she lacks."""
    house, _ = office
    mallory = Terminal(house, "mallory", "login", "--browser")
    try:
        with Browser(house.company.tls.ca) as alice:
            page = alice.sign_in(mallory.uri, "u-1")
            assert "127.0.0.1" in page.text
            assert mallory.code not in page.text
            assert "That is not the code" in alice.post(str(page.url), {"code": ""}).text
            assert "login was stopped" in alice.post(str(page.url), {"deny": "1"}).text
        code, _, said = mallory.end()
        assert (code, "was not finished" in said) == (77, True), said
    finally:
        mallory.stop()
    logins = [one for one in house.records() if one["kind"] == "login"]
    assert logins[-1]["reason"] == "the person in the browser did not begin the login"
    # and security is told
    eventually(lambda: any(one.get("rule") == "relayed-login" for one in house.records()))


def test_the_pages_run_nothing_and_take_a_form_from_themselves_alone(office: tuple[House, ProviderProcess]) -> None:
    house, _ = office
    terminal = Terminal(house, "alice", "login", "--browser")
    try:
        with Browser(house.company.tls.ca) as browser:
            page = browser.sign_in(terminal.uri, "u-1")
            cookies = [one for one in browser.seen if "set-cookie" in one.headers and "/v1/" in str(one.url)]
            assert re.fullmatch(
                r"__Host-gateway-login=[\w-]{43}; HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure",
                cookies[0].headers["set-cookie"],
            )
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script" not in policy
            assert "form-action 'self'" in policy
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["cache-control"] == "no-store"
            # the code of the provider is not in the address that stays
            assert urlsplit(str(page.url)).query == ""
            for origin in ("https://evil.example", "null", ""):
                assert browser.post(str(page.url), {"code": terminal.code}, origin).status_code == 400
        with Browser(house.company.tls.ca) as other:
            assert other.get(str(page.url)).status_code == 404
            assert other.post(str(page.url), {"code": terminal.code}).status_code == 404
    finally:
        terminal.stop()


def test_an_answer_that_nobody_waits_for_leads_nowhere(office: tuple[House, ProviderProcess]) -> None:
    house, _ = office
    base = f"https://localhost:{house.company.ports['api']}/v1/login"
    with Browser(house.company.tls.ca) as browser:
        for query in (
            "", "?code=x&state=y", "?state=a&state=b&code=x", "?error=<script>alert(1)</script>",
            "?code=x&state=y&redirect_uri=https://evil.example", "?next=//evil.example",
        ):  # fmt: skip
            page = browser.get(f"{base}/callback{query}")
            assert (page.status_code, len(browser.seen)) == (404, 1), page.text
            assert "script" not in page.text.replace("description", "")
            browser.seen.clear()
        assert browser.get(f"{base}/go/{'x' * 43}").status_code == 404
        assert browser.get(f"{base}/go/..%2f..%2fversion").status_code in (404, 422, 400)


def test_a_login_in_use_is_not_released(office: tuple[House, ProviderProcess]) -> None:
    house, _ = office
    done = house.command("root", "people", "release", "bob", "--local")
    assert (done.returncode, "`bob` is in use" in done.stderr) == (1, True), done.stderr
    assert house.command("root", "people", "release", "nobody", "--local").returncode == 1


def test_a_password_is_refused_with_the_way_that_there_is(office: tuple[House, ProviderProcess]) -> None:
    house, _ = office
    with pytest.raises(psycopg.OperationalError, match="sign in at the identity provider"):
        psycopg.connect("", **house.login_as(f"carol+{TICKET}", "secret123456"))
    done = Terminal(house, "eve", "login", GATEWAY_LOGIN="alice", GATEWAY_PASSWORD="x", GATEWAY_OTP="123456").end()
    assert (done[0], "sign in at the identity provider" in done[2]) == (77, True), done


def test_the_provider_out_new_logins_fail_and_the_doctor_says_why(office: tuple[House, ProviderProcess]) -> None:
    house, provider = office
    findings = json.loads(house.command("root", "doctor", "--output", "json").stdout)
    found = [(one["level"], one["message"]) for one in findings if one["check"] == "identity provider"]
    assert [level for level, _ in found] == ["ok"] * 3, found
    assert found[-1][1] == "it accepts the client and its secret"
    provider.stop()
    try:
        done = Terminal(house, "alice", "login", "--device").end()
        assert (done[0], "the identity provider cannot be asked" in done[2]) == (1, True), done
        findings = json.loads(house.command("root", "doctor", "--output", "json").stdout)
        (bad,) = [one["message"] for one in findings if one["check"] == "identity provider" and one["level"] == "fail"]
        assert "cannot be reached" in bad
    finally:
        provider.start()
    secret = house.company.directory / "oidc.secret"
    right = secret.read_text()
    secret.write_text("wrong")
    findings = json.loads(house.command("root", "doctor", "--output", "json").stdout)
    secret.write_text(right)
    (bad,) = [one["message"] for one in findings if one["check"] == "identity provider" and one["level"] == "fail"]
    assert "does not accept the client: invalid_client" in bad


def test_the_provider_s_factor_signs_in_where_the_settings_accept_it(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    factor = {"amr": ["mfa"], "acr": ["phr"], "max_age": "1m"}
    with provider_house(tmp_path, postgres, algorithm="ES256", userinfo=True, factor=factor) as (house, _):
        for number, (how, code) in enumerate(
            [({"amr": ["pwd"]}, 77), ({"amr": ["pwd", "mfa"]}, 0), ({"acr": "phr", "amr": []}, 0)]
        ):
            terminal = Terminal(house, f"alice{number}", "login", "--output", "json")
            agree(house, terminal, "u-1", **how)
            done = terminal.end()
            assert done[0] == code, done
        factors = [one["factor"] for one in house.records() if one["kind"] == "login" and one["decision"] == "permit"]
        assert factors == ["provider", "provider"]
        # and never in the device flow, where nobody knows whose terminal it is
        terminal = Terminal(house, "alice", "login", "--device")
        with Browser(house.company.tls.ca) as browser:
            browser.device(terminal.uri, terminal.code, "u-1", amr=["pwd", "mfa"])
        done = terminal.end()
        assert (done[0], "has no second factor yet" in done[2]) == (77, True), done
