"""Settings of the Redis server by which gateways on one store tell each other what cannot wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.settings import Model, Seconds, Secret, is_loopback
from gateway.store_settings import HostPort


class Redis(Model):
    """Where lock-outs, used codes, budgets and news are shared: one primary, or an address that leads to it.

    `deadline` is the longest that an answer may take. `tls: off` and no password are for a loopback host only.
    """

    host: HostPort
    user: str = ""
    password: Secret | None = None
    database: int = Field(default=0, ge=0, le=1_000)
    prefix: str = Field(default="gateway", pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    deadline: Annotated[Seconds, Field(ge=0.1, le=5.0)] = 1.0

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.host.rpartition(":")
        return host.strip("[]"), int(port)

    @model_validator(mode="after")
    def _guarded(self) -> Redis:
        if self.tls == "off" and not is_loopback(self.place[0]):
            raise ValueError("`tls: off` is for a server on a loopback host only")
        if self.password is None and not is_loopback(self.place[0]):
            raise ValueError("a server that others can reach needs a password")
        if self.user and self.password is None:
            raise ValueError("a user needs a password")
        return self
