"""Real servers for the live tests: started here, on free ports, in directories of their own, and stopped by pid."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, open_house

from gateway.demo import data
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres, create_backend_role, find_binaries

SEED = 2026
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this directory as `live`, so that nobody can forget to."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def dataset() -> data.Dataset:
    """The small payroll data set that the `postgres` fixture loads: five companies, 42 in the middle."""
    return data.generate(data.SMALL, SEED)


@pytest.fixture(scope="session")
def postgres(dataset: data.Dataset) -> Iterator[EmbeddedPostgres]:
    """Debian's PostgreSQL with TLS and SCRAM, the payroll tables loaded, and the read-only backend role made.

    `postgres.dsn()` is the owner's; `postgres.dsn(BACKEND_ROLE)` what the gateway gets; `postgres.ca` verifies it.
    """
    # Not pytest's own directory: that one is closed to the unprivileged user whom the server runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="gateway-live-"))
    server = EmbeddedPostgres(directory, find_binaries(tls=True), tls=True)

    def load(connection: psycopg.Connection[Any]) -> None:
        data.load(connection, dataset)
        create_backend_role(connection, server.password(BACKEND_ROLE))

    try:
        with server:
            server.ensure_database(data.stamp(data.SMALL, SEED), load)
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway in front of `postgres`, with the demonstration's people inside; for tests that leave it as it was.

    The budgets are wide, because all tests of a run share one person's day.
    """
    limits = {"rows_per_statement": 200_000, "rows_per_day": 50_000_000, "exact_searches_per_hour": 1000}
    with open_house(tmp_path_factory.mktemp("house"), postgres, limits=limits) as house:
        yield house
