"""The target's side of an observed MySQL session: its packets are counted and released as they are.

Errors, OK packets and what they say of the session can carry what rows carry, and so can the names of columns, which a
statement may make up; so all packets of an answer count as bytes of the statement that they come with. What answers a
command that runs nothing (a ping above all) has an account of its own, opened when the first of it is more than a bare
OK, as a statement of the protocol `unasked`.

INVARIANT: nothing that can carry data is released beyond the window that a durable record announced.
INVARIANT: what is released are the target's bytes, all of them and no others, until the session is cut; and a file of
the client's goes nowhere that its statement did not name, and no further than a durable record announced.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.engines.account import Account
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_told import Told
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.errors import GatewayError
from gateway.gate import Gate
from gateway.model import Permit, Receipt
from gateway.sql.mysql import Reader
from gateway.wire.mysql.answers import Part, Passing, State
from gateway.wire.mysql.base import Status
from gateway.wire.mysql.commands import Command

_STALL_S = 60.0
_BARE = 24
"""Bytes of an OK packet that says nothing but that all is well."""
_HEADER = 4


class ObservedAnswers(Told):
    """The answers of one session. `open_aside` makes the account of what answers no statement; the requests set it."""

    def __init__(
        self, client: Link, backend: Backend, upstream: MysqlUpstream, gate: Gate, inside: Admitted, reader: Reader
    ) -> None:
        super().__init__(client, backend, upstream, gate, inside)
        self._reader = reader
        self._aside: Account | None = None
        self._next: deque[Account] = deque()
        self.open_aside: Callable[[], Account]

    def cut(self) -> None:
        """See `Told`."""
        super().cut()
        self._rest("cut")
        if self._aside is not None:
            self._aside.settle(self._gate, self._inside, "ok", time.monotonic_ns())

    def expect(self, permit: Permit) -> None:
        """A statement of the next command may run."""
        self._next.append(Account(permit))

    async def run(self, payload: bytes, command: Command) -> Passing:
        """Have the target run the statements of a command, once they are on record, and release what comes.

        A result belongs to the first statement that has none yet; those of a CALL end with an OK. Where the target has
        more results than that, they belong to the last statement.
        """
        copies = any(one.permit.plan.copies for one in self._next)
        # records become durable in their order, so the last stands for all
        await self._recorded(self._next[-1].permit.receipt)
        self._running = self._next.popleft()
        return await self._relay(self._running, payload, command, copies=copies)

    async def plain(self, payload: bytes, command: Command) -> Passing:
        """Pass on a command that runs nothing, and what answers it."""
        return await self._relay(None, payload, command)

    async def aside(self, size: int) -> None:
        """That many bytes which answer no statement are about to leave."""
        if self._aside is None:
            self._aside = self.open_aside()
            await self._recorded(self._aside.permit.receipt)
        await self._leaves(self._aside, 0, size)

    async def _relay(
        self, account: Account | None, payload: bytes, command: Command, *, copies: bool = False
    ) -> Passing:
        client, backend = self._client, self._backend
        if backend.pending:
            # FAIL CLOSED: it would be taken for the answer to what is asked now
            raise GatewayError("target-unavailable", "the target answered more than it was asked", fatal=True)
        backend.command(payload)
        answer = Passing(command, backend.capabilities)
        while not answer.over:
            if account is not None and answer.state == State.ROWS and await self._bulk(account, answer):
                continue
            packet = await self._heard()
            part = answer.take(packet)
            if part == Part.FILE and not copies:
                # FAIL CLOSED: a file of the client's is for the statement that named it
                raise GatewayError("target-unavailable", "the target asked for a file that nobody offered", fatal=True)
            await self._counted(account, part, packet, answer)
            client.send(packet)
            await self.sent()
            if account is not None:
                if part == Part.FILE:
                    await self._file(account)
                account = self._after(account, part, answer)
        return answer

    def _after(self, account: Account, part: Part, answer: Passing) -> Account:
        """The account of what comes next, when that packet has been released."""
        if answer.over:
            self._done(account, "error" if account.code else "ok", account.code)
            self._rest("skipped" if account.code else "ok")
        elif self._next and (part == Part.OK or (part == Part.END and account.permit.plan.verbs[:1] != ("CALL",))):
            self._done(account, "ok")
            account = self._running = self._next.popleft()
        return account

    def _rest(self, status: str) -> None:
        while self._next:
            self._done(self._next.popleft(), status)

    async def _counted(self, account: Account | None, part: Part, packet: bytes, answer: Passing) -> None:
        size = len(packet) + _HEADER
        if account is None:
            if part != Part.OK or size > _BARE:
                await self.aside(size)
        else:
            await self._leaves(account, int(part == Part.ROW), size)
        if part == Part.ERROR:
            self._reader.failed()
        if part == Part.ERROR and account is not None:
            account.code = packet[4:9].decode("ascii", "replace") if packet[3:4] == b"#" else "HY000"
        elif part in (Part.OK, Part.END) and answer.ok is not None:
            self._reader.reported(escapes=not answer.ok.status & Status.NO_BACKSLASH_ESCAPES)
            if part == Part.OK and account is not None:
                account.completed(f"OK {answer.ok.affected_rows}")

    async def _leaves(self, account: Account, rows: int, size: int) -> None:
        refusal = await self._announced(account, rows, size)
        if refusal is not None:
            # FAIL CLOSED: nothing is refused here but for want of a record
            raise GatewayError.of(refusal)

    async def _file(self, account: Account) -> None:
        """Pass a file of the client's on to the target, which asked for it; an empty packet ends it."""
        account.taking = True
        while True:
            try:
                async with asyncio.timeout(_STALL_S):
                    packet = await self._client.packet()
            except TimeoutError:
                raise GatewayError("protocol-violation", "the client does not send its file", fatal=True) from None
            self.heard_at = time.monotonic()
            account.bytes_in += len(packet)
            if account.bytes_in > account.announced_in:
                account.announced_in = max(account.announced_in * 2, account.bytes_in)
                await self._recorded(self._gate.sent_in(self._inside, account.permit, account.announced_in))
            self._backend.send(packet)
            await self._backend.drained()
            if not packet:
                return

    async def _recorded(self, receipt: Receipt) -> None:
        try:
            async with asyncio.timeout(None if receipt.durable else _STALL_S):
                await durable(receipt)
        except TimeoutError:
            raise GatewayError("audit-not-writable", "the audit trail does not answer", fatal=True) from None
