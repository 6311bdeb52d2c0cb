"""An emergency from end to end: the glass is broken, rows are read in clear, everybody who must know does."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
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
    with open_house(tmp_path_factory.mktemp("office"), postgres) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        change_yaml(
            path, lambda tree: tree["access"].update({"break_glass": {"teams": ["support"], "duration": "20m"}})
        )
        house.gateway.stop()
        house.gateway.start()
        for login in ("alice", "bob", "carol"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        yield house


def answer(house: House, login: str, *words: str, code: int = 0) -> Any:
    done = house.command(login, *words, "--output", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_an_emergency(office: House) -> None:
    asked = ("open", TICKET, "--reveal", COLUMN, "--reason", "pay run fails")
    assert "approval-required" in answer(office, "alice", *asked, code=77)
    opened = answer(office, "alice", *asked, "--break-glass")
    ((mail,),) = office.truth("select email from employees where company_id = %s order by id limit 1", CUSTOMER)
    with psycopg.connect(opened["uri"], autocommit=True) as connection:
        assert connection.execute("select email from employees order by id limit 1").fetchall() == [(mail,)]
        iban = connection.execute("select iban from employees order by id limit 1").fetchall()
        assert iban != office.truth("select iban from employees where company_id = %s order by id limit 1", CUSTOMER)

    (waiting,) = answer(office, "bob", "reviews")
    assert (waiting["login"], waiting["ticket"], waiting["state"], waiting["reason"]) == (
        "alice", TICKET, "due", "pay run fails",
    )  # fmt: skip
    said = office.command("bob", "reviews").stdout
    assert "alice" in said
    assert "pay run fails" in said
    assert "request-invalid" in answer(
        office, "alice", "review", waiting["grant"], "justified", "--reason", "me", code=1
    )
    done = answer(office, "bob", "review", waiting["grant"], "justified", "--reason", "the run was late")
    assert (done["state"], done["reviewed_by"]) == ("justified", "bob")
    assert answer(office, "bob", "reviews") == []

    rows = answer(office, "carol", "audit", "ask", "break-glass")["rows"]
    assert [(row["kind"], row["login"]) for row in rows] == [
        ("break_glass.opened", "alice"), ("break_glass.review", "alice"), ("break_glass.review", "bob"),
    ]  # fmt: skip
    assert [row.get("decision") for row in rows] == ["permit", "deny", "permit"]
    reveals = answer(office, "carol", "audit", "ask", "reveals")["rows"]
    assert len(reveals) == 1
    begun = answer(office, "carol", "audit", "search", "--kind", "session.begin")
    assert [record.get("break_glass") for record in begun] == [True]


def test_security_is_told_within_seconds(office: House) -> None:
    def told() -> list[Any]:
        return [one for one in answer(office, "bob", "cases", "list") if one["rule"] == "break-glass"]

    eventually(lambda: bool(told()))
    (case,) = told()
    assert (case["severity"], case["state"]) == ("high", "new")
    assert case["title"] == f"alice took access to {TARGET} without approval ({TICKET})"
    with urllib.request.urlopen(f"http://127.0.0.1:{office.company.ports['ops']}/metrics", timeout=10) as page:
        text = page.read().decode()
    assert 'gateway_security_events_total{rule="break-glass"} 1.0' in text
