"""Lock-out: each further failure costs twice the wait of the one before, per person and per address.

Counts are kept in lanes. A login has one lane for the whole world, and one of its own for each address it was recently
used from with success: so a stranger who keeps failing as `alice` locks strangers out of `alice`, not alice at her desk
(the idea is OWASP's device cookies). An address has a lane too, more patient because people share addresses; who comes
through his own lane is not held up by it.

INVARIANT: an attempt is charged before anything is checked and given back when it succeeds, so that attempts at the
same moment cannot outrun the count. What is refused because of a lock is not charged: a flood cannot prolong its own
lock, let alone anybody's. Memory is bounded; lanes of people who exist are stored and survive a restart, the others
are forgotten oldest first.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.access.values import AccessSettings
from gateway.ports import Clock

_LANES = 20_000
_TRUSTED = 20_000


@dataclass(slots=True)
class _Lane:
    failures: int
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One charged attempt: its lanes, and when each had failed before."""

    login: str
    network: str
    lanes: tuple[str, ...]
    at: datetime
    before: tuple[datetime, ...]


class Lockouts:
    """The lanes. `keep(lane, failures, failed_at)` stores one; 0 failures removes it."""

    def __init__(
        self,
        settings: AccessSettings,
        clock: Clock,
        kept: Iterable[tuple[str, int, datetime]],
        keep: Callable[[str, int, datetime], None],
    ) -> None:
        self._settings, self._clock, self._keep = settings, clock, keep
        self._stored = {lane: _Lane(failures, at) for lane, failures, at in kept}
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._trusted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def lanes_of(self, login: str, host: str) -> tuple[str, tuple[str, ...]]:
        """The address as it counts, and the lanes of an attempt, the login's first."""
        network = network_of(host)
        if (login, network) in self._trusted:
            return network, (f"login {login} {network}",)
        return network, (f"login {login}", f"address {network}")

    def begin(self, login: str, host: str) -> Attempt | None:
        """Charge an attempt; None when it must be refused because a lane is locked."""
        network, lanes = self.lanes_of(login, host)
        now = self._clock()
        if any(self._locked(lane, now) for lane in lanes):
            return None
        before = []
        for lane in lanes:
            found = self._find(lane, now)
            before.append(found.failed_at if found is not None else now)
            if found is None:
                found = self._lanes[lane] = _Lane(0, now)
                trim(self._lanes, _LANES)
            found.failures, found.failed_at = found.failures + 1, now
        return Attempt(login, network, lanes, now, tuple(before))

    def failed(self, attempt: Attempt, *, known: bool) -> None:
        """Let the charge stand; for a person who exists, for good."""
        lane = attempt.lanes[0]
        if not known:
            return
        found = self._lanes.pop(lane, None) or self._stored.get(lane)
        if found is not None:
            self._stored[lane] = found
            self._keep(lane, found.failures, found.failed_at)

    def succeeded(self, attempt: Attempt) -> None:
        """Clear the login's lane, give back the address's charge, and trust this login from this address."""
        lane = attempt.lanes[0]
        self._lanes.pop(lane, None)
        if self._stored.pop(lane, None) is not None:
            self._keep(lane, 0, self._clock())
        self._give_back(attempt, 1)
        self.trust(attempt)

    def trust(self, attempt: Attempt) -> None:
        """Give that login a lane of its own at that address."""
        self._trusted[attempt.login, attempt.network] = None
        self._trusted.move_to_end((attempt.login, attempt.network))
        trim(self._trusted, _TRUSTED)

    def cancelled(self, attempt: Attempt) -> None:
        """Give the charge back: nothing about the secret was learnt (an outage, a full waiting room)."""
        self._give_back(attempt, 0)

    def _give_back(self, attempt: Attempt, first: int) -> None:
        for lane, before in list(zip(attempt.lanes, attempt.before, strict=True))[first:]:
            found = self._lanes.get(lane) or self._stored.get(lane)
            if found is not None:
                found.failures = max(0, found.failures - 1)
                if found.failed_at == attempt.at:
                    found.failed_at = before

    def _find(self, lane: str, now: datetime) -> _Lane | None:
        found = self._lanes.get(lane) or self._stored.get(lane)
        if found is not None and now - found.failed_at > timedelta(seconds=self._settings.lock_forget_s):
            found.failures = 0
        return found

    def _locked(self, lane: str, now: datetime) -> bool:
        found = self._find(lane, now)
        return found is not None and now < found.failed_at + timedelta(seconds=self.delay_s(lane, found.failures))

    def delay_s(self, lane: str, failures: int) -> float:
        """How long a lane is locked after that many failures, in seconds."""
        free, longest = self.bounds(lane)
        over = failures - free
        if over <= 0:
            return 0.0
        return min(longest, self._settings.lock_base_s * 2.0 ** min(over - 1, 40))

    def bounds(self, lane: str) -> tuple[int, float]:
        """How many failures a lane has free, and how long it is locked at the most, in seconds."""
        settings = self._settings
        if lane.startswith("address "):
            return settings.address_free, settings.address_max_s
        return settings.lock_free, settings.lock_max_s


def trim(kept: OrderedDict[Any, Any], most: int) -> None:
    """Forget what came first."""
    while len(kept) > most:
        kept.popitem(last=False)


def network_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64, which one subscriber has to himself."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host[:64]
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
