"""What the relays of protected and of observed targets do alike: hold a session's two ends, and let go of them once.

INVARIANT: a session is ended once, and everything that was due is settled then.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sized
from typing import Any, Protocol

from gateway.admitted import Admitted
from gateway.engines.upstream import Backend, Upstream
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate

_FAULT = Refusal("internal-error", "the gateway met a fault; the session ends", fatal=True)


class Held(Protocol):
    """What is asked of either kind of answers."""

    held_at: float | None

    def drop(self) -> None:
        """The session has ended: settle what is due, and forget what came. Raises `GatewayError`."""
        ...


class Ends(ABC):
    """A client and a target, while a session is between them. `closed` is called once, at the end."""

    __slots__ = (
        "_backend", "_client", "_gate", "_inside", "_stalled_at", "_studying", "_upstream", "closed", "ended",
        "heard_at",
    )  # fmt: skip

    # of each relay's own kind
    _answers: Held
    _queue: Sized

    def __init__(
        self,
        client: asyncio.Transport,
        backend: Backend,
        upstream: Upstream,
        gate: Gate,
        inside: Admitted,
        closed: Callable[[Any], None],
    ) -> None:
        self._client, self._backend, self._upstream = client, backend, upstream
        self._gate, self._inside = gate, inside
        self._studying: asyncio.Task[None] | None = None
        self._stalled_at: float | None = None
        self.closed = closed
        self.ended = False
        self.heard_at = time.monotonic()

    @property
    def inside(self) -> Admitted:
        """The session as the gate admitted it."""
        return self._inside

    @property
    def busy(self) -> bool:
        """Whether the target owes an answer."""
        return bool(self._queue)

    def go_on_reading(self) -> None:
        """See `Owner`."""
        if self._stalled_at is None and self._backend.transport is not None:
            self._backend.transport.resume_reading()

    def stop_statement(self) -> None:
        """See `Owner`."""
        self._upstream.cancel_soon(self._backend.facts)

    def fault(self, error: Exception) -> None:
        """See `Owner`."""
        if isinstance(error, GatewayError):
            self.cut(error.refusal)
            return
        # FAIL CLOSED: where a fault of ours leaves the two sides is not known
        self.cut(_FAULT)
        asyncio.get_running_loop().call_exception_handler({"message": "relay", "exception": error})

    def client_blocked(self, blocked: bool) -> None:
        """The client does not (or does again) take what is sent."""
        transport = self._backend.transport
        if transport is None or self.ended:
            return
        if blocked:
            self._stalled_at = time.monotonic()
            transport.pause_reading()
        else:
            self._stalled_at = None
            if self._answers.held_at is None:
                transport.resume_reading()

    @abstractmethod
    def cut(self, refusal: Refusal, *, told: bool = False) -> None:
        """End the session at once and say why, where a message can be said."""

    @abstractmethod
    def _go_on(self) -> None:
        """Take the messages that had to wait."""

    def _wait_for(self, work: Coroutine[None, None, None]) -> None:
        """Let the client's further messages wait for work that is done beside them."""
        self._studying = asyncio.get_running_loop().create_task(work)
        self._studying.add_done_callback(self._studied)

    def _studied(self, task: asyncio.Task[None]) -> None:
        self._studying = None
        if self.ended or task.cancelled():
            return
        if task.exception() is not None:
            self.cut(Refusal("internal-error", "the statement could not be judged", fatal=True))
            return
        self._go_on()

    def _end(self, refusal: Refusal | None) -> None:
        self.ended = True
        if self._studying is not None:
            self._studying.cancel()
        busy = bool(self._queue)
        # or what the session held would wait for the next collection of cycles
        self._inside.names.forget()
        try:
            self._answers.drop()
            self._gate.leave(self._inside, refusal)
        except GatewayError:
            # the trail is closed: recovery will close what it finds open, at its ceiling
            pass
        if busy:
            self._upstream.cancel_soon(self._backend.facts)
            self._backend.abort()
        else:
            self._backend.close()
        self._client.close()
        self.closed(self)
