"""Settings of the trail: its files, its search index, its copies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.settings import Bytes, Model, Seconds, Secret, is_loopback
from gateway.store_settings import HostPort


class Replica(Model):
    """PostgreSQL servers of which a quorum has to acknowledge each record. `tls: off` is for loopback hosts only."""

    hosts: tuple[HostPort, ...] = Field(min_length=1)
    database: str = "gateway_audit"
    user: str
    password: Secret
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    deadline: Annotated[Seconds, Field(ge=1.0, le=30.0)] = 5.0

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Replica:
        names = [host.rpartition(":")[0].strip("[]") for host in self.hosts]
        if self.tls == "off" and not all(is_loopback(name) for name in names):
            raise ValueError("`tls: off` is for servers on loopback hosts only")
        return self


class AuditIndex(Model):
    """Where the search index of the trail is: a file below `state`, or a PostgreSQL database that gateways share."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    host: str = ""
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = ""
    user: str = ""
    password: Secret | None = None
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    connect_timeout: Seconds = 5.0

    @model_validator(mode="after")
    def _whole(self) -> AuditIndex:
        given = (self.host, self.database, self.user, self.password)
        if self.kind == "postgres" and not all(given):
            raise ValueError("an index in PostgreSQL needs host, database, user and password")
        if self.kind == "sqlite" and any(given):
            raise ValueError("host, database, user and password are of `kind: postgres`")
        local = self.host.startswith("/") or not self.host or is_loopback(self.host)
        if self.tls == "off" and not local:
            raise ValueError("`tls: off` is for an index on a loopback host or a local socket only")
        return self


class Archive(Model):
    """A bucket of S3-compatible storage, with object lock, that gets copies of the trail; locked for `audit.retention`.

    `mode: governance` is for trying things out: who has the right to can delete such objects.
    """

    endpoint: str = Field(pattern=r"^https?://[^/?#@]+/?$")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*)?$")
    region: str = "us-east-1"
    access_key: Secret
    secret_key: Secret
    ca: Path | None = None
    mode: Literal["compliance", "governance"] = "compliance"

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Archive:
        host = urlsplit(self.endpoint).hostname or ""
        if self.endpoint.startswith("http:") and not is_loopback(host):
            raise ValueError("an archive is reached over https://, or on a loopback host")
        return self


class Audit(Model):
    """The trail. `reserve` is disk space kept back so that the closing record can always be written."""

    path: Path | None = None
    segment_size: Bytes = 64 * 1024**2
    reserve: Bytes = 64 * 1024**2
    window_rows: int = Field(default=1000, ge=1)
    window_bytes: Bytes = 1024**2
    heartbeat: Seconds = 300.0
    literals_days: int = Field(default=90, ge=1, le=3650)
    witness_token: Secret | None = None
    index: AuditIndex = AuditIndex()
    replica: Replica | None = None
    retention: Seconds = 365 * 86400.0
    hot: Seconds = 90 * 86400.0
    archive: Archive | None = None

    @model_validator(mode="after")
    def _beats(self) -> Audit:
        if self.heartbeat < 1:
            raise ValueError("a heartbeat comes once a second at the most")
        if self.retention < 86400:
            raise ValueError("records are kept for a day at the least")
        return self
