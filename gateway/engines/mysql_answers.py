"""What one MySQL session tells its client: the target's answers as they may leave, refusals, and rows of our own.

Rows leave as the bytes they came in; whatever else a target says is read and said anew.

INVARIANT: nothing of an answer leaves before its permit's record is durable, and no row beyond the announced window
before the window's is.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.engines.account import Account
from gateway.engines.mysql_heads import Heads, Terms
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_told import Told
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import error_packet, refusal_packet
from gateway.errors import GatewayError
from gateway.gate import Gate
from gateway.model import Permit
from gateway.sql.mysql.explain import scrubbed
from gateway.sql.tree.write_values import write_refusal
from gateway.wire.mysql.answers import Answer, Part, State
from gateway.wire.mysql.base import CLIENT_STATUS, Capability, Status
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.results import (
    SHORT_COLUMN,
    Column,
    Ok,
    encode_column,
    encode_count,
    encode_end,
    encode_eof,
    encode_ok,
    encode_text_row,
    parse_error,
    parse_text_row,
)

_OURS = CLIENT_STATUS & ~(
    Status.MORE_RESULTS_EXISTS | Status.CURSOR_EXISTS | Status.LAST_ROW_SENT | Status.SESSION_STATE_CHANGED
)
"""What of a target's status passes: the rest is about how we run a statement, not about what it is."""


