"""Requests, extensions, delegates, suspensions and a review of access, as people type them, against a real target."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, eventually, open_house

from gateway.demo.company import TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

COLUMN = "public.employees.email"


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    limits = {"rows_per_day": 1_000_000}
    with open_house(tmp_path_factory.mktemp("office"), postgres, limits=limits) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        change_yaml(path, lambda tree: tree["access"]["duration"].update({"default": "1h", "max": "2h"}))
        house.gateway.stop()
        house.gateway.start()
        for login in ("alice", "bob", "carol", "dan"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        yield house


def answer(house: House, login: str, *words: str, code: int = 0) -> Any:
    done = house.command(login, *words, "--output", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_a_delegate_approves_what_was_filed_and_an_extension_keeps_the_session(office: House) -> None:
    asked = (TICKET, "--reveal", COLUMN, "--reason", "she cannot be found")
    filed = answer(office, "alice", "request", "new", *asked)
    assert (filed["state"], "bob" in filed["people"]) == ("pending", True)
    assert "not-found" in answer(office, "dan", "request", "show", filed["id"], code=1)
    answer(office, "bob", "delegate", "set", "dan", "--for", "8h", "--reason", "on leave")
    shown = office.command("dan", "request", "show", filed["id"]).stdout
    assert "she cannot be found" in shown
    ((rows,),) = office.truth("select count(*) from employees where company_id = %s", CUSTOMER)
    assert f"public.employees  {rows}" in shown
    assert "request-invalid" in answer(office, "dan", "request", "deny", filed["id"], code=1)
    done = answer(office, "dan", "request", "approve", filed["id"], "--reason", "in order")
    assert (done["state"], done["decided_by"]) == ("approved", ["dan for bob"])

    opened = answer(office, "alice", "open", *asked)
    with psycopg.connect(opened["uri"], autocommit=True) as connection:
        connection.execute("select email from employees limit 1").fetchall()
        waits = office.command(
            "alice", "request", "extend", opened["grant"], "--for", "30m", "--reason", "not found yet"
        )
        assert waits.returncode == 77
        (waiting,) = answer(office, "alice", "status")["requests"]
        assert waiting["extends"] == opened["grant"]
        answer(office, "bob", "approve", waiting["id"])
        mine = answer(office, "alice", "status")
        (grant,) = [one for one in mine["grants"] if one["id"] == opened["grant"]]
        longer = datetime.fromisoformat(grant["expires_at"]) - datetime.fromisoformat(opened["expires_at"])
        assert longer.total_seconds() == 1800
        (rows,) = [one for one in mine["budgets"] if one["budget"] == "rows_per_day"]
        assert (rows["used"], rows["left"]) == (1, 999_999)
        connection.execute("select email from employees limit 1").fetchall()
        (held,) = [one for one in answer(office, "bob", "access", "now")["grants"] if one["id"] == opened["grant"]]
        assert len(held["sessions"]) == 1
    too_long = answer(office, "alice", "request", "extend", opened["grant"], "--for", "45m", "--reason", "x", code=1)
    assert "at most 120 minutes" in too_long


def test_a_suspension_cuts_the_session_and_is_told_to_its_owner_alone(office: House) -> None:
    opened = answer(office, "alice", "open", TICKET)
    with psycopg.connect(opened["uri"], autocommit=True) as connection:
        connection.execute("select 1").fetchall()
        answer(office, "bob", "people", "suspend", "alice", "--reason", "a stolen laptop")
        eventually(lambda: not runs(connection), 5.0)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(opened["uri"])
    told = office.command("alice", "login", "alice", otp=True)
    assert (told.returncode, "person-suspended" in told.stderr) == (77, True)
    (found,) = [one for one in answer(office, "bob", "people", "list") if one["login"] == "alice"]
    assert (found["state"], found["suspended_by"]) == ("suspended", "bob")
    office.gateway.stop()
    office.gateway.start()
    assert office.command("alice", "login", "alice", otp=True).returncode == 77
    answer(office, "bob", "people", "unsuspend", "alice", "--reason", "it was found")
    assert office.command("alice", "login", "alice", otp=True).returncode == 0
    assert answer(office, "alice", "open", TICKET)["target"] == TARGET


def test_a_review_withdraws_what_nobody_confirms_and_its_result_verifies(office: House, tmp_path: Path) -> None:
    with office.connect() as connection:
        connection.execute("select id from employees limit 1").fetchall()
    begun = answer(office, "bob", "access", "review", "start", "--for", "14d")
    lines = answer(office, "bob", "access", "review", "show", begun["id"])["lines"]
    (reads,) = [one for one in lines if (one["login"], one["right"]) == ("alice", "read")]
    assert reads["uses_90d"] >= 1
    assert "of his own" in answer(
        office, "bob", "access", "review", "decide", begun["id"], "keep",
        *[str(one["number"]) for one in lines if one["login"] == "bob"][:1], "--reason", "me", code=1,
    )  # fmt: skip
    answer(office, "bob", "access", "review", "decide", begun["id"], "keep", "--person", "carol", "--reason", "audits")
    answer(office, "bob", "access", "review", "decide", begun["id"], "revoke", "--person", "alice", "--reason", "left")
    assert "not answered" in answer(office, "bob", "access", "review", "close", begun["id"], code=1)
    office.gateway.stop()
    age_review(office, begun["id"])
    office.gateway.start()
    eventually(lambda: answer(office, "carol", "access", "review", "list")[0]["state"] == "closed", 40.0)
    assert "right-withdrawn" in answer(office, "alice", "open", TICKET, code=77)

    place = tmp_path / "result.zip"
    exported = office.command("carol", "access", "review", "show", begun["id"], "--export", str(place))
    assert exported.returncode == 0, exported.stderr
    key = office.company.state / "audit.key.pub"
    verified = office.command("carol", "audit", "verify", str(place), "--key", key.read_text().strip())
    assert verified.returncode == 0, verified.stdout + verified.stderr
    place.write_bytes(place.read_bytes().replace(b"review.json", b"review.jsom"))
    assert office.command("carol", "audit", "verify", str(place), "--key", key.read_text().strip()).returncode != 0

    restored = office.command("root", "access", "restore", "bob", "administer", "--local", "--reason", "the last one")
    assert restored.returncode == 0, restored.stderr
    assert (
        office.command(
            "bob", "access", "restore", "alice", "read", "--target", TARGET, "--reason", "is back"
        ).returncode
        == 0
    )
    assert answer(office, "alice", "open", TICKET)["target"] == TARGET


def runs(connection: psycopg.Connection[Any]) -> bool:
    """Whether a statement still runs in the session."""
    try:
        connection.execute("select 1").fetchall()
    except psycopg.OperationalError:
        return False
    return True


def age_review(house: House, review: str) -> None:
    """Let the deadline of a review be over, in the store of a gateway that is stopped."""
    with contextlib.closing(sqlite3.connect(house.company.state / "gateway.sqlite")) as store, store:
        store.execute("update recertifications set due_at = 1 where id = ?", (review,))
