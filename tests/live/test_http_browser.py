"""People's browsers at an API: the sign-in, the ticket, the cookie; and everything that must not come of it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from gateway_fixture import awaited, eventually
from http_api import CANARY, CREDENTIAL
from http_house import ODD, OFFICE, HttpHouse, open_http_house, token
from http_visitor import HTML, SCRIPT, WINDOW, Visitor, heading, led_to, said

from gateway.demo.company import FOREIGN_TICKET, SECOND_TICKET, TICKET, write_tickets
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

EMPLOYEE = "/companies/42/employees/4200"
PAGE = "/companies/42/page"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("browser"), postgres) as place:
        yield place


@pytest.fixture
def visitor(place: HttpHouse) -> Iterator[Visitor]:
    one = Visitor(place)
    yield one
    one.close()


@pytest.fixture(scope="module")
def alice(place: HttpHouse) -> Iterator[Visitor]:
    """Alice's browser, signed in once: each of her codes is taken once only."""
    one = Visitor(place)
    one.told = one.sign_in(to=PAGE).headers["set-cookie"]
    yield one
    one.close()


@pytest.fixture
def inside(alice: Visitor) -> Visitor:
    """The same at work under her ticket; what a test takes away is given back."""
    if f"You work under {TICKET}" not in alice.window("/.gateway/").text:
        led_to(alice.open(TICKET))
    return alice


@pytest.fixture(scope="module")
def amir(place: HttpHouse) -> Iterator[Visitor]:
    """Another browser, of somebody else with a ticket of another customer."""
    one = Visitor(place)
    led_to(one.sign_in("amir"))
    yield one
    one.close()


def test_a_person_signs_in_chooses_a_ticket_and_sees_what_is_masked(
    place: HttpHouse, alice: Visitor, visitor: Visitor
) -> None:
    del place.office.seen[:]
    led = visitor.window(PAGE)
    assert led_to(led) == "/.gateway/?to=%2Fcompanies%2F42%2Fpage"
    shown = visitor.window(led_to(led))
    assert (shown.status_code, heading(shown)) == (200, "Sign in to backoffice")
    assert f'name="to" value="{PAGE}"' in shown.text

    (record,) = logins(place, "sign-in", "alice")
    assert (record["decision"], record["engine"], record["factor"]) == ("permit", "http", "totp")
    assert "Signed in as <strong>Alice" in alice.window("/.gateway/").text
    assert said(alice.script(EMPLOYEE)) == "ticket-required"
    assert led_to(alice.window(PAGE)).startswith("/.gateway/?to=")
    assert place.office.seen == []

    follower = place.house.follow()
    assert led_to(alice.open(TICKET)) == PAGE
    record = awaited(follower, lambda one: one["kind"] == "login" and one["method"] == "browser")
    assert (record["decision"], record["ticket"], record["target"]) == ("permit", TICKET, OFFICE)
    assert "pass" not in record
    page = alice.window(PAGE)
    assert "<h1>Company 42</h1>" in page.text
    record = awaited(follower, lambda one: one["kind"] == "statement.begin")
    assert (record["unmasked"], record["ticket"], record["login"]) == (["text/html"], TICKET, "alice")
    one = alice.script(EMPLOYEE)
    assert one.json()["iban"].startswith("FR76*")
    assert CANARY not in one.text
    now = alice.window("/.gateway/").text
    assert f"You work under {TICKET}" in now
    assert re.search(r"customer 42; reading; until <time", now)


def logins(place: HttpHouse, method: str, login: str) -> list[dict[str, Any]]:
    """The log-ins on record."""
    return [
        record
        for record in place.house.records()
        if record["kind"] == "login" and record.get("login") == login and record["method"] == method
    ]


def test_the_cookie_is_the_hosts_own_and_neither_it_nor_the_apis_goes_through(
    place: HttpHouse, inside: Visitor
) -> None:
    assert inside.told == f"__Host-gateway-backoffice={inside.cookie}; Path=/; Secure; HttpOnly; SameSite=Strict"
    del place.office.seen[:]
    answer = inside.script(EMPLOYEE, cookie=f"__Host-gateway-backoffice={inside.cookie}; session=mine")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    (seen,) = place.office.seen
    assert seen.header("cookie") is None
    assert seen.header("authorization") == CREDENTIAL
    assert inside.cookie not in repr(seen)


