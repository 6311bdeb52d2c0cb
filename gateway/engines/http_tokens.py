"""Tokens of OAuth 2 client credentials (RFC 6749, 4.4): how the gateway proves itself to an API that wants them.

A token is kept until shortly before its end, and fetched by one at a time for all who wait. INVARIANT: what cannot be
had is refused, with a reason for operators that quotes nothing of what was sent or answered; after a failure the token
server is left alone for a moment. A token that the API refuses is fetched anew once in `_FORCED_S` and no more often.

Clients prove themselves by RFC 6749, 2.3.1, or by an assertion of RFC 7523, 2.2.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import httpx2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.errors import GatewayError, Refusal
from gateway.http_settings import OAuthCredential

_LARGEST = 64 * 1024
_SPARE_S, _LONGEST_S, _UNSAID_S = 30.0, 86400.0, 60.0
_FAILED_S, _FORCED_S = 1.0, 30.0
_ASSERTED_S = 60
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]{1,16384}=*")
_SAID = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "invalid_target",
})  # fmt: skip
"""Errors of RFC 6749, 5.2 and RFC 8707, 2: of what a token server answers, only these are told to operators."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `until` is when it is used no more, by the clock of whoever fetched it."""

    value: str = field(repr=False)
    until: float


class Tokens:
    """Tokens for one target; the event loop's thread only. `report` is told why there is none."""

    def __init__(
        self, settings: OAuthCredential, report: Callable[[str, BaseException], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._report, self._monotonic = settings, report, monotonic
        self._held: Token | None = None
        self._fetching: asyncio.Task[Token | GatewayError] | None = None
        self._failed: tuple[GatewayError, float] | None = None
        self._forced_at = -_FORCED_S

    async def token(self) -> str | Refusal:
        """A token that is good now, or why there is none."""
        now = self._monotonic()
        if self._held is not None and now < self._held.until:
            return self._held.value
        if self._failed is not None and now < self._failed[1]:
            return self._failed[0].refusal
        if self._fetching is None:
            # it goes on when the first who asked is gone
            self._fetching = asyncio.create_task(self._fetch())
        found = await asyncio.shield(self._fetching)
        return found.value if isinstance(found, Token) else found.refusal

    def refused(self, value: str) -> None:
        """The API did not accept that token: the next request fetches another, unless that was tried just now."""
        now = self._monotonic()
        if self._held is not None and self._held.value == value and now - self._forced_at >= _FORCED_S:
            self._held, self._forced_at = None, now

    async def _fetch(self) -> Token | GatewayError:
        asked_at = self._monotonic()
        try:
            self._held, self._failed = await fetched(self._settings, asked_at), None
        except GatewayError as error:
            self._failed = error, self._monotonic() + _FAILED_S
            self._report("http", error)
            return error
        finally:
            self._fetching = None
        return self._held


async def fetched(settings: OAuthCredential, now: float) -> Token:
    """A new token; `now` is when it is asked for. Raises `GatewayError("credential-unavailable")`."""
    try:
        headers, form = asked(settings)
    except GatewayError as error:
        raise _unavailable(error.refusal.message) from error
    try:
        async with asyncio.timeout(settings.timeout):
            context = await asyncio.to_thread(ssl.create_default_context, cafile=_name(settings))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            async with (
                httpx2.AsyncClient(verify=context, trust_env=False, timeout=settings.timeout) as client,
                client.stream("POST", settings.token_url, headers=headers, data=form) as answer,
            ):
                status, data = answer.status_code, await _body(answer)
    except TimeoutError as error:
        raise _unavailable("the token server does not answer in time") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
        # their texts may quote what was sent
        raise _unavailable(f"the token server cannot be asked: {_kind(error)}") from None
    return token_of(status, data, now)


def asked(settings: OAuthCredential) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and form of the request for a token. Raises `GatewayError("configuration-invalid")`."""
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    form = {"grant_type": "client_credentials"}
    if settings.scopes:
        form["scope"] = " ".join(settings.scopes)
    if settings.audience:
        form["audience"] = settings.audience
    if settings.client_key is not None:
        assertion = _assertion(settings, settings.client_key.read())
        form |= {"client_id": settings.client_id, "client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return headers, form
    assert settings.client_secret is not None, "the settings see to it"
    secret = settings.client_secret.read().decode("utf-8", "replace")
    if settings.auth == "client_secret_post":
        form |= {"client_id": settings.client_id, "client_secret": secret}
    else:
        proof = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}".encode()
        headers["authorization"] = f"Basic {b64encode(proof).decode()}"
    return headers, form


def token_of(status: int, data: bytes, now: float) -> Token:
    """What a token server answered. Raises `GatewayError("credential-unavailable")`."""
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    found = found if isinstance(found, dict) else {}
    if status != 200:
        error = found.get("error")
        said = f", `{error}`" if isinstance(error, str) and error in _SAID else ""
        raise _unavailable(f"the token server answers with {status}{said}")
    value, kind, life = found.get("access_token"), found.get("token_type"), found.get("expires_in", _UNSAID_S)
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise _unavailable("what the token server gives is no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _unavailable("what the token server gives is no Bearer token")
    if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < float("inf"):
        raise _unavailable("the token server does not say how long the token lives")
    life = min(float(life), _LONGEST_S)
    return Token(value, now + life - min(_SPARE_S, life / 4))


def _assertion(settings: OAuthCredential, pem: bytes) -> str:
    try:
        private = load_pem_private_key(pem, None)
        if isinstance(private, RSAPrivateKey):
            key: RSAKey | ECKey = RSAKey.import_key(pem)
            algorithm = "RS256"
        elif isinstance(private, EllipticCurvePrivateKey) and private.curve.name in _CURVES:
            key = ECKey.import_key(pem)
            algorithm = _CURVES[private.curve.name]
        else:
            raise ValueError
        now = int(time.time())
        claims = {
            "iss": settings.client_id, "sub": settings.client_id, "aud": settings.token_url,
            "jti": secrets.token_urlsafe(24), "iat": now, "exp": now + _ASSERTED_S,
        }  # fmt: skip
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": settings.key_id} if settings.key_id else {})
        return jwt.encode(header, claims, key, algorithms=[algorithm])
    except (ValueError, TypeError, UnsupportedAlgorithm, JoseError):
        raise GatewayError(
            "configuration-invalid", "`client_key` is no RSA or EC private key in PEM without a passphrase"
        ) from None


async def _body(answer: httpx2.Response) -> bytes:
    held = bytearray()
    async for part in answer.aiter_raw():
        held += part
        if len(held) > _LARGEST:
            raise _unavailable("what the token server answers is too long")
    return bytes(held)


def _name(settings: OAuthCredential) -> str | None:
    return str(settings.ca) if settings.ca is not None else None


def _kind(error: BaseException) -> str:
    found = error.__cause__ or error.__context__
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate: {found.verify_message}"
        found = found.__cause__ or found.__context__
    return type(error).__name__


def _unavailable(reason: str) -> GatewayError:
    return GatewayError(
        "credential-unavailable", "the gateway has no credential for the target at the moment", detail=reason
    )
