"""Reads, for whoever must approve a statement, the rows that it would meet: a session of one SELECT, through the gate.

The road is that of any client: the session enters, the text is admitted, and nothing is sent before the record of it
is durable. At most `MOST_ROWS` rows are decoded, within what the record announced; the connection is closed behind
them, so nothing else of the result is ever read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.postgres_scrub import error_bytes
from gateway.engines.upstream import Backend, Upstream
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Preview, Session, Statement
from gateway.sql.statement import Kind
from gateway.wire import postgres as wire

MOST_ROWS = 50
MOST_AT_ONCE = 4
"""How many previews may hold a connection to a target at the same time; the next one waits."""
TIMEOUT_S = 20.0
_MESSAGE_LIMIT = 1024 * 1024
_SHOWN = 500
"""How many characters of a value are shown."""


class PostgresPreview:
    """Runs previews on PostgreSQL targets."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, Upstream],
        pins: Callable[[Session], Mapping[str, str]],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._gate, self._upstreams, self._pins, self._timeout_s = gate, upstreams, pins, timeout_s
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, session: Session, text: str) -> Preview | Refusal:
        """The first rows of that SELECT, or why they are not to be had; whatever happens, the session is left."""

        async def read(inside: Admitted) -> Preview | Refusal:
            async with self._turns:
                return await self._read(inside, text)

        return await left_after(self._gate, session, self._timeout_s, read)

    async def _read(self, inside: Admitted, text: str) -> Preview | Refusal:
        gate, session = self._gate, inside.session
        permit = await judged_preview(gate, inside, text)
        if isinstance(permit, Refused):
            if permit.receipt is not None:
                await durable(permit.receipt)
            return permit.refusal
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
            shown = len(reading.rows), reading.size
            gate.settle(inside, permit, Outcome(status, *shown, code=reading.sqlstate, duration_us=spent))

    async def _rows(self, permit: Permit, backend: Backend, reading: _Reading) -> Preview | Refusal:
        backend.send(wire.encode_query(permit.text))
        await reading.done
        return reading.refusal or Preview(tuple(reading.columns), tuple(reading.rows), reading.more)


async def left_after(
    gate: Gate, session: Session, timeout_s: float, read: Callable[[Admitted], Awaitable[Preview | Refusal]]
) -> Preview | Refusal:
    """What `read` finds in a session that is entered for it, and left whatever happens."""
    refusal: Refusal | None = None
    try:
        inside = gate.enter(session)
        try:
            async with asyncio.timeout(timeout_s):
                await durable(inside.begin)
                found = await read(inside)
            refusal = found if isinstance(found, Refusal) else None
            return found
        except TimeoutError:
            refusal = Refusal("cancelled", "the preview took too long", "ask for a statement that meets fewer rows")
            return refusal
        except GatewayError as error:
            refusal = error.refusal
            raise
        finally:
            gate.leave(inside, refusal)
    except GatewayError as error:
        return error.refusal


async def judged_preview(gate: Gate, inside: Admitted, text: str) -> Permit | Refused:
    """Leave to run a preview's text."""
    if gate.needs_study(inside, text):
        await gate.study(inside, text)
    statement = Statement(f"{inside.session.id}.1", text)
    judged = gate.judge(inside, text)
    if not isinstance(judged, Refusal) and judged.plan.kinds != (Kind.READ,):
        # FAIL CLOSED: one SELECT is all that a preview may be, whoever composed it.
        refusal = Refusal("statement-not-allowed", "a preview is one statement that reads")
        return gate.refuse(inside, statement, refusal, judged)
    return gate.admit(inside, statement)


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


def shown(value: bytes) -> str:
    """A value as text, cut where it is long."""
    text = value.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
