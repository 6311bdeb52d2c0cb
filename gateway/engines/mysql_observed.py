"""One client's session on a MySQL target that is observed, not protected: its bytes both ways, all of it on record.

The counterpart of `mysql_session` for targets whose policy says so (the gate decides, once for each session and again
at each statement). Both sides have agreed to the same things and count the same packets, so that all passes as it came.
What is asked is `mysql_observed_requests`, what is told `mysql_observed_answers`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from gateway.admitted import Admitted
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_observed_answers import ObservedAnswers
from gateway.engines.mysql_observed_requests import ObservedRequests
from gateway.engines.mysql_session import MysqlSession
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.sql.mysql import Reader
from gateway.wire.mysql.base import ERR
from gateway.wire.mysql.results import Ok, parse_ok
from gateway.wire.mysql.walk import packet_at

_QUIET_S = 1.0
"""How long a session is idle before its target is listened to as well."""


class ObservedSession(MysqlSession):
    """A session as the target would have it: how long a statement may run is not limited here."""

    _answers: ObservedAnswers

    _listening: asyncio.Task[None] | None = None
    _told = False

    def tick(self, now: float, idle_timeout: float) -> None:
        """See `MysqlSession`; a target that ends a session while nobody asks anything is heard as well."""
        super().tick(now, idle_timeout)
        if self.ended or self._commanded or self._listening is not None:
            return
        if time.monotonic() - self._answers.heard_at > _QUIET_S:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _next(self) -> bytes:
        command = await super()._next()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])
        return command

    async def _listen(self) -> None:
        try:
            came = await self._backend.unasked()
            need, _ = packet_at(came, 0, len(came))
            if came and (need != len(came) or came[4:5] != bytes((ERR,))):
                # FAIL CLOSED: what answers nothing would be taken for the answer to what is asked next
                raise GatewayError("target-unavailable", "the target sent what nobody asked for", fatal=True)
            if came:
                await self._answers.aside(len(came))
                self._client.send_raw(came, 0)
                self._told = True
            self.cut(Refusal("target-unavailable", "the target closed the connection", fatal=True))
        except GatewayError as error:
            self.cut(error.refusal)

    def _say(self, reason: Refusal) -> None:
        if not self._told:
            super()._say(reason)

    def _end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        super()._end()


def observed_session(
    client: Link,
    backend: Backend,
    upstream: MysqlUpstream,
    gate: Gate,
    inside: Admitted,
    charset: int,
    *,
    behind: Callable[[int], int],
    closed: Callable[[MysqlSession], None],
    report: Callable[[str, BaseException], None],
) -> ObservedSession:
    """A session between a client and a target. `charset` is the client's; `behind` as `ObservedRequests` has it."""
    reader = Reader(charset)
    answers = ObservedAnswers(client, backend, upstream, gate, inside, reader)
    requests = ObservedRequests(backend, gate, inside, answers, reader, behind)
    return ObservedSession(
        client, backend, upstream, gate, inside, requests, answers, timeout_s=math.inf, closed=closed, report=report
    )


def welcome(backend: Backend, warning: str) -> Ok:
    """What the target said when the gateway was let in, with what its own words have no place for: the warning."""
    said = parse_ok(backend.welcome, backend.capabilities)
    return Ok(said.affected_rows, said.last_insert_id, said.status, said.warnings, warning.encode(), said.changes)
