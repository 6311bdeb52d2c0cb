"""What goes wrong while a MariaDB is observed: targets and clients out of turn, cuts, a killed gateway."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import MysqlHouse, payroll_server
from mysql_observed import client, open_mysql_observed, query, recorded, said
from mysql_wire import Client

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.company import SECOND_TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError
from gateway.wire.mysql.base import Capability
from gateway.wire.mysql.commands import Command, encode_number
from gateway.wire.mysql.packets import frame, frames
from gateway.wire.mysql.results import Ok, encode_error, encode_ok, parse_error

pytestmark = [pytest.mark.live, pytest.mark.faults]
SEED = 2026
SLEEPING = "select count(*) from information_schema.processlist where info like 'select sleep(5%'"
INSIDE = "select count(*) from information_schema.processlist where user = 'application'"
OK = encode_ok(Ok(), Capability.SESSION_TRACK)


class Between:
    """A wire between the gateway and the target, in clear, that answers in the target's place where a text says so."""

    def __init__(self) -> None:
        self.port = 0
        self.scripts: dict[bytes, bytes] = {}
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.listening_at = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._pass, args=(inner, outer, self._script), daemon=True).start()
                threading.Thread(target=self._pass, args=(outer, inner, lambda _: None), daemon=True).start()

    def _script(self, asked: bytes) -> bytes | None:
        self.seen.append(asked)
        return next((script for marker, script in self.scripts.items() if marker in asked), None)

    def _pass(self, source: socket.socket, sink: socket.socket, script: Callable[[bytes], bytes | None]) -> None:
        with source, contextlib.suppress(OSError):
            while came := source.recv(1 << 16):
                said_instead = script(came)
                if said_instead is None:
                    sink.sendall(came)
                else:
                    source.sendall(said_instead)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def between() -> Iterator[Between]:
    made = Between()
    yield made
    made.close()


@pytest.fixture(scope="module")
def mysql(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, between: Between
) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-observed-faults")
    settings = {"audit": {"window_rows": 20, "window_bytes": "8KiB", "segment_size": "4MiB", "reserve": "4MiB"}}
    with payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server:
        between.port = server.port
        with open_mysql_observed(
            directory / "house", postgres, server, settings=settings, at=between.listening_at
        ) as house:
            house.truth("create table written (mark varchar(20), n int) engine = aria")
            yield house


@pytest.fixture(scope="module")
def opened(mysql: MysqlHouse) -> dict[str, Any]:
    return mysql.opened()


def refused(session: Client, text: str) -> str:
    """The last words of a session to a text, after which it is over."""
    session.command(query(text))
    heard: list[bytes] = []
    while packet := session.read():
        heard.append(packet)
    assert heard
    assert all(one[:1] != b"\xfb" for one in heard)
    return parse_error(heard[-1]).message


@pytest.mark.parametrize("text", ["select 'wants a file'", "call wants_a_file()", "load data infile 'x' into table y"])
def test_a_target_gets_no_file_that_the_statement_did_not_offer(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between, text: str
) -> None:
    between.scripts = {text.encode(): frame(b"\xfb/etc/passwd", 1)}
    session = client(mysql, opened=opened)
    try:
        assert "target-unavailable" in refused(session, text)
    finally:
        session.close()
    assert recorded(mysql, "codec")[-1]["status"] == "cut"


def test_a_target_that_answers_more_than_it_was_asked_is_not_believed(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between
) -> None:
    rows = frames([b"\x01", b"\x04more", OK], 1)[0]
    for extra in (frame(OK, 1), frame(OK, 2), rows, b"\1"):
        between.scripts = {b"more than asked": frame(OK, 1) + extra}
        session = client(mysql, opened=opened)
        try:
            assert said(session, query("select 'more than asked'")) == [OK]
            assert parse_error(said(session, query("select 'the next'"))[-1]).errno in (2013, 1047, 1105, 1835, 1156)
            assert session.read() == b""
        finally:
            session.close()
        made = recorded(mysql, "codec")
        assert [one["status"] for one in made] == ["ok", "cut"]
    between.scripts = {}


