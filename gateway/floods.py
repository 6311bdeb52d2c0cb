"""Floods of refused statements: each refusal is a record, and nobody may write records at will.

A person's refusals of the last minute are counted over all his sessions and targets. Beyond `FREE` each further one
makes its session wait for `PAUSE_S`; at `MOST` the session ends, one record says how many there were, and the person
is kept out for a minute, twice as long each further time. What clients ask when they connect, and tools that ask in
vain each second, stay far below `FREE` (`tests/corpus/clients`); by hand it cannot be reached.

INVARIANT: a refusal that was shown is on record; a flood ends sessions, it thins no records out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gateway import record
from gateway.errors import GatewayError, Refusal
from gateway.ports import Trail

FREE, MOST = 600, 1200
"""Refused statements of one person in a minute: from where on they are slowed down, and where they end the session."""
PAUSE_S = 0.05
"""With pauses, `MOST` is reached in half a minute after `FREE`, and not from below 20 a second."""

_MINUTE_S = 60.0
_BARRED_S, _LONGEST_BAR_S = 60.0, 3600.0
_FORGET_S = 86_400.0


class _Person:
    __slots__ = ("barred_until", "floods", "refused")

    def __init__(self) -> None:
        self.refused: deque[float] = deque(maxlen=MOST)
        self.barred_until = 0.0
        self.floods = 0


class Floods:
    """The counts of one process. The event loop's thread only."""

    def __init__(self, trail: Trail, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._trail, self._monotonic = trail, monotonic
        self._people: dict[str, _Person] = {}

    def refused(self, person: str, fields: Mapping[str, Any]) -> float:
        """Count a refusal in the session of those fields; how many seconds that session has to wait.

        Raises `GatewayError("too-many-refusals")` when it ends, `GatewayError("audit-not-writable")`.
        """
        now = self._monotonic()
        known = self._people.setdefault(person, _Person())
        if now < known.barred_until:
            raise GatewayError.of(_barred(known.barred_until - now))
        recent = known.refused
        while recent and recent[0] <= now - _MINUTE_S:
            recent.popleft()
        recent.append(now)
        if len(recent) < MOST:
            return PAUSE_S if len(recent) > FREE else 0.0
        if now - known.barred_until > _FORGET_S:
            known.floods = 0
        bar = min(_LONGEST_BAR_S, _BARRED_S * 2.0**known.floods)
        known.floods, known.barred_until = known.floods + 1, now + bar
        recent.clear()
        self._trail.append(record.event("refusals.flood", **fields, count=MOST, duration_s=int(bar)))
        raise GatewayError.of(_barred(bar))

    def barred(self, person: str) -> Refusal | None:
        """Why that person may not come in at the moment."""
        known = self._people.get(person)
        left = 0.0 if known is None else known.barred_until - self._monotonic()
        return _barred(left) if left > 0 else None


def _barred(seconds: float) -> Refusal:
    return Refusal(
        "too-many-refusals",
        f"{MOST} statements were refused within a minute; the session ends",
        hint=f"stop what sends them, and connect again in {max(1, round(seconds / 60))} min",
        fatal=True,
    )
