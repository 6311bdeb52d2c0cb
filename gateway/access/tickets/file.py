"""The embedded ticket source: `tickets.yaml` or `tickets.json`.

    tickets:
      - id: SUP-1423
        title: Payslip of March is missing
        status: open
        assignee: alice            # a login of the directory; may be absent while nobody has it
        customer: 42               # or customers: [42, 43]; kept as the text that is written
        team: support              # optional
        url: https://…             # optional
        updated_at: 2026-03-01T09:30:00Z    # optional

Ids are compared exactly. An invalid file makes the source unavailable: it never answers from an older reading.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.access.documents import Document, Entry
from gateway.access.names import fold_login, is_ticket_id
from gateway.errors import GatewayError, Refusal
from gateway.model import Ticket
from gateway.ports import Sighting


class FileTickets:
    """`ports.TicketSource` over a ticket file; `find` may read the file and blocks while it does."""

    def __init__(self, path: Path, *, system: str = "file", recheck_s: float = 0.1) -> None:
        self.system = system
        self._document = Document(path, self._parse, "ticket-source-unavailable", recheck_s=recheck_s)

    def find(self, ticket_id: str) -> Ticket | None:
        """The ticket as it stands now, or None. Raises `GatewayError("ticket-source-unavailable")`."""
        return self._document.get().get(ticket_id)

    def recent(self, ticket_ids: Collection[str]) -> Mapping[str, Sighting | Refusal]:
        """The tickets as the file has them now, or why it cannot be read."""
        try:
            tickets = self._document.get()
        except GatewayError as error:
            return dict.fromkeys(ticket_ids, error.refusal)
        return {one: Sighting(tickets.get(one), math.inf) for one in ticket_ids}

    def _parse(self, document: Entry) -> dict[str, Ticket]:
        tickets: dict[str, Ticket] = {}
        for entry in document.entries("tickets", "a ticket"):
            id_ = entry.text("id")
            if not is_ticket_id(id_):
                raise entry.error(f"`{id_}` cannot be a ticket's id")
            if id_ in tickets:
                raise entry.error(f"a second ticket has the id `{id_}`")
            tickets[id_] = Ticket(
                id=id_,
                system=self.system,
                title=entry.text("title", "", limit=1024),
                status=entry.text("status", limit=64),
                assignee=_assignee(entry),
                customers=_customers(entry),
                url=entry.text("url", "", limit=2048),
                team=entry.text("team", "", limit=64),
                updated_at=_moment(entry),
            )
            entry.finish()
        return tickets


def _assignee(entry: Entry) -> str:
    written = entry.text("assignee", "", limit=64)
    login = fold_login(written)
    if written and not login:
        raise entry.error(f"`{written}` cannot be a login")
    return login


def _customers(entry: Entry) -> tuple[str, ...]:
    if entry.has("customer") and entry.has("customers"):
        raise entry.error("a ticket has `customer` or `customers`, not both", "customers")
    if entry.has("customer"):
        return (entry.text("customer", limit=256),)
    customers = entry.texts("customers", ())
    if len(set(customers)) != len(customers):
        raise entry.error("a customer is named twice")
    return customers


def _moment(entry: Entry) -> datetime | None:
    written = entry.text("updated_at", "", limit=64)
    if not written:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise entry.error(f"`{written}` is not an ISO 8601 moment") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
