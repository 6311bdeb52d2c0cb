"""A small world for the access rooms: a clock that is set, sources in memory, a trail that can be held or broken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
from access_sql import Look, Sql

from gateway.access.service import Access, AccessSettings, Challenge, SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal, Session, Ticket
from gateway.policy.schema import AccessRule, Policy, TicketRule
from gateway.ports import Heard, Sighting
from gateway.store.database import Database
from gateway.wire.auth import ScramVerifier, make_verifier

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEER = Peer("192.0.2.7:50001", "psql", "postgres", "TLSv1.3", "alice+SUP-1423")


class Time:
    """A wall clock and a monotonic clock that move together, when told to."""

    def __init__(self) -> None:
        self.now, self.mono = START, 1000.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.mono += seconds


class Held:
    """A receipt."""

    def __init__(self, index: int) -> None:
        self.index, self.durable, self.failed = index, False, False
        self._callbacks: list[Callable[[Any], Any]] = []

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        if self.durable or self.failed:
            callback(self)
        else:
            self._callbacks.append(callback)

    def settle(self, *, durable: bool) -> None:
        self.durable, self.failed = durable, not durable
        for callback in self._callbacks:
            callback(self)


class MemoryTrail:
    """Records in a list; `mode` is `durable`, `hold`, `fail` or `broken`."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.receipts: list[Held] = []
        self.mode = "durable"

    def append(self, record: Mapping[str, Any]) -> Held:
        if self.mode == "broken":
            raise GatewayError("audit-not-writable", "the audit trail cannot be written")
        receipt = Held(len(self.records))
        self.records.append(dict(record))
        self.receipts.append(receipt)
        if self.mode != "hold":
            receipt.settle(durable=self.mode == "durable")
        return receipt

    async def appended(self, count: int) -> Held:
        """The receipt of the record after `count` records, once it was appended."""
        for _ in range(1000):
            if len(self.receipts) > count:
                break
            await asyncio.sleep(0.002)
        return self.receipts[count]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


class MemoryDirectory:
    """People in a dictionary; `down` makes every question fail; `asked` counts password checks."""

    def __init__(self, people: list[Principal]) -> None:
        self.people = {person.login: person for person in people}
        self.down = False
        self.asked = 0

    def find(self, login: str) -> Principal | None:
        self._up()
        return self.people.get(login)

    def by_id(self, person: str) -> Principal | None:
        self._up()
        return next((one for one in self.people.values() if one.id == person), None)

    def check_password(self, login: str, password: str) -> Principal | None:
        self.asked += 1
        person = self.find(login)
        return person if person is not None and person.active and password == f"{login}-secret" else None

    def recent(self, people: Collection[str]) -> dict[str, Heard | Refusal]:
        if self.down:
            return dict.fromkeys(people, Refusal("directory-unavailable", "the directory cannot be asked"))
        return {one: Heard(self.by_id(one), math.inf) for one in people}

    def change(self, login: str, /, **fields: Any) -> None:
        self.people[login] = replace(self.people[login], **fields)

    def _up(self) -> None:
        if self.down:
            raise GatewayError("directory-unavailable", "the directory cannot be asked")


class MemoryTickets:
    """Tickets in a dictionary; `down` makes every question fail."""

    system = "memory"

    def __init__(self, tickets: list[Ticket]) -> None:
        self.tickets = {ticket.id: ticket for ticket in tickets}
        self.down = False

    def find(self, ticket_id: str) -> Ticket | None:
        if self.down:
            raise GatewayError("ticket-source-unavailable", "the ticket source cannot be asked")
        return self.tickets.get(ticket_id)

    def recent(self, ticket_ids: Collection[str]) -> dict[str, Sighting | Refusal]:
        if self.down:
            return dict.fromkeys(ticket_ids, Refusal("ticket-source-unavailable", "the ticket source cannot be asked"))
        return {one: Sighting(self.tickets.get(one), math.inf) for one in ticket_ids}

    def change(self, ticket_id: str, /, **fields: Any) -> None:
        self.tickets[ticket_id] = replace(self.tickets[ticket_id], **fields)


PEOPLE = [
    Principal("p1", "alice", "Alice", frozenset({"support"}), "alice@example.com"),
    Principal("p2", "amir", "Amir", frozenset({"support"}), "amir@example.com"),
    Principal("p3", "bob", "Bob", frozenset({"security"}), "bob@example.com"),
    Principal("p4", "bea", "Bea", frozenset({"security"}), "bea@example.com"),
    Principal("p5", "dan", "Dan", frozenset({"engineering"}), "dan@example.com"),
    Principal("p6", "ada", "Ada", frozenset({"platform"}), "ada@example.com"),
    Principal("p7", "alice2", "Alice again", frozenset({"support", "security"}), "Alice@example.com"),
]

