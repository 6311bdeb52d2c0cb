"""What came on a connection that belongs to nobody yet: for the coroutine that talks on it until it is handed over.

INVARIANT: what came before the connection was lost is read before the loss is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

Message = tuple[int, bytes]


class Inbox:
    """Messages in order, and what ended them. One coroutine waits at a time."""

    __slots__ = ("_messages", "_waiter", "lost")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.lost: Exception | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, messages: Iterable[Message] = ()) -> None:
        """Something came."""
        self._messages.extend(messages)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, error: Exception) -> None:
        """Nothing more will come; the first reason counts."""
        self.lost = self.lost or error
        self.put()

    async def next(self) -> Message:
        """The next message. Raises what ended them."""
        while not self._messages:
            await self.more()
        return self._messages.popleft()

    async def more(self) -> None:
        """Wait until something came. Raises what ended it all."""
        if self.lost is not None:
            raise self.lost
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def rest(self) -> list[Message]:
        """What nobody has read."""
        rest = list(self._messages)
        self._messages.clear()
        return rest
