"""What `gateway doctor` asks what keeps the state (`store`): a file, or PostgreSQL servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg

from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.store.database import revision_in
from gateway.store.migrate import HEAD
from gateway.store.opening import FILE
from gateway.store.postgres import Server, look_at


def examine(config: Config) -> Iterator[Finding]:
    """What is wrong with the file, or with each server, and whether one of them takes writes."""
    if config.store.kind != "postgres":
        yield _file(config.state / FILE)
        return
    found: dict[str, Server] = {}
    for (host, port), name in zip(config.store.places(), config.store.hosts, strict=True):
        check = f"store {name}"
        try:
            found[name] = look_at(config.store, (host, port))
        except GatewayError as error:
            yield Finding(check, FAIL, error.refusal.message, error.refusal.hint)
            continue
        except psycopg.Error as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            yield Finding(
                check, WARN if len(config.store.hosts) > 1 else FAIL, f"does not answer: {why}", "bring it up"
            )
            continue
        yield from _server(check, found[name])
    writable = [name for name, server in found.items() if server.writable]
    if len(writable) > 1:
        yield Finding(
            "store", FAIL, f"{len(writable)} servers take writes: they are not copies of one another",
            "let all but one follow the primary",
        )  # fmt: skip
    elif found and not writable:
        yield Finding("store", FAIL, "no server takes writes: nobody gets access", "promote a standby")
    elif writable and len(config.store.hosts) > 1 and not found[writable[0]].standbys:
        yield Finding(
            "store", WARN, "no standby is a synchronous one: a failover can lose the last moves, and ends all access",
            "set synchronous_standby_names on the primary",
        )  # fmt: skip


def _file(path: Path) -> Finding:
    try:
        return Finding("store", OK, f"has {_tables(revision_in(path))}")
    except GatewayError as error:
        return failed("store", error)


def _server(check: str, server: Server) -> Iterator[Finding]:
    if not server.safe:
        yield Finding(
            check, FAIL, "may lose what it has acknowledged", "set fsync = on and full_page_writes = on there"
        )
    elif server.superuser:
        yield Finding(check, WARN, "the role is a superuser", "own the database with a role that is not")
    else:
        yield Finding(check, OK, f"{'takes writes' if server.writable else 'a standby'}, has {_tables(server.version)}")


def _tables(version: int) -> str:
    """What a store has, and what its next start brings."""
    if not version:
        return "no tables yet"
    missing = f"; the next start brings it up to {HEAD}" if version < HEAD else ""
    return f"revision {version}{missing}"
