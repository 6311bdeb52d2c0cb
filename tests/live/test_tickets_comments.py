"""Comments on tickets: at least once over outages and crashes, once as a rule, never in the way (`ticket.comment`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ticket_cases import Case, jira, loaded, source_settings
from vendor_server import Asked, Told, VendorServer, going_wrong

from gateway.access.tickets.comments import Comments
from gateway.access.tickets.sources import open_sources
from gateway.model import Grant, GrantState, Principal
from gateway.store.database import Database

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ALICE = Principal("p1", "alice", "Alice Martin", frozenset({"support", "fitness"}), "alice@example.com")


class Desk:
    """Comments over a real store and a stand-in for Jira; `again` is a new process on the same store."""

    def __init__(self, directory: Path, case: Case, server: VendorServer, comment: str) -> None:
        self.case, self.server, self.now = case, server, START
        settings = source_settings(case, server.url, directory, comment=comment, timeout="1s")
        self.sources = open_sources(loaded(directory, settings).tickets)
        self.database = Database(directory / "store.sqlite")
        self.records: list[Mapping[str, Any]] = []
        self.comments = self.again()

    def again(self) -> Comments:
        def append(kind: str, fields: Mapping[str, Any]) -> None:
            assert kind == "ticket.comment"
            self.records.append(fields)

        return Comments(self.sources.remote, append, self.database, lambda: self.now)

    def announce(self, state: GrantState = GrantState.ACTIVE, *, system: str = "jira-cloud") -> None:
        grant = Grant(
            id="grant_1", request_id="req_1", person="p1", target="payroll", ticket_system=system,
            ticket_id=self.case.id, customers=("42",), reveal=frozenset(), write=False, state=state,
            created_at=START, expires_at=START + timedelta(hours=1), ended_reason="a reason that somebody typed",
        )  # fmt: skip
        asyncio.run(self.comments.announce(grant, ALICE, frozenset({"support"})))

    def work(self, after_s: float = 0) -> None:
        self.now += timedelta(seconds=after_s)
        asyncio.run(self.comments.put_due())

    @property
    def texts(self) -> list[str]:
        assert self.case.comments is not None
        return self.case.comments()


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    case = jira()
    case.put()
    with VendorServer(case.vendor) as server:
        found = Desk(tmp_path, case, server, getattr(request, "param", "login"))
        yield found
        found.comments.close()
        found.sources.close()
        found.database.close()


def test_the_ticket_is_told_who_until_when_and_that_it_ended(desk: Desk) -> None:
    desk.announce()
    desk.work()
    desk.announce(GrantState.REVOKED)
    desk.work()
    first, second = desk.texts
    assert "alice may read its customer's data in payroll until 2026-03-01 10:30 UTC." in first
    assert "[gateway grant_1 begin]" in first
    assert "was ended" in second
    for text in (first, second):
        assert all(private not in text for private in ("Martin", "example.com", "p1", "typed", "fitness", "42"))
    assert desk.records == []


@pytest.mark.parametrize("desk", ["team"], indirect=True)
def test_it_can_name_the_team_only(desk: Desk) -> None:
    desk.announce()
    desk.work()
    assert "somebody of support may read" in desk.texts[0]
    assert "alice" not in desk.texts[0]


@pytest.mark.parametrize("desk", ["off"], indirect=True)
def test_it_can_be_off(desk: Desk) -> None:
    desk.announce()
    desk.work()
    assert desk.server.asked == []


def test_other_systems_tickets_are_told_nothing(desk: Desk) -> None:
    desk.announce(system="tickets")
    desk.work()
    assert desk.server.asked == []


def test_an_outage_is_told_once_and_the_comment_comes_later(desk: Desk) -> None:
    desk.announce()
    with going_wrong(desk.server, Told(500)):
        desk.work()
        desk.work(10)
        desk.work(20)
    assert [record["state"] for record in desk.records] == ["failed"]
    desk.work(900)
    assert len(desk.texts) == 1
    assert [record["state"] for record in desk.records] == ["failed", "made"]
    desk.work(3600)
    assert len(desk.texts) == 1


def test_one_whose_answer_was_lost_is_not_put_twice(desk: Desk) -> None:
    desk.announce()

    def put_and_say_nothing(asked: Asked) -> Told:
        desk.case.vendor.answer(asked)
        return Told(502)

    with going_wrong(desk.server, put_and_say_nothing):
        desk.work()
    desk.work(60)
    assert len(desk.texts) == 1


def test_a_crash_forgets_none(desk: Desk) -> None:
    desk.announce()
    desk.comments.close()
    desk.comments = desk.again()
    desk.work()
    assert len(desk.texts) == 1
    desk.work(3600)
    assert len(desk.texts) == 1


@pytest.mark.parametrize(
    "told", [Told(201), Told(200, []), Told(201, body=b"{"), Told(403, {"error": "read only"})], ids=str
)
def test_an_answer_that_is_none_is_a_failure_and_no_fault(desk: Desk, told: Told) -> None:
    desk.announce()
    with going_wrong(desk.server, told):
        desk.work()
        desk.work(60)
    assert {record["state"] for record in desk.records} <= {"failed", "made"}
    assert desk.sources.remote["jira-cloud"].outage is None


def test_after_a_day_it_is_given_up_and_told(desk: Desk) -> None:
    desk.announce()
    with going_wrong(desk.server, Told(500)):
        desk.work()
        desk.work(86_401)
    desk.work(3600)
    assert desk.texts == []
    assert [record["state"] for record in desk.records] == ["failed", "given up"]


def test_a_store_that_cannot_be_used_keeps_nobody_from_access(desk: Desk) -> None:
    desk.database.run_now(lambda connection: connection.exec_driver_sql("DROP TABLE ticket_comments"))
    desk.announce()
    assert [record["state"] for record in desk.records] == ["failed"]
    desk.work()
