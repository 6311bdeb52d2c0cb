"""Settings of where clients connect."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway.settings import Model, Seconds, is_loopback


class Listener(Model):
    """One listening socket. `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


class DatabaseListener(Listener):
    """Where clients of a database connect. `tls: off` is for loopback only."""

    tls: Literal["required", "off"] = "required"
    max_connections: int = Field(default=500, ge=1, le=100_000)
    max_connections_per_person: int = Field(default=100, ge=1, le=100_000)
    login_timeout: Seconds = 30.0
    idle_timeout: Seconds = 3600.0

    @model_validator(mode="after")
    def _plain_stays_home(self) -> DatabaseListener:
        if self.tls == "off" and not self.loopback:
            raise ValueError("`tls: off` is for a loopback host only")
        return self


class PostgresListener(DatabaseListener):
    """Where PostgreSQL clients connect."""

    port: int = Field(default=6432, ge=0, le=65535)


class MysqlListener(DatabaseListener):
    """Where clients of MySQL and MariaDB connect, if a target is one; over TLS always, since the password travels."""

    port: int = Field(default=3307, ge=0, le=65535)
    tls: Literal["required"] = "required"


class ApiListener(Listener):
    """Where the HTTPS API answers; always with TLS."""

    port: int = Field(default=8443, ge=0, le=65535)


class OpsListener(Listener):
    """Health and metrics; loopback only, since it asks for no authentication."""

    port: int = Field(default=9464, ge=0, le=65535)

    @model_validator(mode="after")
    def _loopback_only(self) -> OpsListener:
        if not self.loopback:
            raise ValueError("the operations port answers on a loopback host only")
        return self


class Listen(Model):
    """All listening sockets."""

    postgres: PostgresListener = PostgresListener()
    mysql: MysqlListener = MysqlListener()
    api: ApiListener = ApiListener()
    ops: OpsListener = OpsListener()
