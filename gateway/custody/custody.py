"""The parts of keeping the trail put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.access.acts import Acts
from gateway.access.context import Context
from gateway.audit.log import FileLog
from gateway.audit.search import Search
from gateway.config import Config
from gateway.custody.holds import Holds
from gateway.custody.retention import Report, Retention, Tell


class Custody:
    """What becomes of one log with time. `tell` hears of what was done."""

    def __init__(
        self, config: Config, context: Context, acts: Acts, trail: FileLog, search: Search, tell: Tell
    ) -> None:
        self.holds = Holds(context, acts, search)
        state = config.state / "retention.json"
        self.retention = Retention(config.audit, trail, search, self.holds, state, tell)

    def work(self, report: Report) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as the gateway does; `report` hears of what went wrong."""
        return [self.retention.run(report)]

    def watch(self, watch: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Let its state be measured: `watch` takes a name, what it means, and how to read it."""
        watch(
            "gateway_audit_minimum",
            "Index of the first record that was not pruned",
            lambda: float(self.retention.minimum),
        )
        watch("gateway_clock_ahead_seconds", "How far the clock is ahead of what retention believes",
              lambda: self.retention.ahead)  # fmt: skip
