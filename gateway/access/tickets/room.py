"""The ticket sources of a server with all that goes on beside asking them: webhooks, comments, news for the trail."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.access.tickets.comments import PAUSE_S, Comments
from gateway.access.tickets.hooks import Hooks
from gateway.access.tickets.polled import Report
from gateway.access.tickets.sources import open_sources
from gateway.errors import GatewayError
from gateway.ports import Clock, Trail
from gateway.record import event
from gateway.store.database import Database
from gateway.ticket_settings import FileTickets, Remote


class TicketRoom:
    """`sources` is the port; `hooks` what the API gets; `comments` what access announces grants to."""

    def __init__(
        self,
        settings: Collection[FileTickets | Remote],
        trail: Trail,
        database: Database | None,
        report: Report,
        *,
        clock: Clock = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """In a running event loop; what the sources' own threads have to tell comes through it.

        Raises `GatewayError("configuration-invalid")`.
        """
        loop = asyncio.get_running_loop()

        def append(kind: str, fields: Mapping[str, Any]) -> None:
            trail.append(event(kind, **fields))

        def from_thread(function: Callable[..., Any]) -> Callable[..., None]:
            def tell(*arguments: Any) -> None:
                # a loop that is closed has nobody left to tell
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(function, *arguments)

            return tell

        self.sources = open_sources(
            settings, news=from_thread(append), report=from_thread(report), clock=clock, monotonic=monotonic
        )
        self.hooks = Hooks(self.sources.remote, append, clock, monotonic)
        self.comments = Comments(self.sources.remote, append, database, clock)

    def outages(self) -> dict[str, float]:
        """1 for each source that cannot be asked, 0 for the others."""
        return {name: float(source.outage is not None) for name, source in self.sources.remote.items()}

    async def keep(self) -> None:
        """Make comments and record what was counted, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(GatewayError):
                self.hooks.flush()
            await self.comments.put_due()

    def close(self) -> None:
        """Join the threads, and record what is only counted."""
        with contextlib.suppress(GatewayError):
            self.hooks.flush(0.0)
        self.comments.close()
        self.sources.close()
