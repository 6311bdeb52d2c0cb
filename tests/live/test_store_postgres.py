"""The store in PostgreSQL: the tests of the store, and of what rests on it, over a server of our own.

What only the file has, or only the server, is left out and below.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import access_world
import psycopg
import pytest
from access_world import PEER, World
from store_server import empty_store, make_store, store_settings

from gateway.access.service import SignIn
from gateway.cli import doctor_store
from gateway.cli.finding import FAIL, OK, WARN
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError, Refusal
from gateway.model import RequestState
from gateway.settings import Secret
from gateway.store import access, changes, people, schema, sealing
from gateway.store.database import Connection
from gateway.store.migrate import HEAD
from gateway.store.postgres import PostgresDatabase, Server
from gateway.store.sealing import SEAL, WrappedKey
from gateway.store_settings import Store
from tests.unit.access import (
    test_access_break_glass,
    test_access_enrolment,
    test_access_news,
    test_access_passes,
    test_access_requests,
    test_access_writing,
)
from tests.unit.store import test_store_changes, test_store_database
from tests.unit.store.test_store_database import GRANT, NOW, ONCE, PASS, REQUEST, WRITING

NAME = "state"
FILE_ONLY = {
    "test_the_file_is_private_from_its_first_moment",
    "test_a_file_that_others_could_read_is_made_private",
    "test_commits_are_durable_and_references_hold",
    "test_a_newer_store_is_refused_and_left_as_it_is",
    "test_a_damaged_file_is_refused",
    "test_a_directory_that_is_not_there_is_said_so",
    "test_a_store_of_the_first_version_is_brought_up_with_all_that_is_in_it",
    # one thread in the order of asking is what it is about
    "test_work_runs_beside_the_loop_one_after_another",
}
"""Tests that look into the file; below are their like."""
MODULES = (
    test_store_database, test_store_changes, test_access_break_glass, test_access_enrolment,
    test_access_news, test_access_passes, test_access_requests,  test_access_writing,
)  # fmt: skip


def _plain(test: Callable[..., Any]) -> Callable[..., Any]:
    """The test, run to its end when it is a coroutine."""
    if not inspect.iscoroutinefunction(test):
        return test

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


for module in MODULES:
    for name, value in vars(module).items():
        if name.startswith("test_") and callable(value) and name not in FILE_ONLY:
            assert name not in globals(), name
            globals()[name] = _plain(value)


@pytest.fixture(scope="session")
def server(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    make_store(postgres, NAME)
    return postgres


@pytest.fixture
def open_store(server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Callable[[], PostgresDatabase]]:
    """Opens the store, which is empty at the first call; what was opened is closed at the end."""
    empty_store(server, NAME)
    opened: list[PostgresDatabase] = []
    settings = store_settings(server, NAME, tmp_path)

    def open_it() -> PostgresDatabase:
        opened.append(PostgresDatabase(settings))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


@pytest.fixture(autouse=True)
def in_postgres(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open the server's store wherever a test opens a file or memory; memory is always new."""

    def database(path: Any) -> PostgresDatabase:
        if not str(path):
            empty_store(server, NAME)
        return open_store()

    for module in (access_world, *MODULES):
        if hasattr(module, "Database"):
            monkeypatch.setattr(module, "Database", database)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stands-for-the-store"


@pytest.fixture
def once(open_store: Callable[[], PostgresDatabase]) -> PostgresDatabase:
    database = open_store()
    database.run_now(access.insert_request, WRITING, ONCE)
    return database


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World()
    if request.function.__module__ == test_access_break_glass.__name__:
        test_access_break_glass.use(made, test_access_break_glass.RULE)
    yield made
    made.close()


pair = test_access_news.pair


@pytest.fixture
def stored(path: Path) -> Iterator[World]:
    made = World(path)
    yield made
    made.close()


def test_several_that_start_at_once_on_an_empty_database_make_one_schema(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres
) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: open_store(), range(6)))
    assert server.sql("select version_num from gateway_store.alembic_version", database=NAME) == [(f"{HEAD:04}",)]


def test_a_store_of_a_newer_program_is_refused(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres, tmp_path: Path
) -> None:
    open_store().close()
    server.sql("update gateway_store.alembic_version set version_num = '0099'", database=NAME)
    with pytest.raises(GatewayError) as raised:
        open_store()
    assert raised.value.code == "configuration-invalid"
    ((level, message),) = doctored(store_settings(server, NAME, tmp_path))
    assert level == FAIL
    assert message.startswith("the store has revision 0099;")


def test_functions_that_look_first_and_change_after_are_right_in_two_processes(
    open_store: Callable[[], PostgresDatabase],
) -> None:
    """A counter that is read, and then written: none of the additions is lost."""
    stores = [open_store(), open_store()]
    stores[0].run_now(people.put_lockout, "lane", 1, NOW)
    meet = threading.Barrier(2)

    def add(connection: Connection) -> None:
        (row,) = connection.execute(schema.lockouts.select()).all()
        people.put_lockout(connection, "lane", row.failures + 1, NOW)

    def work(store: PostgresDatabase) -> None:
        meet.wait()
        for _ in range(40):
            store.run_now(add)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, stores))
    assert stores[0].run_now(people.load, NOW)[1] == [("lane", 81, NOW)]


