"""One client's session on a target that is observed, not protected: its bytes both ways, and a record of all they ask.

The counterpart of `postgres_relay` for targets whose policy says so (the gate decides, once for each session and again
at each statement). Nothing is rewritten, masked or refused; what `postgres_relay` keeps from happening is only on
record here. The two share what reads and writes messages, and how a session ends, and none of their roads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from gateway.admitted import SETTLED, Admitted, Refused
from gateway.engines.postgres_due import Due
from gateway.engines.postgres_encodings import Reader
from gateway.engines.postgres_ends import Ends
from gateway.engines.postgres_observed_answers import ObservedAnswers
from gateway.engines.postgres_observed_requests import ObservedRequests
from gateway.engines.postgres_outbox import Outbox
from gateway.engines.postgres_scrub import refusal_bytes
from gateway.engines.upstream import Backend, Upstream
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.model import Receipt
from gateway.wire import postgres as wire

_UNWRITABLE = Refusal("audit-not-writable", "the audit trail cannot be written; the session ends", fatal=True)
_QUEUE_HIGH, _QUEUE_LOW = 2048, 512
_STALL_S = 60.0
_LEAVE_S = 30.0
"""How long what a client left behind may still run."""
_MESSAGE = 128
"""What a message that waits costs beside its body, about: most that a client could send in haste have none."""
_TURN_S = 0.02
"""How long one client's messages are taken in a row before everybody else has a turn."""


