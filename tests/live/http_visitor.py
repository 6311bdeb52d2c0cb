"""A browser as far as the gateway sees one: cookies, `Sec-Fetch-*`, forms; so that tests can leave each of it out."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import httpx2
from http_house import OFFICE, HttpHouse

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
WINDOW = {"accept": HTML, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
SCRIPT = {"accept": "*/*", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "sec-fetch-site": "same-origin"}


class Visitor:
    """One browser at one API. `client` keeps its cookies; nothing is followed by itself."""

    def __init__(self, place: HttpHouse, target: str = OFFICE) -> None:
        self.place, self.target = place, target
        self.told = ""
        self.origin = f"https://localhost:{place.ports[target]}"
        context = ssl.create_default_context(cafile=str(place.ca))
        self.client = httpx2.Client(base_url=self.origin, verify=context, trust_env=False, timeout=60)

    def window(self, path: str, **more: str) -> httpx2.Response:
        """Go to a path, as by the address bar."""
        return self.client.get(path, headers={**WINDOW, **more})

    def script(self, path: str, method: str = "GET", json: Any = None, **more: str) -> httpx2.Response:
        """What a script of the API's own page does."""
        own = {} if method in ("GET", "HEAD") else {"origin": self.origin}
        return self.client.request(method, path, headers={**SCRIPT, **own, **more}, json=json)

    def turned_away(self, path: str) -> bool:
        """Whether a path is refused; also where the session's end cuts the request in its midst."""
        try:
            return self.script(path).status_code != 200
        except httpx2.RemoteProtocolError:
            return True

    def send(self, form: str, fields: Mapping[str, str | list[str]], **more: str) -> httpx2.Response:
        """Send one of the gateway's own forms."""
        headers = {**WINDOW, "sec-fetch-site": "same-origin", "origin": self.origin, **more}
        return self.client.post(f"/.gateway/{form}", headers=headers, data=dict(fields))

    @property
    def cookie(self) -> str:
        """The value of the target's cookie."""
        return self.client.cookies.get(f"__Host-gateway-{self.target}") or ""

    @property
    def secret(self) -> str:
        """What the page that is shown now has in its forms."""
        found = re.search(r'name="form" value="([^"]+)"', self.window("/.gateway/").text)
        return found[1] if found else ""

    def sign_in(self, login: str = "alice", to: str = "") -> httpx2.Response:
        """Sign in with password and code."""
        actor = self.place.house.actor(login)
        return self.send("sign-in", {"login": login, "password": actor.password, "code": actor.code(), "to": to})

    def open(self, ticket: str, **more: str | list[str]) -> httpx2.Response:
        """Name a ticket."""
        return self.send("open", {"ticket": ticket, "form": self.secret, **more})

    def close(self) -> None:
        """Forget everything."""
        self.client.close()


def heading(answer: httpx2.Response) -> str:
    """What a page says first."""
    found = re.search(r"<h1>(.*?)</h1>", answer.text)
    return unescape(found[1]) if found else ""


def said(answer: httpx2.Response) -> str:
    """The code of what a page refuses; of a problem likewise."""
    found = re.search(r"<p>Code: <code>([a-z-]+)</code>", answer.text) or re.search(r'"code":"([a-z-]+)"', answer.text)
    return found[1] if found else ""


def led_to(answer: httpx2.Response) -> str:
    """Where an answer sends the browser on to; it must stay here."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    where = answer.headers["location"]
    assert urlsplit(where).netloc == ""
    return str(where)
