"""A remote source as `ports.TicketSource`: asked freshly for what is new, every few seconds for what is watched.

Theory of operation. `find` asks. `recent` says what was last heard about tickets that live sessions rest on, waits for
nothing, and makes a thread of the source's own keep on asking about them: all of them every `poll_interval`, and at
once those that a webhook named. So the age of an answer is the time since it was asked for, and who reads it decides
how old it may be.

Where a ticket changed since the last answer, a source that keeps a history is asked how it stood in between: closed and
opened again is closed.

INVARIANT: an answer is kept with the moment before it was asked for, and never replaced by one asked for earlier.
INVARIANT: hints make the source be asked sooner, and a crowd of them not more often than every `HINT_GAP_S`. What was
hinted at is asked about twice, the second time `AGAIN_S` later: a source may send its news before it answers by them.
FAIL CLOSED: what cannot be asked, or answers with what nobody understands, is out; its last answers grow old meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from gateway.access.tickets.fields import Found, Key, key_of, ticket_of
from gateway.access.tickets.http import unavailable
from gateway.errors import GatewayError, Refusal
from gateway.model import Ticket
from gateway.ports import Sighting
from gateway.ticket_settings import Remote

T = TypeVar("T")

HINT_GAP_S = 0.25
AGAIN_S = 1.5
_WANTED_S = 30.0
_FORGET_S = 120.0
_MOST_FOUND = 10_000
_MOST_BETWEEN = 50

News = Callable[[str, Mapping[str, Any]], None]
"""Takes a record's kind and fields; called from any thread."""
Report = Callable[[str, BaseException], None]
"""Takes the part and what befell it, for the technical log; called from any thread."""


class Vendor(Protocol):
    """One kind of source. Everything blocks, from any thread, and raises `ticket-source-unavailable`."""

    @property
    def settings(self) -> Remote:
        """How it is configured."""
        ...

    def one(self, key: Key) -> Found | None:
        """The ticket as it is now; None when it is deleted, moved, or was never there."""
        ...

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """The same for several, in as few requests as the source allows."""
        ...

    def between(self, key: Key, now: Found, since: datetime) -> list[Found]:
        """How the ticket, which is `now` so, stood after that moment, newest first; [] where no history is kept."""
        ...

    def named_in(self, news: Mapping[str, Any]) -> Iterable[str]:
        """The numbers (or whole ids) of the tickets that a webhook's document is about."""
        ...

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """Put a comment on the ticket; `again` looks first whether one with the marker is there."""
        ...

    def close(self) -> None:
        """Join the threads."""
        ...


