"""A real browser at an API behind the gateway: in with a second factor, masked, out again; and what pages from
elsewhere and the API's own page try with its cookie.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import Page, chromium
from gateway_fixture import change_yaml
from http_api import CANARY
from http_house import HttpHouse, open_http_house
from test_security_keys import CODE, Command
from test_security_keys import PAGE as KEY_PAGE

from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

SHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("chromium"), postgres) as place:
        keys = {"rp_id": "localhost", "origins": [f"https://localhost:{place.house.company.ports['api']}"]}
        change_yaml(place.house.company.config, lambda tree: tree.update({"second_factor": {"webauthn": keys}}))
        place.house.gateway.stop()
        place.house.gateway.start()
        yield place


@pytest.fixture(scope="module")
def page(place: HttpHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser"), place.house.company.tls.certificate) as page:
        yield page


@pytest.fixture
def elsewhere(place: HttpHouse) -> Iterator[Elsewhere]:
    with Elsewhere.serving(place) as one:
        yield one


class Elsewhere:
    """A page on another port of the same host, with the host's own certificate: the same site, another origin."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.html = ""

    @classmethod
    @contextlib.contextmanager
    def serving(cls, place: HttpHouse) -> Iterator[Elsewhere]:
        """Serve it."""
        one = cls(0)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = one.html.encode()
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place.house.company.tls.certificate, place.house.company.tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        one.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


def shot(page: Page, name: str) -> None:
    """Keep what is seen, for who asks for it: `SCREENSHOTS=directory`."""
    if SHOTS:
        page.screenshot(Path(SHOTS) / f"{name}.png")


def text(page: Page) -> str:
    return str(page.run("document.body.innerText"))


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.run(f"document.getElementsByName({json.dumps(name)})[0].value = {json.dumps(value)}")


