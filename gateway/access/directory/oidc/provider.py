"""The provider: what it says of itself, its keys, and the questions that the gateway asks it.

OpenID Connect Discovery 1.0; RFC 6749 (token endpoint), RFC 7636 (PKCE, S256 only), RFC 8628 (device flow), RFC 9207
(the issuer in the authorization response). The gateway is a confidential client: it keeps all tokens to itself.

INVARIANT: the discovery document is the issuer's own, and every address in it that the gateway asks lies where the
settings allow (`Web`). What came before is never used again when a new answer is bad.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from gateway.access.directory.oidc.claims import has_groups
from gateway.access.directory.oidc.id_token import MOST_KEYS, Expected, UnknownKey, Untrue, verify
from gateway.access.directory.oidc.web import Answer, Web, unavailable
from gateway.errors import GatewayError
from gateway.oidc_settings import OidcDirectory, is_secure
from gateway.ports import Clock

KEEP_S = 3600.0
"""How long a discovery document and keys are used before they are asked for again."""
KEYS_AGAIN_S = 30.0
"""How soon unknown keys make the gateway ask again: tokens with made-up keys must not become requests."""
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Metadata:
    """The discovery document, as far as it is needed. An empty address is none."""

    authorization: str
    token: str
    device: str
    userinfo: str
    jwks: str
    names_issuer: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave; an empty one is none."""

    access: str = field(repr=False)
    identity: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A device authorization (RFC 8628, section 3.2); seconds."""

    code: str = field(repr=False)
    user_code: str
    uri: str
    life_s: float
    interval_s: float


class Declined(Exception):
    """The provider's own "no": `error` is RFC 6749's or RFC 8628's code."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Provider:
    """Safe to use from several threads; every method that asks blocks."""

    def __init__(
        self, settings: OidcDirectory, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._clock, self._monotonic = settings, clock, monotonic
        self._web = Web(settings, monotonic=monotonic)
        self._lock = threading.Lock()
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[list[dict[str, Any]], float] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def metadata(self) -> Metadata:
        """Raises `GatewayError("directory-unavailable")`."""
        with self._lock:
            now = self._monotonic()
            if self._metadata is None or now - self._metadata[1] > KEEP_S:
                self._metadata = None
                self._metadata = self._discovered(), now
            return self._metadata[0]

    def key_set(self, *, newer_than: float = float("-inf")) -> list[dict[str, Any]]:
        """The provider's keys, asked for anew when those that are there are older. Raises as `metadata`."""
        address = self.metadata().jwks
        with self._lock:
            now = self._monotonic()
            if self._keys is None or now - self._keys[1] > KEEP_S or self._keys[1] < newer_than:
                self._keys = None
                self._keys = self._fetched_keys(address), now
            return self._keys[0]

    def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser is sent (OpenID Connect Core 1.0, section 3.1.2.1)."""
        settings, factor = self._settings, self._settings.factor
        extra: dict[str, Any] = {
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        if "offline_access" in settings.asks:
            extra["prompt"] = "consent"
        if factor.amr or factor.acr:
            extra["max_age"] = int(factor.max_age)
        if factor.acr:
            extra["acr_values"] = " ".join(sorted(factor.acr))
        address: str = prepare_grant_uri(
            self.metadata().authorization, settings.client_id, "code", settings.redirect_url, list(settings.asks),
            state, **extra,
        )  # fmt: skip
        return address

    def begin_device(self) -> Device:
        """Ask for a device code. Raises `Declined`, and `GatewayError("directory-unavailable")`."""
        address = self.metadata().device
        if not address:
            raise unavailable("it has no device flow")
        found = self._asked(address, urlencode({"scope": " ".join(self._settings.asks)}))
        code, user_code, uri = found.get("device_code"), found.get("user_code"), found.get("verification_uri")
        if (
            not isinstance(code, str) or not 0 < len(code) <= _LONGEST
            or not isinstance(user_code, str) or not 0 < len(user_code) <= 64
            or not (user_code.isascii() and user_code.isprintable())
            or not isinstance(uri, str) or len(uri) > 512 or not is_secure(uri)
        ):  # fmt: skip
            raise unavailable("its device authorization is not of RFC 8628")
        life, interval = _number(found.get("expires_in"), 600.0), _number(found.get("interval"), 5.0)
        return Device(code, user_code, uri, min(life, 1800.0), min(max(interval, 1.0), 60.0))

    def device_tokens(self, code: str) -> Tokens:
        """The tokens of a device code. Raises as `begin_device`; `Declined("authorization_pending")` meanwhile."""
        return self._tokens(prepare_token_request(DEVICE, device_code=code))

    def code_tokens(self, code: str, verifier: str) -> Tokens:
        """The tokens of an authorization code. Raises as `begin_device`."""
        return self._tokens(
            prepare_token_request(
                "authorization_code", redirect_uri=self._settings.redirect_url, code=code, code_verifier=verifier
            )
        )

    def refreshed(self, token: str) -> Tokens:
        """New tokens. Raises as `begin_device`; `Declined("invalid_grant")` is that the person may not any more."""
        return self._tokens(prepare_token_request("refresh_token", refresh_token=token))

    def claims(self, tokens: Tokens, *, nonce: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """What true tokens say of their person: the ID token, and of the userinfo endpoint what that leaves out.

        `subject` is of whom they have to be; with it the ID token may be missing. Raises `Untrue`,
        `Declined("invalid_grant")` when the endpoint does not take the token, and
        `GatewayError("directory-unavailable")`.
        """
        claims = {"sub": subject} if subject is not None and not tokens.identity else {}
        if not claims:
            settings = self._settings
            expected = Expected(settings.issuer, settings.client_id, settings.algorithms, nonce, subject)
            claims = self._verified(tokens, expected)
        address = self.metadata().userinfo
        whole = has_groups(claims, self._settings) and self._settings.login_claim in claims
        if address and tokens.access and not whole:
            claims = {**self._userinfo(address, tokens.access, str(claims["sub"])), **claims}
        return claims

    def _verified(self, tokens: Tokens, expected: Expected) -> dict[str, Any]:
        asked_at = self._monotonic()
        try:
            return verify(tokens.identity, self.key_set(), expected, self._clock(), tokens.access)
        except UnknownKey:
            again = self.key_set(newer_than=asked_at - KEYS_AGAIN_S)
            return verify(tokens.identity, again, expected, self._clock(), tokens.access)

    def _userinfo(self, address: str, token: str, subject: str) -> dict[str, Any]:
        answer = self._web.get(address, {"authorization": f"Bearer {token}"})
        if answer.status in (401, 403):
            raise Declined("invalid_grant")
        found = answer.json
        if answer.status != 200 or not isinstance(found, dict):
            raise unavailable(f"its userinfo endpoint answered with {answer.status}")
        # section 5.3.2: an answer about somebody else must not be used
        if found.get("sub") != subject:
            raise Untrue("the userinfo endpoint answered about somebody else")
        # how somebody logged in, and when, only the signed token tells
        return {name: value for name, value in found.items() if name not in ("amr", "acr", "auth_time")}

    def _tokens(self, form: str) -> Tokens:
        found = self._asked(self.metadata().token, form)
        parts = [found.get(name) for name in ("access_token", "id_token", "refresh_token")]
        if any(one is not None and (not isinstance(one, str) or not _is_token(one)) for one in parts):
            raise unavailable("a token that it gave is none")
        access, identity, refresh = (one or "" for one in parts)
        if not access or str(found.get("token_type", "")).lower() != "bearer":
            raise unavailable("it gave no bearer token")
        return Tokens(access, identity, refresh)

    def _asked(self, address: str, form: str) -> dict[str, Any]:
        """What the client is answered with there. Raises `Declined` and `GatewayError("directory-unavailable")`."""
        settings = self._settings
        try:
            secret = settings.client_secret.read().decode()
        except (GatewayError, UnicodeDecodeError) as error:
            raise unavailable("`directory.client_secret` cannot be read") from error
        method, name = f"client_secret_{settings.client_auth}", settings.client_id
        if settings.client_auth == "basic":
            # RFC 6749, section 2.3.1: encoded as a form is, which the library leaves to its caller
            name, secret = quote_plus(name), quote_plus(secret)
        headers: dict[str, str] = {}
        address, headers, form = ClientAuth(name, secret, method).prepare("POST", address, headers, form)
        answer = self._web.post(address, form, headers)
        found = answer.json
        if answer.status == 200 and isinstance(found, dict):
            return found
        raise _declined(answer)

    def _discovered(self) -> Metadata:
        issuer = self._settings.issuer
        answer = self._web.get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        found = answer.json
        if answer.status != 200 or not isinstance(found, dict):
            raise unavailable(f"its discovery document was answered with {answer.status}")
        if found.get("issuer") != issuer:
            raise unavailable("its discovery document is another issuer's: `directory.issuer` is compared exactly")
        addresses: dict[str, str] = {}
        for name, needed in (
            ("authorization_endpoint", self._settings.redirect_url is not None),
            ("token_endpoint", True),
            ("jwks_uri", True),
            ("userinfo_endpoint", False),
            ("device_authorization_endpoint", False),
        ):
            address = found.get(name)
            if address is None and not needed:
                addresses[name] = ""
                continue
            if not self._web.leads_there(address):
                raise unavailable(f"its `{name}` is not https at its own host, nor at one of `directory.hosts`")
            addresses[name] = str(address)
        return Metadata(
            addresses["authorization_endpoint"],
            addresses["token_endpoint"],
            addresses["device_authorization_endpoint"],
            addresses["userinfo_endpoint"],
            addresses["jwks_uri"],
            found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _fetched_keys(self, address: str) -> list[dict[str, Any]]:
        answer = self._web.get(address)
        found = answer.json.get("keys") if isinstance(answer.json, dict) else None
        if answer.status != 200 or not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise unavailable("its keys are not a set of keys")
        if len(found) > MOST_KEYS:
            raise unavailable(f"it has more than {MOST_KEYS} keys")
        return found


def _declined(answer: Answer) -> Exception:
    error = answer.json.get("error") if isinstance(answer.json, Mapping) else None
    if answer.status not in (400, 401, 403) or not isinstance(error, str):
        return unavailable(f"a request of the client's was answered with {answer.status}")
    if error in ("invalid_client", "unauthorized_client"):
        return unavailable(f"it does not accept the client: {error}")
    known = "".join(char for char in error[:40] if char.isalpha() or char == "_")
    return Declined(known)


def _is_token(text: str) -> bool:
    return 0 < len(text) <= 2 * _LONGEST and text.isascii() and text.isprintable() and " " not in text


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else default