def test_a_target_that_speaks_unasked_ends_the_session_unless_it_says_why(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between
) -> None:
    trail = mysql.house.follow()
    between.scripts = {b"speaks": frame(OK, 1) + frame(OK, 0)}
    session = client(mysql, opened=opened)
    said(session, query("select 'speaks'"))
    ended = awaited(trail, lambda one: one["kind"] == "session.end")
    assert ended["code"] == "target-unavailable"
    assert "target-unavailable" in parse_error(_words(session)).message
    session.close()
    between.scripts = {b"speaks": frame(OK, 1) + frame(encode_error(4031, "HY000", "it was idle for too long"), 0)}
    session = client(mysql, opened=opened)
    said(session, query("select 'speaks'"))
    awaited(trail, lambda one: one["kind"] == "session.end")
    session.framer.sequence = 0
    error = parse_error(session.read())
    assert (error.errno, error.message) == (4031, "it was idle for too long")
    assert session.read() == b""
    session.close()
    assert [one["protocol"] for one in recorded(mysql, "codec")] == ["simple", "unasked"]
    between.scripts = {}


def _words(session: Client) -> bytes:
    session.framer.sequence = 1
    return session.read()


@pytest.mark.parametrize("script", [
    b"", frame(b"\x00", 1), frame(b"\x02", 1) + frame(b"\x03def", 2), frame(b"\xfe", 1), frame(b"\x01", 7),
    b"\xff\xff\xff\x01" + b"x" * 100, frame(b"\xfc\xff\xff", 1), frame(b"\xff", 1),
])  # fmt: skip
def test_a_target_that_answers_nonsense_costs_its_session_and_no_other(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between, script: bytes
) -> None:
    between.scripts = {b"nonsense": script}
    session = client(mysql, opened=opened)
    session.sock.settimeout(3)
    with contextlib.closing(session.sock), contextlib.suppress(OSError, GatewayError):
        session.command(query("select 'nonsense'"))
        while session.read():
            pass
    between.scripts = {}
    made = recorded(mysql, "codec")
    assert len(made) == 1
    assert made[0]["status"] in ("cut", "ok", "error")
    with mysql.connect(opened) as other, other.cursor() as cursor:
        assert cursor.execute("select 1") == 1


def test_a_client_that_does_not_wait_has_each_of_its_commands_on_record_ahead_of_it(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between
) -> None:
    session = client(mysql, opened=opened)
    many = b"".join(frame(query(f"select {number} as ahead"), 0) for number in range(50))
    session.sock.sendall(many + frame(encode_number(Command.PING), 0))
    heard: list[bytes] = []
    while len(heard) < 50:
        session.framer.sequence = 1
        parts = [session.read() for _ in range(4)]
        heard.append(parts[2])
    session.framer.sequence = 1
    assert session.read()[:1] == b"\0"
    session.close()
    assert heard == [bytes((len(str(number)),)) + str(number).encode() for number in range(50)]
    assert len(recorded(mysql, "codec")) == 50


@pytest.mark.parametrize("raw", [
    frame(query("select 'never'"), 1), frame(b"", 0), frame(b"\x22", 0), frame(b"\x19\x01", 0), b"\xff\xff\xff\x00",
])  # fmt: skip
def test_a_client_that_breaks_the_protocol_runs_nothing_more(
    mysql: MysqlHouse, opened: dict[str, Any], between: Between, raw: bytes
) -> None:
    between.seen.clear()
    session = client(mysql, opened=opened)
    session.sock.settimeout(5)
    with contextlib.closing(session.sock), contextlib.suppress(OSError, GatewayError):
        session.sock.sendall(raw + frame(query("select 'never'"), 0))
        while session.read():
            pass
    assert [one["sql"] for one in recorded(mysql, "codec")] == []
    assert not any(b"never" in one for one in between.seen)


def test_what_ends_a_session_ends_its_statement_too(mysql: MysqlHouse, opened: dict[str, Any]) -> None:
    for end in (_revoked, _left):
        trail = mysql.house.follow()
        # the grant of another ticket, since it is over then
        mine = mysql.opened(ticket=SECOND_TICKET) if end is _revoked else opened
        connection = mysql.connect(mine)
        connection._execute_command(0x03, b"select sleep(57)")  # type: ignore[attr-defined]
        eventually(lambda: mysql.truth(SLEEPING) == [(1,)])
        end(mysql, connection, mine)
        begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "sleep" in one["sql"])
        ended = awaited(trail, partial(_ends, begun["statement"]))
        assert ended["status"] == "cut"
        eventually(lambda: mysql.truth(SLEEPING) == [(0,)])
        with contextlib.suppress(pymysql.Error):
            connection.close()


