"""How long a start takes to count again what a day used of the budgets: `python -m loadtests restart [STATEMENTS]`.

The records are those that the gate writes for a statement of ordinary size, of a hundred sessions of twenty people.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.admitted import Admitted, Claims, Windows
from gateway.audit.checkpoint import create_signer
from gateway.audit.log import FileLog
from gateway.budgets import Budgets
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.ledger import EVERY_RECORDS, Ledger
from gateway.literals.blobs import Blobs
from gateway.literals.keyring import Keyring
from gateway.literals.seal import Seals
from gateway.model import Grant, GrantState, Outcome, Peer, Permit, Principal, Session, Statement, Ticket
from gateway.policy.schema import AccessRule, LimitRule, Policy, TicketRule
from gateway.sql.cache import PlanCache
from gateway.sql.catalog import Catalog
from gateway.sql.postgres import telling
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.worker import Workers
from gateway.store.database import Database

STATEMENTS = 250_000
_SESSIONS, _PEOPLE = 100, 20
_COLUMNS = tuple(f"public.employees.column_{number}" for number in range(12))
_PLAN = Plan(
    "", (Kind.READ,), ("SELECT",), "select * from employees e where id = $1 " * 3,
    "SELECT masked FROM (SELECT …) e " * 20,
    "0123456789abcdef", ("public.employees",), _COLUMNS[:6], _COLUMNS[6:], scope=("public.employees.company_id",),
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print the figures."""
    statements = int(arguments[0]) if arguments else STATEMENTS
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measured(Path(directory), statements))


async def _measured(directory: Path, statements: int) -> int:
    log = FileLog.open(
        directory / "audit",
        origin="loadtests",
        key=create_signer(directory / "audit.key", "loadtests"),
        clock=lambda: datetime.now(UTC),
        time_ns=time.time_ns,
    )
    database, budgets = Database(directory / "gateway.sqlite"), Budgets(time.time)
    ledger = Ledger(budgets, log, database, time.time)
    gate, now = _gate(log, budgets), datetime.now(UTC)
    sessions = [gate.enter(_session(number, now)) for number in range(_SESSIONS)]
    for number in range(statements):
        _run(gate, sessions[number % _SESSIONS], number)
        if number % 1000 == 0:
            log.flush()
        if number == statements - EVERY_RECORDS // 2:
            await ledger.summarise()
    log.flush()
    size = sum(path.stat().st_size for path in (directory / "audit" / "segments").glob("*.log"))
    print(f"{log.size:,} records, {size / 1e6:,.0f} MB")
    empty = Database("")
    for what, store in (("from the last summary", database), ("without a summary", empty)):
        counted = Ledger(found := Budgets(time.time), log, store, time.time)
        began = time.perf_counter()
        records = counted.restore()
        print(f"{what}: {records:,} records counted in {time.perf_counter() - began:.2f} s")
        if found.used() != budgets.used():
            print("the counts differ", file=sys.stderr)
            return 1
    log.close()
    for one in (database, empty):
        one.close()
    return 0


def _gate(log: FileLog, budgets: Budgets) -> Gate:
    access = AccessRule(frozenset({"support"}), TicketRule(("SUP",), ("open",)))
    limits = LimitRule(rows_per_day=10**9, bytes_per_day=10**12)
    view = View(Policy("payroll", "0123456789abcdef", access, {}, limits), Catalog(), ("42",))

    async def nothing(_session: Session, _digest: str) -> Refusal | None:
        return None

    keyring = Keyring(bytes(32), Database(""), lambda: datetime.now(UTC))
    return Gate(
        trail=log,
        check=lambda _: None,
        view=lambda _: view,
        plans=PlanCache(lambda _text, _view: _PLAN, lambda _text, _policy: frozenset(), str),
        normalise=lambda text, _view: text,
        workers=Workers(),
        budgets=budgets,
        claims=Claims(nothing, lambda _session, _digest: None),
        windows=Windows(),
        seals=Seals(keyring, Blobs(log.directory.with_name("sealed")), telling),
    )


def _session(number: int, now: datetime) -> Session:
    person = Principal(f"p-{number % _PEOPLE:03}", f"person{number % _PEOPLE}", "Somebody", frozenset({"support"}))
    grant = Grant(
        f"grant_{number}", f"req_{number}", person.id, "payroll", "tickets", "SUP-1423", ("42",), frozenset(), False,
        GrantState.ACTIVE, now, now,
    )  # fmt: skip
    ticket = Ticket("SUP-1423", "tickets", "Payslip", "open", person.login, ("42",))
    peer = Peer("192.0.2.7:50000", "psql", tls="TLSv1.3", user=f"{person.login}+SUP-1423")
    return Session(f"session_{number:016}", person, grant, ticket, f"pass_{number}", "totp", now, peer, now)


def _run(gate: Gate, inside: Admitted, number: int) -> None:
    permit = gate.admit(inside, Statement(f"{inside.session.id}.{number}", "select"))
    if isinstance(permit, Permit):
        gate.settle(inside, permit, Outcome("ok", 10, 1000, duration_us=900, tag="SELECT 10"))