@pytest.mark.parametrize("where", ["/.gateway/", "/.gateway", "/.gateway/?to=/companies/42/page"])
def test_our_pages_run_nothing_load_nothing_and_are_framed_and_kept_by_nobody(visitor: Visitor, where: str) -> None:
    answer = visitor.window(where)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", answer.text.split("</style>")[1])
    headers = answer.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["strict-transport-security"] == "max-age=63072000"
    assert headers["referrer-policy"] == "same-origin"


def test_a_program_without_a_pass_is_told_so_as_before(visitor: Visitor) -> None:
    answer = visitor.client.get(EMPLOYEE, headers={"accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication-failed")
    assert answer.headers["www-authenticate"] == 'Bearer realm="gateway"'
    answer = visitor.script(EMPLOYEE, accept=HTML)
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication-failed")


def test_which_part_was_wrong_is_not_told(place: HttpHouse, visitor: Visitor) -> None:
    password = place.house.actor("carol").password
    tries = [
        {"login": "carol", "password": "wrong", "code": "000000"},
        {"login": "carol", "password": password, "code": "000000"},
        {"login": "nobody-of-that-name", "password": password, "code": "000000"},
        {"login": "carol", "password": password},
        {"login": "", "password": "", "code": ""},
    ]
    answers = [visitor.send("sign-in", one) for one in tries]
    assert {one.status_code for one in answers} == {401}
    assert {said(one) for one in answers} == {"authentication-failed"}
    texts = {re.sub(r'name="login" value="[^"]*"', "", one.text) for one in answers}
    assert len(texts) == 1
    assert all("set-cookie" not in one.headers for one in answers)


def test_what_was_typed_comes_back_escaped(visitor: Visitor) -> None:
    answer = visitor.send("sign-in", {"login": '"><script>alert(1)</script>', "password": "x", "code": "1"})
    assert "<script" not in answer.text
    assert "&quot;&gt;&lt;script&gt;" in answer.text


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example/", "\\\\evil.example", "/%5cevil.example",
        "/%2f%2fevil",
        "javascript:alert(1)",
        "/.gateway/sign-out", "/%2egateway/", "/a//b", "/a\r\nset-cookie:x=y", "", "/../x", "/;x",
        "/\t/evil.example", "/a?b=<script>", "/" + "a" * 3000, "evil.example", "@evil.example",
    ],
    ids=lambda to: ascii(to[:24]),
)  # fmt: skip
def test_the_way_back_never_leads_elsewhere(visitor: Visitor, to: str) -> None:
    assert visitor.client.get("/.gateway/", params={"to": to}, headers=WINDOW).text.count('name="to" value=""') == 1
    answer = visitor.send("sign-in", {"login": "x", "password": "x", "code": "1", "to": to})
    assert 'name="to" value=""' in answer.text or said(answer) == "request-invalid"


