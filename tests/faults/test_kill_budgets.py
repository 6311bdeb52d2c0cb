"""`kill -9` and a new start give nobody a budget back: rows, exact searches and aggregations stay used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, awaited, eventually, open_house, small_payroll
from raw_client import Raw, query

from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

pytestmark = [pytest.mark.faults, pytest.mark.live]

SEED = 2026
ROWS, SEARCHES, SUMS = 20_000, 4, 4
POLICY = (Path(__file__).parents[2] / "policies" / "payroll.yaml").read_text()
MANY = "select n from generate_series(1, {}) n"
# more than what lies between two processes holds, so that a statement that is cut had not ended before
WIDE = "select n, repeat('x', 2000) from generate_series(1, {}) n"
SEARCH = "select id from employees where email = 'nobody@x.example'"
SUM = "select avg(salary) from employees union all select sum(salary) from employees"


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, SEED), SEED) as server:
        yield server


@pytest.fixture
def house(target: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    plain = "salary: {mask: bucket, size: 10000}"
    assert POLICY.count(plain) == 1
    policy = POLICY.replace(plain, "salary: {mask: bucket, size: 10000, aggregate: {min_group: 5, subject: id}}")
    policy = policy.replace("tests: payroll_test.yaml", "")
    limits = {
        "rows_per_statement": ROWS, "rows_per_day": ROWS, "exact_searches_per_hour": SEARCHES,
        "aggregates_per_hour": SUMS,
    }  # fmt: skip
    with open_house(tmp_path_factory.mktemp("budgets"), target, limits=limits, policy=policy) as house:
        house.opened()
        yield house


def code_of_refusal(connection: psycopg.Connection[Any], text: str) -> str:
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(text)
    return (refused.value.diag.message_detail or "").removeprefix("code: ")


def restart(house: House) -> None:
    house.gateway.kill()
    house.gateway.start()


def test_searches_and_sums_of_the_hour_are_used_after_a_kill(house: House) -> None:
    with house.connect() as connection:
        for _ in range(SEARCHES):
            connection.execute(SEARCH)
        connection.execute(SUM)
    restart(house)
    with house.connect() as connection:
        connection.execute(SUM)
        assert code_of_refusal(connection, SEARCH) == "search-budget-exhausted"
        assert code_of_refusal(connection, SUM) == "aggregate-budget-exhausted"
        assert len(connection.execute("select id from employees limit 5").fetchall()) == 5


def test_each_restart_leaves_less_of_the_day_and_never_more(house: House) -> None:
    read = 0
    for _ in range(4):
        trail = house.follow()
        with house.connect() as connection:
            read += len(connection.execute(MANY.format(ROWS // 4)).fetchall())
        # until its end is on record, a statement has used what was announced
        awaited(trail, lambda one: one["kind"] == "session.end")
        restart(house)
    assert read == ROWS
    with house.connect() as connection:
        assert code_of_refusal(connection, "select 1") == "row-budget-exhausted"


def test_rows_of_a_statement_that_the_kill_cut_are_used(house: House) -> None:
    got = 0
    while True:
        with Raw(house) as raw:
            raw.log_in()
            raw.send(query(WIDE.format(ROWS - 1)))
            rows = 0
            while rows < 3000 and (kind := raw.needed()[0]) != wire.ERROR_RESPONSE:
                rows += kind == wire.DATA_ROW
            house.gateway.kill()
            # what was on its way still arrives
            while (more := raw.message_or_fragment()) is not None:
                rows += more == wire.DATA_ROW
        got += rows
        house.gateway.start()
        assert got <= ROWS
        if rows < 3000:
            break
    ceilings = [one for one in house.records() if one["kind"] == "statement.unknown"]
    assert ceilings
    assert sum(one.get("rows", 0) for one in ceilings) >= 3000
    eventually(lambda: house.sessions() == 0)
