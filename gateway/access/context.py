"""What every room of access works with: the sources, the store, the trail, time and randomness.

INVARIANT: `record` returns once its record is durable; who gives access awaits it first, who ends access acts first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.access.keys import Keys, Token, base32
from gateway.access.values import AccessSettings
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal, Receipt, Ticket
from gateway.policy.schema import Policy
from gateway.ports import Clock, Directory, TicketSource, Trail
from gateway.record import event
from gateway.store.database import Connection, Database

P = ParamSpec("P")
T = TypeVar("T")

Policies = Callable[[str], Policy | None]
"""Returns the policy in force for a target, or None for an unknown one."""


class Context:
    """The parts, and the four ways of waiting for them."""

    def __init__(
        self,
        settings: AccessSettings,
        directory: Directory,
        tickets: TicketSource,
        policies: Policies,
        trail: Trail,
        database: Database,
        clock: Clock,
        monotonic: Callable[[], float],
        token: Token,
    ) -> None:
        self.settings, self.keys = settings, Keys(settings.master_key)
        self.directory, self.tickets, self.policies = directory, tickets, policies
        self.clock, self.monotonic, self.token = clock, monotonic, token
        self._trail, self._database = trail, database
        self._lookups = ThreadPoolExecutor(2, thread_name_prefix="lookup")
        # of their own: a ticket source that hangs must keep nobody from looking people up
        self._asks = ThreadPoolExecutor(8, thread_name_prefix="ticket")

    async def record(self, kind: str, /, **fields: Any) -> None:
        """Append a record and wait until it is durable. Raises `GatewayError("audit-not-writable")`."""
        await durable(self._trail.append(event(kind, **fields)))

    def note(self, kind: str, /, **fields: Any) -> None:
        """Append a record that nobody waits for. Raises `GatewayError("audit-not-writable")`."""
        self._trail.append(event(kind, **fields))

    async def store(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction in the store's thread. Raises `GatewayError("store-unavailable")`."""
        return await self._database.run(function, *args, **kwargs)

    async def work(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Something short that blocks, in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lookups, lambda: function(*args, **kwargs))

    async def find(self, login: str) -> Principal | None:
        """The directory's person of that login. Raises `GatewayError("directory-unavailable")`."""
        return await self.work(self.directory.find, login)

    async def by_id(self, person: str) -> Principal | None:
        """The directory's person of that id. Raises `GatewayError("directory-unavailable")`."""
        return await self.work(self.directory.by_id, person)

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """The ticket as its source has it now. Raises `GatewayError("ticket-source-unavailable")`."""
        return await asyncio.get_running_loop().run_in_executor(self._asks, self.tickets.find, ticket_id)

    def new_id(self, prefix: str) -> str:
        """An id that nobody can guess: the prefix and 80 random bits."""
        return f"{prefix}_{base32(self.token(10))}"

    def close(self) -> None:
        """Join the workers."""
        self._lookups.shutdown(wait=True, cancel_futures=True)
        self._asks.shutdown(wait=True, cancel_futures=True)


async def durable(receipt: Receipt) -> None:
    """Wait for a receipt. Raises `GatewayError("audit-not-writable")` when the record never will be durable."""
    if not receipt.durable and not receipt.failed:
        decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        receipt.add_done_callback(lambda _: None if decided.done() else decided.set_result(None))
        await decided
    if not receipt.durable:
        raise GatewayError("audit-not-writable", "the audit trail cannot be written", "tell an operator", fatal=True)


def who(person: Principal | None) -> dict[str, Any]:
    """A person's fields of a record."""
    if person is None:
        return {}
    return {"person": person.id, "login": person.login, "teams": sorted(person.teams)}


def where(peer: Peer, *, user: bool = True) -> dict[str, Any]:
    """A connection's fields of a record. `user` False leaves out a name that is no login: it may be a secret."""
    return {
        "address": peer.address,
        "application": peer.application[:128],
        "engine": peer.engine,
        "tls": peer.tls,
        "user": peer.user[:128] if user else "",
    }


def verdict(refusal: Refusal | None) -> dict[str, Any]:
    """The verdict's fields of a record."""
    if refusal is None:
        return {"decision": "permit"}
    return {"decision": "deny", "code": refusal.code, "reason": refusal.message}
