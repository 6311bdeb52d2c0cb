"""A browser at an API whose people are an identity provider's: led there, confirmed by a code, asked for the second
factor of the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import httpx2
import pytest
from gateway_fixture import change_yaml, eventually
from http_house import HttpHouse, open_http_house
from http_visitor import Visitor, led_to, said
from oidc_provider import Browser, ProviderProcess, running
from provider_house import CALLBACK, at_provider
from test_provider_story import enrol, otp

from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def office(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HttpHouse, ProviderProcess]]:
    directory = tmp_path_factory.mktemp("provider")
    with open_http_house(directory, postgres) as place:
        house = place.house
        house.gateway.stop()
        provider = ProviderProcess(directory / "provider", f"https://localhost:{house.company.ports['api']}{CALLBACK}")
        oidc = at_provider(house, provider)
        change_yaml(house.company.config, lambda tree: tree.update({"directory": oidc}))
        with running(provider):
            house.gateway.start()
            yield place, provider


def test_a_person_of_a_provider_comes_in_and_is_gone_when_the_provider_says_so(
    office: tuple[HttpHouse, ProviderProcess],
) -> None:
    place, provider = office
    visitor = Visitor(place)
    shown = visitor.window("/.gateway/")
    assert "identity provider" in shown.text
    assert 'type="password"' not in shown.text
    assert said(visitor.send("sign-in", {"login": "alice", "password": "x", "code": "1"})) == "sign-in-elsewhere"

    # somebody else's browser, with the page's address and without its code, gets nobody in
    begin(place, visitor)
    assert said(go_on(visitor)) == "request-invalid"
    agree(place, visitor, "u-1")
    answer = go_on(visitor)
    assert said(answer) == "second-factor-required"
    assert "no second factor here yet" in answer.text

    enrol(place.house, "alice", "u-1")
    begin(place, visitor)
    agree(place, visitor, "u-1")
    assert "Now the second factor" in go_on(visitor).text
    wrong = go_on(visitor, code="000000")
    assert said(wrong) == "authentication-failed"
    assert led_to(go_on(visitor, code=otp(place.house, "alice"))) == "/.gateway/"
    assert "Signed in as <strong>Alice" in visitor.window("/.gateway/").text
    visitor.open(TICKET)
    assert visitor.script("/companies/42/employees/4200").json()["iban"].startswith("FR76*")

    provider.person("u-1")
    eventually(lambda: visitor.turned_away("/companies/42/employees/4200"))
    eventually(lambda: "Sign in to backoffice" in visitor.window("/.gateway/").text)
    visitor.close()


def begin(place: HttpHouse, visitor: Visitor) -> None:
    assert led_to(visitor.send("provider", {"to": ""})) == "/.gateway/"


def go_on(visitor: Visitor, **fields: str) -> httpx2.Response:
    return visitor.send("go-on", {"form": visitor.secret, **fields})


def agree(place: HttpHouse, visitor: Visitor, subject: str) -> None:
    """The person signs in at the provider, in another tab, and types the code that our page shows."""
    page = visitor.window("/.gateway/").text
    url = re.search(r'<a href="([^"]+)" target="_blank"', page)
    code = re.search(r'<code class="large">([^<]+)</code>', page)
    assert url is not None
    assert code is not None
    with Browser(place.house.company.tls.ca) as browser:
        asked = browser.sign_in(unescape(url[1]), subject)
        assert "You are known" in browser.post(str(asked.url), {"code": unescape(code[1])}).text
