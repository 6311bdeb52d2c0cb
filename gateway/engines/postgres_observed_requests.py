"""The client's side of an observed session: each message leaves as it came, behind the record of what it runs.

Messages are taken in turns, what one read brought at most. All of a turn is sent together, once the last record that
the turn made is durable (`postgres_outbox`); so nothing that could have an effect or show anything is ahead of its
record:

    Query, FunctionCall, Execute   a record each
    Bind, Parse                    the record of the Execute that comes with them in the turn, else one of their own
    CopyDone                       a record of how much was sent in, which the COPY takes effect with
    all others                     none: they run nothing. What a Sync commits was recorded when it ran.

A Bind runs something: the checks of its values' domains, and what the planner evaluates. A Parse runs nothing, but
shows what exists.

COPY FROM STDIN is the one place where the target leaves the order of messages: it ignores each Sync that it reads
before the end of the data, and whether it had failed by then is not for us to see. So what follows a statement that
may be one is not taken until the target asked for data or was done with it, and until the end of the data no Sync is
sent.

INVARIANT: the queue holds an answer for each message that the target answers, and no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gateway.admitted import Admitted, Refused
from gateway.engines.account import Account
from gateway.engines.postgres_due import Due
from gateway.engines.postgres_encodings import Reader
from gateway.engines.postgres_flow import Names, called_with, with_values
from gateway.engines.postgres_outbox import Outbox
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Receipt, Statement
from gateway.sql.cache import Judgement, union
from gateway.sql.named import missing
from gateway.sql.observed import as_judged, unread
from gateway.wire import postgres as wire

_KNOWN_BYTES = 63
"""PostgreSQL compares names up to here."""
_UNREADABLE = Refusal("syntax-error", "the text cannot be told apart into names and values in the session's encoding")
_FUNCTION_CALL = Refusal("statement-not-allowed", "the FunctionCall message is not allowed")
_UNASKED = Refusal("statement-not-allowed", "notices and notifications that answer no statement do not pass")
_COPY = (wire.COPY_DATA, wire.COPY_DONE, wire.COPY_FAIL)


class _Uncovered:
    """A Parse or Bind of this turn that no record covers yet. `parse` is the one that a Bind is of, in this turn."""

    __slots__ = ("due", "judged", "parameters", "parse", "protocol")

    def __init__(self, due: Due, judged: Judgement, protocol: str, parameters: int, parse: _Uncovered | None) -> None:
        self.due, self.judged, self.protocol, self.parameters, self.parse = due, judged, protocol, parameters, parse


class ObservedRequests:
    """Takes a client's messages. `queue` is shared with the answers, which take dues off its head.

    `skipping` is set when an error left nothing due: the target ignores all until the next Sync. `copying` is the
    account of a COPY FROM STDIN while the target takes data.
    """

    __slots__ = (
        "_gate", "_inside", "_last", "_may_copy", "_names", "_number", "_out", "_outbox", "_queue", "_refused",
        "_uncovered", "copying", "reader", "skipping",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        inside: Admitted,
        queue: deque[Due],
        outbox: Outbox,
        reader: Reader,
        refused: Callable[[Refused], None],
    ) -> None:
        self._gate, self._inside, self._queue, self._outbox = gate, inside, queue, outbox
        self._refused = refused
        self.reader = reader
        self._names = Names()
        inside.names.wire_name = self._wire_name
        self._number = 0
        self._out: list[bytes] = []
        self._last: Receipt | None = None
        self._uncovered: dict[tuple[int, bytes], _Uncovered] = {}
        self._may_copy: Due | None = None
        self.copying: Account | None = None
        self.skipping = False

    @property
    def waits(self) -> bool:
        """Whether the target must answer before the next message can be taken."""
        return self.copying is None and self._may_copy is not None and not self._may_copy.done

    def unstudied(self, kind: int, body: bytes) -> str | None:
        """The statement of a message that has to be studied before its turn; None for nearly all."""
        if self.skipping or self.copying is not None or kind not in (wire.QUERY, wire.PARSE):
            return None
        raw = wire.split_query(body) if kind == wire.QUERY else wire.split_parse(body)[1]
        text = self._text(raw)
        return text if text is not None and self._gate.needs_study(self._inside, text) else None

    def take(self, kind: int, body: bytes) -> bool:
        """Take one message of the turn; False when the client said goodbye, or nothing more may be taken.

        Raises `GatewayError` for what ends the session.
        """
        if kind == wire.TERMINATE:
            return False
        if self.copying is not None or kind in _COPY:
            self._copy(kind, body)
            return True
        if self.skipping and kind != wire.SYNC:
            return True  # as the target does after an error, until the next Sync
        if kind == wire.QUERY:
            self._names.simple_query()
            return self._run(kind, body, self._judged(wire.split_query(body)), "simple")
        if kind == wire.EXECUTE:
            return self._execute(wire.decode_execute(body), body)
        if kind == wire.BIND:
            return self._bind(body)
        if kind == wire.PARSE:
            return self._parse(body)
        if kind == wire.FUNCTION_CALL:
            oid, arguments = wire.split_function_call(body)
            judged = unread(_FUNCTION_CALL, called_with(body), verb="FUNCTION CALL", sql=f"function {oid}")
            return self._run(kind, body, judged, "function", arguments)
        if kind == wire.SYNC:
            wire.decode_empty(body, "Sync")
            self.skipping = False
            self._names.synced()
            self._queue.append(Due(kind))
        elif kind == wire.DESCRIBE:
            self._queue.append(Due(kind))
        elif kind == wire.CLOSE:
            close = wire.decode_close(body)
            self._names.closed(close.kind, close.name[:_KNOWN_BYTES])
            self._queue.append(Due(kind))
        elif kind != wire.FLUSH:
            raise GatewayError("protocol-violation", f"message type {kind:#04x} is not known", fatal=True)
        self._out.append(wire.frame(kind, body))
        return True

    def end_turn(self) -> bool:
        """Send what the turn brought, behind its records; False when one of them was refused."""
        covered = all(self._cover(one) for one in self._uncovered.values())
        self._uncovered.clear()
        out, self._out = self._out, []
        last, self._last = self._last, None
        if out and covered:
            self._outbox.send(b"".join(out), last)
        return covered

    def flush(self) -> None:
        """Let the target send what it has: the Sync that would do so is not taken before the answer is there."""
        self._out.append(wire.encode_flush())

    def answered(self, due: Due) -> None:
        """The target is done with that message."""
        due.done = True
        if due.kind == wire.SYNC:
            self._names.answered()
        self.stopped(due)

    def stopped(self, due: Due) -> None:
        """The target takes no more data for that message: what still comes is ignored there, and not sent."""
        if self.copying is not None and self.copying is due.account:
            self.copying = None

    def unasked(self) -> Account:
        """An account for what comes without a statement. Raises `GatewayError`."""
        account = self._account(unread(_UNASKED), "unasked")
        if account is None:
            raise GatewayError("audit-not-writable", "what came without a statement has no record", fatal=True)
        return account

    def failed(self, *, nothing_due: bool) -> None:
        """The target skips to the next Sync; with nothing due until then, so must what the client still sends."""
        self._names.failed()
        self.skipping = nothing_due

    def asked_for_data(self, due: Due) -> None:
        """The target takes a COPY's data from now on. Raises `GatewayError` when the client did not ask it to."""
        if due is not self._may_copy or due.account is None:
            # FAIL CLOSED: what was sent behind it was sent for another order of things
            raise GatewayError("target-unavailable", "the target asked for data that nobody offered", fatal=True)
        due.account.taking = True
        self.copying = due.account

    def _copy(self, kind: int, body: bytes) -> None:
        account = self.copying
        if account is None or kind in (wire.SYNC, wire.FLUSH):
            return  # a target outside COPY FROM ignores data, and inside it these two
        if kind not in _COPY:
            raise GatewayError("protocol-violation", f"message type {kind:#04x} does not belong to data", fatal=True)
        if kind == wire.COPY_DATA:
            account.bytes_in += len(body)
        else:
            self.copying = None
            if kind == wire.COPY_DONE and account.bytes_in > account.announced_in:
                account.announced_in = account.bytes_in
                self._last = self._gate.sent_in(self._inside, account.permit, account.bytes_in)
        self._out.append(wire.frame(kind, body))
        if kind != wire.COPY_DATA and self._may_copy is not None and self._may_copy.kind == wire.EXECUTE:
            self.flush()

    def _run(self, kind: int, body: bytes, judged: Judgement, protocol: str, parameters: int = 0) -> bool:
        account = self._account(judged, protocol, parameters)
        if account is None:
            return False
        due = Due(kind, account, copies=judged.plan.copies)
        self._queue.append(due)
        self._out.append(wire.frame(kind, body))
        if due.copies:
            self._may_copy = due
        return True

    def _account(self, judged: Judgement, protocol: str, parameters: int = 0) -> Account | None:
        """Have a record made; None when it was refused, which ends the session."""
        self._number += 1
        statement = Statement(f"{self._inside.session.id}.{self._number}", "", protocol, parameters)
        permit = self._gate.observe(self._inside, statement, judged)
        if isinstance(permit, Refused):
            self._refused(permit)
            return None
        self._last = permit.receipt
        return Account(permit)

    def _parse(self, body: bytes) -> bool:
        name, raw = wire.split_parse(body)
        judged = self._judged(raw)
        self._names.set(wire.STATEMENT, name[:_KNOWN_BYTES], judged)
        return self._prepare(wire.PARSE, (wire.STATEMENT, name[:_KNOWN_BYTES]), body, judged, "prepare")

    def _bind(self, body: bytes) -> bool:
        portal, statement, tail, parameters = wire.split_bind(body)
        portal, statement = portal[:_KNOWN_BYTES], statement[:_KNOWN_BYTES]
        judged = self._meant(wire.STATEMENT, statement)
        if parameters:
            judged = with_values(judged, body, tail)
        self._names.bound(portal, judged, parameters)
        parse = self._uncovered.get((wire.STATEMENT, statement))
        return self._prepare(wire.BIND, (wire.PORTAL, portal), body, judged, "bind", parameters, parse)

    def _prepare(
        self,
        kind: int,
        key: tuple[int, bytes],
        body: bytes,
        judged: Judgement,
        protocol: str,
        parameters: int = 0,
        parse: _Uncovered | None = None,
    ) -> bool:
        before = self._uncovered.pop(key, None)
        if before is not None and not self._cover(before):
            return False
        due = Due(kind)
        self._uncovered[key] = _Uncovered(due, judged, protocol, parameters, parse)
        self._queue.append(due)
        self._out.append(wire.frame(kind, body))
        return True

    def _cover(self, one: _Uncovered) -> bool:
        """Give a Parse or Bind a record of its own, unless it has one by now."""
        if one.due.account is None:
            one.due.account = self._account(one.judged, one.protocol, one.parameters)
        return one.due.account is not None

    def _execute(self, execute: wire.Execute, body: bytes) -> bool:
        portal = execute.portal[:_KNOWN_BYTES]
        judged = self._meant(wire.PORTAL, portal)
        if not self._run(wire.EXECUTE, body, judged, "execute", self._names.parameters(portal)):
            return False
        due = self._queue[-1]
        bind = self._uncovered.pop((wire.PORTAL, portal), None)
        for one in (bind, bind.parse if bind is not None else None):
            if one is not None and one.due.account is None:
                one.due.account, one.due.closes = due.account, False
        if due.copies:
            self.flush()
        return True

    def _judged(self, raw: bytes) -> Judgement:
        copies = b"copy" in raw.lower()
        text = self._text(raw)
        verdict = self._gate.judge(self._inside, text) if text is not None else _UNREADABLE
        return as_judged(verdict, raw if text is None else text, copies=copies)

    def _text(self, raw: bytes) -> str | None:
        return self.reader.text(raw, current=not self._queue)

    def _meant(self, kind: int, name: bytes) -> Judgement:
        """All that the protocol's name may stand for: what the protocol made, and what SQL did."""
        judged = self._names.find(kind, name)
        text = name.decode("utf-8", "replace")
        word = "statement" if kind == wire.STATEMENT else "cursor"
        if (word, text) in self._inside.names:
            verb = "EXECUTE" if kind == wire.STATEMENT else "FETCH FROM"
            quoted = text.replace('"', '""')
            defined = self._judged(f'{verb} "{quoted}"'.encode())
            return defined if judged is None else union(judged, defined)
        return judged if judged is not None else unread(missing(word, text))

    def _wire_name(self, name: tuple[str, str]) -> Judgement | None:
        """What a name of SQL's may be by what the protocol made."""
        kind, text = name
        return self._names.find(wire.STATEMENT if kind == "statement" else wire.PORTAL, text.encode()[:_KNOWN_BYTES])
