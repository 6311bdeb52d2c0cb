"""A gateway in front of a target that is observed, reached with a role that may write: what an application has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_fixture import House, open_house

from gateway.demo.company import TARGET
from gateway.demo.postgres import EmbeddedPostgres

ROLE = "application"
POLICY = (Path(__file__).parents[2] / "policies" / "payroll.yaml").read_text()
OBSERVING = POLICY.replace("target: payroll\n", "target: payroll\nmode: observe\n", 1)


@contextlib.contextmanager
def open_observed(
    directory: Path,
    postgres: EmbeddedPostgres,
    *,
    policy: str = OBSERVING,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> Iterator[House]:
    """Open a house whose target is observed, with wide budgets unless they are given; `more` are other targets."""
    password = postgres.password(ROLE)
    if not postgres.sql("select 1 from pg_roles where rolname = %s", ROLE):
        postgres.sql(f"create role {ROLE} login password '{password}'")
    postgres.sql(f"grant connect, temporary on database payroll to {ROLE}")
    postgres.sql(f"grant usage, create on schema public to {ROLE}")
    postgres.sql(f"grant all on all tables in schema public to {ROLE}")
    secret = directory / "application.password"
    secret.write_text(password)
    secret.chmod(0o600)
    target = {TARGET: {"user": ROLE, "password": {"file": str(secret)}}} | (more or {})
    budgets = {"rows_per_statement": 50_000_000, "rows_per_day": 1_000_000_000} if limits is None else limits
    with open_house(
        directory, postgres, policy=policy, limits=budgets, settings={"targets": target} | (settings or {})
    ) as house:
        yield house
