"""Settings of the state store: a file of one gateway, or a PostgreSQL database that several gateways share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.settings import Model, Seconds, Secret, is_loopback

HostPort = Annotated[str, Field(pattern=r"^[^\s:/]+:\d{1,5}$|^\[[0-9A-Fa-f:]+\]:\d{1,5}$")]


class Store(Model):
    """Where requests, grants, passes and factors are kept: `gateway.sqlite` below `state`, or PostgreSQL.

    Of several `hosts` the one that takes writes is used. `deadline` is the longest that a transaction may take, and
    `grace` how long live sessions go on while the store cannot be read. `tls: off` is for loopback hosts only.
    """

    kind: Literal["sqlite", "postgres"] = "sqlite"
    hosts: tuple[HostPort, ...] = ()
    database: str = ""
    user: str = ""
    password: Secret | None = None
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    deadline: Annotated[Seconds, Field(ge=1.0, le=30.0)] = 5.0
    grace: Annotated[Seconds, Field(ge=1.0, le=300.0)] = 5.0

    @model_validator(mode="after")
    def _whole(self) -> Store:
        given = (self.hosts, self.database, self.user, self.password)
        if self.kind == "postgres" and not all(given):
            raise ValueError("a store in PostgreSQL needs hosts, database, user and password")
        if self.kind == "sqlite" and any(given):
            raise ValueError("hosts, database, user and password are of `kind: postgres`")
        if self.tls == "off" and not all(is_loopback(host) for host, _ in self.places()):
            raise ValueError("`tls: off` is for servers on loopback hosts only")
        return self

    def places(self) -> list[tuple[str, int]]:
        """Host and port of each server."""
        parts = [one.rpartition(":") for one in self.hosts]
        return [(host.strip("[]"), int(port)) for host, _, port in parts]
