"""An approval that is to be used twice, and writes between what breaks a conversation: raw bytes, against a database.

The approved statement adds a letter to a value, so that the value tells how often it ran.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, eventually, merge, open_house
from raw_client import Raw, code_of, error_in, query

from gateway.demo.company import TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.wire import postgres as wire

GRANTED = "update (period) on payslips"
"""What the role of the demonstration has not: a status it may change."""
WRITE = {
    "public.employees": {"update": ["status"], "rows": 2, "approval": "statement"},
    "public.payslips": {"update": ["period"], "rows": 3, "approval": "request"},
}
SYNC = wire.encode_sync()


@pytest.fixture(scope="module")
def desk(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres.sql(f"grant {GRANTED} to {BACKEND_ROLE}")
    try:
        with open_house(tmp_path_factory.mktemp("twice"), postgres) as house:
            change_yaml(
                house.company.directory / "policies" / f"{TARGET}.yaml", lambda tree: merge(tree, {"write": WRITE})
            )
            house.gateway.stop()
            house.gateway.start()
            yield house
    finally:
        postgres.sql(f"revoke {GRANTED} from {BACKEND_ROLE}")


@pytest.fixture
def employee(desk: House) -> Iterator[int]:
    """Somebody of the customer's, whose status is one letter."""
    ((number, before),) = desk.truth(
        "select id, status from employees where company_id = %s order by id limit 1", CUSTOMER
    )
    desk.truth("update employees set status = 'a' where id = %s returning id", number)
    yield number
    desk.truth("update employees set status = %s where id = %s returning id", before, number)


