"""The revisions of the store in PostgreSQL: from every version on the same tables with all rows kept, and the program
works on them; nothing outside of the store's own schema is looked at or touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import access_world
import psycopg
import pytest
import sqlalchemy as sa
from access_world import World
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from store_server import PASSWORD, ROLE, make_store, store_settings

from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError
from gateway.store import schema
from gateway.store.migrate import HEAD, migrate
from gateway.store.postgres import SCHEMA, PostgresDatabase
from tests.unit.store.old_stores import (
    Old,
    kept_in,
    lay_down,
    named,
    old_stores,
    postgres_rows,
    postgres_shape,
    sqlite_rows,
    without_alembics,
)
from tests.unit.store.test_store_revisions import opened, the_program_works

NAME, FRESH = "revisions", "revisions_fresh"
OLD = old_stores("postgres")
OTHERS = [old for old in old_stores("sqlite") if old.version not in {one.version for one in OLD}]
"""Revisions of which no store was kept from PostgreSQL: they are made here, with the rows that a file had."""

Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture(scope="module")
def fresh(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    """The server with a new store of this program in the database `FRESH`."""
    make_store(postgres, FRESH)
    PostgresDatabase(store_settings(postgres, FRESH, tmp_path_factory.mktemp("fresh"))).close()
    return postgres


@pytest.fixture
def store(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Callable[[], PostgresDatabase]]:
    """Opens the store in a new, empty database."""
    make_store(postgres, NAME)
    settings = store_settings(postgres, NAME, tmp_path)
    handles: list[PostgresDatabase] = []

    def open_it(_: Any = None) -> PostgresDatabase:
        handles.append(PostgresDatabase(settings))
        return handles[-1]

    yield open_it
    for handle in handles:
        handle.close()


def as_role(server: EmbeddedPostgres, name: str = NAME) -> psycopg.Connection[Any]:
    return server.connect(ROLE, database=name, password=PASSWORD)


def engine_of(server: EmbeddedPostgres, name: str) -> sa.Engine:
    def connect() -> psycopg.Connection[Any]:
        connection = as_role(server, name)
        connection.execute(f"SET search_path = {SCHEMA}")
        connection.commit()
        return connection

    return sa.create_engine("postgresql+psycopg://", creator=connect, poolclass=sa.NullPool)


def made(server: EmbeddedPostgres, to: int) -> None:
    """A new store, by the revisions up to that one."""
    with engine_of(server, NAME).begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        assert migrate(connection, to) == to


def laid_down(server: EmbeddedPostgres, old: Old) -> None:
    with as_role(server) as connection:
        connection.execute(old.text.encode())


def seen(server: EmbeddedPostgres, name: str = NAME) -> tuple[dict[str, Any], dict[str, Any]]:
    """The store's shape, and its rows."""
    with as_role(server, name) as connection:
        return postgres_shape(connection), postgres_rows(connection)


def brought_up(server: EmbeddedPostgres, store: Callable[[], PostgresDatabase]) -> None:
    _, before = seen(server)
    store().close()
    shape, after = seen(server)
    assert shape == seen(server, FRESH)[0]
    assert kept_in(before, after)
    assert after["alembic_version"] == [{"version_num": f"{HEAD:04}"}]


def test_the_tables_are_what_the_revisions_make(fresh: EmbeddedPostgres, store: Callable[[], PostgresDatabase]) -> None:
    engine = engine_of(fresh, FRESH)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
    with engine_of(fresh, NAME).begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        schema.metadata.create_all(connection)
    assert without_alembics(seen(fresh, FRESH)[0]) == seen(fresh)[0]


@pytest.mark.parametrize("old", [one for one in OLD if not one.path.stem.endswith("a")], ids=named)
def test_a_revision_makes_what_the_program_of_its_time_made(
    old: Old, postgres: EmbeddedPostgres, store: Callable[[], PostgresDatabase]
) -> None:
    laid_down(postgres, old)
    (was, _) = seen(postgres)
    make_store(postgres, NAME)
    made(postgres, old.version)
    assert without_alembics(seen(postgres)[0]) == was


