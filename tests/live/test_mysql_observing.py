"""A MariaDB that is observed, with real clients: all passes as it would directly, is on record, and says what it is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import TARGET, MysqlHouse, payroll_server
from mysql_observed import client, open_mysql_observed, query, recorded, said
from mysql_wire import Refused

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql.answers import Answer
from gateway.wire.mysql.base import Status, Type
from gateway.wire.mysql.commands import (
    READ_ONLY_CURSOR,
    Bound,
    Command,
    Fetch,
    FieldList,
    LongData,
    Parameter,
    encode_execute,
    encode_fetch,
    encode_field_list,
    encode_long_data,
    encode_number,
    encode_text,
)
from gateway.wire.mysql.results import parse_error, parse_ok
from gateway.wire.mysql.tracking import Change, Tracked

pytestmark = pytest.mark.live
SEED = 2026
SLEEPING = "select 1 from information_schema.processlist where info = 'select sleep(59)'"
PROCEDURE = """
create procedure everything(in a int, inout b int, out c varchar(20)) begin
    select a as one union all select a + 1; select b as two; set b = b * 2, c = 'out 4111';
    insert into called values (a);
end
"""  # fmt: skip


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-observed")
    settings = {"limits": {"message": "40MiB"}}
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_observed(directory / "house", postgres, server, settings=settings) as house,
    ):
        house.truth("create table called (a int)")
        house.truth(PROCEDURE)
        yield house


@pytest.fixture(scope="module")
def opened(mysql: MysqlHouse) -> dict[str, Any]:
    return mysql.opened()


def test_what_is_there_is_seen_and_written(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    secret = f"select nir from employees where company_id <> {CUSTOMER} order by id limit 1"
    with mysql.connect(opened, program_name="seen") as connection, connection.cursor() as cursor:
        cursor.execute(secret)
        assert list(cursor.fetchall()) == mysql.truth(secret)
        cursor.execute("create table written (a int primary key, b text)")
        assert cursor.execute("insert into written values (41114111, 'x4111'), (2, 'y')") == 2
        with pytest.raises(pymysql.err.IntegrityError, match="Duplicate entry '2' for key 'PRIMARY'"):
            cursor.execute("insert into written values (2, 'x4111')")
        with pytest.raises(pymysql.err.ProgrammingError, match="nowhere"):
            cursor.execute("select * from nowhere where a = '4111'")
        cursor.execute("drop table written")
    made = [one for one in recorded(mysql, "seen") if "employees" in one["sql"] or "w" in one["sql"]]
    assert [(one["verb"], one["would"], one["status"]) for one in made] == [
        ("SELECT", "permit", "ok"), ("CREATE TABLE", "deny", "ok"), ("INSERT", "deny", "ok"),
        ("INSERT", "deny", "error"), ("SELECT", "deny", "error"), ("DROP TABLE", "deny", "ok"),
    ]  # fmt: skip
    assert {one["protection"] for one in made} == {"none"}
    assert made[0]["relations"] == ["payroll.employees"]
    assert made[2]["sql"] == "insert into written values (?, ?), (?, ?)"
    assert made[2]["tag"] == "OK 2"
    assert made[3]["sqlstate"] == "23000"
    assert made[4]["relations"] == ["nowhere"]
    assert made[4]["would_codes"] == ["relation-not-available"]
    assert "4111" not in str(made)


def test_the_warning_stands_where_the_protocol_has_words_and_the_rest_is_the_target_s(
    mysql: MysqlHouse, opened: dict[str, Any]
) -> None:
    session = client(mysql, opened=opened)
    try:
        assert b"observed, not protected" in session.ok.info
        assert session.ok.status & Status.AUTOCOMMIT
        heard = said(session, encode_text(Command.INIT_DB, b"information_schema"))
        told = parse_ok(heard[0], session.capabilities).changes
        assert Change(Tracked.SCHEMA, b"information_schema") in told
        names = said(session, query("set names latin1"))
        assert any(one.value == b"latin1" for one in parse_ok(names[0], session.capabilities).changes)
    finally:
        session.close()
    made = recorded(mysql, "codec")
    assert [one["sql"] for one in made] == ["USE `information_schema`", "set names latin1"]
    assert [one["would"] for one in made] == ["deny", "deny"]


def test_the_command_line_sees_and_writes_and_loads_a_file(
    mysql: MysqlHouse, opened: dict[str, Any], tmp_path: Path
) -> None:
    rows = "".join(f"{number}\tx4111\n" for number in range(20_000))
    (tmp_path / "rows.txt").write_text(rows)
    text = (
        "create table loaded (a int, b text);\n"
        f"load data local infile '{tmp_path / 'rows.txt'}' into table loaded;\n"
        "select count(*), max(a) from loaded; show warnings; drop table loaded;\n"
    )
    done = mysql.client("--local-infile=1", "-vv", opened=opened, text=text)
    assert done.returncode == 0, done.stderr
    assert "20000\t19999" in done.stdout
    (load,) = [one for one in recorded(mysql, "mysql") if one["verb"] == "LOAD DATA"]
    assert load["sql"] == "load data local infile ? into table loaded"
    assert (load["status"], load["rows_in"], load["bytes_in"]) == ("ok", 20_000, len(rows))
    announced = [
        one["bytes_in"] for one in mysql.house.records()
        if one["kind"] == "statement.window" and one.get("statement") == load["statement"]
    ]  # fmt: skip
    assert announced[-1] >= len(rows)
    assert "4111" not in str(load)


def test_each_statement_of_a_text_has_its_record(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    text = "select 1; insert into called values (4111); select 'a;b' /* ; */ from called; delete from called"
    session = client(mysql, opened=opened)
    try:
        assert [len(one.rows) for one in session.query(text)] == [1, 0, 1, 0]
        with pytest.raises(Refused, match="1146"):
            session.query("select 2; select * from nowhere; delete from employees")
        # the end of a string that only the server sees: one record for them all, without a word
        session.query(
            'set sql_mode = \'ANSI_QUOTES\'; select 1 as "\\"; insert into called values (1); select 2 as "\\"'
        )
        # more than have a record each: one that names them all
        session.query("select 1; " * 100 + "delete from called")
        # without the option it is one statement, and a wrong one
        said(session, encode_number(Command.SET_OPTION, 1))
        with pytest.raises(Refused, match="1064"):
            session.query("select 1; delete from called")
    finally:
        session.close()
    made = recorded(mysql, "codec")
    assert [(one.get("sql"), one["status"], one["rows"], one.get("tag")) for one in made[:7]] == [
        ("select ?", "ok", 1, None), ("insert into called values (?)", "ok", 0, "OK 1"),
        ("select ? from called", "ok", 1, None), ("delete from called", "ok", 0, "OK 1"),
        ("select ?", "ok", 1, None), ("select * from nowhere", "error", 0, None),
        ("delete from employees", "skipped", 0, None),
    ]  # fmt: skip
    assert [one["would"] for one in made[:4]] == ["permit", "deny", "deny", "deny"]
    assert made[7].get("sql") is None
    assert made[7]["rows"] == 2
    assert (made[8]["verb"].count("SELECT"), made[8]["verb"][-6:], made[8]["rows"]) == (65, "DELETE", 100)
    assert made[8]["would_codes"] == ["statement-too-complex"]
    assert (made[9]["verb"], made[9]["status"]) == ("SELECT; DELETE", "error")


def test_a_procedure_s_results_and_its_out_parameters_come(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    session = client(mysql, opened=opened)
    try:
        session.query("set @b = 5")
        results = session.query("call everything(1, @b, @c); select @b, @c")
        rows = [one.rows for one in results]
        assert rows == [[(b"1",), (b"2",)], [(b"5",)], [], [(b"10", b"out 4111")]]
        prepared = session.prepare("call everything(?, ?, ?)").prepared
        assert prepared is not None
        long = Parameter(Type.LONGLONG)
        _, results = session.execute(prepared.statement, [long, long, long], [7, 8, None])
        assert [one.rows for one in results] == [[(7,), (8,)], [(8,)], [(16, b"out 4111")], []]
        assert results[2].ok is not None
        assert results[2].ok.status & Status.PS_OUT_PARAMS
    finally:
        session.close()
    made = recorded(mysql, "codec")
    assert [(one["protocol"], one["verb"], one.get("rows")) for one in made] == [
        ("simple", "SET", 0), ("simple", "CALL", 3), ("simple", "SELECT", 1), ("prepare", "CALL", 0),
        ("execute", "CALL", 4),
    ]  # fmt: skip
    assert made[-1]["parameters"] == 3
    assert "4111" not in str(made)
    mysql.truth("delete from called")


def test_cursors_long_data_and_what_was_prepared_last(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    session = client(mysql, opened=opened)
    try:
        prepared = session.prepare("select id from employees where id > ? order by id").prepared
        assert prepared is not None
        number = prepared.statement
        bound = Bound((Parameter(Type.LONGLONG),), (0,))
        opened_cursor = said(session, encode_execute(number, READ_ONLY_CURSOR, bound))
        assert len(opened_cursor) in (2, 3)
        fetched = [said(session, encode_fetch(Fetch(number, 7))) for _ in range(3)]
        assert [len(one) for one in fetched] == [8, 8, 8]
        said(session, encode_number(Command.STMT_RESET, number))
        assert parse_error(said(session, encode_fetch(Fetch(number, 7)))[0]).errno == 1421
        length = session.prepare("select length(?), ?").prepared
        assert length is not None
        for piece in (b"x" * 9_000_000, b"4111" * 2_500_000):
            session.command(encode_long_data(LongData(length.statement, 0, piece)))
        two = Bound((Parameter(Type.LONG_BLOB), Parameter(Type.VAR_STRING)), (None, b"v4111"))
        session.command(encode_execute(length.statement, 0, two, [0]))
        (result,) = session.answer(Answer(Command.STMT_EXECUTE, session.capabilities))
        assert result.rows == [(19_000_000, b"v4111")]
        last = session.prepare("select 'the last'").prepared
        assert last is not None
        session.command(encode_execute(0xFFFFFFFF, 0, Bound((), ())))
        (result,) = session.answer(Answer(Command.STMT_EXECUTE, session.capabilities))
        assert result.rows == [(b"the last",)]
    finally:
        session.close()
    made = recorded(mysql, "codec")
    fetches = [one for one in made if one["protocol"] == "execute" and "employees" in one["sql"]]
    assert [one["rows"] for one in fetches] == [0, 7, 7, 7, 0]
    assert all(one["relations"] == ["payroll.employees"] for one in fetches)
    assert made[-1]["sql"] == "select ?"
    assert "4111" not in str(made)


def test_more_than_16_mb_pass_either_way(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    with mysql.connect(opened, program_name="large") as connection, connection.cursor() as cursor:
        text = "x4111" * 4_000_000
        cursor.execute(f"select length('{text}'), '{text}' as t from employees limit 1")
        ((length, back),) = cursor.fetchall()
        assert (length, back) == (len(text), text)
    (made,) = [one for one in recorded(mysql, "large") if one["verb"] == "SELECT"]
    assert made["would_codes"] == ["statement-too-long"]
    assert made["bytes"] > len(text)
    assert "4111" not in str(made)


def test_commands_without_a_text_are_on_record_as_what_they_do(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    session = client(mysql, opened=opened)
    try:
        assert b"Uptime" in said(session, encode_number(Command.STATISTICS))[0]
        assert len(said(session, encode_field_list(FieldList(b"called", b"")))) == 2
        session.query("set @kept = 1; create temporary table mine (a int)")
        said(session, encode_number(Command.PING))
        said(session, encode_number(Command.RESET_CONNECTION))
        assert session.rows("select @kept") == [(None,)]
        for command in (b"\x12" + bytes(10), b"\x15" + bytes(17), b"\x08", b"\x07\x01"):
            session.command(command)
            error = parse_error(session.read())
            assert "feature-not-supported" in error.message
        assert session.rows("select 1") == [(b"1",)]
    finally:
        session.close()
    made = recorded(mysql, "codec")
    assert [one["sql"] for one in made if one["protocol"] != "unasked"] == [
        "STATISTICS", "SHOW COLUMNS FROM `called`", "set @kept = ?", "create temporary table mine (a int)",
        "RESET CONNECTION", "select @kept", "select ?",
    ]  # fmt: skip
    refused = [one for one in mysql.house.records() if one["kind"] == "statement.refused"]
    assert {one["code"] for one in refused[-4:]} == {"feature-not-supported"}


def test_nobody_becomes_somebody_else(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    session = client(mysql, opened=opened)
    try:
        with pytest.raises(Refused, match="a session cannot become another's"):
            session.change_user("application", "application-secret")
        assert session.read() == b""
    finally:
        session.close()


def test_a_kill_by_either_number_meets_the_session_that_it_is_for(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    for kill in ("KILL QUERY {}", " kill query {} ; "):
        sleeping = mysql.connect(opened)
        with mysql.connect(opened) as other:
            outcome: list[Any] = []
            thread = threading.Thread(target=_sleep, args=(sleeping, outcome))
            thread.start()
            eventually(
                lambda: bool(mysql.truth("select 1 from information_schema.processlist where info like '%sleep(59%'"))
            )
            with other.cursor() as cursor:
                cursor.execute(kill.format(sleeping.thread_id()))
            thread.join(30)
            assert outcome == [1317] or outcome == [((1,),)]
            number = _number(sleeping)
            other.kill(number)
        with pytest.raises(pymysql.Error):
            _number(sleeping)
    made = [one for one in mysql.house.records() if one["kind"] == "statement.begin" and one.get("verb") == "KILL"]
    assert all(one["sql"].lower().startswith("kill") and not any(map(str.isdigit, one["sql"])) for one in made)


def _sleep(connection: pymysql.Connection[Any], outcome: list[Any]) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute("select sleep(59)")
            outcome.append(cursor.fetchall())
        except pymysql.Error as error:
            outcome.append(error.args[0])


def _number(connection: pymysql.Connection[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("select connection_id()")
        return int(cursor.fetchall()[0][0])


def test_a_target_that_ends_an_idle_session_ends_it_for_the_client_too(
    mysql: MysqlHouse, opened: dict[str, Any]
) -> None:
    trail = mysql.house.follow()
    connection = mysql.connect(opened, program_name="idle")
    with connection.cursor() as cursor:
        cursor.execute("set session wait_timeout = 1")
    ended = awaited(trail, lambda one: one["kind"] == "session.end")
    assert (ended["status"], ended["code"]) == ("cut", "target-unavailable")
    with pytest.raises(pymysql.OperationalError) as lost, connection.cursor() as cursor:
        cursor.execute("select 1")
    assert lost.value.args[0] in (2006, 2013)
    for _ in range(2):
        connection = mysql.connect(opened)
        number = _number(connection)
        time.sleep(2.5)
        mysql.truth(f"kill {number}")
        time.sleep(0.5)
        with pytest.raises(pymysql.Error) as lost, connection.cursor() as cursor:
            cursor.execute("select 1")
        assert lost.value.args[0] in (1927, 2006, 2013)


def test_a_text_in_another_character_set_or_mode_holds_no_literal_in_its_record(
    mysql: MysqlHouse, opened: dict[str, Any]
) -> None:
    texts: list[tuple[bytes, str]] = [
        (b"set names latin1", "set names latin1"),
        ("select 'caf\u00e9 4111' as `\u00e9t\u00e9`".encode("latin1"), "select ? as `\ufffdt\ufffd`"),
        (b"set names gbk", "set names gbk"),
        # for the server one character and the end of the string, for who reads bytes an escaped quote
        (b"select '\xbf\\', 4111, 'x4111'", ""),
        (b"set names utf8mb4, sql_mode = 'NO_BACKSLASH_ESCAPES'", "set names utf8mb4, sql_mode = ?"),
        (b"select '4111\\', ' , 4111, ' from nowhere'", ""),
        (b"set sql_mode = 'ANSI_QUOTES'", "set sql_mode = ?"),
        (b"select '4111\\'4111' as \"a4111\"", "select ? as ?"),
        (b'select 1 as "\\", \'4111\', "', ""),
        (b"set sql_mode = default", "set sql_mode = default"),
        (b"select '4111\\'4111', \"4111\"", "select ?, ?"),
        (b"/*!99999 ' */ select '4111' -- '", ""),
        (b"/*!40000 select '4111' */", "select ?"),
        (b"/*M!100000 select */ 4111 # 4111", "select ?"),
    ]
    session = client(mysql, opened=opened)
    try:
        for text, _ in texts:
            said(session, query(text))
    finally:
        session.close()
    made = recorded(mysql, "codec")
    assert [one.get("sql", "") for one in made] == [shown for _, shown in texts]
    assert "4111" not in str(made)


def test_what_a_name_of_sql_s_stands_for_is_in_the_record_of_what_runs_it(
    mysql: MysqlHouse, opened: dict[str, Any]
) -> None:
    with mysql.connect(opened, program_name="names") as connection, connection.cursor() as cursor:
        cursor.execute("prepare looks from 'select nir from employees where id = ?'")
        cursor.execute("set @id = 4111")
        cursor.execute("execute looks using @id")
        cursor.execute("execute immediate 'delete from called where a = 4111'")
    made = recorded(mysql, "names")
    assert [one["relations"] for one in made if one["verb"].startswith(("PREPARE", "EXECUTE"))] == [
        ["payroll.employees"], ["payroll.employees"], ["called"],
    ]  # fmt: skip
    assert "4111" not in str(made)


def test_commands_say_that_the_target_is_not_protected(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    house = mysql.house
    with mysql.connect(opened):
        assert house.command("alice", "login", "alice", otp=True).returncode == 0
        shown = house.command("alice", "sessions")
    assert "none" in shown.stdout, shown.stderr
    checked = house.command("alice", "policy", "check")
    assert checked.returncode == 0
    assert f"`{TARGET}` is observed, not protected" in checked.stdout
    doctor = house.command("alice", "doctor")
    assert f"`{TARGET}` is observed, not protected" in doctor.stdout
    assert doctor.returncode == 0, doctor.stdout


def test_a_change_of_the_mode_ends_sessions_at_once_and_later_ones_are_what_it_says(
    mysql: MysqlHouse, opened: dict[str, Any]
) -> None:
    path = mysql.house.company.directory / "policies" / f"{TARGET}.yaml"
    observing = path.read_text()
    secret = "select nir from employees order by id limit 1"
    truth = mysql.truth(secret)
    for policy, clear in ((observing.replace("mode: observe\n", ""), False), (observing, True)):
        connection = mysql.connect(opened)
        assert _told(connection, secret) == truth or clear
        trail = mysql.house.follow()
        path.write_text(policy)
        assert mysql.house.gateway.pid is not None
        os.kill(mysql.house.gateway.pid, signal.SIGHUP)
        awaited(trail, lambda one: one["kind"] == "policy.change")
        with pytest.raises(pymysql.Error, match=r"policy changed|Lost connection"):
            _ask_for_ever(connection, secret)
        with mysql.connect(opened) as later:
            assert (_told(later, secret) == truth) is clear


def _ask_for_ever(connection: pymysql.Connection[Any], text: str) -> None:
    eventually(lambda: not _told(connection, text))


def _told(connection: pymysql.Connection[Any], text: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def test_the_trail_of_it_all_is_whole(mysql: MysqlHouse) -> None:
    house = mysql.house
    house.settled()
    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    begun = {one["statement"] for one in house.records() if one["kind"] == "statement.begin"}
    ended = [one["statement"] for one in house.records() if one["kind"] in ("statement.end", "statement.unknown")]
    assert begun == set(ended)
    assert len(ended) == len(begun)