FOREIGN: dict[str, dict[str, str]] = {
    "nobody says": {"sec-fetch-site": ""},
    "another site": {"sec-fetch-site": "cross-site"},
    "another port of this host": {"sec-fetch-site": "same-site"},
    "another origin": {"origin": "https://evil.example"},
    "a sandboxed page": {"origin": "null"},
    "the console": {"origin": "https://localhost:8443"},
    "without tls": {"origin": "http://localhost"},
    "a service worker": {"sec-fetch-dest": "serviceworker", "service-worker": "script"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", EMPLOYEE), ("PATCH", EMPLOYEE), ("POST", "/companies/42/notes")]
)  # fmt: skip
def test_a_request_by_cookie_from_elsewhere_is_refused(
    place: HttpHouse, inside: Visitor, method: str, path: str, headers: dict[str, str]
) -> None:
    del place.office.seen[:]
    body = None if method == "GET" else {"text": "x"}
    given = {name: value for name, value in {**SCRIPT, "origin": inside.origin, **headers}.items() if value}
    answer = inside.client.request(method, path, headers=given, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site-request")
    assert place.office.seen == []


def test_a_write_by_cookie_has_to_name_our_origin(place: HttpHouse, inside: Visitor) -> None:
    del place.office.seen[:]
    answer = inside.client.post("/companies/42/notes", headers=SCRIPT, json={"text": "x"})
    assert answer.json()["code"] == "cross-site-request"
    answer = inside.script("/companies/42/notes", "POST", {"text": "x"}, **{"sec-fetch-site": "none"})
    assert answer.json()["code"] == "cross-site-request"
    # of our own origin it is judged, and the grant is for reading
    assert inside.script("/companies/42/notes", "POST", {"text": "x"}).json()["code"] == "read-only"
    assert place.office.seen == []


def test_a_link_from_elsewhere_asks_first(place: HttpHouse, inside: Visitor) -> None:
    del place.office.seen[:]
    led = inside.window(PAGE, **{"sec-fetch-site": "same-site"})
    where = led_to(led)
    # the browser goes there for the other site still, whether it shows the cookie or not
    shown = inside.window(where, **{"sec-fetch-site": "same-site"})
    assert f'<a class="button quiet" href="{PAGE}">Go on</a>' in shown.text
    assert "Alice" not in shown.text
    assert place.office.seen == []
    assert inside.window(PAGE, **{"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_pass_and_a_cookie_in_one_request_are_refused(place: HttpHouse, inside: Visitor, scheme: str) -> None:
    opened = place.opened()
    shown = f"Bearer {token(opened)}" if scheme == "Bearer" else "Basic YWxpY2U6Z3dwXw=="
    for path in (EMPLOYEE, "/.gateway/"):
        answer = inside.script(path, authorization=shown)
        assert (answer.status_code, answer.json()["code"]) == (400, "credentials-ambiguous")


def test_two_cookies_are_none(inside: Visitor) -> None:
    name, value = "__Host-gateway-backoffice", inside.cookie
    for cookies in (
        f"{name}={value}; {name}={'A' * 43}",
        f"{name}={'A' * 43}; {name}={value}",
        f"{name}={value};{name}={value}",
        f"{name}=; {name}={value}",
    ):
        answer = inside.client.get(EMPLOYEE, headers={**SCRIPT, "cookie": cookies})
        assert answer.json()["code"] == "credentials-ambiguous"
    # HTTP/2 may send them apart (RFC 9113, 8.2.3), and so may whoever tosses one in
    parts = [*SCRIPT.items(), ("cookie", f"{name}={value}"), ("cookie", f"{name}={value}")]
    assert inside.client.get(EMPLOYEE, headers=parts).json()["code"] == "credentials-ambiguous"


@pytest.mark.parametrize(
    "name", ["gateway-backoffice", "__Host-gateway-odd", "__host-gateway-backoffice", "__Host-gateway", "session"]
)
def test_a_cookie_of_another_name_is_none(inside: Visitor, name: str) -> None:
    answer = inside.client.get(EMPLOYEE, headers={**SCRIPT, "cookie": f"{name}={inside.cookie}"})
    assert answer.json()["code"] == "authentication-failed"


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "A" * 44, "é" * 43, '"' + "A" * 41 + '"'])
def test_a_cookie_that_nobody_gave_is_none(inside: Visitor, value: str) -> None:
    cookie = f"__Host-gateway-backoffice={value}".encode()
    headers = [*((one.encode(), two.encode()) for one, two in SCRIPT.items()), (b"cookie", cookie)]
    answer = inside.client.get(EMPLOYEE, headers=headers)
    assert answer.json()["code"] in ("authentication-failed", "session-expired", "protocol-violation")


def test_a_cookie_of_one_api_opens_no_other(place: HttpHouse, inside: Visitor) -> None:
    other = Visitor(place, ODD)
    for name in ("__Host-gateway-odd", "__Host-gateway-backoffice"):
        answer = other.script(EMPLOYEE, cookie=f"{name}={inside.cookie}")
        assert answer.json()["code"] in ("session-expired", "authentication-failed")
        shown = other.client.get("/.gateway/", headers={**WINDOW, "cookie": f"{name}={inside.cookie}"})
        assert heading(shown) == "Sign in to odd"
        assert "Alice" not in shown.text
    assert place.odd.heads == []
    other.close()


def test_a_sign_in_gives_a_new_cookie_and_ends_what_the_browser_was_before(place: HttpHouse, visitor: Visitor) -> None:
    planted, name = "P" * 43, "__Host-gateway-backoffice"
    visitor.client.headers["cookie"] = f"{name}={planted}"
    first = re.sub(r".*=(.{43});.*", r"\1", visitor.sign_in("dan").headers["set-cookie"])
    assert first != planted
    visitor.client.headers["cookie"] = f"{name}={first}"
    assert "Signed in as <strong>Dan" in visitor.window("/.gateway/").text
    second = re.sub(r".*=(.{43});.*", r"\1", visitor.sign_in("carol").headers["set-cookie"])
    assert second not in (first, planted)
    for old in (planted, first):
        visitor.client.headers["cookie"] = f"{name}={old}"
        assert heading(visitor.window("/.gateway/")) == "Sign in to backoffice"
        assert visitor.script(EMPLOYEE).json()["code"] == "session-expired"


FORMS: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site"},
    "another port of this host": {"sec-fetch-site": "same-site", "origin": "https://localhost:1"},
    "another origin": {"origin": "https://evil.example"},
    "no origin": {"origin": ""},
    "null": {"origin": "null"},
    "nobody says": {"sec-fetch-site": ""},
    "a script": {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    "a frame": {"sec-fetch-dest": "iframe"},
    "another media type": {"content-type": "text/plain"},
    "json": {"content-type": "application/json"},
}


@pytest.mark.parametrize("headers", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("form", ["sign-in", "enter", "open", "sign-out", "go-on", "key", "provider"])
def test_a_form_that_our_own_page_did_not_send_is_refused(inside: Visitor, form: str, headers: dict[str, str]) -> None:
    given = {**WINDOW, "sec-fetch-site": "same-origin", "origin": inside.origin,
             "content-type": "application/x-www-form-urlencoded", **headers}  # fmt: skip
    content = f"form={inside.secret}&ticket={TICKET}".encode()
    answer = inside.client.post(
        f"/.gateway/{form}", headers={name: value for name, value in given.items() if value}, content=content
    )
    assert answer.status_code in (400, 403)
    assert said(answer) in ("cross-site-request", "request-invalid")
    assert "set-cookie" not in answer.headers
    assert inside.script(EMPLOYEE).status_code == 200


@pytest.mark.parametrize("form", ["enter", "open", "sign-out", "go-on"])
@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "é"])
def test_a_form_of_who_is_signed_in_needs_the_pages_secret(inside: Visitor, form: str, secret: str) -> None:
    answer = inside.send(form, {"form": secret, "ticket": SECOND_TICKET})
    assert (answer.status_code, said(answer)) == (403, "cross-site-request")
    assert inside.script(EMPLOYEE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [SCRIPT, {**WINDOW, "sec-fetch-dest": "iframe"}, {**WINDOW, "sec-fetch-dest": "embed"}, {"accept": HTML},
     {**WINDOW, "sec-fetch-site": "cross-site"}, {**WINDOW, "sec-fetch-site": "same-site"}],
    ids=["a script", "a frame", "an embed", "nobody says", "another site", "another port"],
)  # fmt: skip
def test_a_page_of_the_apis_cannot_read_our_page(inside: Visitor, headers: dict[str, str]) -> None:
    """It is of the same origin: what it may read is what we tell scripts and frames, which is nothing of the person."""
    answer = inside.client.get("/.gateway/", headers=headers)
    assert "Alice" not in answer.text
    assert 'name="form"' not in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"login=a&login=b",
        b"login=a&more=b",
        b"x" * 9000,
        b"login=%ff",
        "login=é".encode(),
        b"&".join([b"a=b"] * 30),
        b"login=a%00b",
        b"login=" + b"x" * 257,
    ],
    ids=["twice", "unknown", "long", "not UTF-8", "not ASCII", "many", "a control character", "a long name"],
)
def test_a_form_that_is_none_of_ours_is_refused(visitor: Visitor, content: bytes) -> None:
    headers = {**WINDOW, "sec-fetch-site": "same-origin", "origin": visitor.origin,
               "content-type": "application/x-www-form-urlencoded"}  # fmt: skip
    answer = visitor.client.post("/.gateway/sign-in", headers=headers, content=content)
    assert said(answer) in ("request-invalid", "message-too-large")


