"""psycopg 3 against the running gateway: sync, async, pipeline, server cursors, binary, COPY, cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, awaited, eventually
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from gateway.demo.data import CUSTOMER

SLOW = "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b"


@pytest.fixture
def connection(house: House) -> Iterator[psycopg.Connection[Any]]:
    with house.connect() as connection:
        yield connection


def typed(promised: list[dict[str, str | None]]) -> list[dict[str, Any]]:
    """Promised rows of employees as psycopg's types."""
    kinds: dict[str, Any] = {
        "id": int,
        "company_id": int,
        "salary": Decimal,
        "birth_date": date.fromisoformat,
        "hired_on": date.fromisoformat,
    }
    return [
        {name: value if value is None else kinds.get(name, str)(value) for name, value in row.items()}
        for row in promised
    ]


@pytest.mark.parametrize("binary", [False, True])
def test_rows_in_either_format_are_what_the_policy_promises(
    house: House, connection: psycopg.Connection[Any], binary: bool
) -> None:
    with connection.cursor(row_factory=dict_row, binary=binary) as cursor:
        assert cursor.execute("select * from employees order by id").fetchall() == typed(house.promised())


def test_parameters_in_either_format_find_the_row(house: House, connection: psycopg.Connection[Any]) -> None:
    wanted = typed(house.promised())[5]
    for text in ("%s", "%b", "%t"):
        found = connection.execute(f"select email from employees where id = {text}", [wanted["id"]]).fetchall()
        assert found == [(wanted["email"],)]
    days = connection.execute("select id from employees where birth_date = %s", [wanted["birth_date"]]).fetchall()
    assert (wanted["id"],) in days


def test_an_exact_search_by_parameter_finds_the_person_who_wrote(
    house: House, connection: psycopg.Connection[Any]
) -> None:
    ((person, email),) = house.truth(
        "select id, email from employees where company_id = %s order by id limit 1", CUSTOMER
    )
    follower = house.follow()
    found = connection.execute("select id, email from employees where email = %s", [email]).fetchall()
    assert [row[0] for row in found] == [person]
    assert found[0][1] != email
    search = awaited(follower, lambda record: record["kind"] == "search.exact")
    assert (search["relation"], search["column"]) == ("public.employees", "email")


def test_an_exact_search_by_parameter_never_leaves_the_customer(
    house: House, connection: psycopg.Connection[Any]
) -> None:
    ((email,),) = house.truth("select email from employees where company_id = %s limit 1", CUSTOMER + 1)
    assert connection.execute("select id from employees where email = %s", [email]).fetchall() == []


def test_statements_are_prepared_after_five_runs_and_stay_right(
    house: House, connection: psycopg.Connection[Any]
) -> None:
    promised = typed(house.promised())
    assert connection.prepare_threshold == 5
    for row in promised[:12]:
        found = connection.execute("select salary, nir from employees where id = %s", [row["id"]]).fetchall()
        assert found == [(row["salary"], row["nir"])]


def test_prepared_at_once_and_forgotten_again(connection: psycopg.Connection[Any]) -> None:
    connection.prepared_max = 2
    for round_ in range(3):
        for number in range(5):
            text = f"select {number} + %s"
            assert connection.execute(text, [round_], prepare=True).fetchone() == (number + round_,)


def test_a_named_cursor_fetches_in_portions_and_scrolls(house: House, connection: psycopg.Connection[Any]) -> None:
    ids = [row["id"] for row in typed(house.promised())]
    with connection.transaction(), connection.cursor("mine", scrollable=True) as cursor:
        cursor.itersize = 10
        cursor.execute("select id from employees order by id")
        assert [row[0] for row in cursor.fetchmany(3)] == ids[:3]
        assert [row[0] for row in cursor] == ids[3:]
        cursor.scroll(0, "absolute")
        assert [row[0] for row in cursor.fetchall()] == ids


def test_a_named_cursor_s_fetches_are_on_record_with_what_they_read(
    house: House, connection: psycopg.Connection[Any]
) -> None:
    follower = house.follow()
    with connection.transaction(), connection.cursor("mine") as cursor:
        cursor.execute("select email from employees")
        cursor.fetchmany(3)
    fetch = awaited(follower, lambda r: r["kind"] == "statement.begin" and r["verb"].lower().startswith("fetch"))
    assert fetch["relations"] == ["public.employees"]
    assert "public.employees.email" in str(fetch["columns_masked"])


