"""The files of a private certificate authority and one server certificate, for machines that have neither."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.certificates import issue
from gateway.ports import Clock

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Three PEM files: the authority that clients trust, the server's certificate and its private key."""

    ca: Path
    certificate: Path
    key: Path


def make_server_tls(
    directory: Path, name: str, hosts: Sequence[str] = LOOPBACK, *, clock: Clock = lambda: datetime.now(UTC)
) -> ServerTls:
    """Write `ca.crt`, `server.crt` and `server.key` for `hosts` (DNS names or addresses) into `directory`."""
    issued = issue(f"{name} demonstration", hosts, clock)
    directory.mkdir(parents=True, exist_ok=True)
    tls = ServerTls(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    tls.ca.write_bytes(issued.ca)
    tls.certificate.write_bytes(issued.certificate)
    tls.key.unlink(missing_ok=True)
    with os.fdopen(os.open(tls.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(issued.key)
    return tls