def test_of_two_that_make_the_same_key_both_get_the_one_that_is_kept(
    open_store: Callable[[], PostgresDatabase],
) -> None:
    stores = [open_store(), open_store()]
    meet = threading.Barrier(2)

    def make(number: int) -> list[str]:
        ids = []
        for month in range(30):
            meet.wait()
            key = WrappedKey(f"key_{number}_{month}", SEAL, "42", f"m{month}", NOW, b"wrapped")
            ids.append(stores[number].run_now(sealing.obtain, key).id)
        return ids

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(make, range(2))
    assert one == other


def test_two_approvers_at_the_same_moment_are_not_counted_past_each_other(
    open_store: Callable[[], PostgresDatabase],
) -> None:
    stores = [open_store(), open_store()]
    meet = threading.Barrier(2)
    for number in range(25):
        id_ = f"req_{number}"
        stores[0].run_now(access.insert_request, replace(REQUEST, id=id_))

        def approve(at: int, id_: str = id_) -> bool:
            meet.wait()
            return stores[at].run_now(access.add_approval, id_, f"p{at}", NOW, ())

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(approve, range(2))) == [False, True]


def test_a_lock_is_counted_for_all_gateways_together(pair: Any) -> None:
    async def story() -> None:
        await pair.one.enrol("alice")
        stranger = replace(PEER, address="198.51.100.9:4000")
        for world in (pair.one, pair.other) * 3:
            await world.access.sign_in("alice", "wrong", "000000", stranger)
        for world in (pair.one, pair.other):
            asked = world.directory.asked
            refused = await world.access.sign_in("alice", "alice-secret", world.code("alice"), stranger)
            assert isinstance(refused, Refusal)
            assert world.directory.asked == asked
            assert world.last()["code"] == "too-many-attempts"
        pair.one.time.advance(30)
        signin = await pair.other.access.sign_in("alice", "alice-secret", pair.one.code("alice"), stranger)
        assert isinstance(signin, SignIn)
        locks = pair.one.database.run_now(people.load, pair.one.time())[1]
        assert {lane: failures for lane, failures, _ in locks if failures} == {"address 198.51.100.9": 6}

    asyncio.run(story())


def test_numbers_of_changes_are_in_the_order_of_their_commits(open_store: Callable[[], PostgresDatabase]) -> None:
    stores = [open_store(), open_store()]
    seen: list[int] = []
    done = threading.Event()

    def write(at: int) -> None:
        for number in range(60):
            stores[at].run_now(access.insert_request, replace(REQUEST, id=f"req_{at}_{number}"))

    def watch() -> None:
        reader, mark = open_store(), changes.Mark()
        while True:
            over = done.is_set()
            found = asyncio.run(reader.look(changes.since, mark))
            seen.extend(one.number for one in found)
            if found:
                mark = changes.Mark(found[-1].number, "")
            elif over:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    done.set()
    watcher.join()
    # who reads behind what he has seen misses nothing
    assert len(seen) == 120


def test_a_later_number_is_not_committed_before_an_earlier_one(open_store: Callable[[], PostgresDatabase]) -> None:
    one, other = open_store(), open_store()
    with one._engine.connect() as connection, connection.begin() as transaction:
        changes.forget(connection)
        changes.tell(connection, changes.GRANT, "first")
        mark = changes.put(connection, NOW)
        assert mark is not None
        later = threading.Thread(target=other.run_now, args=(access.insert_request, REQUEST, GRANT))
        later.start()
        later.join(0.5)
        assert later.is_alive()
        assert asyncio.run(other.look(changes.since, changes.Mark())) == []
        transaction.commit()
    later.join()
    assert [one.number for one in asyncio.run(other.look(changes.since, changes.Mark()))] == [
        mark.number, mark.number + 1,
    ]  # fmt: skip


def test_a_text_that_postgresql_cannot_hold_is_the_askers_fault(open_store: Callable[[], PostgresDatabase]) -> None:
    with pytest.raises(GatewayError) as raised:
        open_store().run_now(access.insert_request, replace(REQUEST, reason="a\0b"))
    assert raised.value.code == "request-invalid"


