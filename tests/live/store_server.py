"""Stores in PostgreSQL for the tests: databases of a server that the test started, each with its own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.demo.postgres import EmbeddedPostgres
from gateway.settings import Secret
from gateway.store.postgres import SCHEMA
from gateway.store_settings import Store

ROLE, PASSWORD = "gateway_store", "store-password"


def make_store(server: EmbeddedPostgres, name: str) -> None:
    """A new, empty database for a store, owned by its own role."""
    with server.connect(database="postgres") as connection:
        if connection.execute("select 1 from pg_roles where rolname = %s", (ROLE,)).fetchone() is None:
            connection.execute(f"create role {ROLE} login password '{PASSWORD}'")
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} owner {ROLE}")


def empty_store(server: EmbeddedPostgres, name: str) -> None:
    """The same database without anything in it; nobody may be using it."""
    server.sql(f"drop schema if exists {SCHEMA} cascade", database=name)


def store_settings(server: EmbeddedPostgres, name: str, directory: Path, **more: Any) -> Store:
    """The settings of that store; `more` goes over them."""
    secret = directory / "store.password"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(PASSWORD)
    given: dict[str, Any] = {
        "kind": "postgres", "hosts": (f"127.0.0.1:{server.port}",), "database": name, "user": ROLE,
        "password": Secret(file=secret), "deadline": 5.0,
    }  # fmt: skip
    given |= {"tls": "verify-full", "ca": server.ca} if server.tls else {"tls": "off"}
    return Store(**(given | more))


def as_yaml(settings: Store) -> dict[str, Any]:
    """The same as it is written in `gateway.yaml`."""
    assert settings.password is not None
    written: dict[str, Any] = {
        "kind": settings.kind, "hosts": list(settings.hosts), "database": settings.database, "user": settings.user,
        "password": {"file": str(settings.password.file)}, "tls": settings.tls,
        "deadline": f"{round(settings.deadline * 1_000)}ms", "grace": f"{round(settings.grace * 1_000)}ms",
    }  # fmt: skip
    return written | ({"ca": str(settings.ca)} if settings.ca else {})
