"""What settings are made of: durations, sizes, secrets, and the model that refuses what it does not know."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from gateway.errors import GatewayError

_DURATION = re.compile(r"^(\d+)(ms|s|m|h|d)$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^(\d+)(B|KiB|MiB|GiB)$")
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def seconds(value: object) -> float:
    """`30s`, `15m`, `8h`, `1d` or `250ms` as seconds. Raises `ValueError`."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit: 250ms, 30s, 15m, 8h or 1d")
    return int(match[1]) * _UNITS[match[2]]


def size(value: object) -> int:
    """`64KiB`, `16MiB`, `1GiB` or `512B` as bytes. Raises `ValueError`."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a size is a number and a unit: 512B, 64KiB, 16MiB or 1GiB")
    return int(match[1]) * _SIZES[match[2]]


Seconds = Annotated[float, BeforeValidator(lambda v: v if isinstance(v, float) else seconds(v))]
Bytes = Annotated[int, BeforeValidator(lambda v: v if isinstance(v, int) else size(v))]


class Model(BaseModel):
    """A part of the file: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Model):
    """Where a secret is kept: exactly one of `env` and `file`."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is written as {env: NAME} or {file: path}")
        return self

    def read(self) -> bytes:
        """The secret's bytes, without a trailing newline. Raises `GatewayError("configuration-invalid")`."""
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise GatewayError("configuration-invalid", f"the environment variable `{self.env}` is not set")
            return value.encode()
        assert self.file is not None
        try:
            mode = self.file.stat().st_mode
            data = self.file.read_bytes()
        except OSError as error:
            raise GatewayError(
                "configuration-invalid", f"the secret file `{self.file}` cannot be read: {error.strerror}"
            ) from error
        if mode & 0o077:
            raise GatewayError(
                "configuration-invalid",
                f"the secret file `{self.file}` can be read by others",
                hint=f"chmod 600 {self.file}",
            )
        data = data.rstrip(b"\r\n")
        if not data:
            raise GatewayError("configuration-invalid", f"the secret file `{self.file}` is empty")
        return data


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
