"""`kill -9` of a gateway that observes, under load: what clients got, and what took effect, is all on record."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from gateway_fixture import House, eventually, small_payroll
from observed_fixture import open_observed
from raw_client import Raw, query
from test_kill_gateway import Got, act_until_the_end, large_copy, large_result, on_record, small_statements

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

pytestmark = [pytest.mark.faults, pytest.mark.live]

ROUNDS = 3
SEED = 2026


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, SEED), SEED) as server:
        yield server


@pytest.fixture(scope="module")
def house(target: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_observed(tmp_path_factory.mktemp("kill"), target) as house:
        target.sql("create table written (mark text, n int)")
        target.sql("grant all on written to application")
        house.opened()
        yield house


def inserts(raw: Raw, got: Got) -> None:
    while True:
        raw.send(wire.encode_parse(b"", "insert into written values ('insert', 1)") + wire.encode_bind(b"", b""))
        raw.send(wire.encode_execute(b"") + wire.encode_sync())
        until_ready(raw, got)


def copies(raw: Raw, got: Got) -> None:
    while True:
        rows = wire.frame(wire.COPY_DATA, b"copy\t1\n" * 10)
        raw.send(query("copy written from stdin") + rows + wire.frame(wire.COPY_DONE))
        until_ready(raw, got)


def notices(raw: Raw, got: Got) -> None:
    while True:
        raw.send(query("do $$ begin for n in 1..1000 loop raise notice '%', repeat('x', 1000); end loop; end $$"))
        until_ready(raw, got)


def until_ready(raw: Raw, got: Got) -> None:
    while True:
        kind, _ = raw.needed()
        got.rows += kind in (wire.DATA_ROW, wire.COPY_DATA)
        if kind == wire.READY_FOR_QUERY:
            got.statements += 1
            return


ACTS: tuple[Callable[[Raw, Got], None], ...] = (
    small_statements, large_result, large_copy, inserts, copies, notices,
)  # fmt: skip


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_kill_at_any_moment_leaves_a_trail_that_covers_what_clients_got_and_did(house: House, round_: int) -> None:
    house.truth("truncate written")
    before = len(house.records())
    got: dict[str, Got] = {}
    threads = [
        threading.Thread(target=act_until_the_end, args=(house, f"observed-{act.__name__}-{round_}", act, got))
        for act in ACTS
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: sum(one.statements for one in list(got.values())) > 10)
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
        statements, rows = recorded.get(name, (0, 0))
        assert statements >= one.statements, name
        assert rows >= one.rows, name
    news = house.records()[before:]
    begun = [one for one in news if one["kind"] == "statement.begin"]
    # what took effect was on record first: inserts by their begin, copies by the amount that was sent in
    eventually(lambda: house.truth("select count(*) from pg_stat_activity where usename = 'application'") == [(0,)])
    ((inserted, copied),) = house.truth(
        "select count(*) filter (where mark = 'insert'), count(*) filter (where mark = 'copy') from written"
    )
    assert sum("insert into written" in one.get("sql", "") for one in begun) >= inserted
    amounts = {one["statement"]: one["bytes_in"] for one in news if one.get("bytes_in")}
    assert sum(amounts.values()) >= copied * len(b"copy\t1\n")
    assert inserted
    assert copied
