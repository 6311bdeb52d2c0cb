"""Real servers for the live tests: started here, on free ports, in directories of their own, and stopped by pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_fixture import House, open_house, small_payroll
from receivers import Collector

from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres

# these are run over another kind of index too
pytest.register_assert_rewrite(
    "tests.unit.audit.test_audit_export",
    "tests.unit.audit.test_audit_questions",
    "tests.unit.audit.test_audit_questions_oracle",
    "tests.unit.audit.test_audit_search",
)
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
    with small_payroll(dataset, SEED) as server:
        yield server


@pytest.fixture(scope="session")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway in front of `postgres`, with the demonstration's people inside; for tests that leave it as it was.

    The budgets are wide, because all tests of a run share one person's day.
    """
    limits = {"rows_per_statement": 200_000, "rows_per_day": 50_000_000, "exact_searches_per_hour": 1000}
    place = tmp_path_factory.mktemp("house")
    collector = Collector(keep=place / "exported.posted")
    # all that can be emitted is, so that it can be searched for what may not be
    settings = {
        "exports": {
            "lines": {"kind": "file", "path": str(place / "exported.lines")},
            "events": {"kind": "file", "path": str(place / "exported.events"), "format": "ocsf"},
            "logs": {"kind": "otlp", "url": f"{collector.url}/v1/logs"},
        },
        "telemetry": {"url": collector.url, "traces": 1.0, "metrics": "5s"},
    }
    with open_house(place, postgres, limits=limits, settings=settings) as house:
        yield house
    collector.stop()
