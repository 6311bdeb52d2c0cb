"""What a protected and an observed session do alike to tell their clients: wait, count, announce, refuse.

INVARIANT: no row leaves beyond the window that a durable record announced.
"""

from __future__ import annotations

import asyncio
import time

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.account import Account
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import refusal_packet
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Receipt
from gateway.wire.mysql.answers import Answer
from gateway.wire.mysql.walk import renumber

_TOGETHER = 16 * 1024
"""Rows up to that many bytes leave in one write with what comes behind them, where that is there already."""


class Told:
    """One session's way back.

    `heard_at` is when either side last said something, `sending_since` since when the client does not read; seconds of
    the monotonic clock.
    """

    def __init__(self, client: Link, backend: Backend, upstream: MysqlUpstream, gate: Gate, inside: Admitted) -> None:
        self._client, self._backend, self._upstream = client, backend, upstream
        self._gate, self._inside = gate, inside
        self._running: Account | None = None
        self.heard_at = time.monotonic()
        self.sending_since: float | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether the target holds a transaction open in which the client may write."""
        return False

    def stop_statement(self) -> bool:
        """Have the target stop what runs; False when nothing does."""
        if self._running is None:
            return False
        self._upstream.kill_soon(self._backend)
        return True

    def cut(self) -> None:
        """The session ends: settle what runs. Raises `GatewayError` where the trail is closed."""
        if self._running is not None:
            self._done(self._running, "cut")

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

    async def sent(self) -> None:
        """Wait until the client has taken most of what was sent."""
        self.sending_since = time.monotonic()
        try:
            await self._client.drained()
        finally:
            self.sending_since = None

    async def _heard(self) -> bytes:
        packet = await self._backend.heard()
        self.heard_at = time.monotonic()
        return packet

    async def _bulk(self, account: Account, answer: Answer) -> bool:
        """Release the rows that came and are announced; False when there are none, or something else comes next."""
        rows, size = account.window_rows - account.rows, account.window_size - account.size
        if rows <= 0 or size <= 0:
            return False
        chunk, count = await self._backend.rows(rows, size, binary=answer.binary)
        if not count:
            return False
        self.heard_at = time.monotonic()
        answer.count_rows(count)
        account.rows, account.size = account.rows + count, account.size + len(chunk)
        after = (self._client.sequence + count) & 0xFF
        if after != self._backend.sequence:
            renumbered = bytearray(chunk)
            after = renumber(renumbered, 0, len(renumbered), self._client.sequence)
            chunk = bytes(renumbered)
        self._client.send_raw(chunk, after)
        if len(chunk) > _TOGETHER or self._client.blocked:
            await self.sent()
        return True

    async def _announced(self, account: Account, rows: int, size: int) -> Refusal | None:
        """Announce that so much more leaves, where it is not yet; why that may not be, where it does not end all."""
        rows, size = account.rows + rows, account.size + size
        if rows > account.window_rows or size > account.window_size:
            window = self._gate.extend(self._inside, account.permit, rows, size)
            if isinstance(window, Refusal):
                if window.fatal:
                    raise GatewayError.of(window)
                return window
            account.window_rows, account.window_size = window.rows, window.bytes
            await durable(window.receipt)
        account.rows, account.size = rows, size
        return None

    def _done(self, account: Account, status: str, code: str = "") -> Receipt:
        self._running = None
        return account.settle(self._gate, self._inside, status, time.monotonic_ns(), code)
