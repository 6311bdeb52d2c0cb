"""What happens to answers under way when something dies: nothing unrecorded left, and a reviewer sees what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from gateway_fixture import awaited, eventually
from http_house import HttpHouse, open_http_house, token
from http_reading import Reader, announced, is_alive, process

from gateway.demo.company import SECOND_TICKET, TARGET, TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.errors import GatewayError

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("faults"), postgres) as place:
        yield place


@pytest.mark.parametrize("enough", [1, 500_000, 3_000_000])
def test_a_process_that_is_killed_has_released_only_what_was_announced(place: HttpHouse, enough: int) -> None:
    mine = place.opened()
    follower = place.house.follow()
    pid = process(place)
    with Reader(place, "/companies/42/export?lines=2000000", token(mine)) as reader:
        reader.read(enough)
        os.kill(pid, signal.SIGKILL)
        reader.read(1 << 40)
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert end["status"] == "unknown"
    rows, size = announced(place, end["statement"])
    assert enough // 200 <= reader.rows() <= rows
    assert (end["rows"], end["bytes"]) == (rows, size)
    awaited(follower, lambda record: record["kind"] == "engine.process" and record["state"] == "started", 20)
    *_, ended, _ = [record for record in place.house.records() if record["kind"] == "engine.process"]
    assert (ended["state"], ended["reason"], ended["count"]) == ("ended", "signal SIGKILL", 1)
    assert end["index"] < ended["index"]
    with place.client(mine) as client:
        assert client.get("/companies/42/employees/4200").status_code == 200


def test_clients_that_come_while_there_is_no_process_wait(place: HttpHouse) -> None:
    mine = place.opened()
    pid = process(place)
    os.kill(pid, signal.SIGKILL)
    with place.client(mine) as client:
        assert client.get("/companies/42/employees/4200").status_code == 200
    assert place.pids() != [pid]


def test_a_client_that_leaves_ends_its_request(place: HttpHouse) -> None:
    mine = place.opened()
    follower = place.house.follow()
    with Reader(place, "/companies/42/export?lines=100000&slow=true", token(mine)) as reader:
        reader.read(1000)
    end = awaited(follower, lambda record: record["kind"] == "statement.end", 15)
    assert end["status"] == "cut"
    sent = place.office.lines_sent
    eventually(lambda: place.office.lines_sent == sent or place.office.lines_sent < 100_000)


def test_a_client_that_does_not_read_holds_no_memory(place: HttpHouse) -> None:
    mine = place.opened()
    pid = process(place)

    def resident() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = resident()
    with Reader(place, "/companies/42/export?lines=2000000", token(mine)) as reader:
        reader.read(1000)
        sent = -1
        while sent != place.office.lines_sent:
            sent = place.office.lines_sent
            time.sleep(0.5)
        assert sent < 1_000_000
        assert resident() - before < 60_000


def test_a_gateway_that_stops_leaves_nothing_unsettled(place: HttpHouse) -> None:
    mine = place.opened(ticket=SECOND_TICKET)
    with Reader(place, "/companies/41/export?lines=1000000&slow=true", token(mine)) as reader:
        reader.read(1000)
        follower = place.house.follow()
        place.house.actor("alice").revoke(mine["grant"], "done")
        end = awaited(follower, lambda record: record["kind"] == "statement.end")
        reader.read(1 << 40)
    assert end["status"] == "cut"
    assert reader.rows() <= end["rows"]
    place.house.gateway.stop()
    place.house.gateway.start()
    eventually(lambda: len(place.pids()) == 1)
    assert not [record for record in place.house.records() if record["kind"] == "statement.unknown"]


def test_the_process_dies_with_the_gateway(place: HttpHouse) -> None:
    mine = place.opened(ticket=SECOND_TICKET)
    pid = process(place)
    with Reader(place, "/companies/41/export?lines=1000000&slow=true", token(mine)) as reader:
        reader.read(1000)
        gateway = place.house.gateway.pid
        assert gateway is not None
        os.kill(gateway, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        reader.read(1 << 40)
    place.house.gateway.stop()
    place.house.gateway.start()
    unknown = [record for record in place.house.records() if record["kind"] == "statement.unknown"][-1]
    rows, _ = announced(place, unknown["statement"])
    assert 0 < reader.rows() <= rows
    eventually(lambda: len(place.pids()) == 1)


def test_on_an_older_python_the_rest_serves_and_says_why(place: HttpHouse) -> None:
    """The gateway is told that it runs on Python 3.11: everything but its APIs is there."""
    place.house.gateway.stop()
    program = (
        "import sys\nfrom gateway.engines import http_support\nhttp_support.OLDEST = (9, 0)\n"
        "from gateway.cli import main\nsys.exit(main())\n"
    )
    serve = [sys.executable, "-P", "-c", program, "--config", str(place.house.company.config), "serve"]
    log = place.house.directory / "older.log"
    with log.open("wb") as file, subprocess.Popen(serve, stdout=file, stderr=file) as process:
        try:
            eventually(lambda: '"serving"' in log.read_text(), log.read_text, 30)
            database = place.house.actor("alice").open(TICKET, target=TARGET)
            login = place.house.login_as(database["user"], database["password"])
            with psycopg.connect(**login, autocommit=True) as connection:
                assert connection.execute("select count(*) from companies").fetchone() == (1,)
            with pytest.raises(GatewayError, match=r"Python 3\.12") as refused:
                place.opened()
            assert refused.value.code == "target-unavailable"
            assert "HTTP targets need Python 3.12" in log.read_text()
        finally:
            process.terminate()
            process.wait(30)
