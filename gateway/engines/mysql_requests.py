"""What one MySQL client asks for, command by command: judged by the gate, run by the target, answered.

INVARIANT: a statement reaches the target only as a permit's text, and one that was prepared only with what was judged
when it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.engines.mysql_answers import MysqlAnswers, shown
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_prepared import Prepared, Statements
from gateway.engines.mysql_upstream import Backend
from gateway.engines.mysql_words import error_packet, notice_row
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Permit, Statement
from gateway.sql.cache import Judgement
from gateway.sql.mysql import split
from gateway.sql.statement import Kind, Notice
from gateway.wire.mysql import commands as wire
from gateway.wire.mysql.answers import Answer, Part
from gateway.wire.mysql.base import Capability, Status
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.results import (
    Ok,
    encode_column,
    encode_end,
    encode_eof,
    encode_error,
    encode_prepared,
    parse_error,
    text_column,
)
from gateway.wire.mysql.results import Prepared as Head

_STATISTICS = b"Uptime: 0  Threads: 1  Questions: 0  Slow queries: 0  Opens: 0"
_UNPREPARED = Refusal(
    "feature-not-supported",
    "only one statement that reads or writes can be prepared",
    "send the statement as text, without preparing it",
)
_COMMAND = Refusal("feature-not-supported", "the command is not available", "use a statement instead")
_TEXT = Refusal("syntax-error", "the statement is not in the connection's character set", "use utf8mb4")


class MysqlRequests:
    """One session's commands. `kill` stops what another session of the same person runs, or ends that session."""

    def __init__(
        self,
        client: Link,
        backend: Backend,
        gate: Gate,
        inside: Admitted,
        capabilities: int,
        answers: MysqlAnswers,
        *,
        pin: Callable[[Backend], Awaitable[None]],
        kill: Callable[[int, bool], bool],
    ) -> None:
        self._client, self._backend, self._answers = client, backend, answers
        self._gate, self._inside, self._capabilities = gate, inside, capabilities
        self._pin, self._kill = pin, kill
        self._number = 0
        self._multi = bool(capabilities & Capability.MULTI_STATEMENTS)
        self._statements = Statements()
        self._notices: tuple[Notice, ...] = ()

    async def answer(self, payload: bytes) -> bool:
        """Answer one command; False when the client says goodbye. Raises `GatewayError` for what ends the session."""
        command = wire.available(payload)
        if command == Command.QUIT:
            return False
        if command is None:
            await self._denied(_COMMAND)
        else:
            await _ANSWERS[command](self, payload)
        return True

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
        self._notices = permit.notices
        payload = wire.encode_text(Command.QUERY, permit.text.encode())
        return await self._answers.run(permit, payload, Command.QUERY, more=more, listed=listed)

    async def _admitted(self, statement: Statement, judged: Judgement | None = None) -> Permit | None:
        if judged is None and self._gate.needs_study(self._inside, statement.text):
            await self._gate.study(self._inside, statement.text)
        if self._inside.view.write:
            found = judged or self._gate.judge(self._inside, statement.text)
            if self._gate.needs_claim(self._inside, found):
                assert isinstance(found, Judgement)
                # INVARIANT: nothing is awaited between a claim and `admit`
                await self._gate.claim(self._inside, found)
        permit = self._gate.admit(self._inside, statement, judged)
        if isinstance(permit, Refused):
            self._notices = ()
            await self._answers.refused(permit)
            return None
        return permit

    async def _denied(self, refusal: Refusal) -> None:
        """Refuse what is no statement."""
        quiet = Refusal(refusal.code, refusal.message, refusal.hint)
        await self._answers.refused(self._gate.refuse(self._inside, Statement(self._next_id(), "", "simple"), quiet))

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._inside.session.id}.{self._number}"

    async def _warnings(self, permit: Permit, *, more: bool) -> bool:
        # what the target would warn of can tell of rows; ours are said with the statement that they are about
        columns = (text_column(b"Level"), text_column(b"Code"), text_column(b"Message"))
        said = self._notices if permit.plan.normalised == "SHOW WARNINGS" else ()
        await self._answers.local(permit, columns, [notice_row(one) for one in said], more=more)
        return True

    async def _kill_other(self, permit: Permit) -> bool:
        await durable(permit.receipt)
        _, what, number = permit.text.split()
        found = self._kill(int(number), what == "QUERY")
        self._answers.settle(permit, "" if found else "HY000")
        if found:
            self._answers.ok()
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
            await self._answers.refused(made)
            return
        permit, judged = made
        if judged.plan.kinds not in ((Kind.READ,), (Kind.WRITE,)):
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
                self._client.send(encode_eof(0, self._answers.status))
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
        self._notices = permit.notices
        raw = wire.encode_execute(execute.statement, wire.NO_CURSOR, *statement.arranged(bound))
        statement.ran(bound)
        await self._answers.run(permit, raw, Command.STMT_EXECUTE)

    async def _unknown(self, what: str) -> None:
        self._client.send(encode_error(1243, "HY000", f"Unknown prepared statement handler given to {what}"))

    async def _long_data(self, payload: bytes) -> None:
        piece = wire.decode_long_data(payload)
        statement = self._statements.find(piece.statement)
        if statement is not None and statement.take_long(piece):
            self._backend.command(wire.encode_long_data(statement.arranged_piece(piece)))

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
        self._answers.ok()

    async def _reset_target(self, statement: Prepared, number: int) -> None:
        await self._answers.plain(wire.encode_number(Command.STMT_RESET, number), Command.STMT_RESET)
        statement.forget_long()

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
        self._answers.ok()

    async def _option(self, payload: bytes) -> None:
        self._multi = wire.decode_number(payload) == wire.MULTI_STATEMENTS_ON
        self._client.send(encode_end(Ok(status=self._answers.status), self._capabilities))

    async def _process_kill(self, payload: bytes) -> None:
        await self._simple(f"KILL CONNECTION {wire.decode_number(payload):d}")

    async def _reset(self, payload: bytes) -> None:
        wire.decode_number(payload)
        await self._answers.plain(payload, Command.RESET_CONNECTION)
        await self._pin(self._backend)
        self._statements.clear()
        self._answers.status = Status.AUTOCOMMIT
        self._answers.ok()

    async def _change_user(self, _payload: bytes) -> None:
        raise GatewayError("feature-not-supported", "a session cannot become another's", "connect anew", fatal=True)


_ANSWERS: dict[Command, Callable[[MysqlRequests, bytes], Awaitable[None]]] = {
    Command.QUERY: MysqlRequests._query,
    Command.STMT_PREPARE: MysqlRequests._prepare,
    Command.STMT_EXECUTE: MysqlRequests._execute,
    Command.STMT_SEND_LONG_DATA: MysqlRequests._long_data,
    Command.STMT_CLOSE: MysqlRequests._close_statement,
    Command.STMT_RESET: MysqlRequests._reset_statement,
    Command.STMT_FETCH: MysqlRequests._fetch,
    Command.INIT_DB: MysqlRequests._use,
    Command.FIELD_LIST: MysqlRequests._fields,
    Command.STATISTICS: MysqlRequests._statistics,
    Command.PING: MysqlRequests._ping,
    Command.SET_OPTION: MysqlRequests._option,
    Command.PROCESS_KILL: MysqlRequests._process_kill,
    Command.RESET_CONNECTION: MysqlRequests._reset,
    Command.CHANGE_USER: MysqlRequests._change_user,
}