class ObservedRelay(Ends):
    """The relay of one session, from its first ReadyForQuery to its end. `closed` is called once, at the end."""

    __slots__ = (
        "_answers", "_blocked", "_framer", "_later", "_later_size", "_leaving_at", "_limit", "_outbox", "_pauses",
        "_queue", "_requests", "_stopped",
    )  # fmt: skip

    _answers: ObservedAnswers

    def __init__(
        self,
        client: asyncio.Transport,
        framer: wire.Framer,
        backend: Backend,
        upstream: Upstream,
        gate: Gate,
        inside: Admitted,
        *,
        closed: Callable[[ObservedRelay], None],
        buffer_limit: int = 1024 * 1024,
    ) -> None:
        super().__init__(client, backend, upstream, gate, inside, closed)
        self._framer, self._limit = framer, buffer_limit
        self._queue: deque[Due] = deque()
        self._outbox = Outbox(backend, self._throttle, self._unwritable)
        reader = Reader(backend.facts.parameters)
        self._requests = ObservedRequests(gate, inside, self._queue, self._outbox, reader, self._refused)
        self._answers = ObservedAnswers(self, client, gate, inside, self._queue, self._requests, buffer_limit)
        self._later: deque[tuple[int, bytes]] = deque()
        self._later_size = 0
        self._blocked = self._stopped = self._pauses = False
        self._leaving_at: float | None = None
        backend.own(self)

    def client_data(self, data: bytes) -> None:
        """Bytes came from the client."""
        if self.ended or self._stopped:
            return
        self.heard_at = time.monotonic()
        try:
            messages = self._framer.feed(data)
            self._later_size += sum(len(body) + _MESSAGE for _, body in messages)
            idle = not self._later and self._studying is None
            self._later.extend(messages)
            if idle:
                self._take()
            else:
                self._throttle()
        except Exception as error:
            self.fault(error)

    def _take(self) -> None:
        """Take what waits, for one turn, and send it."""
        later, requests = self._later, self._requests
        turn_ends = time.monotonic() + _TURN_S
        number = 0
        goes_on = True
        while later and goes_on and not requests.waits and len(self._queue) <= _QUEUE_HIGH:
            kind, body = later[0]
            number += 1
            if number & 3 == 3 and time.monotonic() > turn_ends:
                asyncio.get_running_loop().call_soon(self._go_on)
                break
            text = requests.unstudied(kind, body)
            if text is not None:
                self._wait_for(self._gate.study(self._inside, text))
                break
            later.popleft()
            self._later_size -= len(body) + _MESSAGE
            goes_on = requests.take(kind, body)
            if not goes_on and kind == wire.TERMINATE:
                self._goodbye()
                return
        if len(self._queue) > _QUEUE_HIGH:
            requests.flush()
        if not requests.end_turn() or not goes_on:
            self._stopped = True
        self._throttle()

    def _goodbye(self) -> None:
        """The client said goodbye: what it asked for before runs to its end all the same, as it would directly."""
        self._requests.end_turn()
        self._stopped = True
        if not self._queue and not self._outbox.held:
            self.finish()
            return
        self._leaving_at = time.monotonic()
        self._outbox.send(wire.encode_terminate(), None)

    def _throttle(self) -> None:
        """Read from the client only while what it sends does not pile up."""
        held = self._later_size + self._outbox.held > self._limit or (self._later and not self._requests.waits)
        pauses = bool(held) or self._blocked or self._stopped
        if pauses == self._pauses or self.ended:
            return
        self._pauses = pauses
        if pauses:
            self._client.pause_reading()
        else:
            self._client.resume_reading()

    def _go_on(self) -> None:
        """Take the messages that had to wait."""
        if self.ended or self._stopped or self._studying is not None:
            return
        try:
            self._take()
        except Exception as error:
            self.fault(error)

    def backend_data(self, data: bytes) -> None:
        """Bytes came from the target."""
        if self.ended:
            return
        self.heard_at = time.monotonic()
        self._answers.take(data)
        if self._answers.overfull and self._backend.transport is not None:
            self._backend.transport.pause_reading()

    def released(self) -> None:
        """See `Owner`."""
        if self._later and len(self._queue) < _QUEUE_LOW:
            self._go_on()

    def backend_blocked(self, blocked: bool) -> None:
        """The target does not (or does again) take what is sent."""
        if not self.ended:
            self._blocked = blocked
            self._throttle()

    def tick(self, now: float, idle_timeout: float) -> None:
        """Called about once a second: ends what is stalled or idle for too long. How long a statement may run is not
        limited here.
        """
        if self.ended:
            return
        if self._stalled_at is not None:
            if now - self._stalled_at > _STALL_S:
                self.cut(Refusal("protocol-violation", "the client does not read", fatal=True))
        elif self._leaving_at is not None:
            if now - self._leaving_at > _LEAVE_S:
                self._end(None)
        elif self._answers.held_at is not None:
            if now - self._answers.held_at > _STALL_S:
                self.cut(Refusal("audit-not-writable", "the audit trail does not answer", fatal=True))
        elif not self._queue and now - self.heard_at > idle_timeout:
            self.cut(Refusal("session-expired", "the session was idle for too long", fatal=True))

    async def cancel(self) -> None:
        """Pass a cancel request on to the target, behind what it is meant for."""
        await self._outbox.empty()
        if self._queue and not self.ended:
            await self._upstream.cancel(self._backend.facts)

    def cut(self, refusal: Refusal, *, told: bool = False) -> None:
        """End the session at once and say why, where a message can be said."""
        if self.ended:
            return
        self._answers.last_words(refusal_bytes(refusal, fatal=True), told=told)
        self._end(refusal)

    def finish(self) -> None:
        """The client is gone."""
        if not self.ended and self._leaving_at is None:
            self._end(None)

    def backend_lost(self) -> None:
        """The target's connection is gone."""
        if self.ended:
            return
        if self._leaving_at is not None and not self._queue:
            self._end(None)
        else:
            self.cut(Refusal("target-unavailable", "the target closed the connection", fatal=True))

    def _refused(self, refused: Refused) -> None:
        """The gate let no more happen: the session ends as soon as that is on record."""
        self._stopped = True

        def recorded(_: Receipt) -> None:
            # not at once: what was recorded before it in this turn is still to be sent
            asyncio.get_running_loop().call_soon(self.cut, refused.refusal)

        (refused.receipt or SETTLED).add_done_callback(recorded)

    def _unwritable(self) -> None:
        self.cut(_UNWRITABLE)

    def _end(self, refusal: Refusal | None) -> None:
        self._outbox.drop()
        self._later.clear()
        super()._end(refusal)
