"""Promise: at any `kill -9`, the durable records cover at least the rows and bytes that each client received.

A gateway that streams large results is killed when one of its clients has received exactly so many bytes, chosen at
random over seven orders of magnitude; all clients then read on to the end, for what the kernel still held of theirs was
disclosed too. Each client runs one statement in a session of its own, so its record is found by the client's name.
`SOAK_S` is how long each way of connecting is tried; `make soak` sets it.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
from gateway_fixture import House, open_house, small_payroll
from raw_client import Raw, query

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

pytestmark = [pytest.mark.faults, pytest.mark.live]

SEED = 2026
SOAK_S = float(os.environ.get("SOAK_S", "25"))
LARGEST = 20_000_000
ROWS = "select n, repeat('x', (n * 7919) % 2500), e.iban from generate_series(1, 100000) n, one e"
ONE = "with one as (select iban from employees limit 1) "


def simple(text: str) -> bytes:
    return query(text)


def extended(text: str) -> bytes:
    parse, bind = wire.encode_parse(b"", text), wire.frame(wire.BIND, b"\0\0\0\0\0\0\0\0")
    return parse + bind + wire.frame(wire.EXECUTE, b"\0\0\0\0\0") + wire.encode_sync()


def copy(text: str) -> bytes:
    return query(f"copy ({text}) to stdout")


ASK = {"simple": simple, "extended": extended, "copy": copy}


class Client(Raw):
    """A session that counts what it gets. `plain` is without TLS."""

    plain = False

    def tls(self) -> Self:
        return self if self.plain else super().tls()


class PlainClient(Client):
    plain = True


@dataclass
class Got:
    """What one client received of its result, the row that was cut off included in the bytes."""

    rows: int = 0
    size: int = 0


def count(got: Got, buffer: bytes) -> bytes:
    """Count the whole messages in the buffer; what is left of it."""
    at = 0
    while len(buffer) - at >= 5:
        end = at + 1 + int.from_bytes(buffer[at + 1 : at + 5], "big")
        if end > len(buffer):
            break
        if buffer[at] in (wire.DATA_ROW, wire.COPY_DATA):
            got.rows += 1
            got.size += end - at
        at = end
    return buffer[at:]


def receive(client: Client, got: Got, stop_at: int | None) -> bytes:
    """Read until the end, or until that many bytes came; the beginning of a message that is not whole yet."""
    rest, received = client.buffer, len(client.buffer)
    while stop_at is None or received < stop_at:
        wanted = 65_536 if stop_at is None else min(65_536, stop_at - received)
        try:
            more = client.socket.recv(wanted)
        except (ConnectionError, ssl.SSLError):
            break
        if not more:
            break
        received += len(more)
        rest = count(got, rest + more)
    client.buffer = rest
    return rest


def run(house: House, kind: str, name: str, got: Got, ready: threading.Barrier, kill_at: int | None) -> None:
    made = PlainClient if house.company.directory.parent.name == "off" else Client
    with made(house) as client:
        client.log_in(application_name=name)
        ready.wait(60)
        client.send(ASK[kind](ONE + ROWS))
        if kill_at is not None:
            receive(client, got, kill_at)
            house.gateway.kill()
        rest = receive(client, got, None)
        if rest[:1] and rest[0] in (wire.DATA_ROW, wire.COPY_DATA):
            got.size += len(rest)


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, SEED), SEED) as server:
        yield server


@pytest.fixture(scope="module", params=["required", "off"])
def house(
    request: pytest.FixtureRequest, target: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A gateway whose windows are small, so that a kill strikes between many of them."""
    limits = {"rows_per_statement": 10**9, "rows_per_day": 10**10}
    settings = {
        "listen": {"postgres": {"tls": request.param}},
        "audit": {"window_rows": 20, "window_bytes": "8KiB", "segment_size": "4MiB"},
    }
    directory = tmp_path_factory.mktemp("disclosure") / request.param
    directory.mkdir()
    with open_house(directory, target, limits=limits, settings=settings) as house:
        house.opened()
        yield house


def ceilings(records: Iterator[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """For each client's name the rows and bytes that durable records let leave, as the last record of it says."""
    names: dict[str, str] = {}
    found: dict[str, tuple[int, int]] = {}
    for record in records:
        name = names.get(record.get("session", ""), "")
        if record["kind"] == "session.begin":
            names[record["session"]] = record.get("application", "")
        elif record["kind"] in ("statement.begin", "statement.window"):
            found[name] = record["window_rows"], record["window_bytes"]
        elif record["kind"] == "statement.unknown":
            # what recovery says is what the windows said
            assert found[name] == (record["rows"], record["bytes"]), name
    return found


def test_the_durable_records_cover_what_every_client_received(
    house: House, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    chance = random.Random(secrets.randbits(64))
    follower = house.follow()
    kills = clients = received = 0
    closest = float("inf")
    end = time.monotonic() + SOAK_S
    while time.monotonic() < end or kills < 3:
        kinds = [*ASK, *ASK]
        chance.shuffle(kinds)
        got = {f"{kind}-{kills}-{place}": Got() for place, kind in enumerate(kinds)}
        kill_at = int(10 ** chance.uniform(0, 7.3))
        assert kill_at <= LARGEST
        ready = threading.Barrier(len(kinds))
        threads = [
            threading.Thread(target=run, args=(house, kind, name, got[name], ready, None if place else kill_at))
            for place, (kind, name) in enumerate(zip(kinds, got, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        house.gateway.start()
        recorded = ceilings(follower.news())
        for name, one in got.items():
            # a client whose statement was never recorded must have received nothing of it
            rows, size = recorded.get(name, (0, 0))
            assert one.rows <= rows, (name, one, kill_at)
            assert one.size <= size, (name, one, kill_at)
            received += one.size
            if one.size:
                closest = min(closest, size - one.size)
        kills, clients = kills + 1, clients + len(got)
    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    with capsys.disabled(), contextlib.suppress(OSError):
        print(f"\n{request.node.name}: {kills} kills, {clients} results cut, {received:,} bytes, closest {closest:,}")
