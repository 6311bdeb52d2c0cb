"""The parts of keeping the trail put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from gateway.access.acts import Acts
from gateway.access.context import Context
from gateway.audit.log import FileLog
from gateway.audit.pulse import since_boot_ns
from gateway.audit.search import Search
from gateway.config import Config
from gateway.custody.archiving import Archiver
from gateway.custody.holds import Holds
from gateway.custody.retention import Report, Retention, Tell


class Custody:
    """What becomes of one log with time. `tell` hears of what was done. Without `audit.archive` there is no archive."""

    def __init__(
        self, config: Config, context: Context, acts: Acts, trail: FileLog, search: Search, tell: Tell
    ) -> None:  # fmt: skip
        self.holds = Holds(context, acts, search)
        self.retention = Retention(config.audit, trail, search, self.holds, config.state / "retention.json", tell)
        self.archiver: Archiver | None = None
        if config.audit.archive is not None:
            # imported here: the library is large, and few have an archive on a machine to try things on
            from gateway.audit.bucket import Bucket

            bucket = Bucket(config.audit.archive, config.origin)
            self.archiver = Archiver(
                bucket, trail, config.state / "archive.json", config.audit.retention, self._now, tell,
                lambda: since_boot_ns() / 1e9,
            )  # fmt: skip

    def work(self, report: Report) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as the gateway does; `report` hears of what went wrong."""
        return [self.retention.run(report), *([self.archiver.run(report)] if self.archiver is not None else [])]

    def watch(self, watch: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Let its state be measured: `watch` takes a name, what it means, and how to read it."""
        retention, archiver = self.retention, self.archiver
        watch(
            "gateway_audit_minimum", "Index of the first record that was not pruned", lambda: float(retention.minimum)
        )
        ahead = "Seconds by which the clock is ahead of what retention believes"
        watch("gateway_audit_clock_ahead_seconds", ahead, lambda: retention.ahead)
        if archiver is not None:
            watch("gateway_archive_records", "Records that the archive has", lambda: float(archiver.size))
            watch(
                "gateway_archive_age_seconds", "Seconds since a head was archived, or the start", lambda: archiver.age_s
            )

    def _now(self) -> datetime:
        return self.retention.tick()
