"""What goes to an observed target: in the order that it came, each piece once the record before it is durable.

Records become durable in the order in which they were appended, so the last one of a piece stands for all of them.

INVARIANT: nothing is sent before the records that were made for it are durable, and nothing overtakes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.engines.upstream import Backend
from gateway.model import Receipt


class Outbox:
    """The pieces that wait. `sent` is called when some were sent, `failed` when a record will never be durable."""

    __slots__ = ("_backend", "_failed", "_pieces", "_sent", "_waiters", "held")

    def __init__(self, backend: Backend, sent: Callable[[], None], failed: Callable[[], None]) -> None:
        self._backend, self._sent, self._failed = backend, sent, failed
        self._pieces: deque[tuple[Receipt | None, bytes]] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self.held = 0

    def send(self, data: bytes, receipt: Receipt | None) -> None:
        """Send once the receipt is durable; at once without one, when nothing waits."""
        if not self._pieces and (receipt is None or receipt.durable):
            self._backend.send(data)
            return
        self._pieces.append((receipt, data))
        self.held += len(data)
        if receipt is not None:
            receipt.add_done_callback(self._decided)

    async def empty(self) -> None:
        """Wait until nothing waits any more, or until it never will."""
        if self._pieces:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def drop(self) -> None:
        """Send nothing more."""
        self._pieces.clear()
        self.held = 0
        self._emptied()

    def _decided(self, _: Receipt) -> None:
        ready: list[bytes] = []
        while self._pieces:
            receipt, data = self._pieces[0]
            if receipt is not None and receipt.failed:
                # FAIL CLOSED: without its record it is never sent, and neither is what came behind it
                self.drop()
                self._failed()
                return
            if receipt is not None and not receipt.durable:
                break
            self._pieces.popleft()
            ready.append(data)
            self.held -= len(data)
        if ready:
            self._backend.send(b"".join(ready))
            self._sent()
        if not self._pieces:
            self._emptied()

    def _emptied(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
