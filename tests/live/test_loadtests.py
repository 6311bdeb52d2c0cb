"""The load tests measure what they say: a smoke run over real servers, and the verdicts of the table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.demo.ports import HOST
from gateway.demo.postgres import BACKEND_ROLE, DATABASE, EmbeddedPostgres
from loadtests import bench, engineers, mysql
from loadtests.measures import medians
from loadtests.reader import RawReader
from loadtests.report import Results, rows, write_report

TINY = bench.Plan(rounds=1, clients=(1,), statement_s=1, query_s=1, connect_s=1, rows=2_000, idle=5, encryption=(True,))
KINDS = ("simple-1", "prepared-1", "query-simple", "query-prepared", "large-select", "large-copy", "connect")


def test_a_run_measures_every_road_and_leaves_no_process(tmp_path: Path) -> None:
    told: list[str] = []
    before = _descendants()
    results = bench.run(TINY, told.append)
    assert _descendants() <= before
    for road in ("direct", "pgbouncer", "gateway"):
        for kind in KINDS:
            numbers = results.numbers[True, kind, road]
            assert all(value > 0 for name, value in numbers.items() if name in ("tps", "p50_us", "mb_per_s", "per_s"))
    assert results.numbers[True, "masked-query", "gateway"]["p50_us"] > 0
    assert "kib" in results.numbers[True, "idle", "gateway"]
    text = write_report(results, "a command")
    assert "| large result, SELECT" in text
    assert "| email | email (keyed) |" in text
    assert "First analysis" in text
    assert str(tmp_path.parent) not in text


def test_mysql_is_measured_on_every_road(capsys: pytest.CaptureFixture[str]) -> None:
    before = _descendants()
    assert mysql.main(["--rounds=1", "--seconds=1", "--rows=2000", "--idle=3", "--only=e"]) == 0
    assert _descendants() <= before
    said = capsys.readouterr().out
    numbers = {line[:46].strip(): line[46:].split()[:3] for line in said.splitlines()}
    for what in ("point select, prepared,  1 client, /s", "200 rows, text, p50, µs", "connects, 8 clients, /s"):
        assert all(float(one.replace(",", "")) > 0 for one in numbers[what])
    assert "large result, mariadb --quick" in said
    assert "memory per idle session" in said


def test_engineers_work_with_codes_and_tickets_of_their_own() -> None:
    with engineers.workplace(2, lambda _sentence: None) as facts:
        assert engineers.run_locust(facts, 2, 8) == 0


def test_the_reader_counts_what_it_does_not_decode(postgres: EmbeddedPostgres) -> None:
    reader = RawReader(
        HOST, postgres.port, DATABASE, BACKEND_ROLE, postgres.password(BACKEND_ROLE), ca=postgres.ca, timeout_s=10
    )
    try:
        assert reader.read("select generate_series(1, 50000)", "SELECT 50000").size > 50_000 * 12
        assert reader.read("copy (select 1 union all select 2) to stdout", "COPY 2").size > 0
        with pytest.raises(ConnectionError, match="does not end with SELECT 3"):
            reader.read("select 1", "SELECT 3")
        with pytest.raises(ConnectionError, match="failed"):
            reader.read("select nothing", "SELECT 1")
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("gateway_tps", "gateway_p50", "throughput", "latency"),
    [(450.0, 260.0, True, True), (449.0, 261.0, False, False)],
)
def test_an_aim_is_met_exactly_up_to_its_limit(
    gateway_tps: float, gateway_p50: float, throughput: bool, latency: bool
) -> None:
    results = Results()
    for road, tps, p50 in (
        ("direct", 2000.0, 50.0),
        ("pgbouncer", 1000.0, 100.0),
        ("gateway", gateway_tps, gateway_p50),
    ):
        results.add("simple-32", road, {"tps": tps}, tls=False)
        results.add("simple-1", road, {"tps": tps, "p50_us": p50, "p99_us": p50}, tls=False)
    found = {row.name: row.met for row in rows(results, tls=False)}
    assert found["select-only, simple, 32 clients"] is throughput
    assert found["latency p50, simple, 1 client"] is latency
    assert found["large result, SELECT"] is None


def test_medians_are_taken_number_by_number() -> None:
    assert medians([{"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 7.0}, {"a": 2.0, "b": 8.0}]) == {"a": 2.0, "b": 8.0}


def _descendants() -> set[int]:
    """Processes whose parent we are; what a run started must be among them no more."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
