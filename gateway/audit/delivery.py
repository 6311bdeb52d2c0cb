"""Receipts, and how the loop hears of what became durable: through an eventfd that the writer raises.

There is one call on the loop's thread for all that became durable since the last one, and nothing that the writer's
thread would need the interpreter's lock for. Where there is no loop (tools, tests) the same happens on the writer's
thread.

INVARIANT: a receipt turns durable after its record is, and in the order of the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gateway.audit.encode import record_of

Subscriber = Callable[[dict[str, Any]], Any]


class FileReceipt:
    """See `model.Receipt`."""

    __slots__ = ("_callback", "_leaf", "_others", "durable", "failed", "index")

    def __init__(self, index: int, leaf: bytes) -> None:
        self.index = index
        self.durable = False
        self.failed = False
        self._leaf = leaf
        self._callback: Callable[[Any], Any] | None = None
        self._others: list[Callable[[Any], Any]] | None = None

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Call `callback(self)` once `durable` or `failed` is true; at once when it is already."""
        if self.durable or self.failed:
            callback(self)
        elif self._callback is None:
            self._callback = callback
        elif self._others is None:
            self._others = [callback]
        else:
            self._others.append(callback)


class Delivery:
    """The receipts of what is not durable yet, in order, and who follows the records.

    `signal` is the eventfd, negative without a loop. `collect` says how many records are durable and makes the eventfd
    quiet; `notify` is called after each delivery.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        collect: Callable[[], int],
        notify: Callable[[], None],
        on_failure: Callable[[BaseException], Any] | None,
    ) -> None:
        self.signal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if loop is not None else -1
        self._pending: deque[FileReceipt] = deque()
        self.expect = self._pending.append
        self._loop, self._collect, self._notify, self._on_failure = loop, collect, notify, on_failure
        self._mutex = threading.RLock()
        self._listening = False
        self._subscribers: list[Subscriber] = []

    def forget(self, receipt: FileReceipt) -> None:
        """Expect it no more: its record could not be queued."""
        with contextlib.suppress(ValueError):
            self._pending.remove(receipt)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback(record)` for each record once it is durable, in order; the result ends the subscription."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    def listen(self, leaves: Sequence[bytes]) -> None:
        """Begin; `leaves` are records that have no receipts and are shown to who subscribes in this turn."""
        if self._loop is not None:
            self._listening = True
            self._post(self._listen, leaves)

    def hang_up(self) -> None:
        """Deliver what is durable, and end."""
        if self._listening:
            self._listening = False
            self._post(self._hang_up)
        elif self.signal >= 0:
            self._hang_up()

    def deliver(self) -> None:
        """Complete the receipts of what is durable, then show the records to who follows them."""
        with self._mutex:
            durable = self._collect()
            pending, leaves = self._pending, []
            followed = bool(self._subscribers)
            while pending and pending[0].index < durable:
                receipt = pending.popleft()
                receipt.durable = True
                if followed:
                    leaves.append(receipt._leaf)
                self._complete(receipt)
            self._show(leaves)
        self._notify()

    def fail(self, error: BaseException) -> None:
        """Let every receipt that is not durable fail. From any thread."""
        self._post(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        with self._mutex:
            self.deliver()
            while self._pending:
                receipt = self._pending.popleft()
                receipt.failed = True
                self._complete(receipt)
        if self._on_failure is not None:
            self._on_failure(error)

    def _complete(self, receipt: FileReceipt) -> None:
        receipt._leaf = b""
        callback, others = receipt._callback, receipt._others
        if callback is not None:
            receipt._callback = receipt._others = None
            self._call(callback, receipt)
            for other in others or ():
                self._call(other, receipt)

    def _show(self, leaves: Sequence[bytes]) -> None:
        for leaf in leaves:
            record = record_of(leaf)
            for callback in tuple(self._subscribers):
                self._call(callback, record)

    def _call(self, callback: Callable[[Any], Any], argument: Any) -> None:
        """One callback's fault must not keep the others of its batch from hearing."""
        try:
            callback(argument)
        except Exception as error:
            if self._loop is None:
                raise
            self._loop.call_exception_handler({"message": "audit callback failed", "exception": error})

    def _listen(self, leaves: Sequence[bytes]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.add_reader(self.signal, self.deliver)
        self._show(leaves)

    def _hang_up(self) -> None:
        self.deliver()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self.signal)
        os.close(self.signal)
        self.signal = -1

    def _post(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(function, *arguments)
                return
            except RuntimeError:
                # the loop is closed: nobody runs on its thread any more
                pass
        function(*arguments)
