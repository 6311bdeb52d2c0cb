"""Locust: support engineers who open a ticket with a code of their own, look something up, think, and come back.

`python -m loadtests engineers` starts the servers and runs this file without its web page. Each person enrols an
authenticator, signs in with password and code, opens a ticket, and works on it over an ordinary psycopg connection.
What the gateway must refuse is asked for as well, and counts as a failure when it is not refused with the right
SQLSTATE, as does every row of a customer that is not the ticket's.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from locust import User, between, events, task

from gateway.demo.actor import Actor, Authenticator, Entrance
from loadtests.engineers import FACTS

T = TypeVar("T")

REFUSED = (
    ("select notes from employees", "42703"),
    ("select * from pg_authid", "42P01"),
    ("update employees set status = 'left' where id = 1", "25006"),
    ("update employees set salary = 1", "42501"),
    ("select pg_read_file('/etc/passwd')", "42501"),
    ("drop table employees", "25006"),
)
"""What nobody may do, with the SQLSTATE that says so."""

_facts: dict[str, Any] = json.loads(Path(os.environ[FACTS]).read_text())
_staff: queue.Queue[dict[str, Any]] = queue.Queue()
for _one in _facts["staff"]:
    _staff.put(_one)
# locust logs everything; each call of the API is in its table already
logging.getLogger("httpx2").setLevel(logging.WARNING)


def judge(environment: Any, **_: Any) -> None:
    """Exit with 1 unless everybody worked, nothing failed, and nothing fell over."""
    runner, total = environment.runner, environment.stats.total
    entered = environment.stats.get("sign in", "gateway").num_requests
    if total.num_failures or runner.exceptions or not entered or not _staff.empty():
        environment.process_exit_code = 1


events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]


class Wrong(Exception):
    """The gateway answered, but not as it must."""


class Engineer(User):
    """One person with a psycopg connection that is reopened now and then."""

    wait_time = between(0.2, 1.5)

    def on_start(self) -> None:
        self.one = _staff.get_nowait()
        login = self.one["login"]
        self.random = random.Random(login)  # each has habits of their own, the same in every run
        self.refusals = self.random.randrange(len(REFUSED))
        entrance = Entrance(_facts["api"], Path(_facts["ca"]), Path(_facts["local"]))
        authenticator = Authenticator(Path(_facts["home"]) / f"{login}.json")
        self.actor = Actor(login, self.one["password"], authenticator, entrance, lambda _sentence: None)
        self.connection: psycopg.Connection[Any] | None = None
        self.timed("enrol", self.actor.enrol)
        self.timed("sign in", self.actor.sign_in)
        self.take_ticket()

    def on_stop(self) -> None:
        if self.connection is not None:
            self.connection.close()

    @task(1)
    def take_ticket(self) -> None:
        """Turn to a ticket and open it; the old pass and its sessions are left behind."""
        ticket = self.random.choice(sorted(self.one["tickets"]))
        self.customer = self.one["tickets"][ticket]
        self.opened = self.timed("open a ticket", lambda: self.actor.open(ticket))
        self.reconnect()

    @task(2)
    def reconnect(self) -> None:
        """Close the client and open it again."""
        if self.connection is not None:
            self.connection.close()
        self.connection = self.timed("connect", self._connect)

    @task(8)
    def look_up(self) -> None:
        """A few employees, by a clear column."""
        department = self.random.choice(("ADM", "FIN", "HR", "IT", "OPS"))
        text = "select * from employees where department = %s order by id limit 20"
        self.of_customer(self.ask("look up employees", text, department), place=1)

    @task(4)
    def join(self) -> None:
        """The latest payslips with their owners."""
        text = (
            "select p.id, e.company_id, e.last_name, p.period, p.net from payslips p "
            "join employees e on e.id = p.employee_id order by p.period desc, p.id limit %s"
        )
        self.of_customer(self.ask("join payslips", text, self.random.choice((10, 50, 200))), place=1)

    @task(3)
    def aggregate(self) -> None:
        """A number for the customer's HR."""
        text = "with d as (select department, count(*) as n from employees group by 1) select * from d order by n desc"
        self.ask("aggregate", text)

    @task(2)
    def search(self) -> None:
        """Who wrote to us? An exact search that may find nobody."""
        address = f"somebody.{self.random.randrange(10**6)}@customer.example"
        self.ask("exact search", "select first_name, phone from employees where email = %s", address)

    @task(2)
    def peep(self) -> None:
        """Other customers have no rows, whatever the filter."""
        rows = self.ask("other customers", "select id from employees where company_id <> %s", self.customer)
        if rows:
            self.wrong("other customers", f"{len(rows)} rows of other customers")

    @task(2)
    def ask_what_is_refused(self) -> None:
        """Each of these must be refused, and the session must go on."""
        text, state = REFUSED[self.refusals % len(REFUSED)]
        self.refusals += 1
        self.ask("refusals", text, refused=state)

    def ask(self, name: str, text: str, *parameters: Any, refused: str = "") -> list[tuple[Any, ...]]:
        """The rows of a statement; with `refused`, none, and it must fail so."""

        def work() -> list[tuple[Any, ...]]:
            assert self.connection is not None
            try:
                rows = self.connection.execute(text.encode(), parameters or None).fetchall()
            except psycopg.Error as error:
                if not refused or self.connection.closed:
                    raise
                if error.sqlstate != refused:
                    raise Wrong(f"`{text}` was refused with {error.sqlstate}: {error}") from error
                return []
            if refused:
                raise Wrong(f"`{text}` was not refused")
            return rows

        try:
            return self.timed(name, work)
        except (psycopg.Error, Wrong):
            if self.connection is None or self.connection.closed:
                self.reconnect()
            return []

    def of_customer(self, rows: list[tuple[Any, ...]], place: int) -> None:
        """A row of another customer is a failure, whatever else went well."""
        foreign = {row[place] for row in rows} - {self.customer}
        if foreign:
            self.wrong("scope", f"rows of customers {sorted(foreign)} on a ticket of {self.customer}")

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """Do it, and tell locust how long it took or how it failed."""
        start = time.perf_counter()
        fault: Exception | None = None
        try:
            return work()
        except Exception as error:
            fault = error
            raise
        finally:
            self._tell(name, (time.perf_counter() - start) * 1000, fault)

    def wrong(self, name: str, sentence: str) -> None:
        """Count a wrong answer as a failure."""
        self._tell(name, 0.0, Wrong(sentence))

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            **_facts["database"], user=self.opened["user"], password=self.opened["password"], autocommit=True
        )

    @staticmethod
    def _tell(name: str, took_ms: float, fault: Exception | None) -> None:
        events.request.fire(  # type: ignore[no-untyped-call]
            request_type="gateway",
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=fault,
            context={},
        )
