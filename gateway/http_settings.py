"""`targets.NAME` of `engine: http`: where an API is, how the gateway proves itself to it, and where people reach it.

INVARIANT: a credential of an API is a `Secret`, so no configuration file has it in clear; it goes to the API over TLS,
or over loopback.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.errors import GatewayError
from gateway.settings import Model, Seconds, Secret, is_loopback

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_SERVER_NAME = r"^(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?![0-9-])[a-z0-9-]{1,63}(?<!-)$"
_PREFIX = r"^(?:/[a-z0-9](?:[a-z0-9._~-]{0,61}[a-z0-9_~-])?){1,8}$"
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


class OAuthCredential(Model):
    """`Authorization: Bearer` with a token of client credentials, RFC 6749 section 4.4.

    The client proves itself at `token_url` by `client_secret` (as HTTP's Basic or in the form, section 2.3.1) or, with
    `private_key_jwt` (RFC 7523), by `client_key`: a private key in PEM, RSA or EC, whose id there is `key_id`.
    `audience` is sent as such, and is a token server's own business; that of the assertion is `token_url`.
    """

    kind: Literal["oauth"]
    token_url: str
    client_id: str = Field(pattern=r"^[\x20-\x7e]{1,256}$")
    auth: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = "client_secret_basic"
    client_secret: Secret | None = None
    client_key: Secret | None = None
    key_id: str = Field(default="", pattern=r"^[\x21-\x7e]{0,256}$")
    scopes: tuple[Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,256}$")], ...] = ()
    audience: str = Field(default="", pattern=r"^[\x21-\x7e]{0,1024}$")
    ca: Path | None = None
    timeout: Annotated[Seconds, Field(ge=0.1, le=60.0)] = 10.0

    @model_validator(mode="after")
    def _whole(self) -> OAuthCredential:
        try:
            parts = urlsplit(self.token_url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("`token_url` is no address") from error
        if parts.scheme not in ("http", "https") or not host or port == 0 or parts.fragment or "@" in parts.netloc:
            raise ValueError("`token_url` is https://host/path, without a user")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("tokens are fetched over https://, or on a loopback host")
        if (self.auth == "private_key_jwt") != (self.client_key is not None):
            raise ValueError("`client_key` is what `auth: private_key_jwt` needs, and nothing else has")
        if (self.auth != "private_key_jwt") != (self.client_secret is not None):
            raise ValueError("`client_secret` is needed, except for `auth: private_key_jwt`, which has none")
        return self


HttpCredential = Annotated[
    BearerCredential | BasicCredential | HeaderCredential | OAuthCredential, Field(discriminator="kind")
]
CREDENTIALS = (BearerCredential, BasicCredential, HeaderCredential, OAuthCredential)


class ClientCertificate(Model):
    """What the gateway shows an API that asks for a certificate: the chain in a file, the private key as a secret."""

    certificate: Path
    key: Secret


class HttpListener(Model):
    """Where people reach one API; always with TLS. `port` 0 takes a free one.

    Several targets may have one `host` and `port`: `server_name`, the host that requests name, or `prefix`, the
    beginning of the path that is taken off, tells them apart. `certificate` and `key` are what TLS shows under that
    name; the gateway's own without.
    """

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    server_name: str = Field(default="", max_length=253)
    prefix: str = Field(default="", pattern=rf"^$|{_PREFIX}")
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> HttpListener:
        if self.server_name and not re.fullmatch(_SERVER_NAME, self.server_name):
            raise ValueError("`server_name` is a host name in lower case, and no address")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` are given together")
        if self.certificate is not None and not self.server_name:
            raise ValueError("`certificate` is for a `server_name`; without one the gateway's own is shown")
        return self


class HttpWorkers(Model):
    """How many processes speak HTTP, for all APIs together; they share the listening sockets."""

    workers: int = Field(default=1, ge=1, le=64)


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
    client_certificate: ClientCertificate | None = None
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
        if parts.scheme == "http" and self.client_certificate is not None:
            raise ValueError("`client_certificate` is shown over https:// only")
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


def sharing(targets: Mapping[str, HttpTarget]) -> tuple[tuple[str, ...], ...]:
    """The names of the targets by the socket that they share, in their order; a port of 0 is shared by nobody."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for name, target in targets.items():
        listen = target.listen
        groups.setdefault((listen.host, listen.port, "" if listen.port else name), []).append(name)
    return tuple(tuple(group) for group in groups.values())


def faults(targets: Mapping[str, HttpTarget]) -> Iterator[tuple[str, str, str]]:
    """What makes it unclear which of several targets a request is for: a target, the setting, and the reason."""
    for group in sharing(targets):
        for number, name in enumerate(group):
            for other in group[:number]:
                fault = _unclear(targets[name].listen, targets[other].listen)
                if fault:
                    setting, reason = fault
                    yield name, setting, f"`{other}` has the same host and port: {reason}"
                    break


def _unclear(one: HttpListener, other: HttpListener) -> tuple[str, str] | None:
    """Why requests for two targets on one socket cannot be told apart, and by which setting they should be."""
    if bool(one.server_name) != bool(other.server_name):
        return "server_name", "either both have a `server_name` or neither"
    if one.server_name != other.server_name:
        return None
    if (one.certificate, one.key) != (other.certificate, other.key):
        return "certificate", f"one name, `{one.server_name}`, has one certificate"
    if not one.prefix or not other.prefix:
        return "prefix", "each needs a `server_name` or a `prefix` of its own"
    first, second = f"{one.prefix}/", f"{other.prefix}/"
    if first.startswith(second) or second.startswith(first):
        return "prefix", f"`{one.prefix}` and `{other.prefix}` are met by one path"
    return None