@pytest.mark.parametrize(
    "path",
    ["/.gateway/anything", "/%2egateway/anything", "/%2Egateway/anything", "/.GATEWAY/anything", "/.gatewa%79/anything",
     "/.gateway%2fanything", "//.gateway/anything", "/./.gateway/anything", "/.gateway;x/anything",
     "/%EF%BC%8Egateway/anything", "/.gateway/../x/anything", "/.gateway./anything"],
)  # fmt: skip
def test_what_our_pages_are_called_reaches_no_target(place: HttpHouse, path: str) -> None:
    opened = place.opened()
    del place.office.seen[:]
    shown = f"Authorization: Bearer {token(opened)}"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost:{place.ports[OFFICE]}\r\n{shown}\r\nConnection: close\r\n\r\n"
    assert b" 200 " not in place.raw(head.encode()).partition(b"\r\n")[0]
    assert place.office.seen == []
    assert b" 200 " in place.raw(head.replace(path, "/other/anything").encode()).partition(b"\r\n")[0]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_our_pages_know_two_methods(visitor: Visitor, method: str) -> None:
    answer = visitor.client.request(method, "/.gateway/", headers=WINDOW)
    assert said(answer) == "not-found"


def test_a_ticket_that_does_not_justify_it_is_told_with_the_reason(inside: Visitor) -> None:
    answer = inside.open("SUP-999999")
    assert said(answer) == "ticket-not-found"
    assert "Signed in as" in answer.text
    assert inside.script(EMPLOYEE).status_code == 200


