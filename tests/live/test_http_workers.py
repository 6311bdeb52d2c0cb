"""Several processes that speak HTTP on the same sockets: they share the work, and one's end is nobody else's."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_fixture import awaited, eventually
from http_house import HttpHouse, open_http_house, token
from http_reading import Reader, announced, is_alive

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

ONE = "/companies/42/employees/4200"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("workers"), postgres, settings={"http": {"workers": 2}}) as place:
        eventually(lambda: len(place.pids()) == 2)
        yield place


def holder(place: HttpHouse, port: int) -> int:
    """The process that holds the connection of the client with that port (proc(5): `fd`, `net/tcp`)."""
    for pid in place.pids():
        links = (os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink())
        inodes = {link for link in links if link.startswith("socket:")}
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        if any(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in inodes for row in rows):
            return pid
    raise AssertionError("nobody holds it")


def test_both_take_clients_and_one_session_serves_through_both(place: HttpHouse) -> None:
    mine = place.opened()
    held: Counter[int] = Counter()
    with contextlib.ExitStack() as readers:
        for _ in range(24):
            reader = readers.enter_context(Reader(place, ONE, token(mine)))
            reader.read(10)
            held[holder(place, reader.sock.getsockname()[1])] += 1
    assert set(held) == set(place.pids()), held
    records = place.house.records()
    assert len([one for one in records if one["kind"] == "session.begin"]) == 1
    statements = [one["statement"] for one in records if one["kind"] == "statement.begin"]
    assert len(statements) == len(set(statements)) == 24


def test_one_that_is_killed_takes_its_own_requests_along_and_no_others(place: HttpHouse) -> None:
    mine = place.opened()
    readers: dict[int, Reader] = {}
    with contextlib.ExitStack() as open_ones:
        while len(readers) < 2:
            reader = open_ones.enter_context(Reader(place, "/companies/42/export?lines=150&slow=true", token(mine)))
            reader.read(1000)
            readers.setdefault(holder(place, reader.sock.getsockname()[1]), reader)
        killed, other = readers
        follower = place.house.follow()
        os.kill(killed, signal.SIGKILL)
        for reader in readers.values():
            reader.read(1 << 40)
    assert not readers[killed].got.endswith(b"0\r\n\r\n")
    assert readers[other].got.endswith(b"0\r\n\r\n")
    unknown = awaited(follower, lambda record: record["kind"] == "statement.end" and record["status"] == "unknown")
    assert readers[killed].rows() <= unknown["rows"] == announced(place, unknown["statement"])[0]

    def ends() -> list[dict[str, Any]]:
        return [one for one in place.house.records() if one["kind"] == "engine.process" and one["state"] == "ended"]

    eventually(lambda: bool(ends()))
    (ended,) = ends()
    assert ended["reason"] == "signal SIGKILL"
    assert ended["count"] >= 1
    # whoever comes meanwhile is served by the other one, and soon there are two again
    with place.client(mine) as client:
        assert client.get(ONE).status_code == 200
    eventually(lambda: len(place.pids()) == 2 and killed not in place.pids(), patience_s=20)
    assert other in place.pids()


def test_the_gateway_is_ready_while_one_serves_and_stops_with_all(place: HttpHouse) -> None:
    one, other = place.pids()
    os.kill(one, signal.SIGKILL)
    with httpx2.Client(trust_env=False, timeout=10) as client:
        assert client.get(f"http://127.0.0.1:{place.house.company.ports['ops']}/readyz").status_code == 200
    eventually(lambda: len(place.pids()) == 2 and one not in place.pids(), patience_s=20)
    left = place.pids()
    place.house.gateway.stop()
    eventually(lambda: not any(is_alive(pid) for pid in {other, *left}))
    place.house.gateway.start()
    eventually(lambda: len(place.pids()) == 2)