def run(house: House, login: str, *words: str, code: int = 0) -> Any:
    if not (house.directory / "home" / login / "gateway" / "session.json").exists():
        assert house.command(login, "login", login, otp=True).returncode == 0
    done = house.command(login, *words, "--output", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def approved(house: House, statement: str) -> dict[str, Any]:
    """How to connect for a statement that was filed, seen and approved."""
    asked = run(house, "alice", "open", TICKET, "--statement", statement, "--reason", "typo", code=77)
    run(house, "bob", "approve", asked["request"]["id"], "--yes")
    opened: dict[str, Any] = run(house, "alice", "open", TICKET, "--statement", statement)
    return opened


def adding(number: int, tried: str) -> str:
    return f"update employees set status = status || 'x' where id = {number} and '{tried}' <> ''"


def ran(house: House, number: int) -> int:
    ((status,),) = house.truth("select status from employees where id = %s", number)
    return len(status) - 1


def raw(house: House, opened: dict[str, Any]) -> Raw:
    return Raw(house).log_in(opened["user"], opened["password"])


def execution(statement: str, name: bytes = b"") -> bytes:
    return wire.encode_parse(name, statement, ()) + wire.encode_bind(name, name) + wire.encode_execute(name, 0)


def test_one_batch_of_many_executions_runs_it_once(desk: House, employee: int) -> None:
    statement = adding(employee, "one batch")
    with raw(desk, approved(desk, statement)) as client:
        batch = wire.encode_parse(b"s", statement, ())
        for portal in (b"p", b"q", b"r"):
            batch += wire.encode_bind(portal, b"s") + wire.encode_execute(portal, 0)
        client.send(batch + SYNC + query(statement) + execution(statement) + SYNC)
        for _ in range(3):
            assert code_of(error_in(client.until_ready())) == "approval-required"
    # the batch failed as a whole, and so did what it had done: an approval is spent all the same
    assert ran(desk, employee) == 0


def test_a_flush_between_executions_runs_it_once(desk: House, employee: int) -> None:
    statement = adding(employee, "flushes")
    with raw(desk, approved(desk, statement)) as client:
        client.send(
            execution(statement) + SYNC + wire.encode_flush() + execution(statement) + wire.encode_flush() + SYNC
        )
        assert wire.COMMAND_COMPLETE in [kind for kind, _ in client.until_ready()]
        assert code_of(error_in(client.until_ready())) == "approval-required"
    assert ran(desk, employee) == 1


def test_what_was_undone_stays_spent(desk: House, employee: int) -> None:
    statement = adding(employee, "rollback")
    with raw(desk, approved(desk, statement)) as client:
        client.send(
            query("begin") + query("savepoint s") + query(statement) + query("rollback to s") + query(statement)
        )
        for _ in range(4):
            client.until_ready()
        assert code_of(error_in(client.until_ready())) == "approval-required"
        client.query("rollback")
    assert ran(desk, employee) == 0


def test_a_client_that_is_gone_leaves_it_run_at_most_once(desk: House, employee: int) -> None:
    for tried in range(6):
        before = ran(desk, employee)
        statement = adding(employee, f"gone {tried}")
        opened = approved(desk, statement)
        client = raw(desk, opened)
        client.send(query(statement))
        if tried % 2:
            client.reset()
        else:
            client.close()
        with psycopg.connect(opened["uri"], autocommit=True) as again:
            for _ in range(3):
                try:
                    again.execute(statement)
                except psycopg.errors.InsufficientPrivilege:
                    continue
        eventually(lambda: all(one["state"] != "running" for one in desk_sessions(desk)))
        assert ran(desk, employee) - before <= 1


def desk_sessions(house: House) -> list[dict[str, Any]]:
    """What the backend role is running."""
    found = house.truth(
        "select case when state = 'active' then 'running' else 'idle' end from pg_stat_activity where usename = %s",
        BACKEND_ROLE,
    )
    return [{"state": state} for (state,) in found]


def test_a_name_that_stood_for_it_runs_nothing_else(desk: House, employee: int) -> None:
    statement = adding(employee, "names")
    other = statement.replace("'x'", "'yyy'")
    with raw(desk, approved(desk, statement)) as client:
        client.send(wire.encode_parse(b"s", statement, ()) + SYNC)
        client.until_ready()
        # the second Parse fails in the target, as the name is taken; it may not be let run under the first's approval
        client.send(wire.encode_parse(b"s", other, ()) + SYNC)
        client.until_ready()
        client.send(wire.encode_bind(b"", b"s") + wire.encode_execute(b"", 0) + SYNC)
        client.until_ready()
        client.send(query(other))
        assert code_of(error_in(client.until_ready())) == "approval-required"
    assert ran(desk, employee) in (0, 1)


def test_writes_of_many_sessions_between_errors_and_copies(desk: House) -> None:
    asked = run(desk, "alice", "open", TICKET, "--write", "--reason", "periods", code=77)
    run(desk, "bob", "approve", asked["request"]["id"], "--yes")
    opened = run(desk, "alice", "open", TICKET, "--write")
    rows = desk.truth(
        "select p.id, p.period from payslips p join employees e on e.id = p.employee_id where e.company_id = %s"
        " order by p.id limit 6",
        CUSTOMER,
    )
    ((foreign, theirs),) = desk.truth(
        "select p.id, p.period from payslips p join employees e on e.id = p.employee_id where e.company_id <> %s"
        " order by p.id limit 1",
        CUSTOMER,
    )
    faults: list[str] = []

    def work(number: int) -> None:
        # a row for each: of two who write the same one, a serializable one may have to begin anew
        mine = rows[number]
        text = f"update payslips set period = period where id = {mine[0]}"
        parts = [
            (execution(text) + SYNC, "C"), (query("copy (select 1) to stdout") + query(text), "CC"),
            (execution(f"update payslips set period = period where id = {foreign}") + SYNC, "C"),
            (execution("select 1/0") + execution(text, b"n") + SYNC, "E"),
            (query("update payslips set period = period"), "E"), (query("begin read only") + query(text), "CE"),
            (query("rollback"), "C"),
            (query("begin isolation level serializable") + query(text) + query("rollback"), "CCC"),
            (query(text) + wire.encode_flush() + wire.frame(wire.COPY_DONE, b"") + query(text), "CC"),
        ]  # fmt: skip
        with raw(desk, opened) as client:
            for data, wanted in parts:
                client.send(data)
                found = ""
                for _ in range(data.count(SYNC) or len(wanted)):
                    kinds = [kind for kind, _ in client.until_ready()]
                    found += "E" if wire.ERROR_RESPONSE in kinds else "C"
                if found != wanted:
                    faults.append(f"{data!r}: {found} is not {wanted}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults
    assert (
        desk.truth("select id, period from payslips where id = any(%s) order by id", [one for one, _ in rows]) == rows
    )
    assert desk.truth("select period from payslips where id = %s", foreign) == [(theirs,)]

    records = desk.records()
    begun = {
        one["statement"]: one for one in records if one["kind"] == "statement.begin" and one.get("columns_written")
    }
    ends = {one["statement"]: one for one in records if one["kind"] == "statement.end"}
    assert begun
    assert begun.keys() <= ends.keys()
    assert {ends[one]["status"] for one in begun} == {"ok", "error", "skipped"}
    tags = {ends[one].get("tag") for one in begun if ends[one]["status"] == "ok"}
    assert tags == {"UPDATE 1", "UPDATE 0"}
