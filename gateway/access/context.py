"""What every room of access works with: the sources, the store, the trail, time and randomness.

INVARIANT: `record` returns once its record is durable; who gives access awaits it first, who ends access acts first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.access.keys import Keys, Token, base32
from gateway.access.standing import Standing
from gateway.access.values import AccessSettings
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal, Receipt, Ticket
from gateway.policy.schema import Policy
from gateway.ports import Clock, Directory, Quick, TicketSource, Trail
from gateway.record import event
from gateway.store import people
from gateway.store.changes import Mark
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
        standing: Standing,
        quick: Quick | None = None,
    ) -> None:
        self.settings, self.keys = settings, Keys(settings.master_key, settings.former_keys, settings.root)
        self.standing, self.quick = standing, quick
        self.directory, self.tickets, self.policies = directory, tickets, policies
        self.clock, self.monotonic, self.token = clock, monotonic, token
        self._trail, self._database = trail, database
        self.store_said = Mark()
        self._lookups = ThreadPoolExecutor(settings.workers, thread_name_prefix="lookup")
        # of their own: a ticket source that hangs must keep nobody from looking people up
        self._asks = ThreadPoolExecutor(8, thread_name_prefix="ticket")

    async def record(self, kind: str, /, **fields: Any) -> int:
        """Append a record, wait until it is durable, and return its index.

        Raises `GatewayError("audit-not-writable")`.
        """
        receipt = self._trail.append(self._event(kind, fields))
        await durable(receipt)
        return receipt.index

    def note(self, kind: str, /, **fields: Any) -> None:
        """Append a record that nobody waits for. Raises `GatewayError("audit-not-writable")`."""
        self._trail.append(self._event(kind, fields))

    def _event(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Each record says how far the store was: from that, a store that went back is told at a start."""
        self.store_said = self._database.newest
        return event(kind, store=str(self.store_said), **fields)

    @property
    def shared(self) -> bool:
        """Whether other gateways may work on the store."""
        return self._database.shared

    @property
    def newest(self) -> Mark:
        """The newest change of the store that is known here to have been committed."""
        return self._database.newest

    async def store(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction in the store's thread. Raises `GatewayError("store-unavailable")`."""
        if self.quick is None:
            return await self._database.run(function, *args, **kwargs)
        before = self._database.made
        result = await self._database.run(function, *args, **kwargs)
        if self._database.made != before:
            self.quick.tell()
        return result

    async def use_step(self, person: str, step: int) -> bool:
        """Use a time step of a person's codes: True for one caller of all. Raises `GatewayError`."""
        # both have to agree, so what one of them has forgotten is refused by the other
        if self.quick is not None and not await self.quick.use_step(person, step):
            return False
        return await self.store(people.use_step, person, step)

    def ready(self) -> None:
        """Nothing while new access may be given. Raises `GatewayError` where what gateways share cannot be asked."""
        if self.quick is not None and self.quick.outage is not None:
            raise GatewayError.of(self.quick.outage)

    async def look(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a function that only reads."""
        return await self._database.look(function, *args, **kwargs)

    async def work(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Something short that blocks, in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lookups, lambda: function(*args, **kwargs))

    async def find(self, login: str) -> Principal | None:
        """The directory's person of that login; a suspended one is inactive.

        Raises `GatewayError("directory-unavailable")`.
        """
        return self.standing.seen(await self.work(self.directory.find, login))

    async def by_id(self, person: str) -> Principal | None:
        """The directory's person of that id; a suspended one is inactive.

        Raises `GatewayError("directory-unavailable")`.
        """
        return self.standing.seen(await self.work(self.look_up, person))

    async def present(self, person: str) -> Principal | Refusal:
        """The person of that id as the directory has him now. Raises `GatewayError("directory-unavailable")`."""
        found = await self.by_id(person)
        if found is None or not found.active:
            return Refusal("person-inactive", "the directory says that you are not active")
        return found

    def look_up(self, person: str) -> Principal | None:
        """What the directory itself says of that id; blocks. Raises `GatewayError("directory-unavailable")`."""
        found = self.directory.by_id(person)
        # FAIL CLOSED: an answer about somebody else is none
        return found if found is not None and found.id == person else None

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
