"""The client's side of an observed MySQL session: each command leaves as it came, behind the record of what it runs.

    COM_QUERY                                     a record for each of its statements, all of them ahead of the first
    COM_STMT_EXECUTE, COM_STMT_FETCH              a record each
    COM_STMT_PREPARE                              a record: it shows what exists
    COM_INIT_DB, COM_FIELD_LIST, COM_PROCESS_KILL recorded as the statements that do the same
    COM_STATISTICS, COM_RESET_CONNECTION          a record each
    all others that are available                 none: they run nothing

The protocol's own numbers are the only thing that is not as it came: a KILL of the number that a client was greeted
with is one of the connection behind it, since the target never gave that number to anybody.

INVARIANT: no command reaches the target ahead of its durable record.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.admitted import Admitted, Refused
from gateway.engines.account import Account
from gateway.engines.mysql_observed_answers import ObservedAnswers
from gateway.engines.mysql_prepared import Prepared, Statements
from gateway.engines.mysql_upstream import Backend
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Permit, Statement
from gateway.sql.cache import Judgement, plan_fields
from gateway.sql.mysql import Reader, command_plan, may_load
from gateway.sql.named import missing
from gateway.sql.observed import as_judged, unread
from gateway.sql.said import KEPT, either, in_text
from gateway.wire.mysql import commands as wire
from gateway.wire.mysql.answers import Passing
from gateway.wire.mysql.base import Capability
from gateway.wire.mysql.commands import Command

R = TypeVar("R")

_LAST = 0xFFFFFFFF
"""MariaDB's number for the statement that was prepared last."""
_SHOWN = 16_384
"""Bytes of a text that is too long to be judged from which its record is made."""
_LONG = 16_384
"""Bytes of a text that are not looked through between two turns of everybody else."""
_COMMAND = Refusal(
    "feature-not-supported", "the command is not available", "use a statement instead; replication is not available"
)
_UNREADABLE = Refusal("syntax-error", "the text cannot be told apart into names and values in the session's settings")
_UNASKED = Refusal("statement-not-allowed", "what answers no statement does not pass")
_KILL = re.compile(
    rb"(\s*kill\s+(?:hard\s+|soft\s+)?(?:connection\s+|query\s+)?)([0-9]{1,10})(\s*;?\s*)", re.IGNORECASE
)


