"""A target that is observed, with real clients: all passes as it would directly, is on record, and says what it is."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from gateway_fixture import House, awaited, eventually
from observed_fixture import OBSERVING, POLICY, ROLE, open_observed
from raw_client import Raw

from gateway.audit.verify import verify_log
from gateway.demo.company import TARGET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_observed(tmp_path_factory.mktemp("observed"), postgres) as house:
        yield house


def psql(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = house.parameters()
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": given.pop("password"), "LC_ALL": "C.UTF-8"}
    where = psycopg.conninfo.make_conninfo("", **given)
    return subprocess.run(
        ["psql", "-X", "-q", "-A", "-t", where, *arguments],
        capture_output=True, text=True, check=False, env=environment, timeout=60,
    )  # fmt: skip


def statements(house: House, session: str) -> list[dict[str, Any]]:
    """The begin records of a session, each with the fields of its end."""
    made: dict[str, dict[str, Any]] = {}
    for record in house.records():
        if record.get("session") != session or not record["kind"].startswith("statement."):
            continue
        if record["kind"] == "statement.begin":
            made[record["statement"]] = dict(record)
        elif record["kind"] == "statement.end":
            made[record["statement"]] |= record
    return list(made.values())


def session_of(house: House, application: str) -> str:
    """The id of the session whose client calls itself that."""
    found = [
        one["session"]
        for one in house.records()
        if one["kind"] == "session.begin" and one.get("application") == application
    ]
    return str(found[-1])


def test_psql_is_told_at_once_and_sees_what_is_there(house: House) -> None:
    done = psql(house, "-c", f"select nir from employees where company_id <> {CUSTOMER} order by id limit 1")
    assert done.returncode == 0
    assert "WARNING" in done.stderr
    assert "not protected" in done.stderr
    truth = house.truth(f"select nir from employees where company_id <> {CUSTOMER} order by id limit 1")
    assert done.stdout.strip() == str(truth[0][0])


def test_errors_and_notices_come_in_the_targets_own_words(house: House) -> None:
    done = psql(
        house, "-v", "VERBOSITY=verbose",
        "-c", "do $$ begin raise notice 'seen %', 4111 using hint = 'their hint'; end $$",
        "-c", "select 'no number'::int",
    )  # fmt: skip
    assert "seen 4111" in done.stderr
    assert "their hint" in done.stderr
    assert 'invalid input syntax for type integer: "no number"' in done.stderr
    assert "LINE 1:" in done.stderr


def test_the_records_say_what_would_have_been_and_hold_no_literal(house: House) -> None:
    with house.connect(application_name="would") as connection:
        connection.execute("select id from employees where id = %s", [4111])
        connection.execute("create temp table would (a int, b text)")
        connection.execute("insert into would values (41114111, 'x4111')")
        with pytest.raises(psycopg.errors.UndefinedTable, match=r"nowhere"):
            connection.execute("select * from nowhere where a = '4111'")
        long = "select '" + "4111" * 500 + "' from would where a in (" + ", ".join("4111" for _ in range(300)) + ")"
        connection.execute(long)
    session = session_of(house, "would")
    made = statements(house, session)
    assert [(one["verb"], one["would"]) for one in made] == [
        ("SELECT", "permit"), ("CREATE", "deny"), ("INSERT", "deny"), ("SELECT", "deny"), ("SELECT", "deny"),
    ]  # fmt: skip
    assert {one["protection"] for one in made} == {"none"}
    assert made[2]["sql"] == "insert into would values ($1, $2)"
    assert made[1]["would_codes"] == ["read-only"]
    assert made[3]["would_codes"] == ["relation-not-available"]
    assert made[4]["sql"].startswith("select $1 from would where a in ($2")
    assert "4111" not in str(made)


def test_copy_in_and_out_pass_in_both_protocols_and_are_counted(house: House) -> None:
    with house.connect(application_name="copies") as connection:
        connection.execute("create temp table copied (a int, b text)")
        cursor = connection.cursor()
        with cursor.copy("copy copied from stdin") as copy:
            for number in range(1000):
                copy.write_row((number, "x4111"))
        with cursor.copy("copy copied from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((1000, "binary"))
        with cursor.copy("copy (select a from copied where a < 5 order by a) to stdout") as copy:
            assert [int(row[0]) for row in copy.rows()] == [0, 1, 2, 3, 4]
        with pytest.raises(psycopg.errors.InvalidTextRepresentation), cursor.copy("copy copied from stdin") as copy:
            copy.write("no number\tx\n" * 100_000)
        with pytest.raises(KeyError), cursor.copy("copy copied from stdin"):
            raise KeyError
        assert connection.execute("select count(*) from copied").fetchone() == (1001,)
    ends = [one for one in statements(house, session_of(house, "copies")) if one["verb"] == "COPY"]
    assert [(one["status"], one.get("rows_in"), one["rows"]) for one in ends] == [
        ("ok", 1000, 0), ("ok", 1, 0), ("ok", None, 5), ("error", 0, 0), ("error", None, 0),
    ]  # fmt: skip
    assert ends[0]["bytes_in"] == sum(len(f"{number}\tx4111\n") for number in range(1000))


def test_copy_in_by_the_extended_protocol_leaves_the_session_in_order(house: House) -> None:
    with house.connect() as connection:
        connection.execute("create temp table extended (a int)")
        before = connection.pgconn.socket
        pgconn = connection.pgconn
        for _ in range(3):
            pgconn.send_query_params(b"copy extended from stdin", None)
            pgconn.flush()
            _until(pgconn, psycopg.pq.ExecStatus.COPY_IN)
            pgconn.put_copy_data(b"1\n2\n")
            pgconn.put_copy_end()
            _until(pgconn, psycopg.pq.ExecStatus.COMMAND_OK)
            while pgconn.get_result() is not None:
                pass
            assert connection.execute("select %s::int", [7]).fetchone() == (7,)
        assert connection.execute("select count(*) from extended").fetchone() == (6,)
        assert before == connection.pgconn.socket


def _until(pgconn: Any, status: psycopg.pq.ExecStatus) -> None:
    pgconn.nonblocking = 0
    result = pgconn.get_result()
    assert result is not None
    assert result.status == status, result.error_message


def test_asyncpg_reads_and_writes_and_hears_notifications(house: House) -> None:
    given = house.parameters()

    async def journey() -> list[Any]:
        connection = await asyncpg.connect(
            host=given["host"], port=given["port"], user=given["user"], password=given["password"],
            database=given["dbname"], ssl=ssl.create_default_context(cafile=given["sslrootcert"]),
            server_settings={"application_name": "journey of asyncpg", "work_mem": "5MB"},
        )  # fmt: skip
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await connection.add_listener("news", lambda *news: heard.put_nowait(news[1:]))
        await connection.execute("create temp table mine (a int, b bytea)")
        await connection.copy_records_to_table("mine", records=[(n, b"x" * n) for n in range(100)])
        await connection.executemany("insert into mine values ($1, $2)", [(n, b"y") for n in range(100)])
        await connection.execute("select 1")
        await asyncio.to_thread(house.truth, "notify news, 'they came'")
        news = await asyncio.wait_for(heard.get(), 10)
        async with connection.transaction():
            rows = [row async for row in connection.cursor("select a from mine order by a", prefetch=7)]
        facts = [
            news, len(rows), connection.get_server_pid(), await connection.fetchval("select pg_backend_pid()"),
            await connection.fetchval("show work_mem"), connection.get_settings().is_superuser,
        ]  # fmt: skip
        await connection.close()
        return facts

    news, rows, pid, backend, memory, superuser = asyncio.run(journey())
    assert news[1:] == ("news", "they came")
    assert (rows, pid, memory, superuser) == (200, backend, "5MB", "off")
    made = statements(house, session_of(house, "journey of asyncpg"))
    (unasked,) = [one for one in made if one["protocol"] == "unasked"]
    assert unasked["bytes"] > 0
    (copied,) = [one for one in made if one.get("tag") == "COPY 100"]
    assert copied["rows_in"] == 100
    assert "they came" not in str(made)


def test_large_objects_pass_by_function_calls_each_of_them_on_record(house: House, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "there").write_bytes(content)
    done = psql(house, "-c", f"\\lo_import {tmp_path / 'there'}", "-c", f"\\lo_export :LASTOID {tmp_path / 'back'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == content
    calls = [one for one in house.records() if one["kind"] == "statement.begin" and one.get("verb") == "FUNCTION CALL"]
    # lo_creat, lo_open, lowrite, lo_close, and lo_open, loread, lo_close
    assert len(calls) >= 7
    assert {one["would"] for one in calls} == {"deny"}
    assert calls[0]["sql"].startswith("function ")


def test_start_up_parameters_are_the_clients_and_faults_in_them_are_the_targets_to_tell(house: House) -> None:
    with house.connect(options="-c work_mem=7MB -c search_path=pg_catalog", client_encoding="LATIN1") as connection:
        shown = [connection.execute(f"show {name}").fetchone() for name in ("work_mem", "search_path")]
        assert shown == [("7MB",), ("pg_catalog",)]
        assert connection.execute("select 'caf\u00e9'").fetchone() == ("caf\u00e9",)
        assert connection.info.parameter_status("session_authorization") == ROLE
        assert connection.execute("show default_transaction_read_only").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError, match="unrecognized configuration parameter"):
        house.connect(options="-c no_such_setting=1")
    with pytest.raises(psycopg.OperationalError, match="replication is not available"):
        house.connect(replication="database")


def test_a_cancel_request_reaches_the_statement_that_it_is_for(house: House) -> None:
    with house.connect() as connection:
        cancel = asyncio.run(_cancelled(connection))
        assert cancel
        assert connection.execute("select 1").fetchone() == (1,)


async def _cancelled(connection: psycopg.Connection[Any]) -> bool:
    loop = asyncio.get_running_loop()

    def sleep() -> bool:
        try:
            connection.execute("select pg_sleep(60)")
        except psycopg.errors.QueryCanceled:
            return True
        return False

    work = loop.run_in_executor(None, sleep)
    await asyncio.sleep(0.3)
    await loop.run_in_executor(None, connection.cancel)
    return await asyncio.wait_for(work, 20)


def test_names_made_by_sql_and_by_the_protocol_are_one(house: House) -> None:
    with house.connect(application_name="names") as connection:
        connection.execute("prepare by_sql as select 4111 + $1::int")
        connection.pgconn.exec_prepared(b"by_sql", [b"1"])
        connection.pgconn.prepare(b"by_protocol", b"delete from employees where id = $1")
        connection.execute("execute by_protocol (-1)")
    made = statements(house, session_of(house, "names"))
    by_sql, delete = (
        next(one for one in made if text in one.get("sql", "")) for text in ('EXECUTE "by_sql"', "execute by_protocol")
    )
    assert by_sql["protocol"] == "execute"
    assert "employees" in delete["relations"]
    assert delete["would"] == "deny"


def test_commands_say_that_the_target_is_not_protected(house: House) -> None:
    with house.connect():
        assert house.command("alice", "login", "alice", otp=True).returncode == 0
        shown = house.command("alice", "sessions")
    assert "PROTECTION" in shown.stdout, shown.stderr
    assert "none" in shown.stdout
    checked = house.command("alice", "policy", "check")
    assert checked.returncode == 0
    assert "warn" in checked.stdout
    assert "observed, not protected" in checked.stdout
    doctor = house.command("alice", "doctor")
    assert "observed, not protected" in doctor.stdout
    assert doctor.returncode == 0, doctor.stdout
    explained = house.command(
        "alice", "policy", "explain", "--person", "alice", "--ticket", "SUP-1423", "delete from employees"
    )
    assert "NONE" in explained.stdout


def test_a_change_of_the_mode_ends_sessions_at_once_and_later_ones_are_what_it_says(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with open_observed(tmp_path, postgres) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        secret = "select nir from employees order by id limit 1"
        truth = house.truth(secret)[0][0]
        for policy, clear in ((POLICY, False), (OBSERVING, True)):
            connection = house.connect()
            assert (connection.execute(secret).fetchone() == (truth,)) is not clear
            trail = house.follow()
            path.write_text(policy)
            assert house.gateway.pid is not None
            os.kill(house.gateway.pid, signal.SIGHUP)
            awaited(trail, lambda one: one["kind"] == "policy.change")
            with pytest.raises(psycopg.OperationalError, match="policy changed"):
                _ask_for_ever(connection, secret)
            with house.connect() as later:
                assert (later.execute(secret).fetchone() == (truth,)) is clear
            begun = [one for one in house.records() if one["kind"] == "session.begin"][-1]
            assert begun["protection"] == ("none" if clear else "masked")
        # the mode that is there but unknown changes nothing
        path.write_text(OBSERVING.replace("mode: observe", "mode: watch"))
        assert house.gateway.pid is not None
        os.kill(house.gateway.pid, signal.SIGHUP)
        eventually(lambda: "reload refused" in house.gateway.log_tail())


def _ask_for_ever(connection: psycopg.Connection[Any], text: str) -> None:
    eventually(lambda: connection.execute(text) is None)


def test_a_pass_of_an_observed_target_opens_no_other(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir(mode=0o755)
    (policies / "observed.yaml").write_text(OBSERVING)
    guarded = POLICY.replace("target: payroll", "target: guarded", 1)
    (policies / "guarded.yaml").write_text(guarded)
    for path in policies.iterdir():
        path.chmod(0o644)
    other = {
        "engine": "postgres", "host": "127.0.0.1", "port": postgres.port, "database": "payroll", "user": "gateway_ro",
        "password": {"file": str(_secret(tmp_path, postgres))}, "tls": "verify-full", "ca": str(postgres.ca),
    }  # fmt: skip
    with open_observed(tmp_path, postgres, settings={"policies": str(policies)}, more={"guarded": other}) as house:
        doctor = house.command("alice", "doctor")
        assert doctor.returncode == 1
        assert "it is the same database as `guarded`, which is protected" in doctor.stdout
        alice = house.actor("alice")
        here, there = (alice.open("SUP-1423", target=name) for name in (TARGET, "guarded"))
        secret = "select nir from employees order by id limit 1"
        (truth,) = house.truth(secret)[0]
        for opened, name, clear in ((here, TARGET, True), (there, "guarded", False)):
            with Raw(house) as raw:
                raw.log_in(opened["user"], opened["password"], database=name)
                rows = [body for kind, body in raw.query(secret) if kind == wire.DATA_ROW]
                assert (str(truth).encode() in rows[0]) is clear
        for opened, name in ((here, "guarded"), (there, TARGET)):
            with Raw(house) as raw, pytest.raises(AssertionError, match="28P01"):
                raw.log_in(opened["user"], opened["password"], database=name)


def _secret(directory: Path, postgres: EmbeddedPostgres) -> Path:
    path = directory / "guarded.password"
    path.write_text(postgres.password("gateway_ro"))
    path.chmod(0o600)
    return path


def test_a_session_that_was_ended_sends_nothing_more_to_the_target(house: House) -> None:
    with Raw(house) as raw:
        raw.log_in(application_name="ended")
        raw.query("create temp table ended (a int)")
        # a statement in the midst of data: what is behind it must not run either
        raw.send(
            wire.encode_query("copy ended from stdin") + wire.frame(wire.COPY_DATA, b"1\n")
            + wire.encode_query("insert into departments select * from departments limit 0")
            + wire.encode_query("select 'after the end'")
        )  # fmt: skip
        assert raw.last_words()["C"] == "08P01"
    made = statements(house, session_of(house, "ended"))
    assert [one["sql"] for one in made] == ["create temp table ended (a int)", "copy ended from stdin"]
    assert made[-1]["status"] == "cut"
    house.settled()


def test_the_trail_of_it_all_is_whole(house: House) -> None:
    house.settled()
    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    begun = {one["statement"] for one in house.records() if one["kind"] == "statement.begin"}
    ended = [one["statement"] for one in house.records() if one["kind"] in ("statement.end", "statement.unknown")]
    assert begun == set(ended)
    assert len(ended) == len(begun)
