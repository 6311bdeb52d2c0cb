"""The target's side of an observed session: its bytes are counted, attributed, and released as they are.

    Query -> ... ReadyForQuery            Parse -> ParseComplete          Bind -> BindComplete
    Describe -> RowDescription | NoData   Execute -> ... CommandComplete | PortalSuspended | EmptyQueryResponse
    Close -> CloseComplete                Sync -> ReadyForQuery           FunctionCall -> ... ReadyForQuery
    any -> ErrorResponse, after which the target skips to the next Sync unless it answers a Query or a FunctionCall

Here errors, notices, notifications and parameters can carry what rows carry, so they count as bytes of the statement
that they come with; descriptions, which carry names, do not. What comes with no statement (notifications above all) has
an account of its own, opened when it first comes, as a statement of the protocol `unasked`.

INVARIANT: nothing that can carry data is released beyond the window that a durable record announced.
INVARIANT: what is released are the target's bytes, all of them and no others, until the session is cut.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from gateway.admitted import Admitted
from gateway.engines.account import Account
from gateway.engines.postgres_answers import ANSWERS, Owner
from gateway.engines.postgres_due import Due
from gateway.engines.postgres_observed_requests import ObservedRequests
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Receipt
from gateway.wire import postgres as wire
from gateway.wire.walk import walk_rows

_WHOLE = 64 * 1024
"""Messages up to this size are released whole; larger ones stream through once they are announced."""
_READ_LIMIT = 16 * 1024 * 1024
"""The largest message of those that are read."""

_ROWS = (wire.DATA_ROW, wire.COPY_DATA)
_ASIDE = (wire.NOTICE_RESPONSE, wire.NOTIFICATION_RESPONSE, wire.PARAMETER_STATUS)
_CARRIES = frozenset({*_ROWS, *_ASIDE, wire.ERROR_RESPONSE, wire.FUNCTION_CALL_RESPONSE})
_READ = frozenset({wire.ERROR_RESPONSE, wire.PARAMETER_STATUS, wire.COMMAND_COMPLETE})
_ENDS_SELF = (wire.QUERY, wire.FUNCTION_CALL)
"""What is answered by a ReadyForQuery of its own, after an error as well."""

_DUE = {
    **ANSWERS,
    wire.COPY_IN_RESPONSE: (wire.EXECUTE, wire.QUERY),
    wire.DATA_ROW: (wire.EXECUTE, wire.QUERY),
    wire.COPY_DATA: (wire.EXECUTE, wire.QUERY),
    wire.FUNCTION_CALL_RESPONSE: (wire.FUNCTION_CALL,),
    wire.READY_FOR_QUERY: (*ANSWERS[wire.READY_FOR_QUERY], wire.FUNCTION_CALL),
}
"""The messages that each answer may answer. What is not here is either aside, or ends the session."""

_ENDS_EXECUTE = (wire.COMMAND_COMPLETE, wire.PORTAL_SUSPENDED, wire.EMPTY_QUERY_RESPONSE)
_ENDS_ONE = (wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.CLOSE_COMPLETE, wire.NO_DATA)


class ObservedAnswers:
    """The answers of one session. `queue` is shared with its requests, which put dues at its tail.

    `held_at` is since when answers wait for a record (monotonic seconds), None while none do.
    """

    __slots__ = (
        "_client", "_gate", "_held", "_inside", "_limit", "_owner", "_queue", "_requests", "_rest", "_through",
        "_told", "_unasked", "held_at",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        client: asyncio.Transport,
        gate: Gate,
        inside: Admitted,
        queue: deque[Due],
        requests: ObservedRequests,
        limit: int,
    ) -> None:
        self._owner, self._client, self._limit = owner, client, limit
        self._gate, self._inside, self._queue, self._requests = gate, inside, queue, requests
        self._rest = b""
        self._held: bytes | None = None
        self._through = 0
        self._told = False
        self._unasked: Account | None = None
        self.held_at: float | None = None

    @property
    def overfull(self) -> bool:
        """Whether more is held than should be read on."""
        return self._held is not None and len(self._held) > self._limit

    def take(self, data: bytes) -> None:
        """Bytes came from the target: release what may leave, hold the rest."""
        if self._held is not None:
            self._held += data
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        try:
            self._release(data)
        except Exception as error:
            self._owner.fault(error)

    def last_words(self, data: bytes, *, told: bool) -> None:
        """Say why the session ends, where a message can be said."""
        if not told and not self._told and not self._through:
            self._client.write(data)

    def drop(self) -> None:
        """The session has ended: settle what is due, and forget what came. Raises `GatewayError`."""
        self._held, self._rest = None, b""
        while self._queue:
            due = self._queue.popleft()
            if due.account is not None:
                self._settle(due.account, "cut")
        if self._unasked is not None:
            self._settle(self._unasked, "ok")

    def _release(self, data: bytes) -> None:
        end = len(data)
        pos = min(self._through, end)
        self._through -= pos
        while pos < end:
            kind = data[pos]
            if kind in _ROWS and self._queue and (account := self._queue[0].account) is not None:
                before = pos
                free = account.window_rows - account.rows, account.window_size - account.size
                pos, rows = walk_rows(data, pos, end, *free)
                if pos > before:
                    self._fits(kind)
                    account.rows += rows
                    account.size += pos - before
                    continue
            if end - pos < 5:
                break
            length = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
            if length < 5 or (kind in _READ and length > _READ_LIMIT):
                raise GatewayError("target-unavailable", "the target sent a malformed message", fatal=True)
            if end - pos < length and (kind in _READ or length <= _WHOLE):
                break
            self._fits(kind)
            if kind in _CARRIES and not self._counted(kind, length, data, pos):
                self._write(data, pos)
                return
            self._answer(kind, data[pos + 5 : pos + length] if kind in _READ else b"")
            self._through = max(0, length - (end - pos))
            pos = min(end, pos + length)
            if self._owner.ended:
                return
        self._rest = data[pos:]
        self._write(data, pos)
        self._owner.released()

    def _write(self, data: bytes, end: int) -> None:
        if end and not self._client.is_closing():
            self._client.write(data if end == len(data) else memoryview(data)[:end])

    def _fits(self, kind: int) -> None:
        """Raise `GatewayError` for what does not answer the oldest due."""
        due = _DUE.get(kind)
        if due is not None:
            if not self._queue or self._queue[0].kind not in due:
                raise GatewayError("target-unavailable", "the target answered out of order", fatal=True)
        elif kind not in _ASIDE and kind != wire.ERROR_RESPONSE:
            raise GatewayError("target-unavailable", "the target sent an unexpected message", fatal=True)

    def _counted(self, kind: int, length: int, data: bytes, pos: int) -> bool:
        """Count a message that carries data; False when it has to wait, with all behind it, for a record."""
        rows = 1 if kind in _ROWS else 0
        account = self._queue[0].account if self._queue else None
        if account is None or account.settled:
            if kind == wire.ERROR_RESPONSE and not self._queue:
                return True  # the target's last words
            account = self._without_statement()
            if not account.permit.receipt.durable:
                return self._hold(account.permit.receipt, data[pos:])
        if account.rows + rows > account.window_rows or account.size + length > account.window_size:
            window = self._gate.extend(self._inside, account.permit, account.rows + rows, account.size + length)
            if isinstance(window, Refusal):
                raise GatewayError.of(window)
            account.window_rows, account.window_size = window.rows, window.bytes
            if not window.receipt.durable:
                return self._hold(window.receipt, data[pos:])
        account.rows += rows
        account.size += length
        return True

    def _without_statement(self) -> Account:
        if self._unasked is None:
            self._unasked = self._requests.unasked()
        return self._unasked

    def _hold(self, receipt: Receipt, rest: bytes) -> bool:
        self._held = rest
        self.held_at = time.monotonic()
        receipt.add_done_callback(self._resume)
        return False

    def _resume(self, receipt: Receipt) -> None:
        if self._owner.ended:
            return
        if receipt.failed:
            self._owner.cut(Refusal("audit-not-writable", "the audit trail cannot be written; the session ends"))
            return
        held, self._held, self.held_at = self._held, None, None
        self._owner.go_on_reading()
        if held:
            self.take(held)

    def _answer(self, kind: int, body: bytes) -> None:
        """Attribute one message; `body` is empty for those that are not read."""
        if kind == wire.ERROR_RESPONSE:
            self._failed(wire.parse_error_fields(body))
            return
        if kind == wire.PARAMETER_STATUS:
            name, _, value = body.partition(b"\0")
            self._requests.reader.reported(name.decode("utf-8", "replace"), value[:-1].decode("utf-8", "replace"))
            return
        if kind in _ASIDE:
            return
        due = self._queue[0]
        if kind == wire.READY_FOR_QUERY:
            self._done(due)
        elif kind == wire.COPY_IN_RESPONSE:
            self._requests.asked_for_data(due)
        elif kind in _ENDS_ONE or (kind == wire.ROW_DESCRIPTION and due.kind == wire.DESCRIBE):
            self._done(due)
        elif kind in _ENDS_EXECUTE:
            if kind == wire.COMMAND_COMPLETE and due.account is not None:
                due.account.completed(body[:-1].decode("utf-8", "replace"))
            if due.kind == wire.EXECUTE:
                self._done(due)

    def _failed(self, fields: dict[str, str]) -> None:
        """An ErrorResponse: the extended protocol's queue skips to its Sync."""
        sqlstate = fields.get("C", "")
        self._told = fields.get("V") in ("FATAL", "PANIC")
        queue = self._queue
        if not queue:
            return
        due = queue[0]
        if due.kind in _ENDS_SELF:
            if due.account is not None:
                due.account.code = sqlstate
            self._requests.stopped(due)
            return
        if due.kind == wire.SYNC:
            # its ReadyForQuery still comes
            self._requests.failed(nothing_due=False)
            return
        self._done(due, "error", sqlstate)
        while queue and queue[0].kind != wire.SYNC:
            self._done(queue[0], "skipped")
        self._requests.failed(nothing_due=not queue)

    def _done(self, due: Due, status: str = "ok", code: str = "") -> None:
        self._queue.popleft()
        self._requests.answered(due)
        account = due.account
        if account is None or not (due.closes or status != "ok"):
            return
        if account.code:
            status, code = "error", account.code
        self._settle(account, status, code)

    def _settle(self, account: Account, status: str, code: str = "") -> None:
        account.settle(self._gate, self._inside, status, time.monotonic_ns(), code)
