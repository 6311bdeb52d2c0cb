"""Previews on PostgreSQL: see `previews.py`. What the answer holds beyond the rows that are decoded is never read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.engines.postgres_scrub import error_bytes
from gateway.engines.previews import MOST_ROWS, TIMEOUT_S, Previews, shown
from gateway.engines.upstream import Backend, Upstream
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Preview, Session
from gateway.wire import postgres as wire

_MESSAGE_LIMIT = 1024 * 1024


class PostgresPreview(Previews):
    """Runs previews on PostgreSQL targets."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, Upstream],
        pins: Callable[[Session], Mapping[str, str]],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(gate, timeout_s)
        self._upstreams, self._pins = upstreams, pins

    async def _read(self, inside: Admitted, permit: Permit) -> Preview | Refusal:
        gate, session = self._gate, inside.session
        status, started_ns = "cut", time.monotonic_ns()
        upstream = self._upstreams[session.grant.target]
        backend: Backend | None = None
        reading = _Reading(min(MOST_ROWS, permit.window_rows), permit.window_bytes)
        try:
            await durable(permit.receipt)
            backend = await upstream.acquire(self._pins(session))
            gate.connected(inside, upstream.tie(backend))
            if not gate.is_current(inside):
                raise GatewayError("policy-changed", "the policy changed meanwhile", "look at it again", fatal=True)
            status = "unknown"
            backend.own(reading)
            found = await self._rows(permit, backend, reading)
            status = "error" if reading.sqlstate else "cut" if reading.more else "ok" if reading.ended else "unknown"
            return found
        finally:
            if backend is not None:
                if not reading.ended:
                    upstream.cancel_soon(backend.facts)
                backend.close()
            spent = (time.monotonic_ns() - started_ns) // 1000
            read = len(reading.rows), reading.size
            gate.settle(inside, permit, Outcome(status, *read, code=reading.sqlstate, duration_us=spent))

    async def _rows(self, permit: Permit, backend: Backend, reading: _Reading) -> Preview | Refusal:
        backend.send(wire.encode_query(permit.text))
        await reading.done
        return reading.refusal or Preview(tuple(reading.columns), tuple(reading.rows), reading.more)


class _Reading:
    """Takes the answer to one query: its columns, and rows within bounds; then it is done."""

    def __init__(self, most_rows: int, most_bytes: int) -> None:
        self.columns: list[str] = []
        self.rows: list[tuple[str | None, ...]] = []
        self.size = 0
        self.more = self.ended = False
        self.sqlstate = ""
        self.refusal: Refusal | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._framer = wire.Framer(_MESSAGE_LIMIT)

    def backend_data(self, data: bytes) -> None:
        if self.done.done():
            return
        try:
            for kind, body in self._framer.feed(data):
                self._take(kind, body)
                if self.done.done():
                    return
        except GatewayError as error:
            self._fail(error.refusal)

    def backend_lost(self) -> None:
        self.ended = True
        self._fail(Refusal("target-unavailable", "the target closed the connection", "try again in a moment"))

    def backend_blocked(self, blocked: bool) -> None:
        """One query is all that is ever sent."""

    def _take(self, kind: int, body: bytes) -> None:
        if kind == wire.DATA_ROW:
            if len(self.rows) >= self._most_rows or self.size + len(body) + 5 > self._most_bytes:
                self.more = True
                self._finish()
                return
            self.size += len(body) + 5
            self.rows.append(tuple(None if value is None else shown(value) for value in wire.parse_data_row(body)))
        elif kind == wire.ROW_DESCRIPTION and not self.columns:
            self.columns = [field.name for field in wire.parse_row_description(body)]
        elif kind == wire.ERROR_RESPONSE:
            fields = wire.parse_error_fields(body)
            self.sqlstate = fields.get("C", "XX000")
            # the same words that a client would get for it
            said = wire.parse_error_fields(error_bytes(fields)[5:])
            self.refusal = Refusal("target-error", said.get("M", "the target refused"), said.get("H", ""))
        elif kind == wire.READY_FOR_QUERY:
            self.ended = True
            if not self.columns and self.refusal is None:
                self.refusal = Refusal("internal-error", "the preview gave no table")
            self._finish()
        elif kind not in (wire.COMMAND_COMPLETE, wire.NOTICE_RESPONSE, wire.PARAMETER_STATUS):
            self._fail(Refusal("target-unavailable", "the target sent something unexpected"))

    def _fail(self, refusal: Refusal) -> None:
        self.refusal = self.refusal or refusal
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