def _ends(statement: str, record: dict[str, Any]) -> bool:
    return bool(record["kind"] == "statement.end" and record["statement"] == statement)


def _revoked(mysql: MysqlHouse, _: pymysql.Connection[Any], opened: dict[str, Any]) -> None:
    mysql.house.actor("alice").revoke(opened["grant"], "a test")


def _left(_: MysqlHouse, connection: Any, _opened: dict[str, Any]) -> None:
    connection._force_close()


def inserts(connection: pymysql.Connection[Any], done: list[int], path: Path) -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute("insert into written values ('insert', 1)")
            done[0] += 1


def several(connection: pymysql.Connection[Any], done: list[int], path: Path) -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute("insert into written values ('several', 1); insert into written values ('several', 2)")
            while cursor.nextset():
                pass
            done[0] += 1


def loads(connection: pymysql.Connection[Any], done: list[int], path: Path) -> None:
    with connection.cursor() as cursor:
        while True:
            try:
                cursor.execute(f"load data local infile '{path}' into table written")
            except AttributeError:
                # PyMySQL still ends the file when it has given the connection up
                assert connection._sock is None
                return
            done[0] += 1


def reads(connection: pymysql.Connection[Any], done: list[int], path: Path) -> None:
    cursor = connection.cursor(pymysql.cursors.SSCursor)
    try:
        while True:
            cursor.execute("select a.id, a.email from employees a cross join employees b")
            while cursor.fetchone() is not None:
                done[0] += 1
    finally:
        _unread(connection)


ACTS: tuple[Callable[[Any, list[int], Path], None], ...] = (inserts, several, loads, reads)
LINE = b"load\t1\n"


@pytest.mark.parametrize("round_", range(3))
def test_a_kill_at_any_moment_leaves_a_trail_that_covers_what_clients_got_and_did(
    mysql: MysqlHouse, opened: dict[str, Any], tmp_path: Path, round_: int
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(LINE * 200_000)
    mysql.truth("truncate written")
    before = len(mysql.house.records())
    done: dict[str, list[int]] = {}
    threads = []
    for act in ACTS:
        done[act.__name__] = [0]
        flags = {"local_infile": True, "client_flag": Capability.MULTI_STATEMENTS}
        connection = mysql.connect(opened, program_name=f"{act.__name__}-{round_}", **flags)
        threads.append(threading.Thread(target=_until_the_end, args=(act, connection, done[act.__name__], path)))
    for thread in threads:
        thread.start()
    busy = {"inserts": 10, "several": 10, "reads": 1000}
    eventually(lambda: all(done[name][0] > most for name, most in busy.items()), lambda: str(done), patience_s=60)
    time.sleep(random.Random(round_).uniform(0, 0.7))
    mysql.house.gateway.kill()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    mysql.house.gateway.start()
    house = mysql.house
    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    eventually(
        lambda: mysql.truth("select count(*) from information_schema.processlist where user = 'application'") == [(0,)]
    )
    news = house.records()[before:]
    begun = [one for one in news if one["kind"] == "statement.begin"]
    found = dict(mysql.truth("select mark, count(*) from written group by mark"))
    assert sum("insert" in one.get("sql", "") for one in begun) >= found["insert"] + found["several"]
    amounts: dict[str, int] = {}
    rows: dict[str, int] = {}
    sessions = {one["session"]: one.get("application", "") for one in news if one["kind"] == "session.begin"}
    for one in news:
        if one.get("bytes_in"):
            amounts[one["statement"]] = max(amounts.get(one["statement"], 0), one["bytes_in"])
        if "window_rows" in one and sessions.get(one["session"], "").startswith("reads"):
            rows[one["statement"]] = one["window_rows"]
    assert sum(amounts.values()) >= found.get("load", 0) * len(LINE)
    assert found.get("load", 0)
    assert sum(rows.values()) >= done["reads"][0]


def _until_the_end(act: Callable[[Any, list[int], Path], None], connection: Any, done: list[int], path: Path) -> None:
    with contextlib.suppress(pymysql.Error, OSError):
        act(connection, done, path)
    _unread(connection)
    connection._force_close()


def _unread(connection: Any) -> None:
    """PyMySQL would read on when the result is forgotten."""
    if connection._result is not None:
        connection._result.unbuffered_active = False
