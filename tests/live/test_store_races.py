"""Requests and grants moved by several processes at once, over a file and over PostgreSQL: each move happens once.

The state machines of `tests/properties` run here over PostgreSQL, through two handles; and processes that move the same
few requests and grants at random have all that the store took from them put together and compared with what it holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_world
import pytest
import test_access_transitions
import test_writing_transitions
from hypothesis import settings
from races import NEEDED, grant, request, store_of
from store_server import as_yaml, empty_store, make_store, store_settings

from gateway.demo.postgres import EmbeddedPostgres
from gateway.model import GrantState, RequestState
from gateway.store import access, changes, schema
from gateway.store.changes import Mark
from gateway.store.database import Connection, Database
from gateway.store.postgres import PostgresDatabase

NAME = "races"
PROCESSES, REQUESTS, SECONDS = 4, 60, 5.0


@pytest.fixture(scope="module", autouse=True)
def server(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    make_store(postgres, NAME)
    return postgres


def emptied(connection: Connection) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        if table.name != "schema_version":
            connection.execute(table.delete())


@pytest.fixture
def open_postgres(server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Any]:
    """Opens handles of the store; `fresh` empties it."""
    opened: list[PostgresDatabase] = []

    def open_it(*, fresh: bool = False) -> PostgresDatabase:
        opened.append(PostgresDatabase(store_settings(server, NAME, tmp_path)))
        if fresh:
            opened[-1].run_now(emptied)
            opened[-1].rewind(opened[-1].run_now(changes.newest))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


def test_requests_and_grants_move_by_the_table_in_postgresql_too(open_postgres: Any) -> None:
    class InPostgres(test_access_transitions.Transitions):
        def open(self) -> list[Database]:
            return [open_postgres(fresh=True), open_postgres()]

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        InPostgres, settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )


def test_a_statement_runs_once_as_it_was_approved_in_postgresql_too(
    open_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[int] = []

    class InPostgres(test_writing_transitions.Writing):
        def teardown(self) -> None:
            super().teardown()
            first.clear()

    def database(path: Any) -> PostgresDatabase:
        fresh, first[:] = not first, [1]
        return open_postgres(fresh=fresh)

    monkeypatch.setattr(access_world, "Database", database)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        InPostgres, settings=settings(max_examples=8, stateful_step_count=20, deadline=None)
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_processes_do_at_once_is_what_one_after_the_other_could_have_done(
    server: EmbeddedPostgres, tmp_path: Path, kind: str
) -> None:
    empty_store(server, NAME)
    given = as_yaml(store_settings(server, NAME, tmp_path)) if kind == "postgres" else {"kind": "sqlite"}
    named = json.dumps({"settings": given, "state": str(tmp_path)})
    store = store_of(named)
    try:
        for number in range(REQUESTS):
            store.run_now(access.insert_request, request(f"req_{number:03}"))
        check(store, raced(named))
    finally:
        store.close()


def raced(store: str) -> list[tuple[str, str, str]]:
    """What the processes were told that they had done."""
    program = Path(__file__).with_name("races.py")
    command = [sys.executable, "-P", str(program), store]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = [
        subprocess.Popen(
            [*command, str(seed), str(SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )
        for seed in range(PROCESSES)
    ]  # fmt: skip
    try:
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        said = [one.communicate(timeout=120)[0] for one in running]
        assert [one.returncode for one in running] == [0] * PROCESSES
    finally:
        for one in running:
            one.kill()
            one.wait()
    return [tuple(json.loads(line)) for text in said for line in text.splitlines()]


def check(store: Database, took: list[tuple[str, str, str]]) -> None:
    by: dict[str, list[tuple[str, str]]] = {}
    for what, of, who in took:
        by.setdefault(of, []).append((what, who))
    requests = {one.id: one for one in store.run_now(access.list_requests, limit=10_000)}
    grants = {one.id: one for one in store.run_now(access.list_grants, limit=10_000)}
    # something happened, and not to one kind only
    kinds = Counter(what for what, _, _ in took)
    assert kinds["approved"] > 5
    assert kinds["minted"] > 5
    assert kinds["claimed"] > 5
    assert kinds["revoked"] + kinds["expired"] > 5
    for id_, one in requests.items():
        moves = by.get(id_, [])
        ended = [what for what, _ in moves if what != "counted"]
        assert ended == ([] if one.state is RequestState.PENDING else [one.state.value])
        agreed = sorted(who for what, who in moves if what in ("counted", "approved"))
        assert agreed == sorted(one.decided_by)
        assert (f"grant_{id_}" in grants) == (one.state is RequestState.APPROVED)
    for id_, given in grants.items():
        moves = by.get(id_, [])
        of = requests[given.request_id]
        assert len(set(of.decided_by)) == len(of.decided_by) == NEEDED
        assert set(given.approved_by) == set(of.decided_by)
        ended = [what for what, _ in moves if what in ("revoked", "expired")]
        assert ended == ([] if given.state is GrantState.ACTIVE else [given.state.value])
        claims = sum(what == "claimed" for what, _ in moves) - sum(what == "released" for what, _ in moves)
        assert claims == given.spent
        assert given.approved_by == grant(of, given.approved_by).approved_by
    minted = [who for what, _, who in took if what == "minted"]
    passes = store.run_now(lambda connection: connection.execute(schema.passes.select()).all())
    assert sorted(minted) == sorted(row.id for row in passes)
    for row in passes:
        assert row.revoked == (grants[row.grant_id].state is not GrantState.ACTIVE)
    # and of each purpose one pass admits new log-ins
    fresh = Counter(row.grant_id for row in passes if not row.superseded)
    assert max(fresh.values()) == 1
    # every move that counts has its number, each its own
    told = []
    mark = Mark()
    while found := store.run_now(changes.since, mark):
        told += found
        mark = Mark(found[-1].number, "")
    assert len({one.number for one in told}) == len(told)
    assert sum(one.what == changes.GRANT for one in told) == sum(
        kinds[what] for what in ("approved", "minted", "claimed", "released", "revoked")
    ) + sum(what == "expired" and of.startswith("grant_") for what, of, _ in took)
