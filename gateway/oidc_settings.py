"""`directory` of gateway.yaml with `kind: oidc`: people of an OpenID Connect provider.

INVARIANT: a provider is spoken to over TLS, its certificate verified, and at no host but its own and those that are
listed: nothing that it sends can lead the gateway elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.settings import Bytes, Model, Seconds, Secret, is_loopback

CALLBACK = "/v1/login/callback"
"""Where the provider sends browsers back to."""
LONGEST_S = 8 * 3600.0

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,128}")


def is_secure(url: str, *, path: bool = True) -> bool:
    """Whether that is https, or http to this machine, with nothing in it that has no place in such an address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username or parts.password or parts.fragment or port == 0:
        return False
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    if not path and (parts.query or parts.path not in ("", "/")):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def place_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _issuer(text: str) -> str:
    if not is_secure(text) or "?" in text:
        raise ValueError("an issuer is https://host/path, exactly as the provider writes it, without a query")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"a host is a name in lower case, with a port where it is not 443: `{text}`")
    return text


def _scope(text: str) -> str:
    if not _SCOPE.fullmatch(text):
        raise ValueError(f"`{text}` cannot be a scope")
    return text


class ProviderFactor(Model):
    """When the provider's second factor counts as one: values of `amr` or `acr`, and how fresh its login must be.

    Without values it never does, and the gateway asks for its own.
    """

    amr: frozenset[str] = frozenset()
    acr: frozenset[str] = frozenset()
    max_age: Seconds = 300.0

    @model_validator(mode="after")
    def _fresh(self) -> ProviderFactor:
        if not 1 <= self.max_age <= 3600:
            raise ValueError("`max_age` is 1s to 1h")
        return self


class OidcDirectory(Model):
    """People of an OpenID Connect provider; `gateway login` sends them there, and nobody has a password here.

    `teams` says which team a value of `groups_claim` stands for; without it the values are the teams' names.
    `redirect_url` is the console's callback as browsers reach it; without it there is the device flow only.
    `valid_for` is how long a login at the provider counts. Where the provider gives refresh tokens, it is asked again
    every `refresh_interval`, and when it does not answer, that is an outage of the directory (`grace`).
    """

    kind: Literal["oidc"]
    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: str = Field(min_length=1, max_length=256)
    client_secret: Secret
    client_auth: Literal["basic", "post"] = "basic"
    scopes: tuple[Annotated[str, AfterValidator(_scope)], ...] = ("openid", "profile", "email")
    redirect_url: str | None = None
    device_flow: bool = True
    login_claim: str = Field(default="preferred_username", min_length=1, max_length=128)
    groups_claim: str = Field(default="groups", min_length=1, max_length=128)
    teams: dict[str, str] = Field(default_factory=dict)
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = ("RS256", "PS256", "ES256", "EdDSA")
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    factor: ProviderFactor = ProviderFactor()
    valid_for: Seconds = LONGEST_S
    refresh_interval: Seconds = 300.0
    timeout: Seconds = 5.0
    answer_limit: Bytes = 256 * 1024
    ca: Path | None = None

    @property
    def asks(self) -> tuple[str, ...]:
        """The scopes that are asked for."""
        return ("openid", *(one for one in self.scopes if one != "openid"))

    @model_validator(mode="after")
    def _fits(self) -> OidcDirectory:
        if self.redirect_url is not None and not (
            is_secure(self.redirect_url)
            and self.redirect_url.startswith("https:")
            and urlsplit(self.redirect_url).path == CALLBACK
            and "?" not in self.redirect_url
        ):
            raise ValueError(f"`redirect_url` is https://gateway.example.com:8443{CALLBACK}")
        if self.redirect_url is None and not self.device_flow:
            raise ValueError("`device_flow: off` needs a `redirect_url`, or nobody could sign in")
        if not self.algorithms:
            raise ValueError("`algorithms` names one at least")
        if not 60 <= self.valid_for <= LONGEST_S:
            raise ValueError("`valid_for` is 1m to 8h")
        if not 1 <= self.refresh_interval <= 3600:
            raise ValueError("`refresh_interval` is 1s to 1h")
        if not 0.2 <= self.timeout <= 30:
            raise ValueError("`timeout` is 200ms to 30s")
        return self