def test_missing_and_anothers_are_one_page(inside: Visitor) -> None:
    foreign, missing = inside.window("/companies/43/employees/4300"), inside.window("/companies/42/employees/999999")
    assert foreign.status_code == missing.status_code == 404
    assert (list(foreign.headers.items()), foreign.content) == (list(missing.headers.items()), missing.content)
    assert said(foreign) == "not-found"
    assert said(inside.window("/nothing/of/that/kind")) == "route-not-available"


def test_another_persons_grant_cannot_be_chosen(place: HttpHouse, inside: Visitor, amir: Visitor) -> None:
    assert led_to(amir.open(FOREIGN_TICKET)) == "/.gateway/"
    (record,) = logins(place, "browser", "amir")
    follower = place.house.follow()
    for grant in (record["grant"], "grant-x", ""):
        assert said(inside.send("enter", {"form": inside.secret, "grant": grant})) == "not-found"
        refused = awaited(follower, lambda one: one["kind"] == "login")
        assert (refused["decision"], refused["code"], refused["login"]) == ("deny", "not-found", "alice")
    assert record["grant"] not in inside.window("/.gateway/").text
    # and his own shows his customer, who is not hers
    assert amir.script("/companies/43/employees/4300").status_code == 200
    assert amir.script(EMPLOYEE).status_code == 404


def test_a_grant_of_another_target_opens_nothing_here(place: HttpHouse, inside: Visitor) -> None:
    elsewhere = place.opened("alice", ODD)["grant"]
    assert said(inside.send("enter", {"form": inside.secret, "grant": elsewhere})) == "not-found"


