"""Two gateways on one store in PostgreSQL: what is done at one holds at the other, at once or within the interval."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, eventually
from nodes import call, open_nodes, sign_in

from gateway.audit.verify import verify_log
from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres

INTERVAL_S = 0.25


@pytest.fixture(scope="module")
def nodes(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[House]]:
    with open_nodes(tmp_path_factory.mktemp("nodes"), postgres, "two_nodes") as houses:
        yield houses


def connect(house: House, opened: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**house.login_as(opened["user"], opened["password"]), autocommit=True)


def test_who_opens_at_one_works_through_the_other(nodes: list[House]) -> None:
    one, other = nodes
    opened = one.actor("alice").open(TICKET)
    with connect(other, opened) as connection:
        assert connection.execute("select count(*) from employees").fetchone() is not None
    # each trail has its own part, and holds
    assert any(record["kind"] == "pass.minted" for record in one.records())
    begun = [record for record in other.records() if record["kind"] == "session.begin"]
    assert begun[-1]["grant"] == opened["grant"]


def test_a_revocation_at_one_cuts_the_session_at_the_other_within_the_interval(nodes: list[House]) -> None:
    one, other = nodes
    opened = one.actor("alice").open(TICKET)
    with connect(other, opened) as connection:
        connection.execute("select 1")
        one.actor("alice").revoke(opened["grant"], "enough")
        began = time.monotonic()

        def cut() -> bool:
            try:
                connection.execute("select count(*) from employees")
            except psycopg.Error:
                return True
            return False

        eventually(cut, patience_s=3.0)
        assert time.monotonic() - began < 8 * INTERVAL_S
    ended = [record for record in other.records() if record["kind"] == "session.end"][-1]
    assert ended["code"] == "grant-revoked"
    with pytest.raises(psycopg.OperationalError):
        connect(other, opened)


def test_a_code_is_taken_once_by_all_together(nodes: list[House]) -> None:
    actor = nodes[0].actor("bob")
    for _ in range(2):
        code = actor.code()
        meet = threading.Barrier(6)

        def tried(number: int, code: str = code, meet: threading.Barrier = meet) -> int:
            meet.wait()
            return sign_in(nodes[number % 2], "bob", code).status_code

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(tried, range(6))) == [200, 401, 401, 401, 401, 401]


def test_failures_at_both_lock_at_both(nodes: list[House]) -> None:
    nodes[0].actor("carol")
    for number in range(6):
        assert sign_in(nodes[number % 2], "carol", "000000").status_code == 401
    for house in nodes:
        assert sign_in(house, "carol", "000000").status_code == 401
        refused = [record for record in house.records() if record["kind"] == "login"][-1]
        assert (refused["login"], refused["code"]) == ("carol", "too-many-attempts")


def test_a_sign_in_is_known_everywhere_and_over_everywhere(nodes: list[House]) -> None:
    one, other = nodes
    token = sign_in(one, "alice", one.actor("alice").code()).json()["token"]
    assert call(other, "/grants", token=token).status_code == 200
    assert call(other, "/sign-out", {}, token=token).status_code in (200, 204)
    eventually(lambda: call(one, "/grants", token=token).status_code == 401, patience_s=2.0)


def test_two_approvers_at_two_gateways_make_one_grant(nodes: list[House]) -> None:
    one = nodes[0]
    token = sign_in(one, "alice", one.actor("alice").code()).json()["token"]
    reveal = ["public.employees.email"]
    asked = call(one, "/open", {"ticket": TICKET, "reveal": reveal, "reason": "to call back"}, token=token)
    assert asked.json()["code"] == "approval-required", asked.text
    request = asked.json()["request"]["id"]
    approver = sign_in(one, "bob", one.actor("bob").code()).json()["token"]
    meet = threading.Barrier(2)

    def approve(house: House) -> int:
        meet.wait()
        return call(house, f"/requests/{request}/approve", {"reason": "fine"}, token=approver).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(approve, nodes))
    assert answers.count(200) == 1
    grants = [one for one in call(one, "/grants", token=token).json()["grants"] if one["request"] == request]
    assert len(grants) == 1


def test_a_reset_at_one_ends_everything_at_the_other(nodes: list[House]) -> None:
    one, other = nodes
    amir = one.actor("amir")
    opened = amir.open("SUP-1425")
    with connect(other, opened) as connection:
        connection.execute("select 1")
        with httpx2.HTTPTransport(uds=str(one.company.state / "admin.sock")) as transport:
            client = httpx2.Client(transport=transport, base_url="http://local/v1")
            assert client.post("/people/amir/reset-factor").is_success
            client.close()
        eventually(lambda: connection.closed or _fails(connection), patience_s=3.0)


def _fails(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.Error:
        return True
    return False


def test_trails_of_both_hold(nodes: list[House]) -> None:
    for house in nodes:
        report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
        assert report.ok, report.problems
        assert {record["origin"] for record in house.records()} == {house.records()[0]["origin"]}


def test_a_gateway_that_was_killed_leaves_nothing_locked(nodes: list[House]) -> None:
    one, other = nodes
    one.gateway.kill()
    try:
        began = time.monotonic()
        assert sign_in(other, "alice", one.actor("alice").code()).status_code == 200
        assert time.monotonic() - began < 35.0
    finally:
        one.gateway.start()
    assert Path(one.company.state / "gateway.sqlite").exists() is False


def test_a_budget_is_one_for_all_gateways(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    limits = {"rows_per_day": 40, "rows_per_statement": 1000}
    with open_nodes(tmp_path, postgres, "budgets", limits=limits) as (one, other):
        opened = one.actor("alice").open(TICKET)
        with connect(one, opened) as here, connect(other, opened) as there:
            assert len(here.execute("select n from generate_series(1, 30) n").fetchall()) == 30
            time.sleep(2.5)
            with pytest.raises(psycopg.Error) as refused:
                there.execute("select n from generate_series(1, 30) n").fetchall()
            assert "row-budget-exhausted" in str(refused.value.diag.message_detail)
            time.sleep(2.5)
            with pytest.raises(psycopg.Error):
                here.execute("select 1")
        other.gateway.stop()
        other.gateway.start()
        with connect(other, opened) as there, pytest.raises(psycopg.Error):
            there.execute("select 1")
