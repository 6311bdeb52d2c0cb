"""A whole API in one process: real access, real trail, no socket; time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest

from gateway.access.directory.file import FileDirectory
from gateway.access.passwords import hash_password
from gateway.access.service import Access, AccessSettings
from gateway.access.tickets.file import FileTickets
from gateway.alerts.alerting import case_settings
from gateway.alerts.cases import Cases
from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.search import Query, Search
from gateway.config import load_config
from gateway.console.app import create_app, create_local_app
from gateway.custody.custody import Custody
from gateway.errors import Refusal
from gateway.model import Preview, Session, Write
from gateway.policy.load import parse_policy
from gateway.store.database import Database

POLICY = """
target: payroll
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  auto_approve: masked_reads
  approvers: {teams: [security]}
tables:
  public.employees:
    scope: company_id = ticket.customer
    columns: {id: clear, company_id: clear, email: {mask: email}}
reveal:
  public.employees: [email]
write:
  public.employees: {update: [id]}
"""
STATEMENT = "update employees set id = 8 where id = 7"
TICKETS = """
tickets:
  - {id: SUP-1, title: Payslip, status: open, assignee: alice, customer: 42}
  - {id: SUP-2, title: Old, status: closed, assignee: alice, customer: 42}
"""
TEAMS = {
    "alice": "support", "bob": "security", "carol": "audit", "dan": "engineering", "eve": "support",
    "frank": "security", "frank2": "security",
}  # fmt: skip
CONFIG = """
origin: example.test/1
state: {state}
tls: {{certificate: server.crt, key: server.key, ca: ca.crt}}
master_key: {{env: UNUSED}}
directory: {{path: people.yaml}}
tickets: {{path: tickets.yaml}}
policies: policies
targets:
  payroll: {{host: /run/postgres, database: payroll, user: reader, password: {{env: UNUSED}}}}
