"""The few places where parts meet that have, or will soon have, more than one implementation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gateway.errors import Refusal
from gateway.model import Principal, Receipt, Ticket
from gateway.record import Form

Clock = Callable[[], datetime]
"""Returns the present moment in UTC, timezone-aware."""

Mark = Callable[[str], str]
"""Returns what stands in the trail and in answers for the digest of a statement, whose literals could be guessed from
the digest itself.
"""


class Trail(Protocol):
    """Where audit records go. One writer; `append` is called from the event loop's thread only."""

    def append(self, record: Mapping[str, Any], *, urgent: bool = True) -> Receipt:
        """Give the record the next index and begin to make it durable.

        A record that nobody waits for is not `urgent`: it rides the next commit, or one within 50 ms.

        Raises `GatewayError("audit-not-writable")` at once when the trail cannot take it: the caller refuses
        the work that the record was for.
        """
        ...

    def append_form(self, form: Form, values: tuple[int | str, ...], *, urgent: bool = True) -> Receipt:
        """The same for `form.record(values)`; `append` of that mapping gives the same record, more slowly."""
        ...


class Directory(Protocol):
    """Who exists and in which teams. Implementations cache for seconds at most."""

    def find(self, login: str) -> Principal | None:
        """The person of that login, or None. Raises `GatewayError("directory-unavailable")`."""
        ...

    def by_id(self, person: str) -> Principal | None:
        """The person of that stable id, or None. Raises `GatewayError("directory-unavailable")`."""
        ...

    def check_password(self, login: str, password: str) -> Principal | None:
        """The person when the password is right, else None, in a time that does not tell which was wrong.

        Blocking (argon2id): call it from a worker thread.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was last heard of a ticket, and when it was asked for, on the monotonic clock; None is that it is gone.

    `at` is infinite for what is read at this very moment. `outage` is why its source cannot be asked at the moment.
    `between` is how the ticket stood meanwhile, as far as its source tells, each with when that was learnt.
    """

    ticket: Ticket | None
    at: float
    outage: Refusal | None = None
    between: tuple[tuple[float, Ticket], ...] = ()


class TicketSource(Protocol):
    """Where justifications live. Every call may come from any thread."""

    def find(self, ticket_id: str) -> Ticket | None:
        """The ticket as it stands now, or None. Blocks. Raises `GatewayError("ticket-source-unavailable")`."""
        ...

    def recent(self, ticket_ids: Collection[str]) -> Mapping[str, Sighting | Refusal]:
        """What was last heard of these tickets, seconds old at most while their source answers; or why nothing was.

        Asked again and again, it keeps the answers young. Waits for no network. What it was never asked before may be
        missing.
        """
        ...
