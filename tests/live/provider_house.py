"""A gateway whose people are a certified provider's, and a person at a terminal with a browser beside it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_fixture import House, change_yaml, open_house
from oidc_provider import CLIENT, SECRET, ProviderProcess, running

from gateway.demo.actor import Authenticator
from gateway.demo.client import bare_environment
from gateway.demo.postgres import EmbeddedPostgres

CALLBACK = "/v1/login/callback"


@contextlib.contextmanager
def provider_house(
    directory: Path, postgres: EmbeddedPostgres, *, algorithm: str = "RS256", userinfo: bool = False, **settings: Any
) -> Iterator[tuple[House, ProviderProcess]]:
    """A house and its provider, with Alice and Bob at it."""
    with open_house(directory / "house", postgres) as house:
        house.gateway.stop()
        callback = f"https://localhost:{house.company.ports['api']}{CALLBACK}"
        provider = ProviderProcess(directory / "provider", callback, algorithm=algorithm, userinfo=userinfo)
        oidc = at_provider(house, provider, **settings)
        change_yaml(house.company.config, lambda tree: tree.update({"directory": oidc}))
        with running(provider):
            house.gateway.start()
            yield house, provider


def at_provider(house: House, provider: ProviderProcess, **settings: Any) -> dict[str, Any]:
    """The settings of a directory that the provider is, with Alice and Bob at it."""
    provider.person("u-1", preferred_username="alice", groups=["support"])
    provider.person("u-2", preferred_username="bob", groups=["security"])
    secret = house.company.directory / "oidc.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return {
        "kind": "oidc", "issuer": provider.issuer, "client_id": CLIENT, "client_secret": {"file": str(secret)},
        "redirect_url": f"https://localhost:{house.company.ports['api']}{CALLBACK}", "refresh_interval": "1s",
        "scopes": ["openid", "profile", "email", "groups", "offline_access"], **settings,
    }  # fmt: skip


class Terminal:
    """A `gateway` command of a person's that waits for a browser; its outputs are read as they come."""

    def __init__(self, house: House, login: str, *arguments: str, **environment: str) -> None:
        home = house.directory / "home" / login
        home.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway", "--config", str(house.company.config), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
            env={**bare_environment(), "XDG_STATE_HOME": str(home), "HOME": str(home), "COLUMNS": "200", **environment},
        )  # fmt: skip
        self.said: dict[str, str] = {"out": "", "err": ""}
        self._threads = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", self._process.stdout), ("err", self._process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def shows(self, pattern: str, where: str = "err", patience_s: float = 20) -> str:
        """What the pattern's group finds, once it is there."""
        deadline = time.monotonic() + patience_s
        while True:
            found = re.search(pattern, self.said[where])
            if found is not None:
                return found[1]
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    @property
    def uri(self) -> str:
        """Where it sends the person."""
        return self.shows(r"in any browser: (\S+)\n")

    @property
    def code(self) -> str:
        """The code that it shows."""
        return self.shows(r"this code(?: there)?: (\S+)\n")

    def answer(self, text: str) -> None:
        """Type something."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def end(self, patience_s: float = 60) -> tuple[int, str, str]:
        """Its exit status and what it said."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"it does not end: {self.said}") from None
        self._close()
        return code, self.said["out"], self.said["err"]

    def stop(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, 15)
        self._process.wait(10)
        self._close()

    def _close(self) -> None:
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _read(self, name: str, stream: Any) -> None:
        while piece := stream.read(1):
            self.said[name] += piece


def authenticator(house: House, login: str, secret: str = "") -> Authenticator:
    """A person's authenticator; with `secret` it takes that over."""
    found = Authenticator(house.directory / f"{login}.authenticator")
    if secret:
        found.hold(secret)
    return found
