"""Security keys in a real browser: enrolled, used by the command line, and refused in each way that must not pass."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from chromium import Page, chromium
from gateway_fixture import House, awaited, change_yaml, open_house

from gateway.access.passkeys import CLONED
from gateway.demo.client import bare_environment
from gateway.demo.postgres import EmbeddedPostgres

PAGE = re.compile(r"open (https://\S+)")
CODE = re.compile(r"the code ([a-z2-7]{4}-[a-z2-7]{4})")


class Command:
    """A `gateway` command at a terminal of its own."""

    def __init__(self, house: House, login: str, *words: str, **environment: str) -> None:
        home = house.directory / "home" / login
        home.mkdir(parents=True, exist_ok=True)
        passwords = house.company.passwords
        values = {
            **bare_environment(), "HOME": str(home), "XDG_STATE_HOME": str(home), "GATEWAY_LOGIN": login,
            "GATEWAY_PASSWORD": passwords[login], "TERM": "dumb", "COLUMNS": "250", **environment,
        }  # fmt: skip
        line = [sys.executable, "-P", "-m", "gateway", "--config", str(house.company.config), *words]
        self.said = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            # tests that run in the background ignore it, and so would the command
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(home)
            os.execve(line[0], line, values)

    def until(self, pattern: re.Pattern[str] | str, patience_s: float = 40.0) -> str:
        """Wait until it says that; the first group."""
        deadline = time.monotonic() + patience_s
        while (found := re.search(pattern, self.said)) is None:
            assert self._more(deadline), f"it said only: {self.said}"
        return found[1] if found.re.groups else found[0]

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        """Its exit code."""
        deadline = time.monotonic() + 40
        while self._more(deadline):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"it says nothing more than: {self.said}"
        try:
            part = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.said += part.decode(errors="replace")
        return bool(part)


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("keys"), postgres) as house:
        port = house.company.ports["api"]
        keys = {"rp_id": "localhost", "origins": [f"https://localhost:{port}"]}
        change_yaml(house.company.config, lambda tree: tree.update({"second_factor": {"webauthn": keys}}))
        house.gateway.stop()
        house.gateway.start()
        yield house


@pytest.fixture
def page(office: House, tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "browser", office.company.tls.certificate) as page:
        yield page


def on_page(page: Page, url: str, code: str, *, script: str = "") -> str:
    """Open the page, run `script` on it, type the code, and return what it says in the end."""
    page.open(url)
    page.until("!document.getElementById('form').hidden")
    if script:
        page.run(script)
    page.run(f"document.getElementById('code').value = '{code}'; document.getElementById('go').click()")
    page.until("document.getElementById('form').hidden || !document.getElementById('go').disabled")
    return str(page.run("document.getElementById('said').textContent"))


def enrolled(office: House, page: Page, login: str) -> list[str]:
    """Enrol a key for the person; the recovery codes."""
    invited = office.command(login, "people", "invite", login, "--local", "--output", "json")
    invitation = json.loads(invited.stdout)["invitation"]
    command = Command(office, login, "people", "enrol", "--key", GATEWAY_INVITATION=invitation)
    said = on_page(page, command.until(PAGE), command.until(CODE))
    assert "Done" in said
    assert command.end() == 0, command.said
    return re.findall(r"^([a-z2-7]{4}(?:-[a-z2-7]{4}){3})\r?$", command.said, re.MULTILINE)


def signs_in(office: House, page: Page, login: str, *, script: str = "") -> tuple[int, str, str]:
    """Exit code of `gateway login` with a key, what it said, and what the page said."""
    command = Command(office, login, "login")
    command.until("security key")
    command.type("\n")
    said = on_page(page, command.until(PAGE), command.until(CODE), script=script)
    return command.end(), command.said, said


def test_a_key_is_enrolled_and_signs_in_at_the_command_line(office: House, page: Page, tmp_path: Path) -> None:
    page.key()
    assert len(enrolled(office, page, "alice")) == 10
    code, said, shown = signs_in(office, page, "alice")
    assert (code, "signed in as alice" in said) == (0, True), said
    assert "Done" in shown
    status = office.command("alice", "status", "--output", "json")
    assert json.loads(status.stdout)["person"]["factor"] == "webauthn"
    # neither the token nor what the outcome is collected with was ever on the page or in its address
    kept = json.loads((office.directory / "home" / "alice" / "gateway" / "session.json").read_text())["token"]
    assert kept not in page.run("document.documentElement.outerHTML + location.href")
    assert page.run("location.hash") == ""
    problems = [event for event in page.events if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert not problems, problems
    if os.environ.get("SCREENSHOTS"):
        page.open(f"https://localhost:{office.company.ports['api']}/key#{'a' * 32}")
        page.screenshot(Path(os.environ["SCREENSHOTS"]) / "key.png")


def test_a_key_that_does_not_verify_its_person_is_refused(office: House, page: Page) -> None:
    authenticator = page.key()
    enrolled(office, page, "bob")
    # the page is made to ask for less than the gateway wants, and the key verifies nobody
    page.call("WebAuthn.setUserVerified", authenticatorId=authenticator, isUserVerified=False)
    lax = """
        const asked = navigator.credentials.get.bind(navigator.credentials);
        navigator.credentials.get = (o) => (o.publicKey.userVerification = "discouraged", asked(o));
    """
    code, said, _ = signs_in(office, page, "bob", script=lax)
    assert code == 77, said
    assert refusals(office)[-1]["reason"] == "the answer of the key is not right"


def test_a_replayed_answer_and_a_cloned_key_are_refused(office: House, page: Page) -> None:
    authenticator = page.key()
    enrolled(office, page, "carol")
    keep = """
        const asked = navigator.credentials.get.bind(navigator.credentials);
        navigator.credentials.get = async (o) => {
          const made = await asked(o);
          const plain = (one) => ({id: one.id, rawId: one.rawId, type: one.type, response: {
            clientDataJSON: one.response.clientDataJSON, authenticatorData: one.response.authenticatorData,
            signature: one.response.signature, userHandle: one.response.userHandle}});
          window.kept = plain(made);
          return made;
        };
    """
    credential = page.call("WebAuthn.getCredentials", authenticatorId=authenticator)["credentials"][0]
    assert signs_in(office, page, "carol", script=keep)[0] == 0
    again = "navigator.credentials.get = async () => JSON_KEPT"
    kept = page.run(
        "(() => { const t = (b) => btoa(String.fromCharCode(...new Uint8Array(b)));"
        "return JSON.stringify({id: kept.id, raw: t(kept.rawId), c: t(kept.response.clientDataJSON),"
        "a: t(kept.response.authenticatorData), s: t(kept.response.signature), u: t(kept.response.userHandle)}) })()"
    )
    buffers = "const b = (x) => Uint8Array.from(atob(x), (y) => y.charCodeAt(0)).buffer; const k = " + kept + ";"
    again = buffers + (
        "navigator.credentials.get = async () => ({id: k.id, rawId: b(k.raw), type: 'public-key', response: {"
        "clientDataJSON: b(k.c), authenticatorData: b(k.a), signature: b(k.s), userHandle: b(k.u)}});"
    )
    assert signs_in(office, page, "carol", script=again)[0] == 77
    assert refusals(office)[-1]["reason"] == "the answer of the key is not right"
    # the key as it was before it signed in: what a copy of it would be
    page.call("WebAuthn.clearCredentials", authenticatorId=authenticator)
    page.call("WebAuthn.addCredential", authenticatorId=authenticator, credential={**credential, "signCount": 0})
    follower = office.follow()
    assert signs_in(office, page, "carol")[0] == 77
    assert refusals(office)[-1]["reason"] == CLONED
    alert = awaited(follower, lambda record: record["kind"] == "security.alert", 10)
    assert alert["rule"] == "cloned-key"


def test_somebody_elses_key_signs_nobody_in(office: House, page: Page) -> None:
    page.key()
    enrolled(office, page, "dan")
    command = Command(office, "amir", "login")
    command.until("security key")
    command.type("\n")
    said = on_page(page, command.until(PAGE), command.until(CODE))
    assert "not accepted" in said
    assert command.end() == 77
    assert refusals(office)[-1]["reason"] == "the key is somebody else's"


def test_another_origin_gets_nothing(office: House, page: Page) -> None:
    """The same gateway under another name: the browser would sign for it, and the gateway refuses the page."""
    page.key()
    command = Command(office, "alice", "login")
    command.until("security key")
    command.type("\n")
    url, code = command.until(PAGE), command.until(CODE)
    other = url.replace("//localhost:", "//127.0.0.1:")
    said = on_page(page, other, code)
    assert "own page" in said
    command.type("\x03")
    assert command.end() != 0


@pytest.mark.parametrize("path", ["/key", "/key.js", "/key.css"])
def test_the_page_is_closed_to_frames_scripts_and_caches(office: House, path: str) -> None:
    with client(office) as browser:
        answer = browser.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert not re.search(r"https?://|style=|\son\w+=|<script>", answer.text)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://localhost"])
@pytest.mark.parametrize("path", ["begin", "answer"])
def test_other_sites_cannot_use_what_the_page_uses(office: House, origin: str, path: str) -> None:
    body: dict[str, Any] = {"page": "a" * 32, **({"code": "aaaa-aaaa"} if path == "begin" else {"answer": {}})}
    headers = {"origin": origin} if origin else {}
    with client(office) as browser:
        answer = browser.post(f"/v1/key/{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")
        own = {"origin": f"https://localhost:{office.company.ports['api']}"}
        assert browser.post(f"/v1/key/{path}", json=body, headers=own).json()["code"] == "session-expired"


def client(office: House) -> httpx2.Client:
    import ssl

    context = ssl.create_default_context(cafile=str(office.company.tls.ca))
    return httpx2.Client(base_url=f"https://localhost:{office.company.ports['api']}", verify=context, trust_env=False)


def refusals(office: House) -> list[dict[str, Any]]:
    return [record for record in office.records() if record["kind"] == "login" and record["decision"] == "deny"]
