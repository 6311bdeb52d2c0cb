"""One statement of MariaDB's from the wish to the row: asked for, looked at, approved, run once by its own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pymysql
import pytest
from mysql_house import DATABASE, TARGET, MysqlHouse
from mysql_writing_house import answer, approved, opened, run, writing, writing_house

from gateway.demo.company import TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def desk(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with writing_house(tmp_path_factory.mktemp("mysql"), postgres) as house:
        yield house


@pytest.fixture
def employee(desk: MysqlHouse) -> Iterator[tuple[int, str]]:
    """Somebody of the customer's, whose status is put back afterwards."""
    ((number, status),) = desk.truth(
        f"select id, status from employees where company_id = {CUSTOMER} order by id limit 1"
    )
    yield number, status
    desk.truth(f"update employees set status = '{status}' where id = {number}")


def test_a_statement_is_seen_approved_and_run_once(desk: MysqlHouse, employee: tuple[int, str]) -> None:
    number, before = employee
    statement = f"update employees set status = 'on_leave' where id = {number} and status = '{before}'"
    request = opened(desk, "--statement", statement, "--reason", "typo", code=77)["request"]["id"]
    refused = desk.client("-e", statement, opened=opened(desk))
    assert refused.returncode == 1
    assert "[read-only]" in refused.stderr

    assert run(desk, "bob", "approve", request, code=77).stdout.count(str(number))
    shown = run(desk, "bob", "show", request).stdout
    assert "on_leave" in shown
    assert "it would meet 1 row" in shown
    assert f"UPDATE {DATABASE}.employees (status), at most 2 rows" in shown
    assert run(desk, "alice", "approve", request, "--yes", code=77).stderr.count("refused (not-in-team)")
    assert answer(desk, "bob", "approve", request, "--yes")["state"] == "approved"

    grant = opened(desk, "--statement", f"/* go */ {statement.replace('update', 'UPDATE')}")
    assert grant["write"]
    other = desk.client("-e", statement.replace("on_leave", "gone"), opened=grant)
    assert "[approval-required]" in other.stderr
    done = desk.client("-vvv", "-e", statement, opened=grant)
    assert done.returncode == 0, done.stderr
    assert "1 row affected" in done.stdout
    assert desk.truth(f"select status from employees where id = {number}") == [("on_leave",)]
    again = desk.client("-e", statement, opened=grant)
    assert "approved statement was let run already" in again.stderr

    records = [one for one in desk.house.records() if one.get("request") == request]
    kinds = [one["kind"] for one in records]
    assert kinds.index("request") < kinds.index("request.preview") < kinds.index("grant") < kinds.index("write.claimed")
    assert "on_leave" not in repr(records)
    kinds = {"request", "request.preview", "grant", "write.claimed", "statement.begin"}
    said = {(one["kind"], one["digest"]) for one in records if one["kind"] in kinds and "digest" in one}
    assert said == {(kind, grant["statement"]) for kind in kinds}
    ended = [one for one in desk.house.records() if one["kind"] == "statement.end" and one.get("tag")]
    assert ended[-1]["tag"] == "UPDATE 1"


