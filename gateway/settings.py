"""What settings are made of: durations, sizes, secrets, and the model that refuses what it does not know."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
    """Where a secret is kept: exactly one of `env`, `file` and `credential`, which systemd gives to the service."""

    env: str | None = None
    file: Path | None = None
    credential: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$")

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if [self.env, self.file, self.credential].count(None) != 2:
            raise ValueError("a secret is written as {env: NAME} or {file: path} or {credential: NAME}")
        return self

    def read(self) -> bytes:
        """The secret's bytes, without a trailing newline. Raises `GatewayError("configuration-invalid")`."""
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise GatewayError("configuration-invalid", f"the environment variable `{self.env}` is not set")
            return value.encode()
        if self.credential is not None:
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if not directory:
                raise GatewayError(
                    "configuration-invalid",
                    f"the credential `{self.credential}` is not there: no service manager gave any",
                    "LoadCredentialEncrypted= in the unit gives it (systemd.exec(5))",
                )
            # the group's bits are the mask of an access list that names the service's user alone
            return _contents(Path(directory) / self.credential, 0o007)
        assert self.file is not None
        return _contents(self.file, 0o077)


def _contents(path: Path, forbidden: int) -> bytes:
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise GatewayError(
            "configuration-invalid", f"the secret file `{path}` cannot be read: {error.strerror}"
        ) from error
    if mode & forbidden:
        raise GatewayError(
            "configuration-invalid", f"the secret file `{path}` can be read by others", hint=f"chmod 600 {path}"
        )
    data = data.rstrip(b"\r\n")
    if not data:
        raise GatewayError("configuration-invalid", f"the secret file `{path}` is empty")
    return data


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
