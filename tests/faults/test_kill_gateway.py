"""`kill -9` of the gateway under a mixed load, again and again: nothing that a client got is missing from the trail.

Each client calls itself by a name of its own, which its session's record carries; so what it received is compared with
what is on record for exactly that session.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_fixture import House, eventually, open_house, small_payroll
from raw_client import Raw, query

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

pytestmark = [pytest.mark.faults, pytest.mark.live]

ROUNDS = 4
SEED = 2026


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, SEED), SEED) as server:
        yield server


@pytest.fixture(scope="module")
def house(target: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    limits = {"rows_per_statement": 50_000_000, "rows_per_day": 1_000_000_000}
    with open_house(tmp_path_factory.mktemp("kill"), target, limits=limits) as house:
        house.opened()
        yield house


class Got:
    """What one client received: rows, and statements that were answered to the end."""

    def __init__(self) -> None:
        self.rows = 0
        self.statements = 0
        self.inside = False


def small_statements(raw: Raw, got: Got) -> None:
    while True:
        raw.send(query("select id, email from employees limit 3"))
        until_ready(raw, got)


def prepared_statements(raw: Raw, got: Got) -> None:
    raw.send(wire.encode_parse(b"s", "select id, nir from employees where id > $1") + wire.encode_sync())
    while raw.needed()[0] != wire.READY_FOR_QUERY:
        pass
    while True:
        raw.send(wire.frame(wire.BIND, b"\0s\0\0\0\0\1\0\0\0\x010\0\0") + wire.frame(wire.EXECUTE, b"\0\0\0\0\0"))
        raw.send(wire.encode_sync())
        until_ready(raw, got)


def large_result(raw: Raw, got: Got) -> None:
    raw.send(query("select n, e.iban from generate_series(1, 3000000) n, (select * from employees limit 1) e"))
    until_ready(raw, got)


def large_copy(raw: Raw, got: Got) -> None:
    raw.send(query("copy (select n, repeat('x', 200) from generate_series(1, 3000000) n) to stdout"))
    until_ready(raw, got)


def logins(raw: Raw, got: Got) -> None:
    """Nothing more: to be inside is what is compared."""


def until_ready(raw: Raw, got: Got) -> None:
    while True:
        kind, _ = raw.needed()
        got.rows += kind in (wire.DATA_ROW, wire.COPY_DATA)
        if kind == wire.READY_FOR_QUERY:
            got.statements += 1
            return


ACTS: tuple[Callable[[Raw, Got], None], ...] = (
    small_statements,
    prepared_statements,
    large_result,
    large_copy,
    logins,
    logins,
)


def act_until_the_end(house: House, name: str, act: Callable[[Raw, Got], None], got: dict[str, Got]) -> None:
    number = 0
    while True:
        me = got[f"{name}-{number}"] = Got()
        try:
            with Raw(house) as raw:
                raw.log_in(application_name=f"{name}-{number}")
                me.inside = True
                act(raw, me)
        except (OSError, AssertionError):
            # the gateway is gone; what came before is what counts
            return
        number += 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_kill_at_any_moment_leaves_a_trail_that_covers_all_that_clients_got(house: House, round_: int) -> None:
    got: dict[str, Got] = {}
    threads = [
        threading.Thread(target=act_until_the_end, args=(house, f"{act.__name__}-{round_}-{place}", act, got))
        for place, act in enumerate(ACTS)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: any(one.rows for one in list(got.values())))
    time.sleep(random.Random(round_).uniform(0, 0.7))
    house.gateway.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    house.gateway.start()

    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    recorded = on_record(house)
    for name, one in got.items():
        if one.inside:
            assert name in recorded, f"{name} was inside without a record"
        statements, rows = recorded.get(name, (0, 0))
        assert statements >= one.statements, name
        assert rows >= one.rows, name
    with house.connect() as connection:
        assert connection.execute("select count(*) from employees").fetchone() == (len(house.promised()),)


def on_record(house: House) -> dict[str, tuple[int, int]]:
    """For each client's name: how many statements began, and up to how many rows the records let leave."""
    names: dict[str, str] = {}
    statements: Counter[str] = Counter()
    rows: dict[str, dict[str, int]] = {}
    for record in house.records():
        session: Any = record.get("session")
        if record["kind"] == "session.begin":
            names[session] = record.get("application", "")
        elif record["kind"] == "statement.begin":
            statements[session] += 1
            rows.setdefault(session, {})[record["statement"]] = record["window_rows"]
        elif record["kind"] in ("statement.window", "statement.end", "statement.unknown"):
            # an end says how many did leave, a window how many might have
            windowed = record.get("window_rows", record.get("rows", 0))
            rows.setdefault(session, {})[record["statement"]] = windowed
    return {name: (statements[session], sum(rows.get(session, {}).values())) for session, name in names.items()}


def test_every_killed_statement_is_closed_once_and_no_session_is_left_open(house: House) -> None:
    begun: set[str] = set()
    closed: Counter[str] = Counter()
    for record in house.records():
        if record["kind"] == "statement.begin":
            begun.add(record["statement"])
        elif record["kind"] in ("statement.end", "statement.unknown"):
            closed[record["statement"]] += 1
    house.settled()
    assert set(closed) == begun
    assert set(closed.values()) == {1}