def test_of_many_connections_at_once_one_runs_it(desk: MysqlHouse, employee: tuple[int, str]) -> None:
    statement = f"update employees set status = concat(status, '') where id = {employee[0]}"
    grant = approved(desk, statement)
    connections = [desk.connect(grant) for _ in range(5)]
    outcomes: list[str] = []
    barrier = threading.Barrier(len(connections))

    def execute(connection: pymysql.Connection) -> None:
        barrier.wait()
        try:
            outcomes.append(str(connection.cursor().execute(statement)))
        except pymysql.Error as error:
            outcomes.append("refused" if "approval-required" in str(error) else str(error))

    threads = [threading.Thread(target=execute, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()
    assert sorted(outcomes) == ["1", *["refused"] * 4]


def test_a_statement_that_failed_had_no_effect_and_may_be_tried_again(desk: MysqlHouse) -> None:
    statement = f"update employees set status = 'x' where company_id = {CUSTOMER}"
    request = opened(desk, "--statement", statement, "--reason", "typo", code=77)["request"]["id"]
    assert "so it would be refused when it runs" in run(desk, "bob", "show", request).stdout
    run(desk, "bob", "approve", request, "--yes")
    with desk.connect(opened(desk, "--statement", statement)) as connection, connection.cursor() as cursor:
        for _ in range(3):
            with pytest.raises(pymysql.Error, match="write-too-large"):
                cursor.execute(statement)
    assert desk.truth("select count(*) from employees where status = 'x'") == [(0,)]
    kinds = [one["kind"] for one in desk.house.records() if one.get("request") == request]
    assert kinds.count("write.claimed") == kinds.count("write.released") == 3


@pytest.mark.parametrize(
    ("statement", "code", "exits"),
    [
        ("update employees set salary = 1 where id = 1", "column-not-writable", 77),
        ("delete from employees where id = 1", "read-only", 77),
        ("update employees set status = ? where id = 1", "request-invalid", 1),
        ("select 1", "request-invalid", 1),
        ("update employees set status = 'x' where id = 1; select 1", "statement-not-allowed", 77),
        ("replace into employees (status) values ('x')", "statement-not-supported", 1),
        ("update companies set plan = 'x'", "request-invalid", 1),
        ("update employees set", "syntax-error", 1),
    ],
)
def test_what_could_never_run_is_refused_when_it_is_asked_for(
    desk: MysqlHouse, statement: str, code: str, exits: int
) -> None:
    done = run(desk, "alice", "open", TICKET, "--target", TARGET, "--statement", statement, code=exits)
    assert f"refused ({code})" in done.stderr


def test_a_statement_means_what_it_meant_to_its_approver(desk: MysqlHouse, employee: tuple[int, str]) -> None:
    statement = f"update employees set status = date_format('2026-03-04', '%d/%m') where id = {employee[0]}"
    with desk.connect(approved(desk, statement)) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error, match="setting-not-allowed"):
            cursor.execute("set time_zone = '+05:00'")
        cursor.execute("set foreign_key_checks = 0, sql_mode = ''")
        assert cursor.execute(statement) == 1
    assert desk.truth(f"select status from employees where id = {employee[0]}") == [("04/03",)]


def test_a_grant_for_writing_writes_in_transactions(desk: MysqlHouse) -> None:
    ((before,),) = desk.truth(f"select plan from companies where id = {CUSTOMER}")
    with desk.connect(writing(desk), autocommit=False) as connection, connection.cursor() as cursor:
        assert cursor.execute("update companies set plan = 'silver'") == 1
        assert cursor.execute("select plan from companies") == 1
        assert cursor.fetchall() == (("silver",),)
        assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [(before,)]
        connection.rollback()
        cursor.execute("savepoint one")
        cursor.execute("update companies set plan = 'silver'")
        cursor.execute("rollback to savepoint one")
        connection.commit()
        assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [(before,)]
        cursor.execute("start transaction read only")
        with pytest.raises(pymysql.Error) as said:
            cursor.execute("update companies set plan = 'silver'")
        assert said.value.args[0] == 1792
        connection.rollback()
        # whether it was so before is told by no number
        assert cursor.execute(f"update companies set plan = '{before}'") == 1
        assert cursor.execute("update companies set plan = 'gold' where id = 1") == (1 if CUSTOMER == 1 else 0)
        with pytest.raises(pymysql.Error, match="approval-required"):
            cursor.execute("update employees set status = 'x' limit 1")
        connection.rollback()
        cursor.execute("update companies set plan = 'silver'")
        connection.commit()
    assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [("silver",)]
    assert desk.truth("select count(*) from companies where plan = 'silver'") == [(1,)]
    desk.truth(f"update companies set plan = '{before}' where id = {CUSTOMER}")


def test_a_grant_for_reading_cannot_make_itself_one_for_writing(desk: MysqlHouse) -> None:
    with desk.connect(opened(desk)) as connection, connection.cursor() as cursor:
        for take in ("start transaction read write", "set session transaction read write", "set tx_read_only = 0"):
            with pytest.raises(pymysql.Error, match="read-only"):
                cursor.execute(take)
        with pytest.raises(pymysql.Error, match="read-only"):
            cursor.execute("update companies set plan = 'silver'")
        cursor.execute("select @@tx_read_only")
        assert cursor.fetchall() == ((1,),)


def test_the_doctor_says_which_rights_the_account_lacks_and_has_too_many(desk: MysqlHouse) -> None:
    assert "can write what the policy says and do no harm" in desk.house.command("alice", "doctor").stdout
    for host in ("localhost", "'127.0.0.1'"):
        desk.truth(f"revoke update (plan) on payroll.companies from gateway_ro@{host}")
        desk.truth(f"grant update (email), delete on payroll.employees to gateway_ro@{host}")
    try:
        said = desk.house.command("alice", "doctor").stdout
    finally:
        for host in ("localhost", "'127.0.0.1'"):
            desk.truth(f"grant update (plan) on payroll.companies to gateway_ro@{host}")
            desk.truth(f"revoke update (email), delete on payroll.employees from gateway_ro@{host}")
    said = " ".join(said.split())
    assert "lacks UPDATE (`plan`) ON `payroll`.`companies`" in said
    assert "DELETE ON payroll.employees, UPDATE (email) ON payroll.employees" in said
