"""Previews on MySQL and MariaDB: see `previews.py`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import error_packet
from gateway.engines.previews import MOST_ROWS, TIMEOUT_S, Previews, shown
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Preview, Session
from gateway.sql.mysql import session_statements
from gateway.wire.mysql.answers import Answer, Part
from gateway.wire.mysql.commands import Command, encode_text
from gateway.wire.mysql.results import parse_error, parse_text_row


class MysqlPreview(Previews):
    """Runs previews on targets of MySQL and MariaDB."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, MysqlUpstream],
        mask_key: Callable[[Session], bytes],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(gate, timeout_s)
        self._upstreams, self._mask_key = upstreams, mask_key

    async def _read(self, inside: Admitted, permit: Permit) -> Preview | Refusal:
        gate, session = self._gate, inside.session
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
