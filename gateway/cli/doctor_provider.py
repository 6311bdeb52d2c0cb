"""What the doctor asks an identity provider: whether it is the one that is meant, its keys, and whether it knows us."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from gateway.access.directory.oidc.provider import Declined, Provider
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.oidc_settings import OidcDirectory

_WHAT = "identity provider"


def examine(settings: OidcDirectory, config: Config) -> Iterator[Finding]:
    """Discovery, keys, client, and what the settings promise that the provider has not."""
    yield from _callback(settings, config)
    try:
        provider = Provider(settings, lambda: datetime.now(UTC))
    except GatewayError as error:
        yield failed(_WHAT, error)
        return
    try:
        metadata = provider.metadata()
        yield Finding(_WHAT, OK, f"{settings.issuer} describes itself, within the hosts that are allowed")
        fitting = [one for one in provider.key_set() if one.get("kty") in ("RSA", "EC", "OKP")]
        if not fitting:
            yield Finding(_WHAT, FAIL, "it has no key that signs", "nobody gets in: look at its `jwks_uri`")
        else:
            yield Finding(_WHAT, OK, f"{len(fitting)} keys")
        yield _client(provider)
    except GatewayError as error:
        yield failed(_WHAT, error, "nobody gets in until it answers")
        return
    finally:
        provider.close()
    if settings.device_flow and not metadata.device:
        yield Finding(_WHAT, WARN, "it has no device flow", "device_flow: off, and a `redirect_url`")
    if not metadata.userinfo:
        yield Finding(_WHAT, WARN, "it has no userinfo endpoint", "let the ID token have the login and the groups")
    if "offline_access" not in settings.asks:
        hours = settings.valid_for / 3600
        yield Finding(
            _WHAT, WARN, f"who is removed there stays for up to {hours:g} h: no refresh tokens are asked for",
            "add `offline_access` to `directory.scopes`, or make `directory.valid_for` short",
        )  # fmt: skip


def _client(provider: Provider) -> Finding:
    """Ask for the tokens of a refresh token that nobody ever gave: only a client that is known hears of the token."""
    try:
        provider.refreshed("doctor-" + secrets.token_urlsafe(24))
    except Declined as declined:
        if declined.error == "invalid_grant":
            return Finding(_WHAT, OK, "it accepts the client and its secret")
        return Finding(_WHAT, WARN, f"whether it accepts the client is not clear: `{declined.error}`")
    return Finding(_WHAT, FAIL, "it takes refresh tokens that it never gave", "do not trust it")


def _callback(settings: OidcDirectory, config: Config) -> Iterator[Finding]:
    if settings.redirect_url is None:
        yield Finding(
            _WHAT, WARN, "only the device flow is there, which a person can be talked into for somebody else",
            "set `directory.redirect_url`, and register it at the provider",
        )  # fmt: skip
        return
    from gateway import certificates

    host = urlsplit(settings.redirect_url).hostname or ""
    try:
        names = certificates.describe(config.tls.certificate).names
    except (OSError, ValueError):
        # the check of the certificate says so
        return
    if host not in names:
        yield Finding(
            _WHAT, FAIL, f"the certificate is not for `{host}`, where `directory.redirect_url` leads browsers",
            "use a name that it has, or a certificate with that name",
        )  # fmt: skip