class PolledSource:
    """See the module. `close` when nobody asks any more."""

    def __init__(
        self,
        vendor: Vendor,
        *,
        news: News = lambda _, __: None,
        report: Report = lambda _, __: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vendor, self.settings, self.system = vendor, vendor.settings, vendor.settings.system
        self._news, self._report, self._monotonic = news, report, monotonic
        self._turn = threading.Condition()
        self._seen: dict[str, tuple[Ticket | None, float]] = {}
        self._between: dict[str, tuple[tuple[float, Ticket], ...]] = {}
        self._wanted: dict[str, float] = {}
        self._found: dict[str, float] = {}
        self._hinted: set[str] = set()
        self._again: dict[str, float] = {}
        self._hint_at = self._poll_at = float("-inf")
        self._outage: Refusal | None = None
        self._down_at = 0.0
        self._stopped = False
        self._thread: threading.Thread | None = None

    def find(self, ticket_id: str) -> Ticket | None:
        """The ticket as it stands now, or None. Raises `GatewayError("ticket-source-unavailable")`."""
        key = key_of(self.settings, ticket_id)
        if key is None:
            return None
        asked_at = self._monotonic()
        with self._turn:
            # from before the answer: news that come while it is under way are news for whoever relies on it
            self._found[ticket_id] = asked_at
            if len(self._found) > _MOST_FOUND:
                self._forget(asked_at)
        self._heard(lambda: self._take({key: self.vendor.one(key)}, asked_at))
        with self._turn:
            # this answer, or one that was asked for later and came meanwhile
            return self._seen[ticket_id][0]

    def recent(self, ticket_ids: Collection[str]) -> Mapping[str, Sighting | Refusal]:
        """What was last heard about these tickets; an outage, or nothing, of those that were not answered yet."""
        now = self._monotonic()
        with self._turn:
            for ticket_id in ticket_ids:
                self._wanted[ticket_id] = now
            if ticket_ids:
                self._begin()
            outage = self._outage
            found: dict[str, Sighting | Refusal] = {}
            for one in ticket_ids:
                if one in self._seen:
                    found[one] = Sighting(*self._seen[one], outage, self._between.get(one, ()))
                elif outage is not None:
                    found[one] = outage
            return found

    def hint(self, ticket_ids: Iterable[str]) -> None:
        """Ask about these now, as far as anybody wants to know about them or just asked."""
        with self._turn:
            self._hinted.update(one for one in ticket_ids if one in self._wanted or one in self._found)
            if self._hinted:
                self._begin()
                self._turn.notify_all()

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """Put a comment on a ticket. Raises `GatewayError("ticket-source-unavailable")`."""
        try:
            self.vendor.comment(key, text, marker, again=again)
        except GatewayError:
            raise
        except Exception as error:
            # an answer that nobody understands says nothing about whether the comment is there
            self._report("tickets", error)
            raise unavailable(self.settings, f"its answer was not understood: {type(error).__name__}") from error

    @property
    def outage(self) -> Refusal | None:
        """Why the source could not be asked the last time."""
        return self._outage

    def close(self) -> None:
        """Stop asking and join the thread."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.vendor.close()

    def _begin(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name=f"tickets-{self.system}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._turn:
                ids = self._due()
                if self._stopped:
                    return
            self._ask(ids)

    def _due(self) -> list[str]:
        """Wait until there is something to ask about."""
        while not self._stopped:
            now = self._monotonic()
            self._forget(now)
            if self._hinted and now >= self._hint_at:
                asked, self._hinted = self._hinted, set()
                self._again |= dict.fromkeys(asked, now + AGAIN_S)
                self._hint_at = now + HINT_GAP_S
                return sorted(asked)
            again = sorted(one for one, at in self._again.items() if now >= at)
            if again:
                for one in again:
                    del self._again[one]
                return again
            if self._wanted and now >= self._poll_at:
                self._poll_at = now + self.settings.poll_interval
                return sorted(self._wanted)
            times = [*self._again.values(), now + 1.0]
            times += [self._hint_at] if self._hinted else []
            times += [self._poll_at] if self._wanted else []
            self._turn.wait(max(0.01, min(times) - now))
        return []

    def _forget(self, now: float) -> None:
        for times in (self._wanted, self._found):
            for ticket_id in [one for one, at in times.items() if now - at > _WANTED_S]:
                del times[ticket_id]
        for ticket_id in [one for one, (_, at) in self._seen.items() if now - at > _FORGET_S]:
            if ticket_id not in self._wanted:
                del self._seen[ticket_id]
                self._between.pop(ticket_id, None)

    def _ask(self, ids: Iterable[str]) -> None:
        asked_at = self._monotonic()
        keys = {one: key_of(self.settings, one) for one in ids}
        known = [key for key in keys.values() if key is not None]
        self._keep({one: None for one, key in keys.items() if key is None}, asked_at)
        if known:
            with contextlib.suppress(GatewayError):
                # told as an outage already; the last answers grow old meanwhile
                self._heard(lambda: self._take(self.vendor.many(known), asked_at))

    def _take(self, found: Mapping[Key, Found | None], asked_at: float) -> None:
        """Keep the answers, with how tickets that changed stood since the last one."""
        tickets: dict[str, Ticket | None] = {}
        for key, one in found.items():
            ticket = None if one is None else ticket_of(self.settings, key, one)
            with self._turn:
                before, _ = self._seen.get(key.id, (None, 0.0))
            if one is not None and ticket is not None and before is not None:
                since, until = before.updated_at, ticket.updated_at
                if since is not None and until is not None and until > since:
                    stood = [ticket_of(self.settings, key, was) for was in self.vendor.between(key, one, since)]
                    with self._turn:
                        known = self._between.get(key.id, ()) + tuple((asked_at, was) for was in stood)
                        self._between[key.id] = known[-_MOST_BETWEEN:]
            tickets[key.id] = ticket
        self._keep(tickets, asked_at)

    def _keep(self, tickets: Mapping[str, Ticket | None], asked_at: float) -> None:
        with self._turn:
            for ticket_id, ticket in tickets.items():
                before = self._seen.get(ticket_id)
                if before is not None and before[1] > asked_at:
                    continue
                # the same object while nothing changes: who compares need not judge again
                self._seen[ticket_id] = before[0] if before and before[0] == ticket else ticket, asked_at

    def _heard(self, ask: Callable[[], T]) -> T:
        """The answer, with what it tells about the source's health."""
        try:
            found = ask()
        except GatewayError as error:
            self._is_down(error)
            raise
        except Exception as error:
            # FAIL CLOSED: an answer that a vendor's module stumbles over is none; without this the thread would die
            self._report("tickets", error)
            outage = unavailable(self.settings, f"its answer was not understood: {type(error).__name__}")
            self._is_down(outage)
            raise outage from error
        self._is_up()
        return found

    def _is_down(self, error: GatewayError) -> None:
        with self._turn:
            first, self._outage = self._outage is None, error.refusal
            if first:
                self._down_at = self._monotonic()
        if first:
            self._report("tickets", error)
            reason = error.refusal.message
            self._news(
                "ticket.source", {"ticket_system": self.system, "state": "down", "code": error.code, "reason": reason}
            )

    def _is_up(self) -> None:
        with self._turn:
            was, self._outage = self._outage, None
        if was is not None:
            seconds = int(self._monotonic() - self._down_at)
            self._news("ticket.source", {"ticket_system": self.system, "state": "up", "duration_s": seconds})
