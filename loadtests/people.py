"""`python -m loadtests people`: what signing in, passes, tickets and the watcher cost, with a company of ordinary size.

A thousand people are in the directory, ten thousand grants in the store, two hundred sessions are open. Measured are
the sign-in with password and code over a connection that is open already, the opening of a ticket, a connection with a
pass beside a direct one, what the watcher takes of a core while nobody does anything, and how long a query takes on an
open session while strangers keep signing in with wrong passwords from ever new addresses, beside the same without them.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sqlite3
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from ruamel.yaml import YAML

from gateway.demo.actor import Actor, Authenticator, Entrance
from gateway.demo.company import TARGET, Company
from gateway.demo.postgres import BACKEND_ROLE, DATABASE, EmbeddedPostgres
from gateway.demo.stage import Gateway
from loadtests.ground import database, prepared_company
from loadtests.processes import cpu_of, raise_descriptor_limit

PEOPLE, SIGNED_IN, GRANTS = 1_000, 200, 10_000
_FLOOD_THREADS, _TRIES = 16, 3
_ROWS = 20_000
_QUERY = "select * from public.wide where id between 100 and 299"


@dataclass
class Scene:
    """The gateway with its people; `opened` is what each got for a ticket."""

    company: Company
    postgres: EmbeddedPostgres
    gateway: Gateway
    opened: list[dict[str, Any]] = field(default_factory=list)

    def parameters(self, number: int) -> dict[str, Any]:
        """How that one connects."""
        opened = self.opened[number]
        return {
            "host": "localhost", "port": self.company.ports["postgres"], "dbname": TARGET, "user": opened["user"],
            "password": opened["password"], "sslmode": "verify-full", "sslrootcert": str(self.company.tls.ca),
        }  # fmt: skip

    def cpu_s(self) -> float:
        """What the gateway has used until now."""
        assert self.postgres.pid is not None
        return cpu_of(self.gateway.pid, self.postgres.pid).proxy


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests people", description=__doc__)
    parser.add_argument("--people", type=int, default=SIGNED_IN, help="how many sign in and have a session")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the watcher and the flood are measured")
    given = parser.parse_args(arguments)
    raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-people-")))
        root.chmod(0o711)
        postgres = stack.enter_context(database(root / "database", _ROWS, _tell))
        company = _peopled(prepared_company(root / "company", postgres, tls=True), given.people)
        scene = Scene(company, postgres, Gateway(company, root / "gateway.log"))
        stack.callback(scene.gateway.stop)
        scene.gateway.start()
        _enter(scene, root, given.people)
        scene.gateway.stop()
        _add_grants(company, GRANTS - given.people)
        scene.gateway.start()
        _measure_idle(scene, given.seconds, "no session")
        sessions = _connect(scene)
        _measure_idle(scene, given.seconds, f"{len(sessions)} sessions")
        _measure_flood(scene, sessions[0], given.seconds)
        for session in sessions:
            session.close()
    return 0


def _peopled(company: Company, holders: int) -> Company:
    """The same with all the people, of whom that many have a ticket each; they share one password's hash."""
    yaml = YAML()
    people, tickets = yaml.load(company.people), yaml.load(company.tickets)
    alice = next(entry for entry in people["people"] if entry["login"] == "alice")
    for number in range(PEOPLE):
        login = f"person{number}"
        mine = {"id": f"p-{number + 10_000}", "login": login, "name": login, "email": f"{login}@people.example"}
        people["people"].append({**alice, **mine})
    ticket = dict(tickets["tickets"][0])
    for number in range(holders):
        tickets["tickets"].append({**ticket, "id": f"SUP-{number + 50_000}", "assignee": f"person{number}"})
    yaml.dump(people, company.people)
    yaml.dump(tickets, company.tickets)
    return company


def _enter(scene: Scene, root: Path, count: int) -> None:
    """Enrol them, sign each in, and open each one's ticket; print how long that took."""
    company = scene.company
    entrance = Entrance(f"https://localhost:{company.ports['api']}", company.tls.ca, company.state / "admin.sock")
    password, sign_ins, opens = company.passwords["alice"], list[float](), list[float]()
    context = ssl.create_default_context(cafile=str(company.tls.ca))
    with httpx2.Client(base_url=f"{entrance.url}/v1", verify=context, trust_env=False, timeout=30) as client:
        for number in range(count):
            login = f"person{number}"
            actor = Actor(login, password, Authenticator(root / f"{login}.json"), entrance, _tell)
            actor.enrol()
            code = actor.code()
            begun = time.perf_counter()
            answer = client.post("/sign-in", json={"login": login, "password": password, "otp": code})
            sign_ins.append(time.perf_counter() - begun)
            answer.raise_for_status()
            bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
            begun = time.perf_counter()
            answer = client.post("/open", json={"ticket": f"SUP-{number + 50_000}"}, headers=bearer)
            opens.append(time.perf_counter() - begun)
            answer.raise_for_status()
            scene.opened.append(answer.json())
    _show("sign-in, password and code", sign_ins)
    _show("open a ticket: directory, ticket, policy, grant, pass", opens)


