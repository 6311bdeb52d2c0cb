"""An upgrade that is killed leaves the store as it was or as it is to be; of several processes that upgrade one store
at the same time one does, and the others wait.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from store_server import PASSWORD, ROLE, as_yaml, make_store, store_settings

from gateway.demo.postgres import EmbeddedPostgres
from gateway.store.database import Database
from gateway.store.migrate import HEAD
from gateway.store.postgres import PostgresDatabase
from tests.unit.store.old_stores import (
    Old,
    kept_in,
    lay_down,
    old_stores,
    postgres_rows,
    postgres_shape,
    sqlite_rows,
    sqlite_shape,
)

pytestmark = [pytest.mark.faults]

PROCESSES = 4
KILLED = -9
FRESH, SOURCE = "killed_fresh", "killed_source"


class Upgrader:
    """A process that opens stores for us."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("upgraders.py")
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._said() == "ready"

    def ask(self, store: dict[str, Any], at: int | str | None = None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"store": store, "at": at}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> tuple[int, int]:
        """How it ended, and the statements that it took."""
        ended, took = json.loads(self._said())
        return ended, took

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def upgraders(count: int) -> Iterator[list[Upgrader]]:
    running: list[Upgrader] = []
    try:
        for _ in range(count):
            running.append(Upgrader())
        yield running
    finally:
        for one in running:
            one.close()


@pytest.fixture(scope="module")
def upgrader() -> Iterator[Upgrader]:
    with upgraders(1) as (one,):
        yield one


def first(kind: str) -> Old:
    return old_stores(kind)[0]


def in_file(directory: Path) -> dict[str, Any]:
    return {"settings": {"kind": "sqlite"}, "state": str(directory)}


