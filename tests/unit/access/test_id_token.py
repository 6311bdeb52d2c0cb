"""ID tokens are believed when they are true, and every forgery is named."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk, jws

from gateway.access.directory.oidc.id_token import Expected, UnknownKey, Untrue, verify

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
KEYS = {
    "RS256": jwk.generate_key("RSA", 2048, {"kid": "r"}),
    "PS256": jwk.generate_key("RSA", 2048, {"kid": "p"}),
    "ES256": jwk.generate_key("EC", "P-256", {"kid": "e"}),
    "EdDSA": jwk.generate_key("OKP", "Ed25519", {"kid": "o"}),
}
SET = [key.as_dict(private=False) for key in KEYS.values()]
EXPECTED = Expected("https://id.example", "gateway", ALGORITHMS, "nonce-1")
ACCESS = "an-access-token"


def claims(**changes: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    found = {
        "iss": "https://id.example", "sub": "s-1", "aud": "gateway", "exp": at + 300, "iat": at, "nonce": "nonce-1",
        **changes,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not ...}


def signed(
    payload: dict[str, Any] | str, algorithm: str = "RS256", key: Any = None, **header: Any
) -> str:  # fmt: skip
    key = key or KEYS[algorithm]
    head = {"alg": algorithm, "kid": key.kid, **header}
    head = {name: value for name, value in head.items() if value is not ...}
    text = payload if isinstance(payload, str) else json.dumps(payload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return jws.serialize_compact(head, text, key, registry=registry)


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else (part if isinstance(part, str) else json.dumps(part)).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def pem(algorithm: str = "RS256") -> bytes:
    return KEYS[algorithm].public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def mac(payload: dict[str, Any], secret: bytes) -> str:
    """HS256 under what everybody knows: the old trick of taking the public key for a shared secret."""
    text = f"{encoded({'alg': 'HS256', 'kid': 'r'})}.{encoded(payload)}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_true_token_is_believed_whatever_signed_it(algorithm: str) -> None:
    assert verify(signed(claims(), algorithm), SET, EXPECTED, NOW)["sub"] == "s-1"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_access_token_belongs_to_it(algorithm: str) -> None:
    digest = hashlib.new("sha512" if algorithm == "EdDSA" else "sha256", ACCESS.encode()).digest()
    token = signed(claims(at_hash=encoded(digest[: len(digest) // 2])), algorithm)
    assert verify(token, SET, EXPECTED, NOW, ACCESS)
    with pytest.raises(Untrue, match="access token is not"):
        verify(token, SET, EXPECTED, NOW, "another")


STRANGER = jwk.generate_key("RSA", 2048, {"kid": "r"})
SMALL = {"kty": "RSA", "kid": "small", "e": "AQAB", "n": encoded((1 << 1023 | 1).to_bytes(128, "big"))}
TWICE = '{"alg": "none", "alg": "RS256"}'
FORGED: dict[str, tuple[Callable[[], object], str]] = {
    "no signature": (lambda: f"{encoded({'alg': 'none'})}.{encoded(claims())}.", "not signed with an algorithm"),
    "none in capitals": (lambda: f"{encoded({'alg': 'NoNe'})}.{encoded(claims())}.", "not signed with an algorithm"),
    "a shared secret that is the public key": (lambda: mac(claims(), pem()), "not signed with an algorithm"),
    "an algorithm that is a list": (
        lambda: f"{encoded({'alg': ['RS256'], 'kid': 'r'})}.{encoded(claims())}.x", "not signed with an algorithm",
    ),
    "the signature of another key of that name": (lambda: signed(claims(), key=STRANGER), "signature is wrong"),
    "another key's name": (lambda: signed(claims(), kid="p"), "signature is wrong"),
    "a key of another kind": (lambda: signed(claims(), kid="e"), "no single key"),
    "a key that is not known": (lambda: signed(claims(), kid="x"), "no single key"),
    "no key's name among several": (lambda: signed(claims(), kid=...), "no single key"),
    "a key of its own in the header": (
        lambda: signed(claims(), key=STRANGER, jwk=STRANGER.as_dict(private=False)), "signature is wrong",
    ),
    "an address of keys in the header": (
        lambda: signed(claims(), key=STRANGER, jku="https://evil.example/jwks"), "signature is wrong",
    ),
    "an extension": (
        lambda: f"{encoded({'alg': 'RS256', 'kid': 'r', 'crit': ['exp'], 'exp': 1})}.{encoded(claims())}.x",
        "extension",
    ),
    "a payload exchanged": (
        lambda: re.sub(r"\.[^.]+\.", f".{encoded(claims(sub='s-2'))}.", signed(claims())),
        "signature is wrong",
    ),
    "another issuer": (lambda: signed(claims(iss="https://id.example/")), "another issuer"),
    "no issuer": (lambda: signed(claims(iss=...)), "another issuer"),
    "another client": (lambda: signed(claims(aud="other")), "another client"),
    "no client": (lambda: signed(claims(aud=...)), "another client"),
    "several clients and none it was given to": (lambda: signed(claims(aud=["gateway", "other"])), "another client"),
    "given to another client": (lambda: signed(claims(aud=["gateway", "other"], azp="other")), "another client"),
    "given to another client alone": (lambda: signed(claims(azp="other")), "another client"),
    "clients that are none": (lambda: signed(claims(aud=[{"gateway": 1}])), "another client"),
    "run out": (lambda: signed(claims(exp=int(NOW.timestamp()) - 31)), "has run out"),
    "no end": (lambda: signed(claims(exp=...)), "does not say when"),
    "an end that is a text": (lambda: signed(claims(exp="4102444800")), "not a moment"),
    "an end that is true": (lambda: signed(claims(exp=True)), "not a moment"),
    "of the future": (lambda: signed(claims(iat=int(NOW.timestamp()) + 31)), "future"),
    "not valid yet": (lambda: signed(claims(nbf=int(NOW.timestamp()) + 31)), "future"),
    "kept for a while": (lambda: signed(claims(iat=int(NOW.timestamp()) - 601)), "too long ago"),
    "another login's": (lambda: signed(claims(nonce="nonce-2")), "another login"),
    "no login's": (lambda: signed(claims(nonce=...)), "another login"),
    "a nonce that is a number": (lambda: signed(claims(nonce=1)), "another login"),
    "nobody": (lambda: signed(claims(sub=...)), "`sub`"),
    "an empty person": (lambda: signed(claims(sub="")), "`sub`"),
    "a person that is a number": (lambda: signed(claims(sub=7)), "`sub`"),
    "a person with a line break": (lambda: signed(claims(sub="s-1\n")), "`sub`"),
    "a claim twice": (lambda: signed(json.dumps(claims())[:-1] + ', "sub": "s-2"}'), "payload cannot be read"),
    "a list": (lambda: signed("[]"), "not an object"),
    "no text at all": (lambda: {"alg": "none"}, "compact form"),
    "encrypted": (lambda: "a.b.c.d.e", "compact form"),
    "a header twice": (lambda: f"{encoded(TWICE)}.{encoded(claims())}.x", "header"),
    "huge": (lambda: signed(claims(more="x" * 40_000)), "compact form"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused_with_its_reason(name: str) -> None:
    make, reason = FORGED[name]
    with pytest.raises(Untrue, match=reason):
        verify(make(), SET, EXPECTED, NOW)


def test_an_algorithm_that_the_settings_leave_out_is_refused() -> None:
    with pytest.raises(Untrue, match="not signed with an algorithm"):
        verify(signed(claims(), "ES256"), SET, Expected("https://id.example", "gateway", ("RS256",), "nonce-1"), NOW)


def test_a_key_may_be_unnamed_where_it_is_the_only_one_that_fits() -> None:
    unnamed = {name: value for name, value in SET[0].items() if name != "kid"}
    assert verify(signed(claims(), kid=...), [unnamed, SET[2]], EXPECTED, NOW)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (SET[0] | {"use": "enc"}, "no single key"),
        (SET[0] | {"alg": "PS256"}, "no single key"),
        ({"kty": "oct", "kid": "r", "k": encoded(pem())}, "no single key"),
        (SMALL | {"kid": "r"}, "bits"),
        (SET[0] | {"n": "!"}, "cannot be read"),
        (SET[0] | {"n": 5}, "cannot be read"),
        ({"kty": "RSA", "kid": "r"}, "cannot be read"),
    ],
    ids=["for encryption", "for another algorithm", "a shared secret", "small", "garbage", "a number", "empty"],
)
def test_a_key_that_does_not_fit_is_none(key: dict[str, Any], reason: str) -> None:
    with pytest.raises(Untrue, match=reason):
        verify(signed(claims()), [key], EXPECTED, NOW)


def test_two_keys_of_one_name_are_none() -> None:
    with pytest.raises(UnknownKey):
        verify(signed(claims()), [SET[0], STRANGER.as_dict(private=False)], EXPECTED, NOW)


def test_a_refreshed_token_is_about_the_same_person_and_has_no_nonce() -> None:
    same = Expected("https://id.example", "gateway", ALGORITHMS, None, "s-1")
    assert verify(signed(claims(nonce=...)), SET, same, NOW)
    with pytest.raises(Untrue, match="somebody else"):
        verify(signed(claims(sub="s-2")), SET, same, NOW)
