"""Reads, for whoever must approve a statement, the rows that it would meet in MySQL or MariaDB.

The road is that of PostgreSQL's (`postgres_preview.py`): a session of one SELECT through the gate, nothing sent before
its record is durable, at most `MOST_ROWS` rows within what the record announced, and the connection closed behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import error_packet
from gateway.engines.postgres_preview import MOST_AT_ONCE, MOST_ROWS, TIMEOUT_S, judged_preview, left_after, shown
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Preview, Session
from gateway.sql.mysql import session_statements
from gateway.wire.mysql.answers import Answer, Part
from gateway.wire.mysql.commands import Command, encode_text
from gateway.wire.mysql.results import parse_error, parse_text_row


class MysqlPreview:
    """Runs previews on targets of MySQL and MariaDB."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, MysqlUpstream],
        mask_key: Callable[[Session], bytes],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._gate, self._upstreams, self._mask_key, self._timeout_s = gate, upstreams, mask_key, timeout_s
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
        started_ns = time.monotonic_ns()
        upstream = self._upstreams[session.grant.target]
        backend: Backend | None = None
        reading = _Reading()
        try:
            await durable(permit.receipt)
            backend = await upstream.open(session_statements(inside.view, self._mask_key(session)))
            gate.connected(inside, upstream.tie(backend))
            if not gate.is_current(inside):
                raise GatewayError("policy-changed", "the policy changed meanwhile", "look at it again", fatal=True)
            reading.status = "unknown"
            return await reading.take(backend, permit)
        finally:
            if backend is not None:
                if reading.status == "ok":
                    with contextlib.suppress(OSError):
                        backend.goodbye()
                else:
                    upstream.kill_soon(backend)
                    backend.abort()
            spent = (time.monotonic_ns() - started_ns) // 1000
            outcome = Outcome(reading.status, len(reading.rows), reading.size, reading.code, spent)
            gate.settle(inside, permit, outcome)


class _Reading:
    """The rows of one answer, within bounds. `status` is how its statement ended."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | None, ...]] = []
        self.size = 0
        self.status, self.code = "cut", ""

    async def take(self, backend: Backend, permit: Permit) -> Preview | Refusal:
        """Run the permitted statement and read what there is of it."""
        most = min(MOST_ROWS, permit.window_rows)
        backend.command(encode_text(Command.QUERY, permit.text.encode()))
        answer = Answer(Command.QUERY, backend.capabilities)
        while not answer.over:
            packet = await backend.heard()
            part = answer.take(packet)
            if part == Part.ERROR:
                self.status, self.code = "error", parse_error(packet).sqlstate or "HY000"
                # the same words that a client would get for it
                said = parse_error(error_packet(parse_error(packet)))
                return Refusal("target-error", said.message)
            if part == Part.ROW:
                if len(self.rows) >= most or self.size + len(packet) + 4 > permit.window_bytes:
                    self.status = "cut"
                    return self._made(answer, more=True)
                self.size += len(packet) + 4
                cells = parse_text_row(packet, len(answer.columns))
                self.rows.append(tuple(None if one is None else shown(one) for one in cells))
        self.status = "ok"
        return self._made(answer, more=False)

    def _made(self, answer: Answer, *, more: bool) -> Preview:
        names = tuple(column.name.decode("utf-8", "replace") for column in answer.columns)
        return Preview(names, tuple(self.rows), more)
