"""One client's session on one target: what joins its two sides, from its first ReadyForQuery to its end.

`postgres_requests` turns the client's messages into the target's, `postgres_answers` releases what comes back, and
`postgres_flow` is what they remember between them. Here they are read and written, kept from running away from each
other.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

from gateway.admitted import Admitted
from gateway.engines.postgres_answers import Answers
from gateway.engines.postgres_ends import Ends
from gateway.engines.postgres_flow import INTERNAL, Flow
from gateway.engines.postgres_requests import Requests
from gateway.engines.upstream import Backend, Upstream
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.model import Receipt
from gateway.wire import postgres as wire

_QUEUE_HIGH, _QUEUE_LOW = 2048, 512
_STALL_S = 60.0
_TURN_S = 0.02
"""How long one client's messages are taken in a row before everybody else has a turn."""
_ANSWER_GRACE_S = 10.0
_NUDGE_S = 5.0


class Relay(Ends):
    """The relay of one session, from its first ReadyForQuery to its end. `closed` is called once, at the end."""

    __slots__ = (
        "_answers", "_blocked", "_framer", "_held", "_later", "_queue", "_requests", "_throttled", "_writing",
        "timeout_s",
    )  # fmt: skip

    _answers: Answers

    def __init__(
        self,
        client: asyncio.Transport,
        framer: wire.Framer,
        backend: Backend,
        upstream: Upstream,
        gate: Gate,
        inside: Admitted,
        *,
        closed: Callable[[Relay], None],
        restore: str = "",
        buffer_limit: int = 1024 * 1024,
    ) -> None:
        super().__init__(client, backend, upstream, gate, inside, closed)
        self._framer = framer
        self._queue: deque[Flow] = deque()
        self._requests = Requests(gate, inside, self._queue, restore=restore)
        self._answers = Answers(self, client, backend, gate, inside, self._queue, self._requests, buffer_limit)
        self._later: list[tuple[int, bytes]] | None = None
        self._blocked = False
        self._held = b""
        self._writing = inside.view.write
        self._throttled = False
        self.timeout_s = inside.view.policy.limits.statement_timeout_ms / 1000 + _ANSWER_GRACE_S
        backend.own(self)

    def client_data(self, data: bytes) -> None:
        """Bytes came from the client."""
        if self.ended:
            return
        self.heard_at = time.monotonic()
        try:
            messages = self._framer.feed(data)
            if self._later is not None:
                self._later.extend(messages)
            else:
                self._take(messages)
        except Exception as error:
            self.fault(error)

    def _take(self, messages: Sequence[tuple[int, bytes]]) -> None:
        out: list[bytes] = []
        turn_ends = time.monotonic() + _TURN_S
        for number, (kind, body) in enumerate(messages):
            if number & 3 == 3 and time.monotonic() > turn_ends:
                self._later = list(messages[number:])
                self._client.pause_reading()
                asyncio.get_running_loop().call_soon(self._go_on)
                break
            text = self._requests.unstudied(kind, body)
            if text is not None:
                self._later = list(messages[number:])
                self._wait_for(self._gate.study(self._inside, text))
                break
            if self._writing:
                judged = self._requests.unclaimed(kind, body)
                if judged is not None:
                    self._later = list(messages[number:])
                    self._wait_for(self._gate.claim(self._inside, judged))
                    break
            if not self._requests.take(kind, body, out):
                if not self._requests.pause_s:
                    self.finish()
                    return
                self._later = list(messages[number + 1 :])
                self._client.pause_reading()
                asyncio.get_running_loop().call_later(self._requests.pause_s, self._go_on)
                self._requests.pause_s = 0.0
                break
            if self._requests.held is not None:
                self._later = list(messages[number + 1 :])
                self._hold(out)
                return
        if out:
            self._backend.send(out[0] if len(out) == 1 else b"".join(out))
        if len(self._queue) > _QUEUE_HIGH and not self._throttled:
            self._throttled = True
            self._client.pause_reading()
            # the Sync that would make the target send its answers may be among what is not read now
            self._backend.send(wire.encode_flush())

    def _hold(self, out: list[bytes]) -> None:
        """Send what writes, and all before it, once its record is durable; the client's further messages wait."""
        receipt, self._requests.held = self._requests.held, None
        assert receipt is not None
        self._client.pause_reading()
        self._held = b"".join(out)
        receipt.add_done_callback(self._forward)

    def _forward(self, receipt: Receipt) -> None:
        held, self._held = self._held, b""
        if self.ended:
            return
        if receipt.failed:
            self.cut(Refusal("audit-not-writable", "the audit trail cannot be written", fatal=True))
            return
        self._backend.send(held)
        self.heard_at = time.monotonic()
        self._go_on()

    def _wait_for(self, work: Coroutine[None, None, None]) -> None:
        """Let a statement be analysed elsewhere, or its approval be claimed; the client's further messages wait."""
        self._client.pause_reading()
        super()._wait_for(work)

    def _go_on(self) -> None:
        """Take the messages that had to wait."""
        later, self._later = self._later or [], None
        if self.ended:
            return
        if not self._throttled and not self._blocked:
            self._client.resume_reading()
        try:
            self._take(later)
        except Exception as error:
            self.fault(error)

    def backend_data(self, data: bytes) -> None:
        """Bytes came from the target."""
        if self.ended:
            return
        self.heard_at = time.monotonic()
        self._answers.take(data)

    def released(self) -> None:
        """See `Owner`."""
        if self._throttled and len(self._queue) < _QUEUE_LOW:
            self._throttled = False
            if not self._blocked and self._later is None:
                self._client.resume_reading()

    def backend_blocked(self, blocked: bool) -> None:
        """The target does not (or does again) take what is sent."""
        if self.ended:
            return
        self._blocked = blocked
        if blocked:
            self._client.pause_reading()
        elif not self._throttled and self._later is None:
            self._client.resume_reading()

    def tick(self, now: float, idle_timeout: float) -> None:
        """Called about once a second: ends what is stalled, unanswered or idle for too long."""
        if self.ended:
            return
        if self._stalled_at is not None:
            if now - self._stalled_at > _STALL_S:
                self.cut(Refusal("protocol-violation", "the client does not read", fatal=True))
        elif self._queue:
            if self._answers.held_at is not None:
                if now - self._answers.held_at > _STALL_S:
                    self.cut(Refusal("audit-not-writable", "the audit trail does not answer", fatal=True))
            elif now - self.heard_at > self.timeout_s:
                self.cut(Refusal("target-unavailable", "the target does not answer", fatal=True))
            elif now - self.heard_at > _NUDGE_S and self._queue[-1].kind not in (wire.SYNC, wire.QUERY, INTERNAL):
                # a client that is in no hurry to send its Sync must not look like a target that is gone
                self._backend.send(wire.encode_flush())
        elif now - self.heard_at > idle_timeout:
            self.cut(Refusal("session-expired", "the session was idle for too long", fatal=True))

    async def cancel(self) -> None:
        """Pass a cancel request on to the target."""
        if self._queue and not self.ended:
            await self._upstream.cancel(self._backend.facts)

    def cut(self, refusal: Refusal, *, told: bool = False) -> None:
        """End the session at once and say why, where a message can be said."""
        if self.ended:
            return
        self._answers.last_words(refusal, told=told)
        self._end(refusal)

    def finish(self) -> None:
        """The client said goodbye or is gone."""
        if not self.ended:
            self._end(None)

    def backend_lost(self) -> None:
        """The target's connection is gone."""
        if not self.ended:
            self.cut(Refusal("target-unavailable", "the target closed the connection", fatal=True))