def test_a_named_cursor_with_binary_rows(house: House, connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(), connection.cursor("mine", binary=True) as cursor:  # type: ignore[call-overload]
        cursor.execute("select id, salary from employees order by id")
        assert cursor.fetchall() == [(row["id"], row["salary"]) for row in typed(house.promised())]


def test_a_pipeline_answers_in_order(house: House, connection: psycopg.Connection[Any]) -> None:
    promised = typed(house.promised())
    with connection.pipeline():
        cursors = [
            connection.execute("select email from employees where id = %s", [row["id"]]) for row in promised[:20]
        ]
        assert [cursor.fetchall() for cursor in cursors] == [[(row["email"],)] for row in promised[:20]]


def test_a_refusal_in_a_pipeline_aborts_up_to_the_next_sync(connection: psycopg.Connection[Any]) -> None:
    with connection.pipeline() as pipeline:
        first = connection.execute("select 1")
        second = connection.execute("select rolname from pg_authid")
        third = connection.cursor()

        def asked() -> None:
            # the driver raises where it finds the error first
            third.execute("select 3")
            pipeline.sync()

        with pytest.raises(errors.UndefinedTable):
            asked()
        pipeline.sync()
        fourth = connection.execute("select 4")
        assert fourth.fetchall() == [(4,)]
    assert first.fetchall() == [(1,)]
    for cursor in (second, third):
        with pytest.raises(psycopg.ProgrammingError, match="no result"):
            cursor.fetchall()


def test_copy_to_stdout_in_text_and_binary(house: House, connection: psycopg.Connection[Any]) -> None:
    promised = typed(house.promised())
    query = "select id, email, salary from employees order by id"
    with connection.cursor() as cursor, cursor.copy(f"copy ({query}) to stdout") as copy:
        copy.set_types(["int4", "text", "numeric"])
        assert list(copy.rows()) == [(row["id"], row["email"], row["salary"]) for row in promised]
    with connection.cursor() as cursor, cursor.copy(f"copy ({query}) to stdout (format binary)") as copy:
        copy.set_types(["int4", "text", "numeric"])
        assert list(copy.rows()) == [(row["id"], row["email"], row["salary"]) for row in promised]


def test_copy_of_a_whole_table_is_masked_too(house: House, connection: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor, cursor.copy("copy employees to stdout") as copy:
        rows = list(copy.rows())
    promised = house.promised()
    assert sorted(rows) == sorted(tuple(row.values()) for row in promised)


def test_writes_are_refused_however_they_come(house: House, connection: psycopg.Connection[Any]) -> None:
    before = house.truth("select count(*), sum(gross) from payslips")
    with connection.cursor() as cursor, pytest.raises(errors.ReadOnlySqlTransaction):
        cursor.executemany("update payslips set gross = %s where id = %s", [(1, 1), (2, 2)])
    with pytest.raises(errors.ReadOnlySqlTransaction):
        connection.execute("insert into departments values ('X', 'x')")
    with (
        pytest.raises(psycopg.Error) as refused,
        connection.cursor() as cursor,
        cursor.copy("copy departments from stdin"),
    ):
        pytest.fail("COPY FROM was let in")
    assert refused.value.sqlstate in ("42501", "25006")
    assert connection.execute("select 1").fetchone() == (1,)
    assert house.truth("select count(*), sum(gross) from payslips") == before


def test_executemany_of_reads_returns_each_result(house: House, connection: psycopg.Connection[Any]) -> None:
    ids = [row["id"] for row in typed(house.promised())][:3]
    with connection.cursor() as cursor:
        cursor.executemany("select id from employees where id = %s", [(i,) for i in ids], returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
    assert found == [(i,) for i in ids]


@pytest.mark.parametrize("how", ["cancel", "cancel_safe"])
def test_a_cancel_request_stops_the_statement(house: House, how: str) -> None:
    with house.connect() as connection:

        def cancel() -> None:
            eventually(lambda: any(state == "active" for _, state in house.backends()))
            getattr(connection, how)()

        thread = threading.Thread(target=cancel)
        thread.start()
        start = time.monotonic()
        with pytest.raises(errors.QueryCanceled):
            connection.execute(SLOW)
        assert time.monotonic() - start < 5
        thread.join()
        assert connection.execute("select 1").fetchone() == (1,)


def test_the_transaction_s_state_is_true(house: House) -> None:
    with psycopg.connect(house.conninfo()) as connection:
        state = lambda: connection.info.transaction_status  # noqa: E731
        assert state() == TransactionStatus.IDLE
        connection.execute("select 1")
        assert state() == TransactionStatus.INTRANS
        with pytest.raises(errors.UndefinedTable):
            connection.execute("select * from pg_authid")
        assert state() == TransactionStatus.INERROR
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("select 1")
        connection.rollback()
        assert state() == TransactionStatus.IDLE
        connection.execute("select 1")
        connection.commit()
        assert state() == TransactionStatus.IDLE


def test_a_refusal_by_parameters_leaves_the_same_state_as_one_in_text(house: House) -> None:
    with psycopg.connect(house.conninfo()) as connection:
        connection.execute("select %s::int", [1])
        with pytest.raises(errors.UndefinedTable):
            connection.execute("select rolname from pg_authid where oid = %s", [10])
        assert connection.info.transaction_status == TransactionStatus.INERROR
        connection.rollback()
        with connection.transaction():
            connection.execute("select 1")
            with pytest.raises(errors.UndefinedTable), connection.transaction():
                connection.execute("select * from pg_authid")
            assert connection.execute("select 2").fetchone() == (2,)


def test_isolation_and_read_only_are_the_client_s_to_choose(house: House) -> None:
    with psycopg.connect(house.conninfo()) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        assert connection.execute("show transaction_isolation").fetchone() == ("repeatable read",)
        connection.rollback()
        connection.read_only = False
        with pytest.raises(psycopg.Error):
            connection.execute("select 1")


def test_notices_reach_the_handler_and_say_which_comparison_is_masked(connection: psycopg.Connection[Any]) -> None:
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}"))
    for _ in range(2):
        connection.execute("select id from employees where salary > %s", [50_000])
    assert len(said) == 2
    assert "salary" in said[0]


def test_what_a_client_learns_about_the_server_at_start_up(house: House, connection: psycopg.Connection[Any]) -> None:
    info = connection.info
    assert info.server_version == int(house.truth("show server_version_num")[0][0])
    assert info.encoding == "utf-8"
    assert info.parameter_status("standard_conforming_strings") == "on"
    assert info.parameter_status("is_superuser") == "off"
    assert info.parameter_status("session_authorization") == "alice"
    assert connection.pgconn.used_password
    assert connection.pgconn.ssl_in_use


def test_settings_of_the_start_up_are_taken_over_and_come_back_after_reset(house: House) -> None:
    more = {"application_name": "ticket tool", "options": "-c TimeZone=Europe/Paris -c DateStyle=ISO,DMY"}
    with house.connect(**more) as connection:
        assert connection.execute("show timezone").fetchone() == ("Europe/Paris",)
        connection.execute("set timezone = 'UTC'")
        assert connection.info.parameter_status("TimeZone") == "UTC"
        connection.execute("reset all")
        assert connection.execute("show timezone").fetchone() == ("Europe/Paris",)
        assert connection.execute("show application_name").fetchone() == ("ticket tool",)
        assert connection.execute("select count(*) from employees").fetchone() == (len(house.promised()),)
        connection.execute("discard all")
        assert connection.execute("show timezone").fetchone() == ("Europe/Paris",)
        promised = [(row["email"],) for row in house.promised()]
        assert connection.execute("select email from employees order by id").fetchall() == promised


def test_the_application_s_name_is_on_record(house: House) -> None:
    follower = house.follow()
    with house.connect(application_name="ticket tool"):
        pass
    assert awaited(follower, lambda record: record["kind"] == "session.begin")["application"] == "ticket tool"


def test_a_large_result_arrives_whole_row_by_row_and_at_once(connection: psycopg.Connection[Any]) -> None:
    query = "select n, repeat('x', 100) from generate_series(1, 60000) n"
    assert sum(1 for _ in connection.cursor().stream(query)) == 60000
    rows = connection.execute(query).fetchall()
    assert [row[0] for row in rows] == list(range(1, 60001))


def test_a_value_of_a_megabyte_arrives_whole(connection: psycopg.Connection[Any]) -> None:
    for size in (70_000, 3_000_000):
        row = connection.execute(f"select repeat('0123456789', {size // 10}), 'end'").fetchone()
        assert row == ("0123456789" * (size // 10), "end")


def test_an_async_connection_does_the_same(house: House) -> None:
    async def work() -> tuple[Any, ...]:
        connect = psycopg.AsyncConnection.connect(house.conninfo(), autocommit=True)
        async with await connect as connection:
            cursor = await connection.execute("select * from employees order by id", binary=True)
            cursor.row_factory = dict_row
            whole = await cursor.fetchall()
            async with connection.pipeline():
                cursors = [await connection.execute("select %s::int", [n]) for n in range(10)]
                numbers = [await cursor.fetchone() for cursor in cursors]
            task = asyncio.ensure_future(connection.execute(SLOW))
            await asyncio.sleep(0.3)
            await connection.cancel_safe()
            try:
                await task
                ended = "ran"
            except errors.QueryCanceled:
                ended = "cancelled"
            after = await (await connection.execute("select 'alive'")).fetchone()
            return whole, numbers, ended, after

    whole, numbers, ended, after = asyncio.run(work())
    assert [dict(row) for row in whole] == typed(house.promised())
    assert numbers == [(n,) for n in range(10)]
    assert ended == "cancelled"
    assert after == ("alive",)


def test_ten_connections_at_once_see_the_same(house: House) -> None:
    promised = [(row["email"],) for row in house.promised()]

    async def one() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(house.conninfo(), autocommit=True) as connection:
            return await (await connection.execute("select email from employees order by id")).fetchall()

    async def all_() -> list[list[Any]]:
        return await asyncio.gather(*(one() for _ in range(10)))

    assert all(rows == promised for rows in asyncio.run(all_()))
    house.settled()
