"""One statement from the wish to the row: asked for, looked at, approved, run once, through commands and a database."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, merge, open_house

from gateway.demo.company import TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

WRITE = {"public.employees": {"update": ["status"], "rows": 2, "approval": "statement"}}


@pytest.fixture(scope="module")
def desk(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway whose policy lets one column be written, statement by statement, with a role that may."""
    with open_house(tmp_path_factory.mktemp("desk"), postgres) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        change_yaml(path, lambda tree: merge(tree, {"write": WRITE}))
        house.gateway.stop()
        house.gateway.start()
        yield house


@pytest.fixture
def employee(desk: House) -> Iterator[tuple[int, str]]:
    """Somebody of the customer's, whose status is put back afterwards."""
    (found,) = desk.truth("select id, status from employees where company_id = %s order by id limit 1", CUSTOMER)
    yield found
    desk.truth("update employees set status = %s where id = %s returning id", found[1], found[0])


def run(house: House, login: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command of somebody who signed in beforehand."""
    if not (house.directory / "home" / login / "gateway" / "session.json").exists():
        signed_in = house.command(login, "login", login, otp=True)
        assert signed_in.returncode == 0, signed_in.stderr
    done = house.command(login, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(house: House, login: str, *words: str, code: int = 0) -> Any:
    return json.loads(run(house, login, *words, "--output", "json", code=code).stdout)


def connect(opened: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(opened["uri"], autocommit=True)


def waiting(house: House, statement: str) -> str:
    found = answer(house, "alice", "open", TICKET, "--statement", statement, "--reason", "typo", code=77)
    return str(found["request"]["id"])


def test_a_statement_is_seen_approved_and_run_once(desk: House, employee: tuple[int, str]) -> None:
    number, before = employee
    statement = f"update employees set status = 'on_leave' where id = {number} and status = '{before}'"
    request = waiting(desk, statement)
    with connect(answer(desk, "alice", "open", TICKET)) as reading, pytest.raises(psycopg.Error) as refused:
        reading.execute(statement)
    assert refused.value.sqlstate in ("25006", "42501")

    assert run(desk, "bob", "approve", request, code=77).stdout.count(str(number))
    shown = run(desk, "bob", "show", request).stdout
    assert statement in shown
    assert "it would meet 1 row" in shown
    assert "UPDATE public.employees (status), at most 2 rows" in shown
    assert run(desk, "alice", "approve", request, "--yes", code=77).stderr.count("refused (not-in-team)")
    assert answer(desk, "bob", "approve", request, "--yes")["state"] == "approved"

    opened = answer(desk, "alice", "open", TICKET, "--statement", f"/* go */ {statement.upper().lower()}")
    assert opened["write"]
    with connect(opened) as writing:
        for other in (statement.replace("on_leave", "gone"), statement + " or true"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                writing.execute(other)
        assert writing.execute(statement).rowcount == 1
        assert desk.truth("select status from employees where id = %s", number) == [("on_leave",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="approved statement was let run already"):
            writing.execute(statement)
        assert writing.execute("select count(*) from employees").fetchone()
    records = [one for one in desk.records() if one.get("request") == request]
    kinds = [one["kind"] for one in records]
    assert kinds.index("request") < kinds.index("request.preview") < kinds.index("grant") < kinds.index("write.claimed")
    assert "on_leave" not in repr(records)
    # what was asked for, seen, approved, claimed and run is one and the same
    kinds = {"request", "request.preview", "grant", "write.claimed", "statement.begin"}
    said = {(one["kind"], one["digest"]) for one in records if one["kind"] in kinds and "digest" in one}
    assert said == {(kind, opened["statement"]) for kind in kinds}
    looked = next(one for one in records if one["kind"] == "session.begin" and one["login"] == "bob")
    assert (looked["application"], looked["grant"].split("_")[0]) == ("preview of a request", "preview")


def test_of_many_connections_at_once_one_runs_it(desk: House, employee: tuple[int, str]) -> None:
    number, _ = employee
    statement = f"update employees set status = status where id = {number}"
    request = waiting(desk, statement)
    run(desk, "bob", "approve", request, "--yes")
    opened = answer(desk, "alice", "open", TICKET, "--statement", statement)
    connections = [connect(opened) for _ in range(6)]
    outcomes: list[str] = []
    barrier = threading.Barrier(len(connections))

    def execute(connection: psycopg.Connection[Any]) -> None:
        barrier.wait()
        try:
            outcomes.append(str(connection.execute(statement).rowcount))
        except psycopg.Error as error:
            outcomes.append(error.sqlstate or "")

    threads = [threading.Thread(target=execute, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()
    assert sorted(outcomes) == ["1", *["42501"] * 5]
    claims = [one for one in desk.records() if one["kind"] == "write.claimed" and one["request"] == request]
    assert len(claims) == 1


def test_a_statement_that_failed_had_no_effect_and_may_be_tried_again(desk: House, employee: tuple[int, str]) -> None:
    statement = f"update employees set status = 'x' where company_id = {CUSTOMER}"
    request = waiting(desk, statement)
    assert "so it would be refused when it runs" in run(desk, "bob", "show", request).stdout
    run(desk, "bob", "approve", request, "--yes")
    with connect(answer(desk, "alice", "open", TICKET, "--statement", statement)) as writing:
        for _ in range(3):
            with pytest.raises(psycopg.Error) as raised:
                writing.execute(statement)
            assert raised.value.sqlstate == "53400"
    assert desk.truth("select count(*) from employees where status = 'x'") == [(0,)]
    kinds = [one["kind"] for one in desk.records() if one.get("request") == request]
    assert kinds.count("write.claimed") == kinds.count("write.released") == 3


@pytest.mark.parametrize(
    ("statement", "code", "exits"),
    [
        ("update employees set salary = 1 where id = 1", "column-not-writable", 77),
        ("delete from employees where id = 1", "read-only", 77),
        ("update employees set status = $1 where id = 1", "request-invalid", 1),
        ("select 1", "request-invalid", 1),
        ("update employees set status = 'x' where id = 1; select 1", "statement-not-allowed", 77),
        ("drop table employees", "read-only", 77),
        ("update employees set", "syntax-error", 1),
    ],
)
def test_what_could_never_run_is_refused_when_it_is_asked_for(
    desk: House, statement: str, code: str, exits: int
) -> None:
    done = run(desk, "alice", "open", TICKET, "--statement", statement, code=exits)
    assert f"refused ({code})" in done.stderr
    assert "waits for" not in done.stderr


def test_reading_and_writing_side_by_side_each_with_its_own_pass(desk: House, employee: tuple[int, str]) -> None:
    statement = f"update employees set status = status where id = {employee[0]} and true"
    reading = answer(desk, "alice", "open", TICKET)
    request = waiting(desk, statement)
    run(desk, "bob", "approve", request, "--yes")
    writing = answer(desk, "alice", "open", TICKET, "--statement", statement)
    assert reading["user"] == writing["user"]
    assert reading["grant"] != writing["grant"]
    for opened in (reading, writing, reading):
        with connect(opened) as connection:
            connection.execute("select 1")
    grants = {one.get("grant") for one in desk.records() if one["kind"] == "login" and one["decision"] == "permit"}
    assert {reading["grant"], writing["grant"]} <= grants
    with connect(reading) as connection, pytest.raises(psycopg.Error):
        connection.execute(statement)
    with connect(writing) as connection:
        assert connection.execute(statement).rowcount == 1


def test_a_long_statement_is_studied_where_it_can_be_stopped(desk: House, employee: tuple[int, str]) -> None:
    longer = f"update employees set status = status where id = {employee[0]}" + " and id > 0" * 100
    request = waiting(desk, longer)
    assert "it would meet 1 row" in run(desk, "bob", "show", request).stdout


def test_a_statement_means_what_it_meant_to_its_approver_whatever_its_client_has_set(
    desk: House, employee: tuple[int, str]
) -> None:
    statement = f"update employees set status = ('03/04/2026'::date)::text where id = {employee[0]}"
    request = waiting(desk, statement)
    run(desk, "bob", "approve", request, "--yes")
    opened = answer(desk, "alice", "open", TICKET, "--statement", statement)
    with psycopg.connect(opened["uri"], autocommit=True, options="-c DateStyle=SQL,DMY -c TimeZone=Asia/Tokyo") as mine:
        assert mine.info.parameter_status("DateStyle") == "ISO, MDY"
        for change in ("set datestyle = 'SQL, DMY'", "select set_config('DateStyle', 'SQL, DMY', false)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                mine.execute(change)
        for harmless in ("set datestyle = 'ISO'", "reset all", "discard all"):
            mine.execute(harmless)
        assert mine.execute(statement).rowcount == 1
    assert desk.truth("select status from employees where id = %s", employee[0]) == [("2026-03-04",)]


def test_a_session_that_may_write_can_give_it_up_and_have_it_back(desk: House, employee: tuple[int, str]) -> None:
    statement = f"update employees set status = status where id = {employee[0]} and 1 = 1"
    request = waiting(desk, statement)
    run(desk, "bob", "approve", request, "--yes")
    with connect(answer(desk, "alice", "open", TICKET, "--statement", statement)) as writing:
        for give_up in (
            "set session characteristics as transaction read only",
            "set default_transaction_read_only = on",
        ):
            writing.execute(give_up)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                writing.execute(statement)
            writing.execute("reset default_transaction_read_only")
        writing.execute("set default_transaction_read_only = on")
        writing.execute("set session characteristics as transaction read write")
        assert writing.execute(statement).rowcount == 1
    with connect(answer(desk, "alice", "open", TICKET)) as reading:
        for take in ("set session characteristics as transaction read write", "begin read write"):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reading.execute(take)
        for harmless in ("reset all", "discard all", "reset default_transaction_read_only"):
            reading.execute(harmless)
            assert reading.execute("show transaction_read_only").fetchall() == [("on",)]