def test_a_request_to_write_waits_on_the_page_until_somebody_agrees(place: HttpHouse, inside: Visitor) -> None:
    del place.office.seen[:]
    bob = place.house.actor("bob")
    assert led_to(inside.open(TICKET, write="yes", reason="a note is missing")) == "/.gateway/"
    shown = inside.window("/.gateway/")
    assert "Waiting for approval" in shown.text
    assert "can be approved by" in shown.text
    assert shown.headers["refresh"] == "10; url=/.gateway/"
    request = re.search(r"request <code>([^<]+)</code>", shown.text)
    assert request is not None
    assert said(inside.script("/companies/42/notes", "POST", {"text": "x"})) == "read-only"
    bob.approve(request[1], "seen")
    agreed = inside.window("/.gateway/").text
    grant = re.search(r'customer 42; reading and writing; until .*?name="grant" value="([^"]+)"', agreed)
    assert grant is not None
    assert led_to(inside.send("enter", {"form": inside.secret, "grant": grant[1]})) == "/.gateway/"
    assert inside.script("/companies/42/notes", "POST", {"text": "x"}).status_code == 201
    assert [seen.method for seen in place.office.seen] == ["POST"]


def test_fields_in_clear_are_asked_for_on_the_page(place: HttpHouse, inside: Visitor) -> None:
    masked = inside.script(EMPLOYEE).json()["iban"]
    shown = inside.window("/.gateway/").text
    assert re.findall(r'name="reveal" value="([^"]+)"', shown) == ["employee $.iban"]
    assert led_to(inside.open(TICKET, reveal=["employee $.iban"], reason="a transfer came back")) == "/.gateway/"
    waiting = inside.window("/.gateway/").text
    request = re.findall(r"request <code>([^<]+)</code>", waiting)
    assert len(request) == 1
    assert inside.script(EMPLOYEE).json()["iban"] == masked
    place.house.actor("bob").approve(request[0], "the bank was called")
    grant = re.search(
        r'customer 42; reading, 1 field in clear; until .*?name="grant" value="([^"]+)"',
        inside.window("/.gateway/").text,
    )
    assert grant is not None
    assert led_to(inside.send("enter", {"form": inside.secret, "grant": grant[1]})) == "/.gateway/"
    clear = inside.script(EMPLOYEE).json()["iban"]
    assert clear != masked
    assert clear.startswith("FR76")
    assert CANARY in clear


@pytest.mark.parametrize(
    "reveal",
    [
        ["employee $.secret"],
        ["employee"],
        ["employee $.last_name", "employee $.iban"],
        ["note $.text"],
        ["x y"] * 3,
    ],
)
def test_fields_that_the_policy_keeps_are_not_asked_for(inside: Visitor, reveal: list[str]) -> None:
    before = inside.window("/.gateway/").text.count("request <code>")
    answer = inside.open(TICKET, reveal=reveal, reason="because")
    assert said(answer) == "column-not-available"
    assert inside.window("/.gateway/").text.count("request <code>") == before


def test_a_form_names_no_field_twice_but_those_to_see_in_clear(inside: Visitor) -> None:
    assert said(inside.open(TICKET, write=["yes", "yes"])) == "request-invalid"
    assert said(inside.open(TICKET, reveal=["employee $.iban"] * 70)) == "request-invalid"
    assert said(inside.open(TICKET, reveal="employee $.iban\nemployee $.secret")) == "request-invalid"


def test_the_glass_is_broken_on_the_page_with_a_reason(place: HttpHouse, inside: Visitor) -> None:
    assert said(inside.open(SECOND_TICKET, write="yes", break_glass="yes")) == "request-invalid"
    follower = place.house.follow()
    assert led_to(inside.open(SECOND_TICKET, write="yes", break_glass="yes", reason="payroll is down"))
    opened = awaited(follower, lambda one: one["kind"] == "break_glass.opened")
    assert (opened["ticket"], opened["login"]) == (SECOND_TICKET, "alice")
    assert "reading and writing, in an emergency" in inside.window("/.gateway/").text
    assert inside.script("/companies/41/notes", "POST", {"text": "x"}).status_code == 201


def test_changing_the_ticket_ends_the_session_under_the_other(place: HttpHouse, inside: Visitor) -> None:
    follower = place.house.follow()
    inside.open(SECOND_TICKET)
    ended = awaited(follower, lambda one: one["kind"] == "session.end")
    assert ended["ticket"] == TICKET
    assert f"You work under {SECOND_TICKET}" in inside.window("/.gateway/").text
    assert inside.script(EMPLOYEE).status_code == 404
    assert inside.script("/companies/41/employees/4100").status_code == 200


