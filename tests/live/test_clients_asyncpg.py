"""asyncpg against the running gateway: binary everywhere, prepared everywhere, and a pool that resets."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import pytest
from gateway_fixture import House

from gateway.demo.data import CUSTOMER

SLOW = "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b"

T = TypeVar("T")
Work = Callable[[asyncpg.Connection], Awaitable[T]]


def settings(house: House) -> dict[str, Any]:
    given = house.parameters()
    return {
        "host": given["host"],
        "port": given["port"],
        "user": given["user"],
        "password": given["password"],
        "database": given["dbname"],
        "ssl": ssl.create_default_context(cafile=given["sslrootcert"]),
        "timeout": 20,
    }


@pytest.fixture
def run(house: House) -> Callable[[Work[Any]], Any]:
    async def with_connection(work: Work[Any]) -> Any:
        connection = await asyncpg.connect(**settings(house))
        try:
            return await work(connection)
        finally:
            await connection.close()

    return lambda work: asyncio.run(with_connection(work))


def typed(promised: list[dict[str, str | None]]) -> list[dict[str, Any]]:
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


def test_rows_are_what_the_policy_promises(house: House, run: Callable[..., Any]) -> None:
    rows = run(lambda c: c.fetch("select * from employees order by id"))
    assert [dict(row) for row in rows] == typed(house.promised())


def test_a_prepared_statement_describes_itself_and_runs_again(house: House, run: Callable[..., Any]) -> None:
    wanted = typed(house.promised())[:4]

    async def work(connection: asyncpg.Connection) -> Any:
        statement = await connection.prepare("select email, salary from employees where id = $1")
        described = [(a.name, a.type.name) for a in statement.get_attributes()]
        parameters = [p.name for p in statement.get_parameters()]
        return described, parameters, [await statement.fetchrow(row["id"]) for row in wanted]

    described, parameters, found = run(work)
    assert described == [("email", "text"), ("salary", "numeric")]
    assert parameters == ["int4"]
    assert [dict(row) for row in found] == [{name: row[name] for name in ("email", "salary")} for row in wanted]


def test_cursors_fetch_in_portions(house: House, run: Callable[..., Any]) -> None:
    ids = [row["id"] for row in typed(house.promised())]

    async def work(connection: asyncpg.Connection) -> Any:
        async with connection.transaction():
            text = "select id from employees order by id"
            streamed = [row["id"] async for row in connection.cursor(text, prefetch=7)]
            cursor = await connection.cursor(text)
            first = [row["id"] for row in await cursor.fetch(5)]
            await cursor.forward(3)
            rest = [row["id"] for row in await cursor.fetch(1000)]
            return streamed, first, rest

    streamed, first, rest = run(work)
    assert streamed == ids
    assert first == ids[:5]
    assert rest == ids[8:]


def test_types_that_the_driver_does_not_know_are_looked_up_in_the_catalog(run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        one = await connection.fetchval("select array_agg(e) from (select id, status from employees limit 2) e")
        two = await connection.fetchval("select int4range(1, 5)")
        three = await connection.fetchval("select array[('a', 1)::record]")
        return one, two, three

    one, two, three = run(work)
    assert len(one) == 2
    assert (two.lower, two.upper) == (1, 5)
    assert tuple(three[0]) == ("a", 1)


def test_a_whole_row_is_masked_inside_a_composite(house: House, run: Callable[..., Any]) -> None:
    rows = run(lambda c: c.fetch("select e from employees e order by e.id"))
    promised = typed(house.promised())
    assert [tuple(row["e"]) for row in rows] == [tuple(row.values()) for row in promised]


def test_copy_from_query_writes_masked_rows(house: House, run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> bytes:
        out = io.BytesIO()
        await connection.copy_from_query("select id, email from employees where id > $1 order by id", 0, output=out)
        return out.getvalue()

    lines = [f"{row['id']}\t{row['email']}" for row in house.promised()]
    assert run(work).decode().splitlines() == lines


def test_copy_from_table_is_masked_too(house: House, run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> bytes:
        out = io.BytesIO()
        await connection.copy_from_table("employees", columns=["id", "nir"], output=out)
        return out.getvalue()

    assert sorted(run(work).decode().splitlines()) == sorted(f"{r['id']}\t{r['nir']}" for r in house.promised())


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
def test_read_only_transactions_of_every_isolation(run: Callable[..., Any], isolation: str) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        async with connection.transaction(isolation=isolation, readonly=True):
            shown = await connection.fetchval("show transaction_isolation")
            with pytest.raises(asyncpg.UndefinedTableError):
                async with connection.transaction():
                    await connection.fetch("select * from pg_authid")
            return shown, await connection.fetchval("select 1")

    assert run(work) == (isolation.replace("_", " "), 1)


def test_a_write_is_refused_and_the_connection_goes_on(run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("update employees set status = $1", "x")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.executemany("insert into departments values ($1, $2)", [("A", "b"), ("C", "d")])
        return await connection.fetchval("select 1")

    assert run(work) == 1


def test_a_timeout_of_the_client_s_cancels_the_statement(run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        with pytest.raises(TimeoutError):
            await connection.fetch(SLOW, timeout=0.5)
        return await connection.fetchval("select 'alive'")

    assert run(work) == "alive"


def test_a_pool_resets_connections_between_their_users(house: House) -> None:
    async def work() -> Any:
        async with asyncpg.create_pool(**settings(house), min_size=2, max_size=3) as pool:
            async with pool.acquire() as connection:
                await connection.execute("set timezone = 'Asia/Tokyo'")
                before = await connection.fetchval("show timezone")
            counts = await asyncio.gather(*(pool.fetchval("select count(*) from employees") for _ in range(20)))
            zones = await asyncio.gather(*(pool.fetchval("show timezone") for _ in range(20)))
            pids = set(await asyncio.gather(*(pool.fetchval("select pg_backend_pid()") for _ in range(20))))
            return before, set(counts), set(zones), len(pids)

    before, counts, zones, pids = asyncio.run(work())
    assert before == "Asia/Tokyo"
    assert counts == {len(house.promised())}
    assert "Asia/Tokyo" not in zones
    assert pids <= 3
    house.settled()


def test_an_exact_search_by_parameter_finds_one(house: House, run: Callable[..., Any]) -> None:
    ((person, email),) = house.truth(
        "select id, email from employees where company_id = %s order by id limit 1", CUSTOMER
    )
    rows = run(lambda c: c.fetch("select id, email from employees where email = $1", email))
    assert [row["id"] for row in rows] == [person]
    assert rows[0]["email"] != email


def test_the_driver_s_own_listeners_are_refused_by_name(run: Callable[..., Any]) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.add_listener("news", lambda *_: None)
        return refused.value.sqlstate, await connection.fetchval("select 1")

    assert run(work) == ("42501", 1)
