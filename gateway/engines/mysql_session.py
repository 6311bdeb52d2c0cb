"""One client's session on one target of MySQL or MariaDB: command by command, answer by answer.

The protocol takes turns: a client sends a command and waits for its whole answer. So a session is one task that reads
a command, lets the gate judge it, has the target run what the gate permits, and releases what comes back. Rows leave
as the bytes they came in; whatever else a target says is read and said anew.

INVARIANT: nothing of an answer leaves before its permit's record is durable, and no row beyond the announced window
before the window's is. INVARIANT: a session is left once, and what was running is settled before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_prepared import Prepared, Statements
from gateway.engines.mysql_upstream import Backend, MysqlUpstream
from gateway.engines.mysql_words import error_packet, refusal_packet
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Statement
from gateway.sql.cache import Judgement
from gateway.sql.mysql import split
from gateway.sql.statement import Kind
from gateway.wire.mysql import commands as wire
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
    encode_error,
    encode_ok,
    encode_prepared,
    encode_text_row,
    parse_error,
    text_column,
)
from gateway.wire.mysql.results import Prepared as Head
from gateway.wire.mysql.walk import renumber

_STALL_S = 60.0
_ANSWER_GRACE_S = 10.0
_CLOSE_S = 5.0
_OURS = CLIENT_STATUS & ~(
    Status.MORE_RESULTS_EXISTS | Status.CURSOR_EXISTS | Status.LAST_ROW_SENT | Status.SESSION_STATE_CHANGED
)
"""What of a target's status passes: the rest is about how we run a statement, not about what it is."""
_STATISTICS = b"Uptime: 0  Threads: 1  Questions: 0  Slow queries: 0  Opens: 0"
_UNPREPARED = Refusal(
    "feature-not-supported", "only what reads can be prepared", "send the statement as text, without preparing it"
)
_FAULT = Refusal("internal-error", "the gateway met a fault; the session ends", fatal=True)
_COMMAND = Refusal("feature-not-supported", "the command is not available", "use a statement instead")
_TEXT = Refusal("syntax-error", "the statement is not in the connection's character set", "use utf8mb4")


@dataclass(slots=True)
class _Running:
    """A permitted statement under way, and how much of its answer is announced and has left."""

    permit: Permit
    window_rows: int
    window_bytes: int
    rows: int = 0
    bytes: int = 0


