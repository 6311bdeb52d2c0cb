"""The table of ratios: what was measured, beside the aims that the project set itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from loadtests.measures import Numbers

_ROADS = ("direct", "pgbouncer", "gateway")


@dataclass
class Results:
    """Medians by (TLS, measurement, road), the facts of the run, and further parts of the report."""

    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    numbers: dict[tuple[bool, str, str], Numbers] = field(default_factory=dict)

    def add(self, name: str, road: str, numbers: Numbers, *, tls: bool) -> None:
        """Keep the medians of one measurement."""
        self.numbers[tls, name, road] = numbers

    def get(self, name: str, road: str, key: str, *, tls: bool) -> float | None:
        """One number, None where it was not measured."""
        return self.numbers.get((tls, name, road), {}).get(key)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the three values, how to write them, and the aim with its verdict (None where there is no aim)."""

    name: str
    unit: str
    values: tuple[float | None, float | None, float | None]
    aim: str = ""
    met: bool | None = None
    more_is_better: bool = True


def rows(results: Results, *, tls: bool) -> Iterator[Row]:
    """The lines of one phase."""

    def three(name: str, key: str) -> tuple[float | None, float | None, float | None]:
        direct, bouncer, gateway = (results.get(name, road, key, tls=tls) for road in _ROADS)
        return direct, bouncer, gateway

    measured = {name for phase, name, _ in results.numbers if phase == tls}
    for protocol in ("simple", "prepared"):
        for clients in sorted({int(name.rpartition("-")[2]) for name in measured if name.startswith(f"{protocol}-")}):
            values = three(f"{protocol}-{clients}", "tps")
            aim = "≥ 0.45 of pgbouncer" if clients == 32 else ""
            who = f"{clients} client{'s' if clients > 1 else ''}"
            yield Row(f"select-only, {protocol}, {who}", "/s", values, aim, _ratio(values, 2, 1, 0.45, aim))
    for protocol in ("simple", "prepared"):
        for key, what, limit in (("p50_us", "p50", 160.0), ("p99_us", "p99", None)):
            values = three(f"{protocol}-1", key)
            added = _added(values)
            aim = "added ≤ pgbouncer's + 160 µs" if limit is not None else ""
            met = None if limit is None or added is None else added[1] - added[0] <= limit
            yield Row(f"latency {what}, {protocol}, 1 client", "µs", values, aim, met, more_is_better=False)
    for protocol in ("simple", "prepared"):
        for key, what in (("p50_us", "p50"), ("p99_us", "p99")):
            values = three(f"query-{protocol}", key)
            aim = "≤ 1.2 of direct" if key == "p50_us" else ""
            met = _ratio(values, 2, 0, 1.2, aim, most=True)
            yield Row(f"200-row query {what}, {protocol}", "µs", values, aim, met, more_is_better=False)
    masked = results.get("masked-query", "gateway", "p50_us", tls=tls)
    yield Row("200-row query p50, prepared, five masks", "µs", (None, None, masked), more_is_better=False)
    for name, what in (("large-select", "SELECT"), ("large-copy", "COPY TO STDOUT")):
        values = three(name, "mb_per_s")
        aim = "≥ 0.8 of direct"
        yield Row(f"large result, {what}", "MB/s", values, aim, _ratio(values, 2, 0, 0.8, aim))
    yield Row("connects", "/s", three("connect", "per_s"))
    values = three("connect", "proxy_us")
    aim = "≤ 2 × pgbouncer"
    yield Row(
        "CPU per connect, proxy", "µs", (None, *values[1:]), aim, _ratio(values, 2, 1, 2, aim, most=True),
        more_is_better=False,
    )  # fmt: skip
    yield Row("CPU per connect, all processes", "µs", three("connect", "total_us"), more_is_better=False)
    for protocol in ("simple", "prepared"):
        _, bouncer, gateway = three(f"{protocol}-32", "cpu_us")
        what = f"CPU per statement, proxy, {protocol}, 32 clients"
        yield Row(what, "µs", (None, bouncer, gateway), more_is_better=False)
    values = three("idle", "kib")
    limit = 64 if tls else 16
    met = None if values[2] is None else values[2] <= limit
    yield Row("memory per idle session", "KiB", values, f"≤ {limit} KiB", met, more_is_better=False)


def write_report(results: Results, command: str) -> str:
    """The report as Markdown."""
    now = datetime.now(UTC)
    lines = [
        "# How fast the gateway is",
        "",
        "Three roads to one PostgreSQL on one machine, measured in one run, interleaved; every number is the median of",
        "the rounds. The gateway is the real process with everything on: person, TOTP, ticket, grant, pass, rewriting,",
        "and a trail that is flushed to disk before a row leaves. pgbouncer pools by session. The client, the proxy",
        "and the database share the cores; with TLS, both hops of every road are encrypted and verified.",
        "",
        f"- command: `{command}`",
        f"- date: {now:%Y-%m-%d}",
        *(f"- {name}: {value}" for name, value in results.facts.items()),
        "",
    ]
    for tls in sorted({phase for phase, _, _ in results.numbers}):
        lines += [f"## TLS {'on' if tls else 'off'}", "", *_table(list(rows(results, tls=tls))), ""]
    lines += [
        "“Added” is a road's p50 less the direct one's; the number behind that aim is what the gateway adds beyond",
        "what pgbouncer adds.",
        "",
        *results.notes,
    ]
    return "\n".join(lines)


def _table(found: list[Row]) -> Iterator[str]:
    head = (
        "measurement",
        "unit",
        *_ROADS,
        "gateway / direct",
        "pgbouncer / direct",
        "gateway / pgbouncer",
        "aim",
        "met",
    )
    body: list[tuple[str, ...]] = [head]
    for row in found:
        if all(value is None for value in row.values):
            continue
        direct, bouncer, gateway = row.values
        aim = row.aim
        added = _added(row.values) if "added" in row.aim else None
        if added is not None:
            aim = f"{aim}; is {added[1] - added[0]:+.0f}"
        body.append(
            (
                row.name,
                row.unit,
                *(_written(value) for value in row.values),
                _share(gateway, direct),
                _share(bouncer, direct),
                _share(gateway, bouncer),
                aim,
                {None: "", True: "yes", False: "no"}[row.met],
            )
        )
    widths = [max(len(line[place]) for line in body) for place in range(len(head))]
    for number, line in enumerate(body):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _added(values: tuple[float | None, float | None, float | None]) -> tuple[float, float] | None:
    """What pgbouncer and the gateway add to direct."""
    direct, bouncer, gateway = values
    if direct is None or bouncer is None or gateway is None:
        return None
    return bouncer - direct, gateway - direct


def _ratio(
    values: tuple[float | None, float | None, float | None],
    upper: int,
    lower: int,
    limit: float,
    aim: str,
    *,
    most: bool = False,
) -> bool | None:
    above, below = values[upper], values[lower]
    if not aim or above is None or not below:
        return None
    return above / below <= limit if most else above / below >= limit


def _share(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above is not None and below else ""


def _written(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
