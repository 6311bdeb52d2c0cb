"""What masks, scopes and a first analysis cost, beside the same SELECT written by hand.

Masks and scopes: the same aggregate over the same rows, of the raw column, of a view that a careful person might have
written (its keyed masks are one SHA-256 over a secret in the view's text), and through the gateway (HMAC-SHA-256 by a
key that is in no text). First analysis: parse, rewrite and check of typical statements, nothing remembered.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from gateway.demo.data import CUSTOMER
from gateway.errors import Refusal
from gateway.policy.load import load_policy
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.statement import View
from loadtests.ground import BY_HAND, Ground, Road
from loadtests.measures import Bench, Numbers, script

NAMES = {
    "name": "pseudonym (keyed)",
    "email": "email (keyed)",
    "phone": "partial",
    "amount": "bucket",
    "paid_on": "year",
}

TYPICAL = (
    "select * from wide where id = 12345",
    "select id, name, email from masked where id between 100 and 120 order by id desc limit 10",
    "select status, count(*), avg(amount) from wide group by status order by 2 desc",
    "select date_trunc('month', paid_on) as m, sum(amount) from masked where id > 50 group by 1 order by m",
    "with late as (select * from wide where status = 'notice') select customer, count(*) from late group by customer",
    "select a.id, b.email from wide a join masked b on b.id = a.id where a.customer = 42 and b.status like 'act%'",
    "select id, row_number() over (partition by customer order by created_at desc) from wide where customer < 10",
    "select * from (select id, amount, lag(amount) over (order by id) as before from wide) t where amount > before",
    "select exists (select 1 from masked m where m.id = w.id and m.amount > 100) from wide w where w.id < 50",
    "select id, coalesce(note, '-') as note, case when amount > 100 then 'large' else 'small' end from wide limit 50",
)
"""What people type."""


def _ratio(one: float, other: float) -> str:
    """How many times the other; nothing where that was too quick to be measured."""
    return f"{one / other:.2f}" if other else "–"


def masks(stage: Ground, rows: int, rounds: int) -> Iterator[tuple[str, float, float, float]]:
    """For each masked column: seconds per million rows, raw, by hand and through the gateway."""
    direct, gateway = stage.roads[0], stage.roads[2]
    for column in BY_HAND:
        # an aggregate reads the value of each row and sends one row: what is timed is the mask
        query = f"select count(md5({column}::text)) from {{}}"
        roads = [(direct, "wide"), (direct, "by_hand"), (gateway, "masked")]
        took: list[list[float]] = [[], [], []]
        for _ in range(rounds):
            for times, (road, table) in zip(took, roads, strict=True):
                times.append(_timed(road, query.format(f"public.{table}")))
        raw, hand, ours = (statistics.median(times) / rows * 1e6 for times in took)
        yield column, raw, hand, ours


def scopes(stage: Ground, bench: Bench, seconds: int) -> Iterator[tuple[str, Numbers, Numbers]]:
    """One customer's rows by an index and without: `p50_us` with a condition by hand, and through the gateway."""
    direct, gateway = stage.roads[0], stage.roads[2]
    for table in ("by_index", "by_scan"):
        text = f"SELECT count(*), sum(amount) FROM public.{table}"
        hand = script(bench, direct, f"{text} WHERE customer = {CUSTOMER};\n", "prepared", seconds)
        yield table, hand, script(bench, gateway, f"{text};\n", "prepared", seconds)


def first_analysis(stage: Ground, policy: Path, times: int = 20) -> tuple[float, float]:
    """Median and worst of the typical statements' medians, in ms."""
    with psycopg.connect(**stage.roads[0].parameters()) as connection:
        catalog = load_catalog(lambda text: list(connection.execute(text.encode()).fetchall()))
    view = View(load_policy(policy), catalog, (str(CUSTOMER),))
    found = sorted(statistics.median(_spent(partial(_plan, text, view)) for _ in range(times)) for text in TYPICAL)
    return statistics.median(found) * 1e3, found[-1] * 1e3


def _plan(text: str, view: View) -> None:
    plan = analyse(text, view)
    if isinstance(plan, Refusal):
        raise RuntimeError(f"a typical statement was refused: {plan.message}: {text}")


def _spent(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _timed(road: Road, query: str) -> float:
    with psycopg.connect(**road.parameters(), autocommit=True, prepare_threshold=None) as connection:
        return _spent(lambda: connection.execute(query.encode()).fetchone())


def report(stage: Ground, bench: Bench, policy: Path, rows: int, rounds: int, seconds: int) -> list[str]:
    """The lines of the report, in Markdown."""
    lines = [
        "## What masks and scopes cost",
        "",
        "Seconds per million rows of `count(md5(column::text))`: of the raw column, of a view that masks it by hand",
        "(one SHA-256 with the secret in the view's text, where ours is HMAC-SHA-256 by a key that is in no text), and",
        "through the gateway.",
        "",
        "| column | mask | raw, direct | view by hand, direct | gateway | gateway / by hand |",
        "|--------|------|-------------|----------------------|---------|-------------------|",
    ]
    for column, raw, hand, ours in masks(stage, rows, rounds):
        lines.append(f"| {column} | {NAMES[column]} | {raw:.2f} | {hand:.2f} | {ours:.2f} | {_ratio(ours, hand)} |")
    lines += [
        "",
        "One customer's rows, a thousandth of the table, counted and summed; p50 in µs:",
        "",
        "| scope | condition by hand, direct | gateway | gateway / by hand |",
        "|-------|---------------------------|---------|-------------------|",
    ]
    for table, hand_, ours_ in scopes(stage, bench, seconds):
        one, other = hand_["p50_us"], ours_["p50_us"]
        what = "with an index" if table == "by_index" else "without"
        lines.append(f"| {what} | {one:,.0f} | {other:,.0f} | {_ratio(other, one)} |")
    median, worst = first_analysis(stage, policy)
    lines += [
        "",
        f"First analysis (parse, rewrite, check; nothing remembered) of {len(TYPICAL)} typical statements: median",
        f"{median:.2f} ms, slowest {worst:.2f} ms (aim: p50 under 3 ms; {'met' if median < 3 else 'missed'}).",
        "",
    ]
    return lines
