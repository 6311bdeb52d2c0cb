"""What one MySQL session tells its client: the target's answers as they may leave, refusals, and rows of our own.

Rows leave as the bytes they came in; whatever else a target says is read and said anew.

INVARIANT: nothing of an answer leaves before its permit's record is durable, and no row beyond the announced window
before the window's is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import error_packet, refusal_packet
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit
from gateway.wire.mysql.answers import Answer, Part, State
from gateway.wire.mysql.base import CLIENT_STATUS, Capability, Status
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.results import (
    Column,
    Ok,
    encode_column,
    encode_count,
    encode_end,
    encode_eof,
    encode_ok,
    encode_text_row,
    parse_error,
)
from gateway.wire.mysql.walk import renumber

_OURS = CLIENT_STATUS & ~(
    Status.MORE_RESULTS_EXISTS | Status.CURSOR_EXISTS | Status.LAST_ROW_SENT | Status.SESSION_STATE_CHANGED
)
"""What of a target's status passes: the rest is about how we run a statement, not about what it is."""


@dataclass(slots=True)
class _Running:
    """A permitted statement under way, and how much of its answer is announced and has left."""

    permit: Permit
    window_rows: int
    window_bytes: int
    rows: int = 0
    bytes: int = 0


class MysqlAnswers:
    """One session's way back. `pin` runs what the session's safety rests on anew.

    `heard_at` is when either side last said something, `sending_since` since when the client does not read; seconds of
    the monotonic clock.
    """

    def __init__(
        self,
        client: Link,
        backend: Backend,
        upstream: MysqlUpstream,
        gate: Gate,
        inside: Admitted,
        capabilities: int,
        pin: Callable[[Backend], Awaitable[None]],
    ) -> None:
        self._client, self._backend, self._upstream = client, backend, upstream
        self._gate, self._inside, self._capabilities, self._pin = gate, inside, capabilities, pin
        self._running: _Running | None = None
        self.status: int = Status.AUTOCOMMIT
        self.heard_at = time.monotonic()
        self.sending_since: float | None = None

    def stop_statement(self) -> bool:
        """Have the target stop what runs; False when nothing does."""
        if self._running is None:
            return False
        self._upstream.kill_soon(self._backend)
        return True

    def cut(self) -> None:
        """The session ends: settle what runs. Raises `GatewayError` where the trail is closed."""
        running, self._running = self._running, None
        if running is not None:
            self._settle(running, "cut")

    async def refused(self, refused: Refused) -> None:
        """Say no, once that is on record; whoever is refused too often waits, or is cut."""
        if refused.receipt is not None:
            await durable(refused.receipt)
        if refused.refusal.fatal:
            raise GatewayError.of(refused.refusal)
        pause = self._gate.floods.refused(self._inside.session.principal.id, self._inside.fields)
        if pause:
            await asyncio.sleep(pause)
        self._client.send(refusal_packet(refused.refusal))

    async def run(
        self, permit: Permit, payload: bytes, command: Command, *, more: bool = False, listed: bool = False
    ) -> bool:
        """Have the target run a permitted statement, and release what comes; whether it went well.

        `more`: the answer to another statement follows. `listed`: only the columns are wanted, as a list.
        """
        running = self._running = _Running(permit, permit.window_rows, permit.window_bytes)
        self._backend.command(payload)
        await durable(permit.receipt)
        answer = Answer(command, self._backend.capabilities)
        code = ""
        while not answer.over:
            if answer.state == State.ROWS and await self._bulk(running, answer):
                continue
            packet = await self._backend.heard()
            self.heard_at = time.monotonic()
            part = answer.take(packet)
            if part == Part.ERROR:
                error = parse_error(packet)
                code = error.sqlstate or "HY000"
                self._client.send(error_packet(error))
            elif part == Part.ROW:
                if not await self._room_for(running, len(packet) + 4):
                    return await self._stopped(running, answer)
                running.rows, running.bytes = running.rows + 1, running.bytes + len(packet) + 4
                self._client.send(packet)
                await self.sent()
            else:
                self._pass_on(part, packet, answer, permit, more=more, listed=listed)
        self._done(running, "error" if code else "ok", code)
        if permit.plan.repin:
            await self._pin(self._backend)
        return not code

    async def _bulk(self, running: _Running, answer: Answer) -> bool:
        """Release the rows that came and are announced; False when there are none, or something else comes next."""
        rows, size = running.window_rows - running.rows, running.window_bytes - running.bytes
        if rows <= 0 or size <= 0:
            return False
        chunk, count = await self._backend.rows(rows, size, binary=answer.binary)
        if not count:
            return False
        self.heard_at = time.monotonic()
        answer.count_rows(count)
        running.rows, running.bytes = running.rows + count, running.bytes + len(chunk)
        after = (self._client.sequence + count) & 0xFF
        if after != self._backend.sequence:
            renumbered = bytearray(chunk)
            after = renumber(renumbered, 0, len(renumbered), self._client.sequence)
            chunk = bytes(renumbered)
        self._client.send_raw(chunk, after)
        await self.sent()
        return True

    async def _room_for(self, running: _Running, size: int) -> bool:
        """Announce more, if a row of that size is not yet; False when that may not be."""
        if running.rows + 1 <= running.window_rows and running.bytes + size <= running.window_bytes:
            return True
        window = self._gate.extend(self._inside, running.permit, running.rows + 1, running.bytes + size)
        if isinstance(window, Refusal):
            if window.fatal:
                raise GatewayError.of(window)
            self._client.send(refusal_packet(window))
            return False
        running.window_rows, running.window_bytes = window.rows, window.bytes
        await durable(window.receipt)
        return True

    async def _stopped(self, running: _Running, answer: Answer) -> bool:
        """The rest of an answer is not wanted: have the target stop, and read what still comes."""
        self._upstream.kill_soon(self._backend)
        while not answer.over:
            answer.take(await self._backend.heard())
            self.heard_at = time.monotonic()
        self._done(running, "error", "HY000")
        return False

    def _pass_on(self, part: Part, packet: bytes, answer: Answer, permit: Permit, *, more: bool, listed: bool) -> None:
        """Say again what is neither a row nor an error."""
        client, capabilities = self._client, self._capabilities
        if part == Part.COUNT:
            if not listed:
                client.send(packet)
        elif part == Part.COLUMN:
            client.send(encode_column(shown(answer.columns[-1]), listed=listed))
        elif part == Part.DIVIDER:
            if not listed:
                client.send(encode_eof(0, self._told(more=more)))
        elif part in (Part.OK, Part.END):
            ok = answer.ok
            assert ok is not None
            if ok.status & Status.MORE_RESULTS_EXISTS:
                raise GatewayError("target-unavailable", "the target answered more than it was asked", fatal=True)
            self.status = ok.status & _OURS
            told = Ok(ok.affected_rows, ok.last_insert_id, self._told(more=more), len(permit.notices))
            client.send(encode_end(told, capabilities) if part == Part.END else encode_ok(told, capabilities))
        else:
            raise GatewayError("target-unavailable", "the target answered what nobody asked", fatal=True)

    def _told(self, *, more: bool = False) -> int:
        return self.status | Status.MORE_RESULTS_EXISTS if more else self.status

    def _done(self, running: _Running, status: str, code: str = "") -> None:
        self._running = None
        self._settle(running, status, code)

    def _settle(self, running: _Running, status: str, code: str = "") -> None:
        duration = (time.monotonic_ns() - running.permit.started_ns) // 1000
        self._gate.settle(self._inside, running.permit, Outcome(status, running.rows, running.bytes, code, duration))

    def settle(self, permit: Permit, code: str = "") -> None:
        """A statement that the gateway itself carried out is over; `code` is the SQLSTATE of its error."""
        self._done(_Running(permit, 0, 0), "error" if code else "ok", code)

    async def sent(self) -> None:
        """Wait until the client has taken most of what was sent."""
        self.sending_since = time.monotonic()
        try:
            await self._client.drained()
        finally:
            self.sending_since = None

    def ok(self) -> None:
        """Say that all is well."""
        self._client.send(encode_ok(Ok(status=self.status), self._capabilities))

    async def local(
        self, permit: Permit, columns: Sequence[Column], rows: Sequence[tuple[bytes, ...]], *, more: bool
    ) -> None:
        """Answer with rows of the gateway's own."""
        running = _Running(permit, permit.window_rows, permit.window_bytes)
        await durable(permit.receipt)
        client = self._client
        client.send(encode_count(len(columns)))
        for column in columns:
            client.send(encode_column(column))
        if not self._capabilities & Capability.DEPRECATE_EOF:
            client.send(encode_eof(0, self._told(more=more)))
        for row in rows:
            running.rows += 1
            client.send(encode_text_row(row))
        client.send(encode_end(Ok(status=self._told(more=more)), self._capabilities))
        self._done(running, "ok")

    async def plain(self, payload: bytes, command: Command) -> None:
        """A command of ours, which must go well."""
        self._backend.command(payload)
        answer = Answer(command, self._backend.capabilities)
        while not answer.over:
            if answer.take(await self._backend.heard()) != Part.OK:
                raise GatewayError("target-unavailable", "the target does not do what it must", fatal=True)


def shown(column: Column) -> Column:
    """A column's definition as a client may see it: where it comes from is how the statement is run, not what it is."""
    return Column(
        column.name, column.type, column.charset, column.length, column.flags, column.decimals, table=column.table
    )
