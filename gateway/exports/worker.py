"""Moves records from the trail to one sink, in a thread of its own, until it is told to stop.

    read from the cursor on ▸ filter ▸ form ▸ send ▸ settle ▸ wait the sink's holdback ▸ move the cursor

A failure is answered by waiting, each time twice as long up to a bound, or as long as the sink asks; then the same
records are sent again. Nothing is ever given up: what the sink does not take stays in the trail, and the lag says so.

INVARIANT: the cursor moves only over records that were settled, rejected by the sink's own word, or filtered out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gateway.audit.encode import record_of
from gateway.exports.cursor import Cursor, hash_of, read_cursor, write_cursor
from gateway.exports.sink import Form, Message, Out, SendFailed
from gateway.exports.source import Gone, Leaf, Source
from gateway.telemetry import Log

BATCH = 500
BATCH_BYTES = 1 << 20
_LOOK_S = 0.25
_KEEP_S = 1.0
_WAIT_S, _MOST_WAIT_S = 0.25, 60.0
_TELL_S = 300.0


@dataclass(slots=True)
class State:
    """What is known of a sink. `oldest` is the time of the first record that it lacks, in seconds since 1970."""

    name: str
    next: int = 0
    sent: int = 0
    rejected: int = 0
    failures: int = 0
    reason: str = ""
    oldest: float = 0.0


class Worker:
    """One sink's road. `durable` says how many records there are to send; `start` and `stop` are the thread's."""

    def __init__(
        self,
        name: str,
        *,
        origin: str,
        source: Source,
        cursor: Path,
        out: Out,
        form: Form,
        takes: Callable[[str], bool],
        durable: Callable[[], int],
        log: Log,
        from_now: bool = False,
        late_s: float = 300.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State(name)
        self._name, self._origin, self._source, self._path = name, origin, source, cursor
        self._out, self._form, self._takes, self._durable = out, form, takes, durable
        self._log, self._from_now, self._late_s = log, from_now, late_s
        self._clock, self._monotonic = clock, monotonic
        self._kept = self._sure = Cursor(origin)
        self._marks: deque[tuple[float, Cursor]] = deque()
        self._batch = BATCH
        self._told = self._late_told = self._settled = float("-inf")
        self._wait_s = _WAIT_S
        self._late = False
        self._stop = threading.Event()
        self._drain_until = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"export-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """Send what is durable within `drain_s`, then stop; `join` waits for that."""
        self._drain_until = self._monotonic() + drain_s
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._begin()
            while not self._over():
                if not self._round():
                    self._idle()
        except OSError as error:
            # the trail or the cursor cannot be read or written: the whole process is begun anew, from the cursor
            self._log.error("export stopped", sink=self._name, reason=error.strerror or "input or output failed")
            raise
        finally:
            self._out.close()

    def _over(self) -> bool:
        if not self._stop.is_set():
            return False
        settled = self._marks[-1][1] if self._marks else self._kept
        # what the sink may still lose is sent again after the next start: a stop does not wait for that
        done = self._sure.next >= self._durable() and settled == self._sure
        return done or self._monotonic() >= self._drain_until

    def _round(self) -> bool:
        """One batch; whether there was one."""
        self._keep()
        try:
            leaves = self._source.read(self._batch, BATCH_BYTES, self._durable())
        except Gone as gone:
            self._lost(gone.first)
            return True
        if not leaves:
            return False
        self.state.oldest = _seconds(record_of(leaves[0][1]).get("time"))
        try:
            self._send(leaves)
        except SendFailed as failed:
            self._failed(failed, leaves[0][0])
            return True
        self._wait_s = _WAIT_S
        # less came through: it grows slowly, so that few tries find the bound again
        self._batch = min(BATCH, self._batch + max(1, self._batch // 8))
        if self.state.reason:
            self._log.info("export goes on", sink=self._name, next=self._sure.next)
            self.state.reason, self._told = "", float("-inf")
        return True

    def _send(self, leaves: list[Leaf]) -> None:
        messages = []
        for index, leaf in leaves:
            record = record_of(leaf)
            body = self._form(record, leaf)
            # what the filter leaves out is formed all the same: it may say who is behind a session
            if self._takes(str(record.get("kind", ""))):
                messages.append(Message(index, record, body))
        rejected = self._out.send(messages) if messages else 0
        index, leaf = leaves[-1]
        self.state.sent += len(messages) - rejected
        if rejected:
            self.state.rejected += rejected
            self._log.error(
                "export rejected", sink=self._name, records=rejected, first=leaves[0][0], last=index,
                hint="the sink will never take them; they stay in the trail",
            )  # fmt: skip
        self._sure = Cursor(self._origin, index + 1, hash_of(leaf), self._sure.rejected + rejected)

    def _keep(self) -> None:
        """Move the cursor to what is certain; once a second at the most, for the trail needs the disk more."""
        moment = self._monotonic()
        newest = self._marks[-1][1] if self._marks else self._kept
        new = self._sure != newest and (self._stop.is_set() or moment - self._settled >= _KEEP_S)
        held = self._out.holdback_s > 0 and self._marks and moment - self._marks[0][0] >= self._out.holdback_s
        if new or held:
            # for what was held back: whether the connection that it went by is still there
            try:
                self._out.settle()
            except SendFailed as failed:
                self._failed(failed, self._sure.next)
                return
        if new:
            self._settled = moment
            self._marks.append((moment, self._sure))
        certain = None
        while self._marks and moment - self._marks[0][0] >= self._out.holdback_s:
            certain = self._marks.popleft()
        if certain is None:
            return
        try:
            write_cursor(self._path, certain[1])
        except OSError as error:
            # as long as this process lives it knows where it is; only a death before the next try sends more again
            self._marks.appendleft(certain)
            self._tell(f"its cursor cannot be written: {(error.strerror or 'unknown').lower()}")
            return
        self._kept = certain[1]
        self.state.next = certain[1].next

    def _idle(self) -> None:
        if self._kept.next >= self._durable():
            self.state.oldest = 0.0
        # near the head, records are gathered for a moment; the cursor's holdback is waited for in the same way
        if self._stop.is_set():
            time.sleep(0.05)
        else:
            self._stop.wait(_LOOK_S)

    def _failed(self, failed: SendFailed, first: int) -> None:
        self._tell(failed.reason)
        if failed.rewind:
            self._marks.clear()
            self._sure = replace(self._kept, rejected=self._sure.rejected)
            first = self._kept.next
        self._source.seek(first)
        # the sink's wish makes it longer, never shorter
        wait = max(self._wait_s, failed.retry_after_s or 0.0)
        if failed.smaller and self._batch > 1:
            self._batch //= 2
        else:
            self._wait_s = min(_MOST_WAIT_S, self._wait_s * 2)
        if self._stop.wait(wait):
            # it tries on until the end of the drain, without haste
            time.sleep(min(wait, _LOOK_S))

    def _tell(self, reason: str) -> None:
        self.state.failures += 1
        self.state.reason = reason
        if self._monotonic() - self._told >= _TELL_S:
            self._told = self._monotonic()
            self._log.warning("export failed", sink=self._name, reason=reason, next=self._kept.next)

    def look(self) -> None:
        """Tell when records wait for too long, and when they do no more; from any thread, every second or so."""
        behind = self._clock() - self.state.oldest if self.state.oldest else 0.0
        moment = self._monotonic()
        if behind > self._late_s and moment - self._late_told >= _TELL_S:
            self._late_told, self._late = moment, True
            self._log.warning(
                "export late", sink=self._name, behind_s=round(behind), records=self._durable() - self._kept.next,
                reason=self.state.reason,
            )  # fmt: skip
        elif self._late and behind <= self._late_s:
            self._late, self._late_told = False, float("-inf")
            self._log.info("export punctual again", sink=self._name)

    def _begin(self) -> None:
        """Find the place to go on from."""
        try:
            found = read_cursor(self._path)
        except ValueError:
            self._log.error("export cursor unreadable", sink=self._name, hint="everything is sent again")
            found = Cursor(self._origin)
        if found is None:
            found = self._first()
        elif found.origin != self._origin:
            hint = "everything of this one is sent"
            self._log.error("export cursor of another trail", sink=self._name, was=found.origin, hint=hint)
            found = Cursor(self._origin)
        elif found.next > self._durable() or not self._fits(found):
            self._log.error(
                "export cursor does not fit the trail", sink=self._name, next=found.next,
                hint="the trail is another one than was sent, or was put back: verify it; everything is sent again",
            )  # fmt: skip
            found = Cursor(self._origin, rejected=found.rejected)
        self._kept = self._sure = found
        self.state.next, self.state.rejected = found.next, found.rejected
        self._source.seek(found.next)

    def _fits(self, cursor: Cursor) -> bool:
        if cursor.next <= self._source.first():
            # the record before it was pruned: there is nothing to compare with
            return True
        return cursor.follows(self._source.before(cursor.next))

    def _first(self) -> Cursor:
        if not self._from_now:
            return Cursor(self._origin, self._source.first())
        index = self._durable()
        leaf = self._source.before(index)
        cursor = Cursor(self._origin, index, hash_of(leaf) if leaf is not None else "")
        write_cursor(self._path, cursor)
        return cursor

    def _lost(self, first: int) -> None:
        self._log.error(
            "export lost records", sink=self._name, records=first - self._source.next, next=first,
            hint="they were removed from the trail before the sink took them; restore them from the archive",
        )  # fmt: skip
        self._source.seek(first)
        self._sure = Cursor(self._origin, first, "", self._sure.rejected)


def _seconds(time_text: object) -> float:
    try:
        return datetime.fromisoformat(str(time_text)).timestamp()
    except ValueError:
        return 0.0
