"""What fails while a session on MariaDB is under way: budgets, targets, clients, the trail, the gateway itself."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import TARGET, MysqlHouse, open_mysql_house, payroll_server

from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.live, pytest.mark.faults]
SEED = 2026
TIMEOUT_S = 2
MANY = "select a.id, a.status, b.job_title from employees a cross join employees b cross join employees c"
SLOW = (
    "select count(*) from employees a, employees b, employees c, employees d, employees e"
    " where a.id + b.id + c.id + d.id + e.id = -1"
)
"""Takes minutes, whatever the machine: a thousand million rows to look at."""
BUSY = "select count(*) from information_schema.processlist where user = 'gateway_ro' and command = 'Query'"


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-faults")
    change = {
        "rows_per_statement: 10000": "rows_per_statement: 100000",
        "rows_per_day: 100000": "rows_per_day: 100000000",
        "statement_timeout: 30s": f"statement_timeout: {TIMEOUT_S}s",
    }
    settings = {"audit": {"window_rows": 20, "window_bytes": "8KiB", "segment_size": "4MiB", "reserve": "4MiB"}}
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_house(directory / "house", postgres, server, change=change, settings=settings) as house,
    ):
        yield house


def leave(connection: Any) -> None:
    """Go without a word, as a client that was killed does."""
    result = connection._result
    if result is not None:
        # else PyMySQL reads on when the result is forgotten
        result.unbuffered_active = False
    connection._force_close()


@contextlib.contextmanager
def streaming(house: MysqlHouse, text: str) -> Iterator[Any]:
    connection = house.connect(cursorclass=pymysql.cursors.SSCursor)
    try:
        cursor = connection.cursor()
        cursor.execute(text)
        yield cursor
    finally:
        leave(connection)


def taken(cursor: Any, most: int) -> int:
    rows = 0
    while rows < most and cursor.fetchone() is not None:
        rows += 1
    return rows


def test_a_budget_that_runs_out_ends_the_statement_and_not_the_session(mysql: MysqlHouse) -> None:
    with mysql.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error) as said:
            cursor.execute(MANY)
        assert "row-budget-exhausted" in str(said.value)
        cursor.execute("select 1")
        assert cursor.fetchall() == ((1,),)
    eventually(lambda: mysql.truth(BUSY) == [(0,)])


def test_a_statement_beyond_the_policy_s_time_is_stopped(mysql: MysqlHouse) -> None:
    with mysql.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error) as said:
            cursor.execute(SLOW)
        assert said.value.args[0] == 1969
        cursor.execute("select 1")
        assert cursor.fetchall() == ((1,),)


def test_a_client_that_leaves_stops_what_it_asked_for(mysql: MysqlHouse) -> None:
    trail = mysql.house.follow()
    connection = mysql.connect()
    connection._execute_command(0x03, SLOW.encode())  # type: ignore[attr-defined]
    begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "employees" in one["sql"])
    leave(connection)
    ended = awaited(trail, lambda one: one["kind"] == "statement.end" and one["statement"] == begun["statement"])
    assert ended["status"] == "cut"
    eventually(lambda: mysql.truth(BUSY) == [(0,)])


def test_a_target_that_closes_the_connection_is_told_and_the_next_session_works(mysql: MysqlHouse) -> None:
    connection = mysql.connect()
    found = mysql.truth("select id from information_schema.processlist where user = 'gateway_ro'")
    for (number,) in found:
        with contextlib.suppress(pymysql.Error):
            mysql.truth(f"kill connection {number}")
    with pytest.raises(pymysql.Error) as said, connection.cursor() as cursor:
        cursor.execute("select 1")
    assert "target-unavailable" in str(said.value) or said.value.args[0] in (2006, 2013)
    with mysql.connect() as again, again.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchall() == ((1,),)


def test_a_target_that_stands_still_is_given_up_and_comes_back(mysql: MysqlHouse) -> None:
    connection = mysql.connect()
    os.kill(mysql.server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(pymysql.Error) as said, connection.cursor() as cursor:
            cursor.execute("select count(*) from employees")
    finally:
        os.kill(mysql.server.pid, signal.SIGCONT)
    assert "target-unavailable" in str(said.value)

    def works() -> bool:
        try:
            with mysql.connect() as again, again.cursor() as cursor:
                return bool(cursor.execute("select 1"))
        except pymysql.Error:
            return False

    eventually(works, patience_s=60)


def test_a_client_that_does_not_read_holds_up_nobody(mysql: MysqlHouse) -> None:
    with streaming(mysql, MANY) as cursor:
        assert cursor.fetchone() is not None
        began = time.monotonic()
        while time.monotonic() - began < 3:
            with mysql.connect() as other, other.cursor() as second:
                second.execute("select count(*) from employees")
                assert second.fetchall()[0][0] > 0


def test_what_a_killed_gateway_let_leave_is_covered_by_durable_records(mysql: MysqlHouse) -> None:
    chance = random.Random(SEED)
    opened = mysql.opened()
    for number in range(5):
        follower = mysql.house.follow()
        application = f"killed-{number}"
        connection = mysql.connect(opened, cursorclass=pymysql.cursors.SSCursor, program_name=application)
        cursor = connection.cursor()
        cursor.execute(MANY)
        rows = taken(cursor, int(10 ** chance.uniform(0, 3.3)))
        mysql.house.gateway.kill()
        with contextlib.suppress(pymysql.Error, OSError):
            while cursor.fetchone() is not None:
                rows += 1
        leave(connection)
        mysql.house.gateway.start()
        announced = 0
        for record in follower.news():
            if record["kind"] in ("statement.begin", "statement.window"):
                announced = max(announced, record["window_rows"])
        assert rows <= announced, (number, rows, announced)
        assert announced > 0


def test_a_changed_policy_ends_the_session_with_that_reason(mysql: MysqlHouse) -> None:
    connection = mysql.connect()
    path = mysql.house.company.directory / "policies" / f"{TARGET}.yaml"
    text = path.read_text()
    path.write_text(text.replace("department: clear", "department: {mask: redact}"))
    try:
        assert mysql.house.gateway.pid is not None
        os.kill(mysql.house.gateway.pid, signal.SIGHUP)

        def cut() -> bool:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("select 1")
            except pymysql.Error as error:
                return "policy-changed" in str(error) or error.args[0] in (2006, 2013)
            return False

        eventually(cut)
        with mysql.connect() as again, again.cursor() as cursor:
            cursor.execute("select distinct department from employees")
            assert len(cursor.fetchall()) == 1
    finally:
        path.write_text(text)
        os.kill(mysql.house.gateway.pid or 0, signal.SIGHUP)
        assert Path(path).read_text() == text
