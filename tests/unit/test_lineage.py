"""What the trail knows of the store, and what is done once more where the store went back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.access.standing import Standing
from gateway.audit.checkpoint import Signer, create_signer
from gateway.audit.log import FileLog
from gateway.audit.search import Search
from gateway.errors import GatewayError
from gateway.lineage import Resets, last_known
from gateway.record import event
from gateway.store import people, standing
from gateway.store.changes import Mark
from gateway.store.database import Database
from gateway.store.people import FactorRow

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Trail:
    """A real log whose clock is set, and a store."""

    def __init__(self, place: Path) -> None:
        self.now, self.place = NOW, place
        self.key: Signer = create_signer(place / "audit.key", "test/log")
        self.log = FileLog.open(
            place / "audit", origin="test/log", key=self.key, clock=lambda: self.now, segment_bytes=256 << 10
        )
        self.database = Database("")

    def add(self, kind: str, **fields: Any) -> None:
        self.log.append(event(kind, **fields))
        self.log.flush()

    def known(self) -> Any:
        return last_known(self.place / "audit", self.log.durable_size)

    def again(self) -> Standing:
        search = Search(self.place / "audit", self.key.verifier, durable=lambda: self.log.durable_size)
        lost = Standing(*self.database.run_now(standing.load))
        context: Any = SimpleNamespace(store=self.database.run, standing=lost)
        asyncio.run(Resets(context, search).again())
        search.close()
        return lost

    def close(self) -> None:
        self.log.close()
        self.database.close()


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.close()


def enrolled(trail: Trail, person: str, at: datetime) -> None:
    trail.database.run_now(people.insert_invitation, person.encode(), person, "local", at, at + timedelta(days=1))
    trail.database.run_now(people.begin_enrolment, person.encode(), b"sealed")
    factor = FactorRow(person, "totp", b"sealed", at, 100)
    assert trail.database.run_now(people.finish_enrolment, person.encode(), factor, [person.encode() + b"-1"])


def test_the_last_record_that_names_a_change_is_what_the_trail_knows(trail: Trail) -> None:
    assert trail.known() is None
    trail.add("login", person="p1", store="7.abcdef")
    trail.now += timedelta(minutes=1)
    trail.add("login", person="p1", store="3.fedcba")
    trail.now += timedelta(minutes=1)
    trail.add("log.heartbeat")
    known = trail.known()
    assert (known.mark, known.at) == (Mark(3, "fedcba"), NOW + timedelta(minutes=1))


def test_it_is_found_behind_segments_that_say_nothing(trail: Trail) -> None:
    trail.add("login", person="p1", store="7.abcdef")
    for number in range(3000):
        trail.log.append(event("audit.read", query="x" * 200, count=number))
    trail.log.flush()
    assert len(list((trail.place / "audit" / "segments").iterdir())) > 2
    assert trail.known().mark == Mark(7, "abcdef")


def test_what_somebody_wrote_into_a_record_is_not_taken_for_it(trail: Trail) -> None:
    trail.add("login", person="p1", store="7.abcdef")
    trail.add("login", application='"store":"9.aaaaaa"', user='","store":"9.aaaaaa"')
    assert trail.known().mark == Mark(7, "abcdef")


def test_a_trail_that_cannot_be_read_stops_the_start(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: Any, **__: Any) -> Any:
        raise OSError("input/output error")

    monkeypatch.setattr("gateway.lineage.read_batches", damaged)
    with pytest.raises(GatewayError) as raised:
        trail.known()
    assert raised.value.code == "audit-damaged"


def test_a_factor_that_was_reset_goes_again_and_a_newer_one_stays(trail: Trail) -> None:
    for person in ("p1", "p2", "p3"):
        enrolled(trail, person, NOW)
    trail.now += timedelta(minutes=5)
    trail.add("factor.reset", person="p1", decision="permit")
    trail.add("factor.reset", person="p2", decision="permit")
    trail.add("factor.reset", person="p3", decision="deny")
    trail.database.run_now(people.remove_factor, "p2")
    enrolled(trail, "p2b", NOW)
    trail.database.run_now(people.insert_invitation, b"again", "p2", "local", trail.now, NOW + timedelta(days=1))
    trail.database.run_now(people.begin_enrolment, b"again", b"new")
    newer = FactorRow("p2", "totp", b"new", trail.now + timedelta(minutes=1), 100)
    assert trail.database.run_now(people.finish_enrolment, b"again", newer, [b"again-1"])
    trail.again()
    left = {one: trail.database.run_now(people.find_factor, one) is not None for one in ("p1", "p2", "p3", "p2b")}
    assert left == {"p1": False, "p2": True, "p3": True, "p2b": True}


def test_a_factor_that_was_enrolled_after_the_clock_had_gone_back_stays(trail: Trail) -> None:
    trail.add("log.heartbeat")
    trail.now -= timedelta(hours=2)
    trail.add("factor.reset", person="p1", decision="permit")
    enrolled(trail, "p1", trail.now + timedelta(minutes=1))
    trail.again()
    assert trail.database.run_now(people.find_factor, "p1") is not None


def test_who_was_suspended_last_is_suspended_again(trail: Trail) -> None:
    for person, states in {"p1": ["suspended"], "p2": ["suspended", "lifted"], "p3": ["lifted", "suspended"]}.items():
        for state in states:
            trail.add("person.suspension", person=person, decision="permit", by="p9", state=state, reason="why")
    trail.add("person.suspension", person="p4", decision="deny", by="p9", state="suspended")
    lost = trail.again()
    suspended, _ = trail.database.run_now(standing.load)
    assert sorted(one.person for one in suspended) == ["p1", "p3"]
    assert [lost.suspension(person) is not None for person in ("p1", "p2", "p3", "p4")] == [True, False, True, False]
    assert {(one.suspended_by, one.reason) for one in suspended} == {("p9", "why")}