def test_news_comes_before_the_time_is_over(open_store: Callable[[], PostgresDatabase]) -> None:
    one, other = open_store(), open_store()

    async def story() -> float:
        await other.news(2.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = asyncio.create_task(other.news(10.0))
        await asyncio.sleep(0.1)
        await one.run(access.insert_request, REQUEST, GRANT)
        await waiting
        return loop.time() - began

    assert asyncio.run(story()) < 5.0


def test_what_was_deleted_is_not_in_the_table_any_more(open_store: Callable[[], PostgresDatabase]) -> None:
    database = open_store()
    database.run_now(sealing.obtain, WrappedKey("key_1", SEAL, "42", "2026-03", NOW, b"wrapped"))
    database.run_now(sealing.destroy, ["key_1"])
    asyncio.run(database.settle())
    size = database.run_now(
        lambda connection: connection.exec_driver_sql("select pg_relation_size('sealing_keys')").scalar()
    )
    assert size == 0


def test_tables_lie_where_nothing_else_does(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres
) -> None:
    open_store()
    assert server.sql("select count(*) from pg_tables where schemaname = 'public'", database=NAME) == [(0,)]


def test_a_password_that_has_changed_is_read_again(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres, tmp_path: Path
) -> None:
    database = open_store()
    database.run_now(access.insert_request, REQUEST, GRANT)
    server.sql("alter role gateway_store password 'another'", database="postgres")
    try:
        (tmp_path / "store.password").write_text("another")
        server.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gateway-store'",
            database="postgres",
        )
        assert database.run_now(access.insert_pass, PASS)
    finally:
        server.sql("alter role gateway_store password 'store-password'", database="postgres")


def test_a_server_with_another_name_is_not_trusted(server: EmbeddedPostgres, tmp_path: Path) -> None:
    # the certificate is for 127.0.0.1 and localhost; an authority that is not its own must not do either
    stranger = tmp_path / "stranger.crt"
    stranger.write_text(Path("/etc/ssl/certs/ca-certificates.crt").read_text())
    with pytest.raises(GatewayError) as raised:
        PostgresDatabase(store_settings(server, NAME, tmp_path, ca=stranger))
    assert raised.value.code == "store-unavailable"


def test_a_commit_whose_answer_was_lost_is_not_said_to_have_happened_and_not_done_twice(
    open_store: Callable[[], PostgresDatabase], server: EmbeddedPostgres
) -> None:
    database = open_store()
    ran = []

    def change(connection: Connection) -> None:
        ran.append(1)
        access.insert_request(connection, REQUEST)
        # the server is told to close the connection, and to do so before it takes the commit
        pid = connection.exec_driver_sql("select pg_backend_pid()").scalar()
        with server.connect(database="postgres") as other:
            other.execute("select pg_terminate_backend(%s)", (pid,))

    with pytest.raises(GatewayError) as raised:
        database.run_now(change)
    assert raised.value.code == "store-unavailable"
    assert ran in ([1], [1, 1])
    assert database.run_now(access.find_request, "req_1") is None
    assert database.run_now(access.list_requests, state=RequestState.PENDING) == []


def test_the_role_needs_no_more_than_its_database(server: EmbeddedPostgres) -> None:
    facts = server.sql("select rolsuper, rolcreatedb, rolcreaterole, rolreplication from pg_roles where rolname = %s",
                       "gateway_store", database="postgres")  # fmt: skip
    assert facts == [(False, False, False, False)]
    with (
        server.connect("gateway_store", database=NAME, password="store-password") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("create role x")


def doctored(settings: Store) -> list[tuple[str, str]]:
    config: Any = SimpleNamespace(store=settings)
    return [(one.level, one.message) for one in doctor_store.examine(config)]


def test_the_doctor_looks_at_the_store_and_changes_nothing(server: EmbeddedPostgres, tmp_path: Path) -> None:
    empty_store(server, NAME)
    settings = store_settings(server, NAME, tmp_path)
    # the tests' server is a throw-away one
    ((level, message),) = doctored(settings)
    assert (level, message) == (FAIL, "may lose what it has acknowledged")
    assert server.sql("select count(*) from pg_namespace where nspname = 'gateway_store'", database=NAME) == [(0,)]
    ((level, message),) = doctored(settings.model_copy(update={"hosts": ("127.0.0.1:1",)}))
    assert level == FAIL
    assert message.startswith("does not answer")


def test_the_doctor_says_what_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Server(True, HEAD, True, "ANY 1 (b)", False)
    standby = replace(good, writable=False)

    def told(*servers: Server) -> list[str]:
        seen = iter(servers)
        monkeypatch.setattr(doctor_store, "look_at", lambda *_: next(seen))
        hosts = tuple(f"h{number}:5432" for number, _ in enumerate(servers))
        settings = Store(kind="postgres", hosts=hosts, database="d", user="u", password=Secret(env="P"))
        config: Any = SimpleNamespace(store=settings)
        return [f"{one.level} {one.message.split(':')[0]}" for one in doctor_store.examine(config)]

    tables = f"has revision {HEAD}"
    assert told(good) == [f"{OK} takes writes, {tables}"]
    assert told(good, standby) == [f"{OK} takes writes, {tables}", f"{OK} a standby, {tables}"]
    assert told(good, good)[-1] == f"{FAIL} 2 servers take writes"
    assert told(standby, standby)[-1] == f"{FAIL} no server takes writes"
    assert told(replace(good, standbys=""), standby)[-1] == f"{WARN} no standby is a synchronous one"
    assert told(replace(good, version=9)) == [
        f"{OK} takes writes, has revision 9; the next start brings it up to {HEAD}"
    ]
    assert told(replace(good, superuser=True)) == [f"{WARN} the role is a superuser"]
    assert told(replace(good, version=0)) == [f"{OK} takes writes, has no tables yet"]
