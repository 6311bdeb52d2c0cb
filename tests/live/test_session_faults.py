"""What happens to sessions when the target dies, stands still or is away, and when the gateway is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, awaited, eventually, open_house
from psycopg import errors
from raw_client import Raw, code_of, query

from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

LARGE = "select n, repeat('x', 1000) from generate_series(1, 2000000) n"
SLOW = "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b"
STATEMENT_TIMEOUT_S = 2.0


class Road:
    """A TCP forwarder between gateway and target that can be closed and opened again."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._listener: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse newcomers and drop everybody."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # a thread that sits in accept keeps the port; shutdown wakes it
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        pairs, self._pairs = self._pairs, []
        for one in pairs:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def road(postgres: EmbeddedPostgres) -> Iterator[Road]:
    road = Road(postgres.port)
    yield road
    road.close()


@pytest.fixture(scope="module")
def far(postgres: EmbeddedPostgres, road: Road, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway whose target lies at the end of the road."""
    settings = {"targets": {"payroll": {"port": road.port, "connect_timeout": "2s"}}}
    limits = {
        "rows_per_statement": 100_000_000,
        "rows_per_day": 1_000_000_000,
        "statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s",
    }
    with open_house(tmp_path_factory.mktemp("far"), postgres, settings=settings, limits=limits) as house:
        house.opened()
        yield house


@pytest.fixture(autouse=True)
def as_it_was(far: House) -> Iterator[None]:
    yield
    assert far.gateway.pid is not None, far.gateway.log_tail()
    far.settled()


def backend_of(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def test_a_target_that_dies_in_the_middle_of_a_result_ends_the_session_with_a_reason(far: House) -> None:
    follower = far.follow()
    with Raw(far) as raw:
        raw.log_in()
        pid = int(raw.query("select pg_backend_pid()")[1][1][6:])
        raw.send(query(LARGE))
        received = 0
        while received < 100:
            received += raw.needed()[0] == wire.DATA_ROW
        assert far.truth("select pg_terminate_backend(%s)", pid) == [(True,)]
        error: dict[str, str] = {}
        while (message := raw.message()) is not None:
            received += message[0] == wire.DATA_ROW
            if message[0] == wire.ERROR_RESPONSE:
                assert not error
                error = wire.parse_error_fields(message[1])
    # A target whose own connection is clogged dies without a word.
    assert error["S"] == "FATAL"
    assert error["C"] in ("57P01", "08006")
    end = awaited(follower, lambda r: r["kind"] == "statement.end" and r["status"] == "cut")
    assert end["rows"] >= received


def test_a_target_that_dies_while_the_session_is_idle(far: House) -> None:
    with Raw(far) as raw:
        raw.log_in()
        pid = int(raw.query("select pg_backend_pid()")[1][1][6:])
        far.truth("select pg_terminate_backend(%s)", pid)
        error = raw.last_words()
    assert (error["S"], error["C"]) == ("FATAL", "57P01")
    assert "hidden" not in error["M"]


def test_a_target_killed_outright_is_a_target_that_closed_the_connection(far: House, road: Road) -> None:
    with Raw(far) as raw:
        raw.log_in()
        raw.send(query(SLOW))
        eventually(lambda: any(state == "active" for _, state in far.backends()))
        road.close()
        error = raw.last_words()
        assert (error["S"], error["C"], code_of(error)) == ("FATAL", "08006", "target-unavailable")
    road.open()
    eventually(lambda: enters(far))


def test_without_a_target_a_log_in_says_so_and_works_again_when_it_is_back(far: House, road: Road) -> None:
    road.close()
    time.sleep(0.1)
    with pytest.raises(psycopg.OperationalError) as refused:
        far.connect()
    assert "target" in str(refused.value)
    assert "127.0.0.1" not in str(refused.value).partition("FATAL:")[2]
    follower = far.follow()
    with Raw(far) as raw, contextlib.suppress(AssertionError):
        raw.log_in()
    # the session that began and could not go on is on record as such
    assert awaited(follower, lambda record: record["kind"] == "session.end")["code"] == "target-unavailable"
    road.open()
    eventually(lambda: enters(far))


def test_a_stopped_target_is_given_up_and_a_client_that_holds_its_sync_back_is_not(far: House) -> None:
    with far.connect() as connection, Raw(far) as raw:
        raw.log_in()
        raw.send(wire.encode_parse(b"", "select 7") + wire.frame(wire.BIND, b"\0\0\0\0\0\0\0\0"))
        raw.send(wire.frame(wire.EXECUTE, b"\0\0\0\0\0"))
        pid = backend_of(connection)
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(psycopg.OperationalError) as ended:
                connection.execute("select 1")
            after = time.monotonic() - start
        finally:
            os.kill(pid, signal.SIGCONT)
        assert "does not answer" in str(ended.value)
        assert STATEMENT_TIMEOUT_S < after < STATEMENT_TIMEOUT_S + 15
        time.sleep(2)
        raw.send(wire.encode_sync())
        assert [kind for kind, _ in raw.until_ready()] == [
            wire.PARSE_COMPLETE,
            wire.BIND_COMPLETE,
            wire.DATA_ROW,
            wire.COMMAND_COMPLETE,
            wire.READY_FOR_QUERY,
        ]


def test_a_target_that_goes_on_in_time_answers_as_if_nothing_had_been(far: House) -> None:
    with far.connect() as connection:
        pid = backend_of(connection)
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
        timer.start()
        try:
            assert connection.execute("select 7").fetchone() == (7,)
        finally:
            timer.join()


def test_a_statement_beyond_the_policy_s_time_is_stopped_and_the_session_goes_on(far: House) -> None:
    with far.connect() as connection:
        start = time.monotonic()
        with pytest.raises(errors.QueryCanceled):
            connection.execute(SLOW)
        assert time.monotonic() - start < STATEMENT_TIMEOUT_S + 3
        assert connection.execute("select 7").fetchone() == (7,)


def test_readiness_tells_the_truth_about_the_target(far: House) -> None:
    url = f"http://127.0.0.1:{far.company.ports['ops']}"
    with httpx2.Client(trust_env=False, timeout=5) as client:
        assert client.get(f"{url}/readyz").status_code == 200
        assert client.get(f"{url}/healthz").json() == {"status": "ok"}


def enters(house: House) -> bool:
    with contextlib.suppress(psycopg.Error), house.connect() as connection:
        return connection.execute("select 7").fetchone() == (7,)
    return False


def test_a_stop_lets_running_statements_end_and_tells_the_idle_why(far: House) -> None:
    with Raw(far) as idle, Raw(far) as busy:
        idle.log_in()
        busy.log_in()
        follower = far.follow()
        busy.send(query("select count(*) from generate_series(1, 4000000)"))
        awaited(follower, lambda record: record["kind"] == "statement.begin")
        stopper = threading.Thread(target=far.gateway.stop)
        stopper.start()
        answer = busy.until_ready()
        assert answer[1][1].endswith(b"4000000")
        for raw in (idle, busy):
            error = raw.last_words()
            assert (error["S"], error["C"], code_of(error)) == ("FATAL", "57P01", "shutting-down")
        stopper.join()
    kinds = [record["kind"] for record in far.records()]
    assert kinds[-1] == "log.stop"
    assert kinds.count("session.end") == kinds.count("session.begin")
    done = far.command("carol", "audit", "verify", str(far.company.state / "audit"))
    assert done.returncode == 0, done.stdout + done.stderr
    far.gateway.start()