class MysqlAnswers(Told):
    """One session's way back. `pin` runs what the session's safety rests on anew."""

    def __init__(
        self,
        client: Link,
        backend: Backend,
        upstream: MysqlUpstream,
        gate: Gate,
        inside: Admitted,
        capabilities: int,
        pin: Callable[[Backend], Awaitable[None]],
        heads: Heads,
    ) -> None:
        super().__init__(client, backend, upstream, gate, inside)
        self._capabilities, self._pin, self._heads = capabilities, pin, heads
        self.status: int = Status.AUTOCOMMIT

    @property
    def in_transaction(self) -> bool:
        """See `Told`."""
        return self._inside.view.write and bool(self.status & Status.IN_TRANS)

    async def run(
        self, permit: Permit, payload: bytes, command: Command, *, more: bool = False, listed: bool = False
    ) -> bool:
        """Have the target run a permitted statement, and release what comes; whether it went well.

        `more`: the answer to another statement follows. `listed`: only the columns are wanted, as a list.
        """
        running = self._running = Account(permit)
        if permit.plan.writes:
            return await self._write(running, payload, command, more=more)
        backend, client = self._backend, self._client
        backend.command(payload)
        await durable(permit.receipt)
        answer = Answer(command, backend.capabilities)
        terms = Terms(
            permit.plan.normalised, command, backend.capabilities, backend.sequence, client.sequence,
            self._told(more=more),
        )  # fmt: skip
        head: list[tuple[bytes, bytes]] | None = None
        if not listed and not await self._said_again(terms, answer):
            head = []
        code = ""
        while not answer.over:
            if answer.state == State.ROWS and not permit.plan.explains and await self._bulk(running, answer):
                continue
            packet = await self._heard()
            part = answer.take(packet)
            if part == Part.ERROR:
                error = parse_error(packet)
                code = error.sqlstate or "HY000"
                self._client.send(error_packet(error))
            elif part == Part.ROW:
                if permit.plan.explains:
                    cells = parse_text_row(packet, len(answer.columns))
                    packet = encode_text_row(scrubbed([one.name for one in answer.columns], cells))
                refusal = await self._announced(running, 1, len(packet) + 4)
                if refusal is not None:
                    self._client.send(refusal_packet(refusal))
                    return await self._stopped(running, answer)
                self._client.send(packet)
                await self.sent()
            else:
                told = self._pass_on(part, packet, answer, permit, more=more, listed=listed)
                if head is not None:
                    head.append((packet, told))
                    if answer.state == State.ROWS:
                        self._heads.keep(terms, head, answer.columns)
                        head = None
        self._done(running, "error" if code else "ok", code)
        if permit.plan.repin:
            await self._pin(self._backend)
        return not code

    async def _said_again(self, terms: Terms, answer: Answer) -> bool:
        """Tell how a result begins as it was told the last time; False when it does not come as it came then."""
        head = self._heads.find(terms)
        if head is None or not await self._backend.heard_again(head.came, head.after):
            return False
        self.heard_at = time.monotonic()
        answer.pass_head(head.columns)
        self._client.send_raw(head.told, head.told_after)
        return True

    async def _write(self, running: Account, payload: bytes, command: Command, *, more: bool) -> bool:
        """The same for what writes: it is sent once its record is durable, and said to be done once that is as well."""
        permit = running.permit
        await durable(permit.receipt)
        self._backend.command(payload)
        answer = Answer(command, self._backend.capabilities)
        packet = await self._heard()
        part = answer.take(packet)
        if part == Part.ERROR:
            error = parse_error(packet)
            bound = write_refusal(error.errno, error.message, permit.plan.write)
            self._done(running, "error", bound.meaning.sqlstate if bound else error.sqlstate or "HY000")
            self._client.send(refusal_packet(bound) if bound else error_packet(error))
            return False
        if part != Part.OK or answer.ok is None:
            raise GatewayError("target-unavailable", "the target answered what nobody asked", fatal=True)
        running.completed(f"{permit.plan.verbs[0]} {answer.ok.affected_rows}")
        await durable(self._done(running, "ok"))
        self._pass_on(part, packet, answer, permit, more=more, listed=False)
        return True

    async def _stopped(self, running: Account, answer: Answer) -> bool:
        """The rest of an answer is not wanted: have the target stop, and read what still comes."""
        self._upstream.kill_soon(self._backend)
        while not answer.over:
            # nothing is heard of it here: who goes on all the same is given up
            answer.take(await self._backend.heard())
        self._done(running, "error", "HY000")
        return False

    def _pass_on(self, part: Part, packet: bytes, answer: Answer, permit: Permit, *, more: bool, listed: bool) -> bytes:
        """Say again what is neither a row nor an error; what was said."""
        capabilities = self._capabilities
        if part == Part.COUNT:
            told = packet
        elif part == Part.COLUMN:
            again = _say_again if len(packet) > SHORT_COLUMN else _known_again
            told = again(answer.columns[-1], listed)
        elif part == Part.DIVIDER:
            told = encode_eof(0, self._told(more=more))
        elif part in (Part.OK, Part.END):
            ok = answer.ok
            assert ok is not None
            if ok.status & Status.MORE_RESULTS_EXISTS:
                raise GatewayError("target-unavailable", "the target answered more than it was asked", fatal=True)
            self.status = ok.status & _OURS
            end = Ok(ok.affected_rows, ok.last_insert_id, self._told(more=more), len(permit.notices))
            told = encode_end(end, capabilities) if part == Part.END else encode_ok(end, capabilities)
        else:
            raise GatewayError("target-unavailable", "the target answered what nobody asked", fatal=True)
        if not (listed and part in (Part.COUNT, Part.DIVIDER)):
            self._client.send(told)
        return told

    def _told(self, *, more: bool = False) -> int:
        return self.status | Status.MORE_RESULTS_EXISTS if more else self.status

    def settle(self, permit: Permit, code: str = "") -> None:
        """A statement that the gateway itself carried out is over; `code` is the SQLSTATE of its error."""
        self._done(Account(permit), "error" if code else "ok", code)

    def ok(self) -> None:
        """Say that all is well."""
        self._client.send(encode_ok(Ok(status=self.status), self._capabilities))

    async def local(
        self, permit: Permit, columns: Sequence[Column], rows: Sequence[tuple[bytes, ...]], *, more: bool
    ) -> None:
        """Answer with rows of the gateway's own."""
        running = Account(permit)
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


def _say_again(column: Column, listed: bool) -> bytes:
    return encode_column(shown(column), listed=listed)


_known_again = lru_cache(maxsize=2048)(_say_again)


def shown(column: Column) -> Column:
    """A column's definition as a client may see it: where it comes from is how the statement is run, not what it is."""
    return Column(
        column.name, column.type, column.charset, column.length, column.flags, column.decimals, table=column.table
    )
