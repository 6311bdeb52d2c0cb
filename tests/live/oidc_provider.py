"""A certified OpenID Connect provider (npm's `oidc-provider`) as a process, and a browser that signs in at it.

What it proves: that our requests are those that a conformant provider takes (PKCE, client authentication, device and
refresh grants, rotation), and that we take its tokens. It is not Entra, Okta or Keycloak: their peculiarities (claims
left out, hosts apart) are played by `hostile_provider.py` and the tables of the unit tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from joserfc import jwk

from gateway.demo.ports import free_port

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "provider"
CACHE = ROOT / ".cache" / "provider"
CLIENT, SECRET = "gateway", "a secret: with + and / and % in it"
KEYS = [
    jwk.generate_key("RSA", 2048).as_dict(private=True, kid="r", use="sig"),
    jwk.generate_key("EC", "P-256").as_dict(private=True, kid="e", use="sig"),
    jwk.generate_key("OKP", "Ed25519").as_dict(private=True, kid="o", use="sig"),
]


class ProviderProcess:
    """The provider. `people` maps subjects to claims; what is changed counts from the next question on."""

    def __init__(self, directory: Path, callback: str, *, algorithm: str = "RS256", userinfo: bool = False) -> None:
        if shutil.which("node") is None or shutil.which("npm") is None:
            pytest.fail("Node.js and npm are needed: apt-get install nodejs npm")
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            # of the processes that the tests are shared out to, one installs and the others wait
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE, CACHE], check=True, timeout=300)
            # modules are looked for beside the program; one that runs elsewhere is not written over
            program, source = CACHE / "provider.mjs", HERE / "provider.mjs"
            if not program.exists() or program.read_bytes() != source.read_bytes():
                shutil.copy(source, program)
        # the library needs a newer one than Debian 12 has; where the lock names none for the processor, it must do
        own = next(CACHE.glob("node_modules/node-linux-*/bin/node"), None)
        node = str(own) if own is not None else "node"
        directory.mkdir(parents=True, exist_ok=True)
        self._node, self._directory = node, directory
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._people: dict[str, dict[str, Any]] = {}
        self.settings = {
            "port": self.port,
            "people": str(directory / "people.json"),
            "keys": KEYS,
            "userinfo": userinfo,
            "client": {
                "client_id": CLIENT,
                "client_secret": SECRET,
                "redirect_uris": [callback],
                "id_token_signed_response_alg": algorithm,
                "token_endpoint_auth_method": "client_secret_basic",
            },
        }
        self._process: subprocess.Popen[str] | None = None
        self.save()

    def person(self, subject: str, **claims: Any) -> None:
        """Add a person, or change one; without claims the person is gone."""
        if claims:
            self._people[subject] = {"name": claims.get("preferred_username", "?").title(), **claims}
        else:
            self._people.pop(subject, None)
        self.save()

    def save(self) -> None:
        temporary = self._directory / "people.new"
        temporary.write_text(json.dumps(self._people))
        temporary.replace(self._directory / "people.json")

    def start(self) -> None:
        (self._directory / "settings.json").write_text(json.dumps(self.settings))
        self._log = (self._directory / "provider.log").open("a")
        self._process = subprocess.Popen(
            [self._node, str(CACHE / "provider.mjs"), str(self._directory / "settings.json")],
            stdout=self._log, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(httpx2.TransportError), httpx2.Client(trust_env=False, timeout=2) as client:
                if client.get(f"{self.issuer}/.well-known/openid-configuration").status_code == 200:
                    return
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
            self._log.close()

    def log(self) -> str:
        return (self._directory / "provider.log").read_text()


@contextlib.contextmanager
def running(provider: ProviderProcess) -> Iterator[ProviderProcess]:
    """The provider while it runs."""
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()


class Browser:
    """What a person does in a browser: follows addresses, keeps cookies, fills in the provider's forms."""

    def __init__(self, ca: Path | None = None) -> None:
        import ssl

        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._client = httpx2.Client(verify=context, trust_env=False, follow_redirects=False, timeout=20)
        self.seen: list[httpx2.Response] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str) -> httpx2.Response:
        """The page that an address leads to."""
        return self._follow(self._client.get(url))

    def post(self, url: str, fields: Any, origin: str | None = None) -> httpx2.Response:
        """The page that a form leads to."""
        parts = urlsplit(url)
        sent = origin if origin is not None else f"{parts.scheme}://{parts.netloc}"
        return self._follow(self._client.post(url, data=fields, headers={"origin": sent}))

    def sign_in(self, url: str, subject: str, **fields: Any) -> httpx2.Response:
        """The page where a person lands who signs in at the provider, starting at that address."""
        page = self.get(url)
        for _ in range(6):
            form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            if form is None or "/interaction/" not in form[1]:
                return page
            page = self.post(urljoin(str(page.url), unescape(form[1])), {"login": subject, **fields})
        raise AssertionError(page.text)

    def device(self, url: str, code: str, subject: str, **fields: Any) -> httpx2.Response:
        """The same with a device code: typed, confirmed, signed in."""
        page = self.get(url)
        page = self._sent(page, {"user_code": code})
        page = self._sent(page, {"confirm": "yes"})
        for _ in range(6):
            form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            if form is None or "/interaction/" not in form[1]:
                return page
            page = self.post(urljoin(str(page.url), unescape(form[1])), {"login": subject, **fields})
        raise AssertionError(page.text)

    def _sent(self, page: httpx2.Response, fields: dict[str, str]) -> httpx2.Response:
        form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
        assert form is not None, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        return self.post(urljoin(str(page.url), unescape(form[1])), hidden | fields)

    def _follow(self, response: httpx2.Response) -> httpx2.Response:
        for _ in range(10):
            self.seen.append(response)
            if response.status_code not in (301, 302, 303):
                return response
            response = self._client.get(urljoin(str(response.url), response.headers["location"]))
        raise AssertionError("too many redirects")
