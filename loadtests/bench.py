"""`make bench`: the three roads measured in one run, interleaved, medians of the rounds.

Each round takes one short measurement on every road before the next kind of measurement begins, so that whatever else
the machine does at the time falls on all of them; roads take turns at going first.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import GatewayError
from loadtests import cost, kept, measures
from loadtests.ground import Ground, Road, database, find_pgbouncer, ground
from loadtests.measures import Bench, Numbers
from loadtests.processes import busy_seconds, machine, raise_descriptor_limit, version_of
from loadtests.report import Results, write_report

_SELECT_200 = """\\set first random(1, {last})
\\set final :first + 199
SELECT * FROM {table} WHERE id BETWEEN :first AND :final;
"""

Measure = Callable[[Road], Numbers]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Times in seconds."""

    rounds: int = 5
    clients: tuple[int, ...] = (1, 8, 32)
    statement_s: int = 3
    query_s: int = 1
    connect_s: int = 2
    rows: int = 1_000_000
    idle: int = 500
    encryption: tuple[bool, ...] = (False, True)


FULL = Plan()
QUICK = Plan(rounds=1, clients=(1, 32), statement_s=1, connect_s=1, rows=100_000, idle=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write it. Returns the exit status."""
    options = _options(arguments)
    plan = QUICK if options.quick else FULL
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    if options.tls != "both":
        plan = replace(plan, encryption=(options.tls == "on",))
    raise_descriptor_limit()
    # whoever stops us means everything that we started
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    started = time.monotonic()

    def tell(sentence: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {sentence}", file=sys.stderr, flush=True)

    busy, ours = busy_seconds()
    try:
        results = run(plan, tell, wanted=options.only)
    except GatewayError as error:
        print(f"loadtests: {error.refusal.message}", file=sys.stderr)
        return 1
    took = time.monotonic() - started
    # everything that we started has ended by now, so its CPU is in ours; the rest was somebody else's
    others = (busy_seconds()[0] - busy) - (busy_seconds()[1] - ours)
    results.facts["took"] = f"{took:.0f} s, during which other work used {max(0.0, others) / took:.2f} cores"
    command = " ".join(["python -m loadtests", *(arguments if arguments is not None else sys.argv[1:])])
    # what is kept is a whole run or nothing
    output = options.output or (kept.RESULTS if plan == FULL and not options.only else None)
    text = write_report(results, command)
    print(text)
    if output is not None:
        others = kept.split(output.read_text())[1] if output.exists() else ""
        output.write_text(f"{text}\n{others}" if others else text)
    return 0


def run(plan: Plan, tell: Callable[[str], object], wanted: str = "") -> Results:
    """Measure everything in the plan whose name contains `wanted`."""
    results = Results()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        # the database and pgbouncer run as unprivileged users, who must be able to enter
        root.chmod(0o711)
        results.facts |= machine(root)
        with database(root / "database", plan.rows, tell) as postgres:
            programs = postgres.binaries.directory
            results.facts["PostgreSQL"] = postgres.binaries.version
            results.facts["pgbench"] = version_of(programs / "pgbench")
            results.facts["pgbouncer"] = version_of(find_pgbouncer())
            results.facts["rounds"] = f"{plan.rounds}, statements for {plan.statement_s} s each"
            results.facts["large result"] = f"{plan.rows:,} rows × 10 columns"
            for tls in plan.encryption:
                phase = "on" if tls else "off"
                scratch = root / f"scratch-{phase}"
                scratch.mkdir()
                assert postgres.pid is not None
                bench = Bench(programs / "pgbench", scratch, postgres.pid)
                with ground(root / f"tls-{phase}", postgres, tls=tls, tell=tell) as stage:
                    _measure(results, plan, stage, bench, tell, wanted)
    return results


def _measure(
    results: Results, plan: Plan, stage: Ground, bench: Bench, tell: Callable[[str], object], wanted: str
) -> None:
    kinds = {name: measure for name, measure in _kinds(plan, bench) if wanted in name}
    found: dict[tuple[str, str], list[Numbers]] = defaultdict(list)
    _warm(stage.roads)
    for number in range(plan.rounds):
        tell(f"TLS {'on' if stage.tls else 'off'}: round {number + 1} of {plan.rounds}")
        for name, measure in kinds.items():
            roads = stage.roads[number % 3 :] + stage.roads[: number % 3]
            for road in roads:
                if name.startswith("masked") and road.name != "gateway":
                    continue
                found[name, road.name].append(measure(road))
    for (name, road_name), rounds in found.items():
        results.add(name, road_name, measures.medians(rounds), tls=stage.tls)
    if wanted in "cost" and stage.tls == plan.encryption[0]:
        tell("masks and scopes")
        policy = stage.gateway.policy
        results.notes += cost.report(stage, bench, policy, plan.rows, plan.rounds, plan.query_s)
    if wanted in "idle":
        tell(f"opening {plan.idle} idle sessions")
        for place in (1, 2):
            # new processes each time: memory counts from the start, and nobody keeps the database's connections
            stage.restart_proxies()
            road = stage.roads[place]
            results.add("idle", road.name, measures.idle_sessions(road, plan.idle), tls=stage.tls)


def _kinds(plan: Plan, bench: Bench) -> Iterator[tuple[str, Measure]]:
    """Every kind of measurement, by the name that the report knows it by."""

    def select_only(protocol: str, clients: int) -> Measure:
        return lambda road: measures.select_only(bench, road, protocol, clients, plan.statement_s)

    def query(table: str, protocol: str) -> Measure:
        text = _SELECT_200.format(table=table, last=plan.rows - 200)
        return lambda road: measures.script(bench, road, text, protocol, plan.query_s)

    def large(query: str, verb: str) -> Measure:
        return lambda road: measures.large_result(road, query, f"{verb} {plan.rows}")

    for clients in plan.clients:
        for protocol in ("simple", "prepared"):
            yield f"{protocol}-{clients}", select_only(protocol, clients)
    for protocol in ("simple", "prepared"):
        yield f"query-{protocol}", query("public.wide", protocol)
    yield "masked-query", query("public.masked", "prepared")
    yield "large-select", large("select * from public.wide", "SELECT")
    yield "large-copy", large("copy (select * from public.wide) to stdout", "COPY")
    yield "connect", lambda road: measures.connects(bench, road, plan.connect_s)


def _warm(roads: Sequence[Road]) -> None:
    """Every road is walked once before anything counts."""
    for road in roads:
        measures.large_result(road, "select count(*) from public.wide", "SELECT 1")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="about a minute, to see that everything works")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds the medians are taken of")
    parser.add_argument("--tls", choices=("both", "off", "on"), default="both", help="which phase to run")
    parser.add_argument("--only", default="", help="only measurements whose name contains this, such as `simple-32`")
    parser.add_argument(
        "--output", type=Path, help="where the report goes (RESULTS.md beside this file after a full run)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
