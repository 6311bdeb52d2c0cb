"""ID tokens: whether one is true (OpenID Connect Core 1.0, sections 2 and 3.1.3.7; RFC 7515; RFC 8725).

The key is chosen here, by the token's `kid` and the algorithm that the settings allow, from the provider's own set; a
key, an address or a certificate that the token brings along is never looked at. The signature is joserfc's to check.

INVARIANT: what `verify` returns was signed by the issuer, for this client, for this login, and is in time.
FAIL CLOSED: a claim of another type than the specification's is as bad as a wrong one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.oidc.core.util import create_half_hash
from joserfc import jwk, jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

from gateway.access.answers import parse_json

SKEW_S = 30
LONGEST_TOKEN = 32 * 1024
OLDEST_S = 600
"""A token is taken within minutes of being made; one that was made long ago was kept by somebody."""
MOST_KEYS = 64

_NEEDS = {
    "RS256": {"kty": "RSA"},
    "PS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
_SMALLEST_RSA = 2048
_LARGEST_RSA = 8192


class Untrue(Exception):
    """Why a token is not believed; the reason quotes nothing of it, and may be recorded."""


class UnknownKey(Untrue):
    """The token was signed with a key that is not in the set; it may be a new one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `nonce` None where there was none to send (RFC 8628, and refreshed tokens)."""

    issuer: str
    client_id: str
    algorithms: Sequence[str]
    nonce: str | None = None
    subject: str | None = None


class _Registry(JWSRegistry):
    """joserfc's own asks only for known headers, and warns of `EdDSA`, which providers still write for Ed25519."""

    max_header_length = 4096
    max_payload_length = LONGEST_TOKEN

    def __init__(self, algorithms: Sequence[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("not allowed")
        return self.algorithms[name]


def verify(
    token: object, keys: Sequence[Mapping[str, Any]], expected: Expected, now: datetime, access_token: str = ""
) -> dict[str, Any]:
    """The claims of a true token. Raises `UnknownKey`, or `Untrue` with the reason."""
    if not isinstance(token, str) or not token.isascii() or len(token) > LONGEST_TOKEN or token.count(".") != 2:
        raise Untrue("the ID token is not a signed one in its compact form")
    header = _decoded(token.split(".", 1)[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms or algorithm not in _NEEDS:
        raise Untrue("the ID token is not signed with an algorithm that `directory.algorithms` allows")
    if "crit" in header or "b64" in header:
        raise Untrue("the ID token asks for an extension that is not known")
    key = _chosen(keys, header.get("kid"), algorithm)
    try:
        signed = jws.deserialize_compact(token, key, registry=_Registry(expected.algorithms))
    except (JoseError, ValueError) as error:
        raise Untrue("the ID token's signature is wrong") from error
    claims = _decoded_bytes(signed.payload or b"", "payload")
    _check(claims, expected, now)
    _check_access_token(claims, access_token, algorithm)
    return claims


def seconds_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A moment of a token, in seconds since 1970; None where there is none. Raises `Untrue`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise Untrue(f"the ID token's `{name}` is not a moment")
    return float(value)


def _check(claims: Mapping[str, Any], expected: Expected, now: datetime) -> None:
    present = now.timestamp()
    if claims.get("iss") != expected.issuer:
        raise Untrue("the ID token is another issuer's")
    subject = claims.get("sub")
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= 255
        or not subject.isascii()
        or not subject.isprintable()
    ):
        raise Untrue("the ID token's `sub` is not 1 to 255 characters of ASCII")
    if expected.subject is not None and subject != expected.subject:
        raise Untrue("the ID token is about somebody else")
    audience = claims.get("aud")
    several = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in several) or expected.client_id not in several:
        raise Untrue("the ID token is for another client")
    party = claims.get("azp")
    if (len(several) > 1 and party is None) or (party is not None and party != expected.client_id):
        raise Untrue("the ID token was given to another client")
    ends, made = seconds_of(claims, "exp"), seconds_of(claims, "iat")
    if ends is None or made is None:
        raise Untrue("the ID token does not say when it was made and when it ends")
    if present >= ends + SKEW_S:
        raise Untrue("the ID token has run out")
    if made > present + SKEW_S or (seconds_of(claims, "nbf") or 0) > present + SKEW_S:
        raise Untrue("the ID token is of the future: compare the clocks")
    if made < present - OLDEST_S:
        raise Untrue("the ID token was made too long ago")
    if expected.nonce is not None:
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
            raise Untrue("the ID token is of another login")


def _check_access_token(claims: Mapping[str, Any], access_token: str, algorithm: str) -> None:
    """`at_hash` where there is one (section 3.1.3.8): the access token belongs to the ID token."""
    stated = claims.get("at_hash")
    if stated is None or not access_token:
        return
    # `EdDSA` names no hash: most providers take SHA-512, that of the signature, and some SHA-256
    names = ("EdDSA", "ES256") if algorithm == "EdDSA" else (algorithm,)
    rights = [create_half_hash(access_token, name) for name in names]
    if not isinstance(stated, str) or not any(
        right is not None and hmac.compare_digest(stated.encode(), right) for right in rights
    ):
        raise Untrue("the access token is not the ID token's")


def _chosen(keys: Sequence[Mapping[str, Any]], kid: object, algorithm: str) -> Any:
    """The one key that fits. Two of one name, or no name and several that fit, are none."""
    fitting = [
        one
        for one in keys[:MOST_KEYS]
        if all(one.get(name) == value for name, value in _NEEDS[algorithm].items())
        and one.get("use", "sig") == "sig"
        and one.get("alg", algorithm) == algorithm
        and (kid is None or one.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise UnknownKey("no single key of the provider fits the ID token")
    public = {name: fitting[0][name] for name in ("kty", "crv", "n", "e", "x", "y") if name in fitting[0]}
    try:
        if public["kty"] == "RSA":
            bits = _bits(public["n"])
            if not _SMALLEST_RSA <= bits <= _LARGEST_RSA or not 1 < _bits(public["e"]) <= 64:
                raise Untrue(f"the provider's key is not of {_SMALLEST_RSA} to {_LARGEST_RSA} bits")
        return jwk.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Untrue("the provider's key cannot be read") from error


def _bits(text: str) -> int:
    return int.from_bytes(_base64(text), "big").bit_length()


def _base64(text: str) -> bytes:
    if not isinstance(text, str) or len(text) > LONGEST_TOKEN:
        raise ValueError("not base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _decoded(part: str, what: str) -> dict[str, Any]:
    try:
        return _decoded_bytes(_base64(part), what)
    except ValueError as error:
        raise Untrue(f"the ID token's {what} cannot be read") from error


def _decoded_bytes(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = parse_json(data)
    except ValueError as error:
        raise Untrue(f"the ID token's {what} cannot be read") from error
    if not isinstance(found, dict):
        raise Untrue(f"the ID token's {what} is not an object")
    return found
