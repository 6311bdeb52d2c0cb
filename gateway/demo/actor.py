"""One person of the story, with a password, an authenticator of their own, and the gateway's API.

INVARIANT: an actor never shows the same code twice, because the gateway takes each only once; when the codes of the
moment are used up, it waits for the next, as a person would.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pyotp

from gateway.errors import CODES, GatewayError

STEP_S = 30
_DRIFT = 1
_MARGIN_S = 5
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the gateway's doors are: the API's address, what verifies it, and the socket for its own user."""

    url: str
    ca: Path
    local: Path


class Authenticator:
    """A TOTP secret and the newest step whose code was shown, kept in a file so that restarts remember both."""

    def __init__(
        self, path: Path, *, wall: Callable[[], float] = time.time, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._path, self._wall, self._sleep = path, wall, sleep
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.secret: str = kept.get("secret", "")
        self._shown: int = kept.get("shown", 0)

    def hold(self, secret: str, shown: int = 0) -> None:
        """Take over a new secret; no code of a step up to `shown` is shown any more."""
        self.secret, self._shown = secret, shown
        self._keep()

    def uri(self, login: str) -> str:
        """The `otpauth://` form for an authenticator app."""
        return str(pyotp.TOTP(self.secret).provisioning_uri(name=login, issuer_name="gateway demo"))

    def present(self) -> tuple[str, float]:
        """The code that an app shows now, "" when it was spent already, and for how many seconds more."""
        now = self._wall()
        step = int(now) // STEP_S
        code = str(pyotp.TOTP(self.secret).generate_otp(step)) if step > self._shown else ""
        return code, STEP_S - now % STEP_S

    def spend(self, waiting: Callable[[float], object]) -> str:
        """A code that was not shown yet, the oldest that is still good; waits for one if need be.

        `waiting` is told the seconds before a wait begins.
        """
        # The oldest code is about to go out of date at the end of a step: it must survive the way to the gateway.
        step = max(self._shown + 1, int(self._wall() + _MARGIN_S) // STEP_S - _DRIFT)
        early = (step - _DRIFT) * STEP_S - self._wall()
        if early > 0:
            waiting(early)
            self._sleep(early + 0.05)
        self._shown = step
        self._keep()
        return str(pyotp.TOTP(self.secret).generate_otp(step))

    def _keep(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"secret": self.secret, "shown": self._shown}, file)
        temporary.replace(self._path)


@dataclass
class Actor:
    """A person at work. `tell` is called with a sentence when the story has to wait."""

    login: str
    password: str = field(repr=False)
    authenticator: Authenticator = field(repr=False)
    entrance: Entrance
    tell: Callable[[str], object]
    _token: str = field(default="", repr=False)

    def code(self) -> str:
        """A fresh code."""
        return self.authenticator.spend(
            lambda seconds: self.tell(f"waiting {seconds:.0f} s for {self.login}'s next code")
        )

    def enrol(self) -> None:
        """Take up an invitation of the gateway's own user and put the new secret into the authenticator."""
        with httpx2.HTTPTransport(uds=str(self.entrance.local)) as transport:
            invited = self._call(f"/people/{self.login}/invite", {}, transport=transport)
        proof = {"login": self.login, "password": self.password, "invitation": invited["invitation"]}
        begun = self._call("/enrol/begin", proof)
        self.authenticator.hold(begun["secret"])
        self._call("/enrol/finish", {**proof, "otp": self.code()})

    def sign_in(self) -> None:
        """Sign in to the API; later calls use it."""
        answer = self._call("/sign-in", {"login": self.login, "password": self.password, "otp": self.code()})
        self._token = answer["token"]

    def open(self, ticket: str, statement: str = "", target: str = "") -> dict[str, Any]:
        """Open access to a ticket's customer, or to one statement that writes: the answer of `POST /open`.

        The target has to be named where there are several.
        """
        if not self._token:
            self.sign_in()
        more = {"statement": statement, "target": target}
        return self._call("/open", {"ticket": ticket} | {name: value for name, value in more.items() if value})

    def preview(self, request: str) -> dict[str, Any]:
        """Look at what a request would change."""
        if not self._token:
            self.sign_in()
        return self._call(f"/requests/{request}/preview", {})

    def approve(self, request: str, reason: str) -> None:
        """Agree to a request."""
        if not self._token:
            self.sign_in()
        self._call(f"/requests/{request}/approve", {"reason": reason})

    def revoke(self, grant: str, reason: str) -> None:
        """End a grant."""
        if not self._token:
            self.sign_in()
        self._call(f"/grants/{grant}/revoke", {"reason": reason})

    def _call(
        self, path: str, body: Mapping[str, Any], *, transport: httpx2.BaseTransport | None = None
    ) -> dict[str, Any]:
        """The API's answer to a POST. Raises `GatewayError` with the code of its refusal."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token and transport is None else {}
        context = ssl.create_default_context(cafile=str(self.entrance.ca))
        with httpx2.Client(
            base_url="http://local/v1" if transport else f"{self.entrance.url}/v1",
            timeout=_TIMEOUT_S,
            trust_env=False,
            headers=headers,
            **({"transport": transport} if transport else {"verify": context}),
        ) as client:
            response = client.post(path, json=dict(body)) if body else client.post(path)
        answer: dict[str, Any] = response.json() if response.content else {}
        if response.is_success:
            return answer
        code = answer.get("code", "")
        raise GatewayError(
            code if code in CODES else "internal-error",
            str(answer.get("detail", f"the API answered with status {response.status_code}")),
            str(answer.get("hint", "")),
        )