def seen_in_file(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    path = directory / "gateway.sqlite"
    return sqlite_shape(path), sqlite_rows(path)


@pytest.fixture(scope="module")
def new_shape(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """That of a file that this program made."""
    directory = tmp_path_factory.mktemp("new")
    Database(directory / "gateway.sqlite").close()
    return seen_in_file(directory)[0]


def test_a_file_whose_upgrade_was_killed_is_the_old_one_or_the_new_one(
    tmp_path: Path, upgrader: Upgrader, new_shape: dict[str, Any]
) -> None:
    """Before each of the statements, before the commit and after it."""

    def laid_down(name: str) -> Path:
        (tmp_path / name).mkdir()
        lay_down(first("sqlite"), tmp_path / name / "gateway.sqlite")
        return tmp_path / name

    source = laid_down("source")
    before = seen_in_file(source)
    upgrader.ask(in_file(laid_down("whole")))
    ended, took = upgrader.answer()
    assert ended == 0
    assert took > 60
    # two statements come behind the commit: the beginning of another transaction, and a look at the newest change
    places = [*range(1, took - 1), "commit", took, "open"]
    for at in places:
        directory = laid_down(f"at-{at}")
        upgrader.ask(in_file(directory), at)
        assert upgrader.answer() == (KILLED, 0)
        shape, rows = seen_in_file(directory)
        if at in (took, "open"):
            assert (shape, kept_in(before[1], rows)) == (new_shape, True)
        else:
            assert (shape, rows) == before, at
        if at in ("commit", 1, took // 2, took - 2, took):
            with closing(Database(directory / "gateway.sqlite")):
                assert seen_in_file(directory)[0] == new_shape
                assert kept_in(before[1], seen_in_file(directory)[1])


@pytest.mark.parametrize("old", [None, first("sqlite")], ids=["new", "old"])
def test_of_several_processes_on_one_file_one_brings_it_up(
    tmp_path: Path, old: Old | None, new_shape: dict[str, Any]
) -> None:
    before: dict[str, Any] = {}
    if old is not None:
        lay_down(old, tmp_path / "gateway.sqlite")
        before = sqlite_rows(tmp_path / "gateway.sqlite")
    with upgraders(PROCESSES) as running:
        for one in running:
            one.ask(in_file(tmp_path))
        told = [one.answer() for one in running]
    assert [ended for ended, _ in told] == [0] * PROCESSES
    # whoever came later found nothing to do
    assert sorted(took > 20 for _, took in told) == [False] * (PROCESSES - 1) + [True]
    shape, rows = seen_in_file(tmp_path)
    assert shape == new_shape
    assert rows["alembic_version"] == [{"version_num": f"{HEAD:04}"}]
    assert len(rows["lockouts"]) == PROCESSES + len(before.get("lockouts", []))
    assert kept_in({name: of for name, of in before.items() if name != "lockouts"}, rows)


@pytest.fixture(scope="module")
def server(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    """A server with an old store in the database `SOURCE`, and a new one in `FRESH`."""
    for name in (FRESH, SOURCE):
        make_store(postgres, name)
    PostgresDatabase(store_settings(postgres, FRESH, tmp_path_factory.mktemp("fresh"))).close()
    with postgres.connect(ROLE, database=SOURCE, password=PASSWORD) as connection:
        connection.execute(first("postgres").text.encode())
    return postgres


def copied(server: EmbeddedPostgres, name: str, template: str = SOURCE) -> str:
    with server.connect(database="postgres") as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} template {template} owner {ROLE}")
    return name


def in_server(server: EmbeddedPostgres, name: str, directory: Path) -> dict[str, Any]:
    return {"settings": as_yaml(store_settings(server, name, directory)), "state": str(directory)}


def seen_in_server(server: EmbeddedPostgres, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with server.connect(ROLE, database=name, password=PASSWORD) as connection:
        return postgres_shape(connection), postgres_rows(connection)


def test_a_database_whose_upgrade_was_killed_is_the_old_one_or_the_new_one(
    server: EmbeddedPostgres, upgrader: Upgrader, tmp_path: Path
) -> None:
    before, new = seen_in_server(server, SOURCE), seen_in_server(server, FRESH)[0]
    name = copied(server, "killed_whole")
    upgrader.ask(in_server(server, name, tmp_path))
    ended, took = upgrader.answer()
    assert ended == 0
    assert took > 20
    for at in [1, *range(5, took - 1, 6), "commit", "open"]:
        name = copied(server, "killed_here")
        upgrader.ask(in_server(server, name, tmp_path), at)
        assert upgrader.answer() == (KILLED, 0)
        shape, rows = seen_in_server(server, name)
        if at == "open":
            assert (shape, kept_in(before[1], rows)) == (new, True)
        else:
            assert (shape, rows) == before, at
        # the next one waits until the server has noticed that the other is gone
        PostgresDatabase(store_settings(server, name, tmp_path)).close()
        assert seen_in_server(server, name)[0] == new
        assert kept_in(before[1], seen_in_server(server, name)[1])


@pytest.mark.parametrize("template", ["template0", SOURCE], ids=["new", "old"])
def test_of_several_processes_on_one_database_one_brings_it_up(
    server: EmbeddedPostgres, tmp_path: Path, template: str
) -> None:
    name = copied(server, "killed_raced", template)
    before = seen_in_server(server, SOURCE)[1] if template == SOURCE else {}
    store = in_server(server, name, tmp_path)
    with upgraders(PROCESSES) as running:
        for one in running:
            one.ask(store)
        told = [one.answer() for one in running]
    assert [ended for ended, _ in told] == [0] * PROCESSES
    assert sorted(took > 20 for _, took in told) == [False] * (PROCESSES - 1) + [True]
    shape, rows = seen_in_server(server, name)
    assert shape == seen_in_server(server, FRESH)[0]
    assert rows["alembic_version"] == [{"version_num": f"{HEAD:04}"}]
    assert len(rows["lockouts"]) == PROCESSES + len(before.get("lockouts", []))
    assert kept_in({table: of for table, of in before.items() if table != "lockouts"}, rows)
