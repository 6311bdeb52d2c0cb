"""What `gateway doctor` asks the PostgreSQL servers that acknowledge the trail (`audit.replica`)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gateway.audit.quorum import Connection, Lost, Refused
from gateway.audit.replicate import UNQUORATE
from gateway.audit_settings import Replica
from gateway.cli.finding import FAIL, OK, WARN, Finding
from gateway.config import Config

_TIMEOUT_S = 3.0
_STANDBY = "25006"
_SET_UP = "run deploy/postgres/audit-replica.sql there, and grant gateway_audit_writer to the role"


def examine(config: Config) -> Iterator[Finding]:
    """One finding for each server, and one for the quorum."""
    replica = config.audit.replica
    if replica is None:
        return
    taking = 0
    for host in replica.hosts:
        finding, takes = _server(replica, host, config)
        taking += takes
        yield finding
    if taking == 1:
        yield Finding("audit copy", OK, f"one of {len(replica.hosts)} servers takes records, and waits for another")
    elif taking:
        yield Finding(
            "audit copy", FAIL, f"{taking} servers take records: they are not copies of one another",
            "let all but one follow the primary",
        )  # fmt: skip
    else:
        yield Finding(
            "audit copy", FAIL, "no server takes records: the gateway will not start, or stops",
            "bring the primary and a standby back; `synchronous_standby_names` must name the standbys",
        )  # fmt: skip


def _server(replica: Replica, host: str, config: Config) -> tuple[Finding, bool]:
    """What is found of one server, and whether it takes records."""
    name = f"audit copy {host}"
    try:
        connection = Connection(replica, host, _TIMEOUT_S, writing=False)
    except Lost as error:
        return Finding(name, WARN, f"does not answer: {error}", "while it is away, fewer servers may fail"), False
    try:
        until = time.monotonic() + _TIMEOUT_S
        head = connection.head(config.origin, until)
        size = "no records" if head is None else f"{head.size} records"
        keeps_s = connection.keeps_s(until)
        try:
            connection.check(until)
        except Refused as error:
            if error.sqlstate == _STANDBY:
                return Finding(name, OK, f"a standby, has {size}"), False
            if error.sqlstate == UNQUORATE:
                return Finding(
                    name, FAIL, "a commit there would not wait for another server",
                    "set synchronous_standby_names, synchronous_commit = on and fsync = on",
                ), False  # fmt: skip
            raise
        if keeps_s != config.audit.retention:
            kept, wanted = keeps_s / 86400, config.audit.retention / 86400
            why = (
                "whoever has the role could let it forget what the log still has"
                if kept < wanted
                else "the log does not"
            )
            return Finding(
                name, WARN, f"takes records, has {size}, and keeps them for {kept:g} d: {why}",
                f"set gateway_audit.retention.keep to {wanted:g} days on the primary",
            ), True  # fmt: skip
        return Finding(name, OK, f"takes records, has {size}"), True
    except (Lost, Refused) as error:
        return Finding(name, FAIL, f"cannot be asked: {error}", _SET_UP), False
    finally:
        connection.close()
