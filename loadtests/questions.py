"""`python -m loadtests questions`: what the auditors' questions cost over a large log, made up by a generator.

The log is a year of a company: people, tickets, customers, sessions of some statements, refusals, reveals, writes,
requests, grants and readers. Printed: how fast the index is built, how long each question takes over the whole log and
over its last quarter (the middle of several, the index warm), how long it waits for records that are new, and what an
export of one week costs to make and to check.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.audit.asking import Narrow
from gateway.audit.checkpoint import Signer
from gateway.audit.export import check_export
from gateway.audit.log import FileLog
from gateway.audit.questions import QUESTIONS
from gateway.audit.search import Search
from gateway.audit.shared_index import PostgresIndex
from gateway.demo.postgres import EmbeddedPostgres, find_binaries
from gateway.record import event

ORIGIN = "bench.example/questions"
START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
PEOPLE, TICKETS, CUSTOMERS = 60, 8_000, 400
FILTERS = {"person": "person7", "ticket": "SUP-77", "customer": "42"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests questions", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5, help="how often each question is asked")
    parser.add_argument("--index", choices=("sqlite", "postgres"), default="sqlite", help="where the index is")
    parser.add_argument("--directory", type=Path, help="where to write (default: below the working directory)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.directory or Path.cwd()) as name:
        place = Path(name)
        key = fill(place / "audit", given.records)
        with contextlib.ExitStack() as stack:
            if given.index == "postgres":
                server = stack.enter_context(postgres())
                index = PostgresIndex(server.connect, place / "audit", key.verifier.name)
                search = Search(place / "audit", key.verifier, index=index)
            else:
                search = Search(place / "audit", key.verifier)
            begun = time.monotonic()
            held = search.rebuild()
            took = time.monotonic() - begun
            if given.index == "postgres":
                size = int(server.sql("SELECT pg_database_size(current_database())")[0][0])
            else:
                size = (place / "audit-index.sqlite").stat().st_size
            print(
                f"index in {given.index}: {held:,} records in {took:.1f} s, {held / took:,.0f} records/s, "
                f"{size / held:.0f} bytes a record"
            )
            measure(search, given.repeat)
            lag(place / "audit", key, search)
            under_load(place / "audit", key, search)
            export(search, key, place / "export.ndjson", START + YEAR * 3 / 4)
            search.close()
    return 0


@contextlib.contextmanager
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of our own, with room for the index."""
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-index-") as name,
        EmbeddedPostgres(Path(name), find_binaries(tls=False), settings={"shared_buffers": "512MB"}) as server,
    ):
        server.ensure_database("index", lambda connection: None)
        yield server


def measure(search: Search, repeat: int) -> None:
    """A line for each question."""
    quarter = START + YEAR * 3 / 4
    for question in QUESTIONS.values():
        narrow = Narrow(**{name: FILTERS[name] for name in question.needs})
        whole, found = timed(search, question.name, narrow, None, repeat)
        last = "" if question.whole else f"{timed(search, question.name, narrow, quarter, repeat)[0]:8.1f} ms"
        print(f"{question.name:16} {whole:8.1f} ms  last quarter {last:>11}  {found:8,} rows", flush=True)


def timed(search: Search, name: str, narrow: Narrow, since: datetime | None, repeat: int) -> tuple[float, int]:
    """Milliseconds of the middle answer, the first one not counted, and its rows in all."""
    now, times, found = START + YEAR, [], 0
    for _ in range(repeat + 1):
        begun = time.monotonic()
        found = search.ask(name, narrow, now=now, since=since)["total"]
        times.append((time.monotonic() - begun) * 1e3)
    return statistics.median(times[1:]), found


def lag(directory: Path, key: Signer, search: Search) -> None:
    """How much longer a question takes that finds a thousand new records."""
    log = opened(directory, key, 10)
    for record in records(1_000, seed=2, first=log.durable_size):
        log.append(record)
    log.flush()
    log.close()
    begun = time.monotonic()
    search.catch_up()
    print(f"a thousand new records: {(time.monotonic() - begun) * 1e3:.0f} ms until they are found")


