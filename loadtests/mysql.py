"""`python -m loadtests mysql`: MariaDB directly, through HAProxy in TCP mode, and through the gateway.

The gateway is the real process with everything on: person, TOTP, ticket, grant, pass, rewriting, and a trail that is
flushed to disk before a row leaves. Every client speaks TLS; HAProxy passes it on as it is, while the gateway ends it
and speaks TLS of its own to MariaDB. sysbench asks for single rows and for 200; large results are read by MariaDB's
own client, and by a reader that looks at no row. In each round every road is walked once, and roads take turns at going
first; numbers are medians of the rounds, ratios the medians of the rounds' ratios. All share the cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pymysql

from gateway.demo.ports import HOST
from gateway.demo.postgres import DemoError
from loadtests.ground import database
from loadtests.measures import Numbers
from loadtests.mysql_ground import DATABASE, POINTS, ROLE, SECRET, Road, Server, gateway, haproxy, mariadb, road, tell
from loadtests.mysql_reader import read_all
from loadtests.processes import busy_seconds, cpu_seconds, private_bytes, raise_descriptor_limit

CLIENTS = (1, 8, 32)
_SCRIPT = Path(__file__).with_name("mysql.lua")
_EVENTS = re.compile(r"total number of events: +(\d+)")
_TIME = re.compile(r"total time: +([0-9.]+)s")
_BIN = re.compile(r"^ *([0-9.]+) \|\**\s*(\d+)$", re.MULTILINE)
_LARGE = "select * from wide"
Found = dict[tuple[str, str], list[Numbers]]
Measure = Callable[[Road], Numbers]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests mysql", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds the medians are taken of")
    parser.add_argument("--seconds", type=int, default=3, help="how long each road is walked in a round")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how long the large result is")
    parser.add_argument("--idle", type=int, default=200, help="how many idle sessions are weighed")
    parser.add_argument("--only", default="", help="only measurements whose name contains this, such as `text-32`")
    given = parser.parse_args(arguments)
    if shutil.which("sysbench") is None:
        raise DemoError("sysbench was not found", "install it with `apt-get install sysbench`")
    raise_descriptor_limit()
    # whoever stops us means everything that we started
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    began, (busy, ours) = time.monotonic(), busy_seconds()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-mysql-")))
        # PostgreSQL, which the gateway's company needs, runs as an unprivileged user
        root.chmod(0o711)
        tell("making the tables")
        server = stack.enter_context(mariadb(root / "mariadb", given.rows))
        postgres = stack.enter_context(database(root / "database", 1_000, tell))
        roads = [
            road("direct", server.port, ROLE, SECRET, server.ca, None, server, root / "direct"),
            stack.enter_context(haproxy(root / "haproxy", server)),
            stack.enter_context(gateway(root / "gateway", postgres, server)),
        ]
        kinds = {name: measure for name, measure in _kinds(server, given.rows, given.seconds) if given.only in name}
        found = _measured(roads, kinds, given.rounds)
        if given.only in "idle":
            for one in roads[1:]:
                found["idle", one.name] = [_idle(one, given.idle)]
        _report(found)
    took = time.monotonic() - began
    others = busy_seconds()[0] - busy - (busy_seconds()[1] - ours)
    print(f"took {took:.0f} s, during which other work used {max(0.0, others) / took:.2f} cores")
    return 0


def _kinds(server: Server, rows: int, seconds: int) -> Iterator[tuple[str, Measure]]:
    """Every kind of measurement, by name."""
    for clients in CLIENTS:
        for protocol in ("text", "prepared"):
            prepared = f"--prepared={'on' if protocol == 'prepared' else 'off'}"
            yield f"{protocol}-{clients}", partial(_sysbench, server, clients, seconds, ["--kind=point", prepared])
    for protocol in ("text", "prepared"):
        options = ["--kind=query", f"--rows={rows}", f"--prepared={'on' if protocol == 'prepared' else 'off'}"]
        yield f"query-{protocol}", partial(_sysbench, server, 1, seconds, options)
    yield "large-client", partial(_large_client, rows)
    yield "large-reader", _large_reader
    yield "connect", partial(_sysbench, server, 8, seconds, ["--kind=connect"])


def _measured(roads: list[Road], kinds: dict[str, Measure], rounds: int) -> Found:
    found: Found = {}
    for one in roads:
        # walked once before anything counts
        read_all(one, "select count(*) from wide", DATABASE)
    for number in range(rounds):
        turn = number % len(roads)
        for name, measure in kinds.items():
            tell(f"round {number + 1} of {rounds}: {name}")
            for one in roads[turn:] + roads[:turn]:
                found.setdefault((name, one.name), []).append(measure(one))
    return found


def _sysbench(server: Server, clients: int, seconds: int, options: list[str], road: Road) -> Numbers:
    """What sysbench counts: `per_s`, `p50_us`, `p99_us`, and of each event the CPU of the proxy and of all."""
    before, all_before = _proxy(road), _everything(server, road)
    said = subprocess.run(
        ["sysbench", str(_SCRIPT), f"--mysql-host={HOST}", f"--mysql-port={road.port}", f"--mysql-user={road.user}",
         f"--mysql-password={road.password}", f"--mysql-db={DATABASE}", "--mysql-ssl=on", "--db-driver=mysql",
         f"--threads={clients}", f"--time={seconds}", "--histogram=on", f"--points={POINTS}", *options, "run"],
        capture_output=True, text=True, check=False, timeout=seconds + 120, cwd=road.directory,
    )  # fmt: skip
    count, took = _EVENTS.search(said.stdout), _TIME.search(said.stdout)
    if said.returncode or count is None or took is None or not int(count[1]):
        raise RuntimeError(f"sysbench failed on the road `{road.name}`:\n{(said.stdout + said.stderr)[-1500:]}")
    # what is still being closed belongs to the bill
    time.sleep(0.2)
    events = int(count[1])
    return {
        "per_s": events / float(took[1]),
        "p50_us": _quantile(said.stdout, 0.50),
        "p99_us": _quantile(said.stdout, 0.99),
        "cpu_us": (_proxy(road) - before) / events * 1e6,
        "total_us": (_everything(server, road) - all_before) / events * 1e6,
    }


def _quantile(said: str, share: float) -> float:
    """From sysbench's histogram, whose steps are of 1.6 %; µs."""
    bins = [(float(ms) * 1000, int(count)) for ms, count in _BIN.findall(said)]
    left = share * sum(count for _, count in bins)
    for value, count in bins:
        left -= count
        if left <= 0:
            return value
    raise DemoError("sysbench showed no histogram", said[-500:])


