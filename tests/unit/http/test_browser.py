"""What a browser's request proves by itself, read from its headers alone."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http import browser
from gateway.http.judge import judge
from gateway.http.message import HttpRequest
from gateway.policy.load import parse_policy

HOST = "gateway.example:8444"
ORIGIN = f"https://{HOST}"
NAME = "__Host-gateway-office"
VALUE = "v" * 43

Fields = list[tuple[bytes, bytes]]


def fields(**given: str) -> Fields:
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in given.items()]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (f"{NAME}={VALUE}", VALUE),
        (f"a=b; {NAME}={VALUE}; c=d", VALUE),
        (f"a=b;{NAME}={VALUE}", VALUE),
        (f"a={NAME}={VALUE}", ""),
        (f"{NAME}x={VALUE}", ""),
        (f"__host-gateway-office={VALUE}", ""),
        (f"__Host-gateway-other={VALUE}", ""),
        (f"gateway-office={VALUE}", ""),
        (f"{NAME}={VALUE}v", ""),
        (f"{NAME}={VALUE[1:]}=", ""),
        (f'{NAME}="{VALUE[2:]}"', ""),
        (f"{NAME}={VALUE},{NAME}={VALUE}", ""),
        (NAME, ""),
        ("", ""),
    ],
)
def test_a_cookie_is_read_by_its_whole_name_and_form(given: str, found: str) -> None:
    assert browser.cookie_of(fields(cookie=given), "office") == found


@pytest.mark.parametrize(
    "given",
    [
        fields(cookie=f"{NAME}={VALUE}; {NAME}={VALUE}"),
        fields(cookie=f"{NAME}={VALUE}") * 2,
        fields(cookie=f"{NAME}=; a=b", Cookie=f"{NAME}={VALUE}"),
        fields(cookie=f"{NAME}=x;{NAME} = y"),
    ],
    ids=["in one field", "in two", "one of them empty", "spaced"],
)
def test_two_of_one_name_are_ambiguous(given: Fields) -> None:
    with pytest.raises(GatewayError) as caught:
        browser.cookie_of(given, "office")
    assert caught.value.code == "credentials-ambiguous"


@given(st.text(max_size=80))
def test_any_cookie_field_is_read(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    found = browser.cookie_of([(b"cookie", raw)], "office")
    assert found == "" or len(found) == 43


SAFE = {"sec_fetch_site": "same-origin"}
OWN = {"sec_fetch_site": "same-origin", "origin": ORIGIN}


@pytest.mark.parametrize(
    ("method", "given", "let_in"),
    [
        ("GET", SAFE, True),
        ("GET", {"sec_fetch_site": "none"}, True),
        ("GET", OWN, True),
        ("HEAD", SAFE, True),
        ("POST", OWN, True),
        ("DELETE", {**OWN, "origin": ORIGIN.upper().replace("HTTPS", "https")}, False),
        ("GET", {}, False),
        ("GET", {"sec_fetch_site": "same-site"}, False),
        ("GET", {"sec_fetch_site": "cross-site"}, False),
        ("GET", {"sec_fetch_site": "Same-Origin"}, False),
        ("GET", {"sec_fetch_site": "something-new"}, False),
        ("GET", {**SAFE, "origin": "https://evil.example"}, False),
        ("GET", {**SAFE, "origin": "null"}, False),
        ("GET", {**SAFE, "origin": "https://gateway.example"}, False),
        ("GET", {**SAFE, "service_worker": "script"}, False),
        ("GET", {**SAFE, "sec_fetch_dest": "serviceworker"}, False),
        ("POST", SAFE, False),
        ("POST", {**OWN, "sec_fetch_site": "none"}, False),
        ("POST", {**OWN, "origin": f"{ORIGIN}.evil.example"}, False),
        ("POST", {**OWN, "origin": f"http://{HOST}"}, False),
        ("POST", {**OWN, "origin": "https://gateway.example:8445"}, False),
        ("OPTIONS", SAFE, False),
    ],
)
def test_a_request_by_cookie_comes_from_our_own_origin(method: str, given: dict[str, str], let_in: bool) -> None:
    refusal = browser.refuse_cookie(method, fields(**given), HOST)
    assert (refusal is None) is let_in
    assert refusal is None or refusal.code == "cross-site-request"


def test_what_is_said_twice_says_nothing() -> None:
    assert browser.refuse_cookie("GET", fields(**SAFE) * 2, HOST) is not None
    assert browser.refuse_cookie("POST", [*fields(**OWN), *fields(origin=ORIGIN)], HOST) is not None
    assert browser.refuse_form([*fields(**FORM), *fields(origin=ORIGIN)], HOST) is not None


FORM = {**OWN, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}


@pytest.mark.parametrize("missing", FORM)
def test_a_form_shows_all_that_a_browser_says(missing: str) -> None:
    assert browser.refuse_form(fields(**FORM), HOST) is None
    assert browser.refuse_form(fields(**{name: value for name, value in FORM.items() if name != missing}), HOST)
    assert browser.refuse_form(fields(**{**FORM, missing: "x"}), HOST)


@given(st.text(max_size=60) | st.text(alphabet="/\\:.?#%;@a2f5cC&=", max_size=24))
def test_the_way_back_stays_on_this_origin(text: str) -> None:
    found = browser.local_path(text)
    if not found:
        return
    assert browser.local_path(found) == found
    there = urlsplit(urljoin(ORIGIN, found))
    assert (there.scheme, there.netloc, there.fragment) == ("https", HOST, "")
    assert not there.path.startswith(("//", "/.gateway"))
    assert found.isascii()
    assert found.isprintable()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=%20f", "/a/b?c=d&e=%20f"),
        ("/a?", "/a?"),
        ("/a/", "/a/"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("//a", ""),
        ("/\\a", ""),
        ("/a#b", ""),
        ("/a?b#c", ""),
        ("https://a/", ""),
        ("a", ""),
        ("/.gateway/", ""),
        ("/.Gateway/x", ""),
        ("/%2egateway/x", ""),
        ("/a?" + "b" * 2000, ""),
    ],
)
def test_ways_back(given: str, found: str) -> None:
    assert browser.local_path(given) == found


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({"accept": "text/html,*/*;q=0.8"}, True),
        ({"accept": "application/json, TEXT/HTML;q=0.1"}, True),
        ({"accept": "text/html", "sec_fetch_mode": "navigate"}, True),
        ({"accept": "text/html", "sec_fetch_mode": "cors"}, False),
        ({"accept": "*/*"}, False),
        ({"accept": "text/htmlx"}, False),
        ({"accept": "application/xhtml+xml"}, False),
        ({}, False),
    ],
)
def test_who_waits_for_a_page(given: dict[str, str], page: bool) -> None:
    assert browser.is_navigation(fields(**given)) is page


def test_no_header_of_a_judged_request_is_a_cookie() -> None:
    given = [*fields(accept="*/*", cookie="a=b"), (b"CoOkIe", b"c=d"), (b"x-cookie", b"e")]
    assert [name for name, _ in browser.without_cookies(given)] == [b"accept", b"x-cookie"]


POLICY = """
target: office
access: {{teams: [support], ticket: {{projects: [SUP], states: [open]}}, duration: {{default: 1h, max: 8h}},
         auto_approve: masked_reads, approvers: {{teams: [security]}}}}
