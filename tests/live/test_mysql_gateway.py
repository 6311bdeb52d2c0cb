"""MariaDB behind the gateway, with PyMySQL and MariaDB's own command line in front."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pymysql
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import DATABASE, TARGET, MysqlHouse, payroll_house

from gateway.demo.company import TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live
SLOW = (
    "select count(*) from employees a, employees b, employees c, employees d, employees e"
    " where a.id + b.id + c.id + d.id + e.id = -1"
)
"""Takes minutes, whatever the machine: a thousand million rows to look at."""


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql"), postgres) as house:
        yield house


def rows(house: MysqlHouse, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with house.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return list(cursor.fetchall())


def refused(house: MysqlHouse, text: str) -> tuple[int, str]:
    with pytest.raises(pymysql.Error) as said:
        rows(house, text)
    return int(said.value.args[0]), str(said.value.args[1])


def test_only_the_ticket_s_customer_is_there(mysql: MysqlHouse) -> None:
    assert rows(mysql, "select distinct company_id from employees") == [(CUSTOMER,)]
    assert rows(mysql, "select count(*) from employees") == mysql.truth(
        f"select count(*) from employees where company_id = {CUSTOMER}"
    )
    assert rows(mysql, f"select * from {DATABASE}.employees where company_id = {CUSTOMER + 1}") == []


def test_a_person_has_the_same_masks_as_in_postgresql(mysql: MysqlHouse) -> None:
    there = rows(mysql, "select id, phone, iban, nir, year(birth_date), salary from employees order by id")
    opened = mysql.house.actor("alice").open(TICKET, "", "payroll")
    with psycopg.connect(**mysql.house.login_as(opened["user"], opened["password"])) as connection:
        here = connection.execute(
            "select id, phone, iban, nir, extract(year from birth_date)::int, salary from employees order by id"
        ).fetchall()
    assert there == here
    email = rows(mysql, "select email from employees limit 1")[0][0]
    assert mysql.truth(f"select count(*) from employees where email = '{email}'") == [(0,)]


def test_what_is_hidden_is_unknown_and_the_record_says_so(mysql: MysqlHouse) -> None:
    trail = mysql.house.follow()
    errno, words = refused(mysql, "select notes from employees")
    assert (errno, "column-not-available" in words) == (1054, True)
    record = awaited(trail, lambda one: one["kind"] == "statement.refused")
    assert (record["target"], record["code"]) == (TARGET, "column-not-available")
    assert "relation-not-available" in refused(mysql, "select * from mysql.user")[1]


def test_each_statement_is_on_record_with_what_it_showed(mysql: MysqlHouse) -> None:
    trail = mysql.house.follow()
    found = rows(mysql, "select id, email from employees where id > %s", 0)
    begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "email" in one["sql"])
    assert begun["relations"] == [f"{DATABASE}.employees"]
    assert begun["columns_masked"] == [f"{DATABASE}.employees.email"]
    ended = awaited(trail, lambda one: one["kind"] == "statement.end" and one["statement"] == begun["statement"])
    assert (ended["status"], ended["rows"]) == ("ok", len(found))
    eventually(
        lambda: any(
            one["kind"] == "session.end" and one["session"] == begun["session"] and one["rows"] == len(found)
            for one in mysql.house.records()
        )
    )


def test_mariadb_s_own_command_line(mysql: MysqlHouse) -> None:
    opened = mysql.opened()
    done = mysql.client("-t", opened=opened, text="show tables; describe departments; select count(*) from payslips;")
    assert done.returncode == 0, done.stderr
    assert "Tables_in_payroll" in done.stdout
    assert "employees" in done.stdout
    failed = mysql.client("-e", "drop table employees", opened=opened)
    assert failed.returncode != 0
    assert "statement-not-allowed" in failed.stderr


def test_the_password_with_a_code_behind_it(mysql: MysqlHouse) -> None:
    alice = mysql.house.actor("alice")
    mysql.house.actor("alice").revoke(mysql.opened()["grant"], "to be opened by the log-in")
    secret = f"{mysql.house.company.passwords['alice']}{alice.code()}"
    with mysql.connect({"user": f"alice+{TICKET}", "password": secret}) as connection:
        connection.ping(reconnect=False)
    with pytest.raises(pymysql.OperationalError) as again:
        mysql.connect({"user": f"alice+{TICKET}", "password": secret})
    assert again.value.args[0] == 1045


@pytest.mark.parametrize("user", ["alice", "nobody", f"alice+{TICKET}", "", "a" * 300])
def test_a_wrong_pass_is_told_nothing_more(mysql: MysqlHouse, user: str) -> None:
    mysql.opened()
    with pytest.raises(pymysql.OperationalError) as said:
        mysql.connect({"user": user, "password": "gwp_wrong"})
    assert said.value.args[0] == 1045
    assert "authentication-failed" in said.value.args[1]


def test_without_tls_nobody_comes_in(mysql: MysqlHouse) -> None:
    opened = mysql.opened()
    with pytest.raises(pymysql.OperationalError) as said:
        mysql.connect(opened, ssl=None, ssl_disabled=True)
    assert "tls-required" in said.value.args[1]


def test_a_revoked_grant_cuts_a_running_statement_and_says_why(mysql: MysqlHouse) -> None:
    opened = mysql.opened()
    connection = mysql.connect(opened)
    said: list[BaseException] = []

    def run() -> None:
        try:
            connection.cursor().execute(SLOW)
        except pymysql.Error as error:
            said.append(error)

    thread = threading.Thread(target=run)
    trail = mysql.house.follow()
    thread.start()
    begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "employees" in one["sql"])
    mysql.house.actor("alice").revoke(opened["grant"], "enough")
    thread.join(20)
    assert not thread.is_alive()
    assert "grant-revoked" in str(said[0])
    ended = awaited(trail, lambda one: one["kind"] == "statement.end" and one["statement"] == begun["statement"])
    assert ended["status"] == "cut"
    eventually(lambda: mysql.truth("select count(*) from information_schema.processlist where user = 'gateway_ro' and "
                                   "command = 'Query'") == [(0,)])  # fmt: skip


def test_kill_reaches_one_s_own_statements_only(mysql: MysqlHouse) -> None:
    opened = mysql.opened()
    running, other = mysql.connect(opened), mysql.connect(opened)
    said: list[BaseException] = []

    def run() -> None:
        try:
            running.cursor().execute(SLOW)
        except pymysql.Error as error:
            said.append(error)

    trail = mysql.house.follow()
    thread = threading.Thread(target=run)
    thread.start()
    awaited(trail, lambda one: one["kind"] == "statement.begin" and "employees" in one["sql"])
    with other.cursor() as cursor:
        cursor.execute(f"KILL QUERY {running.thread_id()}")
        thread.join(20)
        assert said
        assert said[0].args[0] == 1317
        with pytest.raises(pymysql.Error) as unknown:
            cursor.execute("KILL 4294967290")
        assert unknown.value.args[0] == 1094
    with running.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchall() == ((1,),)
    running.close()
    other.close()


@pytest.mark.parametrize(
    "text", ["KILL 1", "KILL QUERY 1", "USE payroll", "BEGIN", "SET autocommit = 0", "SHOW WARNINGS"]
)
def test_only_what_reads_is_prepared(mysql: MysqlHouse, text: str) -> None:
    with mysql.connect() as connection:
        connection._execute_command(0x16, text.encode())  # type: ignore[attr-defined]  # COM_STMT_PREPARE
        with pytest.raises(pymysql.Error) as said:
            connection._read_packet()  # type: ignore[attr-defined]
        assert "feature-not-supported" in str(said.value)
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            assert cursor.fetchall() == ((1,),)


def test_several_statements_are_judged_one_by_one(mysql: MysqlHouse) -> None:
    flag = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with mysql.connect(client_flag=flag) as connection, connection.cursor() as cursor:
        cursor.execute("select 1; select count(*) from departments; select ';'")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.fetchall()[0][0] > 1
        assert cursor.nextset()
        assert cursor.fetchall() == ((";",),)
        assert not cursor.nextset()
        cursor.execute("select 1; drop table employees; select 2")
        with pytest.raises(pymysql.Error):
            cursor.nextset()
        cursor.execute("select 3")
        assert cursor.fetchall() == ((3,),)


def test_sessions_of_the_target_are_pinned_again_after_a_reset(mysql: MysqlHouse) -> None:
    with mysql.connect() as connection, connection.cursor() as cursor:
        before = cursor.execute("select email from employees order by id limit 1") and cursor.fetchall()
        connection._execute_command(0x1F, b"")  # type: ignore[attr-defined]  # COM_RESET_CONNECTION
        assert connection._read_ok_packet is not None  # type: ignore[attr-defined]
        connection._read_packet()  # type: ignore[attr-defined]
        cursor.execute("select email from employees order by id limit 1")
        assert cursor.fetchall() == before
        assert before[0][0]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x00",
        b"\xff" * 40,
        b"\x20\x00\x00\x01" + b"\x00" * 32,
        b"\x05\x00\x00\x02hello",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_rubbish_harms_nobody(mysql: MysqlHouse, junk: bytes) -> None:
    with socket.create_connection(("localhost", mysql.port), timeout=10) as line:
        greeting = line.recv(4096)
        assert greeting[4] == 10
        line.sendall(junk)
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass
    assert rows(mysql, "select 1") == [(1,)]


def test_data_ahead_of_tls_is_refused(mysql: MysqlHouse) -> None:
    with socket.create_connection(("localhost", mysql.port), timeout=10) as line:
        line.recv(4096)
        request = (0x0A00 | 0x0008 | 0x80000).to_bytes(4, "little") + bytes(4) + b"\x2d" + bytes(23)
        line.sendall(len(request).to_bytes(3, "little") + b"\x01" + request + b"\x00\x00\x00\x02select")
        got = b""
        while part := line.recv(4096):
            got += part
        assert b"ahead of the TLS" in got or got == b""
    context = ssl.create_default_context(cafile=str(mysql.house.company.tls.ca))
    assert context is not None
    assert rows(mysql, "select 1") == [(1,)]