def _large_client(rows: int, road: Road) -> Numbers:
    """The large result read by MariaDB's own client: `rows_per_s`."""
    began = time.perf_counter()
    lines = subprocess.run(
        ["/bin/sh", "-c", '"$@" | wc -l', "-", "mariadb", "--no-defaults", f"--host={HOST}", "--protocol=tcp",
         f"--port={road.port}", f"--user={road.user}", f"--ssl-ca={road.ca}", "--quick", "--batch",
         "--skip-column-names", f"--execute={_LARGE}", DATABASE],
        env={"MYSQL_PWD": road.password, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True, text=True, check=True, timeout=600,
    ).stdout  # fmt: skip
    took = time.perf_counter() - began
    if int(lines) != rows:
        raise DemoError(f"the road `{road.name}` brought {lines.strip()} of {rows} rows", "")
    return {"rows_per_s": rows / took}


def _large_reader(road: Road) -> Numbers:
    """The same read by who looks at no row: `mb_per_s`."""
    took, size = read_all(road, _LARGE, DATABASE)
    return {"mb_per_s": size / took / 1e6}


def _idle(road: Road, count: int) -> Numbers:
    """`kib`: private memory that the proxy gains per session of `count`, each idle after one statement."""
    assert road.pid is not None
    context = ssl.create_default_context(cafile=str(road.ca))

    def held(sessions: int) -> int:
        with ExitStack() as stack:
            for _ in range(sessions):
                connection = pymysql.connect(
                    host="localhost", port=road.port, user=road.user, password=road.password, database=DATABASE,
                    ssl=context, charset="utf8mb4", autocommit=True,
                )  # fmt: skip
                stack.enter_context(contextlib.closing(connection))
                connection.cursor().execute("SELECT c FROM points WHERE id = 1")
            time.sleep(1.0)
            assert road.pid is not None
            return private_bytes(road.pid)

    few, many = held(20), held(20 + count)
    return {"kib": (many - few) / count / 1024}


def _proxy(road: Road) -> float:
    return cpu_seconds(road.pid) if road.pid is not None else 0.0


def _everything(server: Server, road: Road) -> float:
    return _proxy(road) + cpu_seconds(server.pid) + busy_seconds()[1]


def _report(found: Found) -> None:
    print(f"{'measurement':<46} {'direct':>10} {'haproxy':>10} {'gateway':>10}   gateway / direct, / haproxy")
    for protocol in ("text", "prepared"):
        for clients in CLIENTS:
            name = f"{protocol}-{clients}"
            who = f"point select, {protocol}, {clients:>2} client{'s' if clients > 1 else ''}"
            _line(found, name, "per_s", f"{who}, /s", "haproxy ≥ 0.45" if clients == 32 else "")
            _line(found, name, "p50_us", f"{who}, p50, µs")
            _line(found, name, "p99_us", f"{who}, p99, µs")
            _line(found, name, "cpu_us", f"{who}, CPU of the proxy, µs")
    for protocol in ("text", "prepared"):
        _line(found, f"query-{protocol}", "p50_us", f"200 rows, {protocol}, p50, µs")
        _line(found, f"query-{protocol}", "p99_us", f"200 rows, {protocol}, p99, µs")
    _line(found, "large-client", "rows_per_s", "large result, mariadb --quick, rows/s", "direct ≥ 0.8")
    _line(found, "large-reader", "mb_per_s", "large result, reader, MB/s", "direct ≥ 0.8")
    _line(found, "connect", "per_s", "connects, 8 clients, /s")
    _line(found, "connect", "cpu_us", "CPU per connect, proxy, µs")
    _line(found, "connect", "total_us", "CPU per connect, everything, µs")
    _line(found, "idle", "kib", "memory per idle session, KiB")


def _line(found: Found, name: str, key: str, what: str, aim: str = "") -> None:
    three = [[one[key] for one in found.get((name, road), ()) if one.get(key)] for road in _ROADS]
    if not three[2]:
        return
    ratios = []
    for other in three[:2]:
        ratios.append(statistics.median(a / b for a, b in zip(three[2], other, strict=True)) if other else None)
    met = ""
    if aim:
        against, _, limit = aim.partition(" ≥ ")
        ratio = ratios[_ROADS.index(against)]
        met = f"   aim: ≥ {limit} of {against}: {'met' if ratio is not None and ratio >= float(limit) else 'missed'}"
    cells = " ".join(f"{_written(statistics.median(one)) if one else '':>10}" for one in three)
    print(f"{what:<46} {cells}   {' '.join(f'{one:6.2f}' if one is not None else ' ' * 6 for one in ratios)}{met}")


_ROADS = ("direct", "haproxy", "gateway")


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