http:
  routes:
    any:
      get: {path}
      path: {{word: string}}
      customer: none
      answers: {{200: {{media: unmasked, content_types: [text/html]}}}}
"""


@pytest.mark.parametrize("path", ["/.gateway/{{word}}", "/.GATEWAY/{{word}}"])
def test_no_route_begins_like_our_pages(path: str) -> None:
    text = POLICY.format(path=path.replace("{{", "{").replace("}}", "}"))
    with pytest.raises(GatewayError, match="gateway's own"):
        parse_policy(text, "office.yaml")


@pytest.mark.parametrize("word", [".gateway", "%2Egateway", ".Gateway", "%EF%BC%8Egateway", ".%67ateway"])
def test_no_placeholder_is_met_by_what_our_pages_are_called(word: str) -> None:
    policy = parse_policy(POLICY.format(path="/{word}/x"), "office.yaml")
    assert policy.http is not None
    request = HttpRequest("GET", f"/{word}/x", HOST, ((b"host", HOST.encode()),))
    refused = judge(request, policy.http, ("42",))
    assert getattr(refused, "code", "") in ("route-not-available", "protocol-violation")
    other = judge(HttpRequest("GET", "/gateway/x", HOST, ((b"host", HOST.encode()),)), policy.http, ("42",))
    assert not hasattr(other, "code")
