"""The literals of one gateway with everything that is its own: store, files, trail, index, gate and acts."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.access.context import durable
from gateway.admitted import Admitted, Claims, Windows
from gateway.audit.checkpoint import create_signer, load_signer
from gateway.audit.log import FileLog
from gateway.audit.search import Query, Search
from gateway.audit.verify import verify_log
from gateway.budgets import Budgets
from gateway.engines.postgres_flow import with_values
from gateway.gate import Gate
from gateway.literals.service import Literals
from gateway.model import Grant, GrantState, Peer, Permit, Principal, Session, Statement, Ticket
from gateway.policy.load import parse_policy
from gateway.sql.cache import Judgement, PlanCache
from gateway.sql.catalog import Catalog, Column, Relation
from gateway.sql.rooms import free_literals, judged, normalise, telling
from gateway.sql.statement import View
from gateway.store.acts import Act, ActState
from gateway.store.database import Database
from gateway.wire import postgres as wire

MASTER = b"m" * 32
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
POLICY = """
target: payroll
{extra}
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open]}}
  duration: {{default: 1h, max: 8h}}
  auto_approve: masked_reads
  approvers: {{teams: [audit]}}
limits: {{exact_searches_per_hour: 1000}}
tables:
  public.people:
    scope: none
    columns: {{id: clear, email: {{mask: email, search: exact, identifier: true}}, city: clear}}
"""


def catalog() -> Catalog:
    columns = (
        Column("id", 1, "integer", "integer", "N"), Column("email", 2, "text", "text", "S"),
        Column("city", 3, "text", "text", "S"),
    )  # fmt: skip
    return Catalog({"public.people": Relation("public", "people", 16_384, "r", columns)})


class World:
    """One life of a gateway over a directory; several may follow one another."""

    def __init__(self, directory: Path, *, now: datetime = NOW, extra: str = "", days: int = 90) -> None:
        self.directory, self.now = directory, now
        self.runner = asyncio.Runner()
        directory.mkdir(exist_ok=True)
        key = directory / "audit.key"
        if not key.exists():
            create_signer(key, "test/log")
        self.policy = parse_policy(POLICY.format(extra=extra))
        self.closed = False
        self.failures: list[BaseException] = []
        self.numbers = itertools.count(1)
        self.runner.run(self._begin(key, days))

    async def _begin(self, key: Path, days: int) -> None:
        loop = asyncio.get_running_loop()
        self.trail = FileLog.open(
            self.directory / "audit", origin="test/log", key=load_signer(key), clock=self.clock, loop=loop,
            segment_bytes=256 << 10,
        )  # fmt: skip
        self.database = Database(self.directory / "gateway.sqlite")
        self.search = Search(self.directory / "audit", self.trail.verifier, durable=lambda: self.trail.durable_size)
        self.literals = Literals(
            MASTER, self.directory, self.database, telling, days, self.failures.append,
            lambda: self.now.timestamp(),
        )  # fmt: skip
        acts: Any = SimpleNamespace(register=lambda _: None)
        self.held: dict[str, str] = {}
        self.literals.attach(acts, self.search, self.trail, self._hold)
        await self.literals.begin()
        view = View(self.policy, catalog(), ("42",))
        self.plans = PlanCache(judged, free_literals, str)
        self.gate = Gate(
            trail=self.trail, check=lambda _: None, view=lambda _: view, plans=self.plans,
            normalise=lambda text, view: normalise(text, view.policy),
            workers=None, budgets=Budgets(time.time), claims=Claims(None, lambda *_: None),  # type: ignore[arg-type]
            windows=Windows(), seals=self.literals.seals,
        )  # fmt: skip

    async def _hold(self, customer: str) -> str:
        return self.held.get(customer, "") if customer else next(iter(self.held.values()), "")

    def clock(self) -> datetime:
        return self.now

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def enter(self, *customers: str) -> Admitted:
        return self.run(self._enter(customers or ("42",)))

    async def _enter(self, customers: tuple[str, ...]) -> Admitted:
        grant = Grant(
            "g1", "r1", "u1", "payroll", "tickets", "SUP-1", customers, frozenset(), False, GrantState.ACTIVE, NOW, NOW
        )
        person = Principal("u1", "alice", "Alice", frozenset({"support"}))
        ticket = Ticket("SUP-1", "tickets", "t", "open", "alice", customers)
        session = Session(f"s{next(self.numbers)}", person, grant, ticket, "p1", "totp", NOW, Peer("127.0.0.1:5"), NOW)
        return self.gate.enter(session)

    def ask(self, inside: Admitted, text: str, *values: Any, formats: tuple[int, ...] = ()) -> dict[str, Any]:
        """Run a text, with values bound to it if there are any; answers the record."""
        return self.run(self._ask(inside, text, values, formats))

    async def _ask(
        self, inside: Admitted, text: str, values: tuple[Any, ...], formats: tuple[int, ...]
    ) -> dict[str, Any]:
        name = f"{inside.session.id}.{next(self.numbers)}"
        if values:
            verdict = self.gate.judge(inside, text)
            assert isinstance(verdict, Judgement), verdict
            raw = [one if one is None or isinstance(one, bytes) else str(one).encode() for one in values]
            body = wire.encode_bind(b"", b"", raw, formats)[5:]
            found = self.gate.admit(inside, Statement(name, "", "execute", len(values)), with_values(verdict, body, 2))
        else:
            found = self.gate.admit(inside, Statement(name, text))
        receipt = found.receipt
        assert receipt is not None, found
        await durable(receipt)
        # a search of raw values has a record of its own, which is the last one
        record = (await asyncio.to_thread(self.search.search, Query(statement=name, newest_first=False)))[0]
        assert (record["kind"] == "statement.begin") is isinstance(found, Permit)
        return record

    def act(self, does: str, private: str = "", **subject: str) -> Any:
        """What carrying out a confirmed act gives."""
        act = Act("act_1", does, subject, "why", "u8", ActState.CONFIRMED, NOW, decided_by="u9")
        carry = self.literals.opening.carry if does == "unseal" else self.literals.erasing.carry
        return self.run(
            carry(act, private, Principal("u9", "carol", "Carol", frozenset({"audit"})), Peer("127.0.0.1:7"))
        )

    def opened(self, record: dict[str, Any]) -> Any:
        """What unsealing a record answers."""
        return self.act("unseal", record=str(record["index"]))

    def records(self, kind: str) -> list[dict[str, Any]]:
        self.trail.flush()
        return self.search.search(Query(kind=kind, newest_first=False))

    def everything_on_disk(self) -> bytes:
        """All files of the gateway's own, one behind the other."""
        self.trail.flush()
        self.literals.seals.blobs.flush()
        return b"".join(path.read_bytes() for path in sorted(self.directory.rglob("*")) if path.is_file())

    def verified(self) -> bool:
        """Whether the trail, closed, is whole."""
        return verify_log(self.directory / "audit", self.trail.verifier.text).ok

    def close(self) -> None:
        self.run(self.literals.close())
        self.search.close()
        self.database.close()
        self.trail.rest()
        self.trail.close()
        self.runner.close()
        self.closed = True


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)
