"""Settings of what stands behind the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from gateway.http_settings import HttpTarget
from gateway.settings import Model, Seconds, Secret, is_loopback


class DatabaseTarget(Model):
    """A database behind the gateway. `tls` towards it is `verify-full`, or `off` on loopback only."""

    host: str
    port: int = Field(ge=1, le=65535)
    database: str
    user: str
    password: Secret
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    connect_timeout: Seconds = 10.0

    @property
    def unix(self) -> bool:
        """Whether `host` is a directory with a socket."""
        return False

    @model_validator(mode="after")
    def _plain_stays_home(self) -> DatabaseTarget:
        if self.tls == "off" and not self.unix and not is_loopback(self.host):
            raise ValueError("`tls: off` is for a target on a loopback host or a local socket only")
        return self


class Target(DatabaseTarget):
    """A database of PostgreSQL."""

    engine: Literal["postgres"] = "postgres"
    port: int = Field(default=5432, ge=1, le=65535)
    spare_connections: int = Field(default=2, ge=0, le=64)

    @property
    def unix(self) -> bool:
        """Whether `host` is a directory with a socket."""
        return self.host.startswith("/")


class MysqlTarget(DatabaseTarget):
    """A database of MySQL or MariaDB."""

    engine: Literal["mysql"]
    port: int = Field(default=3306, ge=1, le=65535)
    pseudonyms_of: str = ""


def _engine(target: object) -> object:
    return target.get("engine", "postgres") if isinstance(target, dict) else getattr(target, "engine", None)


AnyTarget = Annotated[
    Annotated[Target, Tag("postgres")] | Annotated[MysqlTarget, Tag("mysql")] | Annotated[HttpTarget, Tag("http")],
    Discriminator(_engine),
]
