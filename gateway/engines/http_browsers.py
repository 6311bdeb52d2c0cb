"""The browsers that are signed in at APIs: what each cookie stands for, and what ends it.

Theory of operation, for one browser at one target:

    nobody --(password)--> under way (a security key, an identity provider) --> signed in --(a grant)--> inside
                                                     nobody --(password, code)--> signed in
    inside --(another grant)--> inside;   anything --(sign-out, time, idleness)--> nobody

A cookie is 256 random bits that say nothing; kept is a keyed hash of it together with the target's name, so a cookie of
one API is none at another. It is made anew at each sign-in, good from the address that signed in, and known to this
process alone. Behind it stands a sign-in as `/v1/sign-in` gives it, whose token never leaves this process, and a
session of the gate's under the grant that was chosen: no pass.

INVARIANT: nothing is let through by a cookie but by a session that the gate still holds inside; that one ends as every
session does (grant, ticket, team, person, policy), and with the sign-in and with the browser's own time.
"""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.access.lockout import network_of
from gateway.access.values import SignIn
from gateway.engines.http_sessions import Entry, Sessions
from gateway.errors import Refusal
from gateway.http_settings import HttpTarget

MOST, MOST_UNDER_WAY = 4000, 500
"""Browsers of one process; and those of them that have not signed in yet."""
_MOST_OF_A_NETWORK, _MOST_OF_A_PERSON = 40, 20
_UNDER_WAY_S, _TOLD_S = 600.0, 600.0
OVER = Refusal("session-expired", "the browser is not signed in here any more", "sign in again")
_IDLE = Refusal("session-expired", "nothing was done for too long: the browser was signed out", "sign in again")
_TIME = Refusal("session-expired", "the browser was signed in for as long as it may", "sign in again")
_NO_TICKET = Refusal("ticket-required", "no ticket was chosen", "choose one on the page /.gateway/")


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A ceremony elsewhere that a sign-in waits for: the page to open, the code to type there, and its own secret."""

    provider: bool
    url: str = field(repr=False)
    code: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(slots=True, eq=False)
class Browser:
    """One browser at one target. `form` is what our own forms prove themselves with; `ended` is why it is over."""

    key: bytes
    target: str
    host: str
    until: float
    heard_at: float
    form: str = field(repr=False)
    to: str = ""
    under_way: UnderWay | None = None
    asks_code: bool = False
    token: str = field(default="", repr=False)
    person: str = ""
    entry: Entry | None = None
    ended: Refusal | None = None

    @property
    def signed_in(self) -> bool:
        """Whether somebody has proven who he is."""
        return bool(self.token) and self.ended is None


class Browsers:
    """All of one engine; the event loop's thread only. `authenticate` gives the sign-in of a token, asking nobody.

    `release` is told the token of a browser that is over.
    """

    def __init__(
        self,
        targets: Mapping[str, HttpTarget],
        sessions: Sessions,
        authenticate: Callable[[str], SignIn | Refusal],
        release: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets, self._sessions, self._authenticate = targets, sessions, authenticate
        self._release, self._monotonic = release, monotonic
        self._key = secrets.token_bytes(32)
        self._browsers: dict[bytes, Browser] = {}

    def __len__(self) -> int:
        return len(self._browsers)

    def find(self, target: str, cookie: str, host: str) -> Browser | None:
        """The browser that shows that cookie there, from where it signed in; also one that is over."""
        found = self._browsers.get(self._digest(target, cookie)) if cookie else None
        return found if found is not None and found.host == host else None

    def begin(self, target: str, host: str, to: str, under_way: UnderWay) -> tuple[Browser, str] | Refusal:
        """A browser whose sign-in waits for a ceremony, and its cookie."""
        waiting = [one for one in self._browsers.values() if one.under_way is not None]
        network = network_of(host)
        same = sum(network_of(one.host) == network for one in waiting)
        if len(waiting) >= MOST_UNDER_WAY or same >= _MOST_OF_A_NETWORK or len(self._browsers) >= MOST:
            return Refusal("too-many-attempts", "too many sign-ins are under way", "finish one, or wait ten minutes")
        browser, cookie = self._made(target, host, to, _UNDER_WAY_S)
        browser.under_way = under_way
        return browser, cookie

    def signed_in(self, signin: SignIn, target: str, host: str, to: str) -> tuple[Browser, str] | Refusal:
        """A browser of who has just proven himself, and its new cookie: what it showed before is not it."""
        mine = [one for one in self._browsers.values() if one.signed_in and one.person == signin.principal.id]
        for oldest in sorted(mine, key=lambda one: one.heard_at)[: max(0, len(mine) - _MOST_OF_A_PERSON + 1)]:
            self.end(oldest, OVER)
        if len(self._browsers) >= MOST:
            return Refusal("too-many-connections", "all sessions are in use", hint="try again later")
        browser, cookie = self._made(target, host, to, self._targets[target].browser.lifetime)
        browser.token, browser.person = signin.token, signin.principal.id
        return browser, cookie

    def inside(self, browser: Browser) -> Entry | Refusal:
        """The session that a request of that browser goes on in; it counts as heard."""
        over = self._over(browser)
        if over is not None:
            return over
        entry = browser.entry
        if entry is None:
            return _NO_TICKET
        if entry.ending is not None:
            return entry.ending
        self.hear(browser)
        self._sessions.heard(entry)
        return entry

    def hear(self, browser: Browser) -> None:
        """Its person did something."""
        browser.heard_at = self._monotonic()

    def enter(self, browser: Browser, entry: Entry) -> Refusal | None:
        """Let the browser on in that session; the one before it ends. None unless the browser is over meanwhile."""
        over = self._over(browser)
        if over is not None:
            self._sessions.cut(entry, over)
            return over
        before, browser.entry = browser.entry, entry
        if before is not None:
            self._sessions.cut(before, Refusal("session-expired", "the person went on under another ticket"))
        return None

    def end(self, browser: Browser, refusal: Refusal) -> None:
        """It is over: nothing more goes through. Why is kept a while, for its person to be told."""
        if browser.ended is not None:
            return
        token = browser.token
        browser.ended, browser.token, browser.under_way = refusal, "", None
        browser.until = self._monotonic() + _TOLD_S
        if browser.entry is not None:
            self._sessions.cut(browser.entry, refusal)
        if token:
            self._release(token)

    def forget(self, browser: Browser) -> None:
        """The same, and its cookie is one of nobody."""
        self.end(browser, OVER)
        self._browsers.pop(browser.key, None)

    def left_s(self, browser: Browser) -> float:
        """For how many seconds more it may be signed in."""
        return browser.until - self._monotonic()

    def tick(self) -> None:
        """Once a second: ends what has no reason any more, and forgets what was told."""
        for browser in tuple(self._browsers.values()):
            if browser.ended is None:
                self._over(browser)
            if browser.ended is not None and self._monotonic() >= browser.until:
                self._browsers.pop(browser.key, None)

    def _over(self, browser: Browser) -> Refusal | None:
        if browser.ended is not None:
            return browser.ended
        now = self._monotonic()
        busy = browser.entry is not None and bool(browser.entry.running)
        if now >= browser.until:
            self.end(browser, _TIME)
        elif not busy and now - browser.heard_at > self._targets[browser.target].idle_timeout:
            self.end(browser, _IDLE)
        elif browser.token:
            found = self._authenticate(browser.token)
            # an outage ends nobody's work by itself: the session has its own time for that
            if isinstance(found, Refusal) and found.code in ("session-expired", "person-inactive"):
                self.end(browser, found)
        return browser.ended

    def _made(self, target: str, host: str, to: str, life_s: float) -> tuple[Browser, str]:
        cookie, now = _random(), self._monotonic()
        key = self._digest(target, cookie)
        browser = self._browsers[key] = Browser(key, target, host, now + life_s, now, _random(), to)
        return browser, cookie

    def _digest(self, target: str, cookie: str) -> bytes:
        return hmac.digest(self._key, f"{target}\0{cookie}".encode("utf-8", "surrogatepass"), "sha256")


def _random() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
