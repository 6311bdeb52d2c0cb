"""Once a second: whether the clock was set, and whether the trail has been silent for too long.

The heartbeat lets a witness tell an idle gateway from one that is gone or that shows it an old head for ever: a trail
grows at least that often. A step of the clock is what the time of day moved more, or less, than the time since boot;
it is recorded because the times of all other records rest on that clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import GatewayError
from gateway.record import event

STEP_US = 500_000
"""A smaller difference in one second is the clock being slewed, or this process having waited."""
EVERY_S = 1.0


def since_boot_ns() -> int:
    """Nanoseconds since the machine was started, those that it was suspended included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Pulse:
    """Watches for one trail. `append` takes a record, `size` says how many there are."""

    def __init__(
        self,
        append: Callable[[Mapping[str, Any]], Any],
        size: Callable[[], int],
        time_ns: Callable[[], int],
        steady_ns: Callable[[], int] = since_boot_ns,
        heartbeat_s: float = 0.0,
    ) -> None:
        self._append, self._size, self._time_ns, self._steady_ns = append, size, time_ns, steady_ns
        self._heartbeat_ns = int(heartbeat_s * 1e9)
        self._seen = size()
        self._grew = steady_ns()
        self._offset = time_ns() - self._grew
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look once a second from now on."""
        self.look()
        self._timer = loop.call_later(EVERY_S, self.start, loop)

    def cancel(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Record what there is to record."""
        steady = self._steady_ns()
        offset = self._time_ns() - steady
        stepped = (offset - self._offset) // 1_000
        self._offset = offset
        # a trail that takes no work refuses these too, and says so by its silence
        with contextlib.suppress(GatewayError):
            if abs(stepped) >= STEP_US:
                self._append(event("clock.step", step_us=stepped))
            if self._size() != self._seen:
                self._grew = steady
            elif self._heartbeat_ns and steady - self._grew >= self._heartbeat_ns:
                self._append(event("log.heartbeat"))
                self._grew = steady
        self._seen = self._size()
