"""No session makes a transaction or a lock wait for ever: the policy's bounds hold whatever a client sets or resets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from gateway_fixture import House, awaited, eventually, open_house

from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def impatient(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    limits = {"idle_in_transaction_timeout": "2s", "statement_timeout": "5s"}
    with open_house(tmp_path_factory.mktemp("impatient"), postgres, limits=limits) as house:
        house.opened()
        yield house


@pytest.mark.parametrize("undone", ["", "reset all", "discard all", "reset idle_in_transaction_session_timeout"])
def test_a_forgotten_transaction_ends_with_its_session(impatient: House, undone: str) -> None:
    trail = impatient.follow()
    with impatient.connect() as connection:
        if undone:
            connection.execute("set idle_in_transaction_session_timeout = '1s'")
            connection.execute(undone.encode())
        assert connection.execute("show idle_in_transaction_session_timeout").fetchone() == ("2s",)
        connection.execute("begin")
        connection.execute("select count(*) from employees")
        began = time.monotonic()
        eventually(lambda: impatient.sessions() == 0)
        assert 1.0 < time.monotonic() - began < 6.0
        with pytest.raises(psycopg.Error, match="waited longer for its next statement"):
            connection.execute("select 1")
    assert awaited(trail, lambda one: one["kind"] == "session.end")["status"] == "cut"
    impatient.settled()


def test_bounds_cannot_be_lifted_and_can_be_lowered(impatient: House) -> None:
    with impatient.connect() as connection:
        for name, bound in (("idle_in_transaction_session_timeout", "2s"), ("lock_timeout", "5s")):
            for value in ("0", "'6s'", "-1"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=name):
                    connection.execute(f"set {name} = {value}".encode())
            assert connection.execute(f"show {name}".encode()).fetchone() == (bound,)
            connection.execute(f"set {name} = '50ms'".encode())
            assert connection.execute(f"show {name}".encode()).fetchone() == ("50ms",)
            connection.execute(f"set {name} to default".encode())
            assert connection.execute(f"show {name}".encode()).fetchone() == (bound,)
    with pytest.raises(psycopg.OperationalError, match="may not be given at start-up"):
        impatient.connect(options="-c idle_in_transaction_session_timeout=0")
