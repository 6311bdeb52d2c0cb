"""What fails while a statement writes to MariaDB: the client, the gateway, the time; and what the trail says then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gateway_fixture import awaited, eventually
from mysql_house import DATABASE, MysqlHouse
from mysql_writing_house import approved, writing, writing_house
from test_mysql_faults import leave

from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.live, pytest.mark.faults]
WAITS = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"
CHANGE = "update companies set plan = concat('f', plan)"


@pytest.fixture(scope="module")
def desk(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with writing_house(tmp_path_factory.mktemp("mysql"), postgres) as house:
        yield house


@pytest.fixture
def plan(desk: MysqlHouse) -> Iterator[str]:
    """The customer's plan, put back afterwards."""
    ((before,),) = desk.truth(f"select plan from companies where id = {CUSTOMER}")
    yield before
    desk.truth(f"update companies set plan = '{before}' where id = {CUSTOMER}")


@contextlib.contextmanager
def locked(house: MysqlHouse) -> Iterator[pymysql.Connection[Any]]:
    """The customer's company held by somebody else."""
    with pymysql.connect(
        unix_socket=str(house.server.socket), user="root", password=house.server.root_password, database=DATABASE
    ) as other, other.cursor() as cursor:  # fmt: skip
        cursor.execute(f"select plan from companies where id = {CUSTOMER} for update")
        yield other
        other.rollback()


def waiting(house: MysqlHouse) -> int:
    """How many statements wait for a lock."""
    # InnoDB renews what it tells here once nobody has asked for a tenth of a second
    time.sleep(0.25)
    return int(house.truth(WAITS)[0][0])


def sent(connection: Any, text: str) -> None:
    """A statement whose answer nobody reads yet."""
    connection._execute_command(0x03, text.encode())


def test_a_client_that_leaves_stops_what_it_writes(desk: MysqlHouse, plan: str) -> None:
    trail = desk.house.follow()
    connection = desk.connect(writing(desk))
    with locked(desk):
        sent(connection, CHANGE)
        eventually(lambda: waiting(desk) == 1)
        begun = awaited(trail, lambda one: one["kind"] == "statement.begin" and "companies" in one["sql"])
        leave(connection)
        ended = awaited(trail, lambda one: one["kind"] == "statement.end" and one["statement"] == begun["statement"])
        assert ended["status"] == "cut"
        eventually(lambda: waiting(desk) == 0)
    time.sleep(0.5)
    assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [(plan,)]


def test_what_a_killed_gateway_was_writing_is_on_record_as_unknown(desk: MysqlHouse, plan: str) -> None:
    follower = desk.house.follow()
    connection = desk.connect(writing(desk))
    with locked(desk) as other:
        sent(connection, CHANGE)
        eventually(lambda: waiting(desk) == 1)
        # what reached the target is durable already
        desk.house.gateway.kill()
        other.rollback()
    leave(connection)
    desk.house.gateway.start()
    news = list(follower.news())
    (begun,) = [one for one in news if one["kind"] == "statement.begin" and "companies" in one["sql"]]
    ended = [one["kind"] for one in news if one.get("statement") == begun["statement"]]
    assert ended == ["statement.begin", "statement.unknown"]
    # it took place or did not: that is what `unknown` says
    ((now,),) = desk.truth(f"select plan from companies where id = {CUSTOMER}")
    assert now in (plan, f"f{plan}")


def test_an_approved_statement_that_a_killed_gateway_was_writing_stays_spent(desk: MysqlHouse) -> None:
    ((number,),) = desk.truth(f"select min(id) from employees where company_id = {CUSTOMER}")
    statement = f"update employees set status = concat(status, '') where id = {number}"
    grant = approved(desk, statement)
    connection = desk.connect(grant)
    with pymysql.connect(
        unix_socket=str(desk.server.socket), user="root", password=desk.server.root_password, database=DATABASE
    ) as other, other.cursor() as cursor:  # fmt: skip
        cursor.execute(f"select id from employees where id = {number} for update")
        sent(connection, statement)
        eventually(lambda: waiting(desk) == 1)
        desk.house.gateway.kill()
        other.rollback()
    leave(connection)
    desk.house.gateway.start()
    with desk.connect(grant) as again, again.cursor() as second, pytest.raises(pymysql.Error, match="let run already"):
        second.execute(statement)


def test_a_write_that_waits_too_long_fails_and_may_be_tried_again(desk: MysqlHouse, plan: str) -> None:
    with desk.connect(writing(desk)) as connection, connection.cursor() as cursor:
        cursor.execute("set innodb_lock_wait_timeout = 1")
        with locked(desk):
            began = time.monotonic()
            with pytest.raises(pymysql.Error) as said:
                cursor.execute(CHANGE)
            assert said.value.args[0] in (1205, 1969)
            assert time.monotonic() - began < 45
        assert cursor.execute(CHANGE) == 1
    assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [(f"f{plan}",)]


def test_what_a_session_left_open_is_rolled_back_when_it_ends(desk: MysqlHouse, plan: str) -> None:
    connection = desk.connect(writing(desk), autocommit=False)
    with connection.cursor() as cursor:
        assert cursor.execute(CHANGE) == 1
    leave(connection)
    eventually(lambda: desk.truth("select count(*) from information_schema.innodb_trx") == [(0,)])
    assert desk.truth(f"select plan from companies where id = {CUSTOMER}") == [(plan,)]