class ObservedRequests:
    """Takes a client's commands. `behind` tells which number a connection has at the target."""

    def __init__(
        self,
        backend: Backend,
        gate: Gate,
        inside: Admitted,
        answers: ObservedAnswers,
        reader: Reader,
        behind: Callable[[int], int],
    ) -> None:
        self._backend, self._gate, self._inside, self._answers = backend, gate, inside, answers
        self._reader, self._behind = reader, behind
        self._statements = Statements()
        self._last: Prepared | None = None
        self._number = 0
        self._multi = bool(backend.capabilities & Capability.MULTI_STATEMENTS)
        answers.open_aside = self._unasked

    async def answer(self, payload: bytes) -> bool:
        """See `Asked`."""
        command = wire.available(payload)
        if command == Command.QUIT:
            return False
        if command is None:
            await self._answers.refused(self._gate.refuse(self._inside, self._statement("simple"), _COMMAND))
        else:
            await _ANSWERS[command](self, payload, command)
        return True

    async def _query(self, payload: bytes, command: Command) -> None:
        raw = wire.decode_text(payload)
        parts = [await self._judged(part) for part in await self._parts(raw)]
        killed = _KILL.fullmatch(raw)
        if killed is not None:
            payload = wire.encode_text(command, b"%b%d%b" % (killed[1], self._behind(int(killed[2])), killed[3]))
        for judged in parts:
            await self._admit(judged, "simple")
        await self._answers.run(payload, command)

    async def _prepare(self, payload: bytes, command: Command) -> None:
        raw = wire.decode_text(payload)
        judged = await self._judged(raw)
        answer = await self._run(payload, command, judged, "prepare")
        if answer.prepared is not None:
            self._statements.add(answer.prepared, judged.plan.normalised, judged)
            self._last = self._statements.find(answer.prepared.statement)

    async def _execute(self, payload: bytes, command: Command) -> None:
        statement, judged = self._meant(payload)
        parameters = statement.parameters if statement is not None else 0
        if statement is not None and parameters:
            judged = _with_values(statement, payload)
        await self._run(payload, command, judged, "execute", parameters)

    async def _fetch(self, payload: bytes, command: Command) -> None:
        await self._run(payload, command, self._meant(payload)[1], "execute")

    def _meant(self, payload: bytes) -> tuple[Prepared | None, Judgement]:
        """The statement that a command is about, and what it is judged to be."""
        number = int.from_bytes(payload[1:5], "little")
        found = self._last if number == _LAST else self._statements.find(number)
        return found, found.judged if found is not None else unread(missing("statement", str(number)))

    async def _long_data(self, payload: bytes, _: Command) -> None:
        statement, _judged = self._meant(payload)
        if statement is not None:
            statement.take_long(wire.decode_long_data(payload), math.inf)
        self._backend.command(payload)
        await self._backend.drained()

    async def _close_statement(self, payload: bytes, _: Command) -> None:
        self._statements.remove(wire.decode_number(payload))
        self._backend.command(payload)

    async def _reset_statement(self, payload: bytes, command: Command) -> None:
        statement, _judged = self._meant(payload)
        if statement is not None:
            statement.forget_long()
        await self._answers.plain(payload, command)

    async def _use(self, payload: bytes, command: Command) -> None:
        await self._run(payload, command, await self._judged(b"USE " + _quoted(wire.decode_text(payload))), "simple")

    async def _fields(self, payload: bytes, command: Command) -> None:
        table = _quoted(wire.decode_field_list(payload).table)
        await self._run(payload, command, await self._judged(b"SHOW COLUMNS FROM " + table), "simple")

    async def _kill(self, payload: bytes, command: Command) -> None:
        judged = await self._judged(b"KILL %d" % wire.decode_number(payload))
        number = self._behind(wire.decode_number(payload))
        await self._run(wire.encode_number(command, number), command, judged, "simple")

    async def _statistics(self, payload: bytes, command: Command) -> None:
        await self._run(payload, command, _said("STATISTICS"), "simple")

    async def _reset(self, payload: bytes, command: Command) -> None:
        await self._run(payload, command, _said("RESET CONNECTION"), "simple")
        self._statements.clear()
        self._last = None
        self._reader.reset()

    async def _ping(self, payload: bytes, command: Command) -> None:
        await self._answers.plain(payload, command)

    async def _option(self, payload: bytes, command: Command) -> None:
        answer = await self._answers.plain(payload, command)
        if answer.ok is not None:
            self._multi = wire.decode_number(payload) == wire.MULTI_STATEMENTS_ON

    async def _change_user(self, _payload: bytes, _command: Command) -> None:
        raise GatewayError("feature-not-supported", "a session cannot become another's", "connect anew", fatal=True)

    async def _run(
        self, payload: bytes, command: Command, judged: Judgement, protocol: str, parameters: int = 0
    ) -> Passing:
        await self._admit(judged, protocol, parameters)
        return await self._answers.run(payload, command)

    async def _admit(self, judged: Judgement, protocol: str, parameters: int = 0) -> None:
        permit = self._gate.observe(self._inside, self._statement(protocol, parameters), judged)
        if isinstance(permit, Refused):
            # the gate let no more happen: the session ends as soon as that is on record
            await self._answers.refused(permit)
            raise GatewayError.of(permit.refusal)
        self._answers.expect(permit)

    def _unasked(self) -> Account:
        permit: Permit | Refused = self._gate.observe(self._inside, self._statement("unasked"), unread(_UNASKED))
        if isinstance(permit, Refused):
            raise GatewayError.of(permit.refusal)
        return Account(permit)

    def _statement(self, protocol: str, parameters: int = 0) -> Statement:
        self._number += 1
        return Statement(f"{self._inside.session.id}.{self._number}", "", protocol, parameters)

    async def _parts(self, raw: bytes) -> list[bytes]:
        """The statements of a text; all of it where it is one to the target, or where they cannot be told apart."""
        if not self._multi or b";" not in raw or len(raw) > self._inside.view.limits.text:
            return [raw]
        return await self._read(self._reader.parts, raw) or [raw]

    async def _read(self, how: Callable[[bytes], R], raw: bytes) -> R:
        """Read a text; a long one takes a while, in which others have their turns."""
        return await asyncio.to_thread(how, raw) if len(raw) > _LONG else how(raw)

    async def _judged(self, raw: bytes) -> Judgement:
        copies = may_load(raw)
        limit = self._inside.view.limits.text
        if len(raw) > limit:
            long = Refusal("statement-too-long", f"the statement is longer than {limit} bytes")
            return unread(long, in_text(raw), copies=copies, **self._reader.outline(raw[:_SHOWN]))
        text = await self._read(self._reader.text, raw)
        if text is None:
            return unread(_UNREADABLE, in_text(raw), copies=copies)
        if self._gate.needs_study(self._inside, text):
            await self._gate.study(self._inside, text)
        return as_judged(self._gate.judge(self._inside, text), text, copies=copies)


def _with_values(statement: Prepared, payload: bytes) -> Judgement:
    """What a statement is judged to be, with the values that it is run with; as bytes where they cannot be read."""
    try:
        bound = wire.bind(wire.decode_execute(payload), statement.parameters, statement.types, statement.long)
    except GatewayError:
        statement.types = None
        statement.forget_long()
        judged = statement.judged
        return Judgement(judged.plan, judged.fields, "", either(judged.said, in_text(payload[:KEPT])))
    judged = statement.with_values(bound)
    statement.ran(bound)
    return judged


def _said(command: str) -> Judgement:
    plan = command_plan(command)
    return Judgement(plan, plan_fields(plan, str), "")


def _quoted(name: bytes) -> bytes:
    return b"`%b`" % name.replace(b"`", b"``")


_ANSWERS: dict[Command, Callable[[ObservedRequests, bytes, Command], Awaitable[None]]] = {
    Command.QUERY: ObservedRequests._query,
    Command.STMT_PREPARE: ObservedRequests._prepare,
    Command.STMT_EXECUTE: ObservedRequests._execute,
    Command.STMT_FETCH: ObservedRequests._fetch,
    Command.STMT_SEND_LONG_DATA: ObservedRequests._long_data,
    Command.STMT_CLOSE: ObservedRequests._close_statement,
    Command.STMT_RESET: ObservedRequests._reset_statement,
    Command.INIT_DB: ObservedRequests._use,
    Command.FIELD_LIST: ObservedRequests._fields,
    Command.PROCESS_KILL: ObservedRequests._kill,
    Command.STATISTICS: ObservedRequests._statistics,
    Command.RESET_CONNECTION: ObservedRequests._reset,
    Command.PING: ObservedRequests._ping,
    Command.SET_OPTION: ObservedRequests._option,
    Command.CHANGE_USER: ObservedRequests._change_user,
}