def _add_grants(company: Company, count: int) -> None:
    """Copies of the first request and grant for other people, as if each had opened something."""
    with contextlib.closing(sqlite3.connect(company.state / "gateway.sqlite")) as store, store:
        for table in ("requests", "grants"):
            cursor = store.execute(f"select * from {table} limit 1")
            names = [column[0] for column in cursor.description]
            row = dict(zip(names, cursor.fetchone(), strict=True))
            marks = ", ".join("?" * len(names))
            for number in range(count):
                own = {"id": f"{table}-{number}", "person": f"p-{10_000 + number % PEOPLE}"}
                if table == "grants":
                    own["request_id"] = f"requests-{number}"
                store.execute(f"insert into {table} values ({marks})", list({**row, **own}.values()))


def _connect(scene: Scene) -> list[psycopg.Connection[Any]]:
    """One session for each, and what connecting took beside a direct connection."""
    direct = {
        "host": "localhost", "port": scene.postgres.port, "dbname": DATABASE, "user": BACKEND_ROLE,
        "password": scene.postgres.password(BACKEND_ROLE), "sslmode": "verify-full",
        "sslrootcert": str(scene.postgres.ca),
    }  # fmt: skip
    found, through, beside = [], list[float](), list[float]()
    for number in range(len(scene.opened)):
        begun = time.perf_counter()
        found.append(psycopg.connect(**scene.parameters(number), autocommit=True))
        through.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        psycopg.connect(**direct).close()
        beside.append(time.perf_counter() - begun)
    _show("connect with a pass (TLS, SCRAM-SHA-256)", through)
    _show("connect directly (TLS, SCRAM-SHA-256)", beside)
    return found


def _measure_idle(scene: Scene, seconds: float, what: str) -> None:
    # what a start and the connecting left to do is done by then
    time.sleep(3)
    before = scene.cpu_s()
    time.sleep(seconds)
    print(f"with {what}, nobody doing anything: {(scene.cpu_s() - before) / seconds:.2%} of a core")


def _measure_flood(scene: Scene, session: psycopg.Connection[Any], seconds: float) -> None:
    quiet = _queries(session, seconds)
    flood = _Flood(scene.company)
    with flood:
        time.sleep(0.5)
        loud = _queries(session, seconds)
    _show("200-row query on an open session", quiet)
    _show("the same during a flood of sign-ins", loud)
    told = ", ".join(f"{count / flood.took_s:.0f}/s {code}" for code, count in flood.answers.most_common())
    print(f"  the flood: {told}")


def _queries(session: psycopg.Connection[Any], seconds: float) -> list[float]:
    taken, end = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        session.execute(_QUERY).fetchall()
        taken.append(time.perf_counter() - begun)
        time.sleep(0.002)
    return taken


class _Flood:
    """Strangers and wrong passwords, from an address of 127.0.0.0/8 that changes before it is locked out."""

    def __init__(self, company: Company) -> None:
        self._port = company.ports["api"]
        self._context = ssl.create_default_context(cafile=str(company.tls.ca))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(_FLOOD_THREADS)]
        self.answers: Counter[str] = Counter()
        self.took_s = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.took_s = time.perf_counter() - self._begun

    def _run(self, thread: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            address = f"127.{thread + 1}.{number // 250}.{number % 250 + 1}"
            connection = http.client.HTTPSConnection(
                "localhost", self._port, context=self._context, timeout=60, source_address=(address, 0)
            )
            with contextlib.closing(connection):
                for attempt in range(_TRIES):
                    if self._stop.is_set():
                        return
                    self.answers[self._try(connection, f"person{(thread * 977 + number * 3 + attempt) % PEOPLE}")] += 1

    @staticmethod
    def _try(connection: http.client.HTTPSConnection, login: str) -> str:
        body = json.dumps({"login": login, "password": "wrong", "otp": "000000"})
        connection.request("POST", "/v1/sign-in", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return str(answer.get("code", "let in"))


def _show(what: str, seconds: Sequence[float]) -> None:
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[len(ordered) * 99 // 100]
    print(f"{what:55} p50 {p50 * 1e3:7.2f} ms, p99 {p99 * 1e3:7.2f} ms ({len(ordered)} times)")


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
