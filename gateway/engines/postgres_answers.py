"""The target's side of a PostgreSQL session: its bytes are attributed to the flows that are due, and released.

Theory of operation. For each message that was sent, a `Flow` is in the queue of answers that are due; the target's
bytes are walked, header by header, and attributed to the flow at the head of the queue:

    Query -> ... ReadyForQuery            Parse -> ParseComplete          Bind -> BindComplete
    Describe -> RowDescription | NoData   Execute -> ... CommandComplete | PortalSuspended | EmptyQueryResponse
    Close -> CloseComplete                Sync -> ReadyForQuery           any -> ErrorResponse

After an ErrorResponse in the extended protocol the target skips to the next Sync, and so does the queue.

INVARIANT: bytes of a flow are released only while its receipt is durable, and rows only within its announced window.
INVARIANT: what is released ends on a message boundary unless `_through` counts the rest of a row in flight; nothing
of ours is written in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from gateway.admitted import SETTLED, Admitted
from gateway.engines.postgres_flow import DROPPED, INTERNAL, SCRUBBED, Flow
from gateway.engines.postgres_requests import Requests
from gateway.engines.postgres_scrub import FREE, PINNED, READ_ONLY, error_bytes, notice_bytes, refusal_bytes
from gateway.engines.upstream import Backend
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Receipt
from gateway.sql.postgres import write_refusal
from gateway.sql.postgres.plans import PlanText, shown_indexes
from gateway.sql.statement import View
from gateway.wire import postgres as wire
from gateway.wire.walk import walk_rows

_MESSAGE_LIMIT = 16 * 1024 * 1024
"""Largest answer that is not a row and is held whole (descriptions, errors)."""

_ROW_HELD = 64 * 1024
"""Rows up to this size are released whole; larger ones stream through once they are announced."""

_PLAN_LIMIT = 1024 * 1024
"""The largest row beside an EXPLAIN: it is read whole, to be scrubbed."""
_LARGE_PLAN = Refusal(
    "statement-not-supported", "a plan, or a row beside one, has more than 1 MiB", "run the EXPLAIN alone", fatal=True
)

_READY = 4096
"""Answers up to this size that are free to leave still wait for those behind them that are held."""

_ROWS = (wire.DATA_ROW, wire.COPY_DATA)

ANSWERS = {
    wire.PARSE_COMPLETE: (wire.PARSE,),
    wire.BIND_COMPLETE: (wire.BIND,),
    wire.CLOSE_COMPLETE: (wire.CLOSE,),
    wire.PARAMETER_DESCRIPTION: (wire.DESCRIBE,),
    wire.NO_DATA: (wire.DESCRIBE,),
    wire.ROW_DESCRIPTION: (wire.DESCRIBE, wire.QUERY),
    wire.PORTAL_SUSPENDED: (wire.EXECUTE,),
    wire.COMMAND_COMPLETE: (wire.EXECUTE, wire.QUERY),
    wire.EMPTY_QUERY_RESPONSE: (wire.EXECUTE, wire.QUERY),
    wire.COPY_OUT_RESPONSE: (wire.EXECUTE, wire.QUERY),
    wire.COPY_DONE: (wire.EXECUTE, wire.QUERY),
    wire.READY_FOR_QUERY: (wire.QUERY, wire.SYNC),
}
"""The messages that each answer may answer; the others answer any."""


class Owner(Protocol):
    """What answers need of the session that they belong to."""

    ended: bool

    def cut(self, refusal: Refusal, *, told: bool = False) -> None:
        """End the session at once and say why."""

    def fault(self, error: Exception) -> None:
        """End the session for what was raised on the way of a message."""

    def stop_statement(self) -> None:
        """Let the target stop what it runs."""

    def released(self) -> None:
        """Some of what was due has come."""

    def go_on_reading(self) -> None:
        """What the target sends is held no more."""


class _Nobody:
    """Whom answers belong to once their session has ended, so that it is not kept until cycles are collected."""

    ended = True

    def cut(self, refusal: Refusal, *, told: bool = False) -> None:
        pass

    def fault(self, error: Exception) -> None:
        pass

    def stop_statement(self) -> None:
        pass

    def released(self) -> None:
        pass

    def go_on_reading(self) -> None:
        pass


_NOBODY = _Nobody()


class Answers:
    """The answers of one session. `queue` is shared with its requests, which put flows at its tail.

    `held_at` is since when answers wait for a record (monotonic seconds), None while none do.
    """

    __slots__ = (
        "_backend", "_client", "_gate", "_held", "_inside", "_limit", "_owner", "_plan", "_queue", "_ready",
        "_requests", "_rest", "_through", "_told", "_waiting", "held_at",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        client: asyncio.Transport,
        backend: Backend,
        gate: Gate,
        inside: Admitted,
        queue: deque[Flow],
        requests: Requests,
        limit: int,
    ) -> None:
        self._owner: Owner = owner
        self._client, self._backend = client, backend
        self._gate, self._inside, self._queue, self._requests = gate, inside, queue, requests
        self._limit = limit
        self._rest = self._ready = b""
        self._held: bytes | None = None
        self._waiting = self._told = False
        self._through = 0
        self._plan: tuple[View, PlanText] | None = None
        self.held_at: float | None = None

    def take(self, data: bytes) -> None:
        """Bytes came from the target: release what may leave, hold the rest."""
        if self._held is not None:
            self._held += data
            if len(self._held) > self._limit and self._backend.transport is not None:
                self._backend.transport.pause_reading()
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            self._release(data)
        except Exception as error:
            self._owner.fault(error)

    def last_words(self, refusal: Refusal, *, told: bool) -> None:
        """What was free to leave, then why the session ends, where a message can be said."""
        if self._ready:
            self._client.write(self._ready)
            self._ready = b""
        if not told and not self._told and not self._through:
            self._client.write(refusal_bytes(refusal, fatal=True))

    def drop(self) -> None:
        """The session has ended: settle what is due, and forget what came. Raises `GatewayError`."""
        self._held, self._rest = None, b""
        self._owner = _NOBODY
        while self._queue:
            self._settle(self._queue.popleft(), "cut")

    def _release(self, data: bytes) -> None:
        out: list[bytes | memoryview] = [self._ready] if self._ready else []
        self._ready = b""
        view = memoryview(data)
        start = pos = 0
        end = len(data)
        if self._through:
            pos = min(self._through, end)
            self._through -= pos
        queue = self._queue
        while pos < end:
            if not queue:
                pos, start = self._unasked(data, view, start, pos, end, out)
                if pos < 0:
                    pos = start
                    break
                continue
            flow = queue[0]
            if not flow.receipt.durable:
                self._hold(flow.receipt)
                break
            if not flow.announced:
                out.append(view[start:pos])
                start = pos
                self._announce(flow, out)
            kind = data[pos]
            if kind in _ROWS and not flow.apart:
                before = pos
                pos, rows = walk_rows(data, pos, end, flow.window_rows - flow.rows, flow.window_size - flow.size)
                flow.rows += rows
                flow.size += pos - before
                if pos > before:
                    continue
                step = self._row(flow, data, pos, end)
                if not step and not flow.apart:
                    break
                pos += step
                continue
            if end - pos < 5:
                break
            length = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
            if length < 5 or length > _MESSAGE_LIMIT:
                raise GatewayError("target-unavailable", "the target sent a malformed message", fatal=True)
            if flow.apart == SCRUBBED and length > _PLAN_LIMIT:
                raise GatewayError.of(_LARGE_PLAN)
            if end - pos < length:
                break
            if kind == wire.COMMAND_COMPLETE and not flow.settled and flow.permit and flow.permit.plan.writes:
                # not a byte of the completion leaves before the end record is durable: the loop waits for that now
                flow.tag = wire.parse_command_complete(data[pos + 5 : pos + length])
                flow.receipt = self._settle(flow, "ok")
                continue
            if flow.apart == SCRUBBED and kind in _ROWS:
                out.append(view[start:pos])
                start = pos
                if self._scrubbed(flow, kind, data[pos + 5 : pos + length], out):
                    pos = start = pos + length
                elif flow.apart == SCRUBBED:
                    break
                continue
            if flow.kind == INTERNAL or (flow.apart and kind in _ROWS):
                out.append(view[start:pos])
                self._unseen(kind, data[pos + 5 : pos + length], out)
                pos += length
                start = pos
                continue
            if self._answer(kind, flow, data, pos, length, view, start, out):
                start = pos + length
            pos += length
            if self._owner.ended:
                return
        out.append(view[start:pos])
        rest = data[pos:]
        self._owner.released()
        if self._held is not None:
            self._held = rest
            ready = b"".join(out)
            if len(ready) <= _READY:
                # goes with the rest, in one packet: the wait is a flush long
                self._ready = ready
                return
            out = [ready]
        else:
            self._rest = rest
        self._write(out)

    def _row(self, flow: Flow, data: bytes, pos: int, end: int) -> int:
        """How far to go on at a row that the walker did not take; 0 to wait for a record or for more bytes."""
        if end - pos < 5:
            return 0
        length = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
        if length < 5:
            raise GatewayError("target-unavailable", "the target sent a malformed message", fatal=True)
        if not self._within(flow, length):
            return 0
        if end - pos < length:
            if length <= _ROW_HELD:
                return 0
            self._through = length - (end - pos)
            flow.rows += 1
            flow.size += length
            return end - pos
        flow.rows += 1
        flow.size += length
        return length

    def _within(self, flow: Flow, length: int) -> bool:
        """Whether a row of that length may leave now; else it waits for a record, or the flow is `DROPPED` now."""
        if flow.permit is None or flow.kind not in (wire.QUERY, wire.EXECUTE):
            raise GatewayError("target-unavailable", "the target returned rows that nothing asked for", fatal=True)
        if flow.rows + 1 <= flow.window_rows and flow.size + length <= flow.window_size:
            return True
        window = self._gate.extend(self._inside, flow.permit, flow.rows + 1, flow.size + length)
        if isinstance(window, Refusal):
            if window.fatal:
                raise GatewayError.of(window)
            flow.refusal, flow.apart = window, DROPPED
            self._owner.stop_statement()
            return False
        flow.window_rows, flow.window_size = window.rows, window.bytes
        flow.receipt = window.receipt
        if not window.receipt.durable:
            self._hold(window.receipt)
            return False
        return True

    def _scrubbed(self, flow: Flow, kind: int, body: bytes, out: list[bytes | memoryview]) -> bool:
        """Release a row that may be part of a plan without what it must not tell; False as in `_within`."""
        view = self._inside.view
        if self._plan is None or self._plan[0] is not view:
            # one for all plans of the session: a portal may give out one in several parts
            self._plan = view, PlanText(shown_indexes(view))
        row = wire.frame(kind, body)
        if kind == wire.DATA_ROW:
            scrubbed = self._plan[1].scrubbed
            row = wire.encode_data_row([v if v is None else scrubbed(v) for v in wire.parse_data_row(body)])
        if not self._within(flow, len(row)):
            return False
        flow.rows += 1
        flow.size += len(row)
        out.append(row)
        return True

    def _answer(
        self,
        kind: int,
        flow: Flow,
        data: bytes,
        pos: int,
        length: int,
        view: memoryview,
        start: int,
        out: list[bytes | memoryview],
    ) -> bool:
        """Attribute one whole message to the flow; True when it was replaced (all before it is in `out` then)."""
        due = ANSWERS.get(kind)
        if due is not None and flow.kind not in due:
            raise GatewayError("target-unavailable", "the target answered out of order", fatal=True)
        if kind == wire.COMMAND_COMPLETE:
            if flow.apart == DROPPED:
                return self._too_late(flow, view, start, pos, out)
            if flow.kind == wire.EXECUTE:
                flow.tag = wire.parse_command_complete(data[pos + 5 : pos + length])
                self._done(flow, "ok")
            elif flow.permit is not None:
                tag = wire.parse_command_complete(data[pos + 5 : pos + length])
                flow.tag = f"{flow.tag}; {tag}"[:200] if flow.tag else tag
        elif kind == wire.READY_FOR_QUERY:
            if flow.kind == wire.SYNC:
                self._requests.synced()
            self._done(flow, "ok")
        elif kind == wire.ERROR_RESPONSE:
            out.append(view[start:pos])
            fields = wire.parse_error_fields(data[pos + 5 : pos + length])
            self._failed(flow, fields, out)
            return True
        elif kind in (wire.NOTICE_RESPONSE, wire.PARAMETER_STATUS, wire.NOTIFICATION_RESPONSE):
            out.append(view[start:pos])
            out.append(self._aside(kind, data[pos + 5 : pos + length]))
            return True
        elif kind in (wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.CLOSE_COMPLETE, wire.NO_DATA):
            self._queue.popleft()
        elif kind in (wire.PORTAL_SUSPENDED, wire.EMPTY_QUERY_RESPONSE):
            if flow.kind == wire.EXECUTE:
                self._done(flow, "ok")
        elif kind == wire.ROW_DESCRIPTION:
            if flow.kind == wire.DESCRIBE:
                self._queue.popleft()
        elif kind not in (wire.PARAMETER_DESCRIPTION, wire.COPY_OUT_RESPONSE, wire.COPY_DONE):
            raise GatewayError("target-unavailable", "the target sent an unexpected message", fatal=True)
        return False

    def _too_late(self, flow: Flow, view: memoryview, start: int, pos: int, out: list[bytes | memoryview]) -> bool:
        """The target completed what was being stopped: the client learns that it was stopped all the same."""
        assert flow.refusal is not None
        if flow.kind != wire.QUERY:
            # later messages of the same batch have run by now; no error of ours could stand in their midst
            raise GatewayError.of(flow.refusal)
        out.append(view[start:pos])
        out.append(refusal_bytes(flow.refusal))
        flow.tag = f"!{flow.refusal.meaning.sqlstate}"
        return True

    def _unseen(self, kind: int, body: bytes, out: list[bytes | memoryview]) -> None:
        """A message that the client does not get: of an internal flow, or a row of a stopped statement."""
        if kind == wire.PARAMETER_STATUS:
            out.append(self._aside(kind, body))
        elif kind == wire.READY_FOR_QUERY:
            self._queue.popleft()

    def _announce(self, flow: Flow, out: list[bytes | memoryview]) -> None:
        flow.announced = True
        assert flow.permit is not None
        for notice in flow.permit.notices:
            out.append(wire.encode_notice(notice.severity, notice.sqlstate, notice.message, notice.hint))

    def _failed(self, flow: Flow, fields: dict[str, str], out: list[bytes | memoryview]) -> None:
        """An ErrorResponse: ours if we refused, else scrubbed; the extended protocol's queue skips to its Sync."""
        if flow.refusal is not None:
            out.append(refusal_bytes(flow.refusal))
            if flow.refusal.fatal:
                self._write(out)
                out.clear()
                self._owner.cut(flow.refusal, told=True)
                return
        else:
            bound = write_refusal(fields, flow.permit.plan.write) if flow.permit is not None else None
            out.append(error_bytes(fields) if bound is None else refusal_bytes(bound))
            if bound is not None:
                fields["C"] = bound.meaning.sqlstate
            self._told = fields.get("V") in ("FATAL", "PANIC")
        if flow.kind == wire.QUERY:
            flow.tag = f"!{fields.get('C', '')}"
            return
        queue = self._queue
        if flow.kind == wire.SYNC:
            # its ReadyForQuery still comes
            self._requests.failed(nothing_due=False)
            return
        self._settle(queue.popleft(), "error", fields.get("C", ""))
        while queue and queue[0].kind not in (wire.SYNC, INTERNAL):
            self._settle(queue.popleft(), "skipped")
        self._requests.failed(nothing_due=not queue)

    def _aside(self, kind: int, body: bytes) -> bytes:
        """A message that answers nothing: what the client gets instead of it."""
        if kind == wire.NOTICE_RESPONSE:
            return notice_bytes(wire.parse_error_fields(body))
        if kind == wire.PARAMETER_STATUS:
            name, value = wire.parse_parameter_status(body)
            # who may write may give that up for a while; the session's pin is off then
            mine = name == READ_ONLY and self._inside.view.write
            if name in PINNED and not mine and self._backend.facts.parameters.get(name) != value:
                # FAIL CLOSED: the session no longer is what the rewriting was proven for
                raise GatewayError("setting-not-allowed", f"the setting `{name}` changed; the session ends", fatal=True)
            return wire.encode_parameter_status(name, value) if name in FREE else b""
        return b""

    def _unasked(
        self, data: bytes, view: memoryview, start: int, pos: int, end: int, out: list[bytes | memoryview]
    ) -> tuple[int, int]:
        """A message while nothing is due: asides and a FATAL only. A position of -1 waits for more bytes."""
        if end - pos < 5:
            return -1, pos
        length = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
        if length < 5 or length > _MESSAGE_LIMIT:
            raise GatewayError("target-unavailable", "the target sent a malformed message", fatal=True)
        if end - pos < length:
            out.append(view[start:pos])
            return -1, pos
        kind, body = data[pos], data[pos + 5 : pos + length]
        out.append(view[start:pos])
        if kind == wire.ERROR_RESPONSE:
            out.append(error_bytes(wire.parse_error_fields(body)))
            self._told = True
        elif kind in (wire.NOTICE_RESPONSE, wire.PARAMETER_STATUS, wire.NOTIFICATION_RESPONSE):
            out.append(self._aside(kind, body))
        else:
            raise GatewayError("target-unavailable", "the target answered what nobody asked", fatal=True)
        return pos + length, pos + length

    def _done(self, flow: Flow, status: str, code: str = "") -> None:
        self._queue.popleft()
        if flow.tag.startswith("!"):
            status, code, flow.tag = "error", flow.tag[1:], ""
        self._settle(flow, status, code)

    def _settle(self, flow: Flow, status: str, code: str = "") -> Receipt:
        if flow.settled or flow.permit is None:
            return SETTLED
        flow.settled = True
        duration = (time.monotonic_ns() - flow.permit.started_ns) // 1000
        outcome = Outcome(status, flow.rows, flow.size, code, duration, flow.tag)
        return self._gate.settle(self._inside, flow.permit, outcome)

    def _hold(self, receipt: Receipt) -> None:
        self._held = b""
        self.held_at = time.monotonic()
        if not self._waiting:
            self._waiting = True
            receipt.add_done_callback(self._resume)

    def _resume(self, receipt: Receipt) -> None:
        self._waiting = False
        if self._owner.ended:
            return
        if receipt.failed:
            self._owner.cut(Refusal("audit-not-writable", "the audit trail cannot be written; the session ends"))
            return
        held, self._held, self.held_at = self._held, None, None
        self._owner.go_on_reading()
        if held:
            try:
                self._release(held)
            except Exception as error:
                self._owner.fault(error)

    def _write(self, out: list[bytes | memoryview]) -> None:
        parts = [part for part in out if part]
        if parts:
            self._client.write(parts[0] if len(parts) == 1 else b"".join(parts))
