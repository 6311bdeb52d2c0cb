"""The embedded server as the gateway and the tests rely on it."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from gateway.demo import data
from gateway.demo.ports import free_port
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres

pytestmark = pytest.mark.live


def test_connections_are_encrypted_and_verified(postgres: EmbeddedPostgres) -> None:
    with postgres.connect(BACKEND_ROLE) as connection:
        row = connection.execute("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()").fetchone()
    assert row is not None
    assert row[0] is True
    assert row[1] in ("TLSv1.2", "TLSv1.3")


def test_without_tls_nobody_gets_in(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        postgres.connect(BACKEND_ROLE, sslmode="disable", sslrootcert="")


def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        postgres.connect(BACKEND_ROLE, password="not the password")


def test_the_whole_small_data_set_is_there(postgres: EmbeddedPostgres, dataset: data.Dataset) -> None:
    counts = {
        table: postgres.sql(f"select count(*) from public.{table}")[0][0]
        for table in ("companies", "departments", "employees", "payslips")
    }
    assert counts == {"companies": 5, "departments": len(data.DEPARTMENTS), "employees": 200, "payslips": 600}
    assert postgres.sql("select email from employees where id = 7") == [(dataset.employees[6][4],)]


@pytest.mark.parametrize(
    "statement",
    [
        "create table public.mine (a int)",
        "create temporary table mine (a int)",
        "update public.employees set salary = 1",
        "delete from public.payslips",
        "select pg_read_file('/etc/passwd')",
        "copy public.companies to program 'true'",
    ],
)
def test_the_backend_role_can_only_read_even_in_a_writing_transaction(
    postgres: EmbeddedPostgres, statement: str
) -> None:
    with postgres.connect(BACKEND_ROLE) as connection:
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_server_does_not_run_as_root(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_its_port_is_not_the_standard_one_and_is_taken(postgres: EmbeddedPostgres) -> None:
    assert postgres.port != 5432
    assert free_port(postgres.port) != postgres.port


def test_a_second_start_on_the_same_directory_keeps_the_data_and_removes_the_orphan(
    postgres: EmbeddedPostgres,
) -> None:
    directory = postgres.directory / "second"
    first = EmbeddedPostgres(directory, postgres.binaries, tls=True, ephemeral=False)
    first.start()
    assert first.ensure_database("one", lambda connection: connection.execute("create table kept (a int)") and None)
    orphan = first.pid
    assert orphan is not None
    # What a `kill -9` of the first owner leaves: a running server that nobody waits for.
    second = EmbeddedPostgres(directory, postgres.binaries, tls=True)
    try:
        second.start()
        assert second.pid != orphan
        assert second.sql("select count(*) from kept") == [(0,)]
        assert not second.ensure_database("one", lambda connection: pytest.fail("loaded twice"))
    finally:
        second.stop()
        first.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(orphan, 0)