class MysqlSession:
    """A session inside. `start` begins it, `closed` is called once at its end.

    `pin` runs what the session's safety rests on anew; `kill` stops what another session of the same person runs.
    """

    def __init__(
        self,
        client: Link,
        backend: Backend,
        upstream: MysqlUpstream,
        gate: Gate,
        inside: Admitted,
        capabilities: int,
        *,
        pin: Callable[[Backend], Awaitable[None]],
        kill: Callable[[MysqlSession, int, bool], bool],
        closed: Callable[[MysqlSession], None],
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._client, self._backend, self._upstream = client, backend, upstream
        self._gate, self._inside, self._capabilities = gate, inside, capabilities
        self._pin, self._kill, self._closed, self._report = pin, kill, closed, report
        self._number = 0
        self._multi = bool(capabilities & Capability.MULTI_STATEMENTS)
        self._status = Status.AUTOCOMMIT
        self._statements = Statements()
        self._running: _Running | None = None
        self._commanded = False
        self._heard_at = time.monotonic()
        self._sending_since: float | None = None
        self._reason: Refusal | None = None
        self._task: asyncio.Task[None] | None = None
        self._timeout_s = inside.view.policy.limits.statement_timeout_ms / 1000 + _ANSWER_GRACE_S
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
        if self._running is None:
            return False
        self._upstream.kill_soon(self._backend)
        return True

    def tick(self, now: float, idle_timeout: float) -> None:
        """Called about once a second: ends what is stalled, unanswered or idle for too long."""
        if self.ended:
            return
        if self._sending_since is not None:
            if now - self._sending_since > _STALL_S:
                self.cut(Refusal("protocol-violation", "the client does not read", fatal=True))
        elif self._commanded:
            if now - self._heard_at > self._timeout_s:
                self.cut(Refusal("target-unavailable", "the target does not answer", fatal=True))
        elif now - self._heard_at > idle_timeout:
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
        running, self._running = self._running, None
        self._inside.names.forget()
        # the trail may be closed: recovery closes what it finds open then, at its ceiling
        with contextlib.suppress(GatewayError):
            if running is not None:
                self._settle(running, "cut")
            self._gate.leave(self._inside, self._reason)
        if self._commanded:
            self._upstream.kill_soon(self._backend)
            self._backend.abort()
        else:
            self._backend.goodbye()
        if self._reason is not None and not self._client.closing:
            if not self._commanded:
                self._client.sequence = 1  # where the answer to its next command begins
            self._client.send(refusal_packet(self._reason))
        self._client.close()
        asyncio.get_running_loop().call_later(_CLOSE_S, self._client.abort)
        self._closed(self)

    async def _commands(self) -> None:
        while True:
            self._client.sequence = 0
            payload = await self._client.packet()
            self._heard_at = time.monotonic()
            self._commanded = True
            command = self._known(payload)
            if command == Command.QUIT:
                self._commanded = False
                return
            if command is None:
                await self._denied(_COMMAND)
            else:
                await _ANSWERS[command](self, payload)
            await self._sent()
            self._commanded = False
            self._heard_at = time.monotonic()

    def _known(self, payload: bytes) -> Command | None:
        try:
            return wire.command_of(payload)
        except GatewayError as error:
            if error.refusal.code != "feature-not-supported":
                raise
            return None

    # statements as text

    async def _query(self, payload: bytes) -> None:
        text = self._text(payload)
        if text is None:
            await self._denied(_TEXT)
            return
        parts: list[str] | Refusal = split(text) if self._multi and ";" in text else [text]
        if isinstance(parts, Refusal):
            await self._denied(parts)
            return
        for number, part in enumerate(parts or [text]):
            if not await self._simple(part, more=number + 1 < len(parts)):
                return

    def _text(self, payload: bytes) -> str | None:
        try:
            return wire.decode_text(payload).decode()
        except UnicodeDecodeError:
            return None

    async def _simple(self, text: str, *, more: bool = False, listed: bool = False) -> bool:
        """Run one statement; whether it went well."""
        permit = await self._admitted(Statement(self._next_id(), text, "simple"))
        if permit is None:
            return False
        if permit.plan.verbs == ("KILL",):
            return await self._kill_other(permit)
        if permit.plan.verbs == ("SHOW WARNINGS",):
            return await self._warnings(permit, more=more)
        payload = wire.encode_text(Command.QUERY, permit.text.encode())
        return await self._run(permit, payload, Command.QUERY, more=more, listed=listed)

    async def _admitted(self, statement: Statement, judged: Judgement | None = None) -> Permit | None:
        if judged is None and self._gate.needs_study(self._inside, statement.text):
            await self._gate.study(self._inside, statement.text)
        permit = self._gate.admit(self._inside, statement, judged)
        if isinstance(permit, Refused):
            await self._refused(permit)
            return None
        return permit

    async def _refused(self, refused: Refused) -> None:
        """Say no, once that is on record; whoever is refused too often waits, or is cut."""
        if refused.receipt is not None:
            await durable(refused.receipt)
        if refused.refusal.fatal:
            raise GatewayError.of(refused.refusal)
        pause = self._gate.floods.refused(self._inside.session.principal.id, self._inside.fields)
        if pause:
            await asyncio.sleep(pause)
        self._client.send(refusal_packet(refused.refusal))

    async def _denied(self, refusal: Refusal) -> None:
        """Refuse what is no statement."""
        quiet = Refusal(refusal.code, refusal.message, refusal.hint)
        await self._refused(self._gate.refuse(self._inside, Statement(self._next_id(), "", "simple"), quiet))

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._inside.session.id}.{self._number}"

    # answers

    async def _run(
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
            self._heard_at = time.monotonic()
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
                await self._sent()
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
        self._heard_at = time.monotonic()
        answer.count_rows(count)
        running.rows, running.bytes = running.rows + count, running.bytes + len(chunk)
        after = (self._client.sequence + count) & 0xFF
        if after != self._backend.sequence:
            renumbered = bytearray(chunk)
            after = renumber(renumbered, 0, len(renumbered), self._client.sequence)
            chunk = bytes(renumbered)
        self._client.send_raw(chunk, after)
        await self._sent()
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
            self._heard_at = time.monotonic()
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
            self._status = ok.status & _OURS
            told = Ok(ok.affected_rows, ok.last_insert_id, self._told(more=more), len(permit.notices))
            client.send(encode_end(told, capabilities) if part == Part.END else encode_ok(told, capabilities))
        else:
            raise GatewayError("target-unavailable", "the target answered what nobody asked", fatal=True)

    def _told(self, *, more: bool = False) -> int:
        return self._status | Status.MORE_RESULTS_EXISTS if more else self._status

    def _done(self, running: _Running, status: str, code: str = "") -> None:
        self._running = None
        self._settle(running, status, code)

    def _settle(self, running: _Running, status: str, code: str = "") -> None:
        duration = (time.monotonic_ns() - running.permit.started_ns) // 1000
        self._gate.settle(self._inside, running.permit, Outcome(status, running.rows, running.bytes, code, duration))

    async def _sent(self) -> None:
        self._sending_since = time.monotonic()
        try:
            await self._client.drained()
        finally:
            self._sending_since = None

    def _ok(self) -> None:
        self._client.send(encode_ok(Ok(status=self._status), self._capabilities))

    async def _local(
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

    async def _warnings(self, permit: Permit, *, more: bool) -> bool:
        # what the target would warn of can tell of rows; ours are said with the statement that they are about
        columns = (text_column(b"Level"), text_column(b"Code"), text_column(b"Message"))
        await self._local(permit, columns, (), more=more)
        return True

    async def _kill_other(self, permit: Permit) -> bool:
        await durable(permit.receipt)
        _, what, number = permit.text.split()
        found = self._kill(self, int(number), what == "QUERY")
        self._done(_Running(permit, 0, 0), "ok" if found else "error", "" if found else "HY000")
        if found:
            self._ok()
        else:
            self._client.send(encode_error(1094, "HY000", f"Unknown thread id: {number}"))
        return found

    # prepared statements

    async def _prepare(self, payload: bytes) -> None:
        text = self._text(payload)
        if text is None:
            await self._denied(_TEXT)
            return
        if self._gate.needs_study(self._inside, text):
            await self._gate.study(self._inside, text)
        made = self._gate.prepare(self._inside, Statement(self._next_id(), text, "prepare"))
        if isinstance(made, Refused):
            await self._refused(made)
            return
        permit, judged = made
        if judged.plan.kinds != (Kind.READ,):
            # FAIL CLOSED: what the session itself has to do something for must not reach the target by another road
            await self._denied(_UNPREPARED)
            return
        self._backend.command(wire.encode_text(Command.STMT_PREPARE, permit.text.encode()))
        answer = Answer(Command.STMT_PREPARE, self._backend.capabilities)
        while not answer.over:
            packet = await self._backend.heard()
            part = answer.take(packet)
            if part == Part.ERROR:
                self._client.send(error_packet(parse_error(packet)))
            elif part == Part.PREPARED:
                assert answer.prepared is not None
                self._client.send(encode_prepared(Head(*answer.prepared[:3])))
            elif part == Part.DIVIDER:
                self._client.send(encode_eof(0, self._status))
            else:
                column = answer.parameters[-1] if part == Part.PARAMETER else answer.columns[-1]
                self._client.send(encode_column(shown(column)))
        if answer.prepared is not None:
            self._statements.add(answer.prepared, text, judged)

    async def _execute(self, payload: bytes) -> None:
        execute = wire.decode_execute(payload)
        statement = self._statements.find(execute.statement)
        if statement is None:
            await self._unknown("EXECUTE")
            return
        bound = wire.bind(execute, statement.parameters, statement.types, statement.long)
        judged = statement.with_values(bound)
        told = Statement(self._next_id(), statement.text, "execute", statement.parameters)
        permit = await self._admitted(told, judged)
        if permit is None:
            if statement.long:
                await self._reset_target(statement, execute.statement)
            return
        raw = wire.encode_execute(execute.statement, wire.NO_CURSOR, bound, statement.long)
        statement.ran(bound)
        await self._run(permit, raw, Command.STMT_EXECUTE)

    async def _unknown(self, what: str) -> None:
        self._client.send(encode_error(1243, "HY000", f"Unknown prepared statement handler given to {what}"))

    async def _long_data(self, payload: bytes) -> None:
        piece = wire.decode_long_data(payload)
        statement = self._statements.find(piece.statement)
        if statement is not None and statement.take_long(piece):
            self._backend.command(payload)

    async def _close_statement(self, payload: bytes) -> None:
        number = wire.decode_number(payload)
        if self._statements.remove(number):
            self._backend.command(payload)

    async def _reset_statement(self, payload: bytes) -> None:
        number = wire.decode_number(payload)
        statement = self._statements.find(number)
        if statement is None:
            await self._unknown("RESET")
            return
        await self._reset_target(statement, number)
        self._ok()

    async def _reset_target(self, statement: Prepared, number: int) -> None:
        await self._plain(wire.encode_number(Command.STMT_RESET, number), Command.STMT_RESET)
        statement.long.clear()

    async def _fetch(self, payload: bytes) -> None:
        fetch = wire.decode_fetch(payload)
        # a server may run a statement without the cursor that was asked for, and here it always does
        self._client.send(encode_error(1421, "HY000", f"The statement ({fetch.statement}) has no open cursor."))

    # the rest

    async def _use(self, payload: bytes) -> None:
        text = self._text(payload)
        if text is None:
            await self._denied(_TEXT)
            return
        quoted = text.replace("`", "``")
        await self._simple(f"USE `{quoted}`")

    async def _fields(self, payload: bytes) -> None:
        wanted = wire.decode_field_list(payload)
        try:
            name = wanted.table.decode().replace("`", "``")
        except UnicodeDecodeError:
            await self._denied(_TEXT)
            return
        await self._simple(f"SELECT * FROM `{name}` LIMIT 0", listed=True)  # noqa: S608 (judged as anybody's)

    async def _statistics(self, payload: bytes) -> None:
        wire.decode_number(payload)
        self._client.send(_STATISTICS)

    async def _ping(self, payload: bytes) -> None:
        wire.decode_number(payload)
        self._ok()

    async def _option(self, payload: bytes) -> None:
        self._multi = wire.decode_number(payload) == wire.MULTI_STATEMENTS_ON
        self._client.send(encode_end(Ok(status=self._status), self._capabilities))

    async def _process_kill(self, payload: bytes) -> None:
        await self._simple(f"KILL CONNECTION {wire.decode_number(payload):d}")

    async def _reset(self, payload: bytes) -> None:
        wire.decode_number(payload)
        await self._plain(payload, Command.RESET_CONNECTION)
        await self._pin(self._backend)
        self._statements.clear()
        self._status = Status.AUTOCOMMIT
        self._ok()

    async def _change_user(self, _payload: bytes) -> None:
        raise GatewayError("feature-not-supported", "a session cannot become another's", "connect anew", fatal=True)

    async def _plain(self, payload: bytes, command: Command) -> None:
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


_ANSWERS: dict[Command, Callable[[MysqlSession, bytes], Awaitable[None]]] = {
    Command.QUERY: MysqlSession._query,
    Command.STMT_PREPARE: MysqlSession._prepare,
    Command.STMT_EXECUTE: MysqlSession._execute,
    Command.STMT_SEND_LONG_DATA: MysqlSession._long_data,
    Command.STMT_CLOSE: MysqlSession._close_statement,
    Command.STMT_RESET: MysqlSession._reset_statement,
    Command.STMT_FETCH: MysqlSession._fetch,
    Command.INIT_DB: MysqlSession._use,
    Command.FIELD_LIST: MysqlSession._fields,
    Command.STATISTICS: MysqlSession._statistics,
    Command.PING: MysqlSession._ping,
    Command.SET_OPTION: MysqlSession._option,
    Command.PROCESS_KILL: MysqlSession._process_kill,
    Command.RESET_CONNECTION: MysqlSession._reset,
    Command.CHANGE_USER: MysqlSession._change_user,
}