roles: {{administrators: [security], auditors: [audit]}}
audit: {{witness_token: {{file: {witness}}}}}
"""
PASSWORD = "correct horse battery"


def _study(_target: str, _customers: tuple[str, ...], _reveal: object, text: str) -> Write | Refusal:
    """What one statement would write; every other is refused."""
    if text != STATEMENT:
        return Refusal("column-not-available", "`name` may not be written", "`id` may")
    canonical = "UPDATE public.employees SET id = 8 WHERE id = 7"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Write("UPDATE", "public.employees", ("id",), 1, "statement", canonical, digest, "SELECT id")


async def _preview(_session: Session, _text: str) -> Preview:
    return Preview(("id", "email"), (("7", None),))


class Desk:
    """The API, its parts, and people who can sign in at it."""

    def __init__(self, directory: Path) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.runner = asyncio.Runner()
        self.secrets: dict[str, str] = {}
        (directory / "gateway.yaml").write_text(CONFIG.format(state=directory / "state", witness=directory / "token"))
        (directory / "token").write_text("w" * 40 + "\n")
        (directory / "token").chmod(0o600)
        (directory / "tickets.yaml").write_text(TICKETS)
        (directory / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
        hashed = hash_password(PASSWORD)
        people = [
            f"  - {{id: p-{login}, login: {login}, name: {login.title()}, teams: [{team}], password: '{hashed}', "
            f"email: {login.rstrip('2')}@example.test}}"
            for login, team in TEAMS.items()
        ]
        (directory / "people.yaml").write_text("people:\n" + "\n".join(people))
        self.config = load_config(directory / "gateway.yaml", {})
        self.config.state.mkdir(mode=0o700)
        self.run(self._start(directory))

    async def _start(self, directory: Path) -> None:
        signer = Signer.generate("example.test/1")
        self.trail = FileLog.open(
            self.config.audit_path,
            origin="example.test/1",
            key=signer,
            clock=self.clock,
            loop=asyncio.get_running_loop(),
            segment_bytes=1 << 20,
            reserve_bytes=1 << 20,
        )
        self.search = Search(self.config.audit_path, signer.verifier, durable=lambda: self.trail.durable_size)
        self.database = Database(directory / "gateway.sqlite")
        policy = parse_policy(POLICY)
        sources = FileDirectory(directory / "people.yaml"), FileTickets(directory / "tickets.yaml")
        policies = {"payroll": policy}.get
        self.access = Access(
            AccessSettings(
                b"k" * 32,
                frozenset({"security"}),
                frozenset({"audit"}),
                frozenset({"security"}),
                approvers=frozenset({"security"}),
                grace_s=3600.0,
                store_grace_s=3600.0,
            ),
            directory=sources[0],
            tickets=sources[1],
            policies=policies,
            trail=self.trail,
            database=self.database,
            study=_study,
            preview=_preview,
            clock=self.clock,
        )
        self.cases = Cases(self.access.context, case_settings(self.config), lambda _, __: [])
        self.custody = Custody(
            self.config, self.access.context, self.access.acts, self.trail, self.search, lambda *_, **__: None
        )
        self.app = create_app(
            access=self.access,
            trail=self.trail,
            search=self.search,
            config=self.config,
            directory=sources[0],
            policies=policies,
            cases=self.cases,
            custody=self.custody,
            key=signer.verifier.text,
            clock=self.clock,
        )
        self.local = create_local_app(access=self.access, custody=self.custody)

    def clock(self) -> datetime:
        """The moment that the test chose."""
        return self.now

    def run(self, work: Any) -> Any:
        """Run a coroutine on the loop of the parts."""
        return self.runner.run(work)

    def pass_time(self, **span: float) -> None:
        """Move the clock on."""
        self.now += timedelta(**span)

    def call(self, method: str, path: str, token: str = "", *, app: Any = None, **options: Any) -> httpx2.Response:
        """One request without a socket."""

        async def request() -> httpx2.Response:
            transport = httpx2.ASGITransport(app or self.app, client=("192.0.2.7", 40000))
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            headers |= options.pop("headers", {})
            async with httpx2.AsyncClient(transport=transport, base_url="https://gw.example.test") as client:
                return await client.request(method, path, headers=headers, **options)

        response: httpx2.Response = self.run(request())
        return response

    def enrol(self, login: str) -> list[str]:
        """Give a person a second factor over the API; returns the recovery codes."""
        invited = self.call("POST", f"/v1/people/{login}/invite", app=self.local).json()
        proof = {"login": login, "password": PASSWORD, "invitation": invited["invitation"]}
        self.secrets[login] = self.call("POST", "/v1/enrol/begin", json=proof).json()["secret"]
        answer = self.call("POST", "/v1/enrol/finish", json=proof | {"otp": self.code(login)})
        assert answer.status_code == 200, answer.text
        codes: list[str] = answer.json()["recovery_codes"]
        return codes

    def code(self, login: str) -> str:
        """The person's code of the moment."""
        return pyotp.TOTP(self.secrets[login]).at(self.now)

    def sign_in(self, login: str) -> str:
        """A token of the person, who is given a factor first when there is none."""
        if login not in self.secrets:
            self.enrol(login)
        self.pass_time(seconds=30)
        body = {"login": login, "password": PASSWORD, "otp": self.code(login)}
        answer = self.call("POST", "/v1/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def records(self, **filters: Any) -> list[dict[str, Any]]:
        """What the trail holds, oldest first."""
        self.trail.flush()
        return self.search.search(Query(**filters, limit=1000, newest_first=False))

    def close(self) -> None:
        """Stop the parts."""

        async def stop() -> None:
            self.access.close()
            self.search.close()
            self.database.close()
            await asyncio.to_thread(self.trail.close)

        self.run(stop())
        self.runner.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One desk for a module: tests use people and tickets of their own or only look."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    yield desk
    desk.close()


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk for one test."""
    desk = Desk(tmp_path)
    yield desk
    desk.close()
