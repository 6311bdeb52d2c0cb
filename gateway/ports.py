"""The few places where parts meet that have, or will soon have, more than one implementation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

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


@dataclass(frozen=True, slots=True)
class Heard:
    """What was last heard of a person, and when it was asked for, on the monotonic clock; None is that he is gone.

    `at` is infinite for what is read at this very moment. `outage` is why the directory cannot be asked at the moment.
    """

    person: Principal | None
    at: float
    outage: Refusal | None = None


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

        Blocking (argon2id, or a server): call it from a worker thread.
        """
        ...

    def recent(self, people: Collection[str]) -> Mapping[str, Heard | Refusal]:
        """What was last heard of the people with these ids, as young as the directory allows; or why nothing was.

        Asked again and again by one thread, which it keeps waiting for a moment at most. Who was never asked about
        before may be missing.
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


class Lane(NamedTuple):
    """Failures that count together: how many are free, and the longest wait, in seconds."""

    name: str
    free: int
    longest_s: float


class Quick(Protocol):
    """State that gateways on one store share quicker than the store does. It refuses; it never lets in by itself.

    `outage` is why it cannot be asked, None while it can: then nobody gets new access. All but `tell` and `news` raise
    `GatewayError` with that.
    """

    @property
    def outage(self) -> Refusal | None:
        """See above."""

    async def charge(self, lanes: Sequence[Lane], now: datetime, base_s: float) -> tuple[datetime, ...] | datetime:
        """Count an attempt in each lane, and tell when each had failed before; or until when one of them is locked."""
        ...

    async def give_back(
        self, lanes: Sequence[str], before: Sequence[datetime], at: datetime, *, proved: bool = False
    ) -> None:
        """Undo the charge of that moment; of a person who `proved` who he is, clear the first lane instead."""
        ...

    async def use_step(self, person: str, step: int) -> bool:
        """Whether nobody has used that time step of the person's codes before; it is used then."""
        ...

    async def share(self, origin: str, data: bytes) -> list[bytes]:
        """Say what a gateway has used of the budgets, nothing new when empty; what all have said."""
        ...

    def tell(self) -> None:
        """Let the others know that there is something new in the store."""

    async def news(self) -> None:
        """Wait until another gateway says so."""
        ...
