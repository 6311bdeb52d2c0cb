"""`targets.NAME` of `engine: http`: where an API is, how the gateway proves itself to it, and where people reach it.

INVARIANT: a credential of an API is a `Secret`, so no configuration file has it in clear; it goes to the API over TLS,
or over loopback.
"""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.errors import GatewayError
from gateway.settings import Model, Seconds, Secret, is_loopback

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "te", "upgrade", "trailer", "expect"}
)


def _text(secret: Secret) -> str:
    """A secret as a header can carry it. Raises `GatewayError("configuration-invalid")`."""
    value = secret.read().decode("ascii", "replace")
    if not _VALUE.fullmatch(value):
        raise GatewayError("configuration-invalid", "a credential of an API is one line of printable ASCII")
    return value


class BearerCredential(Model):
    """`Authorization: Bearer`, RFC 6750."""

    kind: Literal["bearer"]
    token: Secret

    def header(self) -> tuple[str, str]:
        """The header that proves the gateway. Raises `GatewayError("configuration-invalid")`."""
        return "authorization", f"Bearer {_text(self.token)}"


class BasicCredential(Model):
    """`Authorization: Basic`, RFC 7617."""

    kind: Literal["basic"]
    user: str = Field(pattern=r"^[\x21-\x39\x3b-\x7e]{1,128}$")
    password: Secret

    def header(self) -> tuple[str, str]:
        """The header that proves the gateway. Raises `GatewayError("configuration-invalid")`."""
        return "authorization", f"Basic {b64encode(f'{self.user}:{_text(self.password)}'.encode()).decode()}"


class HeaderCredential(Model):
    """A header of the API's own: `X-Api-Key`."""

    kind: Literal["header"]
    name: str
    value: Secret

    @model_validator(mode="after")
    def _own(self) -> HeaderCredential:
        if not _TOKEN.fullmatch(self.name) or self.name.lower() in _OURS:
            raise ValueError("a header's name is a token, and none that frames or routes the message")
        return self

    def header(self) -> tuple[str, str]:
        """The header that proves the gateway. Raises `GatewayError("configuration-invalid")`."""
        return self.name.lower(), _text(self.value)


HttpCredential = Annotated[BearerCredential | BasicCredential | HeaderCredential, Field(discriminator="kind")]
CREDENTIALS = (BearerCredential, BasicCredential, HeaderCredential)


class HttpListener(Model):
    """Where people reach one API; always with TLS. `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)


class Browsers(Model):
    """People's browsers at one API: whether they may sign in there, and for how long at the most."""

    enabled: bool = True
    lifetime: Annotated[Seconds, Field(ge=60.0, le=86400.0)] = 14400.0


class HttpTarget(Model):
    """An API behind the gateway.

    `pseudonyms_of` is another target whose pseudonyms it shares: a person then has the same one in both. `idle_timeout`
    ends a session that no request came in for so long. `timeout` bounds how long the API may say nothing.
    """

    engine: Literal["http"]
    url: str
    ca: Path | None = None
    listen: HttpListener
    credentials: HttpCredential | None = None
    pseudonyms_of: str = ""
    timeout: Annotated[Seconds, Field(ge=0.1, le=600.0)] = 30.0
    idle_timeout: Annotated[Seconds, Field(ge=1.0, le=86400.0)] = 900.0
    browser: Browsers = Field(default_factory=Browsers)

    @model_validator(mode="after")
    def _whole(self) -> HttpTarget:
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("`url` is no address") from error
        if parts.scheme not in ("http", "https") or not host or port == 0:
            raise ValueError("`url` is https://host or https://host:port")
        if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("`url` has neither a path nor a user: routes are the policy's, credentials a setting")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("an API is reached over https://, or on a loopback host")
        return self

    @property
    def tls(self) -> bool:
        """Whether the API is reached over TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """The API's host, which its certificate has to name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The API's port."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    @property
    def authority(self) -> str:
        """What requests name as their Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
