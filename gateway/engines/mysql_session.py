"""One client's session on one target of MySQL or MariaDB: begun, watched, and left once.

The protocol takes turns: a client sends a command and waits for its whole answer. So a session is one task that reads
a command, has it answered, and reads the next. What is asked is `mysql_requests`, what is told `mysql_answers`; of an
observed target `mysql_observed_requests` and `mysql_observed_answers`.

INVARIANT: a session is left once, and what was running is settled before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from gateway.admitted import Admitted
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_told import Told
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import refusal_packet
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate

_STALL_S = 60.0
_CLOSE_S = 5.0
_FAULT = Refusal("internal-error", "the gateway met a fault; the session ends", fatal=True)


class Asked(Protocol):
    """What takes a session's commands."""

    async def answer(self, payload: bytes) -> bool:
        """Answer one command; False when the client says goodbye. Raises `GatewayError` for what ends the session."""
        ...


class MysqlSession:
    """A session inside. `start` begins it, `closed` is called once at its end.

    `timeout_s` is how long the target may say nothing while a command is under way.
    """

    def __init__(
        self,
        client: Link,
        backend: Backend,
        upstream: MysqlUpstream,
        gate: Gate,
        inside: Admitted,
        requests: Asked,
        answers: Told,
        *,
        timeout_s: float,
        closed: Callable[[MysqlSession], None],
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._client, self._backend, self._upstream = client, backend, upstream
        self._gate, self._inside, self._closed, self._report = gate, inside, closed, report
        self._requests, self._answers, self._timeout_s = requests, answers, timeout_s
        self._open_timeout_s = inside.view.policy.limits.idle_in_transaction_timeout_ms / 1000
        self._commanded = False
        self._reason: Refusal | None = None
        self._task: asyncio.Task[None] | None = None
        self.ended = False

    @property
    def inside(self) -> Admitted:
        """The session as the gate admitted it."""
        return self._inside

    @property
    def busy(self) -> bool:
        """Whether a command is under way."""
        return self._commanded

    @property
    def backend(self) -> Backend:
        """The connection to the target."""
        return self._backend

    def start(self) -> None:
        """Serve the client's commands from now on."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def cut(self, refusal: Refusal) -> None:
        """End the session at once and say why."""
        if self.ended:
            return
        self.ended, self._reason = True, refusal
        if self._task is not None:
            self._task.cancel()

    def finish(self) -> None:
        """The client is gone."""
        if not self.ended:
            self.ended = True
            if self._task is not None:
                self._task.cancel()

    def stop_statement(self) -> bool:
        """Have the target stop what runs; False when nothing does."""
        return self._answers.stop_statement()

    def tick(self, now: float, idle_timeout: float) -> None:
        """Called about once a second: ends what is stalled, unanswered or idle for too long."""
        if self.ended:
            return
        answers = self._answers
        if answers.sending_since is not None:
            if now - answers.sending_since > _STALL_S:
                self.cut(Refusal("protocol-violation", "the client does not read", fatal=True))
        elif self._commanded:
            if now - answers.heard_at > self._timeout_s:
                self.cut(Refusal("target-unavailable", "the target does not answer", fatal=True))
        elif answers.in_transaction and now - answers.heard_at > self._open_timeout_s:
            message = "the transaction was left open for too long; it was rolled back"
            self.cut(Refusal("session-expired", message, fatal=True))
        elif now - answers.heard_at > idle_timeout:
            self.cut(Refusal("session-expired", "the session was idle for too long", fatal=True))

    async def _serve(self) -> None:
        try:
            await self._commands()
        except GatewayError as error:
            self._reason = self._reason or error.refusal
        except OSError:
            pass  # one of the two is gone
        except asyncio.CancelledError:
            if not self.ended:
                self._reason = self._reason or Refusal("shutting-down", "the gateway is stopping", fatal=True)
        except BaseException as error:
            # FAIL CLOSED: where a fault of ours leaves the two sides is not known
            self._reason = _FAULT
            self._report("relay", error)
        finally:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._inside.names.forget()
        # the trail may be closed: recovery closes what it finds open then, at its ceiling
        with contextlib.suppress(GatewayError):
            self._answers.cut()
            self._gate.leave(self._inside, self._reason)
        if self._commanded:
            self._upstream.kill_soon(self._backend)
            self._backend.abort()
        else:
            self._backend.goodbye()
        if self._reason is not None and not self._client.closing:
            self._say(self._reason)
        self._client.close()
        asyncio.get_running_loop().call_later(_CLOSE_S, self._client.abort)
        self._closed(self)

    def _say(self, reason: Refusal) -> None:
        if not self._commanded:
            self._client.sequence = 1  # where the answer to its next command begins
        self._client.send(refusal_packet(reason))

    async def _next(self) -> bytes:
        """The client's next command."""
        self._client.sequence = 0
        return await self._client.packet()

    async def _commands(self) -> None:
        answers = self._answers
        going = True
        while going:
            payload = await self._next()
            answers.heard_at = time.monotonic()
            self._commanded = True
            going = await self._requests.answer(payload)
            if going:
                await answers.sent()
            self._commanded = False
            answers.heard_at = time.monotonic()
