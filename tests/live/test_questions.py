"""A day at the office, and an auditor who asks: she is answered what happened, and can show it elsewhere."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, eventually, open_house

from gateway.demo.company import CLOSED_TICKET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Alice worked by an open ticket and tried a closed one; her ticket was closed under her; carol is signed in."""
    with open_house(tmp_path_factory.mktemp("office"), postgres) as house:
        with house.connect() as connection:
            assert connection.execute("select id, email from employees").fetchall()
            ((mail,),) = house.truth("select email from employees where company_id = 42 limit 1")
            connection.execute(f"select id from employees where email = '{mail}'").fetchall()
            with pytest.raises(psycopg.Error):
                connection.execute("select * from pg_authid")
        alice = house.actor("alice")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**house.login_as(f"alice+{CLOSED_TICKET}", alice.password + alice.code()))
        with house.connect() as connection:
            connection.execute("select 1").fetchall()
            close_ticket(house)
            eventually(lambda: cut(connection))
        assert house.command("carol", "login", "carol", otp=True).returncode == 0
        yield house


def close_ticket(house: House) -> None:
    def closed(tree: Any) -> None:
        for ticket in tree["tickets"]:
            if ticket["id"] == TICKET:
                ticket["status"] = "closed"

    change_yaml(house.company.directory / "tickets.yaml", closed)


def cut(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.Error:
        return True
    return False


def asked(house: House, *arguments: str) -> dict[str, Any]:
    done = house.command("carol", "--output", "json", "audit", "ask", *arguments)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_she_learns_who_accessed_the_customer_and_why(office: House) -> None:
    ((row),) = asked(office, "customer", "--customer", str(CUSTOMER), "--from", "1d")["rows"]
    begun = [r for r in office.records() if r["kind"] == "statement.begin" and str(CUSTOMER) in r["customers"]]
    assert (row["login"], row["ticket"], row["statements"]) == ("alice", TICKET, len(begun))
    assert row["first"] == begun[0]["index"]


@pytest.mark.parametrize("question", ["subject", "denials", "after-close", "readers", "whole"])
def test_she_is_answered_what_the_records_say(office: House, question: str) -> None:
    answer = asked(office, question)
    records = {record["index"]: record for record in office.records()}
    assert answer["total"] > 0
    for row in answer["rows"]:
        if "record" in row:
            assert records[row["record"]]["time"] == row.get("time", row.get("noticed"))
    if question == "subject":
        assert [(row["relation"], row["column"]) for row in answer["rows"]] == [("public.employees", "email")]
    if question == "denials":
        codes = {(row["login"], row["code"]) for row in answer["rows"]}
        assert {("alice", "ticket-closed"), ("alice", "relation-not-available")} <= codes
    if question == "after-close":
        assert {row["ticket"] for row in answer["rows"]} == {TICKET, CLOSED_TICKET}
        assert [row["statements"] for row in answer["rows"]] == [0, 0]


def test_an_operator_is_answered_nothing(office: House) -> None:
    assert office.command("bob", "login", "bob", otp=True).returncode == 0
    for extra in ((), ("--export", str(office.directory / "stolen"))):
        done = office.command("bob", "audit", "ask", "denials", *extra)
        assert (done.returncode, done.stdout) == (77, "")
        assert "not-in-team" in done.stderr
    assert not (office.directory / "stolen").exists()
    assert [r["code"] for r in office.records() if r["kind"] == "audit.read" and r["login"] == "bob"] == [
        "not-in-team"
    ] * 2


def test_her_export_is_complete_and_anybody_with_the_key_sees_that(office: House, tmp_path: Path) -> None:
    path = office.directory / "export.ndjson"
    done = office.command("carol", "audit", "ask", "person", "--person", "alice", "--export", str(path))
    assert done.returncode == 0, done.stderr
    key = office.command("carol", "audit", "key").stdout.strip()
    told = office.command("dan", "audit", "verify", str(path), "--key", key)
    assert told.returncode == 0, told.stderr
    assert "`person person=alice` has" in told.stderr
    lines = path.read_bytes().split(b"\n")
    number = next(n for n, line in enumerate(lines) if b'"kind":"statement.begin"' in line)
    forged = tmp_path / "forged.ndjson"
    forged.write_bytes(b"\n".join(lines[:number] + lines[number + 1 :]))
    forged.chmod(0o644)
    checked = subprocess.run(
        ["python3", str(Path(__file__).parents[2] / "gateway/audit/verify.py"), str(forged), "--key", key],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (checked.returncode, "TAMPERED" in checked.stdout) == (3, True)


def test_the_index_follows_the_trail_before_anybody_asks(office: House) -> None:
    size = len(office.records())
    index = sqlite3.connect(f"file:{office.company.state / 'audit-index.sqlite'}?mode=ro", uri=True)
    try:
        eventually(lambda: index.execute("SELECT value FROM meta WHERE name = 'next'").fetchone()[0] >= size)
    finally:
        index.close()
