"""Previews against a real PostgreSQL: masked and scoped as for any client, whatever the target answers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House

from gateway.admitted import SETTLED, Claims, Settled, Windows
from gateway.budgets import Budgets
from gateway.config import load_config
from gateway.demo.company import TARGET
from gateway.demo.data import CUSTOMER
from gateway.engines.postgres_preview import PostgresPreview
from gateway.engines.previews import MOST_ROWS
from gateway.engines.targets import Targets
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.literals.blobs import Blobs
from gateway.literals.keyring import Keyring
from gateway.literals.seal import Seals
from gateway.model import Grant, GrantState, Peer, Preview, Principal, Session, Ticket
from gateway.record import Form
from gateway.sql.cache import PlanCache
from gateway.sql.rooms import analyse, free_literals, normalise, telling
from gateway.sql.worker import Workers
from gateway.store.database import Database


class Records:
    """A trail in memory."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def append(self, record: Mapping[str, Any], *, urgent: bool = True) -> Settled:
        self.kept.append(dict(record))
        return SETTLED

    def append_form(self, form: Form, values: tuple[int | str, ...], *, urgent: bool = True) -> Settled:
        return self.append(form.record(values), urgent=urgent)


async def _never(*_: object) -> Refusal:
    return Refusal("approval-required", "nothing is written here")


class Window:
    """The previews of a gateway that has the house's configuration and none of its listeners."""

    def __init__(self, house: House) -> None:
        config = load_config(house.company.config, {})
        self.runner = asyncio.Runner()
        self.trail = Records()
        self.blobs = Blobs(Path(tempfile.mkdtemp()))
        self.targets = Targets(config, config.master_key.read(), self.trail, lambda *_: None)  # type: ignore[arg-type]
        self.workers = Workers()
        gate = Gate(
            trail=self.trail,  # type: ignore[arg-type]
            check=lambda _: None,
            view=self.targets.view,
            plans=PlanCache(analyse, free_literals, str),
            normalise=lambda text, view: normalise(text, view.policy),
            workers=self.workers,
            budgets=Budgets(time.time),
            claims=Claims(_never, lambda *_: None),
            windows=Windows(),
            seals=Seals(Keyring(b"k" * 32, Database(""), lambda: datetime.now(UTC)), self.blobs, telling),
        )
        self.previews = PostgresPreview(gate, self.targets.upstreams, self.targets.session_pins, 10.0)
        self.runner.run(self.targets.refresh())

    def look(self, text: str, **fields: Any) -> Preview | Refusal:
        return self.runner.run(self.previews.run(_session(**fields), text))

    def close(self) -> None:
        async def stop() -> None:
            self.targets.close()
            await self.workers.close()
            await asyncio.sleep(0.1)

        self.runner.run(stop())
        self.runner.close()
        self.blobs.close()


def _session(**fields: Any) -> Session:
    now = datetime.now(UTC)
    grant = Grant(
        "preview_1", "req_1", "p-bob", TARGET, "file", "SUP-1423", (str(CUSTOMER),), frozenset(), False,
        GrantState.ACTIVE, now, now + timedelta(minutes=1),
    )  # fmt: skip
    ticket = Ticket("SUP-1423", "file", "t", "open", "alice", (str(CUSTOMER),))
    person = Principal("p-bob", "bob", "Bob", frozenset({"security"}))
    return Session("s1", person, replace(grant, **fields), ticket, None, "totp", now, Peer("127.0.0.1:1"), now)


@pytest.fixture(scope="module")
def window(house: House) -> Iterator[Window]:
    made = Window(house)
    yield made
    made.close()


def test_rows_are_masked_and_are_the_customers_own(window: Window, house: House) -> None:
    found = window.look("select id, company_id, email, salary from employees order by id limit 3")
    assert isinstance(found, Preview)
    assert found.columns == ("id", "company_id", "email", "salary")
    promised = house.promised()[:3]
    assert [dict(zip(found.columns, row, strict=True)) for row in found.rows] == [
        {name: one[name] for name in found.columns} for one in promised
    ]
    assert {row[1] for row in found.rows} == {str(CUSTOMER)}
    assert not found.more


def test_what_the_grant_reveals_is_clear_and_nothing_else(window: Window, house: House) -> None:
    reveal = frozenset({("public.employees", "email")})
    found = window.look("select email, iban from employees order by id limit 2", reveal=reveal)
    assert isinstance(found, Preview)
    truth = house.truth("select email, iban from employees where company_id = %s order by id limit 2", CUSTOMER)
    assert [row[0] for row in found.rows] == [row[0] for row in truth]
    assert not {row[1] for row in found.rows} & {row[1] for row in truth}


def test_a_large_table_is_cut_and_its_statement_stopped(window: Window, house: House) -> None:
    found = window.look("select a.id from employees a, employees b, employees c")
    assert isinstance(found, Preview)
    assert (len(found.rows), found.more) == (MOST_ROWS, True)
    end = [record for record in window.trail.kept if record["kind"] == "statement.end"][-1]
    assert (end["status"], end["rows"]) == ("cut", MOST_ROWS)
    time.sleep(0.3)
    running = house.truth("select count(*) from pg_stat_activity where state = 'active' and query like '%employees%'")
    assert running[0][0] <= 1  # this question itself


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("update employees set status = 'x'", None),
        ("select * from pg_authid", "relation-not-available"),
        ("select 1; select 2", "statement-not-allowed"),
        ("set timezone to 'UTC'", "statement-not-allowed"),
        ("select 1 / (id - id) from employees", "target-error"),
        ("select nothing from employees", "column-not-available"),
    ],
)
def test_what_is_no_preview_is_refused_and_its_end_recorded(window: Window, text: str, code: str | None) -> None:
    outcome = window.look(text)
    assert isinstance(outcome, Refusal), outcome
    assert code is None or outcome.code in (code, "target-error")
    assert window.trail.kept[-1]["kind"] == "session.end"