def press(page: Page, button: str) -> None:
    """Press the button of that name as a person does, and wait for the page that comes."""
    page.run("window.before = true")
    place = page.run(
        "(() => { const one = [...document.querySelectorAll('button, a.button')]"
        f".find((one) => one.innerText === {json.dumps(button)}); one.scrollIntoView(); "
        "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
    page.until("window.before === undefined && document.readyState === 'complete'")


def sign_in(place: HttpHouse, page: Page, where: str) -> None:
    alice = place.house.actor("alice")
    page.open(where)
    fill(page, login="alice", password=alice.password, code=alice.code())
    press(page, "Sign in")
    assert "Signed in as Alice Marchand (alice) until" in text(page)


def choose(page: Page) -> None:
    fill(page, ticket=TICKET)
    press(page, "Open")


def test_a_person_comes_in_works_and_leaves(place: HttpHouse, page: Page) -> None:
    del place.office.seen[:]
    page.open(place.url("/companies/42/page"))
    assert page.run("location.pathname") == "/.gateway/"
    shot(page, "1-sign-in")
    fill(page, login="alice", password="wrong", code="123456")
    press(page, "Sign in")
    shot(page, "2-wrong")
    assert "authentication-failed" in text(page)
    alice = place.house.actor("alice")
    fill(page, login="alice", password=alice.password, code=alice.code())
    press(page, "Sign in")
    shot(page, "3-no-ticket")
    assert "Which ticket do you work on?" in text(page)
    fill(page, ticket="SUP-1424")
    press(page, "Open")
    shot(page, "4-closed")
    assert "ticket-closed" in text(page)
    assert place.office.seen == []
    choose(page)
    assert page.run("location.pathname") == "/companies/42/page"
    page.until("document.getElementById('said').textContent !== ''")
    shot(page, "5-the-api")
    said = str(page.run("document.getElementById('said').textContent"))
    assert said.startswith("FR76*")
    assert CANARY not in page.run("document.documentElement.outerHTML")
    assert page.run("document.cookie") == ""

    page.open(place.url("/companies/43/page"))
    shot(page, "6-another-customer")
    assert "not-found" in text(page)
    page.open(place.url("/.gateway/"))
    shot(page, "7-inside")
    assert f"You work under {TICKET}" in text(page)
    fill(page, ticket=TICKET, reason="a note is missing")
    page.run("document.getElementsByName('write')[0].checked = true")
    press(page, "Open")
    shot(page, "8-waiting")
    assert "Waiting for approval" in text(page)
    # it looks again by itself, and the browser is still known when it does
    page.run("window.before = true")
    page.until("window.before === undefined && document.readyState === 'complete'")
    assert "Waiting for approval" in text(page)
    press(page, "Sign out")
    shot(page, "9-out")
    assert "Nobody is signed in" in text(page)
    del place.office.seen[:]
    page.open(place.url("/companies/42/page"))
    assert page.run("location.pathname") == "/.gateway/"
    assert "Sign in to backoffice" in text(page)
    assert place.office.seen == []
    assert complaints(page) == []


def complaints(page: Page) -> list[str]:
    """What the browser's console says of our pages' own security policy."""
    return [
        event["params"]["entry"]["text"]
        for event in page.events
        if event.get("method") == "Log.entryAdded" and "Content Security Policy" in event["params"]["entry"]["text"]
    ]


def test_pages_from_elsewhere_can_do_nothing_with_the_cookie(
    place: HttpHouse, page: Page, elsewhere: Elsewhere
) -> None:
    sign_in(place, page, place.url("/.gateway/"))
    choose(page)
    origin = place.url()
    del place.office.seen[:]
    attacks = {
        "a form": f"""<form method="post" enctype="text/plain" action="{origin}/companies/42/notes">
            <input name='{{"text":"' value='x"}}'></form><script>document.forms[0].submit()</script>""",
        "a link that opens itself": f'<script>location = "{origin}/companies/42/page"</script>',
        "a sign-out": f'<form method="post" action="{origin}/.gateway/sign-out"></form>'
                      "<script>document.forms[0].submit()</script>",
        "another sign-in": f"""<form method="post" action="{origin}/.gateway/sign-in">
            <input name="login" value="dan"><input name="password" value="x"><input name="code" value="1"></form>
            <script>document.forms[0].submit()</script>""",
    }  # fmt: skip
    for name, html in attacks.items():
        elsewhere.html = html
        page.open(f"https://localhost:{elsewhere.port}/")
        page.until(f"location.origin === {json.dumps(origin)} && document.readyState === 'complete'")
        if name == "a link that opens itself":
            assert page.run("location.pathname") == "/.gateway/", name
            assert "Signed in already?" in text(page), name
            assert "Alice" not in text(page), name
        else:
            assert "cross-site-request" in text(page), name
    elsewhere.html = "<p>reading</p>"
    page.open(f"https://localhost:{elsewhere.port}/")
    for path, options in (
        ("/companies/42/employees/4200", '{credentials: "include"}'),
        ("/companies/42/employees/4200", '{credentials: "include", mode: "no-cors"}'),
        ("/companies/42/notes", '{credentials: "include", mode: "no-cors", method: "POST", body: "{}"}'),
        ("/.gateway/", '{credentials: "include", mode: "no-cors"}'),
    ):
        got = page.run(
            f'fetch("{origin}{path}", {options}).then((one) => one.text(), (error) => "failed").catch(() => "failed")'
        )
        assert got in ("", "failed")
    for tag in (f'<img src="{origin}/companies/42/page">', f'<iframe src="{origin}/.gateway/"></iframe>',
                f'<iframe src="{origin}/companies/42/page"></iframe>',
                f'<script src="{origin}/companies/42/employees/4200"></script>'):  # fmt: skip
        elsewhere.html = tag
        page.open(f"https://localhost:{elsewhere.port}/")
    assert place.office.seen == []
    page.open(place.url("/.gateway/"))
    assert f"You work under {TICKET}" in text(page)


def test_the_apis_own_page_cannot_act_on_ours(place: HttpHouse, page: Page) -> None:
    """A script that the API sends runs in the same origin: it may use the ticket, and not choose another."""
    page.open(place.url("/companies/42/page"))
    page.until("document.getElementById('said').textContent !== ''")
    read = page.run("fetch('/.gateway/').then((one) => one.text())")
    assert "Alice" not in read
    assert 'name="form"' not in read
    sent = page.run(
        "fetch('/.gateway/sign-out', {method: 'POST', body: new URLSearchParams({form: 'x'})})"
        ".then((one) => one.status)"
    )
    assert sent == 403
    framed = page.run(
        "new Promise((done) => { const one = document.createElement('iframe'); one.src = '/.gateway/'; "
        "one.onload = () => { let seen = ''; try { seen = one.contentDocument.body.innerText; } catch { seen = ''; } "
        "done(seen); }; document.body.append(one); })"
    )
    assert "Alice" not in framed
    opened = page.run(
        "new Promise((done) => { const one = window.open('/.gateway/'); setTimeout(() => { let seen = ''; "
        "try { seen = one.document.body.innerText; } catch { seen = ''; } done(seen); }, 1500); })"
    )
    assert "Alice" not in (opened or "")
    worker = page.run(
        "navigator.serviceWorker.register('/companies/42/files/worker.js')"
        ".then(() => 'registered', (error) => error.name)"
    )
    assert worker != "registered"
    page.open(place.url("/.gateway/"))
    assert f"You work under {TICKET}" in text(page)


def test_a_file_that_leaves_as_it_is_is_on_record_as_unmasked(place: HttpHouse, page: Page) -> None:
    page.open(place.url("/companies/42/page"))
    body = page.run("fetch('/companies/42/files/september.pdf').then((one) => one.text())")
    assert body.startswith("%PDF-1.7")
    (record,) = [
        one
        for one in place.house.records()
        if one["kind"] == "statement.begin" and one["relations"] == ["file"] and "login" in one
    ][-1:]
    assert (record["unmasked"], record["login"]) == (["application/pdf", "text/javascript"], "alice")
    press_sign_out(place, page)


def press_sign_out(place: HttpHouse, page: Page) -> None:
    page.open(place.url("/.gateway/"))
    press(page, "Sign out")


def test_a_security_key_is_used_on_the_consoles_page(place: HttpHouse, page: Page) -> None:
    page.key()
    invited = place.house.command("amir", "people", "invite", "amir", "--local", "--output", "json")
    invitation = json.loads(invited.stdout)["invitation"]
    command = Command(place.house, "amir", "people", "enrol", "--key", GATEWAY_INVITATION=invitation)
    on_key_page(page, command.until(KEY_PAGE), command.until(CODE))
    assert command.end() == 0, command.said

    page.open(place.url("/.gateway/"))
    fill(page, login="amir", password=place.house.company.passwords["amir"])
    press(page, "Use a security key")
    shot(page, "10-key")
    url = str(page.run("document.querySelector('section a').href"))
    code = str(page.run("document.querySelector('code.large').innerText"))
    press(page, "Go on")
    assert "not done yet" in text(page)
    # the person's browser has two tabs; here one goes there and back
    on_key_page(page, url, code)
    page.open(place.url("/.gateway/"))
    press(page, "Go on")
    assert "Signed in as Amir Haddad" in text(page)
    assert [one["factor"] for one in place.house.records() if one["kind"] == "login" and one.get("login") == "amir"][
        -1:
    ] == ["webauthn"]


def on_key_page(page: Page, url: str, code: str) -> None:
    page.open(url)
    page.until("!document.getElementById('form').hidden")
    page.run(f"document.getElementById('code').value = {json.dumps(code)}; document.getElementById('go').click()")
    page.until("document.getElementById('form').hidden")
    assert "Done" in str(page.run("document.getElementById('said').textContent"))
