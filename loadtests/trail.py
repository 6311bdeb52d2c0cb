"""`python -m loadtests trail`: what the audit trail costs by itself, without a gateway around it.

Append: how many records of a statement become durable a second, and how long one waits, with so many producers that
each wait for their last record; beside it one that appends the same bytes to a file and calls fdatasync for each, and
one that inserts them into SQLite (WAL, synchronous = FULL) for each. Verify: records a second of the offline verifier,
in one process and in as many as there are processors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from gateway.audit.checkpoint import Signer
from gateway.audit.encode import leaf_of
from gateway.audit.log import FileLog
from gateway.audit.segment import segments_of
from gateway.audit.verify import verify_log
from gateway.audit_settings import Replica
from gateway.record import Form, event

ORIGIN = "bench.example/trail"
PRODUCERS = (1, 16, 64, 256)
BEGIN: dict[str, Any] = {
    **{"session": "s-0193b7a1", "login": "alice", "person": "u-1001", "teams": ["support"], "engine": "postgres"},
    **{"address": "10.0.0.7:40000", "application": "psql", "tls": "TLSv1.3", "user": "alice+SUP-1423"},
    **{"ticket_system": "tickets", "ticket": "SUP-1423", "ticket_state": "open", "target": "payroll"},
    **{"customers": ["42"], "grant": "g-1", "request": "r-1", "factor": "totp", "factor_age_s": 12, "verb": "select"},
    "sql": "select first_name, email, iban from employees where id = $1 order by id limit $2",
    **{"relations": ["public.employees"], "scope": ["public.employees"], "columns_clear": ["public.employees.id"]},
    "columns_masked": ["public.employees.email", "public.employees.iban"],
    **{"fingerprint": "a" * 16, "decision": "permit", "policy": "sha256:" + "a" * 64},
}
BEGINS = Form("statement.begin", (BEGIN,), ("statement", "window_rows", "window_bytes"))
ENDS = Form(
    "statement.end",
    ({"session": "s-0193b7a1", "status": "ok"},),
    ("statement", "begin", "rows", "bytes", "duration_us"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests trail", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each append is measured")
    parser.add_argument("--records", type=int, default=400_000, help="how many records are verified")
    parser.add_argument("--directory", type=Path, help="where to write (default: below the working directory)")
    parser.add_argument("--quorum", action="store_true", help="also with three PostgreSQL servers that acknowledge")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.directory or Path.cwd()) as name:
        place = Path(name)
        for producers in PRODUCERS:
            rate, p50, p99 = uvloop.run(append(place / f"trail{producers}", producers, given.seconds))
            print(f"append, {producers:3} producers: {rate:8,.0f} records/s, p50 {p50:6.2f} ms, p99 {p99:6.2f} ms")
        if given.quorum:
            measure_quorum(place, given.seconds)
        print(f"file + fdatasync, one by one: {plain(place / 'plain', given.seconds):8,.0f} records/s")
        print(f"SQLite, one by one:           {sqlite(place / 'trail.sqlite', given.seconds):8,.0f} records/s")
        key = fill(place / "verify", given.records)
        *full, (last, _) = segments_of(place / "verify")
        for jobs in sorted({1, os.cpu_count() or 1}):
            start = time.monotonic()
            report = verify_log(place / "verify", key, jobs=jobs)
            took = time.monotonic() - start
            assert report.ok, report.problems
            print(f"verify, {jobs} processes: {report.size / took:8,.0f} records/s")
        if full:
            on_disk = sum(path.stat().st_size for _, path in full)
            print(f"on disk: {on_disk / last * 2:,.0f} bytes a statement (begin and end)")
    return 0


def measure_quorum(place: Path, seconds: float) -> None:
    """The same appends, each acknowledged by one of two standbys on this machine's one disk as well."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))
    from quorum_servers import cluster

    with cluster() as servers:
        for producers in PRODUCERS:
            directory = place / f"quorum{producers}"
            replica, origin = servers.replica(), f"{ORIGIN}/{producers}"
            rate, p50, p99 = uvloop.run(append(directory, producers, seconds, origin, replica))
            print(f"quorum, {producers:3} producers: {rate:8,.0f} records/s, p50 {p50:6.2f} ms, p99 {p99:6.2f} ms")


def opened(
    directory: Path, key: Signer, loop: asyncio.AbstractEventLoop | None, replica: Replica | None = None
) -> FileLog:
    """A new trail as the gateway opens it."""
    return FileLog.open(
        directory, origin=key.verifier.name, key=key, clock=lambda: datetime.now(UTC), time_ns=time.time_ns, loop=loop,
        segment_bytes=64 << 20, replica=replica,
    )  # fmt: skip


async def append(
    directory: Path, producers: int, seconds: float, origin: str = ORIGIN, replica: Replica | None = None
) -> tuple[float, float, float]:
    """Begin records a second, and the middle and 99th wait in milliseconds; ends ride along, as the gate has them."""
    log = opened(directory, Signer.generate(origin), asyncio.get_running_loop(), replica)
    waits: list[float] = []
    numbers = iter(range(1 << 40))
    finished = asyncio.get_running_loop().create_future()
    deadline = time.monotonic() + seconds
    left = producers

    def produce(*_: Any) -> None:
        nonlocal left
        start = time.monotonic()
        if start > deadline:
            left -= 1
            if not left:
                finished.set_result(None)
            return
        number = next(numbers)

        def durable(receipt: Any) -> None:
            waits.append(time.monotonic() - start)
            log.append_form(ENDS, (f"Q{number}", receipt.index, 3, 240, 400), urgent=False)
            produce()

        log.append_form(BEGINS, (f"Q{number}", 1000, 1 << 20)).add_done_callback(durable)

    for _ in range(producers):
        produce()
    await finished
    log.rest()
    await asyncio.to_thread(log.close)
    waits.sort()
    return len(waits) * 2 / seconds, statistics.median(waits) * 1e3, waits[len(waits) * 99 // 100] * 1e3


def plain(path: Path, seconds: float) -> float:
    """Records a second for who appends to a file and flushes each."""
    leaf = leaf_of(event("statement.begin", **BEGIN))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        os.write(descriptor, leaf)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / seconds


def sqlite(path: Path, seconds: float) -> float:
    """Records a second for who inserts each into SQLite."""
    leaf = leaf_of(event("statement.begin", **BEGIN))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE leaves (id INTEGER PRIMARY KEY, leaf BLOB NOT NULL)")
    count, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.execute("INSERT INTO leaves (leaf) VALUES (?)", (leaf,))
        count += 1
    connection.close()
    return count / seconds


def fill(directory: Path, records: int) -> str:
    """A closed trail of so many records, and its public key."""
    key = Signer.generate(ORIGIN)
    log = opened(directory, key, None)
    for number in range(records // 2):
        begin = log.append_form(BEGINS, (f"Q{number}", 1000, 1 << 20))
        log.append_form(ENDS, (f"Q{number}", begin.index, 3, 240, 400))
        if number % 64 == 0:
            log.flush()
    log.close()
    return key.verifier.text
