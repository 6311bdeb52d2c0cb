"""A relay between two scripted peers, with a trail whose durability the test decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from unsealed import Unsealed

from gateway.admitted import Claims, Windows
from gateway.budgets import Budgets
from gateway.engines.postgres_relay import Relay
from gateway.engines.upstream import Backend, Facts
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Grant, GrantState, Peer, Principal, Session, Ticket, Write
from gateway.policy.schema import AccessRule, LimitRule, Policy, TicketRule
from gateway.record import Form
from gateway.sql.cache import PlanCache
from gateway.sql.catalog import Catalog
from gateway.sql.statement import Kind, Notice, Plan, RawUse, View
from gateway.wire import postgres as wire

WINDOWS = Windows()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeReceipt:
    def __init__(self, index: int, durable: bool) -> None:
        self.index, self.durable, self.failed = index, durable, False
        self.callbacks: list[Callable[[Any], Any]] = []

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        if self.durable or self.failed:
            callback(self)
        else:
            self.callbacks.append(callback)

    def decide(self, durable: bool) -> None:
        self.durable, self.failed = durable, not durable
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback(self)


class FakeTrail:
    """Records in memory; durable at once unless `slow`."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.receipts: list[FakeReceipt] = []
        self.slow = False
        self.broken = False

    def append(self, record: Mapping[str, Any], *, urgent: bool = True) -> FakeReceipt:
        if self.broken:
            raise GatewayError("audit-not-writable", "the audit trail cannot be written")
        receipt = FakeReceipt(len(self.records), not self.slow)
        self.records.append(dict(record))
        self.receipts.append(receipt)
        return receipt

    def append_form(self, form: Form, values: tuple[int | str, ...], *, urgent: bool = True) -> FakeReceipt:
        return self.append(form.record(values), urgent=urgent)

    def flush(self, durable: bool = True) -> None:
        for receipt in [r for r in self.receipts if not r.durable and not r.failed]:
            receipt.decide(durable)

    def kinds(self) -> list[str]:
        return [record["kind"] for record in self.records]


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def take(self) -> bytes:
        data, self.written = self.written, b""
        return data


def analyse(text: str, _view: View) -> Plan | Refusal:
    """A stand-in for the SQL room: `no…` is refused, `find…` searches, `remark…` has a notice, `write…` writes."""
    if text.startswith("no"):
        return Refusal("relation-not-available", "the relation `x` does not exist", hint="ask")
    searches = (RawUse("public.employees", "email"),) if text.startswith("find") else ()
    notices = (Notice("compared with masked values"),) if text.startswith("remark") else ()
    uses = (("cursor", "c"),) if text.startswith("FETCH") else ()
    defines = (("cursor", "c"),) if text.startswith("declare") else ()
    relations = (f"public.{text.split()[-1]}",) if text.startswith(("read", "declare")) else ()
    write = None
    if text.startswith("write"):
        approval = "statement" if "approved" in text else "request"
        write = Write("UPDATE", "public.employees", ("status",), 2, approval, text, f"digest of {text}")
    verb = "EXPLAIN" if text.startswith("explain") else "SELECT"
    return Plan(
        f"/*rewritten*/ {text}", (Kind.WRITE if write else Kind.READ,), (verb,), f"<{text}>", "<rewritten>", "f",
        relations, raw_uses=searches, notices=notices, uses=uses, defines=defines, repin=text.startswith("reset"),
        write=write,
    )  # fmt: skip


def policy(**limits: int) -> Policy:
    access = AccessRule(frozenset({"support"}), TicketRule(("SUP",), ("open",)))
    return Policy("payroll", "digest", access, {}, LimitRule(**limits))


def session(*, write: bool = False, statement: str = "") -> Session:
    grant = Grant(
        "g1", "r1", "u1", "payroll", "tickets", "SUP-1", ("42",), frozenset(), write, GrantState.ACTIVE, NOW, NOW,
        statement=statement,
    )  # fmt: skip
    person = Principal("u1", "alice", "Alice", frozenset({"support"}))
    ticket = Ticket("SUP-1", "tickets", "t", "open", "alice", ("42",))
    return Session("s1", person, grant, ticket, "p1", "totp", NOW, Peer("127.0.0.1:5"), NOW)


class Dialogue:
    """Drive it with `client` and `target`; read what either side got with `sent_up` and `sent_down`."""

    def __init__(
        self,
        windows: Windows = WINDOWS,
        restore: str = "",
        *,
        write: bool = False,
        statement: str = "",
        seals: Any = None,
        **limits: int,
    ) -> None:
        self.trail = FakeTrail()
        self.check: Refusal | None = None
        self.claims: list[str] = []
        self.released: list[str] = []
        self.unclaimable: Refusal | None = None
        view = View(policy(**limits), Catalog(), ("42",), write=write)
        self.gate = Gate(
            trail=self.trail,
            check=lambda _session: self.check,
            view=lambda _session: view,
            plans=PlanCache(analyse, lambda _text, _policy: frozenset(), str),
            normalise=lambda text, _view: f"<{text}>",
            workers=self,  # type: ignore[arg-type]
            budgets=Budgets(NOW.timestamp),
            claims=Claims(self.claim, lambda _session, digest: self.released.append(digest)),
            windows=windows,
            seals=seals or Unsealed(),
        )
        self.down, self.up = FakeTransport(), FakeTransport()
        backend = Backend()
        backend.transport = self.up  # type: ignore[assignment]
        backend.facts = Facts({"client_encoding": "UTF8", "TimeZone": "UTC"}, 7, b"key4")
        self.cancelled: list[Facts] = []

        self.ended = False
        self.relay = Relay(
            self.down,  # type: ignore[arg-type]
            wire.Framer(),
            backend,
            SimpleNamespace(cancel_soon=self.cancelled.append),  # type: ignore[arg-type]
            self.gate,
            self.gate.enter(session(write=write, statement=statement)),
            closed=lambda _relay: setattr(self, "ended", True),
            restore=restore,
        )
        self.trail.records.clear()
        self.trail.receipts.clear()

    async def analyse(self, text: str, view: View, person: str) -> Plan | Refusal:
        """In place of the worker processes."""
        return analyse(text, view)

    async def claim(self, _session: Session, digest: str) -> Refusal | None:
        """In place of the approvals."""
        self.claims.append(digest)
        return self.unclaimable

    def client(self, *messages: bytes) -> list[tuple[int, bytes]]:
        """The client sends; answers what the target got."""
        self.relay.client_data(b"".join(messages))
        return wire.Framer().feed(self.up.take())

    def target(self, *messages: bytes) -> list[tuple[int, bytes]]:
        """The target sends; answers what the client got."""
        self.relay.backend_data(b"".join(messages))
        return self.received()

    def received(self) -> list[tuple[int, bytes]]:
        return wire.Framer(1 << 30).feed(self.down.take())


def row(*values: str) -> bytes:
    return wire.encode_data_row(values)


def error(sqlstate: str, message: str) -> bytes:
    return wire.encode_error("ERROR", sqlstate, message, detail="DETAIL quotes 4111", hint="HINT quotes 4111")


def ready(status: bytes = b"I") -> bytes:
    return wire.encode_ready(status)


def kinds(messages: list[tuple[int, bytes]]) -> str:
    return "".join(chr(kind) for kind, _ in messages)
