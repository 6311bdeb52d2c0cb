"""How much of the door one address may hold: connections that are not signed in yet, and failed log-ins a minute.

Counted before anything is read, so that a flood from one place costs neither the trail, nor the password threads,
nor the others their turn. An IPv6 address counts as its /64.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.access.lockout import network_of

FAILURES = 60
"""Failed log-ins of one address in a minute, after which its connections are closed unread until the minute is over."""

_MINUTE_S = 60.0
_ADDRESSES = 10_000


class Crowd:
    """The counts of one listener. `most` is how many greetings one address may hold."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._monotonic = monotonic
        self._greetings: dict[str, int] = {}
        self._failures: dict[str, tuple[float, int]] = {}

    def admit(self, host: str) -> bool:
        """Whether a connection from there may be greeted; count it if so, until `leave`."""
        place = network_of(host)
        began, failed = self._failures.get(place, (0.0, 0))
        if failed >= FAILURES and self._monotonic() - began < _MINUTE_S:
            return False
        held = self._greetings.get(place, 0)
        if held >= self._most:
            return False
        self._greetings[place] = held + 1
        return True

    def leave(self, host: str) -> None:
        """A greeting from there is over."""
        place = network_of(host)
        held = self._greetings.get(place, 1) - 1
        if held > 0:
            self._greetings[place] = held
        else:
            self._greetings.pop(place, None)

    def failed(self, host: str) -> bool:
        """Count a failed log-in; True when the address has just reached its limit."""
        place, now = network_of(host), self._monotonic()
        began, count = self._failures.get(place, (now, 0))
        if now - began >= _MINUTE_S:
            began, count = now, 0
        if len(self._failures) >= _ADDRESSES:
            self._failures = {p: f for p, f in self._failures.items() if now - f[0] < _MINUTE_S}
            if len(self._failures) >= _ADDRESSES:
                self._failures.clear()
        self._failures[place] = began, count + 1
        return count + 1 == FAILURES
