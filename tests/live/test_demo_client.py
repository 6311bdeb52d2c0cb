"""Both clients of the tour say the same about the same server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from gateway.demo.client import Client, ConnectionRefused, connect, find_psql, stream_copy
from gateway.demo.postgres import BACKEND_ROLE, DATABASE, OWNER, EmbeddedPostgres


def parameters(postgres: EmbeddedPostgres, user: str = OWNER) -> dict[str, Any]:
    return {
        "host": "localhost",
        "port": postgres.port,
        "dbname": DATABASE,
        "user": user,
        "sslmode": "verify-full",
        "sslrootcert": str(postgres.ca),
    }


@pytest.fixture(params=["psql", "psycopg"])
def psql(request: pytest.FixtureRequest) -> str | None:
    if request.param == "psycopg":
        return None
    found = find_psql()
    assert found is not None, "the system's psql is needed"
    return found


@pytest.fixture
def client(postgres: EmbeddedPostgres, psql: str | None) -> Iterator[Client]:
    client = connect(psql, parameters(postgres), postgres.password(OWNER))
    yield client
    client.close()


def test_rows_and_columns_come_as_text(client: Client) -> None:
    answer = client.run("select 7 as n, null as nothing, true as yes, E'a\\nb, \"c\"' as text")
    assert answer.columns == ("n", "nothing", "yes", "text")
    assert answer.rows == (("7", "", "t", 'a\nb, "c"'),)
    assert answer.column("n") == ["7"]
    assert not answer.error


def test_an_empty_result_still_has_its_columns(client: Client) -> None:
    answer = client.run("select 1 as n where false")
    assert answer.columns == ("n",)
    assert answer.rows == ()


def test_an_error_has_its_sqlstate_and_the_session_goes_on(client: Client) -> None:
    answer = client.run("select * from nowhere")
    assert answer.sqlstate == "42P01"
    assert answer.error == 'relation "nowhere" does not exist'
    assert not answer.closed
    assert client.run("select 1 as n").column("n") == ["1"]


def test_notices_are_heard(client: Client) -> None:
    answer = client.run("do $$ begin raise notice 'mind the gap'; end $$")
    assert answer.notices == ("mind the gap",)
    assert client.run("select 1").notices == ()


def test_a_cut_session_is_seen_as_closed(client: Client, postgres: EmbeddedPostgres) -> None:
    pid = client.run("select pg_backend_pid() as pid").column("pid")[0]
    postgres.sql(f"select pg_terminate_backend({pid})")
    answer = client.run("select 1")
    assert answer.closed
    assert "terminating connection" in answer.error


def test_who_is_not_let_in_learns_why(postgres: EmbeddedPostgres, psql: str | None) -> None:
    with pytest.raises(ConnectionRefused, match="password authentication failed"):
        connect(psql, parameters(postgres, BACKEND_ROLE), "wrong")


def test_a_copy_streams_line_by_line(postgres: EmbeddedPostgres, psql: str | None) -> None:
    lines = stream_copy(psql, parameters(postgres), postgres.password(OWNER), "select generate_series(1, 1000)")
    assert [int(line) for line in lines] == list(range(1, 1001))


def test_the_prompt_for_machines_without_psql_answers_and_reports(postgres: EmbeddedPostgres) -> None:
    conninfo = make_conninfo("", **parameters(postgres), password=postgres.password(OWNER))
    typed = "select 7 as seven,\n '[bold]' as text;\nselect nowhere;\ncreate temp table t (a int);\n\\q\nselect 8;\n"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway.demo.prompt", conninfo],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "seven" in done.stdout
    assert "[bold]" in done.stdout
    assert 'ERROR: 42703: column "nowhere" does not exist' in done.stdout
    assert "CREATE TABLE" in done.stdout
    assert "8" not in done.stdout.replace("(1 row)", "")


def test_the_prompt_turns_rows_that_are_too_wide_instead_of_cutting_values(postgres: EmbeddedPostgres) -> None:
    conninfo = make_conninfo("", **parameters(postgres), password=postgres.password(OWNER))
    columns = [f"'value-number-{number}' as column_{number}" for number in range(12)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway.demo.prompt", conninfo],
        input=f"select {', '.join(columns)};\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert [number for number in range(12) if f"value-number-{number}" not in done.stdout] == []