def under_load(directory: Path, key: Signer, search: Search, seconds: float = 10, a_second: int = 1_000) -> None:
    """How long after it was durable a record can be found, while others are written and the index follows each second.

    As the gateway does it: a question takes in what is new, and so does a pulse of a second.
    """
    log, late = opened(directory, key, 0.001), []
    made = records(int(seconds * a_second) + a_second, seed=3, first=log.durable_size)
    search.catch_up()
    end, followed = time.monotonic() + seconds, time.monotonic()
    durable: list[float] = []
    while (now := time.monotonic()) < end:
        for _ in range(a_second // 20):
            log.append(next(made))
        log.flush()
        log.checkpoint()
        durable.append(time.monotonic())
        if now - followed >= 1:
            search.catch_up()
            followed = now
            late += [time.monotonic() - one for one in durable]
            durable.clear()
        time.sleep(0.05)
    log.close()
    print(
        f"under {a_second:,} records a second: found {statistics.median(late) * 1e3:.0f} ms after they were durable, "
        f"{max(late) * 1e3:.0f} ms at the most, with nobody asking"
    )


def export(search: Search, key: Signer, path: Path, since: datetime) -> None:
    """An export of one week: made, and checked by its reader."""
    begun = time.monotonic()
    _, pieces = search.export(
        "customer", Narrow(customer="42"), now=START + YEAR, since=since, until=since + timedelta(days=7)
    )
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
    made = time.monotonic() - begun
    report = check_export(path, key.verifier.text)
    assert report.ok, report.problems
    checked = time.monotonic() - begun - made
    print(
        f"export of a week: {report.size:,} records, {path.stat().st_size / 1e6:.1f} MB, made in {made:.1f} s "
        f"({report.size / made:,.0f} records/s), checked in {checked:.1f} s"
    )


def fill(directory: Path, count: int) -> Signer:
    """A closed log of that many records over a year."""
    key = Signer.generate(ORIGIN)
    log = opened(directory, key, YEAR.total_seconds() / count)
    for number, record in enumerate(records(count, seed=1)):
        log.append(record)
        if number % 256 == 0:
            log.flush()
    log.close()
    return key


def opened(directory: Path, key: Signer, step_s: float) -> FileLog:
    """The log, with a clock that moves by so much at each look."""
    now = START

    def clock() -> datetime:
        nonlocal now
        now += timedelta(seconds=step_s)
        return now

    return FileLog.open(directory, origin=ORIGIN, key=key, clock=clock, segment_bytes=64 << 20)


def records(count: int, *, seed: int, first: int = 1) -> Iterator[dict[str, Any]]:
    """So many records, session by session; the first becomes number `first` of the log."""
    chance, made, begin = random.Random(seed), 0, 0
    for number in range(count):
        for record in session(chance, f"{seed}-{number}"):
            if record["kind"] == "statement.begin":
                begin = first + made
            yield {**record, "begin": begin} if record["kind"] == "statement.end" else record
            made += 1
            if made == count:
                return


def session(chance: random.Random, name: str) -> Iterator[dict[str, Any]]:
    """What one session and its way there leave behind."""
    person, ticket = chance.randrange(PEOPLE), chance.randrange(TICKETS)
    who = {"person": f"p-{person}", "login": f"person{person}", "teams": ["support"]}
    why = {"ticket_system": "tickets", "ticket": f"SUP-{ticket}", "customers": [str(ticket % CUSTOMERS)],
           "grant": f"grant_{name}", "request": f"req_{name}", "target": "payroll"}  # fmt: skip
    where = {"address": "10.0.0.7:40000", "application": "psql", "engine": "postgres", "tls": "TLSv1.3"}
    inside = {
        "session": f"s-{name}",
        **who,
        **where,
        **why,
        "ticket_state": "open",
        "factor": "totp",
        "factor_age_s": 9,
    }
    if chance.random() < 0.3:
        by = f"p-{chance.randrange(PEOPLE)}"
        yield event("request", **who, **why, state="approved", by=by, decision="permit", reason="payslip is wrong")
        expires = (START + YEAR * chance.random() * 2).isoformat()
        yield event("grant", **who, **why, state="active", by=by, expires_at=expires, approvers=[by])
        if chance.random() < 0.95:
            yield event("grant", **who, **why, state="expired", by="gateway", reason="ran out")
    if chance.random() < 0.3:
        reason = chance.choice(["wrong password", "replayed code", "wrong code", "person is not active"])
        yield event("login", **who, **where, decision="deny", code="authentication-failed", reason=reason)
    if chance.random() < 0.1:
        refusal = {"code": "ticket-closed", "reason": f"ticket `SUP-{ticket}` is `closed`"}
        yield event("login", **who, **where, ticket=f"SUP-{ticket}", decision="deny", **refusal)
    if chance.random() < 0.02:
        yield event("audit.read", person="p-3", login="person3", query="ask denials", count=7, decision="permit")
        yield event("factor.reset", **who, by="p-3", factor="totp", decision="permit")
    yield event("session.begin", **inside, policy=f"sha256:{ticket % 3}")
    for number in range(chance.randrange(1, 40)):
        yield from statement(chance, inside, f"q{number}")
    yield event("session.end", session=inside["session"], **{k: inside[k] for k in ("person", "login", "ticket")})


def statement(chance: random.Random, inside: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """A statement's records."""
    draw, table = chance.random(), f"public.t{chance.randrange(60)}"
    sql = {"statement": name, "sql": f"select id, name, email from {table} where company_id = $1 and id = $2"}
    if draw < 0.03:
        code = chance.choice(["relation-not-available", "column-masked", "function-not-allowed"])
        yield event("statement.refused", **inside, **sql, decision="deny", code=code, reason="not for you")
        return
    more: dict[str, Any] = {"columns_clear": [f"{table}.id"], "columns_masked": [f"{table}.email"]}
    if draw < 0.04:
        more = {"columns_revealed": [f"{table}.email"]}
    elif draw < 0.045:
        more = {"columns_written": [f"{table}.email"], "digest": "d" * 64, "verb": "update"}
    elif draw < 0.06:
        yield event("search.exact", **inside, statement=name, relation=table, column="email")
    elif draw < 0.07:
        # about the ticket's customer, or about nobody; by the table, so that the rest is drawn as without it
        to = {"recipient": ("Mailer Inc.", "Signer SA")[len(table) % 2], "categories": ["contact"]}
        about = {"sent_for": inside["customers"]} if draw < 0.065 else {}
        more |= {**to, **about, "sent": ["$.to: contact, email"]}
    yield event("statement.begin", **inside, **sql, **more, relations=[table], decision="permit", window_rows=1000)
    rows = int(chance.paretovariate(0.8))
    yield event("statement.end", session=inside["session"], statement=name, rows=rows, bytes=rows * 80, status="ok")