def ends(place: HttpHouse, inside: Visitor, act: Callable[[], object], code: str) -> None:
    """What ends a pass ends a browser's access: an answer under way is cut, the next request refused, and told why."""
    follower = place.house.follow()
    headers = {**SCRIPT, "cookie": f"__Host-gateway-backoffice={inside.cookie}"}
    with inside.client.stream("GET", "/companies/42/export?lines=100000&slow=true", headers=headers) as answer:
        parts = answer.iter_bytes()
        assert next(parts)
        act()
        with pytest.raises(httpx2.HTTPError):
            list(parts)
    end = awaited(follower, lambda one: one["kind"] == "session.end", 20)
    assert end["code"] == code
    assert said(inside.script(EMPLOYEE)) == code
    told = inside.window("/.gateway/")
    assert said(told) == code
    assert "You work under" not in told.text
    assert led_to(inside.window(PAGE)).startswith("/.gateway/?to=")


def test_a_revoked_grant_ends_it(place: HttpHouse, inside: Visitor) -> None:
    (*_, record) = logins(place, "browser", "alice")
    ends(place, inside, lambda: place.house.actor("bob").revoke(record["grant"], "enough"), "grant-revoked")


def test_a_closed_ticket_ends_it(place: HttpHouse, inside: Visitor) -> None:
    tickets = place.house.company.tickets
    try:
        ends(place, inside, lambda: write_tickets(tickets, {TICKET: {"status": "closed"}}), "access-ended")
        assert said(inside.open(TICKET)) == "ticket-closed"
    finally:
        write_tickets(tickets)
    eventually(lambda: inside.open(TICKET).status_code == 303)


def test_a_changed_policy_ends_it(place: HttpHouse, inside: Visitor) -> None:
    path = place.house.company.directory / "policies" / f"{OFFICE}.yaml"
    before = path.read_text()

    def change() -> None:
        path.write_text(before.replace("max: 8h", "max: 7h"))
        assert place.house.gateway.pid is not None
        os.kill(place.house.gateway.pid, signal.SIGHUP)

    ends(place, inside, change, "policy-changed")
    assert led_to(inside.open(TICKET)) == "/.gateway/"


def signins(place: HttpHouse) -> int:
    """How many sign-ins of Alice's the store has."""
    with contextlib.closing(sqlite3.connect(place.house.company.state / "gateway.sqlite")) as store:
        ((count,),) = store.execute("select count(*) from tokens where person = 'p-001'")
    return int(count)


def test_signing_out_ends_it(place: HttpHouse, inside: Visitor) -> None:
    assert inside.script(EMPLOYEE).status_code == 200
    before, follower = inside.cookie, place.house.follow()
    out = inside.send("sign-out", {"form": inside.secret})
    assert heading(out) == "Signed out"
    assert out.headers["set-cookie"].endswith("Max-Age=0")
    assert out.headers["clear-site-data"] == '"storage"'
    awaited(follower, lambda one: one["kind"] == "session.end")
    api = place.house.actor("alice")
    eventually(lambda: signins(place) == int(bool(api._token)))
    headers = {**SCRIPT, "cookie": f"__Host-gateway-backoffice={before}"}
    assert inside.client.get(EMPLOYEE, headers=headers).json()["code"] == "session-expired"
    assert heading(inside.window("/.gateway/")) == "Sign in to backoffice"


def test_a_suspended_person_is_signed_out(place: HttpHouse, amir: Visitor) -> None:
    led_to(amir.open(FOREIGN_TICKET))
    assert amir.script("/companies/43/employees/4300").status_code == 200
    for words in (["login", "bea"], ["people", "suspend", "amir", "--reason", "left the building"]):
        done = place.house.command("bea", *words, otp=words[0] == "login")
        assert done.returncode == 0, done.stderr
    eventually(lambda: amir.turned_away("/companies/43/employees/4300"))
    assert heading(amir.window("/.gateway/")) == "Sign in to backoffice"