TICKETS = [
    Ticket("SUP-1423", "memory", "Payslip missing", "open", "alice", ("42",)),
    Ticket("SUP-1424", "memory", "Second of Alice's", "open", "alice", ("43",)),
    Ticket("SUP-1430", "memory", "Done", "closed", "alice", ("42",)),
    Ticket("SUP-1440", "memory", "Amir's", "open", "amir", ("44",)),
    Ticket("SUP-1450", "memory", "Nobody's data", "open", "alice", ()),
    Ticket("SUP-1460", "memory", "Dan's", "open", "dan", ("45",)),
    Ticket("OPS-1", "memory", "Another project", "open", "alice", ("42",)),
]

POLICY = Policy(
    "payroll",
    "digest-1",
    AccessRule(
        teams=frozenset({"support"}),
        ticket=TicketRule(("SUP",), ("open",)),
        direct_login=True,
        auto_approve="masked_reads",
        approver_teams=frozenset({"security"}),
    ),
    tables={},
    reveal={"public.employees": frozenset({"email", "iban"})},
)
GUARDED = replace(POLICY, target="guarded", access=replace(POLICY.access, direct_login=False))


class World:
    """Everything around one `Access`, and the steps that most stories begin with."""

    def __init__(self, path: Any = "", *, directory: Any = None, tickets: Any = None) -> None:
        self.time, self.trail = Time(), MemoryTrail()
        self.directory = MemoryDirectory(list(PEOPLE)) if directory is None else directory
        self.tickets = MemoryTickets(list(TICKETS)) if tickets is None else tickets
        self.policies = {"payroll": POLICY, "guarded": GUARDED}
        self.secrets: dict[str, str] = {}
        self.recovery: dict[str, tuple[str, ...]] = {}
        self.settings = AccessSettings(b"k" * 32, administrators=frozenset({"platform"}), grace_s=5.0)
        self.path = path
        self.database = Database(path)
        self.study, self.look = Sql(self), Look(self)
        self.access = self.make()

    def make(self) -> Access:
        return Access(
            self.settings,
            directory=self.directory,
            tickets=self.tickets,
            policies=self.policies.get,
            trail=self.trail,
            database=self.database,
            study=self.study,
            preview=self.look,
            clock=self.time,
            monotonic=self.time.monotonic,
        )

    def restart(self) -> None:
        """Stop and start again on the same store."""
        self.close()
        self.database = Database(self.path)
        self.access = self.make()

    def restart_settings(self, **settings: Any) -> None:
        """Another `Access` with other settings on the same, open store."""
        self.access.close()
        self.settings = replace(self.settings, **settings)
        self.access = self.make()

    def close(self) -> None:
        self.access.close()
        self.database.close()

    async def enrol(self, *logins: str) -> None:
        for login in logins:
            invitation = await self.access.invite(None, login, PEER)
            assert isinstance(invitation, str)
            begun = await self.access.enrol_begin(login, f"{login}-secret", invitation, PEER)
            assert not isinstance(begun, Refusal)
            self.secrets[login] = begun.secret
            codes = await self.access.enrol_finish(login, f"{login}-secret", invitation, self.code(login), PEER)
            assert not isinstance(codes, Refusal)
            self.recovery[login] = codes
        self.time.advance(30)

    def code(self, login: str, *, steps: int = 0) -> str:
        """What the person's app shows now, or that many steps away."""
        return pyotp.TOTP(self.secrets[login]).at(int(self.time.now.timestamp()) + 30 * steps)

    async def sign_in(self, login: str) -> SignIn:
        """A sign-in with a fresh code; enrols first, and moves time so that the next code is another one."""
        if login not in self.secrets:
            await self.enrol(login)
        signin = await self.access.sign_in(login, f"{login}-secret", self.code(login), PEER)
        assert isinstance(signin, SignIn), signin
        self.time.advance(30)
        return signin

    async def session(self, login: str = "alice", ticket: str = "SUP-1423", target: str = "payroll") -> Session:
        """An open session by a pass."""
        opened = await self.access.open(await self.sign_in(login), target=target, ticket=ticket, peer=PEER)
        assert not isinstance(opened, Refusal), opened
        challenge = self.access.challenge(opened.user, target, PEER, tls=True)
        session = await self.access.admit_pass(challenge, proves(challenge, opened.secret), PEER)
        assert isinstance(session, Session), session
        return session

    async def direct(self, user: str, secret: str, target: str = "payroll") -> Session | Refusal:
        """A direct login over TLS."""
        return await self.access.admit_direct(self.access.challenge(user, target, PEER, tls=True), secret, PEER)

    def last(self, kind: str = "login") -> dict[str, Any]:
        return self.trail.of(kind)[-1]


def prove(challenge: Challenge, secret: str) -> tuple[Challenge, bool]:
    """The challenge as a client that knows the secret leaves it, and whether it proved anything."""
    for place in range(1 + len(challenge.others)):
        if proves(challenge.proven(place), secret):
            return challenge.proven(place), True
    return challenge, False


def proves(challenge: Challenge, secret: str) -> bool:
    """What a client that knows the secret would achieve against the challenge."""
    verifier = ScramVerifier.parse(challenge.verifier)
    return make_verifier(secret, verifier.iterations, verifier.salt) == challenge.verifier
