"""An observed relay between two scripted peers, with a trail whose durability the test decides."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from dialogue import NOW, FakeTrail, FakeTransport, analyse, policy, session
from unsealed import Unsealed

from gateway.admitted import Claims, Windows
from gateway.budgets import Budgets
from gateway.engines.postgres_observed import ObservedRelay
from gateway.engines.upstream import Backend, Facts
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.model import Session
from gateway.sql.cache import PlanCache
from gateway.sql.catalog import Catalog
from gateway.sql.statement import Plan, View
from gateway.wire import postgres as wire


async def _claimed(_session: Session, _digest: str) -> Refusal | None:
    raise AssertionError("an observed session claims nothing")


def _released(_session: Session, _digest: str) -> None:
    raise AssertionError("an observed session gives nothing back")


NO_CLAIMS = Claims(_claimed, _released)
WINDOWS = Windows()


def observed_plan(text: str, view: View) -> Plan:
    """A stand-in for the SQL room: `no…` would be refused, and whatever mentions copy may be one."""
    judged = analyse(text, view)
    if isinstance(judged, Refusal):
        judged = Plan("", (), ("?",), f"<{text}>", "", "f", would=judged)
    return replace(judged, copies="copy" in text)


class Observed:
    """Drive it with `client` and `target`; read what either side got with what they answer, or `sent` and `received`.

    `policy` may be replaced between two messages, as a reload does.
    """

    def __init__(self, windows: Windows = WINDOWS, mode: str = "observe", seals: Any = None, **limits: int) -> None:
        self.trail = FakeTrail()
        self.check: Refusal | None = None
        self.policy = replace(policy(**limits), mode=mode)
        self.gate = Gate(
            trail=self.trail,
            check=lambda _session: self.check,
            view=lambda _session: View(self.policy, Catalog(), ("42",)),
            plans=PlanCache(observed_plan, lambda _text, _policy: frozenset(), str),
            normalise=lambda text, _view: f"<{text}>",
            workers=self,  # type: ignore[arg-type]
            budgets=Budgets(NOW.timestamp),
            claims=NO_CLAIMS,
            windows=windows,
            seals=seals or Unsealed(),
        )
        self.down, self.up = FakeTransport(), FakeTransport()
        backend = Backend()
        backend.transport = self.up  # type: ignore[assignment]
        backend.facts = Facts({"client_encoding": "UTF8", "standard_conforming_strings": "on"}, 7, b"key4")
        self.cancelled: list[Facts] = []
        self.ended = False
        self.errors: list[dict[str, str]] = []

        async def cancel(facts: Facts) -> None:
            self.cancelled.append(facts)

        self.relay = ObservedRelay(
            self.down,  # type: ignore[arg-type]
            wire.Framer(),
            backend,
            SimpleNamespace(cancel_soon=self.cancelled.append, cancel=cancel),  # type: ignore[arg-type]
            self.gate,
            self.gate.enter(session()),
            closed=lambda _relay: setattr(self, "ended", True),
        )
        self.begun = self.trail.records[0]
        self.trail.records.clear()
        self.trail.receipts.clear()

    async def analyse(self, text: str, view: View, _person: str) -> Plan | Refusal:
        """In place of the worker processes."""
        return observed_plan(text, view)

    def client(self, *messages: bytes) -> str:
        """The client sends; answers the types of what the target got."""
        self.relay.client_data(b"".join(messages))
        return self.sent()

    def target(self, *messages: bytes) -> str:
        """The target sends; answers the types of what the client got."""
        self.relay.backend_data(b"".join(messages))
        return self.received()

    def sent(self) -> str:
        """The types of what the target got since the last look."""
        return "".join(chr(kind) for kind, _ in wire.Framer().feed(self.up.take()))

    def received(self) -> str:
        """The same of the client."""
        messages = wire.Framer(1 << 30).feed(self.down.take())
        self.errors += [wire.parse_error_fields(body) for kind, body in messages if kind == wire.ERROR_RESPONSE]
        return "".join(chr(kind) for kind, _ in messages)

    def told(self) -> dict[str, str]:
        """The fields of the error that the client got last."""
        self.received()
        return self.errors[-1]

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The records of that kind so far, `statement.begin` and so on without its first word."""
        return [record for record in self.trail.records if not kind or record["kind"] == f"statement.{kind}"]
