"""The measurements: each takes a road, runs for a bounded time, and returns numbers by name.

pgbench is the client where latency and throughput of statements are measured; `reader.py` where results are large;
libpq by psycopg where sessions are held open. A measurement that fails raises: a wrong number is worse than none.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from gateway.demo.ports import HOST
from gateway.demo.postgres import DATABASE
from loadtests.ground import Road
from loadtests.processes import Cpu, cpu_of, private_bytes
from loadtests.reader import RawReader

_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_COUNT = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_CONNECT = re.compile(r"^average connection time = ([0-9.]+) ms", re.MULTILINE)

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where pgbench is, where it may write, and whose CPU counts as the database's."""

    program: Path
    directory: Path
    postmaster: int

    def cpu(self, road: Road) -> Cpu:
        """What each side has used until now."""
        return cpu_of(road.pid, self.postmaster)


def select_only(bench: Bench, road: Road, protocol: str, clients: int, seconds: int) -> Numbers:
    """pgbench's own `-S`: `tps`, `cpu_us` of the proxy per statement; with one client `p50_us` and `p99_us` too."""
    return _run(bench, road, ["-S", "-M", protocol], clients, seconds)


def script(bench: Bench, road: Road, text: str, protocol: str, seconds: int, clients: int = 1) -> Numbers:
    """The same for a script of pgbench."""
    path = bench.directory / "script.sql"
    path.write_text(text)
    return _run(bench, road, ["-f", str(path), "-M", protocol], clients, seconds)


def connects(bench: Bench, road: Road, seconds: int, clients: int = 8) -> Numbers:
    """Connections made and closed: `per_s`, and CPU of the proxy and of everything together for each, in µs."""
    path = bench.directory / "connect.sql"
    # no statement at all: what is measured is the way in
    path.write_text("\\set nothing 1\n")
    before = bench.cpu(road)
    start = time.perf_counter()
    said = _pgbench(bench, road, ["-C", "-f", str(path), "-c", str(clients), "-j", "2", "-T", str(seconds)], seconds)
    took = time.perf_counter() - start
    # sessions that are still being closed belong to the bill
    time.sleep(0.2)
    used = bench.cpu(road) - before
    count = int(_found(_COUNT, said))
    return {
        "per_s": count / took,
        "proxy_us": used.proxy / count * 1e6,
        "total_us": used.total / count * 1e6,
    }


def large_result(road: Road, query: str, tag: str) -> Numbers:
    """One result read to its end: `seconds`, `first_s` to its first byte, and `mb_per_s`."""
    reader = RawReader(HOST, road.port, DATABASE, road.user, road.password, ca=road.ca)
    try:
        reading = reader.read(query, tag)
    finally:
        reader.close()
    return {"seconds": reading.seconds, "first_s": reading.first_s, "mb_per_s": reading.size / reading.seconds / 1e6}


def idle_sessions(road: Road, count: int) -> Numbers:
    """`kib`: private memory that the proxy's process gains per session of `count`, each idle after one statement."""
    assert road.pid is not None
    parameters = road.parameters()
    _hold(parameters, 40, lambda: None)
    time.sleep(1.0)
    before = private_bytes(road.pid)
    held = _hold(parameters, count, partial(_settled_bytes, road.pid))
    return {"kib": (held - before) / count / 1024, "base_mib": before / 1024**2}


def medians(rounds: list[Numbers]) -> Numbers:
    """The median of each number over the rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _run(bench: Bench, road: Road, what: list[str], clients: int, seconds: int) -> Numbers:
    arguments = [*what, "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds)]
    with tempfile.TemporaryDirectory(dir=bench.directory) as logs:
        if clients == 1:
            arguments += ["--log", f"--log-prefix={logs}/log"]
        before = bench.cpu(road)
        said = _pgbench(bench, road, arguments, seconds)
        used = bench.cpu(road) - before
        count = int(_found(_COUNT, said))
        numbers = {
            "tps": float(_found(_TPS, said)),
            "cpu_us": used.proxy / count * 1e6,
            "connect_ms": float(_found(_CONNECT, said.replace("initial connection time", "average connection time"))),
        }
        if clients == 1:
            numbers |= _latencies(Path(logs))
    return numbers


def _latencies(directory: Path) -> Numbers:
    """From pgbench's log (its manual, "Per-Transaction Logging"): the third word is the latency in µs."""
    took = sorted(
        int(line.split(maxsplit=3)[2]) for path in directory.iterdir() for line in path.read_text().splitlines()
    )
    return {"p50_us": _quantile(took, 0.50), "p99_us": _quantile(took, 0.99)}


def _quantile(ordered: list[int], share: float) -> float:
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])


def _pgbench(bench: Bench, road: Road, arguments: list[str], seconds: int) -> str:
    done = subprocess.run(
        [bench.program, "--no-vacuum", *arguments],
        env=road.environment(),
        capture_output=True,
        text=True,
        cwd=bench.directory,
        timeout=seconds * 3 + 60,
        check=False,
    )
    failed = _FAILED.search(done.stdout)
    if done.returncode or (failed is not None and int(failed[1])):
        raise RuntimeError(f"pgbench failed on the road `{road.name}`: {done.stderr.strip()[-1500:]}")
    return done.stdout


def _found(pattern: re.Pattern[str], said: str) -> str:
    match = pattern.search(said)
    if match is None:
        raise RuntimeError(f"pgbench did not say `{pattern.pattern}`:\n{said}")
    return match[1]


def _settled_bytes(pid: int) -> int:
    time.sleep(1.0)
    return private_bytes(pid)


def _hold(parameters: Mapping[str, Any], count: int, then: Callable[[], Any]) -> Any:
    """What `then` returns while that many sessions are open, each after one statement."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)
            stack.callback(connection.close)
            connection.execute("select abalance from pgbench_accounts where aid = 1")
        return then()