@pytest.mark.parametrize("old", OLD, ids=named)
def test_an_old_store_is_brought_up_and_the_program_works_on_it(
    old: Old, fresh: EmbeddedPostgres, store: Callable[[], PostgresDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_down(fresh, old)
    assert all(seen(fresh)[1].values())
    brought_up(fresh, store)
    monkeypatch.setattr(access_world, "Database", store)
    world = World()
    opened(world, old)
    asyncio.run(the_program_works(world, old))
    world.restart()
    world.close()


@pytest.mark.parametrize("old", OTHERS, ids=named)
def test_every_revision_brings_up_a_store_with_rows(
    old: Old, fresh: EmbeddedPostgres, store: Callable[[], PostgresDatabase], tmp_path: Path
) -> None:
    lay_down(old, tmp_path / "old.sqlite")
    rows = sqlite_rows(tmp_path / "old.sqlite")
    made(fresh, old.version)
    with as_role(fresh) as connection:
        for table in [table.name for table in schema.metadata.sorted_tables if table.name in rows]:
            if table != "schema_version":
                moved(connection, table, rows[table])
    brought_up(fresh, store)


def moved(connection: psycopg.Connection[Any], table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows of a file, whose booleans are numbers and whose JSON is text."""
    types = dict(
        connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass",
            (f"{SCHEMA}.{table}",),
        ).fetchall()
    )
    for row in rows:
        values = [str(value) if types[name] in ("boolean", "json") else value for name, value in row.items()]
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(SCHEMA, table),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(types[name])) for name in row),
            ),
            values,
        )


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(
    postgres: EmbeddedPostgres, store: Callable[[], PostgresDatabase]
) -> None:
    laid_down(postgres, OLD[0])
    with as_role(postgres) as connection:
        connection.execute(f"CREATE TABLE {SCHEMA}.ceremonies (page text)")
    before = seen(postgres)
    with pytest.raises(GatewayError) as raised:
        store()
    assert raised.value.code == "store-unavailable"
    assert seen(postgres) == before


def test_a_search_path_of_somebody_elses_leads_the_revisions_nowhere(
    fresh: EmbeddedPostgres, store: Callable[[], PostgresDatabase]
) -> None:
    """Tables of the same names lie before and behind, and every setting that the server has names them."""
    laid_down(fresh, OLD[0])
    with fresh.connect(database=NAME) as owner:
        owner.execute("CREATE SCHEMA evil")
        for name in ("evil", "public"):
            owner.execute(f"CREATE TABLE {name}.alembic_version (version_num text)")
            owner.execute(f"INSERT INTO {name}.alembic_version VALUES ('{HEAD:04}')")
            owner.execute(f"CREATE TABLE {name}.schema_version (version integer)")
            owner.execute(f"INSERT INTO {name}.schema_version VALUES (99)")
            owner.execute(f"CREATE TABLE {name}.security_keys (credential text)")
            owner.execute(f"GRANT ALL ON SCHEMA {name} TO {ROLE}")
            owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {ROLE}")
        owner.execute(f"ALTER ROLE {ROLE} IN DATABASE {NAME} SET search_path = evil, public, {SCHEMA}")
        owner.execute(f"ALTER DATABASE {NAME} SET search_path = evil")
        before = [(postgres_shape(owner, name), postgres_rows(owner, name)) for name in ("evil", "public")]
    brought_up(fresh, store)
    with fresh.connect(database=NAME) as owner:
        assert [(postgres_shape(owner, name), postgres_rows(owner, name)) for name in ("evil", "public")] == before


def test_the_role_owns_all_that_the_revisions_made(fresh: EmbeddedPostgres) -> None:
    owners = fresh.sql(
        "select distinct relowner::regrole::text, relacl::text from pg_class"
        " where relnamespace = 'gateway_store'::regnamespace",
        database=FRESH,
    )
    assert owners == [(ROLE, None)]
